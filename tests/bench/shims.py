"""Costs of ``mcpgateway connect`` for a client on stdio: memory, its start, and a little time with each call."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.bench.http1 import BadAnswer
from tests.bench.mcp import INITIALIZED, Client, Session, call, initialize
from tests.bench.phases import SETTLE_S, Bench
from tests.bench.procs import cpu_ns, memory_kib
from tests.bench.results import median
from tests.bench.subjects import OURS, Running, environment

SHIMS = 5  # beside each other, each with a client of its own
CALLS = 300
ANSWER_LIMIT_S = 10.0
KIB = 1024.0


@define
class Stdio:
    """A shim, and a blocking client of it."""

    process: subprocess.Popen[bytes]
    _rest: bytes = field(default=b"", init=False)

    def say(self, line: bytes) -> None:
        """Say one message."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self, number: int) -> dict[str, Any]:
        """The answer of that id; what comes before it is passed over."""
        while True:
            while b"\n" not in self._rest:
                self._rest += self._read()
            line, self._rest = self._rest.split(b"\n", 1)
            message: dict[str, Any] = json.loads(line)
            if message.get("id") == number and "method" not in message:
                return message

    def _read(self) -> bytes:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_LIMIT_S)
        data: bytes = self.process.stdout.read1(1 << 16) if ready else b""  # type: ignore[attr-defined]
        if not data:
            raise BadAnswer("the shim says nothing")
        return data

    def open(self) -> None:
        """Begin a session."""
        self.say(initialize(0))
        self.hear(0)
        self.say(INITIALIZED)

    def echo(self, number: int, text: str) -> None:
        """Call ``echo`` and see that the text comes back."""
        self.say(call(number, "echo", {"text": text}))
        answer = self.hear(number)
        if answer.get("result", {}).get("content", [{}])[0].get("text") != text:
            raise BadAnswer(f"echo through the shim: {str(answer)[:200]}")


@contextmanager
def started(python: Path, home: Path, *options: str) -> Iterator[Stdio]:
    """A shim of an installation; it is stopped at the end."""
    argv = [str(python.parent / "mcpgateway"), "connect", "echo", *options]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=home, env=environment(home)
    ) as process:
        try:
            yield Stdio(process)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ANSWER_LIMIT_S)
            process.kill()


def measure_shims(bench: Bench) -> None:
    """Measure a shim: its start, its memory with one idle session, and its calls beside those over HTTP."""
    shim, python = bench.results.shim, bench.starter.python
    if not _is_there(python):
        shim.absent = "this installation has no mcpgateway.shim"
        bench.say(f"no shim: {shim.absent}")
        return
    running = bench.starter.start(OURS)
    try:
        running.wait_until_listening()
        running.wait_until_called()
        bench.try_to("the shim's start", partial(_time_starts, bench, running.home))
        bench.try_to("the shim's memory", partial(_weigh, bench, running))
        bench.try_to("calls through the shim", partial(_time_calls, bench, running))
    finally:
        bench.starter.stop(running)


def _is_there(python: Path) -> bool:
    done = subprocess.run(
        [str(python), "-c", "import mcpgateway.shim"], cwd="/", capture_output=True, check=False
    )
    return done.returncode == 0 and (python.parent / "mcpgateway").exists()


def _time_starts(bench: Bench, home: Path) -> None:
    """From exec until its first byte is with the gateway, for which a socket stands here; the first is not timed."""
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        gateway.settimeout(ANSWER_LIMIT_S)
        url = f"http://127.0.0.1:{gateway.getsockname()[1]}"
        for turn in range(bench.plan.starts + 1):
            began = time.perf_counter()
            with started(bench.starter.python, home, "--url", url):
                connection, _ = gateway.accept()
                with connection:
                    connection.recv(1)
                    took = (time.perf_counter() - began) * 1e3
            if turn:
                bench.results.shim.exec_ms.append(took)
    bench.say(f"the shim's first byte: {median(bench.results.shim.exec_ms):.0f} ms after exec")


def _weigh(bench: Bench, running: Running) -> None:
    found = bench.results.shim
    with _several(bench, running) as shims:
        time.sleep(SETTLE_S)
        for each in shims:
            memory = memory_kib(each.process.pid)
            found.private_mib.append((memory["Private_Clean"] + memory["Private_Dirty"]) / KIB)
            found.pss_mib.append(memory["Pss"] / KIB)
    bench.say(f"the shim: {median(found.private_mib):.2f} MB private, {median(found.pss_mib):.2f} MB PSS")


@contextmanager
def _several(bench: Bench, running: Running, count: int = SHIMS) -> Iterator[Sequence[Stdio]]:
    if not count:
        yield []
        return
    with (
        started(bench.starter.python, running.home, "--home", str(running.state)) as shim,
        _several(bench, running, count - 1) as more,
    ):
        shim.open()
        shim.echo(1, "first")
        yield [shim, *more]


def _time_calls(bench: Bench, running: Running) -> None:
    found = bench.results.shim
    client = Client(running.url)
    session = client.open()
    with _several(bench, running, 1) as (shim,):
        for turn in range(2 * bench.plan.repeats):
            before = cpu_ns(shim.process.pid)
            found.calls_ms.append(_p50_ms(partial(_through, shim)))
            found.cpu_us.append((cpu_ns(shim.process.pid) - before) / 1e3 / CALLS)
            found.direct_ms.append(_p50_ms(partial(_directly, client, session)))
            bench.say(
                f"a call: {found.calls_ms[turn]:.2f} ms through the shim, {found.direct_ms[turn]:.2f} directly"
            )
    client.close()


def _p50_ms(ask: Any) -> float:
    times = []
    for number in range(CALLS):
        began = time.perf_counter()
        ask(number)
        times.append((time.perf_counter() - began) * 1e3)
    return median(times) or 0.0


def _through(shim: Stdio, number: int) -> None:
    shim.echo(number + 2, f"{number:064d}")


def _directly(client: Client, session: Session, number: int) -> None:
    client.echo(session, f"{number:064d}")
