"""Real servers that are answered for while they do not run, seen in the process table."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client as SdkClient

from tests.support import real_servers
from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import LIMIT_S, Client, Connection, message, request, text_of
from tests.support.modern_client import headers_of
from tests.support.modern_client import request as modern_request
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

CROWD = 100
CHANGING = """
import os, sys
count = open(sys.argv[1]).read().strip()
os.execv(sys.executable, [sys.executable, "-I", "-S", *sys.argv[2:], "--filler-tools", count])
"""


def run(use: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run clients, for so long at most."""

    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await use()

    return asyncio.run(limited())


async def listed(client: Client, method: str = "tools/list") -> Any:
    """A list that a client is given."""
    return (await client.post(message(1, method))).messages[-1]["result"]


def seen(gateway: Gateway, name: str, *lists: str) -> list[Any]:
    """The answers that a client that comes now gets of a server, without a call."""

    async def work() -> list[Any]:
        client = await Client.open(gateway.url, name)
        found = [client.hello, *[await listed(client, each) for each in ("tools/list", *lists)]]
        client.close()
        return found

    found: list[Any] = run(work)
    return found


async def settled(gateway: Gateway, name: str) -> None:
    """Wait until a server has said that its tools have changed, which some do a while after each start."""
    client = await Client.open(gateway.url, name)
    async with listening(client) as events:
        assert (await anext(events))["method"] == "notifications/tools/list_changed"
    client.close()


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[AsyncIterator[Any]]:
    """The messages that a client hears outside of its calls."""
    connection = await Connection.open(client.address)
    try:
        await connection.send(request("GET", client.path, headers=client.headers))
        assert await connection.head() == 200
        async with aclosing(connection.events()) as events:
            yield events
    finally:
        connection.close()


def restart(gateway: Gateway) -> None:
    """End a gateway in order, with all its children, and start it again."""
    gateway.stop()
    gateway.start()
    assert gateway.children() == []


