"""Clients' own files: which there are, how they would use the gateway, and how they are restored."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mcpgateway.cli.commands.generate import FORMS, STDOUT, print_entries
from mcpgateway.cli.completion_values import client_names, server_names
from mcpgateway.cli.console import (
    DONE,
    DRIFT,
    FAILED,
    ROLLED_BACK,
    answer,
    confirm,
    emit,
    fail,
    say,
    spinner,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, machine_of
from mcpgateway.cli.lazy import SuggestingGroup

if TYPE_CHECKING:
    from mcpgateway.clientfiles.machine import Machine
    from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan
    from mcpgateway.clientfiles.report import Report

Command = Callable[..., Any]
HEALTH_S = 10.0
WORKING = "going through the clients' files"


@click.group(cls=SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"]})
def clients() -> None:
    """Enrol clients' own files, and restore them.

    A file is changed only where its servers stand, and as it was before when it is restored.  `plan` shows what
    `apply` would do.
    """


def chooses(command: Command) -> Command:
    """Add the options that select files and servers."""
    for option in (
        click.option(
            "--file", type=click.Path(), metavar="PATH", default="", help="One file, wherever it is."
        ),
        click.option(
            "--project",
            type=click.Path(file_okay=False),
            metavar="PATH",
            default="",
            help="The clients' files in a project.",
        ),
        click.option(
            "--server",
            "servers",
            metavar="NAME",
            multiple=True,
            shell_complete=server_names,
            help="One server; may be given again.",
        ),
        click.option(
            "--client",
            "--only",
            "names",
            metavar="NAME",
            multiple=True,
            shell_complete=client_names,
            help="One client; may be given again.",
        ),
    ):
        command = option(command)
    return command


def how_to_enrol(command: Command) -> Command:
    """Add the options for the form of enrolled entries."""
    for option in (
        click.option(
            "--headers-helper",
            "helper",
            is_flag=True,
            help="Let the client say which process and directory it is, where the gateway cannot see that.",
        ),
        click.option("--single", "mode", flag_value="single", help="One entry for all servers together."),
        click.option(
            "--fail-open",
            "mode",
            flag_value="fail-open",
            help="By a command that runs the original where no gateway answers.",
        ),
        click.option("--http", "mode", flag_value="http", help="By URL (the usual way)."),
    ):
        command = option(command)
    return command


@clients.command()
@click.pass_obj
def detect(globals_: Globals) -> None:
    """Say which clients are on this machine, and what their files list."""
    from mcpgateway.cli.client_tables import tell_detected
    from mcpgateway.clientfiles import immorterm, report

    machine = machine_of(globals_)
    found = careful(lambda: report.detected(machine))

    def tell() -> None:
        tell_detected(found)
        for line in careful(lambda: immorterm.in_words(machine)):
            say(line, fg="yellow")

    answer(globals_, {"detected": found, "immorterm": careful(lambda: immorterm.as_json(machine))}, tell)


@clients.command("list")
@click.pass_obj
def list_(globals_: Globals) -> None:
    """Say which files use the gateway, and whether they are as they were left."""
    from mcpgateway.cli.client_tables import tell_listed
    from mcpgateway.clientfiles import report

    found = careful(lambda: report.listed(machine_of(globals_)))
    answer(globals_, found, lambda: tell_listed(found))


@clients.command()
@chooses
@how_to_enrol
@click.pass_obj
def plan(globals_: Globals, /, **options: Any) -> None:
    """Show what `apply` would change, and what it would leave alone and why."""
    from mcpgateway.cli.client_tables import tell_planned
    from mcpgateway.clientfiles import report

    found = _planned(machine_of(globals_), _wanted(options))
    answer(globals_, report.planned(*found), lambda: tell_planned(*found))


@clients.command()
@chooses
@how_to_enrol
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--check", is_flag=True, help="Change nothing; the exit code is 3 where something would change."
)
@click.option("--print", "is_print", is_flag=True, help="Print the entries to paste, and change nothing.")
@click.option(
    "--form", type=click.Choice(FORMS), help="With --print: how they use the gateway (default: what suits)."
)
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="With --print: put the entries into this file, beside what it holds.",
)
@click.argument("named", nargs=-1, metavar="[CLIENT]...", shell_complete=client_names)
@click.pass_context
def apply(
    context: click.Context,
    /,
    *,
    yes: bool,
    check: bool,
    is_print: bool,
    form: str | None,
    output: str | None,
    named: tuple[str, ...],
    **options: Any,
) -> None:
    """Enrol clients' files, so that their servers are served by the gateway.

    Their own servers are put back by `undo`, and by `mcpgateway stop` until the next start.  With --print the entries
    of all servers are printed as CLIENT wants them (claude-code without a name).
    """
    globals_: Globals = context.obj
    options["names"] = (*options["names"], *named)
    if is_print:
        print_entries(globals_, options["names"], options["servers"], form, output or STDOUT)
        return
    if form or output:
        raise click.UsageError("clients apply: --form and --output go with --print")
    machine, wanted = machine_of(globals_), _wanted(options)
    if check or not yes:
        found = _planned(machine, wanted)
        is_change = bool(found.behind) or any(each.is_change for each in found.plans)
        if check:
            _tell_plans(globals_, found)
            context.exit(DRIFT if is_change else DONE)
        if is_change and not _is_agreed(globals_, found):
            context.exit(FAILED)
    from mcpgateway.clientfiles import enrolment

    with spinner(WORKING):
        report = careful(lambda: enrolment.apply(machine, wanted))
    context.exit(_print_report(globals_, report))


@clients.command()
@chooses
@click.pass_context
def undo(context: click.Context, /, **options: Any) -> None:
    """Restore files, and forget that they were enrolled.

    With --server a server is restored for its clients and stays theirs; `apply --server NAME` takes it in again.
    """
    from mcpgateway.clientfiles import enrolment

    globals_: Globals = context.obj
    with spinner(WORKING):
        report = careful(lambda: enrolment.undo(machine_of(globals_), _wanted(options)))
    context.exit(_print_report(globals_, report))


@clients.command(hidden=True)
@click.pass_context
def sync(context: click.Context) -> None:
    """Follow what clients have changed in files that use the gateway; the gateway runs this by itself."""
    from mcpgateway.clientfiles.sync import sync as follow

    globals_: Globals = context.obj
    report = careful(lambda: follow(globals_.home, os.environ))
    emit(report.as_json())
    context.exit(ROLLED_BACK if report.rolled_back else DONE)


@clients.command()
@click.option(
    "--after", type=click.FloatRange(0), default=120.0, show_default=True, help="Seconds it may be away."
)
@click.pass_context
def deadman(context: click.Context, after: float) -> None:
    """Restore all files if the gateway stays away, and enrol them again when it is back; for a timer.

    Run it every minute.
    """
    from mcpgateway.cli.client_tables import tell_watched
    from mcpgateway.clientfiles.deadman import deadman as look

    globals_: Globals = context.obj
    found = careful(lambda: look(globals_.home, os.environ, after))
    answer(globals_, found.as_json(), lambda: tell_watched(found))
    context.exit(FAILED if found.report is not None and found.report.errors else DONE)


@clients.command()
@click.pass_context
def pause(context: click.Context) -> None:
    """Restore all clients' files until `resume`; the gateway keeps running."""
    from mcpgateway.clientfiles import enrolment

    globals_: Globals = context.obj
    report = careful(lambda: enrolment.suspend(globals_.home, os.environ, enrolment.DISABLED))
    context.exit(_print_report(globals_, report))


