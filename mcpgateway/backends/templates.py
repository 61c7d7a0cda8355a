"""Templates of Python servers: the second child of one launch and those after it are forked, not started.

# Note [Whose child a forked process is]
A template (`mcpgateway.system.launch.template_main`) forks siblings: what it forks is the gateway's own child, leads a
session of its own and bears a marker of its own.  So its exit status, its end, its guardian and its limits are those of
a process that was started, and the end of a template ends nothing else.
"""

from __future__ import annotations

import os
import socket
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger

from mcpgateway.backends.process import Child
from mcpgateway.errors import LaunchFailed
from mcpgateway.inherited import InheritedTemplate
from mcpgateway.interfaces import Gone, ILineReceiver, IWard, Launch
from mcpgateway.system.launch.python_entry import PythonEntry, python_entry
from mcpgateway.system.process.handover import left_open
from mcpgateway.waiting import Waiting

IMPORT_S = 60.0  # a large server on a busy machine
IDLE_S = 600.0  # without a fork
# Two starts within it count as two children, although the first may not run yet, or has failed.
TOGETHER_S = 10.0
REFUSAL_S = 3600.0  # until an import is tried again
FORK_S = 2.0  # a fork takes milliseconds; the reactor waits for it
PACKET_BYTES = 4096
LAUNCHES_LIMIT = 200
CONTROL = 3  # the descriptor of the template's socket
FORKED = "forked from a template"


class StartTemplate(Protocol):
    """Starts a template."""

    def __call__(self, launch: Launch, receiver: ILineReceiver, control: int) -> Child:
        """Start a program with a socket as descriptor `CONTROL`.

        :raise LaunchFailed: it could not be started.
        """


class TakeOverTemplate(Protocol):
    """Takes over a template of the former program of this process."""

    def __call__(self, inherited: InheritedTemplate, receiver: ILineReceiver) -> Child:
        """Go on with its process.

        :raise LaunchFailed: it has ended.
        """