class RestartTests:
    """After a gateway was started again."""

    def test_real_servers(self, tmp_path: Path) -> None:
        """Servers of npm and PyPI are introduced and listed as they were, with no process; a call starts one."""
        servers = {
            "everything": server(real_servers.everything(), env_policy="full"),
            "time": server(real_servers.time(), env_policy="full"),
            "sequential-thinking": server(real_servers.sequential_thinking(), env_policy="full"),
        }
        lists = {"everything": ("prompts/list", "resources/list", "resources/templates/list")}
        with Gateway(tmp_path, servers) as gateway:
            run(lambda: settled(gateway, "everything"))
            before = {name: seen(gateway, name, *lists.get(name, ())) for name in servers}
            assert len(gateway.children()) >= 3
            restart(gateway)
            after = {name: seen(gateway, name, *lists.get(name, ())) for name in servers}
            assert after == before
            assert gateway.children() == []

            async def call() -> Any:
                client = await Client.open(gateway.url, "time")
                answer = await client.call("get_current_time", {"timezone": "UTC"})
                client.close()
                return answer

            assert "UTC" in text_of(run(call))
            assert gateway.backend("time")["starts"] == 1
            assert [gateway.backend(name)["starts"] for name in ("everything", "sequential-thinking")] == [
                0,
                0,
            ]

    @pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
    def test_the_official_client(self, tmp_path: Path, mode: Any) -> None:
        """The official client begins and lists without a process, in either era, and calls with one."""
        servers = {"dual": server(real_servers.dual_python(), env_policy="full")}

        async def use(*, calls: bool) -> tuple[list[str], Any]:
            async with SdkClient(f"{gateway.url}/dual/mcp", mode=mode) as client:
                tools = await client.list_tools()
                names = [each.name for each in tools.tools]
                return names, (await client.call_tool("echo", {"text": "x"})).is_error if calls else None

        with Gateway(tmp_path, servers) as gateway:
            names, _ = run(lambda: use(calls=False))
            restart(gateway)
            assert run(lambda: use(calls=False))[0] == names
            assert gateway.children() == []
            assert run(lambda: use(calls=True)) == (names, False)
            assert len(gateway.children()) == 1

    def test_after_a_kill(self, tmp_path: Path) -> None:
        """A snapshot of a while ago outlives a gateway that was killed."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            before = seen(gateway, "fix")
            file = gateway.home / "catalogs" / "fix.json"
            eventually(lambda: file.exists() and b"tools/list" in file.read_bytes(), "it is written")
            assert file.stat().st_mode & 0o777 == 0o600
            assert file.parent.stat().st_mode & 0o777 == 0o700
            gateway.kill()
            gateway.start()
            assert seen(gateway, "fix") == before
            assert gateway.children() == []

    def test_a_modern_server(self, tmp_path: Path) -> None:
        """Discovery and lists of a server of the modern era need no process."""
        with Gateway(tmp_path, {"m": server(fixture("--era", "modern"), protocol="modern")}) as gateway:

            def ask() -> list[Any]:
                async def work() -> list[Any]:
                    connection = await Connection.open(gateway.url)
                    found = []
                    for number, method in enumerate(("server/discover", "tools/list")):
                        body = modern_request(number, method)
                        said = {"Content-Type": "application/json", **headers_of(body)}
                        answer = await connection.ask("POST", "/m/mcp", json.dumps(body).encode(), said)
                        found.append(answer.messages[-1]["result"])
                    connection.close()
                    return found

                found: list[Any] = run(work)
                return found

            before = ask()
            restart(gateway)
            assert ask() == before
            assert gateway.children() == []

    def test_a_crowd(self, tmp_path: Path) -> None:
        """A hundred clients at once begin and list, and nothing is started, shared or not."""
        servers = {"fix": server(fixture()), "own": server(fixture(), share="session")}
        with Gateway(tmp_path, servers) as gateway:
            before = {name: seen(gateway, name) for name in servers}
            restart(gateway)

            async def one(name: str) -> list[Any]:
                client = await Client.open(gateway.url, name)
                found = [client.hello, await listed(client)]
                client.close()
                return found

            async def all_of_them(name: str) -> list[Any]:
                return await asyncio.gather(*(one(name) for _ in range(CROWD)))

            for name, expected in before.items():
                assert run(lambda name=name: all_of_them(name)) == [expected] * CROWD
            assert gateway.children() == []


class ChangeTests:
    """Servers that are others when they come back."""

    @pytest.mark.parametrize("share", ["global", "session"])
    def test_changed_tools(self, tmp_path: Path, share: str) -> None:
        """A client with the former tools is told once the server is there, and is then given the new ones."""
        count = tmp_path / "count"
        count.write_text("1")
        argv = [sys.executable, "-I", "-S", "-c", CHANGING, str(count), str(real_servers.FIXTURE)]
        with Gateway(tmp_path, {"fix": server(argv, share=share)}) as gateway:
            (_, former) = seen(gateway, "fix")
            restart(gateway)
            count.write_text("2")

            async def work() -> tuple[Any, Any]:
                client = await Client.open(gateway.url, "fix")
                given = await listed(client)
                assert gateway.children() == []
                async with listening(client) as events:
                    assert await client.text("echo", text="x") == "x"
                    assert (await anext(events))["method"] == "notifications/tools/list_changed"
                after = await listed(client)
                client.close()
                return given, after

            given, after = run(work)
            assert given == former
            assert len(after["tools"]) == len(former["tools"]) + 1
            restart(gateway)
            assert seen(gateway, "fix")[1] == after
            assert gateway.children() == []


class FileTests:
    """Files that are not as they should be."""

    @pytest.mark.parametrize("content", [b"", b'{"format":1,"variants":', b"\0" * 4096, b'{"format":"one"}'])
    def test_a_damaged_file(self, tmp_path: Path, content: bytes) -> None:
        """A damaged file costs one start, and a line in the log."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            before = seen(gateway, "fix")
            gateway.stop()
            (gateway.home / "catalogs" / "fix.json").write_bytes(content)
            gateway.start()
            assert seen(gateway, "fix") == before
            assert len(gateway.children()) == 1
            assert "is ignored, and written anew" in gateway.log

    def test_a_newer_file(self, tmp_path: Path) -> None:
        """A file that a newer gateway has written is left alone."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            seen(gateway, "fix")
            gateway.stop()
            file = gateway.home / "catalogs" / "fix.json"
            file.write_bytes(b'{"format":99,"else":1}')
            gateway.start()
            seen(gateway, "fix")
            gateway.stop()
            assert file.read_bytes() == b'{"format":99,"else":1}'
            assert "was written by a newer mcpgateway (format 99)" in gateway.log

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_directory_that_cannot_be_written(self, tmp_path: Path) -> None:
        """A gateway that cannot write works as before."""
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            (gateway.home / "catalogs").mkdir(mode=0o500)
            assert seen(gateway, "fix")

    def test_something_else_in_the_place_of_the_directory(self, tmp_path: Path) -> None:
        """A file where the directory should be keeps nobody from being served; the log says once what is wrong."""
        (tmp_path / "home").mkdir(mode=0o700)
        (tmp_path / "home" / "catalogs").write_text("in the way")
        with Gateway(tmp_path, {"fix": server(fixture())}) as gateway:
            seen(gateway, "fix")
            seen(gateway, "fix")
            gateway.stop()
            assert gateway.log.count("what servers have answered cannot be kept") == 1
