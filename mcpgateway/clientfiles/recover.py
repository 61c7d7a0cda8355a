"""Entries that use the gateway and are in no ledger: the search for their originals, and the restoring of these.

Such entries remain where the ledger was lost, or where they were copied from another machine.  The original is searched
for in this order:

1. behind the ``--`` of the entry itself;
2. among the entries of other clients under that name, which the ledger knows;
3. in the gateway's own configuration;
4. in earlier versions of the file that the gateway or its client has kept;
5. in the cache of launches, which knows a program but not its variables.

A rebuilt entry is its client's own from then on, and counts as such in the ledger.  ``<home>/rebuilt.json`` records the
rebuilt entries, so that a later report says that such an entry is not what its user has written.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.files import FileLocation, listed_in, recorded_sites
from mcpgateway.clientfiles.formats import rewrite, syntax
from mcpgateway.clientfiles.formats.client_format import EACH, ClientDialect, ClientEntry, EntryKind, Program
from mcpgateway.clientfiles.formats.program import ProgramKeys
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest, UntouchedEntry
from mcpgateway.clientfiles.report import FileReport, reason
from mcpgateway.clientfiles.transaction import FILE_LIMIT
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING
from mcpgateway.config.entry import Scope
from mcpgateway.config.expand import unescaped
from mcpgateway.config.names import slug
from mcpgateway.config.ours import original_of
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import files, home_files
from mcpgateway.system.launch.cache import LaunchCache

VERSIONS_LIMIT = 50
FILE = "rebuilt.json"
BYTES_LIMIT = 1_048_576
ENTRIES_LIMIT = 1000  # beyond it, the oldest are dropped


@frozen
class FoundOriginal:
    """The original of an entry.

    :ivar source: the place where it was found.
    :ivar value: its value as written in this very file, or None.
    :ivar program: its program, where it was found outside of this file.
    """

    source: str
    value: Any = field(default=None, repr=False)
    program: Program | None = field(default=None, repr=False)


def rebuilt(machine: Machine, site: FileLocation, wanted: EnrolRequest) -> FileReport | None:
    """Restore the entries of a file that use the gateway without being in the ledger, where originals are found."""
    work = RebuildEdit(machine, site, wanted.servers)
    report = FileReport.of(site)
    try:
        if not work.is_needed():
            return None
        changed = machine.ledger.change(site.path, work, lock=site.lock)
    except FileNotFoundError:
        return None
    except ConfigError as why:
        return evolve(report, error=reason(site, why))
    if work.written:
        remember(machine.home, site.path, work.written)
    return evolve(report, changed=changed is not None, rebuilt=dict(work.sources), left=tuple(work.left))


@define(eq=False, repr=False)
class RebuildEdit:
    """The edit that restores entries which use the gateway and are not in the ledger.

    :param servers: the titles or names of the entries; none means all.
    :ivar sources: the source of each original, by title.
    :ivar written: the restored value of each and its source, by key path.
    :ivar left: the entries without a known original.
    """

    machine: Machine
    site: FileLocation
    servers: tuple[str, ...] = ()
    sources: dict[str, str] = field(factory=dict)
    written: dict[tuple[str, ...], tuple[Any, str]] = field(factory=dict, repr=False)
    left: list[UntouchedEntry] = field(factory=list)

    def is_needed(self) -> bool:
        """True if the file has such entries.

        :raise ConfigError: it cannot be read.
        """
        text = files.read_text(self.site.path, FILE_LIMIT)
        return bool(text.strip()) and bool(self._lost(text, self.machine.record_of(self.site.path)))

    def __call__(self, text: str, record: FileRecord | None) -> EditResult:
        """Return the edited text for a text and the record of its file.

        :raise ConfigError: the text is malformed, or cannot be changed.
        """
        self.sources, self.written, self.left = {}, {}, []
        wanted: list[tuple[tuple[str, ...], Any]] = []
        for listed in self._lost(text, record):
            value, source = self._original(listed)
            if value is None:
                self.left.append(_left(listed))
            else:
                wanted.append((listed.key_path, value))
                self.sources[listed.title] = source
                self.written[tuple(listed.key_path)] = (value, source)
        made, _ = rewrite.replace(text, self.site.path, wanted)
        return EditResult(made, record)

    def _lost(self, text: str, record: FileRecord | None) -> list[ClientEntry]:
        known = {} if record is None or record.suspended else record.entries
        names = {each.name for each in known.values()}
        values = syntax.read(text, self.site.path, self.site.dialect)
        return [
            each
            for each in listed_in(self.site, values, self.machine.base)
            if each.kind is EntryKind.ENROLLED
            and each.key_path not in known
            and each.served not in names
            and (not self.servers or {each.title, each.served} & set(self.servers))
        ]

    def _original(self, listed: ClientEntry) -> tuple[Any, str]:
        if not listed.served:
            return None, ""
        for look in (self._behind, self._of_others, self._configured, self._of_former, self._launched):
            found = next(look(listed), None)
            if found is None:
                continue
            if found.value is not None:
                return found.value, found.source
            if found.program is not None:
                return self._as_written(listed, found.program), found.source
        return None, ""

    def _as_written(self, listed: ClientEntry, program: Program) -> dict[str, Any]:
        """Return a program in the keys of this file's client."""
        dialect = self.site.dialect
        argv = tuple(map(unescaped, (program.command, *program.args)))
        value = dict(dialect.by_command(listed, argv))
        words = _words(dialect, listed.key_path)
        if program.env and not value.get(words.env):
            value[words.env] = {name: unescaped(each) for name, each in program.env.items()}
        if program.cwd:
            value.setdefault("cwd", unescaped(program.cwd))
        return value

    # The places to search

    def _behind(self, listed: ClientEntry) -> Iterator[FoundOriginal]:
        argv = self.site.dialect.target_of(listed.key_path, listed.value)
        original = original_of(argv) if argv else None
        if original:
            value = self.site.dialect.by_command(listed, original)
            yield FoundOriginal("the command behind it", value)

    def _of_others(self, listed: ClientEntry) -> Iterator[FoundOriginal]:
        for site in recorded_sites(self.machine.records):
            record = self.machine.record_of(site.path)
            for key_path, each in (record.entries if record else {}).items():
                if each.name != listed.served or each.replaced.former is None:
                    continue
                program = _program(site, key_path, each.replaced.former, self.machine)
                if program is not None:
                    is_same = site.dialect.name == self.site.dialect.name
                    yield FoundOriginal(site.path, each.replaced.former if is_same else None, program)

    def _configured(self, listed: ClientEntry) -> Iterator[FoundOriginal]:
        with suppress(ConfigError):
            blueprint = self.machine.settings.blueprints.get(listed.served)
            if (
                blueprint is not None
                and blueprint.entry.argv
                and blueprint.entry.origin.scope is Scope.NATIVE
            ):
                entry = blueprint.entry
                program = Program(entry.argv[0], tuple(entry.argv[1:]), dict(entry.env), entry.cwd)
                yield FoundOriginal("the gateway's configuration", None, program)

    def _of_former(self, listed: ClientEntry) -> Iterator[FoundOriginal]:
        for path in self._versions():
            with suppress(ConfigError, OSError):
                text = files.read_text(path, FILE_LIMIT)
                values = syntax.read(text, self.site.path, self.site.dialect)
                value = edits.at(values, listed.key_path)
                if (
                    value is not MISSING
                    and _program(self.site, listed.key_path, value, self.machine) is not None
                ):
                    yield FoundOriginal("an earlier version of the file", value)

    def _versions(self) -> list[str]:
        backups = self.machine.ledger.backups.directory
        directory, name = os.path.split(os.path.realpath(self.site.path))
        # Claude Code keeps its own versions, beside its other files.
        pattern = os.path.join(glob.escape(directory), "*", "backups", f"{glob.escape(name)}.backup.*")
        hidden = os.path.join(glob.escape(directory), ".*", "backups", f"{glob.escape(name)}.backup.*")
        own = os.path.join(glob.escape(directory), "backups", f"{glob.escape(name)}.backup.*")
        found = [*glob.glob(os.path.join(glob.escape(backups), "*")), *glob.glob(pattern), *glob.glob(hidden)]
        found += glob.glob(own)
        return sorted(found, key=_age)[:VERSIONS_LIMIT]

    def _launched(self, listed: ClientEntry) -> Iterator[FoundOriginal]:
        known = LaunchCache(self.machine.home).all()
        fitting = {each.program for each in known if each.program and _is_called(each.package, listed.served)}
        if len(fitting) == 1:
            yield FoundOriginal("the cache of launches, without its variables", None, Program(fitting.pop()))


