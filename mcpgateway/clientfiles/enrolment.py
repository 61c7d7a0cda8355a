"""Enrol clients' files at the gateway, and restore them: entry points for commands, the helper and the timer."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles import immorterm
from mcpgateway.clientfiles.apply import (
    NOT_THERE,
    NOTHING,
    RestoreEdit,
    carry_out,
    ledger_locked,
    restore_file,
)
from mcpgateway.clientfiles.diff import diff, vocabulary
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment_records import TEXT, FileRecord, values_of
from mcpgateway.clientfiles.files import (
    READ_ONLY,
    FileChoice,
    FileLocation,
    chosen,
    recorded_sites,
    see,
    unwritable,
)
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.instructions.written import refresh
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import CUSTOM, Machine
from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan, UntouchedEntry, plan, plan_of
from mcpgateway.clientfiles.recover import rebuilt
from mcpgateway.clientfiles.report import FileReport, Report, reason
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.document import visible
from mcpgateway.config.edit.edits import MISSING, same
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system.files import read_text
from mcpgateway.system.gateway_health import ask
from mcpgateway.system.service_files import has_service
from mcpgateway.system.state import keep_pause_end

AUTHORIZATION = "authorization"
DISABLED, STOPPED, AWAY = "disabled", "stopped", "away"
RELEASES, RELEASE_AGAIN_S = 20, 0.5
UNREACHABLE = f"no gateway answers, so these servers cannot be reached until it runs: {cli('start')}"

NEVER = "it was never enrolled, and cannot be read"

DEAD = "no gateway answers, and no service starts it, so the entries would have a URL that nothing answers"
HOW_TO_LIVE = f"{cli('start')} starts it; {cli('clients apply --fail-open')} writes entries that need none"


@frozen
class Enrollable:
    """The files that a start could enrol.

    :ivar adopt: the setting ``clients.adopt``: ``ask``, ``always`` or ``never``.
    :ivar servers: the titles of entries that could be enrolled, by the file.
    :ivar suspended: the reasons for which files are restored for now, by the file.
    :ivar plans: the plans of these files.
    :ivar behind: the titles of entries that another gateway has left, by the file.
    :ivar left: the entries that stay as they are, by the file.
    :ivar read_only: a sentence on each file that cannot be enrolled because it may not be written.
    """

    adopt: str
    servers: Mapping[str, tuple[str, ...]]
    suspended: Mapping[str, str]
    plans: tuple[FilePlan, ...] = ()
    behind: Mapping[str, tuple[str, ...]] = field(factory=dict)
    left: Mapping[str, tuple[UntouchedEntry, ...]] = field(factory=dict)
    read_only: tuple[str, ...] = ()


def machine_of(home: str, environ: Mapping[str, str]) -> Machine:
    """Return the gateway and the ledger of this machine."""
    return Machine(home, environ)


def apply(machine: Machine, wanted: EnrolRequest) -> Report:
    """Enrol files: all of them, or none.

    No entry gets a URL that nothing answers: a gateway runs, or a service starts it, before one is written.

    :raise ConfigError: the request cannot be fulfilled for any file, and nothing was changed.
    """
    with ledger_locked(machine):
        _take_in(machine, wanted)
        before = immorterm.restore_stranded(machine)
        if before.files:
            machine.look_again()
        plans = plan(machine, wanted)
        leads_by_url = any(each.is_change and each.leads_by_url for each in plans)
        if leads_by_url and not _is_expected(machine):
            raise ConfigError(DEAD, HOW_TO_LIVE)
        named = [each for each in plans if each.trouble and wanted.choice.is_named]
        if named:
            raise ConfigError(named[0].trouble)
        report = carry_out(machine, plans, wanted)
        report = evolve(report, files=(*before.files, *report.files))
        machine.look_again()
    refresh(machine)
    if wanted.remote:
        report = evolve(report, warnings=(*report.warnings, *_sign_ins(machine, report)))
    if leads_by_url and not report.rolled_back and machine.answer is None:
        return evolve(report, warnings=(*report.warnings, UNREACHABLE))
    return report


def _is_expected(machine: Machine) -> bool:
    """True if a gateway answers, or a service starts it at every login."""
    return machine.answer is not None or has_service(machine.home, machine.environ)


def _sign_ins(machine: Machine, report: Report) -> list[str]:
    """Return the next step for remote servers without credentials, at which their clients may have signed in."""
    names = dict.fromkeys(each.name for file in report.files for each in file.changes if not each.is_renewed)
    found = []
    for name in names:
        blueprint = machine.settings.blueprints.get(name)
        reach = blueprint.entry.reach if blueprint is not None else None
        if isinstance(reach, Remote) and not any(each.lower() == AUTHORIZATION for each in reach.headers):
            login = cli("servers login {}", name)
            found.append(
                f"{visible(name)}: a client's own sign-in ends at the gateway; {login} signs the gateway in"
            )
    return found


def undo(machine: Machine, wanted: EnrolRequest, number: int = 0) -> Report:
    """Restore files and remove their records; a named server stays its clients' own from then on.

    :param number: a change in the history; its file returns to the version before it, in place of the wanted files.
    :raise ConfigError: the request cannot be fulfilled for any file, and nothing was changed.
    """
    with ledger_locked(machine):
        if number:
            site, edit = _return(machine, number)
            report = restore_file(machine, site, edit)
            machine.look_again()
            return Report((report,))
        if wanted.servers:
            _keep_out(machine, wanted)
        before = immorterm.restore_stranded(machine) if not wanted.choice.is_named else Report()
        reports = [_restored(machine, site, wanted) for site in _to_restore(machine, wanted)]
        machine.look_again()
    return Report((*before.files, *(each for each in reports if each is not None)))


def restoration(machine: Machine, wanted: EnrolRequest, number: int = 0) -> dict[str, Any]:
    """Return what `undo` would change, with a diff of each file without secrets.

    :param number: as for `undo`.
    :raise ConfigError: the request cannot be fulfilled for any file.
    """
    if number:
        found = [_return(machine, number)]
    else:
        sites = [each for each in _to_restore(machine, wanted) if machine.record_of(each.path) is not None]
        found = [(each, RestoreEdit(machine, each, wanted.servers)) for each in sites]
    files = [_previewed(machine, site, edit) for site, edit in found]
    return {"changed": any(each["changed"] for each in files), "files": files}


def _return(machine: Machine, number: int) -> tuple[FileLocation, RestoreEdit]:
    """Return the file of a change in the history, and the edit that brings it to the version before that change.

    :raise ConfigError: there is no such change, or the version is no longer kept.
    """
    version = machine.ledger.history.get(number)
    if version.record is not None and version.record.mode == TEXT:
        raise ConfigError(
            f"{visible(version.path)}: has a text for agents; {cli('instructions uninstall')} removes it"
        )
    texts = version.texts(machine.ledger.backups)
    if texts is None:
        raise ConfigError(f"{visible(version.path)}: the version before change {number} is no longer kept")
    former = version.former
    is_enrolled = former is not None and former.is_standing
    # A file that was made for the gateway's entries stays, and a client can read it.
    text = texts[0] or (NOTHING if version.path.endswith(".json") else "")
    dialect = DIALECTS.get(version.client, DIALECTS[CUSTOM])
    site = FileLocation(dialect, version.path, version.project)
    return site, RestoreEdit(machine, site, to=EditResult(text, former if is_enrolled else None))


def _previewed(machine: Machine, site: FileLocation, edit: RestoreEdit) -> dict[str, Any]:
    seen, record = see(site, machine.base), machine.record_of(site.path)
    lines, is_changed, error = [], False, seen.trouble
    try:
        made = edit(seen.text, record)
        is_changed = not error and made.text != seen.text
    except ConfigError as why:
        error = str(why)
    if is_changed:
        values = [{each.title: each.value} for each in seen.listed]
        known = vocabulary([*values, *values_of(record), *values_of(made.record)])
        lines = list(diff(site.path, seen.text, made.text, known, what="restored"))
    return {
        "path": site.path,
        "client": site.dialect.name,
        "title": site.dialect.title,
        "changed": is_changed,
        "diff": lines,
        "error": error,
    }


def suspend(
    home: str, environ: Mapping[str, str], why: str, until: float = 0.0, *, is_all_or_none: bool = False
) -> Report:
    """Restore all files for now; the ledger keeps the enrolled entries and their mode.

    :param why: ``disabled``, ``stopped`` or ``away``.  A disabled file stays so when the gateway stops.
    :param until: the time in epoch seconds at which the gateway enrols disabled files again; 0 for never.
    :param is_all_or_none: no file is restored where one cannot be; the report has the errors alone.
    :raise ConfigError: the ledger cannot be used, and nothing was changed.
    """
    machine = machine_of(home, environ)
    if not machine.records.files:
        return Report(tuple(_found_again(machine)))
    with ledger_locked(machine):
        if why == DISABLED:
            keep_pause_end(home, until)
        sites = [each for each in recorded_sites(machine.records) if _is_to_suspend(machine, each, why)]
        if is_all_or_none and (ill := _broken(machine, sites)):
            return Report(tuple(ill))
        reports = [restore_file(machine, each, RestoreEdit(machine, each, why=why)) for each in sites]
        errors = [each for each in reports if each.error]
        if not (is_all_or_none and errors):
            return Report(tuple(reports))
        machine.look_again()
        for site, report in zip(sites, reports, strict=True):
            record = machine.record_of(site.path)
            if not report.error and record is not None:
                _enrolled_again(machine, site, record)
                machine.look_again()
        return Report(tuple(errors))


def _is_to_suspend(machine: Machine, site: FileLocation, why: str) -> bool:
    record = machine.record_of(site.path)
    return record is not None and record.suspended != why and (not record.suspended or why == DISABLED)


def broken(machine: Machine) -> Report:
    """Return the enrolled files that cannot be restored, such as one with a syntax error or one that is read-only.

    :raise ConfigError: the ledger cannot be read.
    """
    sites = recorded_sites(machine.records)
    return Report(tuple(_broken(machine, [each for each in sites if _is_standing(machine, each)])))


def _is_standing(machine: Machine, site: FileLocation) -> bool:
    record = machine.record_of(site.path)
    return record is not None and record.is_standing


def _broken(machine: Machine, sites: Collection[FileLocation]) -> list[FileReport]:
    found = []
    for site in sites:
        try:
            RestoreEdit(machine, site)(read_text(site.path, FILE_LIMIT), machine.record_of(site.path))
        except FileNotFoundError:
            continue
        except ConfigError as trouble:
            found.append(FileReport.of(site, error=reason(site, trouble)))
            continue
        if why := unwritable(site.path):
            found.append(FileReport.of(site, error=why))
    return found


def release(home: str, environ: Mapping[str, str], disk: Disk = DISK) -> Report:
    """Restore files whose gateway has ended, until one runs again; do nothing where a gateway answers.

    A file that cannot be changed at the moment, perhaps because its client is writing it, is tried again for a while.

    :raise ConfigError: the ledger cannot be used, and nothing was changed.
    """
    report = Report()
    for _ in range(RELEASES):
        if ask(home, 0, environ) is not None:
            break
        again = suspend(home, environ, AWAY)
        report = evolve(again, files=(*(each for each in report.files if not each.error), *again.files))
        if not report.errors:
            break
        disk.sleep(RELEASE_AGAIN_S)
    return report


def resume(home: str, environ: Mapping[str, str], whys: Collection[str] = (STOPPED, AWAY)) -> Report:
    """Enrol again the files that were restored for now.

    :param whys: the reasons of the files to enrol; ``mcpgateway clients resume`` alone enrols disabled files again.
    :raise ConfigError: the request cannot be fulfilled, and nothing was changed.
    """
    machine = machine_of(home, environ)
    if machine.ledger.is_lost():
        found = _found_again(machine)
        enrolled = [
            apply(machine, EnrolRequest(FileChoice(file=each.path))) for each in found if each.changed
        ]
        return Report((*found, *(each for one in enrolled for each in one.files)))
    if not any(each.suspended in whys for each in machine.records.files.values()):
        return Report()
    with ledger_locked(machine):
        reports: list[FileReport] = []
        for site in list(recorded_sites(machine.records)):
            record = machine.record_of(site.path)
            if record is not None and record.suspended in whys:
                reports.append(_enrolled_again(machine, site, record))
                machine.look_again()
        if not machine.is_paused:
            keep_pause_end(home, 0.0)
        return Report(tuple(reports))


def adoptable(home: str, environ: Mapping[str, str], around: str = "") -> Enrollable:
    """Find the files that a start could enrol.

    :param around: the user's working directory, whose project's files are included, or "".
    :raise ConfigError: the configuration or the ledger cannot be used.
    """
    machine = machine_of(home, environ)
    every = plan(machine, EnrolRequest(FileChoice(around=around)))
    plans = tuple(
        each
        for each in every
        if each.to_enrol and not each.trouble and _is_to_offer(each.site, machine.record_of(each.site.path))
    )
    servers = {each.site.path: tuple(one.title for one in each.to_enrol) for each in plans}
    behind = (
        {} if immorterm.runs(environ) else {one.site.path: one.titles for one in immorterm.stranded(machine)}
    )
    for path, titles in behind.items():
        servers[path] = (*servers.get(path, ()), *titles)
    suspended = {each.path: each.suspended for each in machine.records.files.values() if each.suspended}
    left = {each.site.path: each.left for each in every if each.left}
    read_only = tuple(each.trouble for each in every if READ_ONLY in each.trouble)
    return Enrollable(
        machine.settings.clients.adopt.value, servers, suspended, plans, behind, left, read_only
    )


def _is_to_offer(site: FileLocation, record: FileRecord | None) -> bool:
    """True for a file that is not enrolled, and for an enrolled one whose new entries wait for the user's approval."""
    return record is None or bool(site.project and not record.suspended)


