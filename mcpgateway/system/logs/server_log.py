"""The log of one server on disk: private, appended to, and rotated when it is large."""

from __future__ import annotations

import os
from contextlib import suppress
from urllib.parse import quote

from mcpgateway.errors import ConfigError
from mcpgateway.records import Record
from mcpgateway.system import home_files

ROTATE_BYTES = 5 * 1_048_576
TAIL_BYTES = 1_048_576  # the part at the end of a file that is searched for lines
BLOCK_BYTES = 262_144
OURS = "gateway"  # the gateway's own log is in the same directory


def path_of(directory: str, server: str) -> str:
    """Return the path of a server's log; no two servers share one, and none has the gateway's own."""
    name = quote(server, safe="")
    # A quoted name has no bare percent sign at its end.
    return os.path.join(directory, f"{name}%.log" if name == OURS else f"{name}.log")


class ServerLogFile(Record):
    """One log file and the one before it, whose name ends in ``.1``.

    The file is opened for every write: many servers have one, and few of them write often.

    :ivar tail_bytes: the part at the end of each of the two files that is searched for lines.
    """

    path: str
    rotate_bytes: int = ROTATE_BYTES
    tail_bytes: int = TAIL_BYTES

    def append(self, lines: list[str]) -> None:
        """Append lines.

        :raise ConfigError: the lines cannot be written, or not all of them.
        """
        try:
            self._append(lines)
        except OSError as why:
            raise home_files.refused(str(why.filename2 or self.path), "written", why) from why

    def _append(self, lines: list[str]) -> None:
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
        directory = os.path.dirname(self.path)
        if not home_files.is_directory(directory):
            home_files.make_directory(directory)
        return home_files.open_to_write(self.path)

    def tail(self, number: int) -> list[str]:
        """Return the last lines, the oldest first; a file that cannot be read counts as missing."""
        found, is_whole = _last_lines(self.path, number, self.tail_bytes)
        if is_whole and len(found) < number:
            found = _last_lines(f"{self.path}.1", number - len(found), self.tail_bytes)[0] + found
        return found


def _last_lines(path: str, number: int, most: int) -> tuple[list[str], bool]:
    """Return the last lines within so many bytes, and whether nothing of the file precedes them."""
    with suppress(ConfigError, OSError):
        with os.fdopen(home_files.open_to_read(path), "rb") as file:
            at = file.seek(0, os.SEEK_END)
            least, blocks, breaks = max(0, at - most), list[bytes](), 0
            while at > least and breaks <= number:
                start = max(least, at - BLOCK_BYTES)
                file.seek(start)
                blocks.append(file.read(at - start))
                at = start
                breaks += blocks[-1].count(b"\n")
        # The first line may be incomplete, and text without a line break at its end was not written completely.
        lines = b"".join(reversed(blocks)).split(b"\n")[1 if at else 0 : -1]
        return [line.decode(errors="replace") for line in lines[-number:]], not at
    return [], True
