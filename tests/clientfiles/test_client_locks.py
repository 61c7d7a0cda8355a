"""The lock that Claude Code takes before it writes its file."""

import os

import pytest

from mcpgateway.clientfiles.transaction import LOCK_STALE_S, LOCK_WAIT_S, directory_lock
from tests.support.faulty_disk import FailingDisk, FaultyDisk


@pytest.fixture
def file(tmp_path):
    """The file that is locked."""
    path = tmp_path / ".claude.json"
    path.write_text("{}")
    return path


class LockTests:
    """The directory that is the client's lock."""

    def test_held_and_released(self, file):
        """The directory is there while the lock is held, and gone afterwards."""
        with directory_lock(str(file)).held() as is_ours:
            assert is_ours
            assert os.path.isdir(f"{file}.lock")
        assert not os.path.exists(f"{file}.lock")

    def test_somebody_has_it(self, file):
        """After two seconds one goes on without, and leaves it alone."""
        os.mkdir(f"{file}.lock")
        disk = FaultyDisk()
        os.utime(f"{file}.lock", (disk.now() + 60, disk.now() + 60))
        began = disk.now()
        with directory_lock(str(file), disk).held() as is_ours:
            assert not is_ours
        assert LOCK_WAIT_S <= disk.now() - began < LOCK_WAIT_S + 1
        assert os.path.isdir(f"{file}.lock")

    def test_a_stale_one(self, file):
        """A lock that was not touched for ten seconds is taken over."""
        disk = FaultyDisk()
        os.mkdir(f"{file}.lock")
        os.utime(f"{file}.lock", (0, disk.now() - LOCK_STALE_S - 1))
        with directory_lock(str(file), disk).held() as is_ours:
            assert is_ours

    def test_refreshed(self, file):
        """A lock in use is touched, so that no program takes it for stale."""
        lock = directory_lock(str(file))
        with lock.held():
            os.utime(f"{file}.lock", (0, 0))
            lock.refresh()
            assert os.stat(f"{file}.lock").st_mtime > 0

    def test_taken_over_by_another(self, file):
        """A lock that another has made meanwhile is not removed."""
        with directory_lock(str(file)).held():
            os.rename(f"{file}.lock", f"{file}.other")
            os.mkdir(f"{file}.lock")
        assert os.path.isdir(f"{file}.lock")

    def test_no_directory_can_be_made(self, file):
        """Where no lock can be made, nobody waits."""
        disk = FailingDisk(1, 13)
        began = disk.now()
        with directory_lock(str(file), disk).held() as is_ours:
            assert not is_ours
        assert disk.now() - began < LOCK_WAIT_S

    def test_behind_a_link(self, file):
        """The lock is beside the file that is meant."""
        link = file.with_name("link.json")
        link.symlink_to(file.name)
        assert directory_lock(str(link)).path == f"{file}.lock"
