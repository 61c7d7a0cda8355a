"""Configuration text to a document: JSON or YAML, by the file's extension, else by its first character."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mcpgateway.config.document import Document, Path, Place, printable
from mcpgateway.config.edit import yamltext
from mcpgateway.config.excerpt import syntax_error
from mcpgateway.config.problems import Problem, Problems, Where, Wrong
from mcpgateway.errors import ConfigError
from mcpgateway.records import FrozenRecord


def parse(
    text: str, file: str, *, strict: bool = True, flaws: Problems | None = None, takes_list: bool = False
) -> Document:
    """Parse a configuration file into a mapping.

    :param strict: refuse a key that is written twice; a client's own file is read as that client does.
    :param flaws: such keys are added to these problems, instead of raising for the first.
    :param takes_list: the top level may be a list, too.
    :raise ConfigError: the text is neither JSON nor YAML, or its top level is no mapping.
    """
    if not text.strip():
        return _empty(file)
    read = parse_json if is_json(text, file) else yamltext.parse
    found = Problems()
    document = read(text, file, found)
    if strict and flaws is not None:
        flaws += found
    elif strict and found:
        raise Wrong(found[0])
    if document.value is None:
        return _empty(file)
    if not isinstance(document.value, dict | list if takes_list else dict):
        raise document.root().wrong_secret("a mapping at the top level")
    return document


def is_json(text: str, file: str) -> bool:
    """True if a file is JSON rather than YAML."""
    extension = file.rpartition("/")[2].rpartition(".")[2].lower()
    if extension in ("json", "yaml", "yml"):
        return extension == "json"
    return text.lstrip()[:1] in ("{", "[")


def _empty(file: str) -> Document:
    return Document(file, {}, lambda _path: 1)


# Deeper than people can follow.
DEPTH_LIMIT = 8
# Enough for a directory of servers; more are a mistake in a pattern.
FILE_LIMIT = 1000


class FileFinder(FrozenRecord, frozen=True):
    """The functions that find and read files.

    :ivar find: returns the files of a path or pattern, given the directory it is relative to.
    :ivar read: returns the file of a path.
    """

    find: Callable[[str, str], Sequence[str]]
    read: Callable[[str], Document | None]


def with_includes(
    document: Document, finder: FileFinder, problems: Problems, trail: tuple[str, ...] = ()
) -> list[Document]:
    """Return the files that a file includes, and last the file itself, which takes precedence over them."""
    trail = (*trail, document.file)
    found: list[Document] = []
    for place in _included(document, problems):
        directory = document.file.rpartition("/")[0] or "/"
        if len(trail) > DEPTH_LIMIT:
            problems.error(place.where, f"includes files more than {DEPTH_LIMIT} deep")
            break
        for path in _included_paths(place, directory, finder, problems):
            if path in trail:
                problems.error(
                    place.where, "includes a file that includes this one", "take one of the two out"
                )
            else:
                inner = _included_file(path, place, finder, problems)
                found += with_includes(inner, finder, problems, trail) if inner else []
    return [*found, document]


def _included(document: Document, problems: Problems) -> list[Place]:
    # A value that is no text is a problem when the file is read.
    place = document.root().at("include") if isinstance(document.value, dict) else None
    if place is None or isinstance(place.value, str):
        return [place] if place and place.value else []
    items = list(place.items()) if isinstance(place.value, list) else []
    return [each for each in items if isinstance(each.value, str) and each.value]


def _included_paths(place: Place, directory: str, finder: FileFinder, problems: Problems) -> Sequence[str]:
    try:
        found = finder.find(place.value, directory)
    except ConfigError as why:
        problems.catch(why, place.document.file)
        return ()
    if not found and not any(each in place.value for each in "*?["):
        problems.append(place.wrong("a file that is there").problem)
    if len(found) > FILE_LIMIT:
        problems.error(place.where, f"stands for more than {FILE_LIMIT} files")
        return ()
    return found


def _included_file(path: str, place: Place, finder: FileFinder, problems: Problems) -> Document | None:
    try:
        return finder.read(path)
    except ConfigError as why:
        problems.catch(why, path, f"{place.where} includes it")
        return None


LINE_END = re.compile("\n")
BLANK = re.compile(r"[ \t\n\r]*")
# One string, one opening or one closing bracket; with the colon that makes a string a key.
TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")[ \t\n\r]*(:?)|([{\[])|([}\]])')


def parse_json(text: str, file: str, flaws: Problems) -> Document:
    """Parse strict JSON: no comments and no NaN.

    :param flaws: keys that occur twice, of which the last counts, are added to these problems.
    :raise ConfigError: the text is not such JSON; the message names the line.
    """
    import json

    repeated: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=_pairs(repeated), parse_constant=_no_constant)
    except json.JSONDecodeError as why:
        raise syntax_error(file, text, why.lineno, why.colno, f"is not valid JSON: {why.msg}") from why
    except RecursionError as why:
        raise Wrong(Problem(Where(file, 1), "is nested too deeply")) from why
    except ValueError as why:
        raise Wrong(Problem(Where(file, 1), f"is not valid JSON: {printable(str(why))}")) from why
    if repeated:
        flaws += _repeated(text, file)
    return Document(file, value, JsonLines(text).line_of)


class JsonLines:
    """The lines of values in a well-formed JSON text, no part of which is read twice."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends: list[int] | None = None
        self._members: dict[Path, dict[str | int, int]] = {}

    def line_of(self, path: Path) -> int:
        """Return the line on which the value at a path begins, or the nearest existing value above it."""
        at = _skip(self._text, 0)
        for depth, step in enumerate(path):
            above = path[:depth]
            if above not in self._members:
                self._members[above] = self._read(at)
            if step not in self._members[above]:
                break
            at = self._members[above][step]
        if self._ends is None:
            self._ends = [each.start() for each in LINE_END.finditer(self._text)]
        return bisect_left(self._ends, at) + 1

    def _read(self, at: int) -> dict[str | int, int]:
        import json

        text, decode = self._text, json.JSONDecoder().raw_decode
        found: dict[str | int, int] = {}
        opening = text[at]
        position = _skip(text, at + 1)
        while opening in "{[" and text[position] not in "}]":
            key: str | int = len(found)
            if opening == "{":
                key, position = decode(text, position)
                position = _skip(text, _skip(text, position) + 1)
            # A key may occur twice: the last one counts.
            found[key] = position
            position = _skip(text, decode(text, position)[1])
            position = _skip(text, position + 1) if text[position] == "," else position
        return found


def _pairs(repeated: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            repeated.append("")
        return found

    return build


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _skip(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found else at


def _repeated(text: str, file: str) -> Iterator[Problem]:
    import json

    keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        string, colon, opening, closing = token.groups()
        if opening:
            keys.append(set())
        elif closing:
            keys.pop()
        elif colon:
            key = json.loads(string)
            if key in keys[-1]:
                line = text.count("\n", 0, token.start()) + 1
                yield Problem(Where(file, line), f"the key '{printable(key)}' is there twice")
            keys[-1].add(key)
