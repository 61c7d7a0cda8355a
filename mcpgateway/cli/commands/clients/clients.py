"""Clients' own files: which there are, how they would use the gateway, and how they are restored."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mcpgateway.cli.commands.clients.generate import FORMS, STDOUT, print_entries
from mcpgateway.cli.completion_values import client_names, server_names
from mcpgateway.cli.console import (
    DONE,
    DRIFT,
    FAILED,
    ROLLED_BACK,
    answer,
    answer_list,
    can_ask,
    confirm,
    emit,
    fail,
    local_time,
    say,
    shortened,
    spinner,
)
from mcpgateway.cli.context import Globals
from mcpgateway.cli.files import careful, files_at_work, machine_of, working_directory
from mcpgateway.cli.lazy import SuggestingGroup
from mcpgateway.cli.values import TimeOption
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.clientfiles.machine import Machine
    from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan
    from mcpgateway.clientfiles.report import Report

Command = Callable[..., Any]
HEALTH_S = 10.0
LONGEST_PAUSE_S = 30 * 86_400.0


@click.group(cls=SuggestingGroup, bare="list", context_settings={"help_option_names": ["-h", "--help"]})
def clients() -> None:
    """Enrol clients' own files, and restore them.

    An enrolled file leads its client to the gateway, which runs each server once for all clients.  A file is changed
    only where its servers stand, and as it was before when it is restored.  `plan` shows what
    `apply` would do; both look into the current directory, too.
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
        click.argument("named", nargs=-1, metavar="[CLIENT]...", shell_complete=client_names),
    ):
        command = option(command)
    return command


def how_to_enrol(command: Command) -> Command:
    """Add the options for the form of enrolled entries."""
    for option in (
        click.option(
            "--remote",
            is_flag=True,
            help="Enrol the entries with URLs, too; the gateway takes over their headers.",
        ),
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
            help="By a command that runs the original where no gateway answers (the usual way without a service).",
        ),
        click.option("--http", "mode", flag_value="http", help="By URL (the usual way with a service)."),
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

    items = [
        {"config_path" if name == "configPath" else name: value for name, value in each.items()}
        for each in found
    ]
    answer_list(globals_, items, tell, immorterm=careful(lambda: immorterm.as_json(machine)))


@clients.command("list")
@click.pass_obj
def list_(globals_: Globals) -> None:
    """Say which files use the gateway, and whether they have changed."""
    from mcpgateway.cli.client_tables import tell_listed
    from mcpgateway.clientfiles import report

    found = careful(lambda: report.listed(machine_of(globals_)))
    more = {name: value for name, value in found.items() if name != "files"}
    answer_list(globals_, found["files"], lambda: tell_listed(found), **more)


def shows_diff(command: Command) -> Command:
    """Add the option for a diff."""
    return click.option("--diff", "is_diff", is_flag=True, help="Show a diff of each file, without secrets.")(
        command
    )


@clients.command()
@chooses
@how_to_enrol
@shows_diff
@click.pass_obj
def plan(globals_: Globals, /, *, is_diff: bool, **options: Any) -> None:
    """Show what `apply` would change, and what it leaves and why."""
    machine = machine_of(globals_)
    found = _planned(machine, _wanted(options, offers=True))
    _answer_plans(globals_, machine, found, is_diff=is_diff)


@clients.command()
@chooses
@how_to_enrol
@shows_diff
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing; the exit code is 3 where something would change, 1 where a file cannot be used.",
)
@click.option("--print", "is_print", is_flag=True, help="Print the entries to paste, and change nothing.")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    help="With --print: how they use the gateway (default: as `apply` writes them).",
)
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="With --print: put the entries into this file, beside what it holds.",
)
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
    **options: Any,
) -> None:
    """Enrol clients' files: the gateway then runs their servers.

    Their own servers are put back by `undo`, and by `mcpgateway stop` until the next start.  A gateway is started if
    none runs and entries are to lead to it by URL.  Servers of the gateway's own configuration, as `servers add` makes
    them, are added to the files of clients that use the gateway; `undo --server NAME` keeps one out.  With --print the
    entries of all servers are printed as CLIENT wants them (claude-code without a name), except those of projects.
    """
    globals_: Globals = context.obj
    is_diff = options.pop("is_diff")
    if is_print:
        print_entries(globals_, _clients(options), options["servers"], form, output or STDOUT)
        return
    if form or output:
        raise click.UsageError("clients apply: --form and --output go with --print")
    machine, wanted = machine_of(globals_), _wanted(options, offers=True)
    found = _planned(machine, wanted)
    is_change = bool(found.behind) or any(each.is_change for each in found.plans)
    if check:
        _answer_plans(globals_, machine, found, is_diff=is_diff)
        has_trouble = any(each.trouble for each in found.plans)
        context.exit(DRIFT if is_change else FAILED if has_trouble else DONE)
    if yes and not globals_.as_json:
        from mcpgateway.cli.client_tables import tell_tracked

        tell_tracked(each.site.path for each in found.plans if each.is_change)
    if is_change and not yes and not _is_agreed(globals_, machine, found, is_diff=is_diff):
        context.exit(FAILED)
    from mcpgateway.clientfiles import enrolment

    if is_change and _needs_gateway(found) and machine.answer is None:
        _start(globals_)
        machine = machine_of(globals_)  # its port may be another
    with files_at_work("enrolling"):
        report = careful(lambda: enrolment.apply(machine, wanted))
    from mcpgateway.cli.client_tables import NO_FILES

    is_empty = not any(each.before or each.trouble for each in found.plans)
    code = _print_report(globals_, report, NO_FILES if is_empty else UNCHANGED)
    if report.is_changed and not report.rolled_back and not globals_.as_json:
        from mcpgateway.cli.client_tables import NEW_SESSIONS, tell_need

        if yes and not _has_service(machine):
            tell_need(report)
        say(NEW_SESSIONS, dim=True)
    context.exit(code)


