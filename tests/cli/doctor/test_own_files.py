"""The gateway's own files: modes, locks, sizes, leftovers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from mcpgateway.cli.doctor.finding import DoctorFinding
from mcpgateway.policy.recorded_answers import AnswerKey, Catalog, RecordedAnswer
from mcpgateway.protocol.jsonrpc import raw
from mcpgateway.protocol.versions import Era
from mcpgateway.system.daemon_locks import _written as lock_text
from mcpgateway.system.token_files import read_or_create
from tests.support.doctoring import NOW, found, ids, is_fine, world, written


def mend(finding: DoctorFinding) -> None:
    """Do what the finding says can be done."""
    assert finding.repair is not None
    finding.repair.do()


def aged(path: Path, seconds: float) -> Path:
    """A file that was written so long ago."""
    os.utime(path, (NOW - seconds, NOW - seconds))
    return path


class HomeTests:
    """The check that the home can be used."""

    def test_it_is_there(self, tmp_path: Path) -> None:
        """A directory of the user's that can be written to is fine."""
        assert is_fine("home", world(tmp_path))

    def test_missing(self, tmp_path: Path) -> None:
        """A home that was never used is worth a note."""
        looked_at = world(tmp_path)
        os.rmdir(looked_at.home)
        assert ids("home", looked_at) == ["home.missing"]

    def test_foreign(self, tmp_path: Path) -> None:
        """Another user's directory is no home."""
        if os.geteuid():
            pytest.skip("needs root to give a directory away")
        looked_at = world(tmp_path)
        os.chown(looked_at.home, 12345, -1)
        assert ids("home", looked_at) == ["home.foreign"]

    def test_no_directory(self, tmp_path: Path) -> None:
        """A file in the place of the home cannot be written to."""
        looked_at = world(tmp_path)
        os.rmdir(looked_at.home)
        Path(looked_at.home).write_text("")
        assert ids("home", looked_at) == ["home.unwritable"]


class PermissionTests:
    """The check that no other user can read the home."""

    def test_open(self, tmp_path: Path) -> None:
        """A home that others can enter, or a secret that they can read, is closed to them; the rest stays as it is."""
        looked_at = world(tmp_path)
        secret = written(looked_at, "admin.token", "x", 0o644)
        os.chmod(looked_at.home, 0o755)
        (only,) = found("permissions", looked_at)
        assert only.id == "permissions.open"
        assert ". (0755)" in only.text
        mend(only)
        assert (os.stat(looked_at.home).st_mode & 0o777, secret.stat().st_mode & 0o777) == (0o700, 0o600)
        assert is_fine("permissions", looked_at)

    def test_loose(self, tmp_path: Path) -> None:
        """A file that is no secret is worth a note where nobody can enter anyway."""
        looked_at = world(tmp_path)
        config = written(looked_at, "config.yaml", "", 0o664)
        (only,) = found("permissions", looked_at)
        assert only.id == "permissions.loose"
        mend(only)
        assert config.stat().st_mode & 0o777 == 0o600

    def test_what_a_link_leads_to(self, tmp_path: Path) -> None:
        """The mode of a file elsewhere, to which a link leads, is not the gateway's affair."""
        looked_at = world(tmp_path)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text("")
        elsewhere.chmod(0o666)
        Path(looked_at.in_home("config.yaml")).symlink_to(elsewhere)
        assert is_fine("permissions", looked_at)


class LockTests:
    """Locks of servers at ports of their own."""

    def test_stale(self, tmp_path: Path) -> None:
        """A lock of a process that has ended is removed, and so is what is no lock; a living one stays."""
        looked_at = world(tmp_path)
        child = subprocess.Popen(["true"])
        child.wait()
        written(looked_at, "daemons/dead.lock", lock_text(child.pid, 1, "sse").decode())
        written(looked_at, "daemons/bad.lock", "nonsense")
        alive = written(looked_at, "daemons/alive.lock", lock_text(os.getpid(), 1, "sse").decode())
        findings = found("locks", looked_at)
        assert [each.id for each in findings] == ["locks.stale"] * 2
        for each in findings:
            mend(each)
        assert os.listdir(alive.parent) == ["alive.lock"]
        assert is_fine("locks", looked_at)

    def test_a_number_that_was_given_away(self, tmp_path: Path) -> None:
        """A lock whose process was started at another time is stale, although the number is in use."""
        looked_at = world(tmp_path)
        written(looked_at, "daemons/x.lock", json.dumps({"pid": os.getpid(), "port": 1, "startTime": 1}))
        assert ids("locks", looked_at) == ["locks.stale"]

    def test_taken_again_in_between(self, tmp_path: Path) -> None:
        """A lock that is good by the time it is to be removed stays."""
        looked_at = world(tmp_path)
        path = written(looked_at, "daemons/x.lock", "nonsense")
        (only,) = found("locks", looked_at)
        path.write_bytes(lock_text(os.getpid(), 1, "sse"))
        mend(only)
        assert path.exists()


