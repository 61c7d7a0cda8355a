"""The kinds of values of a configuration's fields: reading, the words for allowed values, JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from mcpgateway.config.document import Place, shown
from mcpgateway.config.environment import EnvPolicy, Inherited
from mcpgateway.config.problems import Problems
from mcpgateway.errors import ConfigError
from mcpgateway.records import FrozenRecord

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Longer waits than a year are mistakes, and a timer could not hold them.
DURATION_LIMIT_S = 366 * 86400.0
DURATION_WORDS = "a duration such as 30s, 2m, 500ms or a number of seconds"


class Kind(Protocol):
    """The kind of a value."""

    @property
    def words(self) -> str:
        """The allowed values, for people."""

    def read(self, place: Place, problems: Problems) -> Any:
        """Read the value of a place, which is not null; mistakes deeper inside are added to the problems.

        :raise ConfigError: the value as a whole is wrong.
        """

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of these values."""


class Text(FrozenRecord, frozen=True):
    """A text.

    :ivar is_secret: messages never show it.
    :ivar least: the least number of characters.
    """

    words: str = "text"
    is_secret: bool = False
    least: int = 0

    def read(self, place: Place, problems: Problems) -> str:
        """Read a text."""
        found = secret(place) if self.is_secret else text(place)
        if len(found.strip()) < self.least:
            raise place.wrong(f"{self.words}, which must not be empty")
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of texts."""
        return {"type": "string", **({"minLength": self.least} if self.least else {})}


class Flag(FrozenRecord, frozen=True):
    """True or false."""

    words: str = "true or false"

    def read(self, place: Place, problems: Problems) -> bool:
        """Read true or false."""
        if not isinstance(place.value, bool):
            raise place.wrong(self.words)
        return place.value

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of truth values."""
        return {"type": "boolean"}


class WholeNumber(FrozenRecord, frozen=True):
    """A whole number within bounds."""

    least: int
    most: int

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        return f"a whole number from {self.least} to {self.most}"

    def read(self, place: Place, problems: Problems) -> int:
        """Read a whole number."""
        value = place.value
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise place.wrong(self.words)
        return value

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of the numbers."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Duration(FrozenRecord, frozen=True):
    """A duration, read as seconds.

    :ivar unit: the unit of a number without one: ``s`` or ``ms``.
    :ivar least_s: the shortest allowed duration.
    """

    unit: str = "s"
    least_s: float = 0.0

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        if self.unit == "ms":
            return "a number of milliseconds"
        return f"a duration of at least {self.least_s:g}s" if self.least_s else DURATION_WORDS

    def read(self, place: Place, problems: Problems) -> float:
        """Read a duration in seconds: a number, or a number with its unit."""
        value, unit = place.value, UNIT_SECONDS[self.unit]
        seconds: float | None = None
        if isinstance(value, str):
            seconds = seconds_in(value, unit)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**15:
            seconds = value * unit
        if seconds is None or not 0 <= seconds <= DURATION_LIMIT_S:
            raise place.wrong(self.words if self.unit == "ms" else DURATION_WORDS)
        if seconds < self.least_s:
            raise place.wrong(self.words)
        return float(seconds)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of durations; the shortest one is checked by the reader only."""
        return {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": rf"^\s*{DURATION.pattern}\s*$"},
            ]
        }


class Choice(FrozenRecord, frozen=True):
    """One of several words.

    :ivar means: the value of each word.
    """

    means: Mapping[str, Any]

    @classmethod
    def of(cls, *words: str) -> Choice:
        """Make a choice of words that are read as themselves."""
        return cls({each: each for each in words})

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        return "one of " + ", ".join(each or '""' for each in self.means)

    def read(self, place: Place, problems: Problems) -> Any:
        """Read a word as its value."""
        if not isinstance(place.value, str) or place.value not in self.means:
            raise place.wrong(self.words)
        return self.means[place.value]

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of the words."""
        return {"enum": list(self.means)}


class Switch(FrozenRecord, frozen=True):
    """One of several words, of which YAML 1.1 and JSON have some as truth values."""

    means: Mapping[str, Any]
    truths: Mapping[bool, Any]

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        return "one of " + ", ".join(self.means)

    def read(self, place: Place, problems: Problems) -> Any:
        """Read a word, or true or false, as its value."""
        if isinstance(place.value, bool) and place.value in self.truths:
            return self.truths[place.value]
        if not isinstance(place.value, str) or place.value not in self.means:
            raise place.wrong(self.words)
        return self.means[place.value]

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of words and truth values."""
        return {"enum": [*self.means, *self.truths]}


class Texts(FrozenRecord, frozen=True):
    """A list of texts; one text alone is a list of one.

    :ivar is_secret: messages never show any of them.
    """

    is_secret: bool = False
    words: str = "a list of texts"

    def read(self, place: Place, problems: Problems) -> tuple[str, ...]:
        """Read a list of texts."""
        if not self.is_secret:
            return texts(place)
        if not isinstance(place.value, list):
            raise place.wrong_secret(self.words)
        return tuple(secret(each) for each in place.items())

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such lists."""
        several: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
        return several if self.is_secret else {"anyOf": [{"type": "string"}, several]}


