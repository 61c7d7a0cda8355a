"""A server on the Python SDK that has what the scenarios of the conformance suite name, on stdio or behind a port."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
SOUND = "UklGRigAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQQAAACAgICA"
PAUSE_S = 0.05
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
CACHED = dict.fromkeys((*LISTS, "resources/read", "server/discover"), CacheHint(1000, "public"))
NEEDED = {  # by the kind of question
    types.ElicitRequest: types.ClientCapabilities(elicitation=types.ElicitationCapability()),
    types.CreateMessageRequest: types.ClientCapabilities(sampling=types.SamplingCapability()),
    types.ListRootsRequest: types.ClientCapabilities(roots=types.RootsCapability()),
}

Answer = str | types.InputRequiredResult
Questions = Mapping[str, types.ElicitRequest | types.CreateMessageRequest | types.ListRootsRequest]

server = MCPServer("scenarios", version="1", cache_hints=CACHED)


def form(message: str, **properties: str) -> types.ElicitRequest:
    """A form in which every value is needed; the properties are given with their types."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def prompting(words: str, limit: int = 100) -> types.CreateMessageRequest:
    """A question for the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(text=words))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=limit)
    )


async def asked(
    ctx: Context, questions: Questions, state: str | None = None
) -> dict[str, Any] | types.InputRequiredResult:
    """The answers, or what has to be answered before the request is sent again.

    Up to 2025-11-25 the client is asked while the request waits, and without a look at what it can do.
    """
    if ctx.protocol_version != "2026-07-28":
        return {name: await pushed(ctx, each) for name, each in questions.items()}
    offered = ctx.client_capabilities or types.ClientCapabilities()
    for each in questions.values():
        needed = NEEDED[type(each)]
        if any(getattr(offered, name) is None for name in needed.model_fields_set):
            raise lacking(needed)
    given = ctx.input_responses or {}
    if questions.keys() <= given.keys():
        return {name: given[name] for name in questions}
    return types.InputRequiredResult(input_requests=dict(questions), request_state=state)


async def pushed(ctx: Context, question: Any) -> Any:
    """The client's answer to a request of ours."""
    if isinstance(question, types.ElicitRequest):
        params = question.params
        return await ctx.session.elicit_form(params.message, params.requested_schema, ctx.request_id)
    if isinstance(question, types.CreateMessageRequest):
        params = question.params
        return await ctx.session.create_message(
            params.messages, max_tokens=params.max_tokens, related_request_id=ctx.request_id
        )
    return await ctx.session.list_roots()


def lacking(needed: types.ClientCapabilities) -> MCPError:
    """Return the refusal of a client that cannot do what a request needs."""
    data = {"requiredCapabilities": needed.model_dump(by_alias=True, exclude_none=True)}
    return MCPError(
        types.MISSING_REQUIRED_CLIENT_CAPABILITY, "The client lacks what this tool needs", data=data
    )


def shown(answers: Any) -> str:
    """Answers as a text."""
    if isinstance(answers, dict):
        return json.dumps({name: json.loads(shown(each)) for name, each in answers.items()})
    return answers.model_dump_json(by_alias=True, exclude_none=True)


async def told(ctx: Context, questions: Questions, said: str = "", state: str | None = None) -> Answer:
    """Ask, and say what the answers were."""
    answers = await asked(ctx, questions, state)
    return answers if isinstance(answers, types.InputRequiredResult) else f"{said}{shown(answers)}"


