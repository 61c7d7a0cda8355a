"""Clients' files that use the gateway, read as they would be without it.

Loaded only where there are such files.  In the place of our entries count those that stood there before, with what
their client has changed in ours since.  A file that cannot be read at the moment counts as it was left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.formats.client_format import ClientDialect, FileKind, Listed, Road
from mcpgateway.clientfiles.formats.loopback import Base, port_of
from mcpgateway.clientfiles.formats.program import Program
from mcpgateway.clientfiles.formats.rewrite import Replaced, carried
from mcpgateway.config.client import LEFT_OUT, ClientServers
from mcpgateway.config.document import Document, Place, dotted
from mcpgateway.config.edit.edits import MISSING, Put, at, changed, same
from mcpgateway.config.entry import Entry, Origin, Scope, read_program, url_of
from mcpgateway.config.environment import FULL
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.load import EnrolledServers
from mcpgateway.config.model import ClientFile
from mcpgateway.config.ours import original_of
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import ConfigError

SINGLE = "single"
SWITCHES = ("disabled", "enabled")
DIGEST_CHARACTERS = 12  # to tell one version of an entry from another


KEPT = "the servers that it listed when it was enrolled are served until it can be read"


class Led(Protocol):
    """An entry of ours, as the ledger has it."""

    @property
    def name(self) -> str:
        """As which it is served."""

    @property
    def replaced(self) -> Replaced:
        """What it was and what it became."""


@frozen(eq=False)
class AdoptedFile:
    """A client's file that uses the gateway, and what is known of it.

    :ivar value: what it holds; `MISSING` where that cannot be told at the moment.
    :ivar entries: ours, by where they were put.
    :ivar project: the directory of the project it lies in, or "".
    :ivar is_watched: whether what is added to it is to be enrolled, too.
    :ivar is_trusted: whether what others than the user may have written in it may run.
    :ivar opted_out: the servers that stay their client's own.
    :ivar registered_at: when it was first enrolled, in seconds since the epoch; 0 where nobody knows.
    """

    path: str
    dialect: ClientDialect
    value: Any = field(repr=False)
    entries: Mapping[Road, Led] = field(repr=False)
    mode: str = "http"
    project: str = ""
    suspended: str = ""
    is_watched: bool = True
    is_trusted: bool = True
    opted_out: frozenset[str] = frozenset()
    registered_at: float = 0.0

    def servers(
        self, gateway: GatewaySettings, opted_out: frozenset[str], rank: int, problems: Problems
    ) -> EnrolledServers:
        """Read its servers as they would be without the gateway.

        :param opted_out: the servers that stay their clients' own.
        :param rank: orders the files of one scope.
        """
        base = Base(gateway.http_port, frozenset((gateway.bind_address, *gateway.allowed_hosts)))
        return read_adopted(evolve(self, opted_out=opted_out), base, rank, problems)


def read_adopted(file: AdoptedFile, base: Base, rank: int, problems: Problems) -> EnrolledServers:
    """Read the servers of a client's file that uses the gateway."""
    return _Reading(file, also_former(base, file.dialect, file.entries), rank, problems).read()


def also_former(base: Base, dialect: ClientDialect, entries: Mapping[Road, Led]) -> Base:
    """Return what makes a URL ours, so that entries count that were written when the gateway had another port."""
    leads = (dialect.leads(road, each.replaced.ours) for road, each in entries.items())
    ports = {port_of(each[0]) for each in leads if len(each) == 1 and "://" in each[0]}
    return evolve(base, former=base.former | {each for each in ports if each is not None})


def ours_in(value: Any, dialect: ClientDialect, entries: Mapping[Road, Led], base: Base) -> dict[Road, Led]:
    """Return the entries of ours that stand in a file, by where they stand now."""
    found: dict[Road, Led] = {}
    for listed in dialect.listed(value, base):
        led = _led(listed, entries, found)
        if led is not None:
            found[listed.road] = led
    return found


def newcomers(
    value: Any, dialect: ClientDialect, entries: Mapping[Road, Led], base: Base, project: str = ""
) -> frozenset[str]:
    """Return the titles of the programs in a file without entries of ours that were not there when it was enrolled."""
    listed = [each for each in dialect.listed(value, base, project) if each.kind is FileKind.PROGRAM]
    return frozenset(
        each.title
        for each in listed
        if each.road not in entries or _former(entries[each.road], dialect, base, project) != each.program
    )


