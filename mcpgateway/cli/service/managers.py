"""The service managers of users: systemd, and launchd on macOS; each is used through its own command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Protocol

from attrs import frozen

from mcpgateway.cli.service.units import ServiceSettings, Unit, launchd_agents, systemd_units
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system.service_files import DEADMAN, SERVICE, launchd_directory, systemd_directory
from mcpgateway.units import duration

ANSWER_S = 15.0  # for a query
START_S = 120.0  # until the gateway has reported its readiness: the manager itself gives up after 90 s
STOP_S = 90.0  # the gateway drains its calls for 30 s and stops its servers
REFERENCES = ("See ", "Hint: ")  # begin lines of systemctl that say where to read more
UNKNOWN = "unknown"
ELSEWHERE = (
    f"`{cli('start')}` runs the gateway without a service manager;"
    " yours, if it is another, can run `twist mcpgateway`"
)


@frozen
class ServiceState:
    """The state of the service.

    :ivar is_enabled: True if it starts when its user logs in.
    :ivar is_active: True if it runs.
    :ivar state: the manager's word, or `UNKNOWN` if it does not answer.
    :ivar pid: its process, or 0.
    :ivar says: the status text that it has reported.
    :ivar has_deadman: True if a timer checks every minute that it runs.
    :ivar note: a remark for the user.
    """

    is_enabled: bool
    is_active: bool
    state: str
    pid: int = 0
    says: str = ""
    has_deadman: bool = False
    note: str = ""


class Manager(Protocol):
    """A service manager of a user."""

    name: str

    def units(self, place: ServiceSettings) -> tuple[Unit, ...]:
        """Return the files that it needs."""

    def enable(self) -> None:
        """Reload the files, and start the service at every login from now on."""

    def start(self, *, anew: bool) -> None:
        """Start the service; with ``anew``, stop a running one first."""

    def stop(self, files: Sequence[str]) -> None:
        """Stop the services of these files, and start them no more."""

    def forget(self) -> None:
        """Note that the files have been removed."""

    def standing(self) -> ServiceState:
        """Return the state of the service."""


def find(environ: Mapping[str, str], platform: str, *, is_commanded: bool = True) -> Manager:
    """Return the service manager of this user.

    :param platform: value of `sys.platform`.
    :param is_commanded: True if commands will follow, so that the manager has to be running.
    :raise ConfigError: no manager works here; the hint has the advice.
    """
    if platform == "darwin":
        return Launchd(environ)
    if not is_commanded:
        return Systemd(environ)
    if shutil.which("systemctl", path=environ.get("PATH", os.defpath)) is None:
        raise ConfigError("there is neither systemd nor launchd here", ELSEWHERE)
    systemd = Systemd(environ)
    systemd.greet()
    return systemd


class _Commands:
    """Runs a manager's command line."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    def _ask(self, argv: Sequence[str], limit_s: float = ANSWER_S) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                argv,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConfigError(f"`{' '.join(argv)}` has not ended within {duration(limit_s)}") from None
        except OSError as why:
            raise ConfigError(f"`{argv[0]}` cannot be run: {why.strerror}") from why

    def _do(self, argv: Sequence[str], limit_s: float = ANSWER_S, hint: str = "") -> str:
        done = self._ask(argv, limit_s)
        if done.returncode:
            raise ConfigError(f"`{' '.join(argv)}` failed: {_cause(done.stderr or done.stdout)}", hint)
        return done.stdout


