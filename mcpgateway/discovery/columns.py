"""The indexed texts of an entry, by columns."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw

from mcpgateway.discovery.records import Item
from mcpgateway.discovery.words import indexed

COLUMNS = {
    "name": 8,
    "title": 4,
    "lead": 3,  # the first sentence of the description
    "description": 0.6,  # the rest of the description
    "server": 4,
    "parameters": 0.6,  # the names of parameters
    "notes": 0.2,  # the descriptions of parameters
}
"""The weight of a word in each column."""
UNIT = 5
"""The weight 1 in `WEIGHTS`, which are whole numbers."""
WEIGHTS = tuple(round(weight * UNIT) for weight in COLUMNS.values())

TEXT_LIMIT = 4000  # characters of one text; the rest of a longer description is not indexed
DEPTH_LIMIT = 6  # of nested schemas
PARAMETERS_LIMIT = 200

_SENTENCE = re.compile(r"(?<=[.!?])\s|\n")


def columns(item: Item) -> list[list[str]]:
    """Return the words of an entry for each of `COLUMNS`."""
    schema = _value(item.input_schema)
    parameters: list[tuple[str, str]] = []
    _parameters(schema, DEPTH_LIMIT, parameters)
    names = " ".join(name for name, _ in parameters)
    notes = " ".join(note for _, note in parameters)[:TEXT_LIMIT]
    lead, *rest = _SENTENCE.split(item.description[:TEXT_LIMIT].strip(), maxsplit=1)
    texts = (item.own, item.title, lead, *(rest or [""]), item.server, names, notes)
    return list(map(indexed, texts))


def _value(raw: Raw | None) -> Any:
    try:
        return msgspec.json.decode(raw) if raw is not None else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _parameters(schema: Any, depth: int, found: list[tuple[str, str]]) -> None:
    """Add the name and the description of each property; those of an inner object follow its own."""
    if not isinstance(schema, dict) or depth == 0:
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            if len(found) >= PARAMETERS_LIMIT:
                return
            note = inner.get("description") if isinstance(inner, dict) else None
            found.append((name, note if isinstance(note, str) else ""))
            _parameters(inner, depth - 1, found)
    if "items" in schema:
        _parameters(schema["items"], depth - 1, found)
