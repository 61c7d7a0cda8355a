"""Look after the children of this gateway: on disk, through the guardian, and by signal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals

from attrs import frozen

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.system.process import processes
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry

PIPES = 6  # descriptors that a spawn takes, three of them for as long as the child lives


@frozen
class ChildGuard:
    """The services of this machine that backends use.

    Making one also keeps children from inheriting the descriptors that the gateway was started with.
    """

    registry: ChildRegistry
    guardian: Guardian

    def __attrs_post_init__(self) -> None:
        processes.seal_descriptors()

    @property
    def instance(self) -> str:
        """The variables that mark every child of this gateway."""
        return self.registry.instance

    @contextmanager
    def spawning(self) -> Iterator[None]:
        """The circumstances a spawn happens in: our own limits put back, the guardian awake.

        :raise OSError: no more files can be opened.
        """
        if processes.files_left() < PIPES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.guardian.start()
        with processes.original_nofile():
            yield

    def added(self, pid: int, server: str) -> None:
        """A child runs, leader of the process group of that number."""
        self.registry.added(pid, server)
        self.guardian.added(pid)

    def removed(self, pid: int) -> None:
        """Nothing is left of that child."""
        self.registry.removed(pid)
        self.guardian.removed(pid)

    def signal_group(self, pgid: int, number: Signals) -> bool:
        """Signal a whole process group; false when nothing is left of it."""
        return processes.signal_group(pgid, number)

    def group_is_alive(self, pgid: int) -> bool:
        """Whether anything of a process group is left."""
        return processes.group_is_alive(pgid)

    def kill_bearing(self, marker: str) -> int:
        """KILL every process whose environment holds this entry; how many there were."""
        return processes.kill_bearing(marker)

    def close(self) -> None:
        """Every child has been stopped: nothing is left to guard or to remember."""
        processes.kill_bearing(
            f"{INSTANCE_MARKER}={self.instance}"
        )  # whatever slipped through every other net
        self.guardian.stop()
        self.registry.close()
