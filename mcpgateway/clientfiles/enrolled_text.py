"""Reading clients' enrolled files as they would be without the gateway.

The module is loaded only where there are such files.  An enrolled entry counts as its original, with the changes that
its client has made in it since.  A file that cannot be read at the moment counts as it was last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.enrolment_records import EnrolledEntry
from mcpgateway.clientfiles.formats.client_format import ClientDialect, ClientEntry, EntryKind, KeyPath
from mcpgateway.clientfiles.formats.loopback import LocalGateway, port_of
from mcpgateway.clientfiles.formats.program import Program
from mcpgateway.clientfiles.formats.remote import remote_of
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry, as_changed
from mcpgateway.config.client import LEFT_OUT, ClientServers
from mcpgateway.config.document import Document, Place, dotted
from mcpgateway.config.edit.edits import MISSING, Put, at, changed, same
from mcpgateway.config.entry import Entry, Origin, Scope, read_program, read_server, url_of
from mcpgateway.config.environment import FULL
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.load import EnrolledServers
from mcpgateway.config.model import ClientFile
from mcpgateway.config.ours import original_of
from mcpgateway.config.problems import Problems, Where
from mcpgateway.errors import ConfigError

SINGLE = "single"
SWITCHES = ("disabled", "enabled")
DIGEST_CHARACTERS = 12  # enough to distinguish versions of an entry


KEPT = "the servers that it listed when it was enrolled are served until it can be read"


@frozen(eq=False, repr=False)
class EnrolledFileReader:
    """A client's enrolled file, and its record.

    :ivar value: its content; `MISSING` where it cannot be read at the moment.
    :ivar entries: the enrolled entries, by their key paths.
    :ivar project: the directory of the project that it lies in, or "".
    :ivar is_watched: entries that are added to it are to be enrolled, too.
    :ivar is_trusted: entries that other users may have written may run.
    :ivar opted_out: the servers that stay their client's own.
    :ivar registered_at: the time of its first enrolment, in seconds since the epoch; 0 where unknown.
    """

    path: str
    dialect: ClientDialect
    value: Any = field(repr=False)
    entries: Mapping[KeyPath, EnrolledEntry] = field(repr=False)
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
        :param rank: the rank of the file among those of its scope.
        """
        base = LocalGateway(gateway.http_port, frozenset((gateway.bind_address, *gateway.allowed_hosts)))
        return read_enrolled(evolve(self, opted_out=opted_out), base, rank, problems)


def read_enrolled(
    file: EnrolledFileReader, base: LocalGateway, rank: int, problems: Problems
) -> EnrolledServers:
    """Read the servers of a client's file that uses the gateway."""
    return _Reading(file, also_former(base, file.dialect, file.entries), rank, problems).read()


def also_former(
    base: LocalGateway, dialect: ClientDialect, entries: Mapping[KeyPath, EnrolledEntry]
) -> LocalGateway:
    """Return the gateway's addresses, with the former ports of enrolled entries."""
    target = (dialect.target_of(key_path, each.replaced.ours) for key_path, each in entries.items())
    ports = {port_of(each[0]) for each in target if len(each) == 1 and "://" in each[0]}
    return evolve(base, former=base.former | {each for each in ports if each is not None})


def enrolled_in(
    value: Any, dialect: ClientDialect, entries: Mapping[KeyPath, EnrolledEntry], base: LocalGateway
) -> dict[KeyPath, EnrolledEntry]:
    """Return the enrolled entries of a file, by their present key paths."""
    found: dict[KeyPath, EnrolledEntry] = {}
    for listed in dialect.listed(value, base):
        enrolled = _enrolled(listed, entries, found)
        if enrolled is not None:
            found[listed.key_path] = enrolled
    return found


def newcomers(
    value: Any,
    dialect: ClientDialect,
    entries: Mapping[KeyPath, EnrolledEntry],
    base: LocalGateway,
    project: str = "",
) -> frozenset[str]:
    """Return the titles of the programs in a file without enrolled entries that were added since its enrolment."""
    listed = [each for each in dialect.listed(value, base, project) if each.kind is EntryKind.PROGRAM]
    return frozenset(
        each.title
        for each in listed
        if each.key_path not in entries
        or _former(entries[each.key_path], dialect, base, project) != each.program
    )


