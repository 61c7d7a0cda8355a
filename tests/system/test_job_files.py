"""The files that jobs are kept in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from mcpgateway.system.job_files import JobFiles

NAME = "job_1700000000000_abcdefghijklmnop"


class JobFilesTests:
    """Jobs on disk."""

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        """A job is found under its id, in a file that is its user's own, until it is removed."""
        jobs = JobFiles(f"{tmp_path}/jobs")
        assert jobs.names() == []
        assert jobs.write(NAME, b'{"a":1}')
        assert jobs.read(NAME) == b'{"a":1}'
        assert jobs.names() == [NAME]
        assert stat.S_IMODE(os.stat(tmp_path / "jobs" / f"{NAME}.json").st_mode) == 0o600
        jobs.remove(NAME)
        jobs.remove(NAME)
        assert jobs.names() == []
        assert jobs.read(NAME) is None

    @pytest.mark.parametrize(
        "name", ["../secret", "job_1_../../../x", "", "job_1_" + "a" * 65, "job_x_" + "a" * 16]
    )
    def test_only_jobs_can_be_named(self, tmp_path: Path, name: str) -> None:
        """No id leads to another file."""
        (tmp_path / "secret.json").write_text("{}")
        jobs = JobFiles(f"{tmp_path}/jobs")
        assert jobs.read(name) is None
        assert not jobs.write(name, b"{}")
        jobs.remove(name)
        assert (tmp_path / "secret.json").exists()

    def test_other_files_are_no_jobs(self, tmp_path: Path) -> None:
        """Other files in the directory are left alone."""
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / NAME).write_text("no suffix")
        assert JobFiles(str(tmp_path)).names() == []

    def test_a_full_disk_is_said_once(self, tmp_path: Path) -> None:
        """A failure to write is logged once, and reported to the writer."""
        (tmp_path / "jobs").write_text("a file in the way")
        jobs = JobFiles(f"{tmp_path}/jobs")
        with capturedLogs() as logs:
            assert not jobs.write(NAME, b"{}")
            assert not jobs.write(NAME, b"{}")
        assert [each["event"] for each in logs] == ["jobs.unwritable"]
