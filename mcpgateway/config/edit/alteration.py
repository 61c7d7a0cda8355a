"""Changes of a server's entry, as edits of its file.

An entry is given as it is written.  A value that does not change takes no edit, so that the rest of a file stays as it
is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mcpgateway.config.edit.edits import Edit, Put, Remove
from mcpgateway.config.entry import SERVER
from mcpgateway.config.section import Key

ENV, ENVIRONMENT, HEADERS = "env", "environment", "headers"


def risky(keys: Iterable[str]) -> list[str]:
    """Return the keys that decide what a server is or is given, for which an edit needs more rights."""
    return sorted(each for each in keys if each not in SERVER.keys or not _is_harmless(SERVER.keys[each]))


def _is_harmless(key: Key) -> bool:
    return key.is_harmless or (key.alias in SERVER.keys and SERVER.keys[key.alias].is_harmless)


def is_on(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is switched on."""
    return bool(entry.get("enabled", True)) and not entry.get("disabled", False)


def switched(name: str, entry: Mapping[str, Any], *, on: bool) -> tuple[Edit, ...]:
    """Switch a server on or off, by the key that its entry has already."""
    if is_on(entry) is on:
        return ()
    edits: list[Edit] = []
    if "disabled" in entry and bool(entry["disabled"]) is on:
        edits.append(Put((name, "disabled"), not on))
    if bool(entry.get("enabled", True)) is not on and (on or not edits):
        edits.append(Put((name, "enabled"), on))
    return tuple(edits)


def added(name: str, entry: Mapping[str, Any], key: str, values: Mapping[str, str]) -> tuple[Edit, ...]:
    """Set variables (`ENV`) or headers (`HEADERS`)."""
    key = spelled(entry, key)
    held = entry.get(key)
    if isinstance(held, list):
        kept = [each for each in held if _name(each) not in values]
        made = [*kept, *(f"{each}={value}" for each, value in values.items())]
        return (Put((name, key), made),) if sorted(map(str, made)) != sorted(map(str, held)) else ()
    known = held if isinstance(held, Mapping) else {}
    wanted: dict[str, str] = {}
    for each, value in values.items():
        wanted[_written(each, key, {**known, **wanted})] = value
    return tuple(Put((name, key, each), value) for each, value in wanted.items() if known.get(each) != value)


def taken(name: str, entry: Mapping[str, Any], key: str, gone: Collection[str]) -> tuple[Edit, ...]:
    """Remove variables or headers; those that are not there take no edit."""
    key = spelled(entry, key)
    held = entry.get(key)
    if isinstance(held, list):
        kept = [each for each in held if _name(each) not in gone]
        return (Put((name, key), kept),) if len(kept) != len(held) else ()
    if isinstance(held, Mapping):
        away = {_folded(each, key) for each in gone}
        return tuple(Remove((name, key, each)) for each in held if _folded(each, key) in away)
    return ()


def spelled(entry: Mapping[str, Any], key: str) -> str:
    """Return the spelling of a key in an entry: variables have two."""
    return ENVIRONMENT if key == ENV and ENV not in entry and ENVIRONMENT in entry else key


def _written(name: str, key: str, there: Mapping[str, Any]) -> str:
    """Return a name as the entry spells it already, in whatever case."""
    if name in there:
        return name
    return next((each for each in there if _folded(each, key) == _folded(name, key)), name)


def _folded(name: Any, key: str) -> str:
    # X-Key and x-key are one header, of which a second one would be sent beside the first; variables are told apart.
    return str(name).lower() if key == HEADERS else str(name)


def _name(pair: Any) -> str:
    return str(pair).partition("=")[0]
