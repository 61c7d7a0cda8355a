"""Kinds of values: how each is read, what is said to be allowed, and how JSON Schema says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

from mcpgateway.config import values
from mcpgateway.config.document import Place
from mcpgateway.config.environment import EnvPolicy, Inherited
from mcpgateway.config.problems import Problems
from mcpgateway.config.surface import Level
from mcpgateway.errors import ConfigError


class Kind(Protocol):
    """What a value may be."""

    @property
    def words(self) -> str:
        """What is allowed, for people."""

    def read(self, place: Place, problems: Problems) -> Any:
        """Read the value of a place, which is not null; what is wrong deeper inside is added to the problems.

        :raise ConfigError: the value as a whole is wrong.
        """

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such values."""


@frozen(eq=False, repr=False)
class Text:
    """A text.

    :ivar is_secret: it is never shown.
    :ivar least: how many characters it has to have.
    """

    words: str = "text"
    is_secret: bool = False
    least: int = 0

    def read(self, place: Place, problems: Problems) -> str:
        """Read a text."""
        found = values.secret(place) if self.is_secret else values.text(place)
        if len(found.strip()) < self.least:
            raise place.wrong(f"{self.words}, which must not be empty")
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of texts."""
        return {"type": "string", **({"minLength": self.least} if self.least else {})}


@frozen(eq=False, repr=False)
class Flag:
    """True or false."""

    words: str = "true or false"

    def read(self, place: Place, problems: Problems) -> bool:
        """Read true or false."""
        return values.flag(place)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of truth values."""
        return {"type": "boolean"}


@frozen(eq=False, repr=False)
class WholeNumber:
    """A whole number within bounds."""

    least: int
    most: int

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        return f"a whole number from {self.least} to {self.most}"

    def read(self, place: Place, problems: Problems) -> int:
        """Read a whole number."""
        return values.whole(place, self.least, self.most)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of the numbers."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@frozen(eq=False, repr=False)
class Duration:
    """A duration, read as seconds.

    :ivar unit: what a number alone counts: ``s`` or ``ms``.
    :ivar least_s: the shortest there may be.
    """

    unit: str = "s"
    least_s: float = 0.0

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        if self.unit == "ms":
            return "a number of milliseconds"
        return f"a duration of at least {self.least_s:g}s" if self.least_s else values.DURATION_WORDS

    def read(self, place: Place, problems: Problems) -> float:
        """Read a duration in seconds."""
        found = values.duration_ms(place) if self.unit == "ms" else values.duration_s(place)
        if found < self.least_s:
            raise place.wrong(self.words)
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of durations; that they are not too short is left to the reader."""
        return {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": rf"^\s*{values.DURATION.pattern}\s*$"},
            ]
        }


@frozen(eq=False, repr=False)
class Choice:
    """One of several words.

    :ivar means: what each word is read as.
    """

    means: Mapping[str, Any]

    @classmethod
    def of(cls, *words: str) -> Choice:
        """Make a choice of words that are read as themselves."""
        return cls({each: each for each in words})

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        return "one of " + ", ".join(each or '""' for each in self.means)

    def read(self, place: Place, problems: Problems) -> Any:
        """Read a word as what it means."""
        if not isinstance(place.value, str) or place.value not in self.means:
            raise place.wrong(self.words)
        return self.means[place.value]

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of the words."""
        return {"enum": list(self.means)}


@frozen(eq=False, repr=False)
class Switch:
    """Several words, of which YAML 1.1 and JSON have some as truth values."""

    means: Mapping[str, Any]
    truths: Mapping[bool, Any]

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        return "one of " + ", ".join(self.means)

    def read(self, place: Place, problems: Problems) -> Any:
        """Read a word, or true or false, as what it means."""
        if isinstance(place.value, bool) and place.value in self.truths:
            return self.truths[place.value]
        if not isinstance(place.value, str) or place.value not in self.means:
            raise place.wrong(self.words)
        return self.means[place.value]

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of words and truth values."""
        return {"enum": [*self.means, *self.truths]}


@frozen(eq=False, repr=False)
class Texts:
    """A list of texts; one text alone is a list of one.

    :ivar is_secret: none of them is ever shown.
    """

    is_secret: bool = False
    words: str = "a list of texts"

    def read(self, place: Place, problems: Problems) -> tuple[str, ...]:
        """Read a list of texts."""
        if not self.is_secret:
            return values.texts(place)
        if not isinstance(place.value, list):
            raise place.wrong_secret(self.words)
        return tuple(values.secret(each) for each in place.items())

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such lists."""
        several: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
        return several if self.is_secret else {"anyOf": [{"type": "string"}, several]}


