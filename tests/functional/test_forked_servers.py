"""Real Python servers that are forked from a template do what those that are started do, alone and behind a gateway.

``make test-forked`` installs thirteen servers and runs all tests; without them, the clock of PyPI is compared.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from mcpgateway.backends.templates import FORKED
from tests.support.forked import ENDS, Call, Nursery, Outcome
from tests.support.gateway import IS_SOAK, Gateway, server
from tests.support.http_client import Client, text_of
from tests.support.processes import command_line
from tests.support.real_servers import PYPI_BIN, ROOT

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(sys.platform != "linux", reason="templates are of Linux"),
]

FOLDER = ROOT / "build" / "forked-servers"
NOWHERE = "http://127.0.0.1:9/"  # nobody listens there
SERVERS: dict[str, tuple[str, list[Call]]] = {
    "mcp-server-time": ("sdk-2", [("get_current_time", {"timezone": "Europe/Paris"})]),
    "mcp-server-git": ("sdk-2", [("git_status", {"repo_path": "."}), ("git_log", {"repo_path": "."})]),
    "mcp-server-fetch": ("sdk-2", [("fetch", {"url": NOWHERE})]),
    "excel-mcp-server stdio": (
        "sdk-2",
        [
            ("create_workbook", {"path": "x.xlsx", "overwrite": True}),
            ("describe_workbook", {"path": "x.xlsx"}),
        ],
    ),
    "wikipedia-mcp": ("sdk-2", []),
    "mcp-server-sqlite --db-path x.db": (
        "sdk-1",
        [
            ("create_table", {"query": "CREATE TABLE IF NOT EXISTS t (x)"}),
            ("write_query", {"query": "INSERT INTO t VALUES (1)"}),
            ("read_query", {"query": "SELECT count(*) FROM t"}),
        ],
    ),
    "mcp-server-calculator": ("sdk-1", [("calculate", {"expression": "6 * 7"})]),
    "mcp-shell-server": ("sdk-1", [("shell_execute", {"command": ["ls"], "directory": "/"})]),
    "mcp-obsidian": ("sdk-1", [("obsidian_list_files_in_vault", {})]),
    "mcp-youtube-transcript": ("sdk-1", []),
    "arxiv-mcp-server": ("sdk-1", [("list_papers", {}), ("list_watches", {})]),
}
"""The commands, with the environment that each is installed in and calls of it."""
REFUSED = {"mcp-alchemy": ("sdk-2", "sqlite3.connect"), "duckduckgo-mcp-server": ("sdk-2", "random numbers")}
"""Servers that are not forked, with a word of the reason."""
SESSIONS = 4
LAUNCHES = 6 if IS_SOAK else 2
KILLING_S = 120 if IS_SOAK else 10
VARIABLES = {"OBSIDIAN_API_KEY": "x" * 32, "ALLOW_COMMANDS": "ls", "DB_URL": "sqlite:///x.db"}


def command(line: str, sdk: str) -> list[str]:
    """Return the words of a server's command, of the long or of the everyday installation."""
    name, *words = line.split()
    found = FOLDER / sdk / "bin" / name
    if not found.exists():
        found = PYPI_BIN / name
    if not found.exists():
        pytest.skip("make test-forked installs it")
    return [str(found), *words]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A launcher, in a repository of git."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    made = Nursery(reactor, tmp_path)
    yield made
    pytest_twisted.blockon(Deferred.fromCoroutine(made.close()))


async def outcomes(nursery: Nursery, argv: list[str], calls: list[Call]) -> list[tuple[Outcome, Outcome]]:
    """Hold the same conversations with children that are started and with those that are forked."""
    launch = nursery.launch(argv, VARIABLES)
    first = await nursery.begin(launch)  # makes a template worth its while
    found = []
    for end in ENDS:
        pair = []
        for each in (evolve(launch, prefork=False), launch):
            talk = await nursery.begin(each)
            assert (talk.how == FORKED) is bool(each.prefork), talk.how
            await talk.hold(calls if end == ENDS[0] else ())
            pair.append(await talk.finish(end))
        found.append((pair[0], pair[1]))
    await first.child.stop()
    return found


async def compare(nursery: Nursery, line: str) -> None:
    """Compare the answers, notifications, stderr and ends of a server."""
    sdk, calls = SERVERS[line]
    for plain, forked in await outcomes(nursery, command(line, sdk), calls):
        assert len(plain.answers) > len(calls)
        assert evolve(plain, stderr="") == evolve(forked, stderr="")
        assert plain.stderr.split("#-#") == forked.stderr.split("#-#")


