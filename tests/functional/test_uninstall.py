"""``mcpgateway uninstall``: clients' files as they were, and nothing left of gateway, socket and home."""

from __future__ import annotations

import json
import os
import pty
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.gateway import BIN
from tests.support.service_managers import Systemctl
from tests.support.user import User

ENTRIES = {"mcpServers": {"clock": {"command": sys.executable, "args": ["-m", "mcpgateway.demo.clock"]}}}

pytestmark = pytest.mark.functional


def test_everything(tmp_path: Path) -> None:
    """With --yes the client's file is restored to the byte, and gateway and home are gone; a second run succeeds."""
    with User(tmp_path / "h") as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        original = file.read_bytes()
        user.mcpgateway("start", "--adopt", "always")
        assert file.read_bytes() != original
        told = user.told("uninstall", "--yes")
        assert file.read_bytes() == original
        assert not user.answers()
        assert told["home_removed"]
        assert not Path(told["home"]).exists()
        assert [each["restored"] for each in told["clients"]["files"] if each["changed"]] == [["clock"]]
        assert "The program is removed as it was installed" in user.mcpgateway("uninstall", "--yes")
        assert not Path(told["home"]).exists()


def test_the_home_stays(tmp_path: Path) -> None:
    """Without a terminal and without --yes the home stays, and the output has the command that removes it."""
    with User(tmp_path / "h") as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        original = file.read_bytes()
        user.mcpgateway("start", "--adopt", "always")
        said = user.mcpgateway("uninstall")
        assert file.read_bytes() == original
        assert not user.answers()
        assert "stays, with the configuration and the logs: mcpgateway uninstall --yes removes it" in said
        assert (user.home / ".mcp-gateway" / "logs").is_dir()
        assert not (user.home / ".mcp-gateway" / "gateway.sock").exists()


def test_a_file_that_cannot_be_restored(tmp_path: Path) -> None:
    """Where a client's file has become malformed, the gateway runs on with its home."""
    with User(tmp_path / "h") as user:
        file = user.write(".claude.json", json.dumps(ENTRIES, indent=2))
        user.mcpgateway("start", "--adopt", "always")
        file.write_text('{"mcpServers": ')
        done = user.ran(str(BIN / "mcpgateway"), "uninstall", "--yes")
        assert done.returncode == 1
        assert "the gateway stays installed" in done.stderr
        assert user.answers()
        assert file.read_text() == '{"mcpServers": '


def test_a_home_with_the_users_files(tmp_path: Path) -> None:
    """A home that is the user's own directory is not removed, and nothing is changed."""
    with User(tmp_path / "h") as user:
        kept = user.write("letter.txt", "mine")
        done = user.ran(str(BIN / "mcpgateway"), "--home", str(user.home), "uninstall", "--yes")
        assert done.returncode == 1
        assert "nothing is changed: your own files are in it" in done.stderr
        assert kept.read_text() == "mine"


@pytest.mark.parametrize(("says", "is_removed"), [(b"y\n", True), (b"n\n", False)])
def test_the_question(tmp_path: Path, says: bytes, *, is_removed: bool) -> None:
    """On a terminal the command asks before it removes the home."""
    with User(tmp_path / "h") as user:
        user.mcpgateway("start")
        home = user.home / ".mcp-gateway"
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(BIN / "mcpgateway", ["mcpgateway", "uninstall"], user.environ)
        os.write(terminal, says)
        said = b""
        with suppress(OSError):  # the terminal ends with the program
            while piece := os.read(terminal, 65536):
                said += piece
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
        assert b"Remove " in said
        assert home.exists() is not is_removed
        assert not user.answers()


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_the_service(tmp_path: Path) -> None:
    """The units of the service are removed, and the manager starts them no more."""
    manager = Systemctl(tmp_path / "bin")
    path = f"{manager.directory}:{os.environ['PATH']}"
    with User(tmp_path / "h") as user:
        program = str(BIN / "mcpgateway")
        done = user.ran(program, "service", "install", "--no-start", PATH=path)
        assert done.returncode == 0, done.stderr
        units = user.home / ".config" / "systemd" / "user"
        assert manager.enabled()
        done = user.ran(program, "--json", "uninstall", "--yes", PATH=path)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["service"]) == 3
        assert list(units.iterdir()) == []
        assert manager.enabled() == set()
