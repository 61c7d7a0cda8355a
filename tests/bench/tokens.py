"""``python -m tests.bench.tokens``: what views and the shield save a model, with real servers and their real results.

Twelve servers run behind one gateway.  What each of them tells a client is held beside what the views tell
it; the largest of their results are taken at the server's own endpoint, where nothing is cut, and on a view at both
levels, and everything that was cut is fetched again and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen

from mcpgateway.discovery.tokens import estimate
from mcpgateway.owntools.missing_servers import KEY
from tests.bench.tables import Table, rst, text
from tests.bench.tools import CACHE, ROOT, npm_packages
from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import REVISION, Client, message, text_of, tool_call
from tests.support.real_servers import everything, filesystem, git, memory, sequential_thinking, time
from tests.support.result_pages import joined, ref_of, result_of, whole
from tests.support.whole import PAUSE_S

NPM = {
    "@playwright/mcp": "0.0.83",
    "chrome-devtools-mcp": "1.11.0",
    "@modelcontextprotocol/server-github": "2025.4.8",
    "@notionhq/notion-mcp-server": "2.5.2",
    "@zereight/mcp-gitlab": "2.1.64",
}
PYPI = {"mcp-server-sqlite": "2025.4.25", "mcp": "1.30.0"}  # it knows no later mcp
INSTALL_LIMIT_S = 300
PAGE = ROOT / "docs" / "explanation" / "token-figures.inc"
LEVELS = ("bounded", "lean")
ROWS, ENTITIES, COMMITS = 3000, 600, 400
VIEWS = ("/mcp/full", "/mcp", "/mcp/search", "/mcp/admin")
USED, COMPRESSED = "/mcp, once tools were used", "/mcp/full, compressed"
CHANGED = "the configuration has changed"


class Missing(Exception):
    """Something cannot be measured; the text says why."""


@frozen
class Large:
    """A call whose result is large.

    :ivar what: as the table names it.
    """

    server: str
    tool: str
    arguments: Mapping[str, Any]
    what: str


def main() -> int:
    """Measure, print, and write the figures of the documentation if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tokens", description="Count tokens.")
    parser.add_argument("--docs", action="store_true", help=f"also write {PAGE.relative_to(ROOT)}")
    print(shown(write=parser.parse_args().docs))
    return 0


def shown(*, write: bool = False) -> str:
    """All tables as text, or why there are none."""
    try:
        return "\n".join(map(text, measured(write=write)))
    except Missing as why:
        return f"Tokens were not counted: {why}"


def measured(*, write: bool = False) -> list[Table]:
    """All tables.

    :raise Missing: a server is not there.
    """
    with tempfile.TemporaryDirectory(prefix="tokens-") as folder:
        place = Path(folder)
        data = prepared(place / "data")
        with Gateway(place, servers(data), environ={"NO_COLOR": "1"}) as gateway:
            tables = asyncio.run(tables_of(gateway, data))
    if write:
        PAGE.write_text("\n".join(map(rst, tables)), encoding="utf-8")
    return tables


# What is measured


def servers(data: Path) -> dict[str, Any]:
    """Twelve servers; none needs a network or anybody's account to say what it can do."""
    npm = npm_packages(CACHE / "tokens", NPM)
    if isinstance(npm, str):
        raise Missing(npm)
    modules = npm / "node_modules"
    sqlite = pypi_program("mcp-server-sqlite")
    none = {
        "NOTION_TOKEN": "none",
        "GITLAB_PERSONAL_ACCESS_TOKEN": "none",
        "GITHUB_PERSONAL_ACCESS_TOKEN": "none",
    }
    return {
        "chrome": node(modules / "chrome-devtools-mcp/build/src/bin/chrome-devtools-mcp.js"),
        "everything": server(everything()),
        "filesystem": server(filesystem(str(data), str(ROOT))),
        "git": server(git(str(data / "repository"))),
        "github": node(modules / "@modelcontextprotocol/server-github/dist/index.js", none),
        "gitlab": node(modules / "@zereight/mcp-gitlab/build/index.js", none),
        "memory": server(memory(), env={"MEMORY_FILE_PATH": str(data / "memory.jsonl")}),
        "notion": node(modules / "@notionhq/notion-mcp-server/bin/cli.mjs", none),
        "playwright": node(modules / "@playwright/mcp/cli.js"),
        "sqlite": server([str(sqlite), "--db-path", str(data / "orders.db")]),
        "thinking": server(sequential_thinking()),
        "time": server(time()),
    }


