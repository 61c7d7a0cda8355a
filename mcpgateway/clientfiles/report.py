"""Reports on clients' files for people and programs: outcomes of changes, and states; nothing in them is secret."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import asdict, evolve, field, frozen

from mcpgateway.clientfiles.diff import diff, vocabulary
from mcpgateway.clientfiles.enrol_edit import ChangedEntry, mode_of
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, unwound, values_of
from mcpgateway.clientfiles.files import FileLocation, around, detect, recorded_sites, see
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.history import FileVersion
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import BOTH, TAKE_ONE_OUT, WHY, FilePlan, UntouchedEntry
from mcpgateway.clientfiles.transaction import ChangedFile
from mcpgateway.config.document import visible
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING, same
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system.files import bytes_of
from mcpgateway.system.state import recorded_pause_end

AS_LEFT, EDITED, GONE, BROKEN, DRIFTED, RESTORED = (
    "as left",
    "edited",
    "not there",
    "not readable",
    "not as left",
    "restored",
)
"""The state of an enrolled file: unchanged; changed outside of its enrolled entries; gone; malformed; without some of
its enrolled entries; restored for now."""


@frozen
class FileReport:
    """The outcome for one file.

    :ivar client: the name of the client.
    :ivar changed: the file was changed.
    :ivar mode: the way in which its entries use the gateway.
    :ivar adopted: the names in the gateway of the newly enrolled entries, by title.
    :ivar renewed: the same for entries that use the gateway in another way than before.
    :ivar changes: all these entries; those of one title in two projects are two.
    :ivar restored: the titles of the entries that are as they were before they were enrolled.
    :ivar restored_entries: all these entries; those of one title in two projects are two.
    :ivar removed: the titles of those of them that were the gateway's own, and are in the file no more.
    :ivar rebuilt: the sources of the entries that were rebuilt, by title.
    :ivar gone: the titles of entries that the user had removed, which stay removed.
    :ivar kept: the titles of entries that the user had changed into something else, which are left.
    :ivar uncommented: the titles of entries that could not keep a comment of their user.
    :ivar left: the entries that stay as they are.
    :ivar error: the reason why the file could not be used.
    :ivar exact: the file is as it was before it was enrolled, to the byte.
    :ivar in_place: the reason why a reader may have seen half of the file for a moment.
    """

    path: str
    client: str
    title: str
    changed: bool = False
    mode: str = ""
    adopted: Mapping[str, str] = field(factory=dict)
    renewed: Mapping[str, str] = field(factory=dict)
    changes: tuple[ChangedEntry, ...] = ()
    restored: tuple[str, ...] = ()
    restored_entries: tuple[ChangedEntry, ...] = ()
    removed: tuple[str, ...] = ()
    rebuilt: Mapping[str, str] = field(factory=dict)
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    uncommented: tuple[str, ...] = ()
    left: tuple[UntouchedEntry, ...] = ()
    error: str = ""
    exact: bool = False
    in_place: str = ""

    @classmethod
    def of(cls, site: FileLocation, **members: Any) -> FileReport:
        """Return the report on a file, with further attributes by name."""
        return cls(site.path, site.dialect.name, site.dialect.title, **members)


@frozen
class Report:
    """The outcome for all files.

    :ivar warnings: further sentences for the user.
    :ivar rolled_back: the reason why all changed files were restored; "" where they were not.
    """

    files: tuple[FileReport, ...] = ()
    warnings: tuple[str, ...] = ()
    rolled_back: str = ""

    @property
    def is_changed(self) -> bool:
        """True if any file was changed."""
        return any(each.changed for each in self.files)

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors of all files."""
        return tuple(each.error for each in self.files if each.error)

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs; nothing in it is secret."""
        return {"changed": self.is_changed, **asdict(self)}


def together(reports: Sequence[Report]) -> list[Report]:
    """Join the reports of consecutive steps; an entry that several steps leave as it is, is reported once.

    Where a step was rolled back, all reports stay separate.
    """
    if len(reports) < 2 or any(each.rolled_back for each in reports):
        return list(reports)
    files: list[FileReport] = []
    for report in reversed(reports):
        later = {(each.path, left) for each in files for left in each.left}
        files[:0] = [
            evolve(each, left=tuple(left for left in each.left if (each.path, left) not in later))
            for each in report.files
        ]
    return [Report(tuple(files), tuple(dict.fromkeys(each for one in reports for each in one.warnings)))]


def reason(site: FileLocation, why: Exception) -> str:
    """Return why a file could not be changed."""
    return f"{visible(site.path)}: there is no such file" if isinstance(why, FileNotFoundError) else str(why)


def in_place(changed: ChangedFile | None) -> str:
    """Return why a reader may have seen half of a file."""
    return changed.in_place if changed is not None else ""


# The state of files


def detected(machine: Machine) -> list[dict[str, Any]]:
    """Return the clients of this machine, their files, and the number of servers of each kind in these."""
    found = []
    for each in detect(machine.environ):
        files = []
        for site in each.sites:
            seen = see(site, machine.base)
            files.append({"path": site.path, "servers": seen.counts(), "error": seen.trouble})
        paths = [site.path for site in each.sites] or [each.expected]
        found.append(
            {
                "tool": each.dialect.name,
                "title": each.dialect.title,
                "configPath": paths[0],
                "files": files,
                "expected": each.expected,
            }
        )
    return found


def in_projects(machine: Machine, directories: Sequence[str]) -> dict[str, Any]:
    """Return the clients' files of projects, those in the ledger included; nothing in it is secret.

    :param directories: the directories in which clients work.
    """
    user = [site for each in detect(machine.environ) for site in each.sites]
    sites = [each for each in recorded_sites(machine.records) if each.project]
    for directory in directories:
        sites += around(directory, machine.environ, [*user, *sites])
    return {"files": [_in_project(machine, each) for each in sorted(sites, key=lambda each: each.path)]}


def _in_project(machine: Machine, site: FileLocation) -> dict[str, Any]:
    seen, record = see(site, machine.base), machine.record_of(site.path)
    return {
        "path": site.path,
        "client": site.dialect.name,
        "title": site.dialect.title,
        "project": site.project,
        "mode": record.mode if record is not None else "",
        "suspended": record.suspended if record is not None else "",
        "enrolled": [each.name for each in record.entries.values() if each.name]
        if record is not None
        else [],
        "servers": seen.counts(),
        "error": seen.trouble,
    }


def listed(machine: Machine) -> dict[str, Any]:
    """Return the files that use the gateway, or will again; nothing in it is secret."""
    records = machine.records
    files = []
    for site in recorded_sites(records):
        record = machine.record_of(site.path)
        if record is None:
            continue
        state, why, strayed = _state(machine, record)
        enrolled = {key_path: each for key_path, each in record.entries.items() if key_path not in strayed}
        files.append(
            {
                "path": site.path,
                "client": site.dialect.name,
                "title": site.dialect.title,
                "mode": record.mode,
                "project": record.project,
                "servers": {each.replaced.title: each.name for each in enrolled.values() if each.name},
                "entries": [
                    {
                        "title": each.replaced.title,
                        "name": each.name,
                        "project": site.dialect.project_of(key_path),
                        "mode": mode_of(site, key_path, each.replaced.ours),
                    }
                    for key_path, each in enrolled.items()
                    if each.name
                ],
                "left": [_left(each) for each in strayed.values()],
                "suspended": record.suspended,
                "watched": record.is_watched,
                "state": state,
                "why": why,
            }
        )
    ends = recorded_pause_end(machine.home) if machine.is_paused else 0.0
    return {
        "files": files,
        "opted_out": _opted_out(machine),
        "problems": list(records.problems),
        "paused_until": datetime.fromtimestamp(ends, UTC).isoformat() if ends else None,
    }


def _opted_out(machine: Machine) -> list[str]:
    """Return the names of servers that are kept out, without those of servers that are in no file any more."""
    out = machine.records.opted_out
    if not out:
        return []
    known = {each.name for each in machine.settings.servers}
    sites = [
        *recorded_sites(machine.records),
        *(site for each in detect(machine.environ) for site in each.sites),
    ]
    known |= {one.title for each in sites for one in see(each, machine.base).listed}
    return sorted(each for each in out if each.rpartition(":")[2] in known)


def planned(plans: Sequence[FilePlan], behind: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the plans of files, for programs.

    :param behind: the titles of the entries that another gateway has left, by path, which are restored first.
    """
    return {
        "changed": bool(behind) or any(each.is_change for each in plans),
        "given_back": {path: list(titles) for path, titles in behind.items()},
        "files": [
            {
                "path": each.site.path,
                "client": each.site.dialect.name,
                "title": each.site.dialect.title,
                "mode": each.mode,
                "changed": each.is_change,
                "adopted": {entry.title: entry.name for entry in each.to_enrol},
                "renewed": list(each.renewed),
                "changes": [asdict(one) for one in each.changes],
                "left": [_left(one) for one in each.left],
                "diff": difference(each),
                "error": each.trouble,
            }
            for each in plans
        ],
    }