def _former(led: Led, dialect: ClientDialect, base: Base, project: str) -> Program | None:
    """Return the program that stood in the place of an entry of ours."""
    road, former = led.replaced.road, led.replaced.former
    if former is None:
        return None
    listed = dialect.listed(changed({}, Put(road, former), ""), base, project)
    return listed[0].program if listed else None


def _original(now: Any, replaced: Replaced) -> Any:
    """Return what counts in the place of an entry of ours."""
    former = replaced.former
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        return carried(former, replaced.ours, now)
    return former


def _led(listed: Listed, entries: Mapping[Road, Led], taken: Mapping[Road, Led]) -> Led | None:
    here = entries.get(listed.road)
    if here is not None and same(listed.value, here.replaced.ours):
        return here  # also where it leads to a port that the gateway has no more
    if listed.kind is not FileKind.OURS:
        return None
    if here is not None and here.name == listed.served:
        return here
    # Its user has given it another name, or a copy; where it leads is what it is known by.
    same_name = [each for each in entries.values() if each.name == listed.served]
    free = (each for each in same_name if not any(each is one for one in taken.values()))
    return next(free, next(iter(same_name), None))


@define(eq=False)
class _Reading:
    """One reading of one file."""

    file: AdoptedFile
    base: Base
    rank: int
    problems: Problems
    _ours: dict[Road, Led] = field(factory=dict)
    _off: set[Road] = field(factory=set)
    _entries: list[Entry] = field(factory=list)
    _remotes: list[str] = field(factory=list)

    def read(self) -> EnrolledServers:
        """Read all of it."""
        file = self.file
        is_known = file.value is not MISSING and not self._is_cut_short()
        before = file.dialect.listed(file.value, self.base, file.project) if is_known else ()
        value = self._as_without_us(file.value if is_known else {}, is_known=is_known)
        listed = file.dialect.listed(value, self.base, file.project)
        for each in listed:
            self._take(each)
        shown = ClientFile(
            file.dialect.name,
            file.dialect.title,
            file.path,
            file.mode,
            file.project,
            tuple(dict.fromkeys(each.name for each in file.entries.values())),
            file.suspended,
            len(self._remotes),
            tuple(self._unsettled(before)) if is_known and not file.suspended else (),
            file.registered_at,
        )
        return EnrolledServers(
            ClientServers(tuple(self._entries), tuple(self._remotes)), shown, self._projects(value)
        )

    def _is_cut_short(self) -> bool:
        """Whether all entries are gone, and their place with them; nobody who removes servers does that."""
        file = self.file
        held = file.value if isinstance(file.value, Mapping) else {}
        places = [held.get(table[0]) for table in file.dialect.tables]
        if not file.entries or any(isinstance(each, Mapping | list) for each in places):
            return False
        self.problems.warn(Where(file.path), "has lost all its servers at once", KEPT)
        return True

    # What would be there without us

    def _as_without_us(self, value: Any, *, is_known: bool) -> Any:
        file = self.file
        if not is_known:
            self._ours = dict(file.entries)
            put = {road: led.replaced.former for road, led in file.entries.items()}
        else:
            self._ours = ours_in(value, file.dialect, file.entries, self.base)
            put = {road: _original(at(value, road), led.replaced) for road, led in self._ours.items()}
            put |= self._behind_the_one(value)
        for road, former in put.items():
            if former is not None:
                value = self._put(value, road, former)
        for each in file.dialect.listed(value, self.base):
            if each.kind is FileKind.OFF and isinstance(each.value, Mapping):
                self._off.add(each.road)
                on = {key: word for key, word in each.value.items() if key not in SWITCHES}
                value = self._put(value, each.road, on)
        return value

    def _put(self, value: Any, road: Road, wanted: Any) -> Any:
        try:
            return changed(value, Put(road, wanted), self.file.path)
        except ConfigError as why:
            self.problems.catch(why, self.file.path, LEFT_OUT, is_error=False)
            return value

    def _behind_the_one(self, value: Any) -> dict[Road, Any]:
        """Return the entries that gave way to the one entry for all of them, as long as that is there."""
        listed = self.file.dialect.listed(value, self.base)
        if self.file.mode != SINGLE or not any(
            each.kind is FileKind.OURS and not each.served for each in listed
        ):
            return {}
        return {
            road: led.replaced.former
            for road, led in self.file.entries.items()
            if led.replaced.ours is None and at(value, road) is MISSING
        }

    # One entry

    def _take(self, listed: Listed) -> None:
        own = Problems()
        match listed.kind:
            case FileKind.PROGRAM if listed.program is not None:
                self._take_program(listed, listed.program, own)
            case FileKind.OURS:
                try:
                    original = self._original(listed)
                except ConfigError as why:
                    own.warn(self._where(listed), str(why))
                else:
                    if original:
                        self._take_program(listed, original, own)
            case FileKind.REMOTE if listed.road not in self._off:
                self._remotes.append(url_of(listed.value))
            case FileKind.ODD:
                own.warn(self._where(listed), listed.why)
        self.problems.soften(own, LEFT_OUT)

    def _take_program(self, listed: Listed, program: Program, problems: Problems) -> None:
        led = self._led(listed, program)
        if led is None and self.file.project:
            return  # what others may have written waits until its user approves of it
        if listed.project and not listed.project.startswith("/"):
            return  # nobody knows where that is
        entry = read_program(_place(self.file.path, listed, program), self._origin(listed), problems)
        if entry is not None:
            enabled = listed.road not in self._off
            self._entries.append(evolve(entry, enabled=enabled, enrolled_as=led.name if led else ""))

    def _original(self, listed: Listed) -> Program | None:
        """Return the program behind a relay of ours that somebody has put there by hand."""
        value = listed.value if isinstance(listed.value, Mapping) else {}
        command, args = value.get("command"), value.get("args") or []
        words = command if isinstance(command, list) else [command, *args]
        if not all(isinstance(each, str) for each in words):
            return None
        original = original_of(tuple(words)) if words else None
        env = value.get("env") or value.get("environment") or {}
        return self.file.dialect.behind(listed, original, env) if original else None

    def _led(self, listed: Listed, program: Program) -> Led | None:
        """Return the entry of ours that this one is, unless somebody else may have changed what it runs."""
        led = self._ours.get(listed.road)
        if led is not None and not self.file.project:
            return led
        led = led or self.file.entries.get(listed.road)
        return (
            led
            if led is not None and _former(led, self.file.dialect, self.base, self.file.project) == program
            else None
        )

    def _origin(self, listed: Listed) -> Origin:
        file, project = self.file, listed.project or self.file.project
        words = f"{file.path}, project {project}" if listed.project else file.path
        if project:
            return Origin(Scope.PROJECT, words, project, project=project, env_policy=FULL, rank=self.rank)
        directory = file.path.rpartition("/")[0] or "/"
        return Origin(Scope.USER, f"{words}, user scope", directory, env_policy=FULL, rank=self.rank)

    def _where(self, listed: Listed) -> Where:
        return Where(self.file.path, 0, dotted(listed.road))

    # What is said of it

    def _unsettled(self, listed: tuple[Listed, ...]) -> Iterator[str]:
        if not self.file.is_watched:
            return
        out = self.file.opted_out
        for each in listed:
            ids = {each.title, f"{self.file.dialect.name}:{each.title}"}
            if each.kind is FileKind.PROGRAM and self.file.is_trusted and not ids & out:
                yield f"{dotted(each.road)} is no entry of ours: {_digest(each.value)}"
            elif each.road in self._ours and self._leads_elsewhere(each):
                yield f"{dotted(each.road)} leads elsewhere"
            elif each.road in self._ours and self._lacks_project(each):
                yield f"{dotted(each.road)} does not name its project"
        there = {id(each) for each in self._ours.values()}
        for road, led in self.file.entries.items():
            if led.replaced.ours is not None and id(led) not in there:
                yield f"{dotted(road)} is not there"

    def _lacks_project(self, listed: Listed) -> bool:
        project = listed.project or self.file.project
        return bool(project) and not self.file.dialect.names_project(listed.road, listed.value, project)

    def _leads_elsewhere(self, listed: Listed) -> bool:
        if listed.kind is not FileKind.OURS:
            return True
        leads = self.file.dialect.leads(listed.road, listed.value)
        port = port_of(leads[0]) if len(leads) == 1 and "://" in leads[0] else None
        return port is not None and self.base.port not in (port, 0)

    def _projects(self, value: Any) -> tuple[str, ...]:
        listed = value.get("projects") if isinstance(value, Mapping) else None
        paths = [path for path in listed if path.startswith("/")] if isinstance(listed, Mapping) else []
        return tuple(paths + ([self.file.project] if self.file.project else []))


def _place(file: str, listed: Listed, program: Program) -> Place:
    value: dict[str, Any] = {"command": program.command, "args": list(program.args), "env": dict(program.env)}
    if program.cwd:
        value["cwd"] = program.cwd
    return Place(Document(file, None, lambda _path: 0), listed.road, value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