@server.tool()
def test_simple_text() -> str:
    """Answer with a text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[types.ImageContent]:
    """Answer with a picture."""
    return [types.ImageContent(data=PIXEL, mime_type="image/png")]


@server.tool()
def test_audio_content() -> list[types.AudioContent]:
    """Answer with a sound."""
    return [types.AudioContent(data=SOUND, mime_type="audio/wav")]


def embedded(uri: str, kind: str, words: str) -> types.EmbeddedResource:
    """A resource within an answer."""
    return types.EmbeddedResource(
        resource=types.TextResourceContents(uri=uri, mime_type=kind, text=words),
    )


@server.tool()
def test_embedded_resource() -> list[types.EmbeddedResource]:
    """Answer with a resource."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[types.TextContent | types.ImageContent | types.EmbeddedResource]:
    """Answer with a text, a picture and a resource."""
    return [
        types.TextContent(text="Multiple content types test:"),
        types.ImageContent(data=PIXEL, mime_type="image/png"),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Log three messages, then answer."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(words)
        await asyncio.sleep(PAUSE_S)
    return "Logged three messages."


@server.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Log one message of some levels, then answer."""
    await ctx.debug("In detail.")
    await ctx.info("As it goes.")
    await ctx.warning("With care.")
    await ctx.error("No further.")
    return "Logged what you want to see."


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times, then answer."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
        await asyncio.sleep(PAUSE_S)
    return "Reported progress three times."


@server.tool()
def test_error_handling() -> str:
    """Fail."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> Answer:
    """Have the client's model answer a prompt."""
    return await told(ctx, {"prompt": prompting(prompt)}, "LLM response: ")


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> Answer:
    """Ask the user for name and address."""
    return await told(ctx, {"user": form(message, username="string", email="string")}, "User response: ")


class Defaults(BaseModel):
    """A form with a default for every kind of value."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def titled(*titles: str, first: int = 1) -> list[dict[str, str]]:
    """Values with titles, one schema for each."""
    return [{"const": f"value{first + at}", "title": title} for at, title in enumerate(titles)]


OPTIONS = ["option1", "option2", "option3"]


class Enums(BaseModel):
    """A form with every way to choose."""

    untitledSingle: Annotated[str, Field(json_schema_extra={"enum": OPTIONS})]
    titledSingle: Annotated[
        str, Field(json_schema_extra={"oneOf": titled("First Option", "Second Option", "Third Option")})
    ]
    legacyEnum: Annotated[
        str,
        Field(
            json_schema_extra={
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            }
        ),
    ]
    untitledMulti: Annotated[
        list[str], Field(json_schema_extra={"items": {"type": "string", "enum": OPTIONS}})
    ]
    titledMulti: Annotated[
        list[str],
        Field(
            json_schema_extra={"items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")}}
        ),
    ]


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask the user with a default for every kind of value."""
    said = await ctx.elicit("Please review the defaults, and change what is wrong.", Defaults)
    return f"Elicitation completed: action={said.action}, content={getattr(said, 'data', None)!r}"


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask the user to choose, in every way there is."""
    said = await ctx.elicit("Please choose.", Enums)
    return f"Elicitation completed: action={said.action}, content={getattr(said, 'data', None)!r}"


@server.tool()
async def test_streaming_elicitation(ctx: Context) -> Answer:
    """Report progress, then ask the user."""
    await ctx.report_progress(50, 100)
    return await told(ctx, {"user": form("And your name?", username="string")})


@server.tool()
async def test_reconnection() -> str:
    """Answer after a while."""
    await asyncio.sleep(2 * PAUSE_S)
    return "Whoever reads this has reconnected, or never had to."


@server.tool()
def test_missing_capability(ctx: Context) -> str:
    """Work only for clients that can sample."""
    offered = ctx.client_capabilities
    if offered is None or offered.sampling is None:
        raise lacking(NEEDED[types.CreateMessageRequest])
    return "You can sample."


def extra() -> str:
    """Answer with a text."""
    return "I am not always here."


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Add a tool, or take it away again."""
    if any(each.name == "test_extra_tool" for each in await server.list_tools()):
        server.remove_tool("test_extra_tool")
    else:
        server.add_tool(extra, name="test_extra_tool")
    await ctx.notify_tools_changed()
    return "Changed."


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Say that the prompts have changed."""
    await ctx.notify_prompts_changed()
    return "Changed."


@server.tool()
async def test_input_required_result_elicitation(ctx: Context) -> Answer:
    """Ask the user for a name."""
    return await told(ctx, {"user_name": form("What is your name?", name="string")}, "Hello: ")


@server.tool()
async def test_input_required_result_sampling(ctx: Context) -> Answer:
    """Ask the model for a capital."""
    return await told(ctx, {"capital_question": prompting("What is the capital of France?")})


@server.tool()
async def test_input_required_result_list_roots(ctx: Context) -> Answer:
    """Ask for the roots."""
    return await told(ctx, {"client_roots": types.ListRootsRequest()})


@server.tool()
async def test_input_required_result_request_state(ctx: Context) -> Answer:
    """Ask the user, and keep a state meanwhile."""
    return await told(ctx, {"confirm": form("Please confirm", ok="boolean")}, "state-ok: ", state="asked")


@server.tool()
async def test_input_required_result_tampered_state(ctx: Context) -> Answer:
    """Refuse a state that is not ours, as the SDK does for all."""
    return await told(ctx, {"confirm": form("Please confirm", ok="boolean")}, "state-ok: ", state="asked")


@server.tool()
async def test_input_required_result_multiple_inputs(ctx: Context) -> Answer:
    """Ask for three things at once."""
    questions: Questions = {
        "user_name": form("What is your name?", name="string"),
        "greeting": prompting("Generate a greeting", 50),
        "client_roots": types.ListRootsRequest(),
    }
    return await told(ctx, questions, state="asked")


@server.tool()
async def test_input_required_result_multi_round(ctx: Context) -> Answer:
    """Ask twice, one after the other."""
    first: Questions = {"step1": form("Step 1: What is your name?", name="string")}
    second: Questions = {"step2": form("Step 2: What is your favorite color?", color="string")}
    if ctx.request_state is None:
        answers = await asked(ctx, first, "1")
        if isinstance(answers, types.InputRequiredResult):
            return answers
    elif ctx.request_state == "1":
        answers = await asked(ctx, first, "1")
        if isinstance(answers, types.InputRequiredResult):
            return answers
        return types.InputRequiredResult(input_requests=dict(second), request_state=f"2{shown(answers)}")
    return await told(ctx, second, f"{(ctx.request_state or '')[1:]} ", state=ctx.request_state)


@server.tool()
async def test_input_required_result_capabilities(ctx: Context) -> Answer:
    """Ask what the client can answer."""
    questions: Questions = {
        "user_name": form("What is your name?", name="string"),
        "greeting": prompting("Generate a greeting", 50),
    }
    offered = ctx.client_capabilities or types.ClientCapabilities()
    fitting = {
        name: each
        for name, each in questions.items()
        if all(getattr(offered, known) is not None for known in NEEDED[type(each)].model_fields_set)
    }
    return await told(ctx, fitting or {"user_name": questions["user_name"]})


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text that stays as it is."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A picture that stays as it is."""
    return base64.b64decode(PIXEL)


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    """A text that may be subscribed to."""
    return "Watched."


@server.resource("test://template/{number}/data", mime_type="application/json")
def template(number: str) -> str:
    """Data for any id."""
    return json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})


