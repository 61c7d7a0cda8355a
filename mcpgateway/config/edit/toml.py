"""The positions of values in a TOML text, and their replacement.

# Note [One table, many places]
A key path may lead to a table with a header, with further tables below it that may stand anywhere in the file, to a
table in braces, or to nothing but dotted keys.  The table keeps the form in which it was written: the header stays in
its place, with the comment behind it, and only the lines below are replaced.  A text is split into statements, headers
and keys, each with its full path; tomllib reads their values.

# Note [Values by tomlkit, files not]
tomlkit 0.15 writes values here, but does not edit whole files: with the last key of a table it removes the comment
above the next table, and a table that is written in parts all over a file cannot be replaced in it.  Clients' files
belong to their users, so every comment stays.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import frozen

from mcpgateway.config.edit.edits import Edit, KeyPath, Put, Remove, Rename, Splice, at, newline_of, same
from mcpgateway.config.excerpt import syntax_error
from mcpgateway.config.problems import Problem, Where, Wrong
from mcpgateway.errors import ConfigError

# The parser takes about a second for a text of this size.
TEXT_LIMIT = 8 * 1_048_576
BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?\n|$)")
STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
BARE = re.compile(r"[A-Za-z0-9_-]+")
WORD = re.compile(
    r"[^\s,\[\]{}#]+(?: [0-9][^\s,\[\]{}#]*)?"
)  # a date and its time may have a blank between them
PLACE = re.compile(r"at line (\d+), column (\d+)")


@frozen
class TomlStatement:
    """A header, or a key with its value.

    :ivar table: the path of the header above it; for a header, its own.
    :ivar key_path: its own path.
    :ivar start: its position.
    :ivar parts: the positions of the parts of its key.
    :ivar value: the position of the value; -1 for a header.
    :ivar end: its end.
    :ivar is_array: the header begins one of several tables in a list.
    """

    table: KeyPath
    key_path: KeyPath
    start: int
    parts: Sequence[tuple[int, int]]
    value: int
    end: int
    is_array: bool = False

    @property
    def is_header(self) -> bool:
        """True if the statement begins a table."""
        return self.value < 0


def values(text: str, file: str) -> Any:
    """Return the content of a text.

    :raise ConfigError: the text is not TOML.
    """
    if len(text) > TEXT_LIMIT:
        raise Wrong(Problem(Where(file, 1), f"is larger than {TEXT_LIMIT} characters, the limit for TOML"))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        found = PLACE.search(str(why))
        line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 0)
        raise syntax_error(file, text, line, column, "is not valid TOML") from None
    except RecursionError:
        raise Wrong(Problem(Where(file, 1), "is nested too deeply")) from None


class _Reader:
    """A parser that splits valid TOML into statements."""

    def __init__(self, text: str) -> None:
        self._text = text

    def statements(self) -> Iterator[TomlStatement]:
        at = self._blank(0)
        table: KeyPath = ()
        while at < len(self._text):
            if self._text[at] == "[":
                found = self._header(at)
                table = found.key_path
            else:
                found = self._pair(at, table)
            yield found
            at = self._blank(found.end)

    def members(self, at: int, key_path: KeyPath) -> Iterator[TomlStatement]:
        """Iterate over the members of a table in braces."""
        at = self._blank(at + 1)
        while self._text[at] != "}":
            found = self._pair(at, key_path)
            yield found
            at = self._blank(found.end)
            at = self._blank(at + 1) if self._text[at] == "," else at

    def _header(self, start: int) -> TomlStatement:
        is_array = self._text.startswith("[[", start)
        key_path, parts = self._key(start + 1 + is_array)
        close = self._text.index("]", parts[-1][1]) + 1 + is_array
        return TomlStatement(key_path, key_path, start, parts, -1, close, is_array)

    def _pair(self, start: int, table: KeyPath) -> TomlStatement:
        key_path, parts = self._key(start)
        value = self._space(self._text.index("=", parts[-1][1]) + 1)
        return TomlStatement(table, (*table, *key_path), start, parts, value, self._value(value))

    def _key(self, at: int) -> tuple[KeyPath, list[tuple[int, int]]]:
        key_path: list[str] = []
        parts: list[tuple[int, int]] = []
        while True:
            at = self._space(at)
            found = STRING.match(self._text, at) or BARE.match(self._text, at)
            if found is None:
                raise _NotUnderstood
            key_path += tomllib.loads(f"{found[0]} = 0")
            parts.append(found.span())
            dot = self._space(found.end())
            if self._text[dot : dot + 1] != ".":
                return tuple(key_path), parts
            at = dot + 1

    def _value(self, at: int) -> int:
        if self._text[at] not in "[{":
            found = STRING.match(self._text, at) or WORD.match(self._text, at)
            if found is None:
                raise _NotUnderstood
            return found.end()
        depth = 0
        while True:
            at = self._blank(at)
            if self._text[at] in "[{":
                depth, at = depth + 1, at + 1
            elif self._text[at] in "]}":
                depth, at = depth - 1, at + 1
                if not depth:
                    return at
            else:
                found = STRING.match(self._text, at)
                at = found.end() if found else at + 1

    def _blank(self, at: int) -> int:
        found = BLANK.match(self._text, at)
        return found.end() if found else at

    def _space(self, at: int) -> int:
        found = SPACE.match(self._text, at)
        return found.end() if found else at


class _NotUnderstood(Exception):
    """A text is valid TOML, and cannot be split into statements here."""


class OpenedToml:
    """A text that has been parsed, in which changes can be worked out.

    :param key_paths: the key paths that are needed; all are read.
    :ivar value: its content.
    """

    def __init__(self, text: str, file: str, key_paths: Sequence[KeyPath] | None = None) -> None:
        self._text = text
        self._newline = newline_of(text)
        self._reader = _Reader(text)
        self.value = values(text, file)

    @cached_property
    def _statements(self) -> Sequence[TomlStatement]:
        return list(self._reader.statements())

    def change(self, change: Edit) -> list[Splice] | None:
        """Return the replacements of a change; None where it cannot be made."""
        try:
            return self._change(change)
        except (_NotUnderstood, IndexError, ValueError):
            return None

    def _change(self, change: Edit) -> list[Splice] | None:
        pair = self._pair(self._statements, change.key_path)
        own = [each for each in self._statements if each.key_path[: len(change.key_path)] == change.key_path]
        above = [each for each in self._statements if change.key_path[: len(each.key_path)] == each.key_path]
        if any(each.is_array for each in (*own, *above)):
            # The path does not identify one of the tables.
            return None
        match change:
            case Put(value=value) if pair is not None:
                return [Splice(pair.value, pair.end, inline(value))]
            case Put(value=value) if own:
                return self._exchange(own, change.key_path, value)
            case Put(key_path=key_path, value=value):
                return self._add(key_path, value)
            case Remove(key_path=key_path) if pair is not None:
                return self._take_pair(pair, key_path)
            case Remove() if own:
                return [self._lines(each) for each in self._runs(own)]
            case Rename(key_path=key_path, name=name) if pair is not None:
                return _renamed([pair], key_path, name)
            case Rename(key_path=key_path, name=name):
                return _renamed(own, key_path, name) or None
        return None

    def _pair(self, among: Iterable[TomlStatement], key_path: KeyPath) -> TomlStatement | None:
        """Return the statement with the value at a path, also within a table in braces; None for none."""
        for each in among:
            if each.is_header or key_path[: len(each.key_path)] != each.key_path:
                continue
            if each.key_path == key_path:
                return each
            if self._text[each.value] == "{":
                return self._pair(self._reader.members(each.value, each.key_path), key_path)
        return None

    # Tables and dotted keys

    def _exchange(self, own: list[TomlStatement], key_path: KeyPath, value: Any) -> list[Splice] | None:
        if not isinstance(value, Mapping):
            return None
        runs = list(self._runs(own))
        main = next((run for run in runs if run[0].is_header and run[0].key_path == key_path), None)
        former = at(self.value, key_path)
        stays = [
            run
            for run in runs
            if run is not (main or runs[0]) and _is_same(run, len(key_path), former, value)
        ]
        elsewhere = {each.key_path[len(key_path)] for run in stays for each in run}
        runs = [run for run in runs if run not in stays]
        value = {key: each for key, each in value.items() if key not in elsewhere}
        if main is not None:
            start, lead = self._end_of_line(main[0].end), self._newline
            text = "".join(f"{lead}{_key(key)} = {inline(each)}" for key, each in value.items())
            end = max(main[-1].end, start)
            return [Splice(start, end, text), *(self._lines(run) for run in runs if run is not main)]
        first = runs[0][0]
        if first.is_header:
            text = self._newline.join((f"[{_dotted(key_path)}]", *_lines(value)))
        else:
            lead = _dotted(key_path[len(first.table) :])
            text = self._newline.join(f"{lead}.{each}" for each in _lines(value))
            if not value:
                text = f"{lead} = {{}}"
        return [Splice(first.start, runs[0][-1].end, text), *map(self._lines, runs[1:])]

    def _runs(self, own: list[TomlStatement]) -> Iterator[list[TomlStatement]]:
        """Iterate over groups of adjacent statements; the table's own header begins a new group."""
        mine = {each.start for each in own}
        shortest = min(len(each.key_path) for each in own)
        run: list[TomlStatement] = []
        for each in self._statements:
            if run and each.is_header and each.start in mine and len(each.key_path) == shortest:
                yield run
                run = []
            if each.start in mine:
                run.append(each)
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _lines(self, run: Sequence[TomlStatement]) -> Splice:
        """Remove statements with their lines, and with the empty lines above them."""
        start = self._text.rfind("\n", 0, run[0].start) + 1
        rest = self._end_of_line(run[-1].end)
        after = self._text.find("\n", rest)
        end = len(self._text) if after < 0 else after + 1
        while run[0].is_header and start and not self._text[self._line_above(start) : start].strip():
            start = self._line_above(start)
        return Splice(start, end, "")

    def _line_above(self, at: int) -> int:
        return self._text.rfind("\n", 0, at - 1) + 1

    def _end_of_line(self, at: int) -> int:
        found = REST_OF_LINE.match(self._text, at)
        return found.end() if found else at

    def _add(self, key_path: KeyPath, value: Any) -> list[Splice] | None:
        for depth in range(len(key_path) - 1, 0, -1):
            pair = self._pair(self._statements, key_path[:depth])
            if pair is not None:
                return self._add_inside(pair, _nested(key_path[depth + 1 :], value), key_path[depth])
        if (not isinstance(value, Mapping) or len(key_path) > 2) and (
            found := self._add_beside(key_path, value)
        ):
            return found
        if not isinstance(value, Mapping):
            value, key_path = {key_path[-1]: value}, key_path[:-1]
        lead = "" if not self._text or self._text.endswith("\n") else self._newline
        lead += self._newline if self._text.strip() else ""
        text = self._newline.join((f"[{_dotted(key_path)}]" if key_path else "", *_lines(value)))
        return [Splice(len(self._text), len(self._text), lead + text + self._newline)]

    def _add_beside(self, key_path: KeyPath, value: Any) -> list[Splice]:
        """Add a key behind the last one of its table, in the same form."""
        holder = key_path[:-1]
        beside = [
            each
            for each in self._statements
            if len(each.table) <= len(holder)
            and (each.key_path == holder if each.is_header else each.key_path[: len(holder)] == holder)
        ]
        if beside:
            last = beside[-1]
            at = self._end_of_line(last.end)
            return [
                Splice(at, at, f"{self._newline}{_dotted(key_path[len(last.table) :])} = {inline(value)}")
            ]
        if not holder:
            return [Splice(0, 0, f"{_dotted(key_path)} = {inline(value)}{self._newline}")]
        return []

    # Between braces

    def _add_inside(self, pair: TomlStatement, value: Any, key: str) -> list[Splice] | None:
        if self._text[pair.value] != "{":
            return None
        held = list(self._reader.members(pair.value, pair.key_path))
        member = f"{_key(key)} = {inline(value)}"
        if held:
            return [Splice(held[-1].end, held[-1].end, f", {member}")]
        return [Splice(pair.value, pair.end, f"{{ {member} }}")]

    def _take_pair(self, pair: TomlStatement, key_path: KeyPath) -> list[Splice]:
        if any(each.start == pair.start for each in self._statements):
            return [self._lines([pair])]
        holder = next(
            each
            for depth in range(len(key_path) - 1, 0, -1)
            if (each := self._pair(self._statements, key_path[:depth])) is not None
        )
        held = list(self._reader.members(holder.value, holder.key_path))
        at = next(index for index, each in enumerate(held) if each.start == pair.start)
        if at + 1 < len(held):
            return [Splice(pair.start, held[at + 1].start, "")]
        return [Splice(held[at - 1].end if at else pair.start, pair.end, "")]


