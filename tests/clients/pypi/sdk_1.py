"""The Python SDK 1.x as a client."""

import os
from contextlib import asynccontextmanager

import httpx
import mcp.types
from driving import PATIENCE_S, do_all
from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client


def transport(job):
    """The way to the server that the job names."""
    match job["front"]:
        case "http":
            return streamable_http_client(job["url"])
        case "sse":
            return sse_client(job["url"], timeout=PATIENCE_S)
        case "stdio":
            command, *args = job["argv"]
            return stdio_client(StdioServerParameters(command=command, args=args, env=dict(os.environ)))
        case "unix":
            client = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=job["socket"]), timeout=PATIENCE_S
            )
            return streamable_http_client(job["url"], http_client=client)


@asynccontextmanager
async def connect(job, person):
    """A session for one job."""

    async def elicited(_, params):
        return mcp.types.ElicitResult(action="accept", content=await person.asked(params.message))

    async def sampled(_, params):
        answer = await person.asked(params.messages[0].content.text)
        content = mcp.types.TextContent(type="text", text=answer["text"])
        return mcp.types.CreateMessageResult(role="assistant", model="test", content=content)

    handlers = {"elicitation_callback": elicited, "sampling_callback": sampled} if "answer" in job else {}
    async with transport(job) as (read, write, *_), ClientSession(read, write, **handlers) as session:
        yield session, (await session.initialize()).protocolVersion


do_all(connect)
