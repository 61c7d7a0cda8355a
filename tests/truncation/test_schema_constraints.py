"""The parts that a JSON Schema allows to be left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from mcpgateway.truncation.schema_constraints import FREE, Permit, permit_of


def raw(value: Any) -> Raw:
    """A value as bytes."""
    return Raw(json.dumps(value).encode())


def permit(schema: Any, value: Any) -> Permit:
    """Return the permit of a schema for a value."""
    return permit_of(raw(schema), raw(value))


class PermitTests:
    """The three ways to cut."""

    def test_without_a_schema(self) -> None:
        """Without a schema anything goes, and may be marked."""
        assert permit_of(None, raw([])) is FREE
        assert FREE.member("x", raw(1)).is_free
        assert not permit({}, []).is_free

    def test_arrays(self) -> None:
        """An array keeps the items that its schema requires."""
        assert permit({"type": "array", "minItems": 3, "uniqueItems": True}, [1] * 9).fewest == 3
        assert (
            permit({"items": [{"minLength": 2}], "type": "array"}, ["abc"]).item(0, raw("abc")).allows_text(1)
            is False
        )

    def test_texts(self) -> None:
        """A text may be another one where only its length is said."""
        assert permit({"type": "string", "maxLength": 10}, "x").allows_text(10)
        assert not permit({"type": "string", "maxLength": 10}, "x").allows_text(11)
        for each in (
            {"pattern": "x"},
            {"format": "date"},
            {"enum": ["x"]},
            {"const": "x"},
            {"minLength": 50},
        ):
            assert not permit({"type": "string", **each}, "x").allows_text(5)

    def test_objects(self) -> None:
        """An object may lose what is not required."""
        found = permit({"required": ["a"], "minProperties": 2}, {"a": 1, "b": 2, "c": 3})
        assert not found.allows_loss("a", 2)
        assert found.allows_loss("b", 2)
        assert not found.allows_loss("b", 1)

    @pytest.mark.parametrize(
        "schema",
        [
            {"if": {}},
            {"not": {}},
            {"contains": {}},
            {"anyOf": [{"type": "array"}, {"type": ["array", "null"]}]},
            {"$ref": "https://elsewhere/schema"},
            {"$ref": "#/nowhere"},
            {"$ref": "#"},
            {"dependentRequired": {}},
            {"novel": 1},
            {"required": "a"},
            {"allOf": [False]},
            False,
            5,
        ],
    )
    def test_what_is_not_understood(self, schema: Any) -> None:
        """Where a schema could judge otherwise of a part than of the whole, everything stays."""
        found = permit(schema, [1, 2])
        assert found.is_frozen
        assert found.item(0, raw(1)).is_frozen
        assert not found.allows_text(1)
        assert not found.allows_loss("x", 9)

    def test_combinations(self) -> None:
        """References, all-of and the one form of the right type are followed."""
        schema = {
            "$defs": {"List": {"type": "array", "minItems": 2}, "a/b": {"$ref": "#/$defs/List"}},
            "allOf": [{"properties": {"x": {"$ref": "#/$defs/a~1b"}}}],
            "properties": {"x": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/List"}, {"type": "string"}]}},
            "additionalProperties": {"type": "array", "minItems": 7},
        }
        found = permit(schema, {"x": [1, 2, 3]})
        assert found.member("x", raw([1, 2, 3])).fewest == 2
        assert found.member("y", raw([1] * 9)).fewest == 7

    def test_no_schema_at_all(self) -> None:
        """A schema that is no JSON object allows no cut."""
        assert permit_of(Raw(b"{"), raw([])).is_frozen
