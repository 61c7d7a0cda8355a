"""The service as its manager runs it: a systemd of the test's own, where one can be started."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.command_table import COMMANDS
from mcpgateway.cli.service.units import ServiceSettings, systemd_units
from mcpgateway.system.service_files import SYSTEMD
from mcpgateway.system.settings import keep_login
from tests.support.gateway import LIMIT_S, eventually, server
from tests.support.http_client import Client
from tests.support.ports import free_port
from tests.support.real_servers import fixture
from tests.support.service_manager import Manager
from tests.support.user_systemd import Unavailable, UserSystemd

pytestmark = pytest.mark.functional

SERVICE, DEADMAN, TIMER = SYSTEMD
HASTY = "[Service]\nWatchdogSec=8\nTimeoutAbortSec=1\nRestartSec=100ms\n"


def configured(user: Path) -> int:
    """Give a user one server in Claude Code, and the gateway a port; the port."""
    port = free_port()
    home = user / ".mcp-gateway"
    home.mkdir(mode=0o700)
    (home / "config.yaml").write_text(f"gateway: {{http_port: {port}}}\n")
    (user / ".claude.json").write_text(json.dumps({"mcpServers": {"found": server(fixture())}}))
    return port


def health(port: int) -> dict[str, Any]:
    """The answer of a gateway's health."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def answers(port: int) -> bool:
    """Return whether a gateway answers."""
    try:
        return bool(health(port)["status"] == "ok")
    except OSError:
        return False


def variables(port: int, *names: str) -> list[str | None]:
    """The variables that the server of the client's file finds in its environment."""

    async def ask() -> list[str | None]:
        client = await Client.open(f"http://127.0.0.1:{port}", "found")
        found = [await client.value("env", name=each) for each in names]
        client.close()
        return found

    return asyncio.run(ask())


class UnitTests:
    """The units themselves, without anybody to run them."""

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
    def test_systemd_understands_them(self, tmp_path: Path) -> None:
        """The checker of systemd finds no fault, neither in the templates nor in the units made of them."""
        (tmp_path / "run").mkdir(mode=0o700)
        programs = tmp_path / ".local" / "share" / "mcpgateway" / "bin"
        programs.mkdir(parents=True)
        for name in ("twist", "mcpgateway"):
            (programs / name).touch(0o755)
        units = tmp_path / "units"
        units.mkdir()
        for unit in systemd_units(
            ServiceSettings(str(tmp_path / 'a "b" %h $x'), sys.executable, {}), str(units)
        ):
            Path(unit.path).write_text(unit.text)
        environ = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
        tap = Path(__file__).resolve().parents[2] / "tap" / "systemd"
        for directory in (tap, units):
            argv = ["systemd-analyze", "verify", "--user", *map(str, directory.iterdir())]
            done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stderr) == (0, "")

    def test_its_line_starts_a_gateway(self, tmp_path: Path) -> None:
        """The command behind ``ExecStart=``, with the little that systemd puts into an environment, is a gateway.

        Its servers have the environment of the shell from which it was installed, and nothing of systemd's.
        """
        port = configured(tmp_path)
        home = tmp_path / ".mcp-gateway"
        shell = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "SHLVL": "1", "TERM": "x", "MARK": "kept"}
        assert keep_login(str(home), shell) == []
        unit = systemd_units(ServiceSettings.here(str(home), shell), str(tmp_path))[0].text
        line = next(each for each in unit.splitlines() if each.startswith("ExecStart="))
        manager = Manager(str(tmp_path / "notify"))
        bare = {
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "NOTIFY_SOCKET": manager.address,
            "WATCHDOG_USEC": "30000000",
            "INVOCATION_ID": "0123",
            "JOURNAL_STREAM": "8:1",
            "SYSTEMD_EXEC_PID": "1",
        }
        argv = shlex.split(line.removeprefix("ExecStart="))
        with subprocess.Popen(argv, env=bare, cwd=tmp_path, stdout=subprocess.DEVNULL) as gateway:
            try:
                manager.until(lambda each: each.get("READY"))
                assert variables(port, "MARK", "PATH") == ["kept", os.environ["PATH"]]
                assert variables(port, *set(bare) - {"HOME", "PATH"}) == [None] * 5
            finally:
                gateway.terminate()
            assert gateway.wait(LIMIT_S) == 0
        manager.close()


@pytest.fixture
def systemd() -> Iterator[UserSystemd]:
    """A systemd of one test's own, or the reason why there is none."""
    try:
        with UserSystemd() as found:
            yield found
    except Unavailable as why:
        pytest.skip(f"no systemd of one's own: {why}")


