"""Servers that are no plain programs, behind a whole gateway, from their configuration to their end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support import engines, real_servers
from tests.support.engines import Engine
from tests.support.gateway import Gateway, eventually
from tests.support.ports import free_port
from tests.support.processes import is_alive

pytestmark = pytest.mark.functional

SERVERS = real_servers.ROOT / "tests" / "servers"
LIMIT_S = 60


def use(gateway: Gateway, name: str, does: Callable[[Client], Awaitable[Any]], mode: Any = "auto") -> Any:
    """The result that a client gets."""

    async def alone() -> Any:
        async with asyncio.timeout(LIMIT_S), Client(f"{gateway.url}/{name}/mcp", mode=mode) as client:
            return await does(client)

    return asyncio.run(alone())


def said(tool: str, **arguments: Any) -> Callable[[Client], Awaitable[str]]:
    """Calls a tool; its text."""

    async def call(client: Client) -> str:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result
        return str(result.content[0].text)

    return call


def is_open(port: int) -> bool:
    """Return whether a process listens at a port."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pets() -> Iterator[int]:
    """The port of a service without MCP."""
    with subprocess.Popen([sys.executable, str(SERVERS / "pets.py")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that runs containers; what the test has left there is removed."""
    found = engines.real()
    if found is None:
        pytest.skip("no engine runs containers here")
    yield found
    for name in found.named(f"mcpgateway.home={tmp_path / 'home'}"):
        found.run("rm", "--force", name)


class WholeTests:
    """Behind a gateway."""

    @pytest.mark.parametrize("mode", ["legacy", "auto"])
    def test_rest(self, tmp_path: Path, pets: int, mode: str) -> None:
        """A description is all it takes to call a service without MCP, in either era."""
        servers = {
            "pets": {"openapi": f"http://127.0.0.1:{pets}/openapi.json"},
            "listed": {
                "rest_url": f"http://127.0.0.1:{pets}/v1",
                "tools": [{"name": "echo", "path": "/echo", "places": {"text": "query"}}],
            },
        }
        with Gateway(tmp_path, servers) as gateway:
            for name in servers:
                assert use(gateway, name, said("echo", text="hello"), mode) == "hello"
            assert gateway.backend("pets")["pids"] in ([], [0], None)

    def test_daemon(self, tmp_path: Path) -> None:
        """A program at a port of its own is started by the first who needs it, and ends with the gateway."""
        port = free_port()
        argv = [sys.executable, str(SERVERS / "ported.py"), str(port)]
        servers = {"daemon": {"command": argv, "port": port, "transport": "http"}}
        with Gateway(tmp_path, servers) as gateway:
            assert not is_open(port)
            pid = int(use(gateway, "daemon", said("pid")))
            assert int(use(gateway, "daemon", said("pid"))) == pid
            assert gateway.log.count("was started for port") == 1
            assert (gateway.home / "daemons" / "daemon.lock").exists()
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not is_alive(pid), "its connections are closed")
            gateway.health()  # the gateway has seen that, too
            again = int(use(gateway, "daemon", said("pid")))
            assert again != pid
        assert not is_open(port)
        assert not (gateway.home / "daemons" / "daemon.lock").exists()

    def test_killed_with_a_daemon(self, tmp_path: Path) -> None:
        """When the gateway is killed, the guardian takes the program along."""
        port = free_port()
        argv = [sys.executable, str(SERVERS / "ported.py"), str(port)]
        with Gateway(tmp_path, {"daemon": {"command": argv, "port": port}}) as gateway:
            use(gateway, "daemon", said("pid"))
            gateway.kill()
            eventually(lambda: not is_open(port), "it has gone")
            gateway.start()
            use(gateway, "daemon", said("pid"))

    def test_container(self, tmp_path: Path, engine: Engine) -> None:
        """A container is run for its clients, and removed with the gateway, or by the next after a killed one."""
        argv, options = engine.server(SERVERS / "fixture_server.py", "--stubborn")
        command = [engine.program, "run", "-i", "--rm", *options, engine.image, *argv]
        env = {**engine.env, "KEY": "value", "PATH": f"{Path(engine.program).parent}:{os.environ['PATH']}"}
        gateway = Gateway(tmp_path, {"boxed": {"command": command, "env": env}})
        label = f"mcpgateway.home={gateway.home}"
        with gateway:
            assert use(gateway, "boxed", said("echo", text="hello"), "legacy") == "hello"
            (name,) = engine.named(label)
            assert name.startswith("mcpgateway-boxed-")
            gateway.kill()
            assert engine.named(label) == [name]
            gateway.start()
            assert use(gateway, "boxed", said("echo", text="again"), "legacy") == "again"
            eventually(lambda: name not in engine.named(label), "the leftover is removed")
        assert engine.named(label) == []
