"""Serialise parameters by their style (OpenAPI 3.1, 4.8.12.2, after RFC 6570).

    style           a list [1, 2]          an object {a: 1}        exploded
    simple          1,2                    a,1                     1,2             a=1
    label           .1,2                   .a,1                    .1.2            .a=1
    matrix          ;p=1,2                 ;p=a,1                  ;p=1;p=2        ;a=1
    form            p=1,2                  p=a,1                   p=1&p=2         a=1
    deepObject      -                      p[a]=1

A list or an object inside a list or an object is written as JSON, since the specification leaves it undefined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from mcpgateway.errors import InvalidParams

EXPLODED = "-exploded"
_MARKS = {"path": "", "path-label": ".", "path-matrix": ";"}
_UP = re.compile(r"[/\\]")

Pairs = Iterator[tuple[str, str]]


def text(value: Any) -> str:
    """Return a value in the style "simple"."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return ",".join(map(text, value))
    return json.dumps(value, ensure_ascii=False)


def segment(kind: str, name: str, value: Any) -> str:
    """Serialise a path parameter, which never leaves its segment of the path.

    :param kind: ``path``, ``path-label`` or ``path-matrix``, with `EXPLODED` behind it or not.
    :raise InvalidParams: the value would change the path beyond its segment.
    """
    style = kind.removesuffix(EXPLODED)
    mark, is_exploded = _MARKS[style], kind.endswith(EXPLODED)
    pairs = list(_members(value))
    written = [_quoted(name, each) for each in _flat(pairs, is_exploded=is_exploded)]
    if not written:
        raise InvalidParams(f"Argument {name} must not be empty")
    if style != "path-matrix":
        return mark + (mark if mark and is_exploded else ",").join(written)
    own = quote(name, safe="")
    if not is_exploded:
        return f";{own}={','.join(written)}"
    return "".join(f";{each}" if "=" in each else f";{own}={each}" for each in written)


def _members(value: Any) -> Iterator[tuple[str, str]]:
    # Values, each with its name if the style has names.
    if isinstance(value, dict):
        yield from ((str(key), text(each)) for key, each in value.items())
    elif isinstance(value, list):
        yield from (("", text(each)) for each in value)
    else:
        yield "", text(value)


def _flat(pairs: list[tuple[str, str]], *, is_exploded: bool) -> Iterator[tuple[str, ...]]:
    for key, each in pairs:
        if key and not is_exploded:
            yield (key,)
            yield (each,)
        else:
            yield (key, each) if key else (each,)


def _quoted(name: str, parts: tuple[str, ...]) -> str:
    # A service may decode a segment before it splits the path, so the decoded segment must not contain "..".
    for each in parts:
        if not each or "\0" in each or any(step in (".", "..") for step in _UP.split(each)):
            raise InvalidParams(
                f"Argument {name} must be one segment of a path, and neither empty nor '.' nor '..'"
            )
    return "=".join(quote(each, safe="") for each in parts)


def exploded(name: str, value: Any) -> Pairs:
    """Return pairs in the exploded style "form", which is the default."""
    if isinstance(value, list):
        yield from ((name, text(each)) for each in value)
    elif isinstance(value, dict):
        yield from ((str(key), text(each)) for key, each in value.items())
    elif value is not None:
        yield name, text(value)


def _joined(name: str, value: Any, by: str = ",") -> Pairs:
    if value is not None:
        yield name, by.join(part for pair in _members(value) for part in pair if part)


def _deep(name: str, value: Any) -> Pairs:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _deep(f"{name}[{key}]", each)
    else:
        yield from exploded(name, value)


def _as_json(name: str, value: Any) -> Pairs:
    yield name, json.dumps(value, ensure_ascii=False)


def _repeated(name: str, value: Any) -> Pairs:
    # A property of a form: one field, or one for each value of a list; an object is JSON (OpenAPI 3.1, 4.8.15.1).
    if isinstance(value, dict):
        yield from _as_json(name, value)
    else:
        yield from exploded(name, value)


WAYS: dict[str, Callable[[str, Any], Pairs]] = {
    "query": exploded,
    "query-list": _joined,
    "query-space": lambda name, value: _joined(name, value, " "),
    "query-pipe": lambda name, value: _joined(name, value, "|"),
    "query-deep": _deep,
    "query-json": _as_json,
    "body": _repeated,
    "body-list": _joined,
    "body-deep": _deep,
    "body-json": _as_json,
}
"""The functions that write the pairs of a query and of a form, by the location and style of an argument."""
