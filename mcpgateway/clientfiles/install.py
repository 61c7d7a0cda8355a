"""Put entries for the gateway's servers into a file of Claude Code, by way of the ledger, so that they can be undone.

Entries that are there under the same name and lead elsewhere are the user's: they are left, and told of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import evolve, frozen

from mcpgateway.clientfiles.apply import FileChange, alone
from mcpgateway.clientfiles.enrolment_records import Enrolled
from mcpgateway.clientfiles.files import Site, listed_in
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect, FileKind, Listed, Road
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.generate import ALL, SnippetForm, new_entry, refuse_aggregate, served
from mcpgateway.clientfiles.machine import HTTP, Machine
from mcpgateway.clientfiles.plan import BEARER, Adoption, FilePlan, Wish
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.system import paths
from mcpgateway.system.files import read_text

CLAUDE = "claude-code"


class Mode(Enum):
    """Which entries: one for all servers, one for each, or both."""

    AGGREGATE = "aggregate"
    PROXY = "proxy"
    BOTH = "both"


class InstallScope(Enum):
    """Where Claude Code looks for servers."""

    USER = "user"
    PROJECT = "project"
    LOCAL = "local"


@frozen
class Target:
    """A place in a file.

    :ivar table: where the entries stand.
    """

    site: Site
    table: Road

    @property
    def project(self) -> str:
        """The directory of the project that it is for; empty: for none."""
        return self.site.project or self.site.dialect.project_of((*self.table, ""))


@frozen
class Drift:
    """What of the entries is not as it is to be.

    :ivar missing: those that are not there.
    :ivar different: those that are written otherwise.
    :ivar foreign: their names are those of entries that are the user's; they are left.
    """

    missing: tuple[Wish, ...] = ()
    different: tuple[Wish, ...] = ()
    foreign: tuple[Wish, ...] = ()

    @property
    def changes(self) -> tuple[Wish, ...]:
        """What is to be written."""
        return (*self.missing, *self.different)


class RolledBack(ConfigError):
    """It did not work, and the file is as it was."""


def target(machine: Machine, scope: InstallScope, directory: str) -> Target:
    """Where entries of a scope go.

    :param directory: the directory somebody works in.
    """
    dialect = DIALECTS[CLAUDE]
    table = next(iter(dialect.tables))
    if scope is InstallScope.PROJECT:
        return Target(Site(dialect, os.path.join(directory, ".mcp.json"), directory), table)
    site = Site(dialect, paths.claude_file(machine.environ))
    return Target(site, table if scope is InstallScope.USER else ("projects", _root(directory), *table))


def _root(directory: str) -> str:
    """The git root above a directory, which is what Claude Code files local servers under; else the directory."""
    above = directory
    while not os.path.lexists(os.path.join(above, ".git")):
        if above == os.path.dirname(above):
            return directory
        above = os.path.dirname(above)
    return above


def wanted(machine: Machine, where: Target, mode: Mode) -> tuple[Wish, ...]:
    """Return the entries that are to be there.

    :raise ConfigError: there is no server, or the endpoint of all servers is not served.
    """
    names: list[str] = []
    if mode is not Mode.PROXY:
        refuse_aggregate(machine)
        names.append("")
    if mode is not Mode.AGGREGATE:
        # A server that this very file lists is enrolled in its place, by `clients apply`.
        names += [
            name
            for name, its in served(machine).items()
            if where.site.path not in its.source and its.is_there_for(where.project)
        ]
    # No token goes into a client's file; the shim reads the one in the home.
    form = SnippetForm.SHIM if machine.gateway.auth_mcp_transport == BEARER else SnippetForm.HTTP
    dialect = where.site.dialect
    return tuple(new_entry(machine, dialect, name, form, where.project, where.table) for name in names)


def drift(machine: Machine, where: Target, entries: Sequence[Wish]) -> Drift:
    """Compare the entries of a file with those that are to be there.

    :raise ConfigError: the file cannot be read.
    """
    try:
        text = read_text(where.site.path, FILE_LIMIT)
    except FileNotFoundError:
        text = ""
    values = syntax.read(text, where.site.path, where.site.dialect) if text.strip() else {}
    listed = {each.road: each for each in listed_in(where.site, values, machine.base)}
    there = {
        each.served
        for each in listed.values()
        if each.kind is FileKind.OURS and each.road[:-1] == where.table
    }
    adopted = machine.record_of(where.site.path)
    written = adopted.entries if adopted is not None else {}
    sorted_: dict[str, list[Wish]] = {"missing": [], "different": [], "foreign": []}
    for each in entries:
        now = listed.get(each.road)
        if now is not None and _is_as_written(each, now, written.get(each.road)):
            now = evolve(now, kind=FileKind.OURS, served=each.name)
        verdict = _verdict(where.site.dialect, each, now, is_there=each.name in there)
        if verdict:
            sorted_[verdict].append(evolve(each, value=edits.at(values, each.road)))
    return Drift(**{name: tuple(found) for name, found in sorted_.items()})


def _is_as_written(entry: Wish, now: Listed, written: Enrolled | None) -> bool:
    """Whether an entry is as the ledger has it, which may be with the port that the gateway had then."""
    return written is not None and written.name == entry.name and same(now.value, written.replaced.ours)


def _verdict(dialect: ClientDialect, entry: Wish, now: Listed | None, *, is_there: bool) -> str:
    if now is None:
        return "" if is_there else "missing"
    if now.kind is not FileKind.OURS or now.served != entry.name:
        return "foreign"
    same_way = dialect.leads(entry.road, now.value) == dialect.leads(entry.road, entry.ours)
    says = isinstance(now.value, Mapping) and now.value.get("type") == entry.ours.get("type")
    return "" if same_way and says else "different"


def install(machine: Machine, where: Target, entries: Sequence[Wish]) -> Drift:
    """Write the entries that are missing or different, and return which these were.

    :raise RolledBack: it did not work, and the file is as it was.
    """
    site = where.site
    try:
        with alone(machine):
            adopted = machine.record_of(site.path)
            if adopted is not None and adopted.suspended:
                raise ConfigError(
                    f"{site.path}: is {adopted.suspended} for now, with the client's own entries in it;"
                    " mcpgateway start or mcpgateway enable enrols it again"
                )
            found = drift(machine, where, entries)
            if not found.changes:
                return found
            planned = FilePlan(site, adopted.mode if adopted is not None else HTTP, found.changes)
            adoption = Adoption(machine, site, planned.wishes, planned.mode)
            change = FileChange(machine, site, adopted, adoption, create=True)
            change.carried_out(planned)
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
