"""The machine: clock, limits, watching, disk."""

from __future__ import annotations

import os
import resource
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcpgateway.cli.doctor import machine
from mcpgateway.cli.doctor.context import UserProcess
from tests.support.doctoring import NOW, answers, found, ids, is_fine, world, written


def started(seconds_ago: float, uptime: float) -> dict[str, object]:
    """Return the health of a gateway that was started so long ago, and has lived so long."""
    at = datetime.fromtimestamp(NOW - seconds_ago, UTC).isoformat()
    return {"socket": answers(started_at=at, uptime_seconds=uptime)}


class ClockTests:
    """The check of the machine's clock."""

    def test_agrees(self, tmp_path: Path) -> None:
        """Files of the past and a gateway that has lived as long as it says are fine."""
        looked_at = world(tmp_path, **started(600, 590))
        os.utime(written(looked_at, "config.yaml", ""), (NOW, NOW))
        os.utime(looked_at.home, (NOW, NOW))
        assert is_fine("clock", looked_at)

    def test_future(self, tmp_path: Path) -> None:
        """A file that is dated in the future is named."""
        looked_at = world(tmp_path)
        os.utime(written(looked_at, "config.yaml", ""), (NOW + 3600, NOW + 3600))
        os.utime(looked_at.home, (NOW, NOW))
        (only,) = found("clock", looked_at)
        assert (only.id, "config.yaml" in only.text) == ("clock.future", True)

    @pytest.mark.parametrize(("ago", "uptime", "name"), [(7200, 60, "jumped"), (-3600, 60, "future")])
    def test_jump(self, tmp_path: Path, ago: float, uptime: float, name: str) -> None:
        """Time that the gateway has not lived through has been slept or jumped over."""
        looked_at = world(tmp_path, **started(ago, uptime))
        os.utime(looked_at.home, (NOW, NOW))
        assert ids("clock", looked_at) == [f"clock.{name}"]


class LimitTests:
    """Limits of processes."""

    def limited(self, monkeypatch: pytest.MonkeyPatch, files: int, tasks: int) -> None:
        """Give this process such limits, in what the check reads."""
        most = {resource.RLIMIT_NOFILE: files, resource.RLIMIT_NPROC: tasks}
        monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (most[which], most[which]))
        monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)

    def test_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A high limit of files and no limit of processes are fine."""
        self.limited(monkeypatch, 20_000, resource.RLIM_INFINITY)
        assert is_fine("limits", world(tmp_path))

    def test_few(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Few files, and processes that nearly reach their limit, are problems."""
        self.limited(monkeypatch, 1024, 10)
        looked_at = world(tmp_path, programs=(UserProcess(os.getpid(), 1, ("x",)),))
        assert ids("limits", looked_at) == ["limits.files", "limits.processes"]


class InotifyTests:
    """The check that files can be watched."""

    def proc(self, tmp_path: Path, used: int) -> str:
        """A kernel that lets ten programs watch, of which some do."""
        proc = tmp_path / "proc"
        (proc / "sys/fs/inotify").mkdir(parents=True)
        (proc / "sys/fs/inotify/max_user_instances").write_text("10\n")
        (proc / "7/fd").mkdir(parents=True)
        for each in range(used):
            (proc / f"7/fd/{each}").symlink_to("anon_inode:inotify")
        return str(proc)

    @pytest.mark.parametrize(("used", "name"), [(1, "inotify"), (5, "inotify.instances")])
    def test_used(self, tmp_path: Path, used: int, name: str) -> None:
        """Instances that are nearly used up are a problem."""
        looked_at = world(tmp_path, proc=self.proc(tmp_path, used), programs=(UserProcess(7, 1, ("x",)),))
        assert ids("inotify", looked_at) == [name]

    def test_none(self, tmp_path: Path) -> None:
        """Where there is no inotify nothing is missing."""
        assert is_fine("inotify", world(tmp_path, proc=str(tmp_path)))


class DiskTests:
    """Room on the disk."""

    @pytest.mark.parametrize(
        ("blocks", "files", "name"),
        [(10**6, 10**6, "disk"), (10, 10**6, "disk.full"), (10**6, 5, "disk.full")],
    )
    def test_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, files: int, name: str
    ) -> None:
        """A disk without room or without file numbers is a problem."""
        told = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_files=10**6, f_favail=files)
        monkeypatch.setattr(machine.os, "statvfs", lambda _: told)
        assert ids("disk", world(tmp_path)) == [name]
