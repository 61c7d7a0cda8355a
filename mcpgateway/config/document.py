"""A parsed file, and the places in it: every value has a file, a line and a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from mcpgateway.config.problems import Problem, Where, Wrong
from mcpgateway.escaping import one_line
from mcpgateway.records import FrozenRecord

Path = tuple[str | int, ...]

# Enough to recognise what was written, too little to fill a log.
SHOWN_CHARACTERS = 60


class Document(FrozenRecord, frozen=True):
    """One parsed file.

    :ivar file: its path, as messages show it.
    :ivar value: mappings, lists, text, numbers, booleans and None.
    :ivar line_of: returns the line of the value at a path.
    :ivar written: numbers and booleans as written, by path, where that differs from their usual form.
    """

    file: str
    value: Any
    line_of: Callable[[Path], int]
    written: Mapping[Path, str] = msgspec.field(default_factory=dict)

    def root(self) -> Place:
        """Return the place of the whole document."""
        return Place(self, (), self.value)


class Place(FrozenRecord, frozen=True):
    """One value in a document, and its path."""

    document: Document
    path: Path
    value: Any

    def at(self, key: str | int) -> Place:
        """Return the place of a member; one that is absent has the value None."""
        try:
            value = self.value[key]
        except (KeyError, IndexError, TypeError):
            value = None
        return replace(self, path=(*self.path, key), value=value)

    def has(self, key: str) -> bool:
        """True if a mapping has a member that is not null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def members(self) -> Iterator[Place]:
        """Iterate over the members of a mapping, without notes (keys that begin with an underscore)."""
        for key in self.value:
            if not key.startswith("_"):
                yield self.at(key)

    def items(self) -> Iterator[Place]:
        """Iterate over the items of a list."""
        for index in range(len(self.value)):
            yield self.at(index)

    @property
    def key(self) -> str:
        """The last step of the path."""
        return str(self.path[-1]) if self.path else ""

    @property
    def where(self) -> Where:
        """File, line and key; finding the line takes time."""
        return Where(self.document.file, self.document.line_of(self.path), dotted(self.path))

    def wrong(self, allowed: str, hint: str = "") -> Wrong:
        """Return the error that names the value here and the allowed ones."""
        return Wrong(Problem(self.where, shown(self.value), allowed, hint))

    def wrong_secret(self, allowed: str, hint: str = "") -> Wrong:
        """Return the same error for a value that must not be shown."""
        return Wrong(Problem(self.where, kind(self.value), allowed, hint))


def dotted(path: Path) -> str:
    """Return a path as it is written in messages: ``servers.github.args[1]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{printable(step)}"
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """Return a value as messages show it: short, and on one line."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{printable(value)}'"
        case int() | float():
            return printable(str(value))
        case _:
            return kind(value)


def kind(value: Any) -> str:
    """Return the kind of a value, in words."""
    if value is None:
        return "nothing"
    kinds = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "a mapping")


def printable(text: str) -> str:
    """Return a text cut to a readable length, with control characters, which could forge a log line, made visible."""
    return visible(text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…")


def visible(text: str) -> str:
    """Return a text whole, with control characters, which a terminal obeys and which forge lines, made visible."""
    return one_line(text)
