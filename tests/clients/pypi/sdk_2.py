"""The Python SDK 2.x as a client; the job's mode is its own: auto, legacy, or the version that it is pinned to."""

import os
from contextlib import asynccontextmanager

import httpx2
import mcp_types
from driving import PATIENCE_S, do_all
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


def transport(job):
    """The way to the server that the job names."""
    match job["front"]:
        case "http":
            return job["url"]
        case "sse":
            return sse_client(job["url"], timeout=PATIENCE_S)
        case "stdio":
            command, *args = job["argv"]
            return StdioServerParameters(command=command, args=args, env=dict(os.environ))
        case "unix":
            client = httpx2.AsyncClient(
                transport=httpx2.AsyncHTTPTransport(uds=job["socket"]), timeout=PATIENCE_S
            )
            return streamable_http_client(job["url"], http_client=client)


@asynccontextmanager
async def connect(job, person):
    """A connection for one job."""

    async def elicited(_, params):
        return mcp_types.ElicitResult(action="accept", content=await person.asked(params.message))

    async def sampled(_, params):
        answer = await person.asked(params.messages[0].content.text)
        content = mcp_types.TextContent(type="text", text=answer["text"])
        return mcp_types.CreateMessageResult(role="assistant", model="test", content=content)

    handlers = {"elicitation_callback": elicited, "sampling_callback": sampled} if "answer" in job else {}
    async with Client(transport(job), mode=job["mode"], **handlers) as client:
        yield client, client.protocol_version


do_all(connect)
