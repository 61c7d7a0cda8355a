"""Keep the guardian process running, and report to it which process groups are children."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import cache_from_source
from typing import Any

from twisted.internet.process import unregisterReapProcessHandler
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.system.process import guardian_main
from mcpgateway.system.process.handover import kept_open
from mcpgateway.system.process.inherited import InheritedProcess

RESTART_S, RESTART_LIMIT_S = 1.0, 60.0


class _Helper(ProcessProtocol):
    """Twisted's side of the guardian process."""

    transport: Any

    def __init__(self, owner: Guardian) -> None:
        self._owner = owner

    def connectionMade(self) -> None:
        """Report that the guardian runs."""
        self._owner.running(self)

    def processExited(self, reason: Failure) -> None:
        """Report that the guardian has ended, with the gateway or by a signal."""
        self._owner.died(self)


class Guardian:
    """The gateway's side of the guardian, a process that kills every child when the gateway itself is killed.

    The guardian is started with the first child, so that an idle gateway needs no second process; or at once, where a
    command is to be run after the gateway's end.

    :param afterwards: the command that the guardian executes after it has cleaned up behind a killed gateway; empty for
        none.
    """

    log = Logger()

    def __init__(self, reactor: Any, instance: str, afterwards: Sequence[str] = ()) -> None:
        self._afterwards = tuple(afterwards)
        self._reactor = reactor
        self._instance = instance
        self._groups: set[int] = set()
        self._deadlines: dict[str, str] = {}
        self._helper: _Helper | None = None
        self._wanted = False
        self._is_bequeathed = False
        self._delay = RESTART_S

    @property
    def pid(self) -> int | None:
        """The guardian's process id, while it runs; else None."""
        return self._helper.transport.pid if self._helper is not None else None

    @property
    def is_wanted(self) -> bool:
        """Return whether there are children that need it."""
        return self._wanted

    def start(self) -> None:
        """Keep the guardian running from now on."""
        if not self._wanted:
            self._wanted = True
            self._spawn()

    def hand_over(self) -> tuple[int, int] | None:
        """Return the guardian's process id and the pipe to it, for the next program of this process; None without it.

        The guardian does not notice the change.
        """
        helper, self._wanted = self._helper, False
        if helper is None or 0 not in helper.transport.pipes:
            return None
        unregisterReapProcessHandler(helper.transport.pid, helper.transport)
        pipe = helper.transport.pipes[0]
        os.set_blocking(pipe.fileno(), True)
        while pipe.dataBuffer or pipe._tempDataBuffer:  # noqa: SLF001 - Twisted has no public name for it
            pipe.doWrite()
        return helper.transport.pid, kept_open(pipe.fileno())

    def take_over(self, pid: int, pipe: int) -> None:
        """Go on with the guardian of the former program of this process."""
        self._wanted = True
        InheritedProcess(self._reactor, pid, {0: pipe}, _Helper(self))

    def _spawn(self) -> None:
        if not self._wanted or self._helper is not None:
            return
        null = os.open(os.devnull, os.O_RDWR)
        args = [sys.executable, "-I", "-S", _program(), f"{INSTANCE_MARKER}={self._instance}"]
        try:
            self._reactor.spawnProcess(
                _Helper(self), sys.executable, args, self._environ(), childFDs={0: "w", 1: null, 2: null}
            )
        except OSError as why:
            self.log.error("the guardian could not be started: {why}", event="guardian.failed", why=why)
            self._retry()
        finally:
            os.close(null)

    def _environ(self) -> dict[str, str]:
        # The guardian must not have the marker itself; the rest is for the command that it executes in the end.
        return {name: value for name, value in os.environ.items() if name != INSTANCE_MARKER}

    def running(self, helper: _Helper) -> None:
        """Send the state to the guardian, which has been started."""
        self._helper = helper
        self._tell_afterwards()
        for group in self._groups:
            self._tell(f"+{group}")
        for marker, deadline in self._deadlines.items():
            self._tell(f"@{marker} {deadline}")

    def died(self, helper: _Helper) -> None:
        """Start the guardian again after its end, while it is wanted."""
        if helper is not self._helper:
            return
        self._helper = None
        if self._wanted:
            self.log.warn("the guardian was killed and is started again", event="guardian.died")
            self._retry()

    def _retry(self) -> None:
        self._reactor.callLater(self._delay, self._spawn)
        self._delay = min(2 * self._delay, RESTART_LIMIT_S)

    def added(self, group: int) -> None:
        """Add the process group of a child that has been started."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def removed(self, group: int) -> None:
        """Remove a process group that has no process left."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def limit(self, marker: str, deadline: float, group: int = 0) -> None:
        """Set the time at which a child is killed, whatever the gateway does then.

        :param marker: an entry of the child's environment.
        :param deadline: seconds, by a clock that goes on while the machine sleeps.
        :param group: the process group of the child; 0 before its start.
        """
        self._deadlines[marker] = f"{deadline:.6f} {group}"
        self._tell(f"@{marker} {self._deadlines[marker]}", now=True)

    def unlimit(self, marker: str) -> None:
        """Take the deadline of a child back, which has ended."""
        if self._deadlines.pop(marker, None) is not None:
            self._tell(f"@{marker}")

    def bequeath(self, afterwards: Sequence[str]) -> None:
        """Make the guardian execute this command when the gateway has ended, in order or not, in place of any other."""
        self._afterwards, self._is_bequeathed = tuple(afterwards), True
        if self._helper is not None:
            self._tell_afterwards()
        self.start()

    def _tell_afterwards(self) -> None:
        if self._afterwards:
            self._tell("=" + " ".join(os.fsencode(word).hex() for word in self._afterwards))

    def stop(self) -> None:
        """Stop the guardian, or leave it to its command; no child is left to guard."""
        self._wanted = False
        if self._is_bequeathed:
            return  # the command begins when the end of this process closes the pipe
        self._tell("bye")
        if self._helper is not None:
            self._helper.transport.closeStdin()

    def _tell(self, line: str, *, now: bool = False) -> None:
        if self._helper is None:
            return
        self._helper.transport.write(line.encode() + b"\n")
        if now and 0 in self._helper.transport.pipes:
            # Not with the next turn of the reactor: the gateway may be frozen before.
            self._helper.transport.pipes[0].doWrite()


def _program() -> str:
    """Return the path of the guardian's program: its bytecode if that is new, since compiling leaves 0.5 MB behind."""
    source = guardian_main.__file__
    bytecode = cache_from_source(source)
    try:
        return bytecode if os.path.getmtime(bytecode) >= os.path.getmtime(source) else source
    except OSError:
        return source
