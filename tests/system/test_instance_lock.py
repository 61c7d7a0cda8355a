"""The claim to be the gateway of a home."""

import fcntl
import os
import socket
import subprocess

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.shim import startup
from mcpgateway.system import state
from mcpgateway.system.instance_lock import InstanceLock
from mcpgateway.system.process.procfs import start_time


@pytest.fixture
def listener(tmp_path):
    """A socket at which somebody listens."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        made.listen()
        yield path


class ClaimTests:
    """The claim of one process, which excludes all others."""

    def test_one_that_is_free(self, tmp_path):
        """A gateway that was started without the lock takes it, and tells that it is up and that it ended."""
        claim = InstanceLock.of(str(tmp_path), {})
        try:
            assert (claim.is_held, claim.started_by) == (True, "")
            claim.up()
            assert startup.read_record(claim._lock).word == startup.UP
            claim.ended()
            assert startup.read_record(claim._lock).word == startup.ENDED
        finally:
            os.close(claim._lock)

    def test_one_that_another_has(self, tmp_path, listener):
        """The second of a home is refused while the first listens, and told which process that is."""
        first = InstanceLock.of(str(tmp_path), {})
        with subprocess.Popen(["sleep", "60"]) as other:
            try:
                began = start_time(other.pid)
                state.write(str(tmp_path), state.GatewayState(other.pid, began, 9100, "1", 1.0))
                with pytest.raises(ConfigError, match=rf"already running \(pid {other.pid}\)"):
                    InstanceLock.of(str(tmp_path), {}, listener, pytest.fail)
            finally:
                os.close(first._lock)
                other.kill()

    def test_one_that_another_gives_up(self, tmp_path):
        """The second of a home waits while the first ends."""
        first = InstanceLock.of(str(tmp_path), {})
        second = InstanceLock.of(str(tmp_path), {}, str(tmp_path / "none"), lambda _: os.close(first._lock))
        assert second.is_held
        os.close(second._lock)

    def test_one_that_another_keeps(self, tmp_path, monkeypatch):
        """The second of a home does not wait for ever."""
        monkeypatch.setattr("mcpgateway.system.instance_lock.END_S", 0.0)
        first = InstanceLock.of(str(tmp_path), {})
        try:
            with pytest.raises(ConfigError, match="is already running; mcpgateway stop"):
                InstanceLock.of(str(tmp_path), {}, str(tmp_path / "none"), lambda _: None)
        finally:
            os.close(first._lock)

    def test_who_has_started_it(self, tmp_path, monkeypatch):
        """The lock that a starter has left in our hands is ours, and the variable is nobody else's."""
        lock = startup.open_lock(str(tmp_path))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            startup.write_record(lock, startup.TRIED, 3)
            monkeypatch.setattr("mcpgateway.system.instance_lock.DESCRIPTOR", lock)
            environ = {startup.STARTED_VARIABLE: startup.START}
            claim = InstanceLock.of(str(tmp_path), environ)
            assert (claim.is_held, claim.started_by, environ) == (True, startup.START, {})
            claim.up()
            assert startup.read_record(lock).tries == 3
        finally:
            os.close(lock)

    def test_a_variable_without_the_lock(self, tmp_path):
        """A program that has inherited the variable alone was not started by anybody."""
        claim = InstanceLock.of(str(tmp_path), {startup.STARTED_VARIABLE: startup.SHIM})
        os.close(claim._lock)
        assert claim.started_by == ""

    @pytest.mark.parametrize("is_wanted", [True, False])
    def test_wanted(self, tmp_path, *, is_wanted):
        """The lock knows whether a person wants a gateway in this home."""
        if is_wanted:
            startup.write_wanted(str(tmp_path), [])
        claim = InstanceLock.of(str(tmp_path), {})
        os.close(claim._lock)
        assert claim.is_wanted() is is_wanted

    def test_a_home_that_cannot_be_written(self, tmp_path):
        """Without a lock there is no claim, and no failure."""
        claim = InstanceLock.of(str(tmp_path / "nowhere"), {})
        assert not claim.is_held
        claim.up()
