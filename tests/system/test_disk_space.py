"""The test whether the gateway's home can be written to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from twisted.internet.task import Clock

from mcpgateway.system.disk_space import AGAIN_S, DiskSpace


def write_to_full(descriptor: int, data: bytes) -> int:
    """Fail as a write to a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class RoomTests:
    """The verdict on a directory."""

    def test_well(self, tmp_path: Path) -> None:
        """Where there is room nothing is said, and nothing is left there."""
        assert DiskSpace(str(tmp_path), Clock().seconds).lack() == ""
        assert list(tmp_path.iterdir()) == []

    def test_full(self, tmp_path: Path) -> None:
        """A full disk is called that, with the place."""
        lack = DiskSpace(str(tmp_path), Clock().seconds, write_to_full).lack()
        assert lack == f"{tmp_path}: nothing can be written: the disk is full"

    def test_gone(self, tmp_path: Path) -> None:
        """A home that has gone is said to be, for a while; then it is looked at again."""
        clock, home = Clock(), tmp_path / "home"
        room = DiskSpace(str(home), clock.seconds)
        assert room.lack() == f"{home}: nothing can be written: No such file or directory"
        home.mkdir()
        clock.advance(AGAIN_S - 1)
        assert room.lack() != ""
        clock.advance(1)
        assert room.lack() == ""
