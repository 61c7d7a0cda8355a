"""Entries for the gateway's own servers in clients' files, which have no original to stand for them.

A file that is restored for now is as its client wrote it, so these entries are on record only until it is enrolled
again.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from mcpgateway.clientfiles.enrol_edit import EntryPlan
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, KeyPath
from mcpgateway.clientfiles.files import FileContents, FileLocation, listed_in
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind
from mcpgateway.clientfiles.generate import SnippetForm, form_of, new_entry, value_for
from mcpgateway.clientfiles.machine import FAIL_OPEN, Machine
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING


def returning(machine: Machine, seen: FileContents, record: FileRecord, mode: str) -> list[EntryPlan]:
    """Return the added entries of a file that is restored for now, whose servers the gateway still has.

    :param mode: the way in which the file is to use the gateway.
    :raise ConfigError: the configuration cannot be used.
    """
    added = [each for each in record.entries.values() if each.replaced.former is None]
    if not record.suspended or not added:
        return []
    served = {each.name for each in machine.settings.servers}
    taken = {each.key_path for each in seen.listed}
    return [
        _again(machine, seen.site, each, record.mode, mode)
        for each in added
        if each.replaced.key_path not in taken and (not each.name or each.name in served)
    ]


def lacking(machine: Machine, seen: FileContents, mode: str) -> list[EntryPlan]:
    """Return entries for the servers of the gateway's own configuration that a user's file of a client lacks.

    :param mode: the way in which the file uses the gateway.
    :raise ConfigError: the configuration cannot be used.
    """
    settings, dialect = machine.settings, seen.site.dialect
    taken = {each.key_path for each in seen.listed}
    known = {each.served for each in seen.listed if each.kind is EntryKind.ENROLLED}
    form = form_of(mode)
    made = [
        new_entry(machine, dialect, each.name, form)
        for each in settings.servers
        if each.enabled and not each.project and settings.blueprints[each.name].entry.origin.is_ours
    ]
    return [each for each in made if each.key_path not in taken and each.name not in known]


def _again(
    machine: Machine, site: FileLocation, enrolled: EnrolledEntry, former: str, mode: str
) -> EntryPlan:
    """Return the plan of an added entry: as it was, with the gateway's present port."""
    first, dialect = enrolled.replaced, site.dialect
    listed = dialect.fresh(first.title, first.key_path[:-1])
    words = None
    if isinstance(first.ours, Mapping):
        listed = evolve(listed, value=first.ours)
        words = dialect.target_of(first.key_path, first.ours)
    is_command = bool(words and "://" not in words[0])
    is_shim = mode == FAIL_OPEN or (is_command and mode == former)
    form = SnippetForm.SHIM if is_shim else None
    project = dialect.project_of(first.key_path) or site.project
    value = value_for(machine, dialect, listed, enrolled.name, form, project)
    return EntryPlan(first.key_path, first.title, MISSING, enrolled.name, value)


def with_present(machine: Machine, site: FileLocation, text: str, record: FileRecord) -> FileRecord:
    """Return the record of a file that is about to be restored, with its added entries as they are now.

    An entry that its user has taken out is left out, and one that its user has renamed has its new name.
    """
    if all(each.replaced.former is not None for each in record.entries.values()):
        return record
    values = syntax.read(text, site.path, site.dialect)
    listed = listed_in(site, values, machine.base)
    entries: dict[KeyPath, EnrolledEntry] = {}
    for key_path, each in record.entries.items():
        if each.replaced.former is not None or each.replaced.ours is None:
            entries[key_path] = each
            continue
        place = key_path if edits.at(values, key_path) is not MISSING else _renamed(listed, each, record)
        if place is not None:
            now = evolve(each.replaced, key_path=place, title=place[-1], ours=edits.at(values, place))
            entries[place] = evolve(each, replaced=now)
    return evolve(record, entries=entries)


def _renamed(listed: tuple[ClientEntry, ...], each: EnrolledEntry, record: FileRecord) -> KeyPath | None:
    found = (
        one.key_path
        for one in listed
        if one.kind is EntryKind.ENROLLED and one.served == each.name and one.key_path not in record.entries
    )
    return next(found, None)
