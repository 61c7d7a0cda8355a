"""The client of FastMCP, which negotiates as the Python SDK below it does."""

import os
from contextlib import asynccontextmanager

import httpx2
from driving import PATIENCE_S, do_all
from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport


def patient(**more):
    """Makes HTTP clients with more patience than SSE is given."""
    return lambda **usual: httpx2.AsyncClient(**{**usual, **more, "timeout": PATIENCE_S})


def transport(job):
    """The way to the server that the job names."""
    match job["front"]:
        case "http":
            return StreamableHttpTransport(job["url"])
        case "sse":
            return SSETransport(job["url"], httpx_client_factory=patient())
        case "stdio":
            command, *args = job["argv"]
            return StdioTransport(command, args, env=dict(os.environ), keep_alive=False)
        case "unix":
            there = httpx2.AsyncHTTPTransport(uds=job["socket"])
            return StreamableHttpTransport(job["url"], httpx_client_factory=patient(transport=there))


@asynccontextmanager
async def connect(job, person):
    """A connection for one job."""
    async with Client(transport(job), mode=job["mode"], init_timeout=PATIENCE_S) as client:
        yield client, client.protocol_version


do_all(connect)
