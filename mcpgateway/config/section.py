"""Sections of a configuration: mappings whose keys are known, and what is said of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import Factory, evolve, field, fields, frozen

from mcpgateway.config import values
from mcpgateway.config.document import Place, printable
from mcpgateway.config.kinds import Kind, tried
from mcpgateway.config.problems import Problems

# Keys that editors and people write, and that no program reads.
NOTE_PREFIXES = ("_", "x-")
# What can be shown of a key: where a colon is left out, a key has its value in it.
WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
NOTE_PATTERN = "^(_|x-|[$]schema$)"
SETTING = "setting"  # where a field keeps how it is said


@frozen(eq=False, repr=False)
class Key:
    """One key of a section.

    :ivar says: one sentence of documentation.
    :ivar default: what holds where the key is not there, as a file has it.
    :ivar is_served: false for keys that this release checks but does not act on.
    :ivar is_ours: no client writes it, so whoever has it means us.
    :ivar alias: the key that this is another spelling of; empty for all others.
    """

    name: str
    kind: Kind
    says: str
    default: Any = None
    is_served: bool = True
    is_ours: bool = False
    alias: str = ""


def _by_name(keys: Iterable[Key]) -> dict[str, Key]:
    return {each.name: each for each in keys}


@frozen(eq=False, repr=False)
class Section:
    """A mapping with known keys.

    :ivar title: what it is called in the documentation.
    :ivar is_open: other keys are no mistakes.
    :ivar is_secret: a key that is not known may be a part of a secret, and is not shown.
    """

    title: str
    keys: Mapping[str, Key] = field(converter=_by_name)
    is_open: bool = False
    is_secret: bool = False
    words: str = "a mapping"

    def read(self, place: Place, problems: Problems) -> dict[str, Any]:
        """Read the known keys that are there and can be read; all else is told to the problems."""
        values.mapping(place)
        found: dict[str, Any] = {}
        for name, key in self.keys.items():
            if not place.has(name):
                continue
            member = place.at(name)
            value = tried(key.kind, member, problems)
            if value is not None:
                found[name] = value
                if not key.is_served and member.value not in (key.default, "", [], {}, False):
                    problems.warn(member.where, "has no effect in this release")
        if not self.is_open:
            self._tell_strange(place, problems)
        return found

    def only(self, *names: str) -> Section:
        """Return the section with some of its keys, and no word about the others."""
        return Section(self.title, [self.keys[each] for each in names], is_open=True)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of the section; a key that is null is a key that is not there."""
        return {
            "type": "object",
            "properties": {name: _property(key) for name, key in self.keys.items()},
            "patternProperties": {NOTE_PATTERN: {}},
            "additionalProperties": self.is_open,
        }

    def _tell_strange(self, place: Place, problems: Problems) -> None:
        for each in place.members():
            if each.key in self.keys or each.key == "$schema" or each.key.startswith(NOTE_PREFIXES):
                continue
            hint = nearest(each.key, self.keys)
            if WORD.fullmatch(each.key) and (hint or not self.is_secret):
                problems.warn(each.where, "is not a known key and is ignored", hint)
            else:
                where = evolve(place.where, line=each.where.line)
                problems.warn(where, "has a key that is not known and is ignored", hint)


@frozen(eq=False)
class Declaration:
    """How one field of a class of settings is said in a file.

    :ivar keys: the keys that say it; where several are there, the first of them counts.
    :ivar read: makes the field's value of what was read for the keys that are there, by their names.
    :ivar is_live: a process that runs need not know of a change of it.
    :ivar has_variables: variables may stand in it.
    :ivar regroups: it decides which sessions use one process together, and what that process is told of them.
    """

    keys: tuple[Key, ...]
    read: Callable[[Mapping[str, Any]], Any]
    is_live: bool = False
    has_variables: bool = False
    regroups: bool = False


def setting(
    default: Any, *keys: Key, read: Callable[[Mapping[str, Any]], Any] | None = None, **traits: bool
) -> Any:
    """Declare a field of a class of settings: the reader, the schema, the reference and all who ask are told by it.

    :param default: what holds where no key says it; a mapping is not shared.
    :param traits: the flags of `Declaration`.
    """
    how = Declaration(keys, read or _first, **traits)
    default = Factory(dict) if default == {} else default
    return field(default=default, metadata={SETTING: how}, kw_only=True)


def settings_of(declared: type) -> dict[str, Declaration]:
    """Return the settings that a class declares, by the names of its fields."""
    return {each.name: each.metadata[SETTING] for each in fields(declared) if SETTING in each.metadata}


def keys_of(declared: type) -> Iterator[Key]:
    """Iterate over the keys of a class of settings; two fields may be said by one."""
    yield from dict.fromkeys(key for each in settings_of(declared).values() for key in each.keys)


def said_of(declared: type, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a section that was read says of settings, by the names of their fields."""
    said: dict[str, Any] = {}
    for name, how in settings_of(declared).items():
        there = {key.name: found[key.name] for key in how.keys if key.name in found}
        if there:
            said[name] = how.read(there)
    return said


def _first(there: Mapping[str, Any]) -> Any:
    return next(iter(there.values()))


def same(name: str, kind: Kind, as_name: str) -> Key:
    """Make a key that is another spelling of one."""
    return Key(name, kind, f"The same as ``{as_name}``.", alias=as_name)


def nearest(word: str, known: Mapping[str, Any]) -> str:
    """Return the question whether a known word was meant, or ""."""
    from difflib import get_close_matches

    near = get_close_matches(printable(word), sorted(known), n=1)
    return f"did you mean '{near[0]}'?" if near else ""


def _property(key: Key) -> dict[str, Any]:
    found = key.kind.json()
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    elif "anyOf" in found:
        found["anyOf"] = [*found["anyOf"], {"type": "null"}]
    elif isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    said = {"description": key.says, **found}
    return said if key.default is None else {**said, "default": key.default}
