"""Enrol clients' files at the gateway, and restore them: entry points for commands, the helper and the timer."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from attrs import evolve, frozen

from mcpgateway.clientfiles import immorterm
from mcpgateway.clientfiles.apply import NOT_THERE, RestoreEdit, carry_out, ledger_locked, restore_file
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.files import FileChoice, FileLocation, chosen, recorded_sites, see
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan, UntouchedEntry, plan, plan_of
from mcpgateway.clientfiles.recover import rebuilt
from mcpgateway.clientfiles.report import FileReport, Report
from mcpgateway.config.document import visible
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.system.gateway_health import ask

DISABLED, STOPPED, AWAY = "disabled", "stopped", "away"
RELEASES, RELEASE_AGAIN_S = 20, 0.5
UNREACHABLE = "no gateway answers, so these servers cannot be reached until it runs: mcpgateway start"


@frozen
class Enrollable:
    """The files that a start could enrol.

    :ivar adopt: the setting ``clients.adopt``: ``ask``, ``always`` or ``never``.
    :ivar servers: the titles of entries that could be enrolled, by the file.
    :ivar suspended: the reasons for which files are restored for now, by the file.
    """

    adopt: str
    servers: Mapping[str, tuple[str, ...]]
    suspended: Mapping[str, str]


def machine_of(home: str, environ: Mapping[str, str]) -> Machine:
    """Return the gateway and the ledger of this machine."""
    return Machine(home, environ)


def apply(machine: Machine, wanted: EnrolRequest) -> Report:
    """Enrol files: all of them, or none.

    :raise ConfigError: the request cannot be fulfilled for any file, and nothing was changed.
    """
    with ledger_locked(machine):
        _take_in(machine, wanted)
        before = immorterm.restore_stranded(machine)
        if before.files:
            machine.look_again()
        plans = plan(machine, wanted)
        named = [each for each in plans if each.trouble and wanted.choice.is_named]
        if named:
            raise ConfigError(named[0].trouble)
        report = carry_out(machine, plans, wanted)
        report = evolve(report, files=(*before.files, *report.files))
        machine.look_again()
    if any(each.adopted or each.renewed for each in report.files) and machine.answer is None:
        return evolve(report, warnings=(*report.warnings, UNREACHABLE))
    return report


def undo(machine: Machine, wanted: EnrolRequest) -> Report:
    """Restore files and remove their records; a named server stays its clients' own from then on.

    :raise ConfigError: the request cannot be fulfilled for any file, and nothing was changed.
    """
    with ledger_locked(machine):
        if wanted.servers:
            _keep_out(machine, wanted)
        before = immorterm.restore_stranded(machine) if not wanted.choice.is_named else Report()
        reports = [_restored(machine, site, wanted) for site in _to_restore(machine, wanted)]
        machine.look_again()
    return Report((*before.files, *(each for each in reports if each is not None)))


def suspend(home: str, environ: Mapping[str, str], why: str) -> Report:
    """Restore all files for now; the ledger keeps the enrolled entries and their mode.

    :param why: ``disabled``, ``stopped`` or ``away``.  A disabled file stays so when the gateway stops.
    :raise ConfigError: the ledger cannot be used, and nothing was changed.
    """
    machine = machine_of(home, environ)
    if not machine.records.files:
        return Report(tuple(_found_again(machine)))
    with ledger_locked(machine):
        reports = []
        for site in recorded_sites(machine.records):
            record = machine.record_of(site.path)
            if record is not None and record.suspended != why and (not record.suspended or why == DISABLED):
                reports.append(restore_file(machine, site, RestoreEdit(machine, site, why=why)))
        return Report(tuple(reports))


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
        return Report(tuple(reports))


def adoptable(home: str, environ: Mapping[str, str]) -> Enrollable:
    """Find the files that a start could enrol.

    :raise ConfigError: the configuration or the ledger cannot be used.
    """
    machine = machine_of(home, environ)
    found = plan(machine, EnrolRequest())
    servers = {
        each.site.path: tuple(one.title for one in each.to_enrol)
        for each in found
        if each.to_enrol and not each.trouble and machine.record_of(each.site.path) is None
    }
    if not immorterm.runs(environ):
        for one in immorterm.stranded(machine):
            servers[one.site.path] = (*servers.get(one.site.path, ()), *one.titles)
    suspended = {each.path: each.suspended for each in machine.records.files.values() if each.suspended}
    return Enrollable(machine.settings.clients.adopt.value, servers, suspended)


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
        if each.key_path in formers and same(each.value, formers[each.key_path])
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
        return rebuilt(machine, site, wanted)
    if wanted.servers and record.suspended:
        return None
    report = restore_file(machine, site, RestoreEdit(machine, site, wanted.servers))
    rest = None if report.error else rebuilt(machine, site, wanted)
    if rest is None:
        return report
    again = {**report.rebuilt, **rest.rebuilt}
    return evolve(report, changed=report.changed or rest.changed, rebuilt=again, left=rest.left)
