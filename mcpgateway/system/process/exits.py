"""The end of processes that are no children of the gateway, as the kernel reports it."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

OpenPidfd = Callable[[int], int]

open_pidfd: OpenPidfd | None = getattr(os, "pidfd_open", None)  # such files are never passed on to children


class ExitWatch:
    """Watches processes through pidfds, one for each process.

    Where the system has none (macOS, Linux before 5.3) nothing is watched, and `watch` returns false.

    :param reactor: the reactor that waits for the descriptors.
    :param opener: opens the pidfd of a process; None where the system has none.
    """

    log = Logger()

    def __init__(self, reactor: IReactorFDSet, opener: OpenPidfd | None = open_pidfd) -> None:
        self._reactor = reactor
        self._open = opener
        self._watched: dict[int, Pidfd] = {}

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> bool:
        """Call ``on_exit(pid)`` once, when that process has ended; false where the process cannot be watched.

        That is so where pidfds do not exist, when the process has ended already or may not be watched, and when no more
        files can be opened. A process that is watched already keeps its callback. The pid may have been given to
        another process since the caller learnt it: its start time tells.
        """
        if pid in self._watched:
            return True
        if self._open is None:
            return False
        try:
            descriptor = self._open(pid)
        except (OSError, OverflowError):
            return False
        pidfd = Pidfd(descriptor, lambda: self._ended(pid, on_exit), lambda: self.forget(pid))
        try:
            self._reactor.addReader(pidfd)
        except OSError:  # the kernel limits how many descriptors a user may wait for
            pidfd.close()
            return False
        self._watched[pid] = pidfd
        return True

    def forget(self, pid: int) -> None:
        """Stop watching a process, if it is watched."""
        pidfd = self._watched.pop(pid, None)
        if pidfd is not None:
            self._reactor.removeReader(pidfd)
            pidfd.close()

    def close(self) -> None:
        """Stop watching all processes."""
        for pid in list(self._watched):
            self.forget(pid)

    def _ended(self, pid: int, on_exit: Callable[[int], None]) -> None:
        self.forget(pid)
        try:
            on_exit(pid)
        except Exception:  # noqa: BLE001 - the reactor must not be disturbed
            self.log.failure("the end of process {pid} could not be told", event="exit.failed", pid=pid)


@implementer(IReadDescriptor)
class Pidfd:
    """One process, as a file that can be read once the process has ended.

    :param descriptor: the pidfd.
    :param ended: called when the process has ended.
    :param lost: called when the reactor removes the descriptor for another reason, as it does when it stops.
    """

    def __init__(self, descriptor: int, ended: Callable[[], None], lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._ended = ended
        self._lost = lost

    def fileno(self) -> int:
        """Return the descriptor, or -1 once it is closed."""
        return self._descriptor

    def doRead(self) -> None:
        """Report the end of the process, if the descriptor is readable."""
        # Within one turn of the reactor, another callback may have closed a descriptor, and this one may have got its
        # number, and with it the event of the closed one.
        if self._descriptor >= 0 and is_readable(self._descriptor):
            self._ended()

    def connectionLost(self, reason: Failure) -> None:
        """Report that the reactor has removed the descriptor."""
        self._lost()

    def logPrefix(self) -> str:
        """Return the name of this reader in the log."""
        return "pidfd"

    def close(self) -> None:
        """Close the descriptor; call this once only."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def is_readable(descriptor: int) -> bool:
    """True if a descriptor can be read at once."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    events: list[Any] = poll.poll(0)
    return bool(events)
