"""Put entries for the gateway's servers into a file of Claude Code, by way of the ledger, so that they can be undone.

Entries that are there under the same name and lead elsewhere are the user's: they are left, and told of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.files import Site, listed_in
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect, FileKind, Listed, Road
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.generate import ALL, argv, refuse_aggregate, served
from mcpgateway.clientfiles.ledger import Adopted, Enrolled, Rewritten
from mcpgateway.clientfiles.machine import HTTP, Machine
from mcpgateway.clientfiles.plan import adopted_at
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.system import paths

CLAUDE = "claude-code"
BEARER = "bearer-required"


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
class InstallEntry:
    """An entry as it is to be.

    :ivar name: the server; empty for the one entry of all.
    """

    road: Road
    name: str
    value: Any = field(repr=False)


@frozen
class Drift:
    """What of the entries is not as it is to be.

    :ivar missing: those that are not there.
    :ivar different: those that are written otherwise.
    :ivar foreign: their names are those of entries that are the user's; they are left.
    """

    missing: tuple[InstallEntry, ...] = ()
    different: tuple[InstallEntry, ...] = ()
    foreign: tuple[InstallEntry, ...] = ()

    @property
    def changes(self) -> tuple[InstallEntry, ...]:
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


def wanted(machine: Machine, where: Target, mode: Mode) -> tuple[InstallEntry, ...]:
    """The entries that are to be there.

    :raise ConfigError: there is no server, or the endpoint of all servers is not served.
    """
    names: list[str] = []
    if mode is not Mode.PROXY:
        refuse_aggregate(machine)
        names.append("")
    if mode is not Mode.AGGREGATE:
        # What this very file lists is enrolled in its place, by `clients apply`; twice would be too often.
        names += [
            name
            for name, its in served(machine).items()
            if where.site.path not in its.source and its.is_there_for(where.project)
        ]
    return tuple(_entry(machine, where, name) for name in names)


def _entry(machine: Machine, where: Target, name: str) -> InstallEntry:
    dialect = where.site.dialect
    fresh = dialect.fresh(name or ALL, where.table)
    # No token goes into a client's file; a program of ours can read the one in the home.
    if machine.gateway.auth_mcp_transport == BEARER:
        return InstallEntry(
            fresh.road, name, dialect.by_command(fresh, argv(machine, name, project=where.project))
        )
    return InstallEntry(fresh.road, name, dialect.by_url(fresh, machine.url(name), project=where.project))


def drift(machine: Machine, where: Target, entries: Sequence[InstallEntry]) -> Drift:
    """What of the entries is not as it is to be.

    :raise ConfigError: the file cannot be read.
    """
    from mcpgateway.clientfiles.transaction import FILE_LIMIT
    from mcpgateway.system.files import read_text

    try:
        text = read_text(where.site.path, FILE_LIMIT)
    except FileNotFoundError:
        text = ""
    return _drift(machine, where, entries, text)


def _drift(machine: Machine, where: Target, entries: Sequence[InstallEntry], text: str) -> Drift:
    values = syntax.read(text, where.site.path, where.site.dialect) if text.strip() else {}
    listed = {each.road: each for each in listed_in(where.site, values, machine.base)}
    there = {
        each.served
        for each in listed.values()
        if each.kind is FileKind.OURS and each.road[:-1] == where.table
    }
    adopted = adopted_at(machine, where.site)
    written = adopted.entries if adopted is not None else {}
    sorted_: dict[str, list[InstallEntry]] = {"missing": [], "different": [], "foreign": []}
    for each in entries:
        now = listed.get(each.road)
        if now is not None and _is_as_written(each, now, written.get(each.road)):
            now = evolve(now, kind=FileKind.OURS, served=each.name)
        verdict = _verdict(where.site.dialect, each, now, is_there=each.name in there)
        if verdict:
            sorted_[verdict].append(each)
    return Drift(**{name: tuple(found) for name, found in sorted_.items()})


def _is_as_written(entry: InstallEntry, now: Listed, written: Enrolled | None) -> bool:
    """Whether it is what we have put there, which may lead to the port that the gateway had then."""
    return written is not None and written.name == entry.name and same(now.value, written.replaced.ours)


def _verdict(dialect: ClientDialect, entry: InstallEntry, now: Listed | None, *, is_there: bool) -> str:
    if now is None:
        return "" if is_there else "missing"
    if now.kind is not FileKind.OURS or now.served != entry.name:
        return "foreign"
    same_way = dialect.leads(entry.road, now.value) == dialect.leads(entry.road, entry.value)
    says = isinstance(now.value, Mapping) and now.value.get("type") == entry.value.get("type")
    return "" if same_way and says else "different"


def install(machine: Machine, where: Target, entries: Sequence[InstallEntry]) -> Drift:
    """Write what is missing or different, and tell what that was.

    :raise RolledBack: it did not work, and the file is as it was.
    """
    work = _Installation(machine, where, entries)
    try:
        machine.ledger.change(where.site.path, work, lock=where.site.lock, create=True)
        left = drift(machine, where, entries).changes
        if left:
            machine.ledger.change(where.site.path, work.taken_back, lock=where.site.lock)
            names = ", ".join(each.name or ALL for each in left)
            raise RolledBack(
                f"{where.site.path}: another program has undone the entries {names}; all is as it was"
            )
    except RolledBack:
        raise
    except (ConfigError, FileNotFoundError) as why:
        raise RolledBack(str(why)) from why
    return work.done


@define(eq=False)
class _Installation:
    """What is made of the file's text; asked anew when somebody else has written it meanwhile."""

    machine: Machine
    where: Target
    entries: Sequence[InstallEntry]
    done: Drift = Drift()

    def __call__(self, text: str, adopted: Adopted | None) -> Rewritten:
        """The text with the entries.

        :raise ConfigError: the text is not of its form, or the file's entries are restored for now.
        """
        if adopted is not None and adopted.suspended:
            raise ConfigError(
                f"{self.where.site.path}: is {adopted.suspended} for now, with the client's own entries in it;"
                " mcpgateway start or mcpgateway enable leads it to the gateway again"
            )
        self.done = _drift(self.machine, self.where, self.entries, text)
        if not self.done.changes:
            return Rewritten(text, adopted)
        wishes = [(each.road, each.value) for each in self.done.changes]
        made, replaced = rewrite.replace(text, self.where.site.path, wishes)
        known = dict(adopted.entries) if adopted is not None else {}
        for entry, each in zip(self.done.changes, replaced, strict=True):
            former = known.get(entry.road)
            # What stood there before us is what comes back, however often ours is written anew.
            kept = evolve(former.replaced, ours=each.ours) if former is not None else each
            known[entry.road] = Enrolled(entry.name, kept)
        site = self.where.site
        whole = adopted or Adopted(site.path, site.dialect.name, mode=HTTP, project=site.project)
        return Rewritten(made, evolve(whole, entries=known))

    def taken_back(self, text: str, adopted: Adopted | None) -> Rewritten:
        """The text without the entries that were put there.

        :raise ConfigError: the text is not of its form.
        """
        if adopted is None:
            return Rewritten(text, None)
        roads = {each.road for each in self.done.changes}
        mine = [each.replaced for road, each in adopted.entries.items() if road in roads]
        site = self.where.site
        given = rewrite.give_back(text, site.path, site.dialect, self.machine.base, mine)
        rest = {road: each for road, each in adopted.entries.items() if road not in roads}
        return Rewritten(given.text, evolve(adopted, entries=rest) if rest else None)