class Template:
    """A template, from its start to its end; receives what its process reports.

    :ivar child: its process; None before.
    :ivar is_ready: True while it can be forked.
    :ivar forks: number of its forks.
    :param ended: called once, with the reason, when it can no longer be forked.
    :param control: the socket of a template that runs; None for a new one.
    """

    def __init__(
        self,
        reactor: Any,
        server: str,
        ended: Callable[[str], None],
        control: socket.socket | None = None,
    ) -> None:
        self.server = server
        self.child: Child | None = None
        self.is_ready = False
        self.forks = 0
        self._reactor = reactor
        self._ended: Callable[[str], None] | None = ended
        self._waiting = Waiting[None]()
        self._theirs: socket.socket | None = None
        if control is None:
            control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = control
        self._socket.settimeout(FORK_S)
        self._timer = reactor.callLater(IMPORT_S, self.end, f"its import takes longer than {IMPORT_S:.0f} s")

    def begin(self, launch: Launch, start: StartTemplate) -> None:
        """Start the process."""
        assert self._theirs is not None
        try:
            self.child = start(launch, self, self._theirs.fileno())
        except LaunchFailed as why:
            self.end(str(why))
        finally:
            self._theirs.close()

    def take_over(self, inherited: InheritedTemplate, begin: TakeOverTemplate) -> None:
        """Go on with a process that can be forked."""
        self.forks = inherited.forks
        try:
            self.child = begin(inherited, self)
        except LaunchFailed:
            self.end()
        else:
            self.line_received(b"ready")

    def hand_over(self, key: str) -> InheritedTemplate | None:
        """Return it for the next program of this process; None where it cannot be forked."""
        child = self.child
        if child is None or not (self.is_ready and child.goes_on):
            return None
        self._ended, self.child = None, None
        self._timer.cancel()
        return InheritedTemplate(key, child.hand_over(), left_open(self._socket.detach()), self.forks)

    def settled(self) -> Deferred[None]:
        """Fire when it is known whether it can be forked."""
        return succeed(None) if self.is_ready or self._ended is None else self._waiting.wait()

    def line_received(self, line: bytes) -> None:
        """Take the template's report."""
        word, _, reason = line.partition(b" ")
        if word == b"ready" and self._ended is not None:
            self.is_ready = True
            self._timer.reset(IDLE_S)
            self._waiting.over(None)
        elif word == b"plain":
            self.end(reason.decode(errors="replace"))

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Ignore it: the child is killed, and its end follows."""

    def gone(self, why: Gone) -> None:
        """Note that the process has ended."""
        last = why.last_words.rpartition("\n")[2]
        self.end(f"its template ended{': ' * bool(last)}{last}")

    def end(self, reason: str = "") -> Deferred[None]:
        """Stop it; fires when no process of it is left.

        :param reason: the reason for plain starts from now on; empty for none.
        """
        ended, self._ended = self._ended, None
        if ended is not None:
            self.is_ready = False
            if self._timer.active():
                self._timer.cancel()
            self._socket.close()
            ended(reason)
            self._waiting.over(None)
        return self.child.stop() if self.child is not None else succeed(None)

    def fork(self, marker: str, streams: Sequence[int], ward: IWard) -> int:
        """Fork a process with these descriptors as its stdin, stdout and stderr, and return its pid.

        :param marker: the entry of the environment that only this process has.
        :raise OSError: there is no process; the text says why.
        """
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", streams))
            self._socket.sendmsg([os.fsencode(marker)], [rights])
            said = self._answer()
        except OSError as why:
            ward.kill_bearing(marker)
            self.end(f"its template does not fork: {why.strerror or why}")
            raise
        if not said.isdecimal():
            ward.kill_bearing(marker)  # it may have forked before its end
            reason = said[1:] or "its template ended"
            self.end(reason if said.startswith("!") else "")
            raise OSError(0, reason)
        self.forks += 1
        self._timer.reset(IDLE_S)
        return int(said)

    def _answer(self) -> str:
        try:
            return self._socket.recv(PACKET_BYTES).decode(errors="replace")
        except TimeoutError:
            if self.child is not None:
                self.child.kill()
            # It may have forked before its end.
            return self._socket.recv(PACKET_BYTES).decode(errors="replace")


@define(eq=False)
class _Launches:
    """The starts of one launch."""

    children: list[Child] = field(factory=list)
    asked_at: float = float("-inf")
    reason: str = ""
    refused_until: float = 0.0
    template: Template | None = None

    @property
    def runs(self) -> bool:
        self.children[:] = [each for each in self.children if not each.has_exited]
        return bool(self.children)


class Templates:
    """The templates of all launches of Python servers.

    :param start: starts the process of a template.
    """

    log = Logger()

    def __init__(self, reactor: Any, ward: IWard, start: StartTemplate) -> None:
        self._reactor, self._ward, self._start = reactor, ward, start
        self._all: dict[str, _Launches] = {}
        self._is_closed = False

    def all(self) -> list[Template]:
        """Return the templates that can be forked."""
        found = (each.template for each in self._all.values())
        return [each for each in found if each is not None and each.is_ready]

    def pids(self) -> list[int]:
        """Return the processes of all templates."""
        found = (each.template.child for each in self._all.values() if each.template is not None)
        return [each.pid for each in found if each is not None and not each.has_exited]

    def prepare(self, launch: Launch, program: str) -> Deferred[Launch]:
        """Have a template ready where the launch has a second child, and say how the launch is started.

        :param program: the absolute path of the launch's program.
        """
        entry = python_entry(program, launch.argv[1:]) if sys.platform == "linux" else None
        if entry is None or self._is_closed:
            return succeed(evolve(launch, started="plainly: it is no console script and no module of Python"))
        known = self._known(_key(launch))
        now = self._reactor.seconds()
        is_second = known.runs or now - known.asked_at < TOGETHER_S
        known.asked_at = now
        if known.template is None and known.reason and now < known.refused_until:
            return succeed(evolve(launch, started=f"plainly: {known.reason}"))
        if known.template is None and is_second:
            self._begin(launch, entry, known)
        if known.template is None:
            return succeed(evolve(launch, started=f"plainly: {known.reason or 'it is the first child'}"))

        def settled(_: None) -> Launch:
            return evolve(launch, started=FORKED if known.template else f"plainly: {known.reason}")

        return known.template.settled().addCallback(settled)

    def _known(self, key: str) -> _Launches:
        while len(self._all) >= LAUNCHES_LIMIT and key not in self._all:
            oldest = min(self._all, key=lambda each: self._all[each].asked_at)
            forgotten = self._all.pop(oldest)
            if forgotten.template is not None:
                forgotten.template.end()
        return self._all.setdefault(key, _Launches())

    def _begin(self, launch: Launch, entry: PythonEntry, known: _Launches) -> None:
        ended = self._end_of(launch.server, known)
        known.template = template = Template(self._reactor, launch.server, ended)
        command = evolve(launch, argv=entry.template, told=None, is_heard=True)
        template.begin(command, self._start)

    def take_over(self, inherited: InheritedTemplate, begin: TakeOverTemplate) -> None:
        """Take over a template of the former program of this process."""
        known, server = self._known(inherited.key), inherited.child.server
        control = socket.socket(fileno=inherited.control)
        known.template = template = Template(self._reactor, server, self._end_of(server, known), control)
        template.take_over(inherited, begin)

    def hand_over(self) -> Iterator[InheritedTemplate]:
        """Return the templates that can be forked, for the next program of this process."""
        for key, known in self._all.items():
            if known.template is not None and (inherited := known.template.hand_over(key)) is not None:
                known.template = None
                yield inherited

    def _end_of(self, server: str, known: _Launches) -> Callable[[str], None]:
        def ended(reason: str) -> None:
            known.template = None
            known.reason, known.refused_until = reason, self._reactor.seconds() + REFUSAL_S
            if reason:
                self.log.info(
                    "{server} is started plainly, not forked: {why}",
                    event="template.refused",
                    server=server,
                    why=reason,
                )

        return ended

    def find(self, launch: Launch) -> Template | None:
        """Return the template that a launch is forked from; None where it is started plainly."""
        known = self._all.get(_key(launch))
        if known is None or launch.lease is not None or known.template is None or not known.template.is_ready:
            return None
        return known.template

    def started(self, launch: Launch, child: Child) -> None:
        """Count a child of a launch."""
        if (known := self._all.get(_key(launch))) is not None:
            known.children.append(child)

    def close(self) -> Deferred[Any]:
        """End all templates, and start no more; fires when none is left."""
        self._is_closed = True
        found = [each.template for each in self._all.values() if each.template is not None]
        return gatherResults([each.end() for each in found])


def _key(launch: Launch) -> str:
    parts = (launch.argv, launch.cwd, sorted(launch.env.items()))
    return sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()
