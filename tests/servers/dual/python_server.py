"""A server on the Python SDK that speaks both eras; the first request decides which, the SDK has no switch."""

import os
from typing import Annotated

from mcp.server.mcpserver import Elicit, ElicitationResult, MCPServer, Resolve, Sample
from mcp_types import CreateMessageResult, SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("dual-python", version="1", instructions="Does the same in either era.")


class Answer(BaseModel):
    """The answer that the user is asked for."""

    name: str


def question() -> Elicit[Answer]:
    """The question to the user."""
    return Elicit("What is your name?", Answer)


def request(prompt: str) -> Sample:
    """The request to the model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return Sample([message], max_tokens=100)


@server.tool()
def echo(text: str) -> str:
    """Say the same."""
    return text


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def pid() -> int:
    """Say which process this is."""
    return os.getpid()


@server.tool()
def ask_user(answer: Annotated[ElicitationResult[Answer], Resolve(question)]) -> str:
    """Ask the user for a name, as the era does it."""
    return (
        f"Hello, {answer.data.name}!" if answer.action == "accept" else f"The user chose to {answer.action}."
    )


@server.tool()
def ask_model(prompt: str, said: Annotated[CreateMessageResult, Resolve(request)]) -> str:
    """Have the client's model answer, as the era does it."""
    return f"The model said: {getattr(said.content, 'text', said.content)}"


@server.resource("dual://text", mime_type="text/plain")
def text() -> str:
    """A text that stays as it is."""
    return "The text of a resource."


@server.prompt()
def greeting(name: str) -> str:
    """A prompt made of its argument."""
    return f"Greet {name}."


if __name__ == "__main__":
    server.run("stdio")