@pytest_twisted.ensureDeferred
async def test_the_clock(nursery: Nursery) -> None:
    """The clock of PyPI, forked, is the clock of PyPI."""
    await compare(nursery, "mcp-server-time")


@pytest.mark.parametrize("line", [each for each in SERVERS if each != "mcp-server-time"])
@pytest_twisted.ensureDeferred
async def test_alike(nursery: Nursery, line: str) -> None:
    """Lists, answers to calls, notifications, stderr, exit codes and signals are the same."""
    await compare(nursery, line)


@pytest.mark.parametrize("name", REFUSED)
@pytest_twisted.ensureDeferred
async def test_refused(nursery: Nursery, name: str) -> None:
    """A server whose import does more than to define names is started, and works."""
    sdk, reason = REFUSED[name]
    launch = nursery.launch(command(name, sdk), VARIABLES)
    first, second = await nursery.begin(launch), await nursery.begin(launch)
    assert reason in second.how
    await second.hold(())
    assert second.answers[1]["result"]["tools"]
    await first.child.stop()
    await second.child.stop()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that forks, with clocks of several launches, one process for each session."""
    clock = command("mcp-server-time", "sdk-2")
    servers = {
        f"clock{each}": server(clock, env={"N": str(each)}, share="session") for each in range(LAUNCHES)
    }
    settings = {"prefork": "auto", "circuit": {"restarts": 0}, "limits": {"spawns": 20}}
    with Gateway(tmp_path, servers, settings=settings) as running:
        yield running


async def asked(client: Client, *, may_fail: bool = False) -> bool:
    """Ask a clock for a time of our choice, and check its answer; false where its process was killed."""
    wanted = f"{random.randrange(24):02}:{random.randrange(60):02}"
    words = {"source_timezone": "UTC", "target_timezone": "UTC", "time": wanted}
    answer = await client.call("convert_time", words)
    if may_fail and "error" in answer:
        return False
    assert f"T{wanted}" in text_of(answer), answer
    return True


def templates(gateway: Gateway) -> list[int]:
    """Return the pids of the gateway's templates."""
    return [pid for pid in gateway.children() if b"template_main.py" in command_line(pid)]


def test_sessions(gateway: Gateway) -> None:
    """Sessions of one server have processes of their own, all but the first of which are forked; none is left."""

    async def all_at_once() -> None:
        clients = [await Client.open(gateway.url, "clock0") for _ in range(SESSIONS)]
        await asyncio.gather(*(asked(each) for each in clients for _ in range(5)))
        assert len(templates(gateway)) == 1
        assert len(gateway.children()) == SESSIONS + 1
        for each in clients:
            assert (await each.ask("DELETE")).status == 200
            each.close()

    asyncio.run(all_at_once())
    assert "is started plainly" not in gateway.log


async def kills(gateway: Gateway, until: float) -> None:
    """Kill one of its processes now and then, and seldom a template."""
    while time.monotonic() < until:
        await asyncio.sleep(random.uniform(0, 1.5))
        those = templates(gateway) if random.random() < 0.05 else gateway.children()
        if those:
            with suppress(ProcessLookupError):
                os.kill(random.choice(those), signal.SIGKILL)


def test_kills(gateway: Gateway) -> None:
    """While processes are killed, templates among them, each answer is right or says so; nothing is left in the end."""
    counts: Counter[str] = Counter()
    until = time.monotonic() + KILLING_S

    async def session(name: str) -> None:
        while time.monotonic() < until:
            try:
                client = await Client.open(gateway.url, name)
            except AssertionError:  # its process was killed meanwhile
                counts["killed in its handshake"] += 1
                continue
            for _ in range(random.randrange(1, 30)):
                counts["right" if await asked(client, may_fail=True) else "killed"] += 1
            await client.ask("DELETE")
            client.close()

    async def everything() -> None:
        sessions = [session(f"clock{number % LAUNCHES}") for number in range(SESSIONS * LAUNCHES // 2)]
        await asyncio.gather(kills(gateway, until), *sessions)
        for number in range(LAUNCHES):
            client = await Client.open(gateway.url, f"clock{number}")
            assert await asked(client)
            client.close()

    asyncio.run(everything())
    assert counts["right"] > counts["killed"]
