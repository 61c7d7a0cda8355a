"""Keep the guardian process alive, and told which process groups are children."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.system.process import guardian_main

RESTART_S, RESTART_LIMIT_S = 1.0, 60.0


class _Helper(ProcessProtocol):
    """Twisted's side of the guardian process."""

    transport: Any

    def __init__(self, owner: Guardian) -> None:
        self._owner = owner

    def connectionMade(self) -> None:
        """The guardian runs."""
        self._owner.running(self)

    def processExited(self, reason: Failure) -> None:
        """The guardian has ended, by the gateway's wish or by a signal."""
        self._owner.died(self)


class Guardian:
    """The gateway's insurance: a helper that kills every child when the gateway itself is killed.

    It is started with the first child, so an idle gateway does not pay for it; or at once, where there is
    something to do after the gateway's end.

    :param afterwards: what it becomes when the gateway was killed and all is cleared up; empty for nothing.
    """

    log = Logger()

    def __init__(self, reactor: Any, instance: str, afterwards: Sequence[str] = ()) -> None:
        self._afterwards = tuple(afterwards)
        self._reactor = reactor
        self._instance = instance
        self._groups: set[int] = set()
        self._helper: _Helper | None = None
        self._wanted = False
        self._is_bequeathed = False
        self._delay = RESTART_S

    @property
    def pid(self) -> int | None:
        """The helper's process id, while it runs."""
        return self._helper.transport.pid if self._helper is not None else None

    def start(self) -> None:
        """Have the helper run from now on."""
        if not self._wanted:
            self._wanted = True
            self._spawn()

    def _spawn(self) -> None:
        if not self._wanted or self._helper is not None:
            return
        null = os.open(os.devnull, os.O_RDWR)
        args = [sys.executable, "-I", "-S", guardian_main.__file__, f"{INSTANCE_MARKER}={self._instance}"]
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
        # It must not bear the marker itself; the rest is for what it becomes in the end.
        return {name: value for name, value in os.environ.items() if name != INSTANCE_MARKER}

    def running(self, helper: _Helper) -> None:
        """The helper runs: tell it what there is to guard."""
        self._helper = helper
        self._tell_afterwards()
        for group in self._groups:
            self._tell(f"+{group}")

    def died(self, helper: _Helper) -> None:
        """The helper has gone; while it is wanted, it comes back."""
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
        """A child has been started, leader of this process group."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def removed(self, group: int) -> None:
        """Nothing is left of that group."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def bequeath(self, afterwards: Sequence[str]) -> None:
        """Have the helper become this when the gateway has ended, in order or not, in place of all else."""
        self._afterwards, self._is_bequeathed = tuple(afterwards), True
        if self._helper is not None:
            self._tell_afterwards()
        self.start()

    def _tell_afterwards(self) -> None:
        if self._afterwards:
            self._tell("=" + " ".join(os.fsencode(word).hex() for word in self._afterwards))

    def stop(self) -> None:
        """Send the helper home, or to what it is to become; nothing is left to guard."""
        self._wanted = False
        if self._is_bequeathed:
            return  # it begins when this process has gone, which says in the end that it ends
        self._tell("bye")
        if self._helper is not None:
            self._helper.transport.closeStdin()

    def _tell(self, line: str) -> None:
        if self._helper is not None:
            self._helper.transport.write(line.encode() + b"\n")