class Systemd(_Commands):
    """The systemd of a user."""

    name = "systemd"
    service, deadman, timer = f"{SERVICE}.service", f"{DEADMAN}.service", f"{DEADMAN}.timer"

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        runtime = f"/run/user/{os.getuid()}"
        # `su` and `sudo` remove the variable by which the user's own systemd is found.
        if not environ.get("XDG_RUNTIME_DIR") and os.path.isdir(runtime):
            self._environ["XDG_RUNTIME_DIR"] = runtime

    def greet(self) -> None:
        """Check that systemd answers.

        :raise ConfigError: systemd does not answer.
        """
        done = self._ask(["systemctl", "--user", "show-environment"])
        if done.returncode:
            raise ConfigError(
                f"`systemctl --user` does not work here: {_cause(done.stderr)}",
                f"log in as this user, as over ssh, and try again; {ELSEWHERE}",
            )

    def units(self, place: ServiceSettings) -> tuple[Unit, ...]:
        """Return the files below the user's configuration."""
        return systemd_units(place, systemd_directory(self._environ))

    def enable(self) -> None:
        """Reload the files, and start the service at every login from now on."""
        self._systemctl("daemon-reload")
        self._systemctl("enable", self.service, self.timer)

    def start(self, *, anew: bool) -> None:
        """Start the service; return after it has reported its readiness."""
        hint = f"`journalctl --user -u {SERVICE} -n 20` says why"
        self._ask(["systemctl", "--user", "reset-failed", self.service])
        self._systemctl("restart" if anew else "start", self.service, limit_s=START_S, hint=hint)
        self._systemctl("restart" if anew else "start", self.timer)

    def stop(self, files: Sequence[str]) -> None:
        """Stop the services of these files, and start them no more."""
        # The timer first: it must not find the gateway stopped.
        for name in sorted(files, key=lambda each: each != self.timer):
            self._systemctl("disable", "--now", name, limit_s=STOP_S)

    def forget(self) -> None:
        """Reload the files after their removal, and forget a failure of the service."""
        self._systemctl("daemon-reload")
        self._ask(["systemctl", "--user", "reset-failed", self.service, self.deadman])

    def standing(self) -> ServiceState:
        """Return the state of the service."""
        service, timer = self._shown(self.service), self._shown(self.timer)
        return ServiceState(
            service.get("UnitFileState") == "enabled",
            service.get("ActiveState") in {"active", "reloading"},
            "/".join(filter(None, (service.get("ActiveState"), service.get("SubState")))),
            int(service.get("MainPID") or 0),
            service.get("StatusText", ""),
            timer.get("ActiveState") == "active",
            self._lingering(),
        )

    def _shown(self, unit: str) -> dict[str, str]:
        properties = "UnitFileState,ActiveState,SubState,MainPID,StatusText"
        shown = self._systemctl("show", f"--property={properties}", unit)
        return dict(line.partition("=")[::2] for line in shown.splitlines())

    def _lingering(self) -> str:
        if shutil.which("loginctl", path=self._environ.get("PATH", os.defpath)) is None:
            return ""
        done = self._ask(["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"])
        if done.returncode or done.stdout.strip() != "no":
            return ""
        return "it ends when you log out; `loginctl enable-linger` has it run all the time"

    def _systemctl(self, *words: str, limit_s: float = ANSWER_S, hint: str = "") -> str:
        return self._do(["systemctl", "--user", *words], limit_s, hint)


class Launchd(_Commands):
    """The launchd of a user of macOS."""

    name = "launchd"

    def __init__(self, environ: Mapping[str, str], pause: Callable[[float], object] | None = None) -> None:
        super().__init__(environ)
        self._pause = pause or Event().wait
        self._domain = f"gui/{os.getuid()}"
        self._directory = launchd_directory(environ)

    def units(self, place: ServiceSettings) -> tuple[Unit, ...]:
        """Return the user's agents."""
        return launchd_agents(place, self._directory)

    def enable(self) -> None:
        """Start the agents at every login from now on, for which their files suffice."""
        for label in (SERVICE, DEADMAN):
            self._do(["launchctl", "enable", f"{self._domain}/{label}"])

    def start(self, *, anew: bool) -> None:
        """Load the agents, which starts them."""
        for label in (SERVICE, DEADMAN):
            if anew:
                self._unload(label)
            if not self._is_loaded(label):
                path = os.path.join(self._directory, f"{label}.plist")
                self._do(["launchctl", "bootstrap", self._domain, path], START_S)

    def stop(self, files: Sequence[str]) -> None:
        """Unload the agents of these files."""
        for label in (DEADMAN, SERVICE):
            if f"{label}.plist" in files:
                self._unload(label)

    def forget(self) -> None:
        """Do nothing: launchd forgets an agent without a file."""

    def standing(self) -> ServiceState:
        """Return the state of the agent."""
        printed = self._ask(["launchctl", "print", f"{self._domain}/{SERVICE}"])
        state = re.search(r"^\s*state = (.+)$", printed.stdout, re.MULTILINE)
        pid = re.search(r"^\s*pid = (\d+)$", printed.stdout, re.MULTILINE)
        disabled = self._ask(["launchctl", "print-disabled", self._domain]).stdout
        is_enabled = not re.search(rf'"{SERVICE}" => (disabled|true)', disabled)
        is_loaded = printed.returncode == 0
        return ServiceState(
            is_enabled and os.path.exists(os.path.join(self._directory, f"{SERVICE}.plist")),
            is_loaded and pid is not None,
            (state[1].strip() if state else "loaded") if is_loaded else "not loaded",
            int(pid[1]) if pid else 0,
            has_deadman=self._is_loaded(DEADMAN),
        )

    def _is_loaded(self, label: str) -> bool:
        return self._ask(["launchctl", "print", f"{self._domain}/{label}"]).returncode == 0

    def _unload(self, label: str) -> None:
        if not self._is_loaded(label):
            return
        self._ask(["launchctl", "bootout", f"{self._domain}/{label}"], STOP_S)
        # The command returns before a draining gateway has ended, and until then no agent can be loaded in its place.
        for _ in range(round(STOP_S)):
            if not self._is_loaded(label):
                return
            self._pause(1.0)
        raise ConfigError(f"launchd has not ended {label} within {STOP_S:g} s")


def _cause(text: str) -> str:
    """Return the last line of a failed command's output that names a cause."""
    lines = [each.strip() for each in text.splitlines()]
    causes = [each for each in lines if each and not each.startswith(REFERENCES)]
    return causes[-1] if causes else "it said nothing"
