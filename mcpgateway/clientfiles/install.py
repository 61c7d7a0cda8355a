"""Put entries for the gateway's servers into a file of Claude Code, by way of the ledger, so that they can be removed.

Entries under the same name with another URL or command are the user's: they are left, and reported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import evolve, frozen

from mcpgateway.clientfiles.apply import FileChange, ledger_locked
from mcpgateway.clientfiles.enrol_edit import EnrolEdit, EntryPlan
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry
from mcpgateway.clientfiles.files import FileLocation, listed_in
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect, ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.generate import ALL, SnippetForm, new_entry, refuse_aggregate, served
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan, form_for, mode_for
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import paths
from mcpgateway.system.files import read_text

CLAUDE = "claude-code"


class InstallMode(Enum):
    """The kind of entries: one for all servers, one for each, or both."""

    AGGREGATE = "aggregate"
    PROXY = "proxy"
    BOTH = "both"


class InstallScope(Enum):
    """The scope in which Claude Code looks for servers."""

    USER = "user"
    PROJECT = "project"
    LOCAL = "local"


@frozen
class InstallTarget:
    """The place of the entries in a file.

    :ivar table: the key path of their table.
    """

    site: FileLocation
    table: KeyPath

    @property
    def project(self) -> str:
        """The directory of the project that the entries are for; empty for none."""
        return self.site.project or self.site.dialect.project_of((*self.table, ""))


@frozen
class Drift:
    """The difference between the present and the wanted entries of a file.

    :ivar missing: wanted entries that are missing.
    :ivar different: entries of the gateway that have another value.
    :ivar foreign: entries under whose names the user has others, which are left.
    """

    missing: tuple[EntryPlan, ...] = ()
    different: tuple[EntryPlan, ...] = ()
    foreign: tuple[EntryPlan, ...] = ()

    @property
    def changes(self) -> tuple[EntryPlan, ...]:
        """The entries to write."""
        return (*self.missing, *self.different)


class RolledBack(ConfigError):
    """The installation failed, and the file is as it was."""


def target(machine: Machine, scope: InstallScope, directory: str) -> InstallTarget:
    """Return the place of the entries of a scope.

    :param directory: the working directory of the user.
    """
    dialect = DIALECTS[CLAUDE]
    table = next(iter(dialect.tables))
    if scope is InstallScope.PROJECT:
        return InstallTarget(FileLocation(dialect, os.path.join(directory, ".mcp.json"), directory), table)
    site = FileLocation(dialect, paths.claude_file(machine.environ))
    return InstallTarget(
        site, table if scope is InstallScope.USER else ("projects", _root(directory), *table)
    )


def _root(directory: str) -> str:
    """Return the git root above a directory, which is Claude Code's key of local servers; else the directory."""
    above = directory
    while not os.path.lexists(os.path.join(above, ".git")):
        if above == os.path.dirname(above):
            return directory
        above = os.path.dirname(above)
    return above


def wanted(machine: Machine, where: InstallTarget, mode: InstallMode) -> tuple[EntryPlan, ...]:
    """Return the wanted entries.

    :raise ConfigError: there is no server, or the endpoint of all servers is not served.
    """
    names: list[str] = []
    if mode is not InstallMode.PROXY:
        refuse_aggregate(machine)
        names.append("")
    if mode is not InstallMode.AGGREGATE:
        # A server that this very file lists is enrolled in its place, by `clients apply`.
        names += [
            name
            for name, its in served(machine).items()
            if where.site.path not in its.source and its.is_there_for(where.project)
        ]
    # As the rest of the file, or as `clients apply` would write it.
    form = form_for(machine, machine.record_of(where.site.path)) or SnippetForm.HTTP
    dialect = where.site.dialect
    return tuple(new_entry(machine, dialect, name, form, where.project, where.table) for name in names)


def drift(machine: Machine, where: InstallTarget, entries: Sequence[EntryPlan]) -> Drift:
    """Compare the present entries of a file with the wanted ones.

    :raise ConfigError: the file cannot be read.
    """
    try:
        text = read_text(where.site.path, FILE_LIMIT)
    except FileNotFoundError:
        text = ""
    values = syntax.read(text, where.site.path, where.site.dialect) if text.strip() else {}
    listed = {each.key_path: each for each in listed_in(where.site, values, machine.base)}
    there = {
        each.served
        for each in listed.values()
        if each.kind is EntryKind.ENROLLED and each.key_path[:-1] == where.table
    }
    record = machine.record_of(where.site.path)
    written = record.entries if record is not None else {}
    sorted_: dict[str, list[EntryPlan]] = {"missing": [], "different": [], "foreign": []}
    for each in entries:
        now = listed.get(each.key_path)
        if now is not None and _is_as_written(each, now, written.get(each.key_path)):
            now = evolve(now, kind=EntryKind.ENROLLED, served=each.name)
        verdict = _verdict(where.site.dialect, each, now, is_there=each.name in there)
        if verdict:
            sorted_[verdict].append(evolve(each, value=edits.at(values, each.key_path)))
    return Drift(**{name: tuple(found) for name, found in sorted_.items()})


def _is_as_written(entry: EntryPlan, now: ClientEntry, written: EnrolledEntry | None) -> bool:
    """True if an entry is as the ledger has it, perhaps with a former port of the gateway."""
    return written is not None and written.name == entry.name and same(now.value, written.replaced.ours)


def _verdict(dialect: ClientDialect, entry: EntryPlan, now: ClientEntry | None, *, is_there: bool) -> str:
    if now is None:
        return "" if is_there else "missing"
    if now.kind is not EntryKind.ENROLLED or now.served != entry.name:
        return "foreign"
    same_way = dialect.target_of(entry.key_path, now.value) == dialect.target_of(entry.key_path, entry.ours)
    says = isinstance(now.value, Mapping) and now.value.get("type") == entry.ours.get("type")
    return "" if same_way and says else "different"


def install(machine: Machine, where: InstallTarget, entries: Sequence[EntryPlan]) -> Drift:
    """Write the entries that are missing or different, and return them.

    :raise RolledBack: an entry could not be written, and the file is unchanged.
    """
    site = where.site
    try:
        with ledger_locked(machine):
            record = machine.record_of(site.path)
            if record is not None and record.suspended:
                raise ConfigError(
                    f"{site.path}: is {record.suspended} for now, with the client's own entries in it;"
                    f" {cli('start')} or {cli('clients resume')} enrols it again"
                )
            found = drift(machine, where, entries)
            if not found.changes:
                return found
            planned = FilePlan(site, mode_for(machine, EnrolRequest(), record), found.changes)
            adoption = EnrolEdit(machine, site, planned.to_enrol, planned.mode)
            change = FileChange(machine, site, record, adoption, create=True)
            change.carry_out(planned)
            machine.look_again()
            left = drift(machine, where, entries).changes
            if left:
                change.take_back()
    except (ConfigError, FileNotFoundError) as why:
        raise RolledBack(str(why)) from why
    if left:
        names = ", ".join(each.name or ALL for each in left)
        raise RolledBack(f"{site.path}: another program has undone the entries {names}; all is as it was")
    return found
