"""The locks that clients take before they write their own files.

Claude Code makes a directory ``<file>.lock``, touches it as long as it writes, and takes one away that was not touched
for 10 seconds.  It does not wait for others: it writes after all.  So the lock makes a collision less likely, and
nothing relies on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field

from mcpgateway.clientfiles.disk import DISK, Disk

WAIT_S = 2.0
STALE_S = 10.0
POLL_S = 0.05


@define(eq=False)
class ClientLock:
    """A lock that is a directory.

    :param path: the directory, which is there only while somebody has the lock.
    """

    path: str
    _disk: Disk = field(default=DISK, repr=False)
    _inode: int = 0

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Have the lock, or after 2 seconds go on without; says which."""
        self._inode = self._taken()
        try:
            yield self._inode != 0
        finally:
            self._release()

    def refresh(self) -> None:
        """Say that the lock is still in use; called between the steps of what it protects."""
        if self._inode:
            with suppress(OSError):
                self._disk.touch(self.path)

    def _taken(self) -> int:
        end = self._disk.now() + WAIT_S
        while True:
            try:
                self._disk.make_directory(self.path, 0o755)
                return self._disk.stat(self.path).st_ino
            except FileExistsError:
                self._remove_stale()
                if self._disk.now() >= end:
                    return 0
            except OSError:
                return 0  # where no directory can be made, the client can make none either
            self._disk.sleep(POLL_S)

    def _remove_stale(self) -> None:
        with suppress(OSError):
            if self._disk.now() - self._disk.stat(self.path).st_mtime > STALE_S:
                self._disk.remove_directory(self.path)

    def _release(self) -> None:
        inode, self._inode = self._inode, 0
        # A client that took ours for stale has made its own, which is not ours to remove.
        with suppress(OSError):
            if inode and self._disk.stat(self.path).st_ino == inode:
                self._disk.remove_directory(self.path)


def directory_lock(file: str, disk: Disk = DISK) -> ClientLock:
    """The lock of a file as Claude Code has it: beside the file itself, also where a link leads there."""
    return ClientLock(os.path.realpath(file) + ".lock", disk)
