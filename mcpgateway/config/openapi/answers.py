"""The answers of an operation, as the output schema of its tool.

# Note [Less than is described]
Clients refuse a result that does not conform to its tool's output schema, and services deviate from their descriptions.
So a schema only names members and their types, each of which may be missing or null; further constraints are left to
the descriptions.  A large schema is left out: a model would read it with every list of tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcpgateway.config.openapi import media_types
from mcpgateway.config.openapi.schemas import Schemas, resolved

NODES_LIMIT = 80  # schemas within one
DESCRIPTION_LIMIT = 200  # characters
_TYPES = frozenset("string number integer boolean object array".split())


def output_of(
    document: Mapping[str, Any], operation: Mapping[str, Any], *, is_old: bool
) -> dict[str, Any] | None:
    """Return the schema of an operation's answer; None where it is no object, unknown or too large."""
    for answer in _successes(document, operation):
        content = answer.get("content")
        kinds = content if isinstance(content, dict) else {}
        described = next((each for kind, each in kinds.items() if media_types.is_json(str(kind))), None)
        if not isinstance(described, dict):
            continue
        schemas = Schemas(document, is_old=is_old, limit=NODES_LIMIT)
        found = schemas.inlined(described.get("schema"))
        is_small = not schemas.is_over and isinstance(found.get("properties"), dict)
        return _loose(found, is_root=True) if is_small and found.get("type", "object") == "object" else None
    return None


def _successes(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    answers = operation.get("responses")
    for status, each in answers.items() if isinstance(answers, dict) else ():
        found = resolved(document, each) if str(status).startswith("2") else None
        if isinstance(found, dict):
            yield found


def _loose(schema: Any, *, is_root: bool = False) -> dict[str, Any]:
    # See Note [Less than is described].
    if not isinstance(schema, dict):
        return {}
    found: dict[str, Any] = {}
    if isinstance(schema.get("description"), str):
        found["description"] = schema["description"][:DESCRIPTION_LIMIT]
    kind = schema.get("type")
    types = [each for each in (kind if isinstance(kind, list) else [kind]) if each in _TYPES]
    if is_root:
        found["type"] = "object"
    elif types:
        # A number described as an integer may be written as 1.0.
        found["type"] = [*dict.fromkeys("number" if each == "integer" else each for each in types), "null"]
    properties = schema.get("properties")
    if isinstance(properties, dict):
        found["properties"] = {str(name): _loose(each) for name, each in properties.items()}
    if isinstance(schema.get("items"), dict):
        found["items"] = _loose(schema["items"])
    return found
