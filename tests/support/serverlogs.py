"""Logs of servers that are kept in memory, on a disk that may be full."""

from __future__ import annotations

from mcpgateway.errors import ConfigError


class MemoryLog:
    """Stands for `mcpgateway.system.logs.server_log.ServerLogFile`, in memory.

    :ivar is_full: there is no room for more.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_full = False

    def append(self, lines: list[str]) -> None:
        """Add lines.

        :raise ConfigError: there is no room.
        """
        if self.is_full:
            raise ConfigError("the disk is full")
        self.lines += lines

    def tail(self, number: int) -> list[str]:
        """The last lines."""
        return self.lines[-number:] if number else []
