"""The log of a server on disk: private, turned over, read from its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcpgateway.errors import Misplaced
from mcpgateway.system.logs.server_log import TAIL_BYTES, ServerLogFile, path_of


class ServerLogFileTests:
    """The file of a log and the one before it."""

    def test_private(self, tmp_path: Path) -> None:
        """The log of a server and its directory are private to their owner."""
        file = ServerLogFile(str(tmp_path / "logs" / "one.log"))
        before = os.umask(0)
        try:
            file.append(["a", "b"])
        finally:
            os.umask(before)
        os.chmod(file.path, 0o644)
        file.append(["c"])
        assert os.stat(file.path).st_mode & 0o777 == 0o600
        assert os.stat(tmp_path / "logs").st_mode & 0o777 == 0o700
        assert file.tail(2) == ["b", "c"]

    def test_turning(self, tmp_path: Path) -> None:
        """A large file is rotated once; the history goes on across that."""
        file = ServerLogFile(str(tmp_path / "one.log"), rotate_bytes=100)
        for number in range(50):
            file.append([f"line {number:03}"])
        assert sorted(os.listdir(tmp_path)) == ["one.log", "one.log.1"]
        assert max(os.stat(tmp_path / each).st_size for each in os.listdir(tmp_path)) <= 100
        assert file.tail(14) == [f"line {number:03}" for number in range(36, 50)]

    def test_no_gap(self, tmp_path: Path) -> None:
        """Of two files that are larger than what is read of one, only the latest lines are had, without a gap."""
        written = [f"line {number:06}" for number in range(60_000)]
        for bytes_read, fewest in ((1000, 80), (500_000, 41_000)):
            path = tmp_path / f"{bytes_read}.log"
            file = ServerLogFile(str(path), rotate_bytes=480_000, tail_bytes=bytes_read)
            for at in range(0, len(written), 1000):
                file.append(written[at : at + 1000])
            found = file.tail(100_000)
            assert len(found) >= fewest
            assert found == written[-len(found) :]

    def test_what_lies_in_the_way(self, tmp_path: Path) -> None:
        """A link or a pipe is neither written to nor read."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text("secret\n")
        (tmp_path / "one.log").symlink_to(elsewhere)
        os.mkfifo(tmp_path / "two.log")
        for name in ("one", "two"):
            file = ServerLogFile(str(tmp_path / f"{name}.log"))
            with pytest.raises(Misplaced):
                file.append(["x"])
            assert file.tail(3) == []
        assert elsewhere.read_text() == "secret\n"

    def test_half_a_line(self, tmp_path: Path) -> None:
        """A line without an end is left out, and so is the half line where reading begins."""
        path = tmp_path / "one.log"
        path.write_text("x" * TAIL_BYTES + "\none\ntwo\nthr")
        assert ServerLogFile(str(path)).tail(10) == ["one", "two"]

    def test_names(self) -> None:
        """No name leads out of the directory, and none to the gateway's own log."""
        paths = [path_of("/d", each) for each in ("one", "../one", "gateway", "gateway%", "a/b", "..")]
        assert len(set(paths)) == len(paths)
        assert "/d/gateway.log" not in paths
        assert all(os.path.dirname(each) == "/d" for each in paths)
