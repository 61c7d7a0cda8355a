"""Real servers that were written for one client, shared by several of both eras."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support import real_servers
from tests.support.gateway import IS_SOAK, Gateway, server

pytestmark = pytest.mark.functional

CLIENTS = 8 if IS_SOAK else 4
WRITES = 4
LIMIT_S = 120
MODES = ("legacy", "auto")
PREFIX = "io.modelcontextprotocol/"

NOTEPAD = """
import os, sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("a notepad that nobody knows")
kept = {}


@server.tool()
def set_working_dir(path: str) -> str:
    "Work there from now on."
    kept["path"] = path
    return path


@server.tool()
def where() -> str:
    "Where it works."
    return f"{kept.get('path')} {os.getpid()}"


server.run("stdio")
"""


JOTTER = """
import json, os
from mcp.server.mcpserver import MCPServer

server = MCPServer("a jotter that reads its file when it starts")
path = os.environ["NOTES"]
notes = json.load(open(path)) if os.path.exists(path) else []


@server.tool()
def jot(text: str) -> str:
    "Jot a note down."
    notes.append(text)
    with open(path, "w") as file:
        json.dump(notes, file)
    return "done"


server.run("stdio")
"""


async def _declines(*_: Any) -> Any:
    raise NotImplementedError


KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"elicitation_callback": _declines},
    {"sampling_callback": _declines},
    {"list_roots_callback": _declines},
)
"""What clients can be asked."""


def stranger(directory: Path) -> list[str]:
    """The knowledge graph of npm under a name and at a place that say nothing of it."""
    program = Path(real_servers.memory()[0]).resolve()
    copy = directory / "notes-of-mine.mjs"
    copy.write_text(program.read_text().replace("memory-server", "something of mine"))
    (directory / "node_modules").symlink_to(real_servers.NPM_BIN.parent)
    return ["node", str(copy)]


@pytest.fixture(scope="module")
def gateway(disk: Path) -> Iterator[Gateway]:
    """A fresh gateway that knows nothing of its servers but what ships with it; all are shared as it finds."""
    home = disk
    repository = home / "repository"
    repository.mkdir()
    for words in ("init -q", "-c user.name=t -c user.email=t@example.org commit -q --allow-empty -m first"):
        subprocess.run(["git", *words.split()], cwd=repository, check=True)
    (home / "note.txt").write_text("start\n")
    (home / "notepad.py").write_text(NOTEPAD)
    (home / "jotter.py").write_text(JOTTER)
    servers = {
        "memory": server(real_servers.memory(), env={"MEMORY_FILE_PATH": str(home / "memory.jsonl")}),
        "stranger": server(stranger(home), env={"MEMORY_FILE_PATH": str(home / "stranger.jsonl")}),
        "filesystem": server(real_servers.filesystem(str(home))),
        "git": server(real_servers.git(str(repository))),
        "thinker": server(_node(real_servers.sequential_thinking())),
        "notepad": server([sys.executable, str(home / "notepad.py")]),
        "jotter": server([sys.executable, str(home / "jotter.py")], env={"NOTES": str(home / "notes.json")}),
    }
    with Gateway(home, servers, environ={"PATH": os.environ["PATH"]}) as running:
        yield running


def _node(argv: list[str]) -> list[str]:
    return ["node", str(Path(argv[0]).resolve()), *argv[1:]]


def together(url: str, use: Callable[[Client, int], Awaitable[Any]]) -> None:
    """Have several clients use one server at once, half of them of each era; they can be asked different things."""

    async def one(number: int) -> Any:
        async with Client(
            url, mode=MODES[number % 2], **KINDS[(number // 2 + number) % len(KINDS)]
        ) as client:
            return await use(client, number)

    async def all_of_them() -> list[Any]:
        async with asyncio.timeout(LIMIT_S):
            return await asyncio.gather(*(one(number) for number in range(CLIENTS)))

    asyncio.run(all_of_them())


class WriterTests:
    """No client's change is lost to another's."""

    @pytest.mark.parametrize("writes", [WRITES, pytest.param(20, marks=pytest.mark.soak)])
    @pytest.mark.parametrize(
        ("path", "tool"),
        [("/{}/mcp", "create_entities"), ("/mcp", "{}__create_entities")],
        ids=["own", "view"],
    )
    @pytest.mark.parametrize("name", ["memory", "stranger"])
    def test_graph(self, gateway: Gateway, name: str, path: str, tool: str, writes: int) -> None:
        """A graph in one file keeps what all have written, whether the server is known or not, on every door."""
        mark = f"{path.count('{')}-{writes}"

        async def write(client: Client, number: int) -> None:
            for each in range(writes):
                entity = {"name": f"{mark}-{number}-{each}", "entityType": "t", "observations": []}
                result = await client.call_tool(tool.format(name), {"entities": [entity]})
                assert not result.is_error, result

        together(f"{gateway.url}{path.format(name)}", write)
        lines = (gateway.directory / f"{name}.jsonl").read_text().splitlines()
        names = {json.loads(each)["name"] for each in lines}
        assert sum(each.startswith(f"{mark}-") for each in names) == CLIENTS * writes

    def test_notes(self, gateway: Gateway) -> None:
        """A file that its server reads only when it starts keeps what all have written, too."""

        async def write(client: Client, number: int) -> None:
            for each in range(2):
                result = await client.call_tool("jot", {"text": f"{number}-{each}"})
                assert not result.is_error, result

        together(f"{gateway.url}/jotter/mcp", write)
        assert len(json.loads((gateway.directory / "notes.json").read_text())) == CLIENTS * 2

    @pytest.mark.parametrize("writes", [WRITES, pytest.param(6, marks=pytest.mark.soak)])
    def test_file(self, gateway: Gateway, writes: int) -> None:
        """A file that several edit holds all edits."""
        note = gateway.directory / "note.txt"
        note.write_text("start\n")

        async def edit(client: Client, number: int) -> None:
            for each in range(writes):
                change = {"oldText": "start\n", "newText": f"start\n{number}-{each}\n"}
                result = await client.call_tool("edit_file", {"path": str(note), "edits": [change]})
                assert not result.is_error, result

        together(f"{gateway.url}/filesystem/mcp", edit)
        assert len(note.read_text().splitlines()) == 1 + CLIENTS * writes

    def test_index(self, gateway: Gateway) -> None:
        """The index of a repository holds what all have added."""
        repository = gateway.directory / "repository"
        for number in range(CLIENTS):
            for each in range(2):
                (repository / f"{number}-{each}").write_text("x")

        async def add(client: Client, number: int) -> None:
            for each in range(2):
                said = {"repo_path": str(repository), "files": [f"{number}-{each}"]}
                result = await client.call_tool("git_add", said)
                assert not result.is_error, result

        together(f"{gateway.url}/git/mcp", add)
        words = ["git", "-C", str(repository), "diff", "--cached", "--name-only"]
        staged = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert len(staged) == CLIENTS * 2

    def test_one_process(self, gateway: Gateway) -> None:
        """All of that was done by one process of each server, and why says what was seen."""
        for name in ("memory", "stranger", "filesystem", "git"):
            told = _get(f"{gateway.url}/api/v1/servers/{name}/why")
            assert told["concurrency"]["limit"] == "writes"
            assert told["concurrency"]["reason"]
            assert told["share"] == ("roots" if name == "filesystem" else "global")
            assert len(told["pids"]) <= 1


class StateTests:
    """The state of one client never meets another."""

    def test_working_directory(self, gateway: Gateway) -> None:
        """A server that nobody knows, whose tools say that it keeps state: its first two clients are apart."""

        async def two() -> list[str]:
            async with (
                Client(f"{gateway.url}/notepad/mcp", mode="legacy") as first,
                Client(f"{gateway.url}/notepad/mcp", mode="legacy") as second,
            ):
                await first.call_tool("set_working_dir", {"path": "/first"})
                await second.call_tool("set_working_dir", {"path": "/second"})
                found = [await each.call_tool("where", {}) for each in (first, second)]
                return [str(each.content[0].text) for each in found]

        first, second = asyncio.run(two())
        assert first.startswith("/first ")
        assert second.startswith("/second ")
        told = _get(f"{gateway.url}/api/v1/servers/notepad/why")
        assert told["share"] == "session"
        assert "set_working_dir" in told["share_reason"]
        assert any("servers set notepad share=global" in each["do"] for each in told["advice"])

    def test_modern(self, gateway: Gateway) -> None:
        """Modern clients are told apart by their processes."""
        processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
        try:
            for each in processes:
                _call(gateway, "notepad", each.pid, "set_working_dir", path=f"/of/{each.pid}")
            for each in processes:
                assert _call(gateway, "notepad", each.pid, "where").startswith(f"/of/{each.pid} ")
        finally:
            for each in processes:
                each.kill()
                each.wait()

    def test_thoughts(self, gateway: Gateway) -> None:
        """A server that is started by its path is known as well as by its package."""

        async def count(client: Client, number: int) -> None:
            for each in range(1, 3):
                said = {"thought": "x", "nextThoughtNeeded": True, "thoughtNumber": each, "totalThoughts": 2}
                result = await client.call_tool("sequentialthinking", said)
            assert json.loads(result.content[0].text)["thoughtHistoryLength"] == 2

        async def two() -> None:
            async with (
                Client(f"{gateway.url}/thinker/mcp", mode="legacy") as first,
                Client(f"{gateway.url}/thinker/mcp", mode="legacy") as second,
            ):
                await asyncio.gather(count(first, 1), count(second, 2))

        asyncio.run(two())


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return json.loads(answer.read())


def _call(gateway: Gateway, name: str, pid: int, tool: str, **arguments: Any) -> str:
    meta = {
        PREFIX + "protocolVersion": "2026-07-28",
        PREFIX + "clientCapabilities": {},
        PREFIX + "clientInfo": {"name": "c", "version": "1"},
    }
    body = {"name": tool, "arguments": arguments, "_meta": meta}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        "X-Client-Pid": str(pid),
    }
    said = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}).encode()
    request = urllib.request.Request(f"{gateway.url}/{name}/mcp", said, headers)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        text = answer.read().decode()
    lines = [each[6:] for each in text.splitlines() if each.startswith("data: {")] or [text]
    return str(json.loads(lines[-1])["result"]["content"][0]["text"])
