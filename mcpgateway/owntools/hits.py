"""The hits of a search as they are shown."""

from __future__ import annotations

import re
from bisect import bisect_left

import msgspec
from msgspec import Raw

from mcpgateway.discovery.records import Item
from mcpgateway.owntools import arguments
from mcpgateway.protocol import peek

DESCRIPTION_CHARACTERS = 120
HIT_CHARACTERS = 179  # of the JSON of a compact hit, so that it costs 45 tokens with its comma
ARGS_CHARACTERS = 70  # of them for the names of arguments
_WORD_BREAKS = re.compile(r"[^0-9A-Za-z]+(.)?")


def compact(item: Item, identifier: str) -> dict[str, str]:
    """Return a hit of at most `HIT_CHARACTERS`: the id, the arguments, optional ones with ``?``, the description."""
    hit = {"id": identifier}
    names = arguments.signature(item.input_schema, ARGS_CHARACTERS)
    if names:
        hit["args"] = names
    # No more words than characters are needed.
    words = item.description.split(maxsplit=HIT_CHARACTERS)[:HIT_CHARACTERS]
    hit["description"] = text = " ".join(words)[: HIT_CHARACTERS + 1]

    def is_too_long(end: int) -> bool:
        hit["description"] = f"{text[:end].rstrip()}…"
        return _length(hit) > HIT_CHARACTERS

    if text and _length(hit) > HIT_CHARACTERS:
        fitting = bisect_left(range(1, len(text)), True, key=is_too_long)
        hit["description"] = f"{text[:fitting].rstrip()}…"
    return hit


def _length(hit: dict[str, str]) -> int:
    return len(msgspec.json.encode(hit).decode())


def camel_case(name: str) -> str:
    """Return a tool's name in S004's spelling: ``get_issue`` as ``getIssue``."""
    return _WORD_BREAKS.sub(lambda found: (found[1] or "").upper(), name)


def shortened(description: str) -> str:
    """Return the beginning of a description."""
    if len(description) <= DESCRIPTION_CHARACTERS:
        return description
    return description[:DESCRIPTION_CHARACTERS].rstrip() + "..."


def field_names(schema: Raw | None) -> list[str]:
    """Return the names of a tool's arguments."""
    return list(peek.members(peek.members({"schema": schema}, "schema"), "properties")) if schema else []
