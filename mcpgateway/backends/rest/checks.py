"""Validate the arguments of a call against the schema of its tool (JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpgateway.errors import InvalidParams

SHOWN = 300  # characters of what is wrong; it may name a whole argument


def check(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a call.

    :raise InvalidParams: one is missing, or unknown, or of another kind; the text is for the caller.
    """
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    if missing:
        raise InvalidParams(f"Missing argument: {', '.join(map(str, missing))}")
    properties = schema.get("properties")
    if isinstance(properties, dict) and not schema.get("additionalProperties"):
        unknown = [name for name in arguments if name not in properties]
        if unknown:
            raise InvalidParams(
                f"Unknown argument: {', '.join(unknown)[:SHOWN]}",
                f"the arguments are: {', '.join(properties)}",
            )
    why = fault(schema, arguments)
    if why:
        raise InvalidParams(f"Wrong arguments: {why}")


def fault(schema: Mapping[str, Any], value: Any) -> str:
    """Return the clearest fault of a value, in words; empty if it conforms to the schema.

    A schema that cannot be understood is one that everything agrees with.
    """
    # Only callers of REST APIs need it, and it takes a while to load.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        found = best_match(Draft202012Validator(dict(schema)).iter_errors(value))
    except Exception:  # noqa: BLE001 - of a schema that somebody else has written, whatever is in it
        return ""
    if found is None:
        return ""
    where = ".".join(map(str, found.absolute_path))
    return f"{where}: {found.message[:SHOWN]}" if where else str(found.message[:SHOWN])
