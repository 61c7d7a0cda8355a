"""Install the gateway as a service of its user, uninstall it, and report its state."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from mcpgateway.cli.service.managers import UNKNOWN, Manager, ServiceState, find
from mcpgateway.cli.service.units import ServiceSettings, Unit
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.shim import locations
from mcpgateway.system import files
from mcpgateway.system.service_files import is_ours, serves, unit_text

if TYPE_CHECKING:
    from mcpgateway.clientfiles.report import Report


def _suspend(home: str, environ: Mapping[str, str], why: str) -> Report:
    from mcpgateway.clientfiles.enrolment import suspend

    return suspend(home, environ, why)


def _resume(home: str, environ: Mapping[str, str]) -> Report:
    from mcpgateway.clientfiles.enrolment import resume

    return resume(home, environ)


@frozen
class ServiceInstallation:
    """The outcome of an installation.

    :ivar manager: name of the service manager.
    :ivar units: the files of the service.
    :ivar written: the paths of the files that had to be written.
    :ivar is_started: True if the service was started or restarted.
    :ivar warnings: optional steps that have failed.
    """

    manager: str
    units: tuple[Unit, ...]
    written: tuple[str, ...] = ()
    is_started: bool = False
    warnings: tuple[str, ...] = ()


@frozen
class Removed:
    """The outcome of an uninstallation.

    :ivar removed: the paths of the files that were removed.
    :ivar left: the paths of files that were changed since they were written.
    """

    removed: tuple[str, ...]
    left: tuple[str, ...]


@frozen
class ServiceStatus:
    """The state of the service.

    :ivar files: the paths of its files, each with one word: current, outdated, changed or missing.
    :ivar standing: the manager's report; None if no service is installed.
    """

    manager: str
    files: Mapping[str, str]
    standing: ServiceState | None

    @property
    def is_installed(self) -> bool:
        """True if the service's file exists."""
        return next(iter(self.files.values())) != "missing"


@frozen
class Service:
    """The service of one user.

    :ivar home: the gateway's own directory.
    :ivar suspend: restores clients' files.
    :ivar resume: enrols clients' files again, as far as they were before `suspend`.
    """

    home: str
    environ: Mapping[str, str] = field(repr=False)
    platform: str = sys.platform
    suspend: Callable[[str, Mapping[str, str], str], Report] = field(default=_suspend, repr=False)
    resume: Callable[[str, Mapping[str, str]], Report] = field(default=_resume, repr=False)

    def install(self, *, is_dry: bool = False, starts: bool = True) -> ServiceInstallation:
        """Write the files, and start the service; current files are not rewritten.

        :param is_dry: only report the files that would be written.
        :param starts: start the service now, and not only at the next login.
        :raise ConfigError: no file could be written; or the service does not start.
        """
        manager, units = self._units(is_commanded=not is_dry)
        if is_dry:
            return ServiceInstallation(manager.name, units)
        written = [unit for unit in units if self._is_to_write(unit)]
        was_active = manager.standing().is_active
        if starts and not was_active:
            self._refuse_another()
        warnings = self._keep_login()
        for unit in written:
            _write(unit)
        manager.enable()
        if starts:
            manager.start(anew=was_active and bool(written))
            warnings += _errors(self.resume(self.home, self.environ))
        paths = tuple(unit.path for unit in written)
        return ServiceInstallation(
            manager.name, units, paths, starts and (bool(written) or not was_active), warnings
        )

    def uninstall(self, *, is_dry: bool = False, anyway: bool = False) -> Removed:
        """Restore clients' files, stop the service, and remove its files.

        :param is_dry: only report the files that would be removed.
        :param anyway: uninstall even if a client's file cannot be restored.
        :raise ConfigError: the service cannot be uninstalled.
        """
        manager, units = self._units(is_commanded=not is_dry)
        found = {unit.path: text for unit in units if (text := unit_text(unit.path)) is not None}
        for path, text in found.items():
            self._refuse_other_home(path, text)
        ours = tuple(path for path, text in found.items() if is_ours(text))
        if found and not is_dry:
            self._restore_files(anyway=anyway)
            manager.stop([os.path.basename(path) for path in found])
            for path in ours:
                os.unlink(path)
            manager.forget()
        return Removed(ours, tuple(path for path in found if path not in ours))

    def has_files(self) -> bool:
        """Return whether a file of a service with this home exists."""
        _, units = self._units(is_commanded=False)
        found = (unit_text(unit.path) for unit in units)
        return any(text is not None and serves(text, self.home) for text in found)

    def _restore_files(self, *, anyway: bool) -> None:
        errors = _errors(self.suspend(self.home, self.environ, "stopped"))
        if errors and not anyway:
            raise ConfigError(
                f"a client's file still names the gateway: {errors[0]}",
                "mend that and try again, or uninstall with --force",
            )

    def status(self) -> ServiceStatus:
        """Return the state of the service; the note names a manager that does not answer."""
        manager, units = self._units(is_commanded=False)
        found = {unit.path: _word(unit, unit_text(unit.path)) for unit in units}
        is_there = any(word != "missing" for word in found.values())
        return ServiceStatus(manager.name, found, _standing(manager) if is_there else None)

    def _units(self, *, is_commanded: bool) -> tuple[Manager, tuple[Unit, ...]]:
        manager = find(self.environ, self.platform, is_commanded=is_commanded)
        return manager, manager.units(ServiceSettings.here(self.home, self.environ))

    def _is_to_write(self, unit: Unit) -> bool:
        text = unit_text(unit.path)
        if text is None or text == unit.text:
            return text is None
        self._refuse_other_home(unit.path, text)
        if not is_ours(text):
            raise ConfigError(
                f"{unit.path}: is not as `{cli('service install')}` wrote it",
                "move it away and try again; what you want to be different belongs into a drop-in"
                " (systemctl --user edit), which stays",
            )
        return True

    def _refuse_other_home(self, path: str, text: str) -> None:
        if not serves(text, self.home):
            raise ConfigError(
                f"{path}: runs a gateway with another home than {self.home}",
                "name that one with --home; one user has one service",
            )

    def _refuse_another(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.settimeout(1.0)
            try:
                knock.connect(locations.socket_path(self.environ, self.home))
            except OSError:
                return
        raise ConfigError(
            f"a gateway with the home {self.home} is running, and is not this service",
            f"`{cli('stop')}` ends it; with --no-start the service begins when you next log in",
        )

    def _keep_login(self) -> tuple[str, ...]:
        # A service has no login shell: its servers get the environment of the shell that runs this command.
        from mcpgateway.system.settings import keep_login

        return tuple(keep_login(self.home, self.environ))


def _standing(manager: Manager) -> ServiceState:
    try:
        return manager.standing()
    except ConfigError as why:
        return ServiceState(is_enabled=False, is_active=False, state=UNKNOWN, note=str(why))


def _errors(report: Report) -> tuple[str, ...]:
    errors = [f"{each.path}: {each.error}" for each in report.files if each.error]
    return (*errors, *([report.rolled_back] if report.rolled_back else ()))


def _word(unit: Unit, text: str | None) -> str:
    if text is None:
        return "missing"
    if text == unit.text:
        return "current"
    return "outdated" if is_ours(text) else "changed"


def _write(unit: Unit) -> None:
    try:
        os.makedirs(os.path.dirname(unit.path), exist_ok=True)
        files.write_atomic(unit.path, unit.text.encode(), 0o644)
    except OSError as why:
        raise ConfigError(f"{unit.path}: cannot be written: {why.strerror}") from why
