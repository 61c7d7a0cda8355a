"""Conversations with children of Python servers, forked or started, and all that is seen of them from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet.task import deferLater

from mcpgateway.backends.process import Child
from mcpgateway.backends.spawn import Launcher
from mcpgateway.errors import BackendGone
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry

LIMIT_S = 120.0
TURN_S = 0.002  # of waiting
VARYING = re.compile(r"(\s|\[\d+/\d+/\d+ [\d:]+\])+|0x[0-9a-f]+|\d+(\.\d+)?")
"""Parts of answers and of stderr that differ between two starts of any kind: times, addresses, where lines break."""
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
ENDS = ("eof", "SIGTERM", "SIGINT", "SIGKILL")
"""The ways in which a child ends: by the end of its stdin, or by a signal.

Many servers wait for the end of their stdin after a signal, so it follows.
"""
SIGNALLED_S = 1.0
Call = tuple[str, Mapping[str, Any]]


@define
class Heard:
    """All of a child's stderr."""

    data: bytes = b""

    def heard(self, data: bytes) -> None:
        """Keep bytes."""
        self.data += data

    def ended(self) -> None:
        """Ignore the end."""


@frozen
class Outcome:
    """A conversation as it is seen from outside, without what varies.

    :ivar answers: the answers by the numbers of their requests.
    :ivar notices: the notifications, in order of their text.
    :ivar stderr: all of the stderr.
    """

    answers: Mapping[int, str]
    notices: Sequence[str]
    stderr: str
    code: int | None
    signal: int | None


@define
class Talk:
    """A conversation with one child; receives its lines.

    :ivar how: how the child was started.
    :ivar ready_s: seconds until it had answered ``initialize``.
    """

    reactor: Any
    stderr: Heard
    how: str = ""
    child: Child = field(default=None)  # set when it runs
    ready_s: float = 0.0
    answers: dict[int, dict[str, Any]] = field(factory=dict)
    notices: list[str] = field(factory=list)
    end: Gone | None = None

    def line_received(self, line: bytes) -> None:
        """Keep a message."""
        message = json.loads(line)
        if "method" in message:
            self.notices.append(_constant(message))
        else:
            self.answers[message["id"]] = message

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Ignore a line that is too long."""

    def gone(self, why: Gone) -> None:
        """Keep the end."""
        self.end = why

    async def ask(self, number: int, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; empty where none comes in time."""
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        with suppress(BackendGone):
            self.child.write(json.dumps(message).encode() + b"\n")
        await self._until(lambda: number in self.answers)
        return self.answers.get(number, {})

    async def _until(self, is_so: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        until = time.monotonic() + limit_s
        while not is_so() and self.end is None and time.monotonic() < until:
            await deferLater(self.reactor, TURN_S)

    async def hold(self, calls: Sequence[Call]) -> None:
        """Ask for all lists, call each tool that cannot be called so without arguments, and make these calls."""
        for number, method in enumerate(LISTS, 1):
            await self.ask(number, method, {})
        tools = self.answers[1]["result"]["tools"]
        empty: list[Call] = [(each["name"], {}) for each in tools if each["inputSchema"].get("required")]
        for number, (name, arguments) in enumerate((*empty, *calls), 10):
            await self.ask(number, "tools/call", {"name": name, "arguments": arguments})

    async def finish(self, how: str) -> Outcome:
        """End the child in one of the ways of `ENDS`."""
        if how != "eof" and self.end is None:
            os.kill(self.child.pid, getattr(signal, how))
            await self._until(lambda: False, SIGNALLED_S)
        if self.end is None:
            self.child.protocol.transport.closeStdin()
        await self._until(lambda: False)
        assert self.end is not None, f"{self.child.server} does not end by {how}"
        await self.child.stop()
        answers = {number: _constant({**each, "id": 0}) for number, each in self.answers.items()}
        stderr = VARYING.sub("#", self.stderr.data.decode(errors="replace"))
        return Outcome(answers, sorted(self.notices), stderr, self.end.code, self.end.signal)


def _constant(message: dict[str, Any]) -> str:
    return VARYING.sub("#", json.dumps(message, sort_keys=True))


class Nursery:
    """A launcher with a home of its own, which keeps what its children say on stderr."""

    def __init__(self, reactor: Any, home: Path) -> None:
        self.home = home
        instance = f"forked{os.getpid()}x{time.monotonic_ns()}"
        self._heard: list[Heard] = []
        self._ward = ChildGuard(ChildRegistry(str(home), instance), Guardian(reactor, instance))
        self._reactor = reactor
        self.launcher = Launcher(reactor, self._ward, hear=self._hear)

    def _hear(self, _: str, __: tuple[str, ...]) -> Heard:
        self._heard.append(Heard())
        return self._heard[-1]

    def launch(self, argv: Sequence[str], variables: Mapping[str, str]) -> Launch:
        """Return a launch that may be forked."""
        env = {"PATH": f"{Path(argv[0]).parent}:{os.environ['PATH']}", "HOME": str(self.home), **variables}
        return Launch(Path(argv[0]).name, tuple(argv), env, str(self.home), prefork=True)

    async def begin(self, launch: Launch) -> Talk:
        """Start a child and greet it."""
        talk = Talk(self._reactor, Heard())
        prepared = await self.launcher.prepare(launch)
        began = time.monotonic()
        talk.child = self.launcher.launch(prepared, talk)
        talk.child.is_heard = False  # it may take its time when its stdin ends
        talk.how, talk.stderr = prepared.started, self._heard[-1]
        await talk.ask(0, "initialize", HELLO)
        talk.ready_s = time.monotonic() - began
        with suppress(BackendGone):
            talk.child.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return talk

    async def close(self) -> None:
        """End the templates and the guardian."""
        await self.launcher.close()
        self._ward.close()
