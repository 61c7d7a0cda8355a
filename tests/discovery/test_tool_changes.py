"""The differences between two lists of tools."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.discovery.tool_changes import CHANGES_LIMIT, DEPTH_LIMIT, compare, digest_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "required", "enum", "a", "b"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def tools(*listed: dict[str, Any]) -> tuple[Item, ...]:
    """Return the tools of a list."""
    return read_items("s", ListKind.TOOL, [Raw(json.dumps({"tools": listed}).encode())])


def takes(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """Return a tool with these arguments."""
    return {"name": "t", "inputSchema": {"properties": properties, "required": list(required)}}


class CompareTests:
    """The comparison."""

    def test_kinds(self):
        """Tools are removed, changed or added; those that are the same are left out."""
        same, former = {"name": "same"}, {"name": "is", "description": "Read"}
        found = compare(
            tools(same, former, {"name": "gone"}),
            tools({"name": "new", "description": "New"}, same, {**former, "description": "Send"}),
        )
        assert [(each.tool, each.kind, each.before, each.after) for each in found] == [
            ("gone", "removed", "", ""),
            ("is", "changed", "Read", "Send"),
            ("new", "added", "", "New"),
        ]

    @pytest.mark.parametrize(
        ("before", "after", "breaks"),
        [
            (takes({"a": {}}), takes({"a": {}}, "a"), ["argument a is required now"]),
            (takes({"a": {}}), takes({}), ["argument a is gone"]),
            (takes({}), takes({"a": {}}), []),
            (
                takes({"a": {"type": ["string", "null"]}}),
                takes({"a": {"type": "string"}}),
                ["argument a takes string only"],
            ),
            (takes({"a": {"type": "integer"}}), takes({"a": {"type": "number"}}), []),
            (
                takes({"a": {"enum": ["x", "y"]}}),
                takes({"a": {"enum": ["x"]}}),
                ['argument a does not take "y" any more'],
            ),
            (
                takes({"a": {"properties": {"b": {}}}}),
                takes({"a": {"properties": {}}}),
                ["argument a.b is gone"],
            ),
        ],
    )
    def test_arguments(self, before, after, breaks):
        """A change of the arguments that breaks callers is named."""
        (change,) = compare(tools(before), tools(after))
        assert (change.parts, list(change.breaks)) == (("inputSchema",), breaks)

    @pytest.mark.parametrize(
        ("before", "after", "breaks"),
        [
            ({"properties": {"a": {}}}, {"properties": {}}, ["member a of results is gone"]),
            ({"properties": {}}, {"properties": {"a": {}}}, []),
            (
                {"properties": {"a": {}}, "required": ["a"]},
                {"properties": {"a": {}}},
                ["member a of results may be absent"],
            ),
            (
                {"properties": {"a": {"type": "string"}}},
                {"properties": {"a": {"type": ["string", "null"]}}},
                ["member a of results is null, string now"],
            ),
            ({}, None, ["results are not structured any more"]),
        ],
    )
    def test_results(self, before, after, breaks):
        """A change of the results that breaks callers is named."""
        former = {"name": "t", "outputSchema": before}
        present = {"name": "t"} if after is None else {"name": "t", "outputSchema": after}
        (change,) = compare(tools(former), tools(present))
        assert list(change.breaks) == breaks

    @given(st.tuples(values, values), st.tuples(values, values))
    def test_any(self, schemas, others):
        """Any two schemas can be compared, and only equal definitions have no difference and one digest."""
        before, after = (
            tools({"name": "t", "inputSchema": inner, "outputSchema": outer})
            for inner, outer in (schemas, others)
        )
        found = compare(before, after)
        assert bool(found) is (digest_of(before[0]) != digest_of(after[0]))
        assert compare(before, before) == ()

    def test_limits(self):
        """Lists of any length and schemas of any depth are compared up to a limit."""
        assert len(compare((), tools(*({"name": f"t{number}"} for number in range(600))))) == CHANGES_LIMIT
        deep: dict[str, Any] = {}
        for _ in range(DEPTH_LIMIT * 3):
            deep = {"properties": {"a": deep}}
        (change,) = compare(
            tools({"name": "t", "inputSchema": deep}), tools({"name": "t", "inputSchema": {}})
        )
        assert change.breaks == ("argument a is gone",)

    def test_names_for_terminals(self):
        """A tool's name and its arguments are printed in one line without control characters."""
        (change,) = compare(tools({"name": "a\x1b[2J\nb"}), ())
        assert change.words.isprintable()


class DigestTests:
    """The digest of a tool."""

    def test_same(self):
        """The order of members, and members that nobody acts on, do not count."""
        one = {"name": "t", "description": "d", "inputSchema": {"type": "object", "properties": {}}}
        other = {"inputSchema": {"properties": {}, "type": "object"}, "_meta": {"x": 1}, **one}
        assert digest_of(tools(one)[0]) == digest_of(tools(other)[0])

    @pytest.mark.parametrize(
        "change",
        [{"name": "u"}, {"title": "x"}, {"description": "x"}, {"annotations": {}}, {"inputSchema": 1}],
    )
    def test_other(self, change):
        """Every part of a definition counts."""
        one = {"name": "t", "description": "d"}
        assert digest_of(tools(one)[0]) != digest_of(tools({**one, **change})[0])
