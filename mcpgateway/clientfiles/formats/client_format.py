"""The form in which a client writes its servers: the entries of its file, and those that use the gateway.

# Note [What is kept]
An enrolled entry keeps every key that does not concern the connection to the server: allowed tools, timeouts, notes.
They are the client's, and the gateway does not act on them.  The keys in `REACH` are replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import pairwise
from math import isfinite
from typing import Any
from urllib.parse import quote

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.formats import loopback
from mcpgateway.clientfiles.formats.loopback import LocalGateway
from mcpgateway.clientfiles.formats.program import Program, ProgramKeys, argv_of, read_program
from mcpgateway.config.document import printable
from mcpgateway.config.ours import server_of
from mcpgateway.config.reach import PROGRAM_TYPES
from mcpgateway.errors import ConfigError

__all__ = [
    "EACH",
    "NAME",
    "TARGET",
    "URL",
    "ClientDialect",
    "ClientEntry",
    "EntryFormat",
    "EntryKind",
    "KeyPath",
    "LocalGateway",
    "Program",
    "served_by",
]

KeyPath = tuple[str, ...]

# A step in the key path of a table that stands for any key, which is the directory of a project.
EACH = "*"
# The header with the project of an entry; its path is URL-encoded, and so holds nothing that a client expands.
PROJECT_HEADER = "Mcp-Project-Path"
# In a list, the key of an item that holds its server's name.
NAME = "name"
# In the format of an entry: the place of the URL.
URL = "{url}"
ELSEWHERE = "belongs to another gateway that runs, that of "
URL_KEYS = ("url", "httpUrl", "serverUrl", "baseUrl", "uri")
# The keys that concern the connection to a server.
REACH = frozenset(
    (
        *URL_KEYS,
        *("type", "transport", "transportType", "command", "args", "env", "environment", "cwd", "envFile"),
        *("cmd", "envs", "env_keys", "env_vars"),
    )
)
# Of these, the keys of the URL or command; the others are for a program and change nothing where there is none.
TARGET = frozenset((*URL_KEYS, *("type", "transport", "transportType", "command", "args", "cmd")))


class EntryKind(Enum):
    """The kind of an entry, as the gateway sees it."""

    PROGRAM = "program"
    ENROLLED = "ours"
    REMOTE = "remote"
    OFF = "off"
    UNUSABLE = "odd"


@frozen
class ClientEntry:
    """One entry of a client's file.

    :ivar key_path: its key path, in which an item of a list is named by its name.
    :ivar project: the directory of the project that it is for, where the file names one.
    :ivar why: the reason why an unusable entry is unusable.
    :ivar program: the program that the client would start; None for other kinds.
    :ivar served: the name of the server of an entry that uses the gateway; "" for the single entry for all servers.
    :ivar owner: the home of another gateway that runs, to which the entry leads; the entry is unusable here.
    """

    title: str
    key_path: KeyPath
    value: Any = field(repr=False)
    kind: EntryKind
    project: str = ""
    why: str = ""
    program: Program | None = None
    served: str = ""
    owner: str = ""


@frozen
class EntryFormat:
    """The form of the entries of a table.

    :ivar url: the keys of an entry with a URL, in their order; none where the client has no such entries.
    :ivar words: the keys of an entry with a program.
    :ivar nests: the key below which some entries have the keys of the connection.
    :ivar fresh: further keys of a new entry; `NAME` stands for its title.
    :ivar helper: further keys of an entry with a URL, by which the client sends its process id and directory.
    :ivar headers: the key path of the headers that the client sends.
    """

    url: tuple[tuple[str, str], ...] = (("url", URL),)
    words: ProgramKeys = field(factory=ProgramKeys)
    nests: str = ""
    fresh: Mapping[str, Any] = field(factory=dict)
    helper: Mapping[str, Any] = field(factory=dict)
    headers: KeyPath = ("headers",)


@frozen
class ClientDialect:
    """The form in which one client writes its servers.

    :ivar name: its name on the command line.
    :ivar title: its name in texts.
    :ivar tables: the key paths of its tables of servers, and the format of their entries; new entries go to the first.
    :ivar user: the user's files: see `mcpgateway.clientfiles.formats.locations`.
    :ivar project: the files of a project, relative to it; a ``*`` stands for any name.
    :ivar is_strict: the client takes JSON without comments only.
    :ivar has_lock: the client takes a lock before it writes its user's file; see `mcpgateway.clientfiles.transaction`.
    :ivar empty: the content of a file without servers, where the client could not read new entries otherwise.
    """

    name: str
    title: str
    tables: Mapping[KeyPath, EntryFormat]
    user: Mapping[str, tuple[str, ...]] = field(factory=dict)
    project: tuple[str, ...] = ()
    is_strict: bool = False
    has_lock: bool = False
    empty: str = ""

    def listed(self, document_value: Any, base: LocalGateway, project: str = "") -> tuple[ClientEntry, ...]:
        """Return the entries of a file, in its order.

        :param document_value: the value of the file; see `mcpgateway.clientfiles.formats.syntax.read`.
        :param base: the gateway's own URLs.
        :param project: the directory of the project that the file lies in, or "".
        """
        return tuple(
            _listed(
                shape,
                ClientEntry(title, (*key_path, title), value, EntryKind.UNUSABLE, inside),
                base,
                inside or project,
            )
            for table, shape in self.tables.items()
            for key_path, inside, held in _walk(document_value, table, ())
            for title, value in members(held)
        )

    def by_url(self, listed: ClientEntry, url: str, *, helper: bool = False, project: str = "") -> Any:
        """Return the value of an entry that uses the gateway by a URL; see Note [What is kept].

        :param helper: the client sends its process id and directory, where it can.
        :param project: the directory of the project that the entry is for, which the client is to send, or "".
        :raise ConfigError: the client takes no URLs.
        """
        shape = self.shape_of(listed.key_path)
        if not shape.url:
            raise ConfigError(
                f"{self.title} takes no URL in its file, so {printable(listed.title)} can only be reached with a"
                " command there: use --fail-open"
            )
        put: dict[str, Any] = {key: url if each == URL else each for key, each in shape.url}
        value = _mapping(listed.value)
        if shape.nests and isinstance(value.get(shape.nests), Mapping):
            put = {shape.nests: put}
        if helper:
            put |= {key: each for key, each in shape.helper.items() if key not in value}
        if project:
            put = _with_header({**value, **put}, put, shape.headers, PROJECT_HEADER, quote(project))
        return _in_place(value, put, REACH)

    def by_command(self, listed: ClientEntry, argv: Sequence[str]) -> Any:
        """Return the value of an entry that uses the gateway by a command.

        Its variables and its directory stay, since the command may have to run the original.
        """
        shape = self.shape_of(listed.key_path)
        value = _mapping(listed.value)
        if shape.nests and isinstance(inner := value.get(shape.nests), Mapping):
            return {**value, shape.nests: _by_command(inner, argv, shape.words)}
        return _by_command(value, argv, shape.words)

    def fresh(self, title: str, table: KeyPath | None = None) -> ClientEntry:
        """Return a new entry, for `by_url` and `by_command`.

        :param table: the key path of its table; by default, that of the servers of the client's user.
        """
        table = next(iter(self.tables)) if table is None else table
        listed = ClientEntry(title, (*table, title), {}, EntryKind.UNUSABLE)
        fresh = self.shape_of(listed.key_path).fresh
        return evolve(listed, value={key: title if each == NAME else each for key, each in fresh.items()})

    def project_of(self, key_path: KeyPath) -> str:
        """Return the directory of the project that the place of an entry in its file names; else ""."""
        table = next((each for each in self.tables if _fits(key_path[:-1], each)), ())
        return next((step for key, step in zip(table, key_path, strict=False) if key == EACH), "")

    def names_project(self, key_path: KeyPath, value: Any, project: str) -> bool:
        """True if an enrolled entry names its project."""
        if not isinstance(value, Mapping):
            return False
        shape = self.shape_of(key_path)
        argv = argv_of(reached(value, shape), shape.words)
        if not url_of(reached(value, shape)):
            return ("--project", project) in pairwise(argv)
        held: Any = value
        for key in (*shape.headers, PROJECT_HEADER):
            held = held.get(key) if isinstance(held, Mapping) else None
        return bool(held == quote(project))

    def target_of(self, key_path: KeyPath, value: Any) -> tuple[str, ...]:
        """Return the URL of an entry, or its program with arguments; () where neither is known."""
        if not isinstance(value, Mapping):
            return ()
        shape = self.shape_of(key_path)
        value = reached(value, shape)
        url = url_of(value)
        return (url,) if url else argv_of(value, shape.words)

    def command_beside(self, key_path: KeyPath, value: Any) -> tuple[str, ...]:
        """Return the command that an entry has beside its URL; () if there is none, or a type decides for the URL."""
        shape = self.shape_of(key_path)
        value = reached(value, shape) if isinstance(value, Mapping) else {}
        word = value.get("type", value.get("transportType"))
        is_both = url_of(value) and word in (None, *PROGRAM_TYPES)
        return argv_of(value, shape.words) if is_both else ()

    def behind(self, listed: ClientEntry, argv: Sequence[str], env: Any) -> Program:
        """Return the program that ``mcpgateway connect`` starts where it cannot reach the gateway.

        :raise ConfigError: the program has a variable that only its client can fill in.
        """
        words = self.shape_of(listed.key_path).words
        return read_program({words.command: list(argv), words.env: env}, words)

    def shape_of(self, key_path: KeyPath) -> EntryFormat:
        """Return the form of the entries at a key path."""
        fitting = (shape for table, shape in self.tables.items() if _fits(key_path[:-1], table))
        return next(fitting, next(iter(self.tables.values())))


def members(held: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the entries of a table, which is a mapping, or a list whose items have names."""
    if isinstance(held, Mapping):
        yield from held.items()
    elif isinstance(held, list):
        # Of two items with one name, the key path leads to the first.
        named = {each[NAME]: each for each in reversed(held) if is_named(each)}
        yield from ((each[NAME], each) for each in held if is_named(each) and named[each[NAME]] is each)


