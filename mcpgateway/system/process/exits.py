"""When a process ends that is not our child, told by the kernel."""

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

    Where there are none (macOS, Linux before 5.3) nothing is watched, and `watch` says so.

    :param reactor: what waits for the descriptors.
    :param opener: opens one for a process; None where the system has none.
    """

    log = Logger()

    def __init__(self, reactor: IReactorFDSet, opener: OpenPidfd | None = open_pidfd) -> None:
        self._reactor = reactor
        self._open = opener
        self._watched: dict[int, Pidfd] = {}

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> bool:
        """Have ``on_exit(pid)`` called once, when that process has ended; whether it will be.

        It will not where pidfds do not exist, when the process has gone already or may not be watched, and when no
        more files can be opened. A process that is watched already keeps the callback it has. The number may have
        been given to another process since the caller learnt it: its start time tells.
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
        """Stop watching all of them."""
        for pid in list(self._watched):
            self.forget(pid)

    def _ended(self, pid: int, on_exit: Callable[[int], None]) -> None:
        self.forget(pid)
        try:
            on_exit(pid)
        except Exception:  # noqa: BLE001 - the reactor must not learn of it
            self.log.failure("the end of process {pid} could not be told", event="exit.failed", pid=pid)


@implementer(IReadDescriptor)
class Pidfd:
    """One process, as a file that can be read once the process has ended.

    :param descriptor: the file.
    :param ended: what is called then.
    :param lost: what is called when the reactor lets go of it for another reason, as it does when it stops.
    """

    def __init__(self, descriptor: int, ended: Callable[[], None], lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._ended = ended
        self._lost = lost

    def fileno(self) -> int:
        """The file, or -1 once it is closed."""
        return self._descriptor

    def doRead(self) -> None:
        """The reactor believes that the process has ended."""
        # It may be mistaken: within one turn, another process's end may have closed a file and this one may have got
        # its number, and with it the news of the closed one.
        if self._descriptor >= 0 and is_readable(self._descriptor):
            self._ended()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has let go of it."""
        self._lost()

    def logPrefix(self) -> str:
        """The name of this way in the log."""
        return "pidfd"

    def close(self) -> None:
        """Give the file back, once."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def is_readable(descriptor: int) -> bool:
    """Whether something can be read at once."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    events: list[Any] = poll.poll(0)
    return bool(events)
