"""``python -m tests.bench.beginnings``: the tokens that a client reads before its first call, tools and instructions.

Servers that list what real ones were captured with, each with instructions of `INSTRUCTIONS` characters, stand behind
one gateway in growing numbers.  ``--docs`` writes the table for the documentation.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from mcpgateway.discovery.tokens import estimate
from tests.bench.tables import Table, rst, text
from tests.bench.tools import ROOT
from tests.servers.recorded import CATALOGUE
from tests.support.gateway import Gateway, server
from tests.support.http_client import REVISION, Client, message
from tests.support.result_pages import result_of

PAGE = ROOT / "docs" / "explanation" / "beginning-figures.inc"
NUMBERS = (7, 30, 50)
INSTRUCTIONS = 300
VIEWS = ("/mcp/full", "/mcp/search", "/mcp")  # the first one has all servers answer
META = "/mcp with expose: meta"


def measured() -> Table:
    """The table: a row for each view, a column for each number of servers."""
    costs = {count: asyncio.run(beginnings(count)) for count in NUMBERS}
    rows = [(name, *(costs[count][name] for count in NUMBERS)) for name in (*VIEWS, META)]
    return Table(
        "What a client reads before its first call: tools + instructions = together",
        ("view", *(f"{count} servers" for count in NUMBERS)),
        rows,
    )


async def beginnings(count: int) -> dict[str, str]:
    """What each view costs with so many servers."""
    with tempfile.TemporaryDirectory(prefix="beginnings-") as folder:
        with Gateway(Path(folder), servers(count)) as gateway:
            found = {path: await beginning(gateway, path) for path in VIEWS}
        with Gateway(Path(folder), servers(count), settings={"expose": "meta"}) as gateway:
            found[META] = await beginning(gateway, "/mcp")
    return found


def servers(count: int) -> dict[str, object]:
    """So many servers, none of which is in use by anybody."""
    names = sorted(each.stem for each in CATALOGUE.glob("*.json"))
    argv = [sys.executable, "-m", "tests.servers.recorded"]
    return {
        (name if nth < len(names) else f"{name}-{nth}"): server(
            [*argv, name, "Say what is wanted. " * (INSTRUCTIONS // 20)], cwd=str(CATALOGUE.parents[2])
        )
        for nth, name in ((nth, names[nth % len(names)]) for nth in range(count))
    }


HELLO = {
    "protocolVersion": REVISION,
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


async def beginning(gateway: Gateway, path: str) -> str:
    """The tokens of the tools and of the instructions of a view, once all servers have answered."""
    client = Client(gateway.url, path)
    while True:
        answer = await client.post(message(0, "initialize", HELLO))
        client.id = answer.headers["mcp-session-id"]
        await client.post(message(None, "notifications/initialized"))
        listed = json.loads(result_of(await client.post(message(1, "tools/list", {}))))
        if not listed.get("_meta"):
            break
        await asyncio.sleep(1)
    hello = json.loads(result_of(await client.post(message(0, "initialize", HELLO))))
    tools = estimate(json.dumps(listed["tools"], ensure_ascii=False, separators=(",", ":")))
    said = estimate(hello["instructions"])
    client.close()
    return f"{tools} + {said} = {tools + said}"


if __name__ == "__main__":
    table = measured()
    print(text(table))
    if "--docs" in sys.argv:
        PAGE.write_text(rst(table), encoding="utf-8")
