"""Sections of a configuration, their keys, and the settings that classes declare by them.

A setting is declared once, as a field of a class: its keys in a file, the kind of their values, the default, the
documentation, and when an edit of it counts.  Reader, JSON Schema, reference, diff and reload are made from that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from attrs import Factory, evolve, field, fields, frozen
from msgspec.structs import replace

from mcpgateway.config.document import Document, Place, printable
from mcpgateway.config.fields import Either, Kind, mapping, tried
from mcpgateway.config.problems import Problems
from mcpgateway.records import FrozenRecord

# Notes of people and of editors, which no program reads.
NOTE_PREFIXES = ("_", "x-")
# A key that messages may show: where a colon is left out, a key has its value in it.
WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
NOTE_PATTERN = "^(_|x-|[$]schema$)"
SETTING = "setting"  # the key of a field's declaration in its metadata

T = TypeVar("T")
Reader = Callable[[Mapping[str, Any]], Any]


class Counts(Enum):
    """The time when an edit of a key counts in a running gateway, in the words of the reference."""

    AT_ONCE = "at once"
    NEW_PROCESS = "by a new process of the server"
    AT_START = "when the gateway starts again"
    NEVER = "never; it is a note"


class Expansion(Enum):
    """The way in which the variables in the texts of a setting are expanded, and the result is checked."""

    TEXT = "text"
    URL = "http or https URL"
    PATH = "path, relative to the file"
    HEADERS = "headers, without the empty ones"
    PROXY = "URL of a proxy"
    IMAGE = "image of a container"
    PART = "settings of their own"


class Key(FrozenRecord, frozen=True):
    """One key of a section.

    :ivar says: its documentation, in sentences.
    :ivar default: the value that holds without the key, as a file would have it.
    :ivar is_served: false for keys that this release checks and does not act on.
    :ivar is_ours: no client writes the key, so a file that has it is a configuration of the gateway.
    :ivar alias: the key of which this is another spelling; empty for all others.
    :ivar counts: the time when an edit of it counts; None: as for the key above it, else at once.
    :ivar is_harmless: it does not decide about the program or the values of a server, so its edit needs no further
        rights.
    """

    name: str
    kind: Kind
    says: str
    default: Any = None
    is_served: bool = True
    is_ours: bool = False
    alias: str = ""
    counts: Counts | None = None
    is_harmless: bool = False


KEY_TRAITS = ("is_served", "is_ours", "counts", "is_harmless")


def _by_name(keys: Iterable[Key]) -> dict[str, Key]:
    return {each.name: each for each in keys}


@frozen(eq=False, repr=False)
class Section:
    """A mapping with known keys.

    :ivar title: its title in the documentation.
    :ivar is_open: other keys are no mistakes.
    :ivar is_secret: an unknown key may be a part of a secret, and is not shown.
    """

    title: str
    keys: Mapping[str, Key] = field(converter=_by_name)
    is_open: bool = False
    is_secret: bool = False
    words: str = "a mapping"

    def read(self, place: Place, problems: Problems) -> dict[str, Any]:
        """Read the known keys of a mapping; mistakes and unknown keys are added to the problems."""
        mapping(place)
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
            self._warn_of_unknown_keys(place, problems)
        return found

    def only(self, *names: str) -> Section:
        """Return the section with some of its keys, in which others are no mistakes."""
        return Section(self.title, [self.keys[each] for each in names], is_open=True)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of the section; a null counts as a missing key."""
        return {
            "type": "object",
            "properties": {name: _property(key) for name, key in self.keys.items()},
            "patternProperties": {NOTE_PATTERN: {}},
            "additionalProperties": self.is_open,
        }

    def _warn_of_unknown_keys(self, place: Place, problems: Problems) -> None:
        for each in place.members():
            if each.key in self.keys or each.key == "$schema" or each.key.startswith(NOTE_PREFIXES):
                continue
            hint = nearest(each.key, self.keys)
            if WORD.fullmatch(each.key) and (hint or not self.is_secret):
                problems.warn_of_key(each.where, "is not a known key", hint)
            else:
                where = replace(place.where, line=each.where.line)
                problems.warn_of_key(where, "has a key that is not known", hint)


