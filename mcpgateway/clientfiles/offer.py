"""Entries for one server of the gateway, in the clients' files that use the gateway already.

A file whose single entry stands for all servers needs none.  The entries are recorded in the ledger like those of
`mcpgateway.clientfiles.install`, so that they go when the file is restored, or the server is removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from mcpgateway.clientfiles.apply import RestoreEdit, ledger_locked, restore_file
from mcpgateway.clientfiles.enrol_edit import BEARER, EntryPlan
from mcpgateway.clientfiles.enrolment_records import FileRecord, KeyPath, without
from mcpgateway.clientfiles.files import recorded_sites
from mcpgateway.clientfiles.generate import SnippetForm, new_entry
from mcpgateway.clientfiles.install import InstallTarget, drift, install
from mcpgateway.clientfiles.machine import FAIL_OPEN, SINGLE, Machine
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
            entry = new_entry(machine, site.dialect, name, _form(machine, record))
            where = InstallTarget(site, entry.key_path[:-1])
            is_missing = bool(drift(machine, where, (entry,)).missing)
        except ConfigError:
            continue
        if is_missing:
            found.append(EntryOffer(where, entry))
    return tuple(found)


def write(machine: Machine, wanted: Sequence[EntryOffer]) -> tuple[str, ...]:
    """Write entries; return why files stay without theirs."""
    errors = []
    for each in wanted:
        try:
            install(machine, each.where, (each.entry,))
        except ConfigError as why:
            errors.append(str(why))
        machine.look_again()
    return tuple(errors)


def withdraw(machine: Machine, name: str) -> tuple[str, ...]:
    """Take the entries that were written for a server out of all files; return the paths of the changed files.

    :raise ConfigError: the ledger cannot be used.
    """
    if not any(_titles(each, name) for each in machine.records.files.values()):
        return ()
    changed = []
    with ledger_locked(machine):
        for site in list(recorded_sites(machine.records)):
            record = machine.record_of(site.path)
            titles = _titles(record, name) if record is not None else ()
            if titles and record is not None and record.suspended:
                machine.ledger.put(without(record, _added(record, name)))
            elif titles and restore_file(machine, site, RestoreEdit(machine, site, titles)).changed:
                changed.append(site.path)
            machine.look_again()
    return tuple(changed)


def _titles(record: FileRecord, name: str) -> tuple[str, ...]:
    return tuple(record.entries[each].replaced.title for each in _added(record, name))


def _added(record: FileRecord, name: str) -> frozenset[KeyPath]:
    return frozenset(
        key_path
        for key_path, each in record.entries.items()
        if each.name == name and each.replaced.former is None
    )


def _form(machine: Machine, record: FileRecord) -> SnippetForm | None:
    # No token goes into a client's file; the shim reads the one in the home.
    is_shim = record.mode == FAIL_OPEN or machine.gateway.auth_mcp_transport == BEARER
    return SnippetForm.SHIM if is_shim else None
