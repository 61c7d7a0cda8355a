"""Which sockets listen at a TCP port of this machine; nothing where the system does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

LISTEN = "0A"  # proc(5), net/tcp: the state TCP_LISTEN


def listening(port: int, proc: str = "/proc") -> Iterator[tuple[int, int]]:
    """Each socket's inode, and the uid of whose it is."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        with suppress(OSError, ValueError, IndexError), open(f"{proc}/net/{table}") as rows:
            for row in rows:
                fields = row.split()
                if fields[3] == LISTEN and fields[1].endswith(wanted):
                    yield int(fields[9]), int(fields[7])
