"""The log of one server on disk: private, appended to, turned over when it is large."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from urllib.parse import quote

from attrs import define

ROTATE_BYTES = 5 * 1_048_576
TAIL_BYTES = 1_048_576  # of the end of a file, in which history is looked for
OURS = "gateway"  # whose log lies there too


def path_of(directory: str, server: str) -> str:
    """Where the log of a server is; no two have the same, and none has the gateway's own."""
    name = quote(server, safe="")
    # A quoted name has no bare percent sign at its end.
    return os.path.join(directory, f"{name}%.log" if name == OURS else f"{name}.log")


@define
class ServerLogFile:
    """One file and the one before it, of which the name ends in ``.1``.

    It is opened for every write: many servers have one, few of them say anything.
    """

    path: str
    rotate_bytes: int = ROTATE_BYTES

    def append(self, lines: list[str]) -> None:
        """Add lines.

        :raise OSError: they cannot be written; none or some are.
        """
        data = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        descriptor = self._open()
        try:
            if os.fstat(descriptor).st_size + len(data) > self.rotate_bytes and os.fstat(descriptor).st_size:
                os.close(descriptor)
                descriptor = -1
                os.replace(self.path, f"{self.path}.1")
                descriptor = self._open()
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
            descriptor = os.open(self.path, flags, 0o600)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise OSError(0, "it is no regular file")
        if stat.S_IMODE(found.st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
        return descriptor

    def tail(self, number: int) -> list[str]:
        """The last lines, the oldest first; what cannot be read is as good as absent."""
        found = _last_lines(self.path, number)
        if len(found) < number:
            found = _last_lines(f"{self.path}.1", number - len(found)) + found
        return found


def _last_lines(path: str, number: int) -> list[str]:
    if number <= 0:
        return []
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return []
            size = file.seek(0, os.SEEK_END)
            at = max(0, size - TAIL_BYTES)
            file.seek(at)
            lines = file.read(TAIL_BYTES).split(b"\n")
        # The first may be half a line, and what no line break follows was not written to its end.
        lines = lines[1 if at else 0 : -1]
        return [line.decode(errors="replace") for line in lines[-number:]]
    return []