class InstalledTests:
    """A life under a real systemd, each test with a service of its own."""

    @pytest.fixture
    def port(self, systemd: UserSystemd) -> int:
        """A service that has been installed."""
        port = configured(systemd.user)
        systemd.run("mcpgateway", "service", "install")
        return port

    def test_it_runs_when_the_command_returns(self, systemd: UserSystemd, port: int) -> None:
        """The service is ready by its own word, enabled and active; the dead man's timer ticks."""
        assert health(port)["pid"] == int(systemd.property(SERVICE, "MainPID"))
        status = json.loads(systemd.run("mcpgateway", "service", "status", "--json"))
        assert (status["installed"], status["enabled"], status["active"]) == (True, True, True)
        assert (status["state"], status["pid"]) == ("active/running", health(port)["pid"])
        assert status["says"].startswith("1 servers, ")
        assert status["deadman"]
        assert systemd.property(TIMER, "NextElapseUSecRealtime")

    def test_its_servers_have_the_login_environment(self, systemd: UserSystemd, port: int) -> None:
        """Servers get the variables of the shell that installed the service, and none of systemd's."""
        names = ("LOGIN_MARK", "PATH", "NOTIFY_SOCKET", "WATCHDOG_USEC", "INVOCATION_ID")
        assert variables(port, *names) == ["kept", systemd.environ["PATH"], None, None, None]

    def test_again(self, systemd: UserSystemd, port: int) -> None:
        """Installing it once more does not disturb it."""
        before = health(port)["pid"]
        assert "as they should be" in systemd.run("mcpgateway", "service", "install")
        assert health(port)["pid"] == before

    def test_reloaded(self, systemd: UserSystemd, port: int) -> None:
        """The service begins anew in the same process, under the same unit, and is ready again by its own word."""
        before = json.loads((systemd.user / ".mcp-gateway" / "state.json").read_text())
        systemd.run("systemctl", "--user", "reload", SERVICE)

        def is_anew() -> bool:
            now = json.loads((systemd.user / ".mcp-gateway" / "state.json").read_text())
            return bool(now["started_at"] > before["started_at"]) and answers(port)

        eventually(is_anew, "it has begun anew")
        assert health(port)["pid"] == before["pid"] == int(systemd.property(SERVICE, "MainPID"))
        eventually(lambda: systemd.property(SERVICE, "ActiveState") == "active", "systemd knows")
        assert systemd.property(SERVICE, "NRestarts") == "0"

    def test_a_gateway_that_hangs(self, systemd: UserSystemd, port: int) -> None:
        """The watchdog ends it, and systemd starts another; no server of the first is left."""
        self.hasten(systemd)
        systemd.run("systemctl", "--user", "restart", SERVICE)
        before = health(port)["pid"]
        assert variables(port, "LOGIN_MARK") == ["kept"]
        (child,) = next(each["pids"] for each in health(port)["backends"])
        time.sleep(9)  # a healthy one outlives its watchdog
        assert health(port)["pid"] == before
        os.kill(before, signal.SIGSTOP)
        eventually(lambda: systemd.property(SERVICE, "NRestarts") == "1", "systemd starts another")
        eventually(lambda: answers(port), "the other answers")
        assert health(port)["pid"] != before
        assert not os.path.exists(f"/proc/{child}")

    def test_a_gateway_that_is_killed(self, systemd: UserSystemd, port: int) -> None:
        """Systemd starts another."""
        self.hasten(systemd)
        before = health(port)["pid"]
        os.kill(before, signal.SIGKILL)
        eventually(lambda: answers(port) and health(port)["pid"] != before, "the other answers")

    def test_a_gateway_that_is_sent_home(self, systemd: UserSystemd, port: int) -> None:
        """SIGTERM ends it in order, and that is no failure: it stays away until it is started."""
        self.hasten(systemd)
        os.kill(health(port)["pid"], signal.SIGTERM)
        eventually(
            lambda: systemd.property(SERVICE, "ActiveState") == "inactive", "the service is not active"
        )
        assert systemd.property(SERVICE, "Result") == "success"
        assert not answers(port)
        systemd.run("mcpgateway", "service", "status", check=False)
        systemd.run("mcpgateway", "service", "install")
        assert answers(port)

    @pytest.mark.skipif("clients" not in COMMANDS, reason="there is no command that gives clients files back")
    def test_the_dead_man(self, systemd: UserSystemd, port: int) -> None:
        """The command that the timer starts runs to its end, and leaves a gateway that lives alone."""
        systemd.run("systemctl", "--user", "start", DEADMAN)
        assert systemd.property(DEADMAN, "Result") == "success"
        assert answers(port)

    @pytest.mark.skipif("clients" not in COMMANDS, reason="there is no command that leads clients here")
    def test_clients(self, systemd: UserSystemd, port: int) -> None:
        """The end of the service gives a client's file back to the byte, and its return leads the client here again."""
        path = systemd.user / ".claude.json"
        before = path.read_bytes()
        systemd.run("mcpgateway", "clients", "apply", "--client", "claude-code", "--http", "--yes")
        ours = path.read_bytes()
        assert f"http://localhost:{port}/found/mcp".encode() in ours
        systemd.run("systemctl", "--user", "restart", SERVICE)
        assert path.read_bytes() == ours
        systemd.run("mcpgateway", "service", "uninstall")
        assert path.read_bytes() == before
        systemd.run("mcpgateway", "service", "install")
        assert path.read_bytes() == ours
        assert variables(port, "LOGIN_MARK") == ["kept"]

    def test_nothing_is_left(self, systemd: UserSystemd, port: int) -> None:
        """After the uninstallation there is no process, no file and no unit."""
        before = health(port)["pid"]
        systemd.run("mcpgateway", "service", "uninstall")
        assert not os.path.exists(f"/proc/{before}")
        found = [each for each in (systemd.user / ".config").rglob("*") if not each.is_dir()]
        assert found == []
        listed = systemd.run(
            "systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "mcpgateway*"
        )
        assert listed == ""

    def hasten(self, systemd: UserSystemd) -> None:
        """Have systemd be quick, by a drop-in as users write them."""
        directory = systemd.user / ".config" / "systemd" / "user" / f"{SERVICE}.d"
        directory.mkdir(parents=True)
        (directory / "hasty.conf").write_text(HASTY)
        systemd.run("systemctl", "--user", "daemon-reload")