@clients.command()
@chooses
@click.option(
    "--version",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="Return a file to what it was before a change of `clients history`.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Change nothing; show a diff of each file.")
@click.option("-y", "--yes", is_flag=True, help="Restore all files unasked.")
@click.pass_context
def undo(context: click.Context, /, *, version: int | None, is_dry: bool, yes: bool, **options: Any) -> None:
    """Restore files, and forget that they were enrolled.

    On a terminal, all files are restored once you have agreed, and those of named clients at once.
    With --server a server is restored for its clients and stays theirs; `apply --server NAME` takes it in again.
    """
    from mcpgateway.clientfiles import enrolment

    globals_: Globals = context.obj
    if version and any(options.values()):
        raise click.UsageError("clients undo: --version names a file already")
    machine, wanted = machine_of(globals_), _wanted(options)
    if is_dry:
        from mcpgateway.cli.client_tables import tell_restoration

        found = careful(lambda: enrolment.restoration(machine, wanted, version or 0))
        answer(globals_, found, lambda: tell_restoration(found))
        return
    if can_ask(globals_) and not (yes or version or any(options.values())):
        found = careful(lambda: enrolment.restoration(machine, wanted))
        changed = [shortened(each["path"]) for each in found["files"] if each["changed"]]
        if changed and not confirm(f"Restore {', '.join(changed)}?", default=True):
            context.exit(FAILED)
    with files_at_work("restoring"):
        report = careful(lambda: enrolment.undo(machine, wanted, version or 0))
    context.exit(_print_report(globals_, report))


@clients.command()
@click.option("--file", type=click.Path(), metavar="PATH", default="", help="One file, wherever it is.")
@click.argument("version", required=False, type=click.IntRange(1), metavar="[NUMBER]")
@click.pass_obj
def history(globals_: Globals, file: str, version: int | None) -> None:
    """Say what the gateway has changed in clients' files and when, or show one change.

    `undo --version NUMBER` returns a file to what it was before a change.
    """
    from mcpgateway.cli.client_tables import tell_history, tell_version
    from mcpgateway.clientfiles import report

    machine = machine_of(globals_)
    if version:
        one = careful(lambda: report.remembered_one(machine, version))
        answer(globals_, one, lambda: tell_version(one))
        return
    items = careful(lambda: report.remembered(machine, file))["versions"]
    answer_list(globals_, items, lambda: tell_history(items))


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
    """For a timer: restore all files while the gateway is away.

    They are enrolled again when it is back.  Run it every minute.
    """
    from mcpgateway.cli.client_tables import tell_watched
    from mcpgateway.clientfiles.deadman import deadman as look

    globals_: Globals = context.obj
    found = careful(lambda: look(globals_.home, os.environ, after))
    answer(globals_, found.as_json(), lambda: tell_watched(found))
    context.exit(FAILED if found.report is not None and found.report.errors else DONE)