def _former(
    enrolled: EnrolledEntry, dialect: ClientDialect, base: LocalGateway, project: str
) -> Program | None:
    """Return the original program of an enrolled entry."""
    key_path, former = enrolled.replaced.key_path, enrolled.replaced.former
    if former is None:
        return None
    listed = dialect.listed(changed({}, Put(key_path, former), ""), base, project)
    return listed[0].program if listed else None


def _original(dialect: ClientDialect, key_path: KeyPath, now: Any, replaced: ReplacedEntry) -> Any:
    """Return the value that counts for an enrolled entry: its original, with the client's changes."""
    if isinstance(replaced.former, Mapping) and isinstance(now, Mapping):
        return as_changed(dialect, key_path, replaced, now)
    return replaced.former


def _enrolled(
    listed: ClientEntry, entries: Mapping[KeyPath, EnrolledEntry], taken: Mapping[KeyPath, EnrolledEntry]
) -> EnrolledEntry | None:
    here = entries.get(listed.key_path)
    if here is not None and same(listed.value, here.replaced.ours):
        return here  # also with a former port of the gateway
    if listed.kind is not EntryKind.ENROLLED:
        return None
    if here is not None and here.name == listed.served:
        return here
    # The user has renamed or copied it; its URL or command identifies it.
    same_name = [each for each in entries.values() if each.name == listed.served]
    free = (each for each in same_name if not any(each is one for one in taken.values()))
    return next(free, next(iter(same_name), None))


