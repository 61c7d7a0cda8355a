"""Installing, removing and looking at the service, with service managers that only remember."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mcpgateway.cli.service.managers import Launchd, find
from mcpgateway.cli.service.service import Service
from mcpgateway.cli.service.units import template
from mcpgateway.errors import ConfigError
from mcpgateway.shim import locations
from mcpgateway.system.service_files import LAUNCHD, SYSTEMD
from tests.support.service_managers import Launchctl, Scripted, Systemctl

START = ["daemon-reload", f"enable {SYSTEMD[0]} {SYSTEMD[2]}", f"start {SYSTEMD[0]}", f"start {SYSTEMD[2]}"]


class House:
    """A user with a service manager.

    :ivar told: what has been done with the clients' files.
    :ivar error: why one of them cannot be changed; empty when all can.
    """

    def __init__(self, directory: Path, manager: type[Scripted], platform: str) -> None:
        self.user = directory / "user"
        self.home = self.user / ".mcp-gateway"
        self.user.mkdir()
        self.manager = manager(directory / "bin")
        self.platform = platform
        self.told: list[str] = []
        self.error = ""

    @property
    def environ(self) -> dict[str, str]:
        """The user's environment."""
        return self.manager.environ(self.user)

    def service(self, home: Path | None = None) -> Service:
        """The service of this user."""

        def suspend(home: str, environ: Mapping[str, str], why: str) -> Any:
            assert self.manager.active(), "the clients are given their servers back while the gateway runs"
            self.told.append(f"suspend {home}: {why}")
            return report(self.error)

        def resume(home: str, environ: Mapping[str, str]) -> Any:
            assert self.manager.active(), "clients are led to a gateway that runs"
            self.told.append(f"resume {home}")
            return report(self.error)

        return Service(str(home or self.home), self.environ, self.platform, suspend, resume)

    @property
    def files(self) -> dict[str, Path]:
        """The files of the service that are there, by name."""
        if self.platform == "darwin":
            directory = self.user / "Library" / "LaunchAgents"
        else:
            directory = self.user / ".config" / "systemd" / "user"
        return {each.name: each for each in directory.iterdir()} if directory.exists() else {}


def report(error: str = "") -> Any:
    """The report on one client's file."""
    return SimpleNamespace(files=(SimpleNamespace(path="/c.json", error=error),), rolled_back="")


@pytest.fixture
def linux(tmp_path: Path) -> House:
    """A user of systemd."""
    return House(tmp_path, Systemctl, "linux")


@pytest.fixture
def mac(tmp_path: Path) -> House:
    """A user of launchd."""
    return House(tmp_path, Launchctl, "darwin")


class FindTests:
    """The choice of the service manager."""

    def test_neither(self, tmp_path: Path) -> None:
        """The error where there is no service manager names another way."""
        with pytest.raises(ConfigError, match="neither systemd nor launchd") as refused:
            find({"PATH": str(tmp_path)}, "linux")
        assert "mcpgateway start" in refused.value.hint

    def test_no_session(self, linux: House) -> None:
        """A systemd that does not answer this user is told with its own words."""
        linux.manager.breaks("show-environment", "Failed to connect to bus: No medium found")
        with pytest.raises(ConfigError, match="Failed to connect to bus: No medium found") as refused:
            linux.service().install()
        assert "log in as this user" in refused.value.hint
        assert linux.files == {}


