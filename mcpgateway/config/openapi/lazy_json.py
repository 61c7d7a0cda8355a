"""A large JSON document whose parts are decoded when they are needed, so that it is never in memory as objects.

The description of a large service takes a hundred megabytes as objects, most of which are never used.
"""

from __future__ import annotations

from typing import Any

from msgspec import DecodeError, Raw, json

PARTS = {"paths": dict[str, Raw], "components": dict[str, dict[str, Raw]]}
"""The members of a description that are large."""
WHOLE = ("openapi", "swagger", "info", "servers", "security")
"""The members that are small."""


def read(text: str) -> dict[str, Any] | None:
    """Return the members of a document, with `Raw` for the parts of the large ones; None where it is malformed."""
    try:
        top = json.decode(text.removeprefix("\ufeff").encode(), type=dict[str, Raw])
        whole = {name: json.decode(top[name]) for name in WHOLE if name in top}
        parts = {name: json.decode(top[name], type=kind) for name, kind in PARTS.items() if name in top}
    except (DecodeError, RecursionError, UnicodeError):
        return None
    return {**top, **whole, **parts}


def opened(value: Any) -> Any:
    """Return a part of a document, decoded where it has not been; None where it is malformed."""
    if not isinstance(value, Raw):
        return value
    try:
        return json.decode(value)
    except (DecodeError, RecursionError, UnicodeError):
        return None
