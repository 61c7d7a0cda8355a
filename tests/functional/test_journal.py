"""The record of sessions when the process that wrote it has been killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest
from twisted.logger import capturedLogs

from mcpgateway.interfaces import SessionRecord
from mcpgateway.system.journal import Journal

pytestmark = pytest.mark.functional

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def written(path: str, number: int) -> list[int]:
    """Let a process write, and kill it once it has said that so many sessions are on record; all that it said."""
    command = [sys.executable, "-m", "tests.functional.writer_of_journal", path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        late = Timer(PATIENCE_S, writer.kill)
        late.start()
        try:
            said = [writer.stdout.readline() for _ in range(number)]
        finally:
            late.cancel()
            writer.kill()
        said += writer.stdout.readlines()
    return [int(line) for line in said if line.endswith(b"\n")]


def expected(number: int) -> SessionRecord:
    """The record that the writer writes."""
    serial = number.to_bytes(16, "big")
    if number % 3 == 0:
        return SessionRecord(serial, "", "", "2025-11-25", is_ended=True)
    uris = (f"a:{number}",)
    return SessionRecord(serial, "memory", "local", "2025-11-25", b"x" * (number % 2000), uris=uris)


class KillTests:
    """SIGKILL, in the middle of writing."""

    @pytest.mark.parametrize("number", [1, 40, 900, 3000])
    def test_nothing_that_was_told_is_lost(self, tmp_path: Path, number: int) -> None:
        """The record has every answer of a killed gateway, however much of it was in the log only."""
        path = str(tmp_path / "journal.db")
        said = written(path, number)
        assert len(said) >= number
        with capturedLogs() as logs:
            journal = Journal(path, lambda: 0.0)
        assert not logs
        for each in said:
            assert journal.find(each.to_bytes(16, "big")) == expected(each)
        journal.close()

    def test_killed_again_and_again(self, tmp_path: Path) -> None:
        """The next one that writes begins where the killed one was, and is no worse off when it is killed itself."""
        path = str(tmp_path / "journal.db")
        most = 0
        for number in (10, 200, 50):
            most = max(most, *written(path, number))
        journal = Journal(path, lambda: 0.0)
        assert [journal.find(n.to_bytes(16, "big")) for n in range(most + 1)] == [
            expected(n) for n in range(most + 1)
        ]
        journal.keep(SessionRecord(b"another", "memory", "local", "2025-11-25"), 1)
        assert journal.find(b"another") is not None
        journal.close()
