"""Entries for one server of the gateway, in the clients' files that use the gateway already.

A file whose single entry stands for all servers needs none.  The entries are recorded in the ledger like those of
`mcpgateway.clientfiles.install`, so that they go when the file is restored, or the server is removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from mcpgateway.clientfiles.apply import RestoreEdit, ledger_locked, restore_file
from mcpgateway.clientfiles.enrol_edit import EntryPlan
from mcpgateway.clientfiles.enrolment_records import FileRecord, KeyPath, without
from mcpgateway.clientfiles.files import FileLocation, recorded_sites
from mcpgateway.clientfiles.generate import new_entry
from mcpgateway.clientfiles.install import InstallTarget, drift, install
from mcpgateway.clientfiles.machine import SINGLE, Machine
from mcpgateway.clientfiles.plan import form_for
from mcpgateway.errors import ConfigError


@frozen
class EntryOffer:
    """An entry that a client's file could have.

    :ivar where: the file, and the place in it.
    """

    where: InstallTarget
    entry: EntryPlan


def offers(machine: Machine, name: str) -> tuple[EntryOffer, ...]:
    """Return the entries for a server that the users' files of clients lack; files that cannot be read are left out.

    :raise ConfigError: the ledger cannot be read.
    """
    found = []
    for site in recorded_sites(machine.records):
        record = machine.record_of(site.path)
        if record is None or not record.is_standing or record.project or record.mode == SINGLE:
            continue
        try:
            entry = new_entry(machine, site.dialect, name, form_for(machine, record))
            where = InstallTarget(site, entry.key_path[:-1])
            is_missing = bool(drift(machine, where, (entry,)).missing)
        except ConfigError:
            continue
        if is_missing:
            found.append(EntryOffer(where, entry))
    return tuple(found)


def decline(machine: Machine, name: str) -> None:
    """Keep a server out of clients' files, until an enrolment names it.

    :raise ConfigError: the ledger cannot be used.
    """
    with ledger_locked(machine):
        machine.ledger.opt_out(machine.records.opted_out | {name})
        machine.look_again()


def _no_longer_declined(machine: Machine, name: str) -> None:
    if name in machine.records.opted_out:
        with ledger_locked(machine):
            machine.ledger.opt_out(machine.records.opted_out - {name})
            machine.look_again()


def write(machine: Machine, wanted: Sequence[EntryOffer]) -> tuple[str, ...]:
    """Write entries; return why files stay without theirs."""
    errors = []
    for name in dict.fromkeys(each.entry.name for each in wanted):
        _no_longer_declined(machine, name)
    for each in wanted:
        try:
            install(machine, each.where, (each.entry,))
        except ConfigError as why:
            errors.append(str(why))
        machine.look_again()
    return tuple(errors)


def withdraw(machine: Machine, name: str) -> tuple[str, ...]:
    """Take the entries that were written for a server out of all files; return the paths of the changed files.

    A server of that name that is added later is a new one, which nobody has declined.

    :raise ConfigError: the ledger cannot be used.
    """
    _no_longer_declined(machine, name)
    if not _is_written(machine, name):
        return ()
    changed = []
    with ledger_locked(machine):
        for site in list(recorded_sites(machine.records)):
            if _is_withdrawn(machine, site, name):
                changed.append(site.path)
            machine.look_again()
    return tuple(changed)


@frozen
class RenamedEntries:
    """The outcome of a new name of a server for the entries that were written for it.

    :ivar paths: the files whose entries have the new name.
    :ivar errors: the reasons for which files still have the former name.
    """

    paths: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def rename(machine: Machine, name: str, new: str) -> RenamedEntries:
    """Give the entries that were written for a server its new name, in all files.

    Entries with an original stay: they lead to the server that the file itself defines.

    :raise ConfigError: the ledger cannot be used.
    """
    if not _is_written(machine, name):
        return RenamedEntries()
    paths, errors = [], []
    with ledger_locked(machine):
        for site in list(recorded_sites(machine.records)):
            record = machine.record_of(site.path)
            added = _added(record, name) if record is not None else frozenset()
            if not added or record is None:
                continue
            if record.suspended:
                machine.ledger.put(_with_name(record, added, new))
            else:
                try:
                    for where in sorted(added):
                        _write_again(machine, site, record, where, new)
                    if error := restore_file(
                        machine, site, RestoreEdit(machine, site, _titles(record, name))
                    ).error:
                        raise ConfigError(error)
                    paths.append(site.path)
                except ConfigError as why:
                    errors.append(str(why))
            machine.look_again()
    return RenamedEntries(tuple(paths), tuple(errors))


def _write_again(machine: Machine, site: FileLocation, record: FileRecord, where: KeyPath, new: str) -> None:
    # The entry of the former name goes afterwards: the record, with the file's mode, stays meanwhile.
    project = site.dialect.project_of(where) or site.project
    entry = new_entry(machine, site.dialect, new, form_for(machine, record), project, where[:-1])
    install(machine, InstallTarget(site, where[:-1]), (entry,))
    machine.look_again()


def _with_name(record: FileRecord, added: frozenset[KeyPath], new: str) -> FileRecord:
    """Return the record of a file that is restored for now, whose entries have another name when it is enrolled."""
    entries = {}
    for key_path, each in record.entries.items():
        if key_path not in added:
            entries[key_path] = each
            continue
        place = (*key_path[:-1], new)
        entries[place] = evolve(each, name=new, replaced=evolve(each.replaced, key_path=place, title=new))
    return evolve(record, entries=entries)


def _is_written(machine: Machine, name: str) -> bool:
    return any(_added(each, name) for each in machine.records.files.values())


def _is_withdrawn(machine: Machine, site: FileLocation, name: str) -> bool:
    """Take the entries of a server out of a file; return true if the file has changed."""
    record = machine.record_of(site.path)
    added = _added(record, name) if record is not None else frozenset()
    if not added or record is None:
        return False
    if record.suspended:
        machine.ledger.put(without(record, added))
        return False
    return restore_file(machine, site, RestoreEdit(machine, site, _titles(record, name))).changed


def _titles(record: FileRecord, name: str) -> tuple[str, ...]:
    return tuple(record.entries[each].replaced.title for each in _added(record, name))


def _added(record: FileRecord, name: str) -> frozenset[KeyPath]:
    return frozenset(
        key_path
        for key_path, each in record.entries.items()
        if each.name == name and each.replaced.former is None
    )
