"""A server on FastMCP of PyPI, over Streamable HTTP, with a part of everything.

python fast.py PORT
"""

from __future__ import annotations

import asyncio
import sys

from fastmcp import Context, FastMCP

server: FastMCP = FastMCP("fast")


@server.tool
async def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool
async def slow(ms: int) -> str:
    """Answer after a while."""
    await asyncio.sleep(ms / 1000)
    return "slow"


@server.tool
async def steps(count: int, context: Context) -> str:
    """Tell of every step."""
    for number in range(count):
        await context.report_progress(number + 1, count)
    return "done"


@server.tool
async def ask(context: Context) -> str:
    """Ask the client's user something, and tell the answer."""
    answer = await context.elicit("Well?", response_type=str)
    return f"{answer.action}: {getattr(answer, 'data', '')}"


@server.resource("fast://text")
def text() -> str:
    """A text."""
    return "a text"


@server.prompt
def greeting(name: str) -> str:
    """Greet somebody."""
    return f"Greet {name}."


if __name__ == "__main__":
    server.run(
        transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="warning"
    )
