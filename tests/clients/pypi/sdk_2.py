"""The Python SDK 2.x as a client of the session era: jobs on its command line, one JSON line for each call's result."""

import asyncio
import json
import sys

from mcp import Client


async def call(job):
    """One session of its own, with everything a client does in it."""
    async with Client(job["url"], mode="legacy") as client:
        assert job["tool"] in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool(job["tool"], job["arguments"])
        return result.model_dump_json()


async def main():
    """All jobs at once."""
    for line in await asyncio.gather(*map(call, json.loads(sys.argv[1]))):
        print(line)


asyncio.run(main())
