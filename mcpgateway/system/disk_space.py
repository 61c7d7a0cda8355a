"""Whether anything can be written to the gateway's home: what it keeps there is lost otherwise, and mostly silently."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

LEAST_BYTES = 1_048_576  # what is kept is written anew as a whole, beside what is there
TRIED = bytes(4096)  # more than a file system keeps beside its inodes
AGAIN_S = 10.0  # health is asked often, and a disk does not fill or empty in a moment


class DiskSpace:
    """The room that there is for files in a directory.

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
        """Why nothing can be written there, or hardly anything; empty where all is well. It may be some seconds old."""
        now = self._seconds()
        if self._looked_at is None or now - self._looked_at >= AGAIN_S:
            self._looked_at, self._lack = now, self._look()
        return self._lack

    def _look(self) -> str:
        # What a file system says of its room knows of no quota, and a disk that fails does so when it is written to.
        import tempfile  # health is asked once the gateway runs, and nothing else of it makes such files

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
