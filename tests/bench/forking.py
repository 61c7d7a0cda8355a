"""Python servers forked from a template, beside the same servers started: behaviour, memory and time to an answer.

    python -m tests.bench.forking [COMMAND …]

Of each command line some children are started and as many forked.  Each is initialised, asked for its lists and one
call of each tool without arguments, and ended by the end of its stdin or by SIGTERM.  Its answers, its stderr and its
end are compared; numbers that differ between two starts of any kind, and times, are left out.  The memory is what is
private to each child (``Private`` in ``/proc/PID/smaps_rollup``) and, with the template, what all take (``Pss``).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from mcpgateway.backends.process import Child
from mcpgateway.backends.spawn import Launcher
from mcpgateway.errors import BackendGone
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry

CHILDREN = int(os.environ.get("CHILDREN", "5"))
LIMIT_S = 120.0
VARYING = re.compile(r"\[\d+/\d+/\d+ [\d:]+\]|\s+|0x[0-9a-f]+|\d+(\.\d+)?")
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


@define
class Talk:
    """A conversation with one child; receives its lines."""

    reactor: Any
    child: Child | None = None
    ready_s: float = 0.0
    answers: dict[int, str] = field(factory=dict)
    end: Gone | None = None

    def line_received(self, line: bytes) -> None:
        """Keep an answer."""
        message = json.loads(line)
        if "method" not in message:
            self.answers[message["id"]] = VARYING.sub("N", json.dumps({**message, "id": 0}, sort_keys=True))

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Ignore a line that is too long."""

    def gone(self, why: Gone) -> None:
        """Keep the end."""
        self.end = why

    async def ask(self, number: int, method: str, params: dict[str, Any]) -> str:
        """Return the answer to a request; empty where none comes in time."""
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.child.write(json.dumps(message).encode() + b"\n")
        until = time.monotonic() + LIMIT_S
        while number not in self.answers and self.end is None and time.monotonic() < until:
            await deferLater(self.reactor, 0.002)
        return self.answers.get(number, "")

    async def hold(self, tools: list[str]) -> None:
        """Ask for all lists, and call all tools."""
        for number, method in enumerate(LISTS, 1):
            await self.ask(number, method, {})
        for number, name in enumerate(tools, 10):
            await self.ask(number, "tools/call", {"name": name, "arguments": {}})


async def begun(reactor: Any, launcher: Launcher, launch: Launch) -> tuple[Talk, str]:
    """Start a child and greet it; the text says how it was started."""
    talk = Talk(reactor)
    prepared = await launcher.prepare(launch)
    began = time.monotonic()
    talk.child = launcher.launch(prepared, talk)
    await talk.ask(0, "initialize", HELLO)
    talk.ready_s = time.monotonic() - began
    with suppress(BackendGone):
        talk.child.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    return talk, prepared.started


def kib(pid: int, *names: str) -> int:
    """Return the sum of some lines of ``smaps_rollup``."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(names))


async def compare(reactor: Any, launcher: Launcher, argv: list[str], home: str) -> dict[str, Any]:
    """Compare children of one command line."""
    env = {"PATH": f"{Path(argv[0]).parent}:{os.environ['PATH']}", "HOME": home, "OBSIDIAN_API_KEY": "x" * 32}
    env |= {"ALLOW_COMMANDS": "ls", "DB_URL": "sqlite:///x.db"}
    launch = Launch("s", tuple(argv), env, home, prefork=True)
    plain = [(await begun(reactor, launcher, launch))[0]]  # the first one is always started
    plain += [(await begun(reactor, launcher, evolve(launch, prefork=False)))[0] for _ in range(CHILDREN - 1)]
    found = [await begun(reactor, launcher, launch) for _ in range(CHILDREN)]
    forked, hows = [talk for talk, _ in found], {how for _, how in found}
    await deferLater(reactor, 2)
    report: dict[str, Any] = {"server": Path(argv[0]).name, "how": sorted(hows)}
    for word, talks in (("plain", plain), ("forked", forked)):
        pids = [talk.child.pid for talk in talks if talk.end is None]
        if not pids:
            continue
        report[word] = {
            "private_mb": round(median(kib(pid, "Private") for pid in pids) / 1024, 1),
            "pss_mb": round(sum(kib(pid, "Pss:") for pid in pids) / 1024, 1),
            "ready_s": round(median(talk.ready_s for talk in talks), 2),
        }
    report["template_pss_mb"] = [
        round(kib(each.child.pid, "Pss:") / 1024, 1) for each in launcher.templates.all() if each.child.pid
    ]
    report |= await differences(reactor, plain, forked)
    for talk in (*plain, *forked):
        await talk.child.stop()
    return report


async def finish(talk: Talk, names: list[str], *, is_signal: bool) -> None:
    """Hold the conversation and end the child."""
    if talk.end is None:
        await talk.hold(names[:12])
        if is_signal:
            os.kill(talk.child.pid, signal.SIGTERM)
        else:
            talk.child.protocol.transport.closeStdin()
        until = time.monotonic() + LIMIT_S / 4
        while talk.end is None and time.monotonic() < until:
            await deferLater(talk.reactor, 0.02)
    await talk.child.stop()


async def differences(reactor: Any, plain: list[Talk], forked: list[Talk]) -> dict[str, Any]:
    """Compare the answers and the ends of two pairs, one ended by the end of stdin, one by SIGTERM."""
    report: dict[str, Any] = {}
    if plain[0].end is None:
        await plain[0].ask(9, "tools/list", {})
    names = re.findall(r'"name": "([^"]+)"', plain[0].answers.get(9, "")) if plain[0].answers.get(9) else []
    pairs = list(zip(plain[:2], forked[:2], strict=True))
    for number, (one, two) in enumerate(pairs):
        for talk in (one, two):
            await finish(talk, names, is_signal=bool(number))
        one.answers.pop(9, None)
        ends = [
            (each.end.code, each.end.signal, VARYING.sub("N", each.end.last_words)) for each in (one, two)
        ]
        report[f"same_{('eof', 'term')[number]}"] = one.answers == two.answers and ends[0] == ends[1]
        if one.answers != two.answers:
            keys = [
                key for key in {*one.answers, *two.answers} if one.answers.get(key) != two.answers.get(key)
            ]
            report["differs"] = [
                (key, one.answers.get(key, "")[:200], two.answers.get(key, "")[:200]) for key in keys
            ]
        if ends[0] != ends[1]:
            report["ends"] = [(code, number, words[-300:]) for code, number, words in ends]
        report["answers"] = len(one.answers)
    return report


async def measure(reactor: Any, lines: list[str]) -> None:
    """Compare and print."""
    with tempfile.TemporaryDirectory() as home:
        instance = secrets.token_hex(8)
        ward = ChildGuard(ChildRegistry(home, instance), Guardian(reactor, instance))
        launcher = Launcher(reactor, ward)
        for line in lines:
            print(json.dumps(await compare(reactor, launcher, shlex.split(line), home)), flush=True)
        await launcher.close()
        ward.close()


def main(reactor: Any) -> Deferred[None]:
    """Run it."""
    return Deferred.fromCoroutine(measure(reactor, sys.argv[1:]))


if __name__ == "__main__":
    react(main)