def remembered(machine: Machine, path: str = "") -> dict[str, Any]:
    """Return the history of enrolled files, the latest change first.

    :param path: the one file whose changes are meant; empty for all.
    """
    return {"versions": [_version(machine, each) for each in machine.ledger.history.listed(path)]}


def remembered_one(machine: Machine, number: int) -> dict[str, Any]:
    """Return a change in the history with its diff, without secrets; an empty one where the text is not kept.

    :raise ConfigError: there is no such change.
    """
    found = machine.ledger.history.get(number)
    texts = found.texts(machine.ledger.backups)
    known = vocabulary([*values_of(found.former), *values_of(found.latter)])
    lines: list[str] = []
    if texts is not None:
        before, after = (bytes_of(each).decode(errors="replace") for each in texts)
        lines = list(diff(found.path, before, after, known, what=found.act.value))
    return {**_version(machine, found), "diff": lines}


def _version(machine: Machine, each: FileVersion) -> dict[str, Any]:
    record = each.record
    return {
        "version": each.number,
        "at": datetime.fromtimestamp(each.at, UTC).isoformat(),
        "path": each.path,
        "client": each.client,
        "project": each.project,
        "act": each.act.value,
        "mode": record.mode if record is not None else "",
        "servers": list(dict.fromkeys(one.name for one in record.entries.values() if one.name))
        if record
        else [],
        "kept": each.is_kept(machine.ledger.backups),
    }