def node(script: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A server that is a script."""
    return server(["node", str(script)], env=dict(environ or {}), share="global")


def pypi_program(name: str) -> Path:
    """A program of PyPI, in an environment of its own."""
    place = CACHE / "tokens-pypi"
    program = place / "bin" / name
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        wanted = [f"{each}=={version}" for each, version in PYPI.items()]
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted]
        try:
            subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_LIMIT_S)
        except subprocess.SubprocessError as why:
            raise Missing(
                f"pip could not install {name}: {getattr(why, 'stderr', b'') or why!r}"[:400]
            ) from None
    return program


def prepared(data: Path) -> Path:
    """The data that the servers look at: a repository, a data base, a graph, and a log."""
    data.mkdir()
    subprocess.run(
        ["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(data / "repository")], check=True
    )
    with closing(sqlite3.connect(data / "orders.db")) as orders, orders:
        orders.execute("CREATE TABLE orders (id INTEGER, customer TEXT, city TEXT, total REAL, note TEXT)")
        orders.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?)",
            [
                (nth, f"customer {nth % 97}", CITIES[nth % 5], nth * 1.25, NOTE * (nth % 7))
                for nth in range(ROWS)
            ],
        )
    entities = [
        {
            "type": "entity",
            "name": f"part {nth}",
            "entityType": "part",
            "observations": [NOTE, f"weighs {nth} g"],
        }
        for nth in range(ENTITIES)
    ]
    (data / "memory.jsonl").write_text("\n".join(map(json.dumps, entities)))
    shutil.copy(ROOT / "tests/servers/npm/package-lock.json", data / "package-lock.json")
    lines = (
        f"2026-03-01T{nth // 3600 % 24:02}:{nth // 60 % 60:02}:{nth % 60:02} {NOTE} {nth}"
        for nth in range(6000)
    )
    (data / "server.log").write_text("\n".join(lines))
    return data


CITIES = ("Aachen", "Bonn", "Köln", "Dresden", "Erfurt")
NOTE = "please ring twice and leave it with the neighbours"


def calls(data: Path) -> tuple[Large, ...]:
    """The calls whose results are measured."""
    tree = str(ROOT / "mcpgateway")
    return (
        Large("filesystem", "directory_tree", {"path": tree}, "a tree of directories"),
        Large("filesystem", "read_text_file", {"path": str(data / "server.log")}, "a log of 6000 lines"),
        Large("filesystem", "read_text_file", {"path": str(data / "package-lock.json")}, "a lock file"),
        Large("git", "git_log", {"repo_path": str(data / "repository"), "max_count": COMMITS}, "400 commits"),
        Large("git", "git_show", {"repo_path": str(data / "repository"), "revision": "HEAD"}, "one commit"),
        Large("sqlite", "read_query", {"query": "SELECT * FROM orders"}, "3000 rows"),
        Large("memory", "read_graph", {}, "a graph of 600 entities"),
        Large("everything", "get-tiny-image", {}, "an image"),
        Large("time", "get_current_time", {"timezone": "UTC"}, "the time"),
    )


# How it is measured


async def tables_of(gateway: Gateway, data: Path) -> list[Table]:
    """Both tables."""
    alone = {name: await listed(gateway, f"/{name}/mcp") for name in gateway_names(gateway)}
    views = {path: await listed(gateway, path) for path in VIEWS}
    results = [await row(gateway, each) for each in calls(data)]
    views[USED] = await listed(gateway, "/mcp")
    views[COMPRESSED] = await listed_compressed(gateway)
    note = await finding(gateway)
    return [
        Table(
            f"What lists cost: {sum(map(len, alone.values()))} tools of {len(alone)} servers",
            ("told by", "tools", "tokens", "of all servers' own"),
            lists(alone, views),
            note,
        ),
        Table(
            "What large results cost",
            (
                "result",
                "tokens whole",
                *(f"at {each}" for each in LEVELS),
                "read whole in pages",
                "same again",
            ),
            results,
            "The last columns are of the lean form: all of its pages, and whether they were what the server had said.",
        ),
    ]


def gateway_names(gateway: Gateway) -> list[str]:
    """The servers."""
    return [each["name"] for each in gateway.health()["backends"]]


async def opened(gateway: Gateway, path: str) -> Client:
    """A session of any endpoint."""
    client = Client(gateway.url, path)
    params = {
        "protocolVersion": REVISION,
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    answer = await client.post(message(0, "initialize", params))
    if "mcp-session-id" not in answer.headers:
        raise Missing(f"{path} cannot be used: {answer.body.decode()}")
    client.id = answer.headers["mcp-session-id"]
    await client.post(message(None, "notifications/initialized"))
    return client


async def listed(gateway: Gateway, path: str) -> list[Any]:
    """The tools that an endpoint lists, all pages of them."""
    client = await opened(gateway, path)
    tools: list[Any] = []
    params: dict[str, Any] = {}
    while True:
        result = json.loads(result_of(await client.post(message(1, "tools/list", params))))
        if KEY in result.get("_meta", {}):
            await asyncio.sleep(PAUSE_S)  # some server has not said yet what it has
            continue
        tools += result["tools"]
        if not result.get("nextCursor"):
            # What is listed first stays so for as long as somebody has been listed it.
            await client.ask("DELETE")
            client.close()
            return tools
        params = {"cursor": result["nextCursor"]}


def cost(tools: Iterable[Any]) -> int:
    """The cost of tools for a model, in tokens."""
    return estimate(json.dumps(list(tools), ensure_ascii=False, separators=(",", ":")))


async def listed_compressed(gateway: Gateway) -> list[Any]:
    """The list of the full view where descriptions are compressed."""
    before = gateway.log.count(CHANGED)
    config = json.loads(gateway.config.read_text())
    gateway.config.write_text(json.dumps(config | {"gateway": {"compress_schemas": True}}))
    await asyncio.to_thread(eventually, lambda: gateway.log.count(CHANGED) > before, "the edit is read")
    return await listed(gateway, "/mcp/full")


def lists(alone: Mapping[str, list[Any]], views: Mapping[str, list[Any]]) -> list[tuple[str, ...]]:
    """The rows of the first table."""
    total = sum(cost(each) for each in alone.values())
    rows = [(name, str(len(each)), f"{cost(each)}", "") for name, each in alone.items()]
    rows.append(("all of them", str(sum(map(len, alone.values()))), f"{total}", "100 %"))
    shown = [
        (path, views[path]) for path in ("/mcp/full", COMPRESSED, "/mcp/search", "/mcp", USED, "/mcp/admin")
    ]
    rows += [(name, str(len(each)), f"{cost(each)}", f"{cost(each) / total:.1%}") for name, each in shown]
    return rows


async def finding(gateway: Gateway) -> str:
    """The cost of finding a tool and reading how it is called."""
    client = await opened(gateway, "/mcp/search")
    found = await client.text("gateway_search", query="create a merge request")
    first = json.loads(found)["results"][0]["id"]
    described = await client.text("gateway_describe", id=first)
    client.close()
    return (
        f"Searching for “create a merge request” is answered with {estimate(found)} tokens, and the description of the"
        f" first tool that is found (``{first}``) with {estimate(described)}."
    )


async def row(gateway: Gateway, large: Large) -> tuple[str, ...]:
    """A line of the second table."""
    original = await answer(gateway, f"/{large.server}/mcp", large.tool, large.arguments)
    name = f"{large.server} ``{large.tool}``: {large.what}"
    client = await opened(gateway, "/mcp/full")
    shown = {}
    for level in LEVELS:
        given = {"id": f"{large.server}__{large.tool}", "args": large.arguments, "shield": level}
        shown[level] = result_of(await client.post(tool_call(2, "gateway_invoke", given)))
    pages: list[str] = []

    async def ask(arguments: dict[str, Any]) -> str:
        said = text_of(await client.call("gateway_get_result", arguments))
        pages.append(said)
        return said

    ref = ref_of(shown[LEVELS[-1]])
    is_same = (await joined(ask, ref)) == whole(original) if ref else shown[LEVELS[-1]] == original
    client.close()
    sizes = [str(estimate(shown[each])) for each in LEVELS]
    read = str(sum(map(estimate, pages))) if pages else "-"
    word = "yes" if is_same else "never cut" if not ref else "NO"
    return (name, str(estimate(original)), *sizes, read, word if ref or not is_same else "nothing cut")


async def answer(gateway: Gateway, path: str, tool: str, arguments: Mapping[str, Any]) -> bytes:
    """The result of a call, as it was written."""
    client = await opened(gateway, path)
    found = result_of(await client.post(tool_call(1, tool, arguments)))
    client.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