@clients.command(context_settings={"allow_extra_args": True})
@click.option(
    "--for",
    "length_s",
    type=TimeOption(LONGEST_PAUSE_S, "30m or 4h"),
    metavar="TIME",
    help="How long, such as 30m or 4h (default: until `resume`).",
)
@click.pass_context
def pause(context: click.Context, length_s: float | None) -> None:
    """Restore all clients' files until `resume`, or for a time.

    The gateway keeps running.  It enrols the files again when the time is over, or at its next start after that.
    """
    if context.args:  # perhaps a length of time
        word = context.args[0]
        server = "" if word[:1].isdigit() else f"; {cli('servers disable {}', word)} switches a server off"
        raise click.UsageError(
            f"clients pause: takes options only: {cli('clients pause --for 4h')} sets a length, and"
            f" {cli('clients resume')} ends the pause{server}"
        )
    from mcpgateway.clientfiles import enrolment
    from mcpgateway.clientfiles.report import Report

    globals_: Globals = context.obj
    machine = machine_of(globals_)
    if machine.answer is None and not careful(
        lambda: any(each.is_standing for each in machine.records.files.values())
    ):
        context.exit(_print_report(globals_, Report(), OWN_ALREADY))
    until = time() + length_s if length_s else 0.0
    with files_at_work("restoring"):
        report = careful(lambda: enrolment.suspend(globals_.home, os.environ, enrolment.DISABLED, until))
    code = _print_report(
        globals_, report, f"No client's file is enrolled; {cli('clients apply')} enrols them."
    )
    machine = machine_of(globals_)
    is_paused = report.is_changed or machine.is_paused
    if is_paused and not globals_.as_json:
        at = local_time(datetime.fromtimestamp(until, UTC).isoformat())
        ends = f" until {at}" if until else ""
        at_once = " at once" if until else ""
        is_there = machine.answer is not None
        runs = ", and the gateway keeps running" if is_there else f" ({cli('start')} starts the gateway)"
        say(f"Clients are paused{ends}{runs}; {cli('clients resume')} enrols the files again{at_once}.")
    context.exit(code)


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
    with files_at_work("enrolling"):
        report = careful(lambda: enrolment.resume(globals_.home, os.environ, (enrolment.DISABLED,)))
    if not report.errors and isinstance(health, dict) and health.get("disabled"):
        # The ledger's data is read on demand; it is empty if no client uses the gateway.
        remote.fetch("/api/gateway/enable", method="POST")
    context.exit(_print_report(globals_, report, "Clients are not paused."))


def _clients(given: dict[str, Any]) -> tuple[str, ...]:
    """Return the clients that were named by the option or as arguments."""
    return (*given["names"], *given["named"])


def _wanted(given: dict[str, Any], *, offers: bool = False) -> EnrolRequest:
    from mcpgateway.clientfiles.files import FileChoice
    from mcpgateway.clientfiles.plan import EnrolRequest

    choice = FileChoice(_clients(given), given["project"], given["file"], working_directory())
    return EnrolRequest(
        choice,
        tuple(given["servers"]),
        given.get("mode") or "",
        bool(given.get("helper")),
        bool(given.get("remote")),
        offers,
    )


def _needs_gateway(found: _Planned) -> bool:
    """True if a change leads a client to the gateway by URL, which nothing answers while no gateway runs."""
    return bool(found.behind) or any(each.leads_by_url for each in found.plans)


def _start(globals_: Globals) -> None:
    """Start the gateway as it was started last, or fail without a change of any file."""
    from mcpgateway.cli.start import PATIENCE_S, begin
    from mcpgateway.shim import startup

    with spinner("starting the gateway"):
        begun = begin(globals_, startup.read_wanted(globals_.home) or [], PATIENCE_S)
    if begun.is_ours and not globals_.as_json:
        say(f"The gateway was started, since entries with its URL need it; {cli('stop')} ends it.", dim=True)


UNCHANGED = "nothing had to be changed"
OWN_ALREADY = (
    "Clients use their own servers already: no gateway runs, and no client's file is enrolled;"
    f" {cli('start')} starts the gateway, and enrols them again."
)


class _Planned(NamedTuple):
    """The plans for clients' files, and for files that another gateway has left behind."""

    plans: tuple[FilePlan, ...]
    behind: Mapping[str, Sequence[str]]


def _planned(machine: Machine, wanted: EnrolRequest) -> _Planned:
    from mcpgateway.clientfiles.immorterm import left_behind
    from mcpgateway.clientfiles.plan import plan as work_out

    with spinner("reading the clients' files"):
        return careful(lambda: _Planned(work_out(machine, wanted), left_behind(machine)))


def _answer_plans(globals_: Globals, machine: Machine, found: _Planned, *, is_diff: bool) -> None:
    from mcpgateway.clientfiles import report

    answer(globals_, report.planned(*found), lambda: _tell_plans(machine, found, is_diff=is_diff))


def _tell_plans(machine: Machine, found: _Planned, *, is_diff: bool) -> None:
    from mcpgateway.cli.client_tables import tell_planned

    tell_planned(*found, is_diff=is_diff, has_service=_has_service(machine))


def _has_service(machine: Machine) -> bool:
    from mcpgateway.system.service_files import has_service

    return has_service(machine.home, machine.environ)


def _is_agreed(globals_: Globals, machine: Machine, found: _Planned, *, is_diff: bool) -> bool:
    if globals_.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail(
            "nothing is changed: there is no terminal to ask at",
            f"--yes changes the files unasked; {cli('clients plan')} shows what would change",
        )
    _tell_plans(machine, found, is_diff=is_diff)
    return confirm("Enrol these files?", default=False)


def _print_report(globals_: Globals, report: Report, unchanged: str = UNCHANGED) -> int:
    from mcpgateway.cli import kept_values
    from mcpgateway.cli.client_tables import tell_report

    answer(globals_, report.as_json(), lambda: tell_report(report, unchanged))
    if not globals_.as_json:
        kept_values.tell(globals_, report.files)
    for each in report.warnings:
        say(f"mcpgateway: {each}", err=True, fg="yellow")
    if report.rolled_back:
        return ROLLED_BACK
    return FAILED if report.errors else DONE
