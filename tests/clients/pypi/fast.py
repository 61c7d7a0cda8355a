"""The client of FastMCP, which negotiates as the Python SDK below it does."""

import os
from contextlib import asynccontextmanager

import httpx2
from driving import do_all
from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport


def transport(job):
    """The way to the server that the job names."""
    match job["front"]:
        case "http":
            return StreamableHttpTransport(job["url"])
        case "sse":
            return SSETransport(job["url"])
        case "stdio":
            command, *args = job["argv"]
            return StdioTransport(command, args, env=dict(os.environ), keep_alive=False)
        case "unix":
            there = httpx2.AsyncHTTPTransport(uds=job["socket"])

            def made(**kwargs):
                return httpx2.AsyncClient(transport=there, **kwargs)

            return StreamableHttpTransport(job["url"], httpx_client_factory=made)


@asynccontextmanager
async def connect(job, person):
    """A connection for one job."""
    async with Client(transport(job), mode=job["mode"]) as client:
        yield client, client.protocol_version


do_all(connect)
