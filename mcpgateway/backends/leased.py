"""The end of a child whose lease ends: by the gateway, and by the guardian where the gateway is frozen."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

from mcpgateway.interfaces import ILease, IWard
from mcpgateway.records import Record

LOOK_S = 0.05  # between two looks whether a process of an ended child is left


class ILeasedChild(Protocol):
    """A child under a lease.

    :ivar pid: its process id, also its process group; 0 before its start.
    """

    pid: int

    def kill(self) -> None:
        """KILL the whole group now."""


class LeasedChild(Record):
    """Keeps the deadline of a child as its lease has it, and tells the lease when none of its processes is left.

    :param marker: the entry of its environment that only its processes have.
    """

    _clock: Any
    _ward: IWard
    _lease: ILease
    _marker: str
    _child: ILeasedChild

    @property
    def named(self) -> tuple[str, int]:
        """The name and the fence of the lease."""
        return self._lease.name, self._lease.fence

    @property
    def is_held(self) -> bool:
        """True while the child may run."""
        return self._lease.is_held

    def begin(self) -> None:
        """Supervise the child that is about to start.

        :raise OSError: the deadline cannot be supervised, or the lease has ended.
        """
        if not self._lease.is_held:
            raise OSError(0, "its lease has ended")
        self._ward.limit(self._marker, self._lease.deadline)
        self._lease.begun()
        self._lease.on_renewed.append(self._renewed)
        self._lease.on_lost.append(self._lost)

    def started(self) -> None:
        """Supervise the process group as well, which is known now."""
        self._renewed(self._lease.deadline)

    def end(self) -> None:
        """Supervise the child no more once none of its processes is left."""
        if self._child.pid and self._ward.group_is_alive(self._child.pid) | bool(
            self._ward.kill_bearing(self._marker)
        ):
            self._clock.callLater(LOOK_S, self.end)
            return
        self._ward.unlimit(self._marker)
        if self._renewed in self._lease.on_renewed:
            self._lease.on_renewed.remove(self._renewed)
            self._lease.on_lost.remove(self._lost)
            self._lease.ended()

    def _renewed(self, deadline: float) -> None:
        with suppress(OSError):  # a guardian that has been killed learns the deadline at its next start
            self._ward.limit(self._marker, deadline, self._child.pid)

    def _lost(self) -> None:
        self._child.kill()
        self._ward.kill_bearing(self._marker)