def _found_again(machine: Machine) -> list[FileReport]:
    """Restore clients' files without a ledger, where the ledger is lost."""
    if not machine.ledger.is_lost():
        return []
    with ledger_locked(machine):
        sites = chosen(FileChoice(), machine.environ, machine.records)
        reports = [rebuilt(machine, each, EnrolRequest()) for each in sites]
        machine.look_again()
    return [each for each in reports if each is not None]


def _take_in(machine: Machine, wanted: EnrolRequest) -> None:
    """Opt named servers in again."""
    out = machine.records.opted_out
    now = frozenset(each for each in out if each.rpartition(":")[2] not in wanted.servers)
    if now != out:
        machine.ledger.opt_out(now)
        machine.look_again()
    listed = set(machine.settings.clients.opt_out) & set(wanted.servers)
    if listed:
        name = visible(min(listed))
        raise ConfigError(f"gateway.clients.opt_out lists {name}; take it out of the configuration first")


def _keep_out(machine: Machine, wanted: EnrolRequest) -> None:
    clients = wanted.choice.clients
    names = {f"{client}:{each}" for client in clients for each in wanted.servers} or set(wanted.servers)
    machine.ledger.opt_out(machine.records.opted_out | names)


def _enrolled_again(machine: Machine, site: FileLocation, record: FileRecord) -> FileReport:
    if not os.path.lexists(site.path):
        return FileReport.of(site, left=(UntouchedEntry("", NOT_THERE),))
    wanted = EnrolRequest(mode=record.mode)
    planned = _as_before(plan_of(machine, wanted, [see(site, machine.base)])[0], record)
    return carry_out(machine, [planned], wanted, is_all_or_none=False).files[0]