def is_named(value: Any) -> bool:
    """True if the item of a list has a name, by which a key path can lead to it."""
    return isinstance(value, Mapping) and isinstance(value.get(NAME), str)


def _walk(
    value: Any, table: KeyPath, key_path: KeyPath, project: str = ""
) -> Iterator[tuple[KeyPath, str, Any]]:
    if not table:
        yield key_path, project, value
        return
    held = value if isinstance(value, Mapping) else {}
    for key in held if table[0] == EACH else (table[0],):
        if key in held:
            inside = key if table[0] == EACH else project
            yield from _walk(held[key], table[1:], (*key_path, key), inside)


def _fits(key_path: KeyPath, table: KeyPath) -> bool:
    return len(key_path) == len(table) and all(
        step in (EACH, key) for step, key in zip(table, key_path, strict=True)
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


# The kind of an entry


def _listed(shape: EntryFormat, listed: ClientEntry, base: LocalGateway, project: str) -> ClientEntry:
    if not isinstance(listed.value, Mapping):
        return evolve(listed, why="it is no mapping")
    value = reached(listed.value, shape)
    url = url_of(value)
    argv = argv_of(value, shape.words)
    target = (url,) if url else argv
    served = served_by(target, base)
    if served is not None:
        home = base.elsewhere(target)
        kind = EntryKind.UNUSABLE if home else EntryKind.ENROLLED
        return evolve(listed, kind=kind, served=served, owner=home, why=f"{ELSEWHERE}{home}" if home else "")
    if listed.value.get("disabled") is True or listed.value.get("enabled") is False:
        return evolve(listed, kind=EntryKind.OFF)
    word = value.get("type", value.get("transportType"))
    if url and not (argv and word in (None, *PROGRAM_TYPES)):
        return evolve(listed, kind=EntryKind.REMOTE)
    if word not in (None, *PROGRAM_TYPES):
        return evolve(listed, why=f"its type is '{printable(str(word))}', and it has no URL")
    if url:
        return evolve(listed, why="it has both a command and a URL")
    if any(loopback.server_of(each, base) is not None for each in argv if "://" in each):
        return evolve(listed, why="it is a relay of its user's own to the gateway")
    if not _is_plain(listed.value):
        return evolve(listed, why="it holds a date, or a number that is none")
    try:
        return evolve(listed, kind=EntryKind.PROGRAM, program=read_program(value, shape.words, project))
    except ConfigError as why:
        return evolve(listed, why=str(why))


def _is_plain(value: Any) -> bool:
    """True if a value can be recorded as JSON without loss."""
    match value:
        case Mapping():
            return all(map(_is_plain, value.values()))
        case list():
            return all(map(_is_plain, value))
        case float():
            return isfinite(value)
        case _:
            return value is None or isinstance(value, str | int)


def served_by(target: tuple[str, ...], base: LocalGateway) -> str | None:
    """Return the server of the gateway that a URL or command names, "" for all of them; None for any other."""
    if len(target) == 1 and "://" in target[0]:
        return loopback.server_of(target[0], base)
    return server_of(target)


def reached(value: Mapping[str, Any], shape: EntryFormat) -> Mapping[str, Any]:
    """Return an entry with its nested keys of the connection at the top."""
    inner = value.get(shape.nests) if shape.nests else None
    if not isinstance(inner, Mapping):
        return value
    return {**{key: each for key, each in value.items() if key != shape.nests}, **inner}


def url_of(value: Mapping[str, Any]) -> str:
    """Return the URL of an entry, or ""."""
    return next((value[key] for key in URL_KEYS if isinstance(value.get(key), str)), "")


# The enrolled value of an entry


def _with_header(
    value: Mapping[str, Any], put: Mapping[str, Any], key_path: KeyPath, header: str, text: str
) -> dict[str, Any]:
    """Return the new keys of an entry, with a header besides those that it has."""
    key, *rest = key_path
    held = _mapping(value.get(key))
    inner = _with_header(held, held, tuple(rest), header, text) if rest else {**held, header: text}
    return {**put, key: inner}


def _in_place(value: Mapping[str, Any], put: Mapping[str, Any], gone: frozenset[str]) -> dict[str, Any]:
    """Return a mapping in which some keys are replaced by others, which stand in the place of the first of them."""
    remaining = {key: each for key, each in value.items() if key not in gone or key in put}
    at = next((index for index, key in enumerate(value) if key in gone), len(remaining))
    before = [key for key in list(value)[:at] if key in remaining and key not in put]
    return {**{key: remaining[key] for key in before}, **put, **_without(remaining, {*before, *put})}


def _without(value: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in keys}


def _by_command(value: Mapping[str, Any], argv: Sequence[str], words: ProgramKeys) -> dict[str, Any]:
    put = words.command_of(argv)
    if isinstance(former := value.get(words.command), Mapping):
        # An older form of Zed has all keys below one.
        put |= {words.env: former["env"]} if former.get("env") else {}
    word = value.get("type")
    if word not in (None, *PROGRAM_TYPES) or (word is None and words.type and not value.get(words.command)):
        put = {"type": words.type, **put} if words.type else put
    gone = frozenset((*put, *URL_KEYS, words.args)) | (
        {"type"} if word not in (None, *PROGRAM_TYPES) else set()
    )
    return _in_place(value, put, gone)