class InstallTests:
    """Installing with systemd."""

    def test_install(self, linux: House) -> None:
        """The files are written, known to systemd, enabled, and the service and its timer started."""
        done = linux.service().install()
        assert sorted(linux.files) == sorted(SYSTEMD)
        assert list(done.written) == [str(linux.files[name]) for name in SYSTEMD]
        assert done.is_started
        assert linux.manager.asked() == START
        assert linux.told == [f"resume {linux.home}"]
        assert all(each.stat().st_mode & 0o777 == 0o644 for each in linux.files.values())

    def test_again(self, linux: House) -> None:
        """The second time nothing is written, and what runs goes on running."""
        linux.service().install()
        linux.manager.asked()
        done = linux.service().install()
        assert (done.written, done.is_started) == ((), False)
        assert linux.manager.asked() == START

    def test_an_upgrade(self, linux: House) -> None:
        """The units of an earlier release are replaced, and the service is restarted."""
        linux.service().install()
        former = linux.service().environ | {"CLAUDE_CONFIG_DIR": "/elsewhere"}
        linux.manager.asked()
        done = Service(str(linux.home), former, "linux", resume=lambda *_: report()).install()
        assert len(done.written) == 2  # the timer starts nothing itself
        assert f"restart {SYSTEMD[0]}" in linux.manager.asked()
        assert "/elsewhere" in linux.files[SYSTEMD[0]].read_text()

    def test_a_client_that_cannot_be_led_back(self, linux: House) -> None:
        """A client's file that cannot be enrolled again is a warning: the service runs."""
        linux.error = "cannot be written"
        assert linux.service().install().warnings == ("/c.json: cannot be written",)

    def test_no_start(self, linux: House) -> None:
        """The start of the service can be left to the next login."""
        assert not linux.service().install(starts=False).is_started
        assert linux.manager.asked() == START[:2]
        assert linux.told == []

    def test_dry(self, linux: House) -> None:
        """A dry run tells the files, and changes nothing."""
        done = linux.service().install(is_dry=True)
        assert [os.path.basename(unit.path) for unit in done.units] == list(SYSTEMD)
        assert linux.files == {}
        assert linux.manager.asked() == []
        assert not linux.home.exists()

    def test_dry_without_a_session(self, linux: House) -> None:
        """A rehearsal needs no systemd that answers, nor one at all."""
        linux.manager.breaks("show", "Failed to connect to bus: No medium found")
        assert len(linux.service().install(is_dry=True).units) == 3
        (linux.manager.directory / "systemctl").unlink()
        assert len(linux.service().install(is_dry=True).units) == 3
        assert linux.service().uninstall(is_dry=True).removed == ()

    def test_the_login_environment_is_kept(self, linux: House) -> None:
        """The service has no shell, so its servers get the environment of the one that installed it."""
        linux.service().install()
        kept = linux.home / "environment.json"
        assert json.loads(kept.read_text())["PATH"] == linux.environ["PATH"]
        assert kept.stat().st_mode & 0o777 == 0o600

    def test_a_gateway_that_runs_already(self, linux: House) -> None:
        """A gateway that was started by hand keeps running."""
        linux.home.mkdir()
        place = Path(locations.socket_path(linux.environ, str(linux.home)))
        place.parent.mkdir(mode=0o700, exist_ok=True)  # it is elsewhere where the path is too long
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(place))
            other.listen()
            with pytest.raises(ConfigError, match="is running, and is not this service") as refused:
                linux.service().install()
            assert "mcpgateway stop" in refused.value.hint
            assert linux.files == {}
            linux.service().install(starts=False)
        place.unlink()
        assert len(linux.files) == 3

    def test_a_file_of_somebody_else(self, linux: House) -> None:
        """A file that we did not write, or that was changed since, is never overwritten; nothing else is written."""
        path = linux.user / ".config" / "systemd" / "user" / SYSTEMD[2]
        path.parent.mkdir(parents=True)
        path.write_text(template(SYSTEMD[2]))
        with pytest.raises(ConfigError, match="is not as"):
            linux.service().install()
        assert list(linux.files) == [SYSTEMD[2]]
        assert linux.manager.asked() == []

    def test_another_home(self, linux: House) -> None:
        """The service of another home is not replaced."""
        linux.service().install()
        with pytest.raises(ConfigError, match="another home"):
            linux.service(linux.user / "other").install()
        with pytest.raises(ConfigError, match="another home"):
            linux.service(linux.user / "other").uninstall()
        assert len(linux.files) == 3

    def test_it_does_not_start(self, linux: House) -> None:
        """The reason that systemd gives for a failed start is shown, with the place to read more."""
        linux.manager.breaks("start", "Job for mcpgateway.service failed.")
        with pytest.raises(ConfigError, match=r"Job for mcpgateway\.service failed\.$") as refused:
            linux.service().install()
        assert "journalctl --user -u mcpgateway" in refused.value.hint

    def test_a_directory_that_cannot_be_written(self, linux: House) -> None:
        """The file in the way is named."""
        (linux.user / ".config").write_text("")
        with pytest.raises(ConfigError, match=r"systemd/user/mcpgateway\.service: "):
            linux.service().install()

    def test_the_configuration_lies_elsewhere(self, linux: House, tmp_path: Path) -> None:
        """``XDG_CONFIG_HOME`` counts."""
        environ = linux.environ | {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
        done = Service(str(linux.home), environ, "linux", resume=lambda *_: report()).install()
        assert done.written[0] == str(tmp_path / "xdg" / "systemd" / "user" / SYSTEMD[0])


class UninstallTests:
    """Removing with systemd."""

    def test_uninstall(self, linux: House) -> None:
        """Clients get their servers back first; then the timer and the service end, and the files go."""
        linux.service().install()
        linux.manager.asked()
        done = linux.service().uninstall()
        assert linux.told[1:] == [f"suspend {linux.home}: stopped"]
        assert linux.manager.asked() == [
            f"disable --now {SYSTEMD[2]}",
            *(f"disable --now {name}" for name in SYSTEMD[:2]),
            "daemon-reload",
        ]
        assert (len(done.removed), done.left, linux.files) == (3, (), {})
        assert linux.manager.active() == linux.manager.enabled() == set()

    def test_again(self, linux: House) -> None:
        """Without a service there is nothing to do, and no client's file is touched."""
        done = linux.service().uninstall()
        assert (done.removed, done.left) == ((), ())
        assert (linux.manager.asked(), linux.told) == ([], [])

    def test_dry(self, linux: House) -> None:
        """A dry run tells what would go."""
        linux.service().install()
        linux.manager.asked()
        assert len(linux.service().uninstall(is_dry=True).removed) == 3
        assert (len(linux.files), linux.manager.asked()) == (3, [])

    def test_what_was_changed_stays(self, linux: House) -> None:
        """A file that somebody has changed is ended but not removed, nor is anything beside it."""
        linux.service().install()
        changed = linux.files[SYSTEMD[0]]
        changed.write_text(changed.read_text() + "# mine\n")
        own = changed.parent / "mcpgateway.service.d"
        own.mkdir()
        done = linux.service().uninstall()
        assert done.left == (str(changed),)
        assert set(linux.files) == {SYSTEMD[0], own.name}
        assert linux.manager.active() == set()

    def test_clients_that_cannot_be_given_their_servers_back(self, linux: House) -> None:
        """The service stays where clients' files cannot be restored, unless its user insists."""
        linux.service().install()
        linux.error = "cannot be written"
        with pytest.raises(ConfigError, match=r"names the gateway: /c\.json: cannot be written") as refused:
            linux.service().uninstall()
        assert "--force" in refused.value.hint
        assert len(linux.files) == 3
        assert linux.manager.active() == {SYSTEMD[0], SYSTEMD[2]}
        assert len(linux.service().uninstall(anyway=True).removed) == 3

    def test_it_does_not_end(self, linux: House) -> None:
        """The files stay where systemd cannot end the service."""
        linux.service().install()
        linux.manager.breaks("disable", "no")
        with pytest.raises(ConfigError, match="failed: no"):
            linux.service().uninstall()
        assert len(linux.files) == 3

    def test_the_cause(self, linux: House) -> None:
        """The message has the line of systemctl that names the cause, not the one that says where to read more."""
        why = "Job for mcpgateway.service failed because a timeout was exceeded."
        more = 'See "systemctl --user status mcpgateway.service" and "journalctl --user" for details.'
        linux.manager.breaks("start", f"{why}\n{more}\n")
        with pytest.raises(ConfigError, match=f"failed: {re.escape(why)}$"):
            linux.service().install()


class StatusTests:
    """The status of the service with systemd."""

    def test_nothing(self, linux: House) -> None:
        """Without files nothing is asked."""
        report = linux.service().status()
        assert (report.is_installed, report.standing) == (False, None)

    def test_no_session(self, linux: House) -> None:
        """The files are told of where systemd does not answer, and that it does not."""
        linux.service().install()
        linux.manager.breaks("show", "Failed to connect to bus")
        report = linux.service().status()
        assert report.is_installed
        assert report.standing is not None
        assert (report.standing.state, report.standing.is_active) == ("unknown", False)
        assert "Failed to connect to bus" in report.standing.note

    def test_it_runs(self, linux: House) -> None:
        """The status says that the service is installed, enabled and active, with its own words, and has the dead
        man.
        """
        linux.service().install()
        report = linux.service().status()
        standing = report.standing
        assert standing is not None
        assert report.is_installed
        assert set(report.files.values()) == {"current"}
        assert (standing.is_enabled, standing.is_active, standing.has_deadman) == (True, True, True)
        assert (standing.state, standing.pid, standing.says) == ("active/running", 4711, "2 servers")

    def test_it_does_not_run(self, linux: House) -> None:
        """The status knows each of the three apart: enabled, active, and the dead man."""
        linux.service().install(starts=False)
        standing = linux.service().status().standing
        assert standing is not None
        assert (standing.is_enabled, standing.is_active, standing.has_deadman) == (True, False, False)
        assert (standing.state, standing.pid) == ("inactive/dead", 0)

    def test_files(self, linux: House) -> None:
        """Each file is current, outdated, changed or missing."""
        linux.service().install()
        timer, deadman = linux.files[SYSTEMD[2]], linux.files[SYSTEMD[1]]
        timer.unlink()
        deadman.write_text("mine")
        environ = linux.environ | {"CLAUDE_CONFIG_DIR": "/c"}
        report = Service(str(linux.home), environ, "linux").status()
        assert list(report.files.values()) == ["outdated", "changed", "missing"]


class LaunchdTests:
    """The same with launchd."""

    def test_a_life(self, mac: House) -> None:
        """The agents are written and loaded, found, and unloaded and removed; nothing is done twice."""
        domain = f"gui/{os.getuid()}"
        assert len(mac.service().install().written) == 2
        paths = [str(mac.files[name]) for name in LAUNCHD]
        enabled = [f"enable {domain}/mcpgateway", f"enable {domain}/mcpgateway-deadman"]
        assert mac.manager.asked() == [*enabled, *(f"bootstrap {domain} {path}" for path in paths)]
        report = mac.service().status()
        standing = report.standing
        assert standing is not None
        assert (standing.is_enabled, standing.is_active, standing.has_deadman) == (True, True, True)
        assert (standing.state, standing.pid) == ("running", 4711)
        assert not mac.service().install().is_started
        assert mac.manager.asked() == enabled
        assert list(mac.service().uninstall().removed) == paths
        assert mac.manager.asked() == [f"bootout {domain}/mcpgateway-deadman", f"bootout {domain}/mcpgateway"]
        assert mac.files == {}
        assert mac.service().status().standing is None

    def test_an_upgrade(self, mac: House) -> None:
        """The running agent is unloaded before the new one is loaded."""
        mac.service().install()
        mac.manager.asked()
        environ = mac.environ | {"CLAUDE_CONFIG_DIR": "/c"}
        Service(str(mac.home), environ, "darwin", resume=lambda *_: report()).install()
        verbs = [each.split()[0] for each in mac.manager.asked()]
        assert verbs == ["enable", "enable", "bootout", "bootstrap", "bootout", "bootstrap"]

    def test_not_loaded(self, mac: House) -> None:
        """An agent that waits for the next login is not active."""
        mac.service().install(starts=False)
        standing = mac.service().status().standing
        assert standing is not None
        assert (standing.is_enabled, standing.is_active, standing.state) == (True, False, "not loaded")

    def test_an_agent_that_drains(self, mac: House) -> None:
        """A new agent is loaded once the last one has gone, with a limit on the wait."""
        mac.service().install()
        waited: list[float] = []

        def pause(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 5:
                mac.manager.end("mcpgateway")

        mac.manager.breaks("bootout", "Operation now in progress")
        Launchd(mac.environ, pause).stop([LAUNCHD[0]])
        assert len(waited) == 5
        with pytest.raises(ConfigError, match="has not ended mcpgateway-deadman within"):
            Launchd(mac.environ, lambda _: None).stop([LAUNCHD[1]])
