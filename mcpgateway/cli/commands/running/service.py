"""The gateway as a service of its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mcpgateway.cli.console import (
    DONE,
    FAILED,
    Part,
    Styled,
    answer,
    fail,
    only_here,
    say,
    show,
    spinner,
    styled,
    table,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.hints import cli
from mcpgateway.shim import locations

if TYPE_CHECKING:
    from mcpgateway.cli.service.managers import ServiceState
    from mcpgateway.cli.service.service import Removed, Service, ServiceInstallation, ServiceStatus


@click.group(cls=SuggestingGroup)
def service() -> None:
    """Have the gateway start when you log in, and be started again when it fails.

    The service is one of yours, not of the machine: systemd runs it on Linux, launchd on macOS.
    """


@service.command()
@click.option("--dry-run", is_flag=True, help="Print the files that would be written, and change nothing.")
@click.option("--no-start", is_flag=True, help="Do not start it now, only when you next log in.")
@click.option("--vscode", is_flag=True, help="Install the extension of VS Code in place of the service.")
@click.pass_obj
def install(globals_: Globals, *, dry_run: bool, no_start: bool, vscode: bool) -> None:
    """Write the files of the service, and start it.

    Called again, after an upgrade for example, it writes what has to be another, and starts the service anew if
    anything had to.
    """
    if not vscode:
        install_service(globals_, is_dry=dry_run, starts=not no_start)
        return
    if dry_run or no_start:
        raise click.UsageError("service install: --vscode goes with none of the other options")
    _install_extension(globals_)


def _install_extension(globals_: Globals) -> None:
    from mcpgateway.cli.service import extension
    from mcpgateway.errors import ConfigError

    try:
        with spinner("installing the extension"):
            editors = extension.install(locations.environment())
    except ConfigError as why:
        fail(str(why), why.hint)
    said = f"the extension is installed in {', '.join(editors)}; windows that are open load it when they are reloaded"
    answer(globals_, {"editors": editors}, lambda: say(said))


def install_service(globals_: Globals, *, is_dry: bool, starts: bool) -> None:
    """Install the service, and print what was done.

    :raise Trouble: it cannot be installed.
    """

    def carry_out(chosen: Service) -> ServiceInstallation:
        return chosen.install(is_dry=is_dry, starts=starts)

    done = _carried_out(globals_, carry_out, "installing the service")
    answer(globals_, _as_json(done), lambda: _tell_installed(done, is_dry=is_dry))


@service.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and change nothing.")
@click.option("--force", is_flag=True, help="Even if a client's file cannot be restored.")
@click.pass_obj
def uninstall(globals_: Globals, *, dry_run: bool, force: bool) -> None:
    """Restore clients' files, end the service, and remove its files."""

    def carry_out(chosen: Service) -> Removed:
        return chosen.uninstall(is_dry=dry_run, anyway=force)

    done = _carried_out(globals_, carry_out, "ending the service")
    answer(globals_, _as_json(done), lambda: _tell_removed(done, is_dry=dry_run))


@service.command()
@click.pass_obj
@click.pass_context
def status(context: click.Context, globals_: Globals) -> None:
    """Say whether the service is installed, starts when you log in, and runs; the exit code is 0 if it runs."""
    report = _carried_out(globals_, lambda chosen: chosen.status(), "asking")
    answer(globals_, _report_as_json(report), lambda: _tell_report(report))
    is_active = report.standing is not None and report.standing.is_active
    context.exit(DONE if is_active else FAILED)


def _carried_out(globals_: Globals, carry_out: Any, what: str) -> Any:
    from mcpgateway.cli.service.service import Service
    from mcpgateway.errors import ConfigError

    only_here(globals_, "service")
    try:
        with spinner(what):
            return carry_out(Service(globals_.home, locations.environment()))
    except ConfigError as why:
        fail(str(why), why.hint)


def _as_json(done: ServiceInstallation | Removed) -> dict[str, Any]:
    from attrs import asdict

    return asdict(done)


def _tell_installed(done: ServiceInstallation, *, is_dry: bool) -> None:
    if is_dry:
        for unit in done.units:
            say(f"# {unit.path}", bold=True)
            show(unit.text)
        return
    for path in done.written:
        say(f"wrote {path}")
    for warning in done.warnings:
        say(f"warning: {warning}", err=True)
    if not done.written:
        say("the files of the service are as they should be")
    say("the service was started" if done.is_started else "the service was left as it is")


def _tell_removed(done: Removed, *, is_dry: bool) -> None:
    for path in done.removed:
        say(f"{'would remove' if is_dry else 'removed'} {path}")
    for path in done.left:
        say(f"left {path}: it has been changed since it was written")
    if not (done.removed or done.left):
        say("no service is installed")


def _report_as_json(report: ServiceStatus) -> dict[str, Any]:
    standing = report.standing
    return {
        "manager": report.manager,
        "installed": report.is_installed,
        "enabled": standing is not None and standing.is_enabled,
        "active": standing is not None and standing.is_active,
        "state": standing.state if standing is not None else "",
        "pid": (standing.pid or None) if standing is not None else None,
        "says": standing.says if standing is not None else "",
        "deadman": standing is not None and standing.has_deadman,
        "note": standing.note if standing is not None else "",
        "files": dict(report.files),
    }


def _tell_report(report: ServiceStatus) -> None:
    standing = report.standing
    if standing is None:
        say(f"no service is installed; `{cli('service install')}` installs one")
        return
    from mcpgateway.cli.service.managers import UNKNOWN

    rows: list[tuple[Part, ...]] = [("installed", _yes(report.is_installed), f"by {report.manager}")]
    if standing.state != UNKNOWN:
        rows += _lives(report, standing)
    table(("SERVICE", "", ""), rows)
    for path, word in report.files.items():
        if word != "current":
            say(f"{path}: {word}; `{cli('service install')}` writes it")
    if standing.note:
        say(standing.note)


def _lives(report: ServiceStatus, standing: ServiceState) -> list[tuple[Part, ...]]:
    return [
        ("enabled", _yes(standing.is_enabled), "starts when you log in" if standing.is_enabled else ""),
        ("active", _yes(standing.is_active), _active(report)),
        ("dead man", _yes(standing.has_deadman), "looks each minute whether the gateway is there"),
    ]


def _active(report: ServiceStatus) -> str:
    standing = report.standing
    assert standing is not None
    pid = f"pid {standing.pid}" if standing.pid else ""
    return ", ".join(filter(None, (standing.state, pid, standing.says)))


def _yes(holds: bool) -> Styled:  # noqa: FBT001 - what is asked has no name
    return styled("yes", fg="green") if holds else styled("no", fg="yellow")