@clients.command()
@click.pass_context
def resume(context: click.Context) -> None:
    """Enrol all files again that `pause` has restored.

    Exit code 2 where no gateway answers; nothing is changed then.
    """
    from mcpgateway.cli.client import GatewayClient, NoGateway
    from mcpgateway.clientfiles import enrolment

    globals_: Globals = context.obj
    remote = GatewayClient(globals_)
    try:
        health = remote.ask("/health", limit_s=HEALTH_S).value
    except NoGateway as why:
        remote.unreachable(why)
    report = careful(lambda: enrolment.resume(globals_.home, os.environ, (enrolment.DISABLED,)))
    if not report.errors and isinstance(health, dict) and health.get("disabled"):
        # The ledger's data is read on demand; it is empty if no client uses the gateway.
        remote.fetch("/api/gateway/enable", method="POST")
    context.exit(_print_report(globals_, report))


def _wanted(given: dict[str, Any]) -> EnrolRequest:
    from mcpgateway.clientfiles.files import FileChoice
    from mcpgateway.clientfiles.plan import EnrolRequest

    choice = FileChoice(tuple(given["names"]), given["project"], given["file"])
    return EnrolRequest(choice, tuple(given["servers"]), given.get("mode") or "", bool(given.get("helper")))


class _Planned(NamedTuple):
    """The plans for clients' files, and for files that another gateway has left behind."""

    plans: tuple[FilePlan, ...]
    behind: Mapping[str, Sequence[str]]


def _planned(machine: Machine, wanted: EnrolRequest) -> _Planned:
    from mcpgateway.clientfiles.immorterm import left_behind
    from mcpgateway.clientfiles.plan import plan as work_out

    with spinner("reading the clients' files"):
        return careful(lambda: _Planned(work_out(machine, wanted), left_behind(machine)))


def _tell_plans(globals_: Globals, found: _Planned) -> None:
    from mcpgateway.cli.client_tables import tell_planned
    from mcpgateway.clientfiles import report

    answer(globals_, report.planned(*found), lambda: tell_planned(*found))


def _is_agreed(globals_: Globals, found: _Planned) -> bool:
    if globals_.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail(
            "nothing is changed: there is no terminal to ask at",
            "--yes changes the files unasked; mcpgateway clients plan shows what would change",
        )
    from mcpgateway.cli.client_tables import tell_planned

    tell_planned(*found)
    return confirm("Enrol these files?", default=False)


def _print_report(globals_: Globals, report: Report) -> int:
    from mcpgateway.cli.client_tables import tell_report

    answer(globals_, report.as_json(), lambda: tell_report(report))
    for each in report.warnings:
        say(f"mcpgateway: {each}", err=True, fg="yellow")
    if report.rolled_back:
        return ROLLED_BACK
    return FAILED if report.errors else DONE
