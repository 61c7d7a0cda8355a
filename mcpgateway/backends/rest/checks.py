"""Validate the arguments of a call against the schema of its tool (JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpgateway.errors import InvalidParams

SHOWN = 300  # characters of a fault, which may quote a whole argument


def check(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a call.

    :raise InvalidParams: an argument is missing, unknown, or of the wrong type; the text is for the caller.
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

    Every value conforms to an invalid schema.
    """
    # Only callers of REST APIs need it, and its import is slow.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        found = best_match(Draft202012Validator(dict(schema)).iter_errors(value))
    except Exception:  # noqa: BLE001 - the schema is foreign, and its faults are of many types
        return ""
    if found is None:
        return ""
    where = ".".join(map(str, found.absolute_path))
    return f"{where}: {found.message[:SHOWN]}" if where else str(found.message[:SHOWN])