def _words(dialect: ClientDialect, key_path: tuple[str, ...]) -> ProgramKeys:
    """Return the keys of a client for a program."""
    tables = dialect.tables.items()
    fitting = (
        shape.words
        for table, shape in tables
        if len(table) == len(key_path) - 1
        and all(one in (EACH, two) for one, two in zip(table, key_path, strict=False))
    )
    return next(fitting, ProgramKeys())


def _program(site: FileLocation, key_path: tuple[str, ...], value: Any, machine: Machine) -> Program | None:
    """Return the program that the client starts for an entry."""
    whole: Any = value
    for step in reversed(key_path):
        whole = {step: whole}
    listed = listed_in(site, whole, machine.base)
    return next((each.program for each in listed if each.key_path == key_path), None)


def _left(listed: ClientEntry) -> UntouchedEntry:
    name = listed.served or listed.title
    return UntouchedEntry(
        listed.title,
        f"uses the gateway as '{name}', and its original is not known",
        "add it again in the client, or define it in the configuration:"
        f" {cli('config explain servers')}, then {cli('clients undo --server {}', slug(name))}",
    )


def _is_called(package: str, name: str) -> bool:
    bare = package.rpartition("/")[2]
    fitting: Mapping[str, None] = dict.fromkeys(
        (bare, bare.removeprefix("server-"), bare.removeprefix("mcp-server-"), bare.removesuffix("-mcp"))
    )
    return name in fitting