class TokenTests:
    """The tokens of the gateway."""

    def test_tokens(self, tmp_path: Path) -> None:
        """Tokens are checked once a gateway has run in the home; a missing or empty one is a problem."""
        looked_at = world(tmp_path)
        assert ids("token", looked_at) == []
        written(looked_at, "daemon.lock", "")
        assert ids("token", looked_at) == ["token.missing", "token.missing"]
        for name in ("auth.token", "admin.token"):
            read_or_create(looked_at.in_home(name))
        assert is_fine("token", looked_at)
        written(looked_at, "auth.token", "")
        (only,) = found("token", looked_at)
        assert (only.id, "auth.token" in only.text) == ("token.missing", True)


class LeftoverTests:
    """Half-written files."""

    def test_left(self, tmp_path: Path) -> None:
        """Old files of dead writers are removed; those of living ones, new ones and others stay."""
        looked_at = world(tmp_path)
        child = subprocess.Popen(["true"])
        child.wait()
        left = aged(written(looked_at, f".x.{child.pid}.0123456789ab", ""), 7200)
        aged(written(looked_at, f".x.{os.getpid()}.0123456789ab", ""), 7200)
        aged(written(looked_at, f".y.{child.pid}.0123456789ab", ""), 10)
        aged(written(looked_at, f".y.{child.pid}.tmp", ""), 7200)
        starters = [
            aged(written(looked_at, f".{each}.{child.pid}", ""), 7200) for each in ("wanted", "stopped")
        ]
        (only,) = found("leftovers", looked_at)
        assert only.id == "leftovers.temporary"
        mend(only)
        assert not any(each.exists() for each in (left, *starters))
        assert len(os.listdir(looked_at.home)) == 3
        assert is_fine("leftovers", looked_at)


class RecordTests:
    """The checks of the gateway's records: launches, classes, logs, catalogs."""

    def test_launches(self, tmp_path: Path) -> None:
        """Resolved programs are counted, and those that are looked up again."""
        looked_at = world(tmp_path)
        assert ids("launches", looked_at) == ["launches.none"]
        entries = {
            "a": {"program": "/x", "checked_at": NOW},
            "b": {"program": "/y", "checked_at": 1},
            "c": {"program": ""},
        }
        path = written(looked_at, "launch-cache.json", json.dumps({"format": 1, "entries": entries}))
        (only,) = found("launches", looked_at)
        assert only.text == "launch cache: 2 resolved programs, 2 to be looked up again"
        path.write_text("{")
        assert ids("launches", looked_at) == ["launches.damaged"]

    def test_classification(self, tmp_path: Path) -> None:
        """Each server that is classified by hand is named."""
        looked_at = world(tmp_path)
        assert ids("classification", looked_at) == ["classification.none"]
        path = written(looked_at, "classification.json", '{"x": {"mode": "stateful"}}')
        (only,) = found("classification", looked_at)
        assert only.more == (f"◆ x → stateful ({path})",)
        theirs = Path(looked_at.user_home) / ".immorterm" / "mcp-gateway" / "classification.json"
        theirs.parent.mkdir(parents=True)
        theirs.write_text('{"x": {"mode": "stateless"}, "y": {"mode": "stateful"}}')
        (only,) = found("classification", looked_at)
        assert only.more == (f"◆ x → stateful ({path})", f"◆ y → stateful ({theirs})")
        path.unlink()
        assert is_fine("classification", looked_at)
        path.touch()
        path.write_text("[]")
        assert ids("classification", looked_at) == ["classification.damaged"]

    def test_logs(self, tmp_path: Path) -> None:
        """Logs of more than 50 MB are a problem."""
        looked_at = world(tmp_path)
        path = written(looked_at, "logs/gateway.log", "x")
        assert is_fine("logs", looked_at)
        os.truncate(path, 51 * 2**20)
        assert ids("logs", looked_at) == ["logs.large"]

    def test_catalogues(self, tmp_path: Path) -> None:
        """Catalogues older than a week are named; damaged ones are removed, and those of newer releases left alone."""
        looked_at = world(tmp_path)
        key = AnswerKey("p", Era.LEGACY, "t")
        for name, at in (("new", int(NOW)), ("old", int(NOW) - 8 * 24 * 3600)):
            page = raw({"tools": []})
            text = Catalog({key: {"tools/list": RecordedAnswer((page,), at)}}).written().decode()
            written(looked_at, f"catalogs/{name}.json", text)
        (only,) = found("catalogs", looked_at)
        assert (only.id, only.text) == ("catalogs.old", "older than 7 days: old")
        Path(looked_at.in_home("catalogs", "old.json")).unlink()
        assert is_fine("catalogs", looked_at)
        newer = written(looked_at, "catalogs/newer.json", '{"format": 99}')
        bad = written(looked_at, "catalogs/bad.json", "{")
        damaged, told, _ = found("catalogs", looked_at)
        assert (damaged.id, told.id) == ("catalogs.damaged", "catalogs.newer")
        mend(damaged)
        assert (bad.exists(), newer.exists()) == (False, True)