@frozen(eq=False, repr=False)
class ArgumentList:
    """A list of arguments, in which numbers and truth values stand for their text.

    :ivar least: how many there have to be; the first of them is then not empty.
    """

    least: int = 0
    words: str = "a list of texts"

    def read(self, place: Place, problems: Problems) -> tuple[str, ...]:
        """Read a list of arguments."""
        found = values.words(place)
        if self.least and (len(found) < self.least or not found[0].strip()):
            raise place.wrong_secret("a list that begins with a program")
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such lists."""
        found: dict[str, Any] = {"type": "array", "items": {"type": ["string", "number", "boolean"]}}
        return {**found, **({"minItems": self.least} if self.least else {})}


@frozen(eq=False, repr=False)
class VariableMap:
    """Environment variables, as a mapping or as a list of ``KEY=VALUE``; no value is ever shown."""

    words: str = "a mapping, or a list of KEY=VALUE"

    def read(self, place: Place, problems: Problems) -> dict[str, str]:
        """Read variables by their names."""
        return values.variables(place)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of both forms."""
        plain = {"type": ["string", "number", "boolean", "null"]}
        pairs = {"type": "array", "items": {"type": "string", "pattern": "^[^=]+="}}
        return {"anyOf": [{"type": "object", "additionalProperties": plain}, pairs]}


@frozen(eq=False, repr=False)
class Strings:
    """A mapping of names to texts; no text is ever shown.

    :ivar hides_names: the names are secrets as well, so what is wrong inside is told of the whole.
    """

    hides_names: bool = False
    words: str = "a mapping of names to texts"

    def read(self, place: Place, problems: Problems) -> dict[str, str]:
        """Read texts by their names, leaving out what is null."""
        if not isinstance(place.value, dict):
            raise place.wrong_secret(self.words)
        names = [each for each in place.value if place.value[each] is not None]
        try:
            return {each: values.plain(place.at(each)) for each in names}
        except ConfigError:
            if self.hides_names:
                raise place.wrong_secret(self.words) from None
            raise

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such mappings."""
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}


@frozen(eq=False, repr=False)
class Anything:
    """A value that is not looked into here."""

    words: str = "anything"

    def read(self, place: Place, problems: Problems) -> Any:
        """Return the value as it is."""
        return place.value

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema that takes everything."""
        return {}


@frozen(eq=False, repr=False)
class Tree:
    """A mapping that is handed on as it is."""

    words: str = "a mapping"

    def read(self, place: Place, problems: Problems) -> dict[str, Any]:
        """Return the mapping."""
        found: dict[str, Any] = values.mapping(place).value
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of mappings."""
        return {"type": "object"}


@frozen(eq=False, repr=False)
class Either:
    """A value of the first of several kinds that has its shape (text, list, mapping, truth value)."""

    kinds: Mapping[type, Kind]
    said: str = ""

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        return self.said or ", or ".join(each.words for each in self.kinds.values())

    def read(self, place: Place, problems: Problems) -> Any:
        """Read the value as the kind its shape says."""
        kind = self.kinds.get(type(place.value))
        if kind is None:
            raise place.wrong_secret(self.words) if isinstance(place.value, str) else place.wrong(self.words)
        return kind.read(place, problems)

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of all the kinds."""
        return {"anyOf": [each.json() for each in self.kinds.values()]}


@frozen(eq=False, repr=False)
class ListOf:
    """A list whose items are all of one kind."""

    kind: Kind

    @property
    def words(self) -> str:
        """What is allowed, for people."""
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


@frozen(eq=False, repr=False)
class MapOf:
    """A mapping of names to values of one kind."""

    kind: Kind

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        return "a mapping"

    def read(self, place: Place, problems: Problems) -> dict[str, Any]:
        """Read the members that can be read; the others are problems."""
        members = ((each.key, tried(self.kind, each, problems)) for each in values.mapping(place).members())
        return {key: value for key, value in members if value is not None}

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such mappings."""
        return {
            "type": "object",
            "patternProperties": {"^_": {}},
            "additionalProperties": self.kind.json(),
        }


@frozen(eq=False, repr=False)
class EnvPolicyKind:
    """Which variables a server is given: a word, or a list of it, names and names with a minus."""

    words: str = (
        "minimal, allow-list, full, or a list of one of them and of names such as TOKEN, AWS_* or -TZ"
    )

    def read(self, place: Place, problems: Problems) -> EnvPolicy:
        """Read a policy."""
        said = values.texts(place) if isinstance(place.value, list) else (values.text(place),)
        known = {each.value: each for each in Inherited}
        chosen = [each for each in said if each in known]
        names = [each for each in said if each not in known]
        is_word = isinstance(place.value, str) and not chosen
        if is_word or len(chosen) > 1 or not said or not all(map(POLICY_NAME.fullmatch, names)):
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
# "full" is what some files call the most that is shortened.
LEVELS = Switch({**{each.value: each for each in Level}, "full": Level.LEAN}, {False: Level.OFF})


def tried(kind: Kind, place: Place, problems: Problems) -> Any:
    """Read a value, or add what is wrong with it to the problems and return None."""
    try:
        return kind.read(place, problems)
    except ConfigError as why:
        problems.catch(why)
        return None
