"""Enrolled files that clients have changed: new entries are enrolled, too, and displaced ones again.

found in a watched file                            effect
a new program                                      it is enrolled, unless it is to stay its client's own
an enrolled entry has its original value again     it is enrolled again; the third time in ten minutes it is left
an enrolled entry has become another program       it is the user's, and enrolled as what it is now
an enrolled entry has another port                 it gets the port that the gateway has now
an enrolled entry is missing                       the user has removed it, and its record is removed
all entries are missing, and their table too       the file was cut short; it is left, and read once more
the file cannot be read                            it is being written, and is read again when it is whole

In a project's file only approved entries are enrolled: other users may write it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from attrs import define, evolve

from mcpgateway.clientfiles.apply import carry_out, ledger_locked
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment import AWAY, machine_of, resume
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, without
from mcpgateway.clientfiles.files import FileContents, FileLocation, recorded_sites, see
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.instructions.written import refresh
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan, UntouchedEntry, plan_of
from mcpgateway.clientfiles.report import FileReport, Report
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import home_files

SECOND_LOOK_S = 1.0  # a client that replaces its file by a stub writes the rest of it at once
RETURNS = 3
RETURNS_WITHIN_S = 600.0
FILE = "displaced.json"
FILE_LIMIT = 1_048_576


def sync(home: str, environ: Mapping[str, str], disk: Disk = DISK) -> Report:
    """Update all watched files that use the gateway.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    machine = machine_of(home, environ)
    refresh(machine)
    back = resume(home, environ, (AWAY,))
    machine.look_again()
    if not machine.records.files or not machine.settings.clients.watch:
        return back
    with ledger_locked(machine):
        work = _Sync(machine, _Displaced(home, disk), disk)
        done = work.all()
    work.displaced.keep()
    return Report((*back.files, *done))


@define(eq=False, repr=False)
class _Sync:
    """One run over all watched files."""

    machine: Machine
    displaced: _Displaced
    disk: Disk

    def all(self) -> tuple[FileReport, ...]:
        """Update all watched files, and return their reports."""
        reports = []
        for site in recorded_sites(self.machine.records):
            record = self.machine.record_of(site.path)
            if record is not None and record.is_watched and not record.suspended:
                reports.append(self._one(site, record))
                self.machine.look_again()
        return tuple(reports)

    def _one(self, site: FileLocation, record: FileRecord) -> FileReport:
        seen = self._seen(site, record)
        report = FileReport.of(site, mode=record.mode)
        if seen.trouble:
            return evolve(report, left=(UntouchedEntry("", seen.trouble),))
        if self._is_cut_short(seen, record):
            return evolve(
                report,
                left=(UntouchedEntry("", "has lost all its servers at once; it is taken for cut short"),),
            )
        gone = _gone(seen, record)
        if gone:
            titles = tuple(
                each.replaced.title for key_path, each in record.entries.items() if key_path in gone
            )
            # A file that its user has emptied is still enrolled, and so are entries that are added to it.
            self.machine.ledger.put(without(record, gone))
            self.machine.look_again()
            report = evolve(report, gone=titles)
        planned = self._planned(seen, record)
        if not planned.to_enrol and not planned.renewed:
            return evolve(report, left=planned.left)
        done = carry_out(self.machine, [planned], EnrolRequest(mode=record.mode), is_all_or_none=False).files[
            0
        ]
        return evolve(done, gone=report.gone)

    def _seen(self, site: FileLocation, record: FileRecord) -> FileContents:
        seen = see(site, self.machine.base)
        if seen.trouble or self._is_cut_short(seen, record):
            self.disk.sleep(SECOND_LOOK_S)
            seen = see(site, self.machine.base)
        return seen

    def _is_cut_short(self, seen: FileContents, record: FileRecord) -> bool:
        return bool(record.entries) and not seen.listed and not seen.is_table_there

    def _planned(self, seen: FileContents, record: FileRecord) -> FilePlan:
        planned = plan_of(self.machine, EnrolRequest(mode=record.mode), [seen])[0]
        to_enrol, left = [], list(planned.left)
        for entry in planned.to_enrol:
            known = record.entries.get(entry.key_path)
            if known is not None and same(known.replaced.former, entry.value):
                if self.displaced.is_to_return(seen.site.path, entry.key_path):
                    to_enrol.append(entry)
                else:
                    hint = f"{cli('clients apply --server {}', entry.name)} enrols it again"
                    left.append(UntouchedEntry(entry.title, "another program keeps putting it back", hint))
            elif seen.site.project:
                hint = f"{cli('clients apply --project {}', seen.site.project)} approves it"
                left.append(
                    UntouchedEntry(entry.title, "is new in a project's file, which others may write", hint)
                )
            else:
                to_enrol.append(entry)
        return evolve(planned, to_enrol=tuple(to_enrol), left=tuple(left))


def _gone(seen: FileContents, record: FileRecord) -> frozenset[KeyPath]:
    """Return the enrolled entries that the user has removed, or changed into a server of another kind."""
    there = {each.key_path: each for each in seen.listed}
    return frozenset(
        key_path
        for key_path, each in record.entries.items()
        if each.replaced.ours is not None and _is_gone(there.get(key_path), each, seen, record)
    )


def _is_gone(now: ClientEntry | None, each: EnrolledEntry, seen: FileContents, record: FileRecord) -> bool:
    if now is not None and now.kind in (EntryKind.ENROLLED, EntryKind.PROGRAM):
        return False
    if now is not None and any(same(now.value, one) for one in (each.replaced.ours, each.replaced.former)):
        return (
            False  # enrolled, with a former port of the gateway; or a URL that another program has put back
        )
    # The user may have renamed it.
    return not any(
        one.kind is EntryKind.ENROLLED and one.served == each.name and one.key_path not in record.entries
        for one in seen.listed
    )


@define(eq=False, repr=False)
class _Displaced:
    """The times at which entries were enrolled again, because another program had written their originals."""

    home: str
    disk: Disk
    _times: dict[str, list[float]] | None = None
    _is_changed: bool = False

    def is_to_return(self, path: str, key_path: KeyPath) -> bool:
        """True if an entry is to be enrolled again, which is counted."""
        key = json.dumps([path, *key_path])
        now = self.disk.now()
        times = [each for each in self._known().get(key, []) if 0 <= now - each < RETURNS_WITHIN_S]
        if len(times) >= RETURNS:
            return False
        self._known()[key] = [*times, now]
        self._is_changed = True
        return True

    def keep(self) -> None:
        """Save the times; where that fails, the next run counts from zero."""
        if not self._is_changed:
            return
        now = self.disk.now()
        known = {
            key: [each for each in times if now - each < RETURNS_WITHIN_S]
            for key, times in self._known().items()
        }
        text = json.dumps({key: times for key, times in known.items() if times})
        try:
            home_files.keep(os.path.join(self.home, FILE), text.encode("ascii"), lasting=False)
        except ConfigError:
            return

    def _known(self) -> dict[str, list[float]]:
        if self._times is None:
            self._times = {}
            try:
                found = json.loads(home_files.read_text(os.path.join(self.home, FILE), FILE_LIMIT))
                self._times = {key: [float(each) for each in times] for key, times in found.items()}
            except (OSError, ValueError, TypeError, AttributeError, ConfigError):
                self._times = {}
        return self._times