class ArgumentList(FrozenRecord, frozen=True):
    """A list of arguments, in which numbers and truth values stand for their text.

    :ivar least: the least number of arguments; the first of them is then not empty.
    """

    least: int = 0
    words: str = "a list of texts"

    def read(self, place: Place, problems: Problems) -> tuple[str, ...]:
        """Read a list of arguments."""
        if not isinstance(place.value, list):
            raise place.wrong_secret(self.words)
        found = tuple(plain(each) for each in place.items())
        if self.least and (len(found) < self.least or not found[0].strip()):
            raise place.wrong_secret("a list that begins with a program")
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such lists."""
        found: dict[str, Any] = {"type": "array", "items": {"type": ["string", "number", "boolean"]}}
        return {**found, **({"minItems": self.least} if self.least else {})}


class VariableMap(FrozenRecord, frozen=True):
    """Environment variables, as a mapping or as a list of ``KEY=VALUE``; no value is ever shown."""

    words: str = "a mapping, or a list of KEY=VALUE"

    def read(self, place: Place, problems: Problems) -> dict[str, str]:
        """Read variables by their names."""
        found: dict[str, str] = {}
        if isinstance(place.value, dict):
            for key in place.value:
                if not key or "=" in key or "\0" in key:
                    raise place.wrong_secret(f"names of variables, not {shown(key)}")
                if place.value[key] is not None:
                    found[key] = plain(place.at(key))
        elif isinstance(place.value, list):
            for index, each in enumerate(place.value):
                name, equals, value = each.partition("=") if isinstance(each, str) else ("", "", "")
                if not name or not equals or "\0" in each:
                    raise place.at(index).wrong_secret("KEY=VALUE")
                found[name] = value
        else:
            raise place.wrong_secret(self.words)
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of both forms."""
        plain = {"type": ["string", "number", "boolean", "null"]}
        pairs = {"type": "array", "items": {"type": "string", "pattern": "^[^=]+="}}
        return {"anyOf": [{"type": "object", "additionalProperties": plain}, pairs]}


class Strings(FrozenRecord, frozen=True):
    """A mapping of names to texts; no text is ever shown.

    :ivar hides_names: the names are secrets as well, so messages name the whole mapping only.
    """

    hides_names: bool = False
    words: str = "a mapping of names to texts"

    def read(self, place: Place, problems: Problems) -> dict[str, str]:
        """Read texts by their names, leaving out what is null."""
        if not isinstance(place.value, dict):
            raise place.wrong_secret(self.words)
        names = [each for each in place.value if place.value[each] is not None]
        try:
            return {each: plain(place.at(each)) for each in names}
        except ConfigError:
            if self.hides_names:
                raise place.wrong_secret(self.words) from None
            raise

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such mappings."""
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}


class Anything(FrozenRecord, frozen=True):
    """A value of any kind, which is not checked here."""

    words: str = "anything"

    def read(self, place: Place, problems: Problems) -> Any:
        """Return the value as it is."""
        return place.value

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema that takes everything."""
        return {}


class Tree(FrozenRecord, frozen=True):
    """A mapping, which is passed on as it is."""

    words: str = "a mapping"

    def read(self, place: Place, problems: Problems) -> dict[str, Any]:
        """Return the mapping."""
        found: dict[str, Any] = mapping(place).value
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of mappings."""
        return {"type": "object"}


class Either(FrozenRecord, frozen=True):
    """A value of the first of several kinds that has its shape (text, list, mapping, truth value)."""

    kinds: Mapping[type, Kind]
    allowed: str = ""

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        return self.allowed or ", or ".join(each.words for each in self.kinds.values())

    def read(self, place: Place, problems: Problems) -> Any:
        """Read the value as the kind its shape says."""
        kind = self.kinds.get(type(place.value))
        if kind is None:
            raise place.wrong_secret(self.words) if isinstance(place.value, str) else place.wrong(self.words)
        return kind.read(place, problems)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of all the kinds."""
        return {"anyOf": [each.json() for each in self.kinds.values()]}


