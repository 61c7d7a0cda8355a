"""The commands of the page on running the gateway, as its readers type them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.cli.command_table import COMMANDS
from tests.functional.test_service import answers, configured, health
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, eventually
from tests.support.processes import is_alive
from tests.support.user_systemd import Unavailable, UserSystemd

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "howto" / "service.rst"
OTHER_SECTIONS = ".. _operate:"  # begins what other tests run
RECIPE = ROOT / "tap" / "container" / "Containerfile"

pytestmark = pytest.mark.functional


def commands() -> list[str]:
    """The commands of the page, each in one line."""
    blocks = re.findall(
        r"(?m)^\.\. code-block:: console\n\n((?:   .*\n)+)", PAGE.read_text().partition(OTHER_SECTIONS)[0]
    )
    text = "".join(blocks).replace("\\\n", " ")
    return [" ".join(line[5:].split()) for line in text.splitlines() if line.startswith("   $ ")]


FOREGROUND = [each for each in commands() if each.startswith(("twist ", "twistd -n"))]
DAEMON = [each for each in commands() if each.startswith("twistd --pidfile")]
BY_HAND = [each for each in commands() if re.match(r"mcpgateway (?!service)", each)]
SERVICE = [each for each in commands() if each.startswith(("mcpgateway service", "systemctl"))]
DOCKER = [each for each in commands() if each.startswith("docker")]
# They speak with parts of a machine that a test does not have, and are systemd's own.
OTHERS = ["journalctl --user -u mcpgateway -n 50", "loginctl enable-linger"]


@pytest.fixture
def port(tmp_path: Path) -> int:
    """The port of a user's configuration."""
    return configured(tmp_path)


def typed(command: str, port: int) -> str:
    """A command with a port that is free here."""
    return command.replace("--port 9100", f"--port {port}")


def environ(user: Path) -> dict[str, str]:
    """The environment of a user's shell."""
    return {
        "HOME": str(user),
        "PATH": f"{BIN}:/usr/bin:/bin",
        "SHLVL": "1",
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }


def checkout(user: Path) -> Path:
    """A directory that looks like the source, and may be written to: ``twistd`` leaves its process id where it runs."""
    found = user / "checkout"
    if not found.exists():
        found.mkdir()
        (found / "tap").symlink_to(ROOT / "tap")
    return found


def ran(command: str, user: Path) -> subprocess.CompletedProcess[str]:
    """A command that is to end by itself."""
    return subprocess.run(
        ["sh", "-c", command],
        env=environ(user),
        cwd=checkout(user),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def forked(command: str, user: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the gateway, forked where it can be."""
    program, *words = shlex.split(command)
    return forkserver.ran([BIN / program, *words], env=environ(user), cwd=checkout(user), has_ended=False)


class CommandsTests:
    """Commands of the page."""

    def test_each_is_tried(self) -> None:
        """Every command on the page is looked at here."""
        assert sorted([*FOREGROUND, *DAEMON, *BY_HAND, *SERVICE, *DOCKER, *OTHERS]) == sorted(commands())

    @pytest.mark.parametrize("command", FOREGROUND)
    def test_in_the_foreground(self, command: str, port: int, tmp_path: Path) -> None:
        """The gateway serves where it was called, and ends with SIGTERM."""
        argv = ["sh", "-c", f"exec {typed(command, port)}"]
        folder = checkout(tmp_path)
        log = (tmp_path / "log").open("wb")
        with (
            log,
            subprocess.Popen(argv, env=environ(tmp_path), cwd=folder, stdout=log, stderr=log) as gateway,
        ):
            try:
                eventually(lambda: answers(port) or gateway.poll() is not None, "it serves")
                assert health(port)["pid"] == gateway.pid
            finally:
                gateway.terminate()
            assert gateway.wait(LIMIT_S) == 0

    @pytest.mark.parametrize("command", DAEMON)
    def test_as_a_daemon(self, command: str, port: int, tmp_path: Path) -> None:
        """The command returns and serves on, with its process id and its log where it says."""
        assert ran(typed(command, port), tmp_path).returncode == 0
        eventually(lambda: answers(port), "it serves")
        pid = health(port)["pid"]
        try:
            home = tmp_path / ".mcp-gateway"
            assert int((home / "twistd.pid").read_text()) == pid
            assert "is served at" in (home / "gateway.log").read_text()
        finally:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not is_alive(pid), "it ends")

    @pytest.mark.skipif("start" not in COMMANDS, reason="there is no command that starts it")
    def test_by_hand(self, port: int, tmp_path: Path) -> None:
        """The gateway starts, tells how it is, starts anew, and stops."""
        assert [each.split()[1] for each in BY_HAND] == ["start", "status", "restart", "stop"]
        try:
            for command in BY_HAND[:-1]:
                done = forked(command, tmp_path)
                assert done.returncode == 0, done
                assert answers(port)
        finally:
            done = forked(BY_HAND[-1], tmp_path)
        assert done.returncode == 0, done
        assert not answers(port)

    def test_the_container(self) -> None:
        """The page and the recipe itself, whose commands are run elsewhere, name the same commands."""
        comment = re.sub(r"(?m)^#", "", RECIPE.read_text().partition("FROM")[0]).replace("\\\n", " ")
        told = [" ".join(line.split()) for line in comment.splitlines() if line.startswith("   docker")]
        assert DOCKER[:2] == told


@pytest.fixture
def systemd() -> Iterator[UserSystemd]:
    """A systemd, or the reason why there is none."""
    try:
        with UserSystemd() as found:
            yield found
    except Unavailable as why:
        pytest.skip(f"no systemd of one's own: {why}")


class ServiceTests:
    """The service, as the page installs it."""

    def test_one_after_the_other(self, systemd: UserSystemd) -> None:
        """The service is installed, shown and removed."""
        port = configured(systemd.user)
        for command in SERVICE[:-1]:
            systemd.run(*shlex.split(command))
            assert answers(port)
        systemd.run(*shlex.split(SERVICE[-1]))
        assert not answers(port)