def _as_before(planned: FilePlan, record: FileRecord) -> FilePlan:
    """Limit the plan of a project's file to entries that were enrolled before; other users may have written it."""
    if not planned.site.project and record.is_watched:
        return planned
    formers = {key_path: each.replaced.former for key_path, each in record.entries.items()}
    to_enrol = [
        each
        for each in planned.to_enrol
        if each.key_path in formers and (each.value is MISSING or same(each.value, formers[each.key_path]))
    ]
    return evolve(planned, to_enrol=tuple(to_enrol))


def _to_restore(machine: Machine, wanted: EnrolRequest) -> list[FileLocation]:
    """Return the requested files, with recorded ones that do not exist any more.

    :raise ConfigError: a client is unknown, or a named file does not exist.
    """
    choice = wanted.choice
    if choice.file and not os.path.lexists(choice.file):
        real = os.path.realpath(choice.file)
        found = [each for each in recorded_sites(machine.records) if os.path.realpath(each.path) == real]
        if found:
            return found
    sites = chosen(choice, machine.environ, machine.records, with_projects=True)
    recorded = {os.path.realpath(each.path): each for each in recorded_sites(machine.records)}
    # The ledger's record of a file takes precedence over the file's name.
    return [recorded.get(os.path.realpath(each.path), each) for each in sites]


def _restored(machine: Machine, site: FileLocation, wanted: EnrolRequest) -> FileReport | None:
    """Restore a file and remove its record; None where no entry in it uses the gateway."""
    record = machine.record_of(site.path)
    if record is None:
        found = rebuilt(machine, site, wanted)
        if found is None or not found.error or wanted.choice.file or machine.ledger.is_lost():
            return found
        # The file was never enrolled, so nothing in it has to be restored.
        return evolve(found, error="", left=(UntouchedEntry("", f"{NEVER}: {found.error}"),))
    if wanted.servers and record.suspended:
        return None
    report = restore_file(machine, site, RestoreEdit(machine, site, wanted.servers))
    rest = None if report.error else rebuilt(machine, site, wanted)
    if rest is None:
        return report
    again = {**report.rebuilt, **rest.rebuilt}
    return evolve(report, changed=report.changed or rest.changed, rebuilt=again, left=rest.left)