class Declaration(FrozenRecord, frozen=True):
    """The declaration of one field of a class of settings.

    :ivar keys: its keys; where a file has several of them, the first counts.
    :ivar read: makes the field's value of the keys' values, by the keys' names.
    :ivar below: the key of the section that has its keys, where that is not the section of the class.
    :ivar part: the class of settings of the field's value; `read` returns the content of their section.
    :ivar expansion: the way in which the variables of an entry's texts are expanded; None: as they are.
    :ivar has_variables: its texts may have variables in them, which calls fill in.
    :ivar regroups: it decides which sessions share a process, and what the process knows of them.
    """

    keys: tuple[Key, ...]
    read: Reader
    below: str = ""
    part: type | None = None
    expansion: Expansion | None = None
    has_variables: bool = False
    regroups: bool = False

    @property
    def counts(self) -> Counts:
        """The time when a change of the setting counts."""
        return (self.keys[0].counts if self.keys else None) or Counts.AT_ONCE

    def values_in(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of its keys that a section has; of a part without a key, those of all the part's."""
        found = found.get(self.below, {}) if self.below else found
        return {key.name: found[key.name] for key in self.keys if key.name in found} if self.keys else found


def setting(
    name: str,
    kind: Kind,
    says: str,
    default: Any = None,
    *,
    also: Sequence[Key] = (),
    value: Any = ...,
    **traits: Any,
) -> Any:
    """Declare a field of a class of settings, and its key.

    :param also: further keys of the setting; where a file has several, the first counts.
    :param value: the field's value where a file has no key of it; by itself `default` as it is read.
    :param traits: further fields of the `Key` and of the `Declaration`; `is_secret` leaves the value out of ``repr``.
    """
    is_secret = traits.pop("is_secret", False)
    of_key = {each: traits.pop(each) for each in KEY_TRAITS if each in traits}
    how = Declaration((Key(name, kind, says, default, **of_key), *also), **{"read": _first, **traits})
    if value is ...:
        place = Document("", {name: default}, lambda _path: 0).root().at(name)
        value = how.read({name: kind.read(place, Problems())})
    return _field(how, value, is_secret=is_secret)


def keyed(*keys: Key, value: Any, is_secret: bool = False, **traits: Any) -> Any:
    """Declare a field of a class of settings whose keys other fields have, too."""
    return _field(Declaration(keys, **{"read": _first, **traits}), value, is_secret=is_secret)


def _field(how: Declaration, value: Any, *, is_secret: bool = False) -> Any:
    default = Factory(dict) if value == {} else value  # no two instances share a mapping
    return field(default=default, metadata={SETTING: how}, repr=not is_secret)


def part(declared: type, *keys: Key, read: Reader | None = None, below: str = "") -> Any:
    """Declare a field whose value is an instance of another class of settings.

    :param keys: the key of its section; without one its keys stand beside those of the class.
    :param read: makes the section's content of the keys' values.
    """
    how = Declaration(keys, read or (_first if keys else dict), below, declared)
    return field(factory=declared, metadata={SETTING: how})


def settings_of(declared: type) -> dict[str, Declaration]:
    """Return the declarations of a class, by the names of its fields."""
    return {each.name: each.metadata[SETTING] for each in fields(declared) if SETTING in each.metadata}


def keys_of(declared: type, below: str = "") -> Iterator[Key]:
    """Iterate over the keys of a class of settings, each once; two fields may share one.

    :param below: the section of the keys, where that is not the section of the class.
    """
    keys: list[Key] = []
    for each in settings_of(declared).values():
        if each.part and not each.keys and not each.below:
            keys += keys_of(each.part, below)
        elif each.below == below:
            keys += each.keys
    yield from dict.fromkeys(keys)


def settings_in(declared: type, found: Mapping[str, Any], before: Any = None) -> dict[str, Any]:
    """Return the settings that a section has, by the names of their fields.

    :param before: an instance, whose parts hold where the section does not say otherwise.
    """
    values: dict[str, Any] = {}
    for name, how in settings_of(declared).items():
        there = how.values_in(found)
        if there:
            value = how.read(there)
            values[name] = value if how.part is None else overlaid(getattr(before, name), value)
    return values


def overlaid(before: T, found: Mapping[str, Any]) -> T:
    """Return settings with those that a section has in the place of the former ones."""
    instance: Any = before  # mypy knows no type for the instance of any attrs class
    changed: T = evolve(instance, **settings_in(type(before), found, before))
    return changed


def _first(there: Mapping[str, Any]) -> Any:
    return next(iter(there.values()))


def same(name: str, kind: Kind, as_name: str) -> Key:
    """Make a key that is another spelling of one."""
    return Key(name, kind, f"The same as ``{as_name}``.", alias=as_name)


def nearest(word: str, known: Mapping[str, Any]) -> str:
    """Return the question "did you mean", with the known word or key that is meant, or ""."""
    from mcpgateway.config.edit.meant_key import meant_key  # only for a mistake

    meant = meant_key(printable(word), dict(documented(known)))
    return f"did you mean '{meant}'?" if meant else ""


def documented(known: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted keys of a section, and of those in it, with their documentation; names that are no keys as well.

    :param above: the dotted key of the section, with a dot behind it.
    """
    for name, key in known.items():
        if not isinstance(key, Key):
            yield f"{above}{name}", ""
        elif not key.alias and key.counts is not Counts.NEVER and key.is_served:
            yield f"{above}{name}", key.says
            inner = key.kind.kinds.get(dict) if isinstance(key.kind, Either) else key.kind
            if isinstance(inner, Section):
                yield from documented(inner.keys, f"{above}{name}.")


def _property(key: Key) -> dict[str, Any]:
    found = key.kind.json()
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    elif "anyOf" in found:
        found["anyOf"] = [*found["anyOf"], {"type": "null"}]
    elif isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    schema = {"description": key.says, **found}
    return schema if key.default is None else {**schema, "default": key.default}
