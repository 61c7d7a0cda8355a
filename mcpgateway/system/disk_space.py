"""The check whether files can be written to the gateway's home: otherwise its records are lost, and mostly silently."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

LEAST_BYTES = 1_048_576  # files are replaced by new ones, which are written beside them
TRIED = bytes(4096)  # more than a file system keeps beside its inodes
AGAIN_S = 10.0  # health is requested often, and a disk does not fill or empty in a moment


class DiskSpace:
    """The check of a directory for room, with its result kept for a while.

    :param seconds: a clock.
    :param write: writes to a descriptor, for tests; as `os.write`.
    """

    def __init__(
        self, directory: str, seconds: Callable[[], float], write: Callable[[int, bytes], int] = os.write
    ) -> None:
        self._directory = directory
        self._seconds = seconds
        self._write = write
        self._looked_at: float | None = None
        self._lack = ""

    def lack(self) -> str:
        """Return why hardly anything can be written there; empty where all is well. The result may be `AGAIN_S` old."""
        now = self._seconds()
        if self._looked_at is None or now - self._looked_at >= AGAIN_S:
            self._looked_at, self._lack = now, self._look()
        return self._lack

    def _look(self) -> str:
        # The numbers of a file system include no quota, and a failing disk shows only when it is written to.
        import tempfile  # health is requested once the gateway runs, and no other part of it makes such files

        try:
            with tempfile.TemporaryFile(dir=self._directory, buffering=0) as file:
                self._write(file.fileno(), TRIED)
            found = os.statvfs(self._directory)
        except OSError as why:
            what = "the disk is full" if why.errno == errno.ENOSPC else why.strerror or str(why)
            return f"{self._directory}: nothing can be written: {what}"
        left = found.f_bavail * found.f_frsize
        if left < LEAST_BYTES:
            return f"{self._directory}: the disk is full but for {left // 1024} KiB"
        return ""