@define(eq=False, repr=False)
class _Reading:
    """One reading of one file."""

    file: EnrolledFileReader
    base: LocalGateway
    rank: int
    problems: Problems
    _ours: dict[KeyPath, EnrolledEntry] = field(factory=dict)
    _off: set[KeyPath] = field(factory=set)
    _entries: list[Entry] = field(factory=list)
    _remotes: list[str] = field(factory=list)

    def read(self) -> EnrolledServers:
        """Read the whole file."""
        file = self.file
        is_known = file.value is not MISSING and not self._is_cut_short()
        before = file.dialect.listed(file.value, self.base, file.project) if is_known else ()
        value = self._as_without_us(file.value if is_known else {}, is_known=is_known)
        listed = file.dialect.listed(value, self.base, file.project)
        for each in listed:
            self._take(each)
        is_standing = is_known and not file.suspended
        every = (each.name for each in file.entries.values() if each.name)
        names = self._standing(before) if is_standing else every
        shown = ClientFile(
            file.dialect.name,
            file.dialect.title,
            file.path,
            file.mode,
            file.project,
            tuple(dict.fromkeys(names)),
            file.suspended,
            len(self._remotes),
            tuple(self._unsettled(before)) if is_standing else (),
            file.registered_at,
        )
        return EnrolledServers(
            ClientServers(tuple(self._entries), tuple(self._remotes)), shown, self._projects(value)
        )

    def _is_cut_short(self) -> bool:
        """True if all entries are gone, and their table with them; a user who removes servers leaves the table."""
        file = self.file
        held = file.value if isinstance(file.value, Mapping) else {}
        places = [held.get(table[0]) for table in file.dialect.tables]
        if not file.entries or any(isinstance(each, Mapping | list) for each in places):
            return False
        self.problems.warn(Where(file.path), "has lost all its servers at once", KEPT)
        return True

    # The content without the gateway

    def _as_without_us(self, value: Any, *, is_known: bool) -> Any:
        file = self.file
        if not is_known:
            self._ours = dict(file.entries)
            put = {key_path: enrolled.replaced.former for key_path, enrolled in file.entries.items()}
        else:
            self._ours = enrolled_in(value, file.dialect, file.entries, self.base)
            put = {
                key_path: _original(file.dialect, key_path, at(value, key_path), enrolled.replaced)
                for key_path, enrolled in self._ours.items()
            }
            put |= self._behind_the_one(value)
        for key_path, former in put.items():
            if former is not None:
                value = self._put(value, key_path, former)
        for each in file.dialect.listed(value, self.base):
            if each.kind is EntryKind.OFF and isinstance(each.value, Mapping):
                self._off.add(each.key_path)
                on = {key: word for key, word in each.value.items() if key not in SWITCHES}
                value = self._put(value, each.key_path, on)
        return value

    def _put(self, value: Any, key_path: KeyPath, wanted: Any) -> Any:
        try:
            return changed(value, Put(key_path, wanted), self.file.path)
        except ConfigError as why:
            self.problems.catch(why, self.file.path, LEFT_OUT, is_error=False)
            return value

    def _behind_the_one(self, value: Any) -> dict[KeyPath, Any]:
        """Return the originals behind the single entry for all servers, as long as that entry exists."""
        listed = self.file.dialect.listed(value, self.base)
        if self.file.mode != SINGLE or not any(
            each.kind is EntryKind.ENROLLED and not each.served for each in listed
        ):
            return {}
        return {
            key_path: enrolled.replaced.former
            for key_path, enrolled in self.file.entries.items()
            if enrolled.replaced.ours is None and at(value, key_path) is MISSING
        }

    # One entry

    def _take(self, listed: ClientEntry) -> None:
        own = Problems()
        match listed.kind:
            case EntryKind.PROGRAM if listed.program is not None:
                self._take_program(listed, listed.program, own)
            case EntryKind.ENROLLED:
                try:
                    original = self._original(listed)
                except ConfigError as why:
                    own.warn(self._where(listed), str(why))
                else:
                    if original:
                        self._take_program(listed, original, own)
            case EntryKind.REMOTE if (enrolled := self._enrolled_remote(listed)) is not None:
                self._take_remote(listed, enrolled, own)
            case EntryKind.REMOTE if listed.key_path not in self._off:
                self._remotes.append(url_of(listed.value))
            case EntryKind.UNUSABLE:
                own.warn(self._where(listed), listed.why)
        self.problems.soften(own, LEFT_OUT)

    def _take_program(self, listed: ClientEntry, program: Program, problems: Problems) -> None:
        enrolled = self._enrolled(listed, program)
        if enrolled is None and self.file.project:
            return  # an entry that others may have written waits for the user's approval
        if listed.project and not listed.project.startswith("/"):
            return  # a relative path, whose root is not known
        entry = read_program(_place(self.file.path, listed, program), self._origin(listed), problems)
        if entry is not None:
            enabled = listed.key_path not in self._off
            self._entries.append(
                evolve(entry, enabled=enabled, enrolled_as=enrolled.name if enrolled else "")
            )

    def _enrolled_remote(self, listed: ClientEntry) -> EnrolledEntry | None:
        """Return the enrolled entry behind an entry with a URL, unless its server may be another user's."""
        enrolled = self._ours.get(listed.key_path)
        if enrolled is not None and not self.file.project:
            return enrolled
        enrolled = enrolled or self.file.entries.get(listed.key_path)
        return enrolled if enrolled is not None and same(enrolled.replaced.former, listed.value) else None

    def _take_remote(self, listed: ClientEntry, enrolled: EnrolledEntry, problems: Problems) -> None:
        if listed.project and not listed.project.startswith("/"):
            return  # a relative path, whose root is not known
        try:
            definition = remote_of(self.file.dialect, listed, self.file.project)
        except ConfigError as why:
            problems.warn(self._where(listed), str(why))
            return
        place = Place(Document(self.file.path, None, lambda _path: 0), listed.key_path, definition)
        entry = read_server(listed.title, place, self._origin(listed), problems)
        if entry is not None:
            enabled = listed.key_path not in self._off
            self._entries.append(evolve(entry, enabled=enabled, enrolled_as=enrolled.name))

    def _original(self, listed: ClientEntry) -> Program | None:
        """Return the program behind a relay of the gateway that a user has written by hand."""
        value = listed.value if isinstance(listed.value, Mapping) else {}
        command, args = value.get("command"), value.get("args") or []
        words = command if isinstance(command, list) else [command, *args]
        if not all(isinstance(each, str) for each in words):
            return None
        original = original_of(tuple(words)) if words else None
        env = value.get("env") or value.get("environment") or {}
        return self.file.dialect.behind(listed, original, env) if original else None

    def _enrolled(self, listed: ClientEntry, program: Program) -> EnrolledEntry | None:
        """Return the enrolled entry that corresponds to an entry, unless another user may have changed its program."""
        enrolled = self._ours.get(listed.key_path)
        if enrolled is not None and not self.file.project:
            return enrolled
        enrolled = enrolled or self.file.entries.get(listed.key_path)
        return (
            enrolled
            if enrolled is not None
            and _former(enrolled, self.file.dialect, self.base, self.file.project) == program
            else None
        )

    def _origin(self, listed: ClientEntry) -> Origin:
        file, project = self.file, listed.project or self.file.project
        words = f"{file.path}, project {project}" if listed.project else file.path
        if project:
            return Origin(Scope.PROJECT, words, project, project=project, env_policy=FULL, rank=self.rank)
        directory = file.path.rpartition("/")[0] or "/"
        return Origin(Scope.USER, f"{words}, user scope", directory, env_policy=FULL, rank=self.rank)

    def _where(self, listed: ClientEntry) -> Where:
        return Where(self.file.path, 0, dotted(listed.key_path))

    # Findings about the file

    def _unsettled(self, listed: tuple[ClientEntry, ...]) -> Iterator[str]:
        if not self.file.is_watched:
            return
        out = self.file.opted_out
        for each in listed:
            ids = {each.title, f"{self.file.dialect.name}:{each.title}"}
            if each.kind is EntryKind.PROGRAM and self.file.is_trusted and not ids & out:
                yield f"{dotted(each.key_path)} is not enrolled: {_digest(each.value)}"
            elif each.key_path in self._ours and self._leads_elsewhere(each):
                yield f"{dotted(each.key_path)} has another port"
            elif each.key_path in self._ours and self._lacks_project(each):
                yield f"{dotted(each.key_path)} does not name its project"
            elif each.key_path in self._ours and self._is_taken_back(each):
                yield f"{dotted(each.key_path)} has a command beside its URL: {_digest(each.value)}"
        there = {id(each) for each in self._ours.values()}
        for key_path, enrolled in self.file.entries.items():
            if enrolled.replaced.ours is not None and id(enrolled) not in there:
                yield f"{dotted(key_path)} is not there"

    def _is_taken_back(self, listed: ClientEntry) -> bool:
        """Return whether a user has written a command beside the gateway's URL."""
        return bool(self.file.dialect.command_beside(listed.key_path, listed.value))

    def _standing(self, listed: tuple[ClientEntry, ...]) -> Iterator[str]:
        """Iterate over the names of the servers whose entries use the gateway."""
        taken_back = {each.key_path for each in listed if self._is_taken_back(each)}
        standing = {id(each) for key_path, each in self._ours.items() if key_path not in taken_back}
        is_single = any(not each.name for each in self._ours.values())
        for each in self.file.entries.values():
            if each.name and (id(each) in standing or (each.replaced.ours is None and is_single)):
                yield each.name

    def _lacks_project(self, listed: ClientEntry) -> bool:
        project = listed.project or self.file.project
        return bool(project) and not self.file.dialect.names_project(listed.key_path, listed.value, project)

    def _leads_elsewhere(self, listed: ClientEntry) -> bool:
        if listed.kind is not EntryKind.ENROLLED:
            return True
        target = self.file.dialect.target_of(listed.key_path, listed.value)
        port = port_of(target[0]) if len(target) == 1 and "://" in target[0] else None
        return port is not None and self.base.port not in (port, 0)

    def _projects(self, value: Any) -> tuple[str, ...]:
        listed = value.get("projects") if isinstance(value, Mapping) else None
        paths = [path for path in listed if path.startswith("/")] if isinstance(listed, Mapping) else []
        return tuple(paths + ([self.file.project] if self.file.project else []))


def _place(file: str, listed: ClientEntry, program: Program) -> Place:
    value: dict[str, Any] = {"command": program.command, "args": list(program.args), "env": dict(program.env)}
    if program.cwd:
        value["cwd"] = program.cwd
    return Place(Document(file, None, lambda _path: 0), listed.key_path, value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
