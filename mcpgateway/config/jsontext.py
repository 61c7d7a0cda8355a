"""JSON text to a document; lines are only looked for when somebody has to be told one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mcpgateway.config.document import Document, Path, printable
from mcpgateway.errors import ConfigError

BLANK = re.compile(r"[ \t\n\r]*")
# One string, one opening or one closing bracket; with the colon that makes a string a key.
TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")[ \t\n\r]*(:?)|([{\[])|([}\]])')


def parse(text: str, file: str, *, strict: bool = True) -> Document:
    """Parse strict JSON: no comments, no NaN, and unless told otherwise no key twice.

    :raise ConfigError: the text is not such JSON; the message names the line.
    """
    import json

    repeated: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=_pairs(repeated), parse_constant=_no_constant)
    except json.JSONDecodeError as why:
        raise ConfigError(f"{file}, line {why.lineno}: is not valid JSON: {why.msg}") from why
    except RecursionError as why:
        raise ConfigError(f"{file}: is nested too deeply") from why
    except ValueError as why:
        raise ConfigError(f"{file}: is not valid JSON: {printable(str(why))}") from why
    if repeated and strict:
        raise ConfigError(_say_repeated(text, file))
    return Document(file, value, lambda path: line_of(text, path))


def line_of(text: str, path: Path) -> int:
    """Return the line on which the value at a path begins, or the nearest line above it that can be found."""
    import json

    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    for step in path:
        found = _member(text, at, step, decoder.raw_decode)
        if found is None:
            break
        at = found
    return text.count("\n", 0, at) + 1


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


def _member(text: str, at: int, step: str | int, decode: Callable[[str, int], tuple[Any, int]]) -> int | None:
    # The text has been parsed before, so what follows is known to be well-formed. A key may stand there
    # twice; the last one is the one that counts.
    closing = "}" if isinstance(step, str) else "]"
    position, index, found = _skip(text, at + 1), 0, None
    while text[at] in "{[" and text[position : position + 1] not in (closing, ""):
        key: Any = index
        if closing == "}":
            key, position = decode(text, position)
            position = _skip(text, _skip(text, position) + 1)
        if key == step:
            found = position
        position = _skip(text, decode(text, position)[1])
        position = _skip(text, position + 1) if text[position : position + 1] == "," else position
        index += 1
    return found


def _say_repeated(text: str, file: str) -> str:
    import json

    keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        string, colon, opening, closing = token.groups()
        if opening:
            keys.append(set())
        elif closing:
            keys.pop()
        elif colon:
            key = json.loads(string, strict=False)
            if key in keys[-1]:
                line = text.count("\n", 0, token.start()) + 1
                return f"{file}, line {line}: the key '{printable(key)}' is there twice"
            keys[-1].add(key)
    return f"{file}: a key is there twice"
