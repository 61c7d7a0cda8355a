"""The Python SDK 1.x as a client: jobs on its command line, one JSON line for each call's result."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def call(job):
    """One session of its own, with everything a client does in it."""
    async with streamablehttp_client(job["url"]) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        assert job["tool"] in [tool.name for tool in (await session.list_tools()).tools]
        result = await session.call_tool(job["tool"], job["arguments"])
        return result.model_dump_json()


async def main():
    """All jobs at once."""
    for line in await asyncio.gather(*map(call, json.loads(sys.argv[1]))):
        print(line)


asyncio.run(main())
