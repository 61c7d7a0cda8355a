"""The socket at which a service manager listens to its services, as systemd opens one."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable

LIMIT_S = 60.0

Message = dict[str, str]


class Manager:
    """The messages that arrive at a socket of either kind.

    :ivar address: as it stands in ``NOTIFY_SOCKET``; it begins with ``@`` where it has no path.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[Message]:
        """The messages since it was last asked."""
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> Message | None:
        try:
            lines = self._socket.recv(65536).decode().split("\n")
        except BlockingIOError:
            return None
        return dict(line.split("=", 1) for line in lines)

    def until(self, holds: Callable[[Message], object]) -> list[Message]:
        """Wait for a message; those before it, and itself at the end."""
        found: list[Message] = []
        ends = time.monotonic() + LIMIT_S
        while not (found and holds(found[-1])):
            if not select.select([self._socket], [], [], max(ends - time.monotonic(), 0))[0]:
                raise AssertionError(f"no such message; there were {found}")
            message = self._next()
            assert message is not None
            found.append(message)
        return found

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        if not self.address.startswith("@") and os.path.exists(self.address):
            os.unlink(self.address)
