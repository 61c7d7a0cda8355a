"""A server on the Python SDK behind a port, over Streamable HTTP or HTTP+SSE, that speaks what it is asked in."""

import argparse
import asyncio
import runpy
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server: MCPServer = runpy.run_path(str(Path(__file__).parent / "dual" / "python_server.py"))["server"]


@server.tool()
async def count(steps: int, ctx: Context) -> str:
    """Report progress, step by step."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps)
    return f"{steps} steps"


@server.tool()
async def sleep(seconds: float) -> str:
    """Take its time."""
    await asyncio.sleep(seconds)
    return "awake"


@server.tool()
def large(size: int) -> str:
    """Say much."""
    return "é" * size


@server.tool()
async def change(ctx: Context) -> str:
    """Say that the tools have changed."""
    await ctx.session.send_tool_list_changed()
    return "said"


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--kind", choices=("stream", "json", "stateless", "sse"), default="stream")
    parser.add_argument("--certificate")
    options = parser.parse_args()
    if options.kind == "sse":
        app = server.sse_app()
    else:
        app = server.streamable_http_app(
            json_response=options.kind == "json", stateless_http=options.kind == "stateless"
        )
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        log_level="error",
        ssl_certfile=options.certificate,
        timeout_graceful_shutdown=0,
    )


main()
