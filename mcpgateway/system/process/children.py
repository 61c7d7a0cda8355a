"""Guard the children of this gateway: on disk, through the guardian, and by signals."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals

import msgspec

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.records import FrozenRecord
from mcpgateway.system.process import processes
from mcpgateway.system.process.freezing import Freezer
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry

PIPES = 6  # descriptors that a spawn takes, three of them until the child ends


class ChildGuard(FrozenRecord, frozen=True):
    """The services of this machine that backends use.

    The constructor also keeps children from inheriting the descriptors that the gateway was started with.
    """

    registry: ChildRegistry
    guardian: Guardian
    freezer: Freezer = msgspec.field(default_factory=Freezer)

    def __post_init__(self) -> None:
        processes.seal_descriptors()

    @property
    def instance(self) -> str:
        """The value of the variable that marks every child of this gateway."""
        return self.registry.instance

    @contextmanager
    def spawning(self) -> Iterator[None]:
        """Restore the original limits and start the guardian for the time of a spawn.

        :raise OSError: no more files can be opened.
        """
        if processes.files_left() < PIPES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.guardian.start()
        with processes.original_nofile():
            yield

    def added(self, pid: int, server: str) -> None:
        """Record a child, the leader of the process group of that number."""
        self.registry.added(pid, server)
        self.guardian.added(pid)
        self.freezer.added(pid)

    def kept(self, pid: int, server: str, stopped: dict[int, int]) -> None:
        """Record a child of the former program of this process, with what `stopped` has returned there."""
        self.registry.kept(pid, server)
        self.guardian.added(pid)
        self.freezer.added(pid, stopped)

    def removed(self, pid: int) -> None:
        """Forget a child of whose process group no process is left."""
        self.registry.removed(pid)
        self.guardian.removed(pid)
        self.freezer.removed(pid)

    def limit(self, marker: str, deadline: float, pid: int = 0) -> None:
        """Have the guardian kill a child at a time by the clock of the boot, whatever the gateway does then.

        :raise OSError: the guardian does not run.
        """
        self.guardian.start()
        self.guardian.limit(marker, deadline, pid)
        if self.guardian.pid is None:
            raise OSError(errno.ESRCH, "the guardian does not run")

    def unlimit(self, marker: str) -> None:
        """Take the deadline of a child back, which has ended."""
        self.guardian.unlimit(marker)

    def signal_group(self, pgid: int, number: Signals) -> bool:
        """Signal a whole process group; false where it has no process left."""
        return processes.signal_group(pgid, number)

    def group_is_alive(self, pgid: int) -> bool:
        """True if a process group has a process left."""
        return processes.group_is_alive(pgid)

    def stopped(self, pid: int) -> dict[int, int]:
        """Return the processes of a frozen child that SIGSTOP has frozen, with their start times."""
        return self.freezer.stopped(pid)

    def freeze(self, pid: int, marker: str) -> bool:
        """Freeze all processes of a child, those that bear the marker among them; false where that is not possible."""
        return self.freezer.freeze(pid, marker)

    def thaw(self, pid: int) -> None:
        """Let a frozen child go on."""
        self.freezer.thaw(pid)

    def page_out(self, pid: int, marker: str) -> bool:
        """Begin to move the memory of a frozen child to swap; false where there is none."""
        return self.freezer.page_out(pid, marker)

    def kill_bearing(self, marker: str) -> int:
        """Send SIGKILL to every process whose environment holds this entry, and return their number."""
        return processes.kill_bearing(marker)

    def hand_over(self) -> tuple[int, int] | None:
        """Return the guardian's process id and pipe for the next program, under which its children go on.

        None where there is no guardian; the children then have to end.
        """
        return self.guardian.hand_over()

    def close(self) -> None:
        """Stop the guardian and remove the record, after every child has been stopped."""
        processes.kill_bearing(
            f"{INSTANCE_MARKER}={self.instance}"
        )  # children that have left their process groups
        self.guardian.stop()
        self.registry.close()
