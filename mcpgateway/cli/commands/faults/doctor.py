"""The ``doctor`` command: findings, repairs and advice."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from mcpgateway.cli.completion_values import client_names, finding_ids
from mcpgateway.cli.console import DONE, FAILED, emit, fail, paragraph, remedy, say, spinner, styled
from mcpgateway.cli.context import Globals
from mcpgateway.cli.pager import paged
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcpgateway.cli.doctor.context import DoctorContext
    from mcpgateway.cli.doctor.examination import Mended
    from mcpgateway.cli.doctor.finding import DoctorFinding

TIPS = (
    "give a server a child per session: servers.NAME.share: session",
    f"what a key of the configuration is for: {cli('config explain KEY')}",
)


@click.command()
@click.option("--fix", is_flag=True, help="Put right what can be put right safely, and look again.")
@click.option("--dry-run", is_flag=True, help="With --fix: only say what would be done.")
@click.option("-v", "--verbose", is_flag=True, help="Show the checks that have passed, too, in their order.")
@click.option(
    "--explain",
    "finding",
    metavar="ID",
    shell_complete=finding_ids,
    help="Say what a finding means; ``all`` for every one.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    shell_complete=client_names,
    help="Look at the files of this client only.",
)
@click.pass_context
def doctor(
    context: click.Context,
    *,
    fix: bool,
    dry_run: bool,
    verbose: bool,
    finding: str | None,
    clients: tuple[str, ...],
) -> None:
    """Look for everything that may be wrong, and say what to do about it.

    Exit code 1 where there is a problem; notes are worth knowing, and no fault.
    """
    if dry_run and not fix:
        raise click.UsageError("doctor: --dry-run goes with --fix")
    from mcpgateway.cli.doctor.examination import as_json, examine, mend, verdict

    globals_: Globals = context.obj
    if finding is not None:
        _explain(globals_, finding)
        return
    with spinner("looking"):
        findings = list(examine(_world(globals_, clients)))
    mended: list[Mended] = []
    if fix:
        if not globals_.as_json:
            _tell_plan(findings, is_dry=dry_run)
        mended = list(mend(findings, is_dry=dry_run))
        if mended and not dry_run:
            findings = list(examine(_world(globals_, clients)))
    _, issues = verdict(findings)
    if globals_.as_json:
        emit(
            as_json(findings)
            | ({"repairs": [_repair(each, is_dry=dry_run) for each in mended]} if fix else {})
        )
    else:
        _tell_done(mended, is_dry=dry_run)
        with paged(is_on=globals_.is_paged):
            _tell(findings, is_verbose=verbose)
    context.exit(FAILED if issues else DONE)


def _explain(globals_: Globals, name: str) -> None:
    from mcpgateway.cli.doctor.examination import kinds
    from mcpgateway.cli.doctor.finding import page

    found = [each for each in kinds() if name in (each.id, "all")]
    if not found:
        near = get_close_matches(name, [each.id for each in kinds()], 1)
        hint = f"did you mean {near[0]}?" if near else f"{cli('doctor --explain all')} lists them"
        fail(f"no finding has the id {name}", hint)
    if globals_.as_json:
        shown = [
            {
                "id": each.id,
                "means": each.means,
                "advice": each.advice,
                "fixable": each.is_fixable,
                "undo": each.undo,
                "page": page(each.id),
            }
            for each in found
        ]
        emit({"findings": shown})
        return
    for each in found:
        say(styled(each.id, bold=True))
        for heading, text in each.explained():
            say(f"  {f'{heading}:':<10}{text}")
        say(f"  Documentation: {page(each.id)}")


def _world(globals_: Globals, clients: tuple[str, ...]) -> DoctorContext:
    import os
    from datetime import UTC, datetime

    from mcpgateway.cli.doctor.context import DoctorContext
    from mcpgateway.clientfiles.generate import dialect_of
    from mcpgateway.errors import ConfigError

    try:
        names = tuple(dialect_of(each).name for each in clients)
    except ConfigError as why:
        fail(f"--client: {why}")
    return DoctorContext(globals_.home, os.environ, datetime.now(UTC).timestamp(), names)


def _repair(mended: Mended, *, is_dry: bool) -> dict[str, object]:
    assert mended.finding.repair is not None
    done = "dry" if is_dry else "failed" if mended.why else "done"
    return {"id": mended.finding.id, "what": mended.finding.repair.what, "result": done, "why": mended.why}


def _tell_plan(findings: Iterable[DoctorFinding], *, is_dry: bool) -> None:
    plan = [each.repair.what for each in findings if each.repair is not None]
    heading = "This would be done:" if is_dry else "This is done now:"
    say(heading if plan else "There is nothing that could be put right without you.")
    for each in plan:
        say(f"  {each}")
    say()


def _tell_done(mended: Iterable[Mended], *, is_dry: bool) -> None:
    has_repairs = False
    for each in mended if not is_dry else ():
        assert each.finding.repair is not None
        has_repairs = True
        if each.why:
            paragraph(f"  ✗ {each.finding.repair.what}: {each.why}", fg="red")
        else:
            say(f"  ✓ {each.finding.repair.what}", fg="green")
    if has_repairs:
        say()


def _worst_first(findings: Iterable[DoctorFinding]) -> list[DoctorFinding]:
    """Return the problems, then the notes that name a remedy, each remedy once."""
    from mcpgateway.cli.doctor.finding import Severity

    notes: dict[str, DoctorFinding] = {}
    for each in findings:
        if each.level is Severity.NOTE and each.advice:
            notes.setdefault(each.advice, each)
    return [*(each for each in findings if each.level is Severity.PROBLEM), *notes.values()]


def _tell(findings: list[DoctorFinding], *, is_verbose: bool) -> None:
    from mcpgateway.cli.doctor.examination import verdict
    from mcpgateway.cli.doctor.finding import Severity, counted

    marks = {Severity.OK: ("✓", "green"), Severity.NOTE: ("○", "yellow"), Severity.PROBLEM: ("✗", "red")}
    shown = findings if is_verbose else _worst_first(findings)
    for each in shown:
        mark, colour = marks[each.level]
        name = "" if each.level is Severity.OK else f"  [{each.id}]"
        paragraph("  ", styled(mark, fg=colour), f" {each.text}{name}")
        for line in each.more:
            say(f"    {line}")
        if each.level is not Severity.OK:
            remedy(each.advice, each.run, "      ", "→ ")
    passed, issues = verdict(findings)
    if shown:
        say()
    notes = sum(each.level is Severity.NOTE for each in _worst_first(findings))
    noted = f"{notes} to look at, " if notes else ""
    say(f"{noted}{passed} passed, {counted(issues, 'issue')}", fg="red" if issues else "green")
    if any(each.repair is not None for each in findings):
        say(
            f"{cli('doctor --fix')} puts right what it can; {cli('doctor --fix --dry-run')} says what that is"
        )
    if not is_verbose:
        say(f"{cli('doctor --verbose')} shows every check, {cli('doctor --explain ID')} what an [ID] means")
    else:
        say()
        say("Tips:")
        for tip in TIPS:
            say(f"  {tip}")
