"""What of an entry is indexed, and in which columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from mcpgateway.catalog.records import Item
from mcpgateway.catalog.words import indexed

COLUMNS = {
    "name": 8,
    "title": 4,
    "lead": 2,  # the first sentence of the description
    "description": 1,  # the rest of it
    "server": 4,
    "parameters": 1,  # their names
    "notes": 0.3,  # what is said of them
}
"""What a word counts in each column."""

TEXT_LIMIT = 4000  # characters of one text; what a description says after that finds nothing but itself
DEPTH_LIMIT = 6  # of schemas in schemas
PARAMETERS_LIMIT = 200

_SENTENCE = re.compile(r"(?<=[.!?])\s|\n")


def columns(item: Item) -> tuple[str, ...]:
    """The words of an entry for each of `COLUMNS`."""
    names: list[str] = []
    notes: list[str] = []
    for name, note in _parameters(_value(item.raw.get("inputSchema")), DEPTH_LIMIT):
        names.append(name)
        notes.append(note)
        if len(names) >= PARAMETERS_LIMIT:
            break
    description = _text(_value(item.raw.get("description")))
    lead, rest = _parted(description)
    texts = (item.own, item.title, lead, rest, item.server, " ".join(names), " ".join(notes)[:TEXT_LIMIT])
    return tuple(map(indexed, texts))


def _parted(d):
    parts = _SENTENCE.split(d.strip(), maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def _value(raw: msgspec.Raw | None) -> Any:
    try:
        return msgspec.json.decode(raw) if raw is not None else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value[:TEXT_LIMIT] if isinstance(value, str) else ""


def _parameters(schema: Any, depth: int) -> Iterator[tuple[str, str]]:
    """The names of a schema's properties and what is said of them, those of nested objects after their own."""
    if not isinstance(schema, dict) or depth == 0:
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            yield name, _text(inner.get("description")) if isinstance(inner, dict) else ""
            yield from _parameters(inner, depth - 1)
    yield from _parameters(schema.get("items"), depth - 1)