def _is_same(run: Sequence[TomlStatement], depth: int, former: Any, value: Mapping[str, Any]) -> bool:
    """True if statements apart from the rest of their table keep their content."""
    keys = {each.key_path[depth] for each in run}
    return all(key in value and same(at(former, (key,)), value[key]) for key in keys)


def _renamed(own: Iterable[TomlStatement], key_path: KeyPath, name: str) -> list[Splice]:
    """Replace a name in every key and header."""
    found = []
    for each in own:
        at = len(key_path) - 1 - (0 if each.is_header else len(each.table))
        if at >= 0:
            found.append(Splice(*each.parts[at], _key(name)))
    return found


# Writing


def inline(value: Any) -> str:
    """Return a value on one line.

    :raise ConfigError: TOML has no such value.
    """
    match value:
        case None:
            raise ConfigError("TOML has no word for nothing")
        case Mapping():
            inside = ", ".join(
                f"{_key(key)} = {inline(each)}" for key, each in value.items() if each is not None
            )
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(inline, value)) + "]"
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return str(tomlkit.item(value).as_string())
    except (TOMLKitError, ValueError, TypeError):
        raise ConfigError("a value cannot be written in TOML") from None


def _lines(value: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {inline(each)}" for key, each in value.items() if each is not None]


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) and key.isascii() else inline(key)


def _dotted(key_path: KeyPath) -> str:
    return ".".join(map(_key, key_path))


def _nested(key_path: KeyPath, value: Any) -> Any:
    for step in reversed(key_path):
        value = {step: value}
    return value