def _left(left: UntouchedEntry) -> dict[str, str]:
    return {"title": left.title, "why": left.why, **({"hint": left.hint} if left.hint else {})}


def difference(each: FilePlan) -> list[str]:
    """Return the lines of a diff of a file, without secrets."""
    if not each.is_change:
        return []
    return list(diff(each.site.path, each.before, each.after, vocabulary(each.values)))


def _state(machine: Machine, record: FileRecord) -> tuple[str, str, dict[KeyPath, UntouchedEntry]]:
    """Return the state of a file, its reason, and the entries that their user has made their own again."""
    if record.suspended:
        return RESTORED, record.suspended, {}
    site = next(each for each in recorded_sites(machine.records) if each.path == record.path)
    if not os.path.lexists(site.path):
        return GONE, "", {}
    seen = see(site, machine.base)
    if seen.trouble:
        return BROKEN, seen.trouble, {}
    if unwound(record, seen.text) is not None:
        return AS_LEFT, "", {}
    try:
        values = syntax.read(seen.text, site.path, site.dialect)
    except ConfigError as why:
        return BROKEN, str(why), {}
    command_beside = site.dialect.command_beside
    served = {
        each.served
        for each in seen.listed
        if each.kind is EntryKind.ENROLLED and not command_beside(each.key_path, each.value)
    }
    there = {each.key_path: each for each in seen.listed}
    strayed = {
        key_path: _strayed(record, each, there.get(key_path))
        for key_path, each in record.entries.items()
        if each.replaced.ours is not None
        and not _stands(edits.at(values, key_path), each.replaced.ours)
        and each.name not in served
    }
    titles = ", ".join(each.title for each in strayed.values())
    return (DRIFTED, f"not enrolled any more: {titles}", strayed) if strayed else (EDITED, "", {})


def _strayed(record: FileRecord, enrolled: EnrolledEntry, now: ClientEntry | None) -> UntouchedEntry:
    """Return why an entry is not enrolled any more, with the command that enrols it again."""
    title = enrolled.replaced.title
    name = enrolled.name or title
    again = f"{cli('clients apply --server {}', name)} enrols it again"
    match now:
        case None:
            return UntouchedEntry(title, "its user has taken it out")
        case ClientEntry(kind=EntryKind.REMOTE):
            return UntouchedEntry(
                title,
                "its user has given it a URL of its own",
                f"{cli('clients apply --remote --server {}', name)} enrols it again",
            )
        case ClientEntry(kind=EntryKind.OFF):
            return UntouchedEntry(title, WHY[EntryKind.OFF])
        case ClientEntry(kind=EntryKind.ENROLLED):
            return UntouchedEntry(title, BOTH, TAKE_ONE_OUT if record.project else again)
        case ClientEntry(kind=EntryKind.UNUSABLE):
            return UntouchedEntry(title, now.why)
    return UntouchedEntry(title, "its user has given it a command of its own", again)


def _stands(now: Any, ours: Any) -> bool:
    return now is not MISSING and same(now, ours)
