"""A measured load on one running program."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from attrs import frozen

from tests.bench.driver import Load, drive
from tests.bench.mcp import Session
from tests.bench.procs import machine_busy_s, own_cpu_s
from tests.bench.subjects import Running
from tests.bench.tools import HERE

WRK_LIMIT_S = 30.0


class NoLoad(Exception):
    """The load generator failed."""


@frozen
class Scenario:
    """A load by name."""

    name: str
    operation: str
    connections: int
    size: int = 64


ECHO = tuple(Scenario(f"echo{connections}", "echo", connections) for connections in (1, 16, 64))
LIST = Scenario("list16", "list", 16)
BIG = Scenario("big4", "big", 4, 1_000_000)


@frozen
class Sample:
    """The cost of one load.

    :ivar cpu_us: CPU of the gateway's processes per call, in microseconds.
    :ivar elsewhere: cores that neither the gateway, its child nor the load used meanwhile.
    """

    calls: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    child_us: float
    elsewhere: float
    faults: int = 0


@frozen
class Loader:
    """Makes loads, with wrk where it is installed and with the driver otherwise."""

    wrk: str | None
    seconds: float

    def measure(self, running: Running, scenario: Scenario, sessions: Sequence[Session] = ()) -> Sample:
        """Load a program and account for what it used meanwhile."""
        sessions = sessions or running.sessions or [Session(0, running.url)]
        before, busy, own, began = running.account(), machine_busy_s(), own_cpu_s(), time.perf_counter()
        made = (
            self._wrk(running, scenario, sessions) if self.wrk else self._drive(running, scenario, sessions)
        )
        after, seconds = running.account(), time.perf_counter() - began
        cpu, child_cpu = after.cpu_ns - before.cpu_ns, max(0, after.child_cpu_ns - before.child_cpu_ns)
        used = (cpu + child_cpu) / 1e9 + own_cpu_s() - own
        calls = max(1, int(made["calls"]))
        return Sample(
            calls=int(made["calls"]),
            rate=made["rate"],
            p50_ms=made["p50_ms"],
            p99_ms=made["p99_ms"],
            cpu_us=cpu / 1e3 / calls,
            child_us=child_cpu / 1e3 / calls,
            elsewhere=max(0.0, (machine_busy_s() - busy - used) / seconds),
            faults=int(made["faults"]),
        )

    def _wrk(self, running: Running, scenario: Scenario, sessions: Sequence[Session]) -> dict[str, float]:
        assert self.wrk is not None
        file = running.home / "sessions"
        lines = (f"{urlsplit(session.url).path} {session.id}\n" for session in sessions)
        file.write_text("".join(lines), encoding="utf-8")
        argv = [self.wrk, "-t1", f"-c{scenario.connections}", f"-d{max(1, round(self.seconds))}s"]
        argv += ["--timeout", "10s", "-s", str(HERE / "wrk_mcp.lua"), running.url]
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "SESSIONS": str(file),
            "OPERATION": scenario.operation,
            "SIZE": str(scenario.size),
            "VERSION": sessions[0].version,
        }
        limit = self.seconds + WRK_LIMIT_S
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=limit, check=False)
        found = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
        if not found:
            raise NoLoad(f"wrk: {(done.stdout + done.stderr)[-300:]}")
        told = json.loads(found[-1])
        calls, faults = told["requests"], told["refused"] + told["lost"]
        return {**told, "calls": calls, "rate": (calls - told["refused"]) / told["seconds"], "faults": faults}

    def _drive(self, running: Running, scenario: Scenario, sessions: Sequence[Session]) -> dict[str, float]:
        load = Load(
            running.url,
            connections=scenario.connections,
            seconds=self.seconds,
            operation=scenario.operation,
            size=scenario.size,
            ids="unique",
        )
        tally = drive(load, sessions)
        return {
            "calls": tally.sent,
            "rate": tally.rate,
            "p50_ms": tally.percentile_ms(0.5),
            "p99_ms": tally.percentile_ms(0.99),
            "faults": tally.faults,
        }


def child_p50_ms(argv: Sequence[str], calls: int = 3000) -> float:
    """The median time of the child's own answer over its pipes, with nothing between."""
    line = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"%s"}}}\n'
    )
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            child.stdin.write(line % (b"x" * 64))
            child.stdin.flush()
            child.stdout.readline()
            times.append(time.perf_counter() - began)
        child.stdin.close()
    return statistics.median(times) * 1e3
