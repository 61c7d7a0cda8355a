"""Schemas of tools as tables and as calls: each argument with its type, and the parts of nested ones below it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from attrs import frozen

DEPTH_LIMIT = 6  # schemas may refer to themselves
ALTERNATIVES = ("anyOf", "oneOf", "allOf")
EXAMPLES: Mapping[str, Any] = {"integer": 1, "number": 1, "boolean": True, "null": None}


@frozen
class SchemaRow:
    """An argument, or a part of one.

    :ivar name: its path, such as ``entities[].name``.
    :ivar types: its type in words, or its possible values.
    """

    name: str
    types: str
    is_needed: bool
    about: str


def rows(schema: object, *, is_deep: bool = True) -> Iterator[SchemaRow]:
    """Iterate over the properties of a schema, each with its parts behind it."""
    if isinstance(schema, dict):
        yield from _properties(schema, schema, "", DEPTH_LIMIT if is_deep else 1)


def types_of(schema: object) -> set[str]:
    """Return the types of a schema, those of its alternatives included."""
    if not isinstance(schema, dict):
        return set()
    kind = schema.get("type")
    found = {each for each in (kind if isinstance(kind, list) else [kind]) if isinstance(each, str)}
    for key in ("anyOf", "oneOf"):
        others = schema.get(key)
        for each in others if isinstance(others, list) else ():
            found |= types_of(each)
    return found


def unknown(names: Mapping[str, Any], schema: object) -> dict[str, str]:
    """Return the arguments that a schema does not name, each with the nearest known name, or ""."""
    known = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(known, dict):
        return {}
    if any(schema.get(key) for key in (*ALTERNATIVES, "patternProperties", "$ref")):
        return {}
    if schema.get("additionalProperties") is True or isinstance(schema.get("additionalProperties"), dict):
        return {}  # it says that it takes further ones
    return {name: _nearest(name, list(known)) for name in names if name not in known}


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    letters = [each for each in known if each.startswith(name[:1]) and _in_order(name, each)]
    return next(iter((*near, *letters)), "")


def _in_order(name: str, known: str) -> bool:
    left = iter(known)
    return all(letter in left for letter in name)


def example(schema: object) -> dict[str, Any]:
    """Return arguments of a call: those that are needed, or the first where none is."""
    if not isinstance(schema, dict):
        return {}
    found = _example(schema, schema, DEPTH_LIMIT)
    if not found and isinstance(schema.get("properties"), dict):
        first = dict(list(schema["properties"].items())[:1])
        return {name: _example(each, schema, DEPTH_LIMIT) for name, each in first.items()}
    return found if isinstance(found, dict) else {}


def _properties(
    schema: Mapping[str, Any], root: Mapping[str, Any], path: str, left: int
) -> Iterator[SchemaRow]:
    properties = schema.get("properties")
    if left <= 0 or not isinstance(properties, dict):
        return
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    for name, each in properties.items():
        declared = _resolved(each, root)
        own = f"{path}{name}"
        yield SchemaRow(own, _types(declared, root), name in needed, _about(declared))
        yield from _parts(declared, root, own, left - 1)


def _parts(declared: Mapping[str, Any], root: Mapping[str, Any], path: str, left: int) -> Iterator[SchemaRow]:
    yield from _properties(declared, root, f"{path}.", left)
    items = _resolved(declared.get("items"), root)
    if items and left > 0:
        yield from _parts(items, root, f"{path}[]", left)
    for each in _alternatives(declared, root):
        yield from _parts(each, root, path, left - 1) if left > 0 else ()


def _alternatives(declared: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [each for key in ALTERNATIVES if isinstance(declared.get(key), list) for each in declared[key]]
    return [_resolved(each, root) for each in found]


def _resolved(schema: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema, or the one in the same document that it refers to."""
    for _ in range(DEPTH_LIMIT):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(schema, dict) or not isinstance(reference, str):
            break
        found: Any = root
        for part in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        others = {key: each for key, each in schema.items() if key != "$ref"}
        schema = {**found, **others} if isinstance(found, dict) else others
    return schema if isinstance(schema, dict) else {}


def _types(declared: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if isinstance(declared.get("enum"), list):
        return "|".join(each if isinstance(each, str) else json.dumps(each) for each in declared["enum"])
    if "const" in declared:
        return json.dumps(declared["const"], ensure_ascii=False)
    kinds = types_of(declared) or {kind for each in _alternatives(declared, root) for kind in types_of(each)}
    items = _resolved(declared.get("items"), root)
    inner = _types(items, root) if "array" in kinds and items and "items" not in items else ""
    words = [f"array of {inner}" if each == "array" and inner else each for each in sorted(kinds)]
    form = declared.get("format")
    return " or ".join(words) + (f" ({form})" if isinstance(form, str) else "")


def _about(declared: Mapping[str, Any]) -> str:
    text = " ".join(str(declared.get("description") or "").split())
    if "default" not in declared or declared["default"] is None:
        return text
    default = f"default: {json.dumps(declared['default'], ensure_ascii=False)}"
    return f"{text} ({default})" if text else default


def _example(schema: object, root: Mapping[str, Any], left: int) -> Any:
    declared = _resolved(schema, root)
    if "default" in declared and declared["default"] is not None:
        return declared["default"]
    if isinstance(declared.get("enum"), list) and declared["enum"]:
        return declared["enum"][0]
    if "const" in declared:
        return declared["const"]
    kinds = types_of(declared) - {"null"}
    if left > 0 and ("object" in kinds or isinstance(declared.get("properties"), dict)):
        properties, required = declared.get("properties"), declared.get("required")
        known = properties if isinstance(properties, dict) else {}
        needed = required if isinstance(required, list) else []
        return {each: _example(known[each], root, left - 1) for each in needed if each in known}
    if left > 0 and "array" in kinds:
        return [_example(declared.get("items"), root, left - 1)]
    others = _alternatives(declared, root)
    if not kinds and others and left > 0:
        return _example(others[0], root, left - 1)
    return next(
        (EXAMPLES[each] for each in sorted(kinds) if each in EXAMPLES and "string" not in kinds), "TEXT"
    )
