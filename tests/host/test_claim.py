"""The claim to be the gateway of a home."""

import fcntl
import os

import pytest

from mcpgateway.bridge import daemon
from mcpgateway.host.claim import Claim


class ClaimTests:
    """What one process holds, nobody else does."""

    def test_one_that_is_free(self, tmp_path):
        """A gateway that was started without the lock takes it, and tells that it is up and that it ended."""
        claim = Claim.of(str(tmp_path), {})
        try:
            assert (claim.is_held, claim.started_by) == (True, "")
            claim.up()
            assert daemon.read_record(claim._lock).word == daemon.UP
            claim.ended()
            assert daemon.read_record(claim._lock).word == daemon.ENDED
        finally:
            os.close(claim._lock)

    def test_one_that_another_has(self, tmp_path):
        """The second of a home has no claim, and says nothing in the name of the first."""
        first = Claim.of(str(tmp_path), {})
        try:
            first.up()
            second = Claim.of(str(tmp_path), {})
            assert not second.is_held
            second.ended()
            assert daemon.read_record(first._lock).word == daemon.UP
        finally:
            os.close(first._lock)

    def test_who_has_started_it(self, tmp_path, monkeypatch):
        """The lock that a starter has left in our hands is ours, and the variable is nobody else's."""
        lock = daemon.open_lock(str(tmp_path))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            daemon.write_record(lock, daemon.TRIED, 3)
            monkeypatch.setattr("mcpgateway.host.claim.DESCRIPTOR", lock)
            environ = {daemon.STARTED_VARIABLE: daemon.START}
            claim = Claim.of(str(tmp_path), environ)
            assert (claim.is_held, claim.started_by, environ) == (True, daemon.START, {})
            claim.up()
            assert daemon.read_record(lock).tries == 3
        finally:
            os.close(lock)

    def test_a_variable_without_the_lock(self, tmp_path):
        """A program that has inherited the variable alone was not started by anybody."""
        claim = Claim.of(str(tmp_path), {daemon.STARTED_VARIABLE: daemon.SHIM})
        os.close(claim._lock)
        assert claim.started_by == ""

    @pytest.mark.parametrize("is_wanted", [True, False])
    def test_wanted(self, tmp_path, *, is_wanted):
        """It is known whether a person wants a gateway here."""
        if is_wanted:
            daemon.write_wanted(str(tmp_path), [])
        claim = Claim.of(str(tmp_path), {})
        os.close(claim._lock)
        assert claim.is_wanted() is is_wanted

    def test_a_home_that_cannot_be_written(self, tmp_path):
        """Without a lock there is no claim, and no failure."""
        claim = Claim.of(str(tmp_path / "nowhere"), {})
        assert not claim.is_held
        claim.up()
