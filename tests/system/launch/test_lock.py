"""The file of versions and tools."""

from pathlib import Path

import pytest

from mcpgateway.discovery.tool_changes import ToolChange
from mcpgateway.policy.runners import Age, Package
from mcpgateway.system.launch import lock as locking
from mcpgateway.system.launch.lock import (
    FILE,
    HeldTool,
    LockedServer,
    NewerVersion,
    SeenVersion,
    VersionLock,
)

CHANGE = ToolChange("send", "changed", ("description",), (), "Send", "Send all")


@pytest.fixture
def lock(tmp_path: Path) -> VersionLock:
    """A file that is not there yet."""
    return VersionLock(str(tmp_path), lambda: 7.0)


def entry() -> LockedServer:
    """An entry with all its members."""
    return LockedServer(
        "teller",
        "npm",
        "latest",
        SeenVersion("1.0.0", "sha512-x", {"read": ["1"]}, 3.0),
        SeenVersion("0.9.0", "", {"send": ["0"]}),
        NewerVersion("1.1.0", "sha512-y", {}, 4.0, (CHANGE,), "no"),
        {"send": HeldTool("2", 5.0, CHANGE)},
    )


class FileTests:
    """What is written is found again."""

    def test_round_trip(self, lock, tmp_path):
        """All members of an entry are kept, for this user alone."""
        lock.put("s", entry())
        again = VersionLock(str(tmp_path), lambda: 8.0)
        assert again.servers == {"s": entry()}
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1, "servers": 3}', '{"format": "x"}'])
    def test_damaged(self, lock, tmp_path, text):
        """A file that cannot be read is begun anew."""
        (tmp_path / FILE).write_text(text)
        assert lock.servers == {}
        lock.put("s", entry())
        assert VersionLock(str(tmp_path), lambda: 8.0).servers == {"s": entry()}

    def test_newer_format(self, lock, tmp_path):
        """The file of a newer gateway is left alone."""
        (tmp_path / FILE).write_text('{"format": 9}')
        lock.put("s", entry())
        assert (tmp_path / FILE).read_text() == '{"format": 9}'

    def test_unwritten(self, lock, tmp_path):
        """A change that cannot be written counts nevertheless, and is written before the next start of a server."""
        (tmp_path / FILE).mkdir()
        lock.put("s", entry())
        assert FILE in str(lock.unwritten)
        (tmp_path / FILE).rmdir()
        assert lock.pin("s", Package("teller", "latest", Age.TAGGED)) == "1.0.0"
        assert lock.unwritten is None
        assert VersionLock(str(tmp_path), lambda: 8.0).servers == {"s": entry()}

    def test_too_many(self, lock, monkeypatch):
        """Beyond the limit the servers that were seen longest ago are dropped."""
        monkeypatch.setattr(locking, "SERVERS_LIMIT", 2)
        for number in range(4):
            lock.put(f"s{number}", LockedServer(current=SeenVersion(seen_at=number)))
        assert set(lock.servers) == {"s2", "s3"}


class PinTests:
    """The version that new processes run."""

    @pytest.mark.parametrize(
        ("package", "version"),
        [
            (Package("teller", "latest", Age.TAGGED), "1.0.0"),
            (Package("teller", "", Age.OPEN), ""),
            (Package("other", "latest", Age.TAGGED), ""),
            (Package("teller", "latest", Age.PINNED), ""),
        ],
    )
    def test_pin(self, lock, package, version):
        """It holds for the entry that it was found for, and for none with a version of its own."""
        lock.put("s", entry())
        assert lock.pin("s", package) == version
        assert lock.pin("t", package) == ""


class ApprovalTests:
    """Known definitions."""

    def test_knows(self):
        """Definitions of the version in use and of the former one are known, and approved ones."""
        found = entry()
        assert [found.knows("read", "1"), found.knows("send", "0"), found.knows("send", "2")] == [
            True,
            True,
            False,
        ]
        found.approve(["send"])
        assert found.knows("send", "2")
        assert found.held == {}
