"""Edits of a configuration, and the content of a document after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.config import dialect
from mcpgateway.config.document import printable
from mcpgateway.errors import ConfigError

# The keys from the top of a document to a value; items of a list are identified by their names.
KeyPath = tuple[str, ...]
NAME = "name"
MISSING: Any = object()


@frozen
class Put:
    """Set the value of a key; of an existing mapping only different members are changed."""

    key_path: KeyPath
    value: Any = field(repr=False)


@frozen
class Remove:
    """Remove a key."""

    key_path: KeyPath


@frozen
class Rename:
    """Give a key another name, in the same place."""

    key_path: KeyPath
    name: str


Edit = Put | Remove | Rename


@frozen
class Splice:
    """A replacement of a part of a text.

    :ivar end: the end of the replaced part; equal to `start` for an insertion.
    """

    start: int
    end: int
    text: str = field(repr=False)


def rooted(change: Edit, key_path: KeyPath) -> Edit:
    """Return a change with another key path of the server, in the place of its first step."""
    return evolve(change, key_path=(*key_path, *change.key_path[1:]))


def key_path_to(value: Any, name: str) -> KeyPath:
    """Return the key path of a new server in a file with this content."""
    found = value if isinstance(value, dict) else {}
    for key in ("servers", "mcpServers", "mcp"):
        if isinstance(found.get(key), dict | list) and not dialect.looks_like_server(found[key]):
            return (key, name)
    return (name,) if dialect.has_servers_at_top(value) else ("servers", name)


def placed(value: Any, change: Edit) -> Edit:
    """Return a change of a new server with its key path in a file with this content."""
    key_path = key_path_to(value, change.key_path[0])
    holder = at(value, key_path[:-1])
    if isinstance(holder, list) and isinstance(change, Put) and isinstance(change.value, Mapping):
        return Put(key_path, {NAME: key_path[-1], **change.value})
    return rooted(change, key_path)


def steps(value: Any, change: Edit) -> Iterator[Edit]:
    """Iterate over the edits of single members that a change consists of, without those that stay the same.

    :param value: the content of the whole document before.
    """
    if not isinstance(change, Put):
        yield change
        return
    former = at(value, change.key_path)
    if (
        not isinstance(change.value, Mapping)
        or not isinstance(former, dict)
        or not former
        or not change.value
    ):
        if not same(former, change.value):
            yield change
        return
    for key, each in change.value.items():
        yield from steps(value, Put((*change.key_path, key), each))
    for key in former:
        if key not in change.value:
            yield Remove((*change.key_path, key))


def changed(value: Any, change: Edit, file: str) -> Any:
    """Return the content of a document after a change.

    :raise ConfigError: the changed key does not exist, or the new name is taken.
    """
    key_path = change.key_path
    if not key_path:
        raise ConfigError(f"{file}: the whole file cannot be changed")
    if value is None:
        value = {}
    if isinstance(value, list):
        return _changed_item(value, change, file)
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: '{printable(key_path[0])}' cannot stand in a value that is no mapping")
    if not isinstance(change, Put) and key_path[0] not in value:
        raise ConfigError(f"{file}: there is no '{printable(key_path[0])}'")
    if len(key_path) > 1:
        return {**value, key_path[0]: changed(value.get(key_path[0]), _below(change), file)}
    return _changed_key(value, change, file)


def _changed_key(value: dict[str, Any], change: Edit, file: str) -> dict[str, Any]:
    key_path = change.key_path
    match change:
        case Put():
            return {**value, key_path[0]: change.value}
        case Remove():
            return {key: each for key, each in value.items() if key != key_path[0]}
        case Rename():
            if change.name in value and change.name != key_path[0]:
                raise ConfigError(f"{file}: there is a '{printable(change.name)}' already")
            return {change.name if key == key_path[0] else key: each for key, each in value.items()}


def _changed_item(value: list[Any], change: Edit, file: str) -> list[Any]:
    """Return a list after a change, with its items identified by their names."""
    name, *rest = change.key_path
    index = next((index for index, each in enumerate(value) if is_named(each, name)), -1)
    if not rest and isinstance(change, Put) and not is_named(change.value, name):
        raise ConfigError(f"{file}: '{printable(name)}' cannot stand in a value that is no mapping")
    if index < 0 and (rest or not isinstance(change, Put)):
        raise ConfigError(f"{file}: there is no '{printable(name)}'")
    before, behind = (value[:index], value[index + 1 :]) if index >= 0 else (value, [])
    match change:
        case Put() if not rest:
            return [*before, change.value, *behind]
        case Remove() if not rest:
            return [*before, *behind]
        case Rename() if not rest:
            return [*before, {**value[index], NAME: change.name}, *behind]
    return [*before, changed(value[index], _below(change), file), *behind]


def at(value: Any, key_path: KeyPath) -> Any:
    """Return the value at a path; `MISSING` where there is none."""
    for step in key_path:
        if isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(value, list):
            value = next((each for each in value if is_named(each, step)), MISSING)
        else:
            return MISSING
    return value


def is_named(item: Any, name: str) -> bool:
    """True if an item of a list has the name that a step of a path names."""
    return isinstance(item, dict) and item.get(NAME) == name


def _below(change: Edit) -> Edit:
    match change:
        case Put():
            return Put(change.key_path[1:], change.value)
        case Remove():
            return Remove(change.key_path[1:])
        case Rename():
            return Rename(change.key_path[1:], change.name)


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """Return a text with its parts replaced; the parts do not overlap."""
    parts, here = [], 0
    for each in sorted(splices, key=lambda each: (each.start, each.end)):
        parts += [text[here : each.start], each.text]
        here = each.end
    return "".join((*parts, text[here:]))


def same(one: Any, other: Any) -> bool:
    """True if two values are equal and of the same kinds; the order of keys does not matter."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(each, other[key]) for key, each in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def newline_of(text: str) -> str:
    """Return the line end of a text."""
    return "\r\n" if "\r\n" in text else "\n"
