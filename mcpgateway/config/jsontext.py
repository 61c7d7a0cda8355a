"""JSON text to a document; lines are only looked for when somebody has to be told one."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from mcpgateway.config.document import Document, Path, printable
from mcpgateway.config.problems import Problem, Problems, Where, Wrong

LINE_END = re.compile("\n")
BLANK = re.compile(r"[ \t\n\r]*")
# One string, one opening or one closing bracket; with the colon that makes a string a key.
TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")[ \t\n\r]*(:?)|([{\[])|([}\]])')


def parse(text: str, file: str, flaws: Problems) -> Document:
    """Parse strict JSON: no comments and no NaN.

    :param flaws: is told of keys that are there twice, of which the last counts.
    :raise ConfigError: the text is not such JSON; the message names the line.
    """
    import json

    repeated: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=_pairs(repeated), parse_constant=_no_constant)
    except json.JSONDecodeError as why:
        raise Wrong(Problem(Where(file, why.lineno), f"is not valid JSON: {why.msg}")) from why
    except RecursionError as why:
        raise Wrong(Problem(Where(file, 1), "is nested too deeply")) from why
    except ValueError as why:
        raise Wrong(Problem(Where(file, 1), f"is not valid JSON: {printable(str(why))}")) from why
    if repeated:
        flaws += _repeated(text, file)
    return Document(file, value, Lines(text).line_of)


class Lines:
    """Finds the lines of values in a JSON text that is known to be well-formed, and reads no part of it twice."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends: list[int] | None = None
        self._members: dict[Path, dict[str | int, int]] = {}

    def line_of(self, path: Path) -> int:
        """Return the line on which the value at a path begins, or the nearest value above it that is there."""
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
            # A key may be there twice: the last one is the one that counts.
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
