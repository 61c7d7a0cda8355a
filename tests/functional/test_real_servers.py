"""Real MCP servers behind the gateway, driven by several real MCP clients at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.support import real_servers
from tests.support.gateway import Gateway, eventually, server

pytestmark = pytest.mark.functional

CLIENTS = 6
LIMIT_S = 120


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that serves all of them."""
    home = tmp_path_factory.mktemp("real")
    repository = home / "repository"
    repository.mkdir()
    for words in ("init -q", "-c user.name=t -c user.email=t@example.org commit -q --allow-empty -m first"):
        subprocess.run(["git", *words.split()], cwd=repository, check=True)
    (home / "note.txt").write_text("a note with an é\n")
    servers = {
        "everything": server(real_servers.everything(), env_policy="full"),
        "filesystem": server(real_servers.filesystem(str(home)), env_policy="full"),
        "memory": server(
            real_servers.memory(), env={"MEMORY_FILE_PATH": str(home / "memory.json")}, env_policy="full"
        ),
        "sequential-thinking": server(real_servers.sequential_thinking(), env_policy="full"),
        "time": server(real_servers.time(), env_policy="full"),
        "git": server(real_servers.git(str(repository)), env_policy="full"),
    }
    with Gateway(home, servers) as running:
        yield running


def together(
    gateway: Gateway, name: str, use: Callable[[Client, int], Awaitable[Any]], mode: Any = "auto"
) -> list[Any]:
    """The results of several clients of one server, all at once."""

    async def one(number: int) -> Any:
        async with Client(f"{gateway.url}/{name}/mcp", mode=mode) as client:
            return await use(client, number)

    async def all_of_them() -> list[Any]:
        async with asyncio.timeout(LIMIT_S):
            return await asyncio.gather(*(one(number) for number in range(CLIENTS)))

    return asyncio.run(all_of_them())


def direct(argv: list[str], use: Callable[[Client], Awaitable[Any]], mode: Any = "auto") -> Any:
    """The result of a client of the same server on a stdio of its own."""

    async def alone() -> Any:
        async with (
            asyncio.timeout(LIMIT_S),
            Client(StdioServerParameters(command=argv[0], args=argv[1:]), mode=mode) as client,
        ):
            return await use(client)

    return asyncio.run(alone())


def text(result: Any) -> str:
    """The text of a tool's result."""
    assert not result.is_error, result
    return str(result.content[0].text)


class EverythingTests:
    """The reference server, shared."""

    def test_the_same_as_alone(self, gateway: Gateway) -> None:
        """Through the gateway every client sees the very tools, resources and prompts of the server itself."""

        async def look(client: Client, number: int = 0) -> Any:
            tools = await client.list_tools()
            resources = await client.list_resources()
            prompts = await client.list_prompts()
            return [each.model_dump_json() for each in (*tools.tools, *resources.resources, *prompts.prompts)]

        alone = direct(real_servers.everything(), look)
        for seen in together(gateway, "everything", look, mode="legacy"):
            assert seen == alone
        assert len(gateway.backend("everything")["pids"]) == 1

    @pytest.mark.parametrize("mode", ["auto", "legacy"])
    def test_echo(self, gateway: Gateway, mode: str) -> None:
        """Each client hears its own echo; a client that probes the other era first falls back."""

        async def echo(client: Client, number: int) -> list[str]:
            return [text(await client.call_tool("echo", {"message": f"{number}-{k}"})) for k in range(20)]

        heard = together(gateway, "everything", echo, mode=mode)
        assert heard == [[f"Echo: {number}-{k}" for k in range(20)] for number in range(CLIENTS)]

    def test_progress(self, gateway: Gateway) -> None:
        """Long operations of several clients report to their own callers."""

        async def work(client: Client, number: int) -> list[float]:
            seen: list[float] = []

            async def heard(progress: float, total: float | None, message: str | None) -> None:
                seen.append(progress)
                assert total == number + 2

            arguments = {"duration": 1, "steps": number + 2}
            text(await client.call_tool("trigger-long-running-operation", arguments, progress_callback=heard))
            return seen

        for number, seen in enumerate(together(gateway, "everything", work, mode="legacy")):
            assert seen == sorted(seen)
            assert seen[-1] == number + 2


