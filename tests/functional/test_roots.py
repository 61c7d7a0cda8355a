"""A real server that works in the roots of its client: sessions of several projects, and the files they see."""

from __future__ import annotations

import asyncio
import json
import os
import random
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, types

from mcpgateway.protocol.versions import LATEST_MODERN
from tests.support import real_servers
from tests.support.gateway import IS_SOAK, Gateway, server

pytestmark = pytest.mark.functional

PROJECTS = ("shop", "blog", "wiki")
SESSIONS = 12 if IS_SOAK else 6
ROUNDS = 60 if IS_SOAK else 8
LIMIT_S = 240


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two servers that ask for roots, one known by its package and one that is not known."""
    home = tmp_path_factory.mktemp("roots")
    for each in (*PROJECTS, "configured"):
        (home / each).mkdir()
        (home / each / "note.txt").write_text(f"of {each}")
    servers = {
        "filesystem": server(real_servers.filesystem(str(home / "configured"))),
        "everything": server(real_servers.everything()),
    }
    with Gateway(home, servers, environ={"PATH": os.environ["PATH"]}) as running:
        yield running


class Window:
    """A client that is open in one project, and may be opened in another.

    :ivar path: the directory of its project.
    """

    def __init__(self, home: Path, project: str) -> None:
        self.home = home
        self.path = home / project

    async def roots(self, _: Any) -> types.ListRootsResult:
        """Tell the roots."""
        return types.ListRootsResult(roots=[types.Root(uri=self.path.as_uri())])  # type: ignore[arg-type]

    @asynccontextmanager
    async def at(self, url: str, mode: str = "legacy") -> AsyncIterator[Client]:
        """Begin a session, or requests of the modern era."""
        async with Client(url, mode=mode, list_roots_callback=self.roots) as client:  # type: ignore[arg-type]
            yield client

    async def move(self, client: Client, project: str) -> None:
        """Open another project."""
        self.path = self.home / project
        await client.send_roots_list_changed()


async def read(client: Client, path: Path) -> str:
    """Read a file; return its content, or the refusal."""
    result = await client.call_tool("read_text_file", {"path": str(path)})
    return str(result.content[0].text)  # type: ignore[union-attr]


async def sees_its_own(client: Client, window: Window) -> None:
    """Check that a session reads the file of its project, and no other's."""
    assert await read(client, window.path / "note.txt") == f"of {window.path.name}"
    for other in {*PROJECTS, "configured"} - {window.path.name}:
        refused = await read(client, window.home / other / "note.txt")
        assert "outside allowed directories" in refused, (window.path.name, refused)


def why(gateway: Gateway, name: str) -> Any:
    """Return the explanation of a server."""
    with urllib.request.urlopen(f"{gateway.url}/api/v1/servers/{name}/why") as answer:
        return json.load(answer)


class ProjectTests:
    """Sessions in several projects at once."""

    def test_projects(self, gateway: Gateway) -> None:
        """Sessions in three projects have three processes, however many they are, and each sees its own files only."""
        url = f"{gateway.url}/filesystem/mcp"

        async def one(number: int, arrived: asyncio.Barrier) -> None:
            window = Window(gateway.directory, PROJECTS[number % len(PROJECTS)])
            async with window.at(url) as client:
                await sees_its_own(client, window)
                await arrived.wait()
                assert len(why(gateway, "filesystem")["pids"]) == len(PROJECTS)
                await arrived.wait()

        async def all_of_them() -> None:
            async with asyncio.timeout(LIMIT_S):
                arrived = asyncio.Barrier(SESSIONS)
                await asyncio.gather(*(one(number, arrived) for number in range(SESSIONS)))

        asyncio.run(all_of_them())
        told = why(gateway, "filesystem")
        assert (told["share"], told["asked"]) == ("roots", ["roots/list"])

    def test_no_roots(self, gateway: Gateway) -> None:
        """Sessions that declare no roots work in the configured directories, beside those that do."""

        async def both() -> None:
            window = Window(gateway.directory, "shop")
            url = f"{gateway.url}/filesystem/mcp"
            async with Client(url, mode="legacy") as plain, window.at(url) as client:
                assert await read(plain, gateway.directory / "configured" / "note.txt") == "of configured"
                assert "outside allowed" in await read(plain, gateway.directory / "shop" / "note.txt")
                await sees_its_own(client, window)

        asyncio.run(asyncio.wait_for(both(), LIMIT_S))

    def test_view(self, gateway: Gateway) -> None:
        """The endpoint for all servers knows the roots of its sessions, too."""

        async def one(project: str) -> str:
            window = Window(gateway.directory, project)
            async with window.at(f"{gateway.url}/mcp") as client:
                said = {"path": str(window.path / "note.txt")}
                result = await client.call_tool("filesystem__read_text_file", said)
                return str(result.content[0].text)  # type: ignore[union-attr]

        async def all_of_them() -> list[str]:
            async with asyncio.timeout(LIMIT_S):
                return list(await asyncio.gather(*(one(each) for each in PROJECTS)))

        assert asyncio.run(all_of_them()) == [f"of {each}" for each in PROJECTS]

    def test_learned(self, gateway: Gateway) -> None:
        """A server that is not known is shared by roots when it has asked for them, and tells each session its own."""

        async def roots_of(project: str) -> str:
            window = Window(gateway.directory, project)
            async with window.at(f"{gateway.url}/everything/mcp") as client:
                result = await client.call_tool("get-roots-list", {})
                return str(result.content[0].text)  # type: ignore[union-attr]

        async def all_of_them() -> list[str]:
            async with asyncio.timeout(LIMIT_S):
                await roots_of(PROJECTS[0])
                return list(await asyncio.gather(*(roots_of(each) for each in PROJECTS * 2)))

        found = asyncio.run(all_of_them())
        assert why(gateway, "everything")["share"] == "roots"
        for told, own in zip(found, PROJECTS * 2, strict=True):
            assert [each for each in PROJECTS if f"/{each}" in told] == [own]


