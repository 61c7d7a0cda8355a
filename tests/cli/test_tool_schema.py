"""Schemas of tools in tables and in calls."""

from __future__ import annotations

from typing import Any

from mcpgateway.cli.commands.servers.tool_schema import example, rows, unknown

ENTITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "who"},
        "kind": {"enum": ["person", "place"], "default": "place"},
        "observations": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "observations"],
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "entities": {"type": "array", "items": {"$ref": "#/$defs/Entity"}},
        "when": {"type": "string", "format": "date"},
    },
    "required": ["entities"],
    "$defs": {"Entity": ENTITY},
}


def test_nested() -> None:
    """The parts of an argument stand behind it, with their types, values, formats and defaults."""
    assert [(each.name, each.types, each.is_needed, each.about) for each in rows(SCHEMA)] == [
        ("entities", "array of object", True, ""),
        ("entities[].name", "string", True, "who"),
        ("entities[].kind", "person|place", False, 'default: "place"'),
        ("entities[].observations", "array of string", True, ""),
        ("when", "string (date)", False, ""),
    ]
    assert [each.name for each in rows(SCHEMA, is_deep=False)] == ["entities", "when"]


def test_recursive() -> None:
    """A schema that refers to itself, and one that is none, have a table too."""
    tree = {"properties": {"child": {"$ref": "#"}}, "required": ["child"]}
    assert len(list(rows(tree))) < 10
    assert example(tree)["child"]["child"]
    assert list(rows({"properties": {"a": None, "b": {"items": 3, "type": 7}}, "required": 1}))
    assert list(rows(None)) == []


def test_example() -> None:
    """A call has the arguments that are needed, or the first one."""
    assert example(SCHEMA) == {"entities": [{"name": "TEXT", "observations": ["TEXT"]}]}
    assert example({"properties": {"n": {"type": "integer"}}}) == {"n": 1}
    assert example({}) == {}


def test_unknown() -> None:
    """An argument that the schema does not name is found, with the name that was meant."""
    schema = {"properties": {"timezone": {}}}
    assert unknown({"tz": 1, "timezone": 2, "xyz": 3}, schema) == {"tz": "timezone", "xyz": ""}
    assert unknown({"tz": 1}, {**schema, "additionalProperties": True}) == {}
    assert unknown({"tz": 1}, {}) == {}