class TransparencyTests:
    """A server as a client sees it when it connects."""

    @pytest.mark.parametrize(
        ("name", "argv"),
        [
            ("everything", lambda _: real_servers.everything()),
            ("filesystem", real_servers.filesystem),
            ("memory", lambda _: real_servers.memory()),
            ("sequential-thinking", lambda _: real_servers.sequential_thinking()),
            ("time", lambda _: real_servers.time()),
            ("git", lambda home: real_servers.git(f"{home}/repository")),
        ],
        ids=["everything", "filesystem", "memory", "sequential-thinking", "time", "git"],
    )
    def test_every_server_presents_itself_as_alone(
        self, gateway: Gateway, name: str, argv: Callable[[str], list[str]]
    ) -> None:
        """Name, version, instructions and tools are the server's own, byte for byte, for every client."""

        async def look(client: Client, number: int = 0) -> Any:
            tools = (await client.list_tools()).tools
            assert client.server_info is not None
            said = (client.protocol_version, client.server_info.model_dump_json(), client.instructions)
            return said, [each.model_dump_json() for each in tools]

        async def alone(client: Client) -> Any:
            return await look(client)

        expected = direct(argv(str(gateway.directory)), alone, mode="legacy")
        assert expected[1]
        for seen in together(gateway, name, look, mode="legacy"):
            assert seen == expected


class OtherServerTests:
    """The other servers people run."""

    def test_filesystem(self, gateway: Gateway) -> None:
        """Files are read and written through one shared process."""

        async def use(client: Client, number: int) -> str:
            path = str(gateway.directory / f"written-{number}.txt")
            await client.call_tool("write_file", {"path": path, "content": f"by {number} \U0001f600"})
            own = text(await client.call_tool("read_text_file", {"path": path}))
            note = text(
                await client.call_tool("read_text_file", {"path": str(gateway.directory / "note.txt")})
            )
            assert note == "a note with an é\n"
            return own

        assert together(gateway, "filesystem", use) == [
            f"by {number} \U0001f600" for number in range(CLIENTS)
        ]

    def test_memory(self, gateway: Gateway) -> None:
        """Clients of a shared memory see what the others remember."""

        async def remember(client: Client, number: int) -> None:
            entity = {"name": f"e{number}", "entityType": "thing", "observations": [f"seen by {number}"]}
            text(await client.call_tool("create_entities", {"entities": [entity]}))

        async def recall(client: Client, number: int) -> set[str]:
            graph = json.loads(text(await client.call_tool("read_graph", {})))
            return {entity["name"] for entity in graph["entities"]}

        one_by_one = [together(gateway, "memory", remember), together(gateway, "memory", recall)]
        for names in one_by_one[1]:
            assert names
            assert names <= {f"e{number}" for number in range(CLIENTS)}
        assert len(gateway.backend("memory")["pids"]) == 1

    def test_sequential_thinking(self, gateway: Gateway) -> None:
        """A server known to keep state counts each client's thoughts apart, in a process of its own."""
        everybody = asyncio.Barrier(CLIENTS)
        counted: list[int] = []

        async def think(client: Client, number: int) -> int:
            for thought in range(1, number + 2):
                said = await client.call_tool(
                    "sequentialthinking",
                    {"thought": "t", "thoughtNumber": thought, "totalThoughts": 9, "nextThoughtNeeded": True},
                )
            await everybody.wait()
            counted.append(len(gateway.backend("sequential-thinking")["pids"]))
            await everybody.wait()
            return int(json.loads(text(said))["thoughtHistoryLength"])

        assert together(gateway, "sequential-thinking", think) == list(range(1, CLIENTS + 1))
        assert counted == [CLIENTS] * CLIENTS
        eventually(
            lambda: gateway.backend("sequential-thinking")["pids"] == [], "they end with their sessions"
        )

    def test_time(self, gateway: Gateway) -> None:
        """A Python server that speaks both eras answers all its clients from one process of each that they speak."""

        async def convert(client: Client, number: int) -> str:
            arguments = {"source_timezone": "UTC", "time": f"0{number}:00", "target_timezone": "Asia/Tokyo"}
            return str(
                json.loads(text(await client.call_tool("convert_time", arguments)))["target"]["datetime"]
            )

        answers = together(gateway, "time", convert)
        assert [answer.split("T")[1][:5] for answer in answers] == [
            f"{number + 9:02}:00" for number in range(CLIENTS)
        ]
        found = gateway.backend("time")
        assert len(found["pids"]) == len(found["running_eras"])

    def test_git(self, gateway: Gateway) -> None:
        """The git server reads a repository."""

        async def read(client: Client, number: int) -> str:
            path = str(gateway.directory / "repository")
            return text(await client.call_tool("git_log", {"repo_path": path, "max_count": 1}))

        assert all("first" in answer for answer in together(gateway, "git", read))

    def test_nothing_is_wrong_in_the_log(self, gateway: Gateway) -> None:
        """After all this the log holds no traceback."""
        assert "Traceback" not in gateway.log
        assert "Unhandled" not in gateway.log