@server.prompt()
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt made of its arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """A prompt that contains a resource."""
    found = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(found), UserMessage("Please process the embedded resource above.")]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt that contains a picture."""
    picture = types.ImageContent(data=PIXEL, mime_type="image/png")
    return [UserMessage(picture), UserMessage("Please analyze the image above.")]


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> str | types.InputRequiredResult:
    """A prompt whose context the user is asked for."""
    question = form("What context should the prompt use?", context="string")
    return await told(ctx, {"user_context": question}, "Context: ")


@server.completion()
async def complete(ref: Any, argument: types.CompletionArgument, context: Any) -> types.Completion:
    """The words that begin like the argument does."""
    values = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
    return types.Completion(values=values, total=len(values), has_more=False)


async def accepted(ctx: Any, params: Any) -> types.EmptyResult:
    """Do as the client says, for which nothing is to be done."""
    return types.EmptyResult()


for method, params in {
    "logging/setLevel": types.SetLevelRequestParams,
    "resources/subscribe": types.SubscribeRequestParams,
    "resources/unsubscribe": types.UnsubscribeRequestParams,
}.items():  # the SDK has these for its lower level only
    server._lowlevel_server.add_request_handler(method, params, accepted)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="serve there instead of on stdio")
    port = parser.parse_args().port
    if port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
