"""Costs of package runners: servers started as they are written, and started without their runners.

    python -m tests.bench.launching [COMMAND …]

Each command line is started in turn as it is written and without its runner, each time alone: initialised, asked for
its tools, left in peace, then weighed with all its descendants (``Pss`` in ``/proc/PID/smaps_rollup``).  The
time is that from the start to the answer of ``initialize``; of all rounds the median counts.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from mcpgateway.backends.spawn import Launcher
from mcpgateway.interfaces import Launch
from mcpgateway.system.launch.resolver import Resolver
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry
from tests.bench.procs import MIB, memory_kib, tree

SETTLE_S = 5.0
ROUNDS = 3
LINES = (
    "npx -y @modelcontextprotocol/server-everything",
    "npx -y @modelcontextprotocol/server-filesystem /tmp",
    "npx -y @modelcontextprotocol/server-memory",
    "npx -y @modelcontextprotocol/server-sequential-thinking",
    "uvx mcp-server-time",
    "uvx mcp-server-fetch",
    "uvx mcp-server-git",
    "pipx run mcp-server-time",
    "bunx @modelcontextprotocol/server-memory",
)


@frozen
class Weight:
    """The weight of one running server."""

    processes: int
    mib: float
    ready_s: float


def weigh(argv: tuple[str, ...], env: Mapping[str, str], cwd: str) -> Weight:
    """Start a server, use it a little, weigh it, end it."""
    began = time.monotonic()
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(env),
        cwd=cwd,
        text=True,
        start_new_session=True,
    )
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    try:
        ask(child, {"id": 1, "method": "initialize", "params": params})
        ready_s = time.monotonic() - began
        say(child, {"method": "notifications/initialized"})
        ask(child, {"id": 2, "method": "tools/list"})
        time.sleep(SETTLE_S)
        pids = tree(child.pid)
        return Weight(len(pids), sum(memory_kib(pid)["Pss"] for pid in pids) / MIB, ready_s)
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def middle(weights: tuple[Weight, ...]) -> Weight:
    """The medians of several rounds."""
    return Weight(
        weights[0].processes,
        median(each.mib for each in weights),
        median(each.ready_s for each in weights),
    )


def say(child: subprocess.Popen[str], message: dict[str, Any]) -> None:
    """Send one message."""
    assert child.stdin is not None
    child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    child.stdin.flush()


def ask(child: subprocess.Popen[str], message: dict[str, Any]) -> None:
    """Send a request, and wait for its answer."""
    say(child, message)
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("{") and json.loads(line).get("id") == message["id"]:
            return
    raise AssertionError("the server has ended")


async def main(reactor: Any, lines: tuple[str, ...]) -> None:
    """Measure all of them, and print a table."""
    instance = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as cwd:
        ward = ChildGuard(ChildRegistry(home, instance), Guardian(reactor, instance))
        launcher = Launcher(reactor, ward, lambda: Resolver(home, reactor.seconds))
        print(f"{'command':58} {'written':>22} {'direct':>22}")
        for line in lines:
            launch = Launch("bench", tuple(line.split()), dict(os.environ), cwd)
            direct = await launcher.prepare(launch)
            if direct.argv == launch.argv:
                print(f"{line:58} runs as it is written")
                continue
            weigh(direct.argv, direct.env, cwd)  # what it reads is in memory from here on
            rounds = [[weigh(each.argv, each.env, cwd) for each in (launch, direct)] for _ in range(ROUNDS)]
            figures = [middle(each) for each in zip(*rounds, strict=True)]
            shown = [f"{each.processes:2} {each.mib:7.1f} MiB {each.ready_s:5.2f} s" for each in figures]
            print(f"{line:58} {shown[0]:>22} {shown[1]:>22}", flush=True)
        await launcher.close()
        ward.close()


if __name__ == "__main__":
    chosen = tuple(sys.argv[1:]) or LINES
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, chosen)))