def _age(path: str) -> float:
    try:
        return -os.stat(path).st_mtime
    except OSError:
        return 0.0


# The record of rebuilt entries


def remember(home: str, path: str, entries: Mapping[tuple[str, ...], tuple[Any, str]]) -> None:
    """Record the rebuilt entries of a file; a failure of that is ignored.

    :param path: the path of the client's file.
    :param entries: the values by their key paths, each with its source.
    """
    known = _rebuilt_entries(home)
    for key_path, (value, source) in entries.items():
        known[_key(path, key_path)] = [_digest(value), source]
    data = json.dumps(dict(list(known.items())[-ENTRIES_LIMIT:])).encode()
    with suppress(ConfigError):
        home_files.keep(os.path.join(home, FILE), data, lasting=False)


def source_of(home: str, path: str, key_path: Sequence[str], value: Any) -> str:
    """Return the source of a rebuilt entry; empty for one that its user has written, or has changed since."""
    rebuilt = _rebuilt_entries(home).get(_key(path, key_path))
    match rebuilt:
        case [str(digest), str(source)] if digest == _digest(value):
            return source
    return ""


def _rebuilt_entries(home: str) -> dict[str, Any]:
    try:
        found = json.loads(home_files.read_text(os.path.join(home, FILE), BYTES_LIMIT))
    except (OSError, ValueError, ConfigError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(path: str, key_path: Sequence[str]) -> str:
    return json.dumps([os.path.realpath(path), *key_path])


def _digest(value: Any) -> str:
    # The value may hold secrets, which are not kept here.
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
