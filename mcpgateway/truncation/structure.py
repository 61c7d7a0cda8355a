"""The structure of a value: types, names, counts and sizes, without the value itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from mcpgateway.truncation import values

DEPTHS = (6, 4, 2, 1)  # tried in turn until the answer is short enough
NAMES = 60  # members of one object that are described
SAMPLE = 50  # items of one list that are examined
NAME_CHARS = 100
_TYPES = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean", b"n": "null"}


def type_of(raw: Raw) -> str:
    """Return the name of a value's JSON type."""
    return _TYPES.get(values.head(raw), "number")


def shape(value: Raw, most_bytes: int) -> Any:
    """Return the structure of a value, in no more than so many bytes."""
    found: Any = None
    for depth in DEPTHS:
        found = _shape([value], depth)
        if len(msgspec.json.encode(found)) <= most_bytes:
            return found
    return {"type": type_of(value), "bytes": values.size(value)}


def _shape(alike: list[Raw], depth: int) -> dict[str, Any]:
    # Several values in the same place of different items have one shape.
    kinds = sorted({type_of(each) for each in alike})
    found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    lists = [each for each in map(values.items, alike) if each is not None]
    objects = [each for each in map(values.members, alike) if each is not None]
    if "string" in kinds:
        found["chars"] = _range(len(values.text(each) or "") for each in alike if values.is_text(each))
    if lists:
        found["items"] = _range(map(len, lists))
    if lists or objects:
        found["bytes"] = _range(map(values.size, alike))
    below = [item for each in lists for item in each[:SAMPLE]][:SAMPLE]
    if below and depth:
        found["of"] = _shape(below, depth - 1)
    if objects and depth:
        found["members"] = _members(objects, depth)
    return found


def _members(objects: list[dict[str, Raw]], depth: int) -> dict[str, Any]:
    names = list(dict.fromkeys(name for each in objects for name in each))
    found: dict[str, Any] = {}
    for name in names[:NAMES]:
        having = [each[name] for each in objects if name in each]
        shown = _shape(having, depth - 1)
        if len(having) < len(objects):
            shown["in"] = f"{len(having)} of {len(objects)}"
        found[name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}…"] = shown
    if len(names) > NAMES:
        found["…"] = f"{len(names) - NAMES} more"
    return found


def _range(numbers: Iterable[int]) -> int | str:
    found = list(numbers)
    return found[0] if min(found) == max(found) else f"{min(found)}-{max(found)}"
