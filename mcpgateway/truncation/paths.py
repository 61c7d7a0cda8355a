"""Paths of values within a JSON value: a small part of JSONPath.

path    $ step*
step    .name   ["any name"]   ['any name']    a member
        [3]   [-1]                             an item, counted from the end where negative
        [2:10]   [:5]   [-5:]                  some items
        [*]   .*                               all items, or all members
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import InvalidParams
from mcpgateway.truncation import values

PATH_LIMIT = 4096  # characters
NODES_LIMIT = 100_000  # that one path may lead to
SHOWN = 10  # names in an error
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]"'\s*]+)
    |\[\s*(?P<double>"(?:[^"\\]|\\.)*")\s*\]
    |\[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]
    |\[\s*(?P<index>-?[0-9]{1,15})\s*\]
    |\[\s*(?P<start>-?[0-9]{0,15})\s*:\s*(?P<stop>-?[0-9]{0,15})\s*\]
    |(?P<all>\.\*|\[\s*\*\s*\])""",
    re.VERBOSE,
)


@frozen
class PathMatch:
    """One value at a path, and its own path."""

    path: str
    value: Raw


Step = str | int | slice


def of_member(path: str, name: str) -> str:
    """Return the path of a member."""
    return f"{path}.{name}" if _PLAIN.match(name) else f"{path}[{json.dumps(name)}]"


def of_item(path: str, index: int) -> str:
    """Return the path of an item."""
    return f"{path}[{index}]"


def read(path: str) -> list[Step | None]:
    """Return the steps of a path; None stands for all items or members.

    :raise InvalidParams: the text is no path.
    """
    if len(path) > PATH_LIMIT:
        raise InvalidParams(f"Invalid path: longer than {PATH_LIMIT} characters")
    text = path.strip()
    place = 1 if text.startswith("$") else 0
    if not place and text and not text.startswith(("[", ".")):
        text = f".{text}"  # "items[0]" is a common spelling
    steps: list[Step | None] = []
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            raise InvalidParams(
                f"Invalid path: {text[place : place + 40]!r} is not understood",
                'A path is like $.items[0].name, $.items[*].id, $.items[10:20], $["a name"]',
            )
        steps.append(_step(found))
        place = found.end()
    return steps


def _step(found: re.Match[str]) -> Step | None:
    kind = found.lastgroup
    if kind == "all":
        return None
    if kind == "name":
        return found["name"]
    if kind == "index":
        return int(found["index"])
    if kind == "stop":
        start, stop = (int(found[each]) if found[each] else None for each in ("start", "stop"))
        return slice(start, stop)
    quoted = found["double"] or '"' + found["single"].replace("\\'", "'").replace('"', '\\"') + '"'
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise InvalidParams(f"Invalid path: {quoted[:40]} is no string") from None


def find(root: Raw, path: str) -> tuple[list[PathMatch], bool]:
    """Return the values at a path, and true if it leads to a single place.

    :raise InvalidParams: the text is no path, or leads to nothing.
    """
    found, is_single = [PathMatch("$", root)], True
    for step in read(path):
        if step is None or isinstance(step, slice):
            found = [below for each in found for below in _several(each, step)]
            is_single = False
        elif is_single:
            found = [_one(found[0], step)]
        else:
            found = [below for each in found for below in _perhaps(each, step)]
        if len(found) > NODES_LIMIT:
            raise InvalidParams(f"The path leads to more than {NODES_LIMIT} places", "Use a narrower one")
    return found, is_single


def _several(where: PathMatch, step: slice | None) -> Iterator[PathMatch]:
    listed = values.items(where.value)
    if listed is not None:
        chosen = range(len(listed))[step or slice(None)]
        yield from (PathMatch(of_item(where.path, index), listed[index]) for index in chosen)
    elif step is None:
        named = values.members(where.value) or {}
        yield from (PathMatch(of_member(where.path, name), value) for name, value in named.items())


def _perhaps(where: PathMatch, step: str | int) -> Iterator[PathMatch]:
    try:
        yield _one(where, step)
    except InvalidParams:
        pass  # of several, some may lack it


def _one(where: PathMatch, step: str | int) -> PathMatch:
    if isinstance(step, int):
        listed = values.items(where.value)
        if listed is None:
            raise InvalidParams(f"{where.path} is no array", _there_is(where))
        index = step if step >= 0 else len(listed) + step
        if not 0 <= index < len(listed):
            raise InvalidParams(f"{where.path} has no item {step}", f"It has {len(listed)} items")
        return PathMatch(of_item(where.path, index), listed[index])
    named = values.members(where.value)
    if named is None or step not in named:
        raise InvalidParams(f"{where.path} has no member {step[:100]!r}", _there_is(where))
    return PathMatch(of_member(where.path, step), named[step])


def _there_is(where: PathMatch) -> str:
    named = values.members(where.value)
    if named is not None:
        names = ", ".join(each[:60] for each in list(named)[:SHOWN])
        return f"There are: {names}" + (", …" if len(named) > SHOWN else "") if named else "It is empty"
    listed = values.items(where.value)
    if listed is not None:
        return f"It is an array of {len(listed)} items; use [0], [*] or a slice"
    return "It is a single value"
