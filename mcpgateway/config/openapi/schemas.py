"""Schemas of an OpenAPI document as JSON Schemas that stand alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from mcpgateway.config.openapi.lazy_json import opened

REF = "$ref"
REF_STEPS = 20  # references to references
DEPTH_LIMIT = 12  # levels of one schema; deeper ones allow anything
NODES_LIMIT = 2000  # schemas within the schema of one tool; a model reads all of it

# Keywords of a schema that hold schemas; any other keyword holds a plain value.
ONE = frozenset(
    "items additionalProperties not if then else contains propertyNames unevaluatedItems"
    " unevaluatedProperties contentSchema".split()
)
MANY = frozenset("allOf anyOf oneOf prefixItems".split())
NAMED = frozenset("properties patternProperties dependentSchemas".split())
DROPPED = frozenset("discriminator xml externalDocs example examples nullable readOnly writeOnly".split())
DROPPED |= frozenset("$schema $id $anchor $dynamicRef $dynamicAnchor $defs $comment".split())


def resolved(document: Mapping[str, Any], value: Any) -> Any:
    """Follow references within the document; None for one to nothing, to another document, or to itself."""
    value = opened(value)
    for _ in range(REF_STEPS):
        if not isinstance(value, dict) or not isinstance(value.get(REF), str):
            return value
        value = _at(document, value[REF])
    return None


def _at(document: Mapping[str, Any], pointer: str) -> Any:
    # RFC 6901, as a fragment of a URI.
    if not pointer.startswith("#/"):
        return None
    found: Any = document
    for step in pointer[2:].split("/"):
        name = _unquoted(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        elif isinstance(found, dict):
            found = found.get(name)
        else:
            return None
        found = opened(found)
    return found


def _unquoted(step: str) -> str:
    if "%" not in step:
        return step
    from urllib.parse import unquote

    return unquote(step)


@define
class Schemas:
    """Replaces references by their targets, for the schemas of one tool.

    A schema that contains itself is shown once within itself and allows anything there, as do schemas beyond the
    limits.

    :ivar is_old: the document is of OpenAPI 3.0, whose schemas differ from JSON Schema in a few keywords.
    :ivar limit: the most schemas within one.
    """

    document: Mapping[str, Any]
    is_old: bool
    limit: int = NODES_LIMIT
    _nodes: int = 0
    _open: list[str] = field(factory=list)

    @property
    def is_over(self) -> bool:
        """True if a part was left out because of the limit."""
        return self._nodes > self.limit

    def inlined(self, schema: Any) -> dict[str, Any]:
        """Return a schema without references."""
        found = self._schema(schema, 0)
        return found if isinstance(found, dict) else {}

    def _schema(self, schema: Any, depth: int) -> Any:
        if isinstance(schema, bool):
            return schema
        self._nodes += 1
        if not isinstance(schema, dict) or depth > DEPTH_LIMIT or self._nodes > self.limit:
            return {}
        reference = schema.get(REF)
        if not isinstance(reference, str):
            return self._members(schema, depth)
        if reference in self._open:
            return _without_members(resolved(self.document, schema))
        self._open.append(reference)
        found = self._schema(_at(self.document, reference), depth + 1)
        self._open.pop()
        beside = {key: each for key, each in schema.items() if key in ("description", "default", "title")}
        return found | beside if isinstance(found, dict) else found

    def _members(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in schema.items():
            if key in DROPPED or key.startswith("x-") or (key in NAMED and not isinstance(value, dict)):
                continue
            if key in ONE:
                found[key] = self._schema(value, depth + 1)
            elif key in MANY and isinstance(value, list):
                found[key] = [self._schema(each, depth + 1) for each in value]
            elif key in NAMED:
                found[key] = {
                    name: self._schema(each, depth + 1)
                    for name, each in value.items()
                    if not _is_read_only(each)
                }
            else:
                found[key] = value
        _tidy_required(found)
        if self.is_old:
            _modernize(schema, found)
        return _merged(found)


def _is_read_only(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _tidy_required(found: dict[str, Any]) -> None:
    # Members that only the service sets are not arguments.
    required, properties = found.pop("required", None), found.get("properties")
    if not isinstance(required, list):
        return  # OpenAPI 2 has a flag of that name, and authors mix them up
    names = [name for name in required if isinstance(name, str)]
    if isinstance(properties, dict):
        names = [name for name in names if name in properties]
    if names:
        found["required"] = names


def _modernize(old: Mapping[str, Any], found: dict[str, Any]) -> None:
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(found.get(word), bool) and found.pop(word) and bound in found:
            found[word] = found.pop(bound)
    if old.get("nullable") is True:
        if isinstance(found.get("type"), str):
            found["type"] = [found["type"], "null"]
        if isinstance(found.get("enum"), list) and None not in found["enum"]:
            found["enum"] = [*found["enum"], None]


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    # Several objects of which all must hold are one object with the properties of all.
    parts = schema.get("allOf")
    if not isinstance(parts, list) or not all(_is_object(each) for each in parts):
        return schema
    rest = {key: value for key, value in schema.items() if key != "allOf"}
    whole: dict[str, Any] = {"type": "object", "properties": {}}
    required: list[str] = []
    for part in (*parts, rest):
        whole["properties"] |= part.get("properties", {})
        required += part.get("required", [])
        whole |= {key: value for key, value in part.items() if key not in ("properties", "required", "type")}
    if required:
        whole["required"] = list(dict.fromkeys(required))
    return whole


def _is_object(schema: Any) -> bool:
    known = {"type", "properties", "required", "description", "title", "additionalProperties"}
    return isinstance(schema, dict) and schema.get("type", "object") == "object" and schema.keys() <= known


def _without_members(schema: Any) -> dict[str, Any]:
    # A schema within itself: its type, without its members.
    known = schema if isinstance(schema, dict) else {}
    return {key: known[key] for key in ("type", "title", "description") if isinstance(known.get(key), str)}