class ListOf(FrozenRecord, frozen=True):
    """A list whose items are all of one kind."""

    kind: Kind

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        return f"a list, each of it {self.kind.words}"

    def read(self, place: Place, problems: Problems) -> tuple[Any, ...]:
        """Read the items that can be read; the others are problems."""
        if not isinstance(place.value, list):
            raise place.wrong_secret("a list")
        read = (tried(self.kind, each, problems) for each in place.items())
        return tuple(each for each in read if each is not None)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such lists."""
        return {"type": "array", "items": self.kind.json()}


class MapOf(FrozenRecord, frozen=True):
    """A mapping of names to values of one kind."""

    kind: Kind

    @property
    def words(self) -> str:
        """The allowed values, for people."""
        return "a mapping"

    def read(self, place: Place, problems: Problems) -> dict[str, Any]:
        """Read the members that can be read; the others are problems."""
        members = ((each.key, tried(self.kind, each, problems)) for each in mapping(place).members())
        return {key: value for key, value in members if value is not None}

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such mappings."""
        return {
            "type": "object",
            "patternProperties": {"^_": {}},
            "additionalProperties": self.kind.json(),
        }


class EnvPolicyKind(FrozenRecord, frozen=True):
    """A policy of variables: a word, or a list of a word, of names, and of names with a minus."""

    words: str = (
        "minimal, allow-list, full, or a list of one of them and of names such as TOKEN, AWS_* or -TZ"
    )

    def read(self, place: Place, problems: Problems) -> EnvPolicy:
        """Read a policy."""
        words = texts(place) if isinstance(place.value, list) else (text(place),)
        known = {each.value: each for each in Inherited}
        chosen = [each for each in words if each in known]
        names = [each for each in words if each not in known]
        is_word = isinstance(place.value, str) and not chosen
        if is_word or len(chosen) > 1 or not words or not all(map(POLICY_NAME.fullmatch, names)):
            raise place.wrong(self.words)
        return EnvPolicy(
            known[chosen[0]] if chosen else Inherited.LISTED,
            tuple(each for each in names if not each.startswith("-")),
            tuple(each[1:] for each in names if each.startswith("-")),
        )

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of policies."""
        words = {"enum": [each.value for each in Inherited]}
        name = {"type": "string", "pattern": f"^{POLICY_NAME.pattern}$"}
        return {"anyOf": [words, {"type": "array", "minItems": 1, "items": {"anyOf": [words, name]}}]}


POLICY_NAME = re.compile(r"-?[A-Za-z_][A-Za-z0-9_]*[*]?")
POLICY = EnvPolicyKind()
FILLED = Text(least=1)
PORT_LIMIT = 65535


def tried(kind: Kind, place: Place, problems: Problems) -> Any:
    """Read a value; where that fails, add the error to the problems and return None."""
    try:
        return kind.read(place, problems)
    except ConfigError as why:
        problems.catch(why)
        return None


def text(place: Place) -> str:
    """Read a text."""
    if not isinstance(place.value, str):
        raise place.wrong("text")
    if "\0" in place.value:
        raise place.wrong_secret("text without a NUL")
    return place.value


def secret(place: Place) -> str:
    """Read a text that messages must not show."""
    if not isinstance(place.value, str) or "\0" in place.value:
        raise place.wrong_secret("text")
    return place.value


def texts(place: Place) -> tuple[str, ...]:
    """Read a list of texts; one text alone counts as a list of one."""
    if isinstance(place.value, str):
        return (text(place),)
    if not isinstance(place.value, list):
        raise place.wrong("a list of texts")
    return tuple(text(each) for each in place.items())


def plain(place: Place) -> str:
    """Read a text, or a number or boolean as the text it was written as; it is never shown."""
    match place.value:
        case str() if "\0" not in place.value:
            return place.value
        case bool():
            return place.document.written.get(place.path, "true" if place.value else "false")
        case int() | float():
            return place.document.written.get(place.path, str(place.value))
        case _:
            raise place.wrong_secret("text")


def mapping(place: Place) -> Place:
    """Check that a place holds a mapping."""
    if not isinstance(place.value, dict):
        raise place.wrong_secret("a mapping")
    return place


def seconds_in(text: str, unit: float = 1.0) -> float | None:
    """Return the seconds in a text such as ``30s``; None for an invalid text, and for too long a time.

    :param unit: the unit of a number without one, in seconds.
    """
    match = DURATION.fullmatch(text.strip())
    if match is None or len(match[1]) >= 20:
        return None
    seconds = float(match[1]) * (UNIT_SECONDS[match[2]] if match[2] else unit)
    return seconds if seconds <= DURATION_LIMIT_S else None
