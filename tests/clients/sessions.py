"""The memory that sessions cost, by URL and by the shim: many clients of the Python SDK, each with one of them."""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.bench.procs import memory_kib
from tests.clients.fronts import Front, way
from tests.support.gateway import Gateway, server
from tests.support.processes import bearing
from tests.support.real_servers import fixture

SESSIONS = 30
SETTLE_S = 3.0
SERVER = "it"
MARK = "MCPGATEWAY_WEIGHED"


def weigh(directory: Path) -> list[list[str]]:
    """A line for each front: the gateway's private memory per session, and that of a shim."""
    return [asyncio.run(_weighed(directory, front)) for front in (Front.HTTP, Front.STDIO)]


async def _weighed(directory: Path, front: Front) -> list[str]:
    at = directory / front.value
    at.mkdir(parents=True)
    with Gateway(at, {SERVER: server(fixture())}) as gateway:
        there = way(gateway, front, SERVER)
        command = there.argv[0]
        args = ["--home", str(gateway.home), "connect", SERVER]  # as `clients apply` writes it

        def transport() -> str | StdioServerParameters:
            if front is Front.HTTP:
                return there.url
            return StdioServerParameters(command=command, args=args, env={MARK: front.value})

        async with AsyncExitStack() as stack:
            for nth in range(2 * SESSIONS):
                if nth == SESSIONS:  # by then the gateway has loaded what sessions need
                    await asyncio.sleep(SETTLE_S)
                    before = _private_mib(gateway.pid)
                client = await stack.enter_async_context(Client(transport(), mode="legacy"))
                await client.list_tools()
                await client.call_tool("echo", {"text": "x"})
            await asyncio.sleep(SETTLE_S)
            grown = (_private_mib(gateway.pid) - before) / SESSIONS
            shims = bearing(f"{MARK}={front.value}")
            private = [_private_mib(pid) for pid in shims] or [0.0]
            pss = [memory_kib(pid)["Pss"] / 1024 for pid in shims] or [0.0]
        middle = statistics.median
        return [front.value, f"{grown:.3f}", f"{middle(private):.2f}", f"{middle(pss):.2f}"]


def _private_mib(pid: int) -> float:
    memory = memory_kib(pid)
    return (memory["Private_Clean"] + memory["Private_Dirty"]) / 1024