class ModernTests:
    """Clients without sessions, who are asked for their roots with each call."""

    def test_projects(self, gateway: Gateway) -> None:
        """They share the children of legacy clients with the same roots, and see what these see."""
        url = f"{gateway.url}/filesystem/mcp"

        async def one(number: int, arrived: asyncio.Barrier) -> None:
            window = Window(gateway.directory, PROJECTS[number % len(PROJECTS)])
            mode = "legacy" if number >= len(PROJECTS) else LATEST_MODERN
            async with window.at(url, mode) as client:
                await sees_its_own(client, window)
                await arrived.wait()
                window.path = gateway.directory / PROJECTS[(number + 1) % len(PROJECTS)]
                if mode == "legacy":
                    await client.send_roots_list_changed()
                await sees_its_own(client, window)

        async def all_of_them() -> None:
            async with asyncio.timeout(LIMIT_S):
                arrived = asyncio.Barrier(SESSIONS)
                await asyncio.gather(*(one(number, arrived) for number in range(SESSIONS)))

        asyncio.run(all_of_them())
        assert len(why(gateway, "filesystem")["pids"]) <= len(PROJECTS) + 1  # one for those without roots

    def test_other_requests(self, gateway: Gateway) -> None:
        """Lists, which cannot be answered by a question, and the endpoint for all servers work as well."""

        async def one() -> str:
            window = Window(gateway.directory, "blog")
            async with window.at(f"{gateway.url}/filesystem/mcp", LATEST_MODERN) as client:
                assert "read_text_file" in {each.name for each in (await client.list_tools()).tools}
            async with window.at(f"{gateway.url}/mcp", LATEST_MODERN) as client:
                said = {"path": str(window.path / "note.txt")}
                result = await client.call_tool("filesystem__read_text_file", said)
                return str(result.content[0].text)  # type: ignore[union-attr]

        assert asyncio.run(asyncio.wait_for(one(), LIMIT_S)) == "of blog"

    def test_one_that_asks_more(self, gateway: Gateway) -> None:
        """A server that asks for other things, too, knows the roots of each call's client."""

        async def sampled(*_: Any) -> types.CreateMessageResult:
            content = types.TextContent(type="text", text="a model")
            return types.CreateMessageResult(role="assistant", content=content, model="m")

        async def told(project: str) -> str:
            window = Window(gateway.directory, project)
            url = f"{gateway.url}/everything/mcp"
            async with Client(
                url, mode=LATEST_MODERN, list_roots_callback=window.roots, sampling_callback=sampled
            ) as client:
                result = await client.call_tool("trigger-sampling-request", {"prompt": "x"})
                assert "a model" in str(result.content[0].text)  # type: ignore[union-attr]
                found = ""
                while not any(
                    f"/{each}" in found for each in PROJECTS
                ):  # a slow server asks only after its first call
                    result = await client.call_tool("get-roots-list", {})
                    found = str(result.content[0].text)  # type: ignore[union-attr]
                return found

        async def all_of_them() -> list[str]:
            async with asyncio.timeout(LIMIT_S):
                return [await told(each) for each in PROJECTS]

        for found, own in zip(asyncio.run(all_of_them()), PROJECTS, strict=True):
            assert [each for each in PROJECTS if f"/{each}" in found] == [own]


class MovingTests:
    """Sessions whose roots change."""

    def test_it_moves(self, gateway: Gateway) -> None:
        """A window that is opened in another project sees that one's files at once, and the former one's no more."""

        async def one() -> None:
            window = Window(gateway.directory, "shop")
            async with window.at(f"{gateway.url}/filesystem/mcp") as client:
                for project in ("blog", "wiki", "shop"):
                    await sees_its_own(client, window)
                    await window.move(client, project)
                await sees_its_own(client, window)

        asyncio.run(asyncio.wait_for(one(), LIMIT_S))

    def test_storm(self, gateway: Gateway) -> None:
        """Windows that read and move all the time never see a file of a project that they are not in."""
        url = f"{gateway.url}/filesystem/mcp"

        async def one(number: int) -> None:
            dice = random.Random(number)
            window = Window(gateway.directory, dice.choice(PROJECTS))
            async with window.at(url) as client:
                for _ in range(ROUNDS):
                    if dice.random() < 0.4:
                        await window.move(client, dice.choice(PROJECTS))
                    await sees_its_own(client, window)

        async def all_of_them() -> None:
            async with asyncio.timeout(LIMIT_S):
                await asyncio.gather(*(one(number) for number in range(SESSIONS)))

        asyncio.run(all_of_them())
        assert len(why(gateway, "filesystem")["pids"]) <= len(PROJECTS) + 1  # one for those without roots

    def test_restart(self, gateway: Gateway) -> None:
        """A session that goes on after a restart of the gateway is asked for its roots again."""

        async def one() -> None:
            window = Window(gateway.directory, "blog")
            async with window.at(f"{gateway.url}/filesystem/mcp") as client:
                await sees_its_own(client, window)
                await asyncio.to_thread(gateway.stop)
                await asyncio.to_thread(gateway.start)
                await sees_its_own(client, window)

        asyncio.run(asyncio.wait_for(one(), LIMIT_S))
