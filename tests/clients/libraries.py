"""The clients without a model: each is given a list of calls, and reports what came of every one as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from mcp import Client as SdkClient
from mcp.client.stdio import StdioServerParameters

from tests.clients.fronts import Front, Way
from tests.clients.job import Job
from tests.clients.program import (
    LIMIT_S,
    NODE_MODULES,
    PYPI,
    PYTHON_DRIVERS,
    TYPESCRIPT_DRIVERS,
    Home,
    installed,
    npm_bin,
)

AUTO, LEGACY, PINNED = "auto", "legacy", "2026-07-28"
"""How a client negotiates: it asks for the stateless era first, only speaks of sessions, or knows nothing else."""


@frozen
class Call:
    """A job of a client and the way there.

    :ivar person: how the person at the client behaves, as ``tests/clients/pypi/driving.py`` says; no person without it.
    """

    job: Job
    way: Way
    person: Mapping[str, Any] = field(factory=dict)


@frozen
class Outcome:
    """The outcome of a call.

    :ivar text: the result as the client shows it; empty where there is none.
    :ivar error: why there is none.
    :ivar version: the revision that was agreed on, where the client tells.
    :ivar prompts: what the person was asked.
    """

    text: str = ""
    error: str = ""
    version: str | None = None
    prompts: tuple[str, ...] = ()


Run = Callable[[Home, Sequence[Call]], list[Outcome]]
"""Make the calls as one client with a home."""


def driven(mode: str, *argv: Callable[[], str] | str) -> Run:
    """A library behind a driver of ours, which negotiates in that mode."""

    def run(home: Home, calls: Sequence[Call]) -> list[Outcome]:
        jobs = json.dumps([_asked(call, mode) for call in calls])
        said = home.run(*(each if isinstance(each, str) else each() for each in argv), jobs)
        found = [_read(line) for line in said.splitlines() if line.startswith("{")]
        assert len(found) == len(calls), said
        return found

    return run


def _asked(call: Call, mode: str) -> dict[str, Any]:
    job, way = call.job, call.way
    there = {"front": way.front.value, "url": way.url, "argv": way.argv, "socket": str(way.socket)}
    return {**there, "mode": mode, "tool": job.tool, "arguments": job.arguments, **call.person}


def _read(line: str) -> Outcome:
    found = json.loads(line)
    text = json.dumps(found["result"]) if "result" in found else ""
    return Outcome(text, found.get("error", ""), found.get("version"), tuple(found["prompts"]))


def _python(package: str, driver: str, mode: str) -> Run:
    return driven(mode, lambda: installed(PYPI / package / "bin" / "python"), str(PYTHON_DRIVERS / driver))


def _typescript(package: str, driver: str, mode: str) -> Run:
    def there() -> str:
        installed(NODE_MODULES / "@modelcontextprotocol" / package)
        return "node"

    return driven(mode, there, str(TYPESCRIPT_DRIVERS / driver))


def inspector(era: str) -> Run:
    """The MCP Inspector on the command line; its configuration names the era."""

    def run(home: Home, calls: Sequence[Call]) -> list[Outcome]:
        servers = {call.job.server: _inspected(call.way, era) for call in calls}
        home.write("inspector.json", json.dumps({"mcpServers": servers}))
        return [_inspect(home, call.job) for call in calls]

    return run


def _inspected(way: Way, era: str) -> dict[str, Any]:
    if way.front is Front.STDIO:
        entry = {"type": "stdio", "command": way.argv[0], "args": way.argv[1:]}
    else:
        entry = {"type": "sse" if way.front is Front.SSE else "streamable-http", "url": way.url}
    return {**entry, "protocolEra": era}


def _inspect(home: Home, job: Job) -> Outcome:
    answer = home.directory / "answer.json"  # on its stdout there is more than the answer
    there = ("--config", str(home.directory / "inspector.json"), "--server", job.server)
    asked = (npm_bin("mcp-inspector"), "--cli", *there, "--output", str(answer), "--method")
    try:
        home.run(*asked, "tools/list")
        tools = [tool["name"] for tool in json.loads(answer.read_text())["tools"]]
        assert job.tool in tools, tools
        home.run(*asked, "tools/call", "--tool-name", job.tool, "--tool-args-json", json.dumps(job.arguments))
    except AssertionError as why:
        return Outcome(error=str(why).strip().splitlines()[-1])  # before that it tells where it keeps secrets
    return Outcome(answer.read_text())


def mcp_remote(home: Home, calls: Sequence[Call]) -> list[Outcome]:
    """mcp-remote, which gives clients on stdio a way to HTTP; the Python SDK is the client."""
    program = npm_bin("mcp-remote")

    async def make(call: Call) -> Outcome:
        kind = "sse-only" if call.way.front is Front.SSE else "http-only"
        argv = [call.way.url, "--allow-http", "--silent", "--transport", kind]
        bridge = StdioServerParameters(command=program, args=argv, env=home.environ({}), cwd=home.work)
        try:
            async with asyncio.timeout(LIMIT_S), SdkClient(bridge, mode="legacy") as client:
                assert call.job.tool in [tool.name for tool in (await client.list_tools()).tools]
                result = await client.call_tool(call.job.tool, dict(call.job.arguments))
                return Outcome(result.model_dump_json(), version=client.protocol_version)
        except Exception as why:  # noqa: BLE001 - whatever it is, it is what came of the call
            return Outcome(error=repr(why))

    async def make_all() -> list[Outcome]:
        return list(await asyncio.gather(*map(make, calls)))

    try:
        return asyncio.run(make_all())
    finally:
        home.clear()


def python_sdk_2(mode: str) -> Run:
    """The Python SDK 2.3.0."""
    return _python("mcp-2.3.0", "sdk_2.py", mode)


def fastmcp(mode: str) -> Run:
    """The client of FastMCP 4.1.2."""
    return _python("fastmcp-4.1.2", "fast.py", mode)


def typescript_sdk_2(mode: str) -> Run:
    """The TypeScript client 2.4.0; left alone it would be in the mode of sessions."""
    return _typescript("client", "sdk_2.mjs", mode)


python_sdk_1 = _python("mcp-1.30.0", "sdk_1.py", LEGACY)
"""The Python SDK 1.30.0."""

typescript_sdk_1 = _typescript("sdk", "sdk_1.mjs", LEGACY)
"""The TypeScript SDK 1.32.2."""
