"""Tests of merging what several nodes answer."""

from __future__ import annotations

from mcpgateway.frontends.http.nodes.control import merged


def test_rows() -> None:
    """Rows of all nodes stand together with their nodes, counts are summed, and all else is this node's own."""
    a = {"count": 1, "sessions": [{"id": "1"}], "state": "good", "names": ["x"]}
    b = {"count": 2, "sessions": [{"id": "2"}, {"id": "3"}], "state": "bad", "names": ["y"]}
    assert merged({"a": a, "b": b}, "b", ["c"]) == {
        "count": 3,
        "sessions": [{"id": "1", "node": "a"}, {"id": "2", "node": "b"}, {"id": "3", "node": "b"}],
        "state": "bad",
        "names": ["y"],
        "nodes": ["a", "b"],
        "missing": ["c"],
    }


def test_bare_list() -> None:
    """An answer that is a list itself becomes the items of an object."""
    found = merged({"a": [{"n": 1}], "b": [{"n": 2}]}, "a", [])
    assert found == {
        "items": [{"n": 1, "node": "a"}, {"n": 2, "node": "b"}],
        "nodes": ["a", "b"],
        "missing": [],
    }


def test_no_rows() -> None:
    """A list that is empty everywhere stays one, and a node of another release may answer without it."""
    assert merged({"a": {"items": []}, "b": {}}, "a", [])["items"] == []
    assert merged({"a": {"items": []}, "b": {"items": [{"n": 2}]}}, "a", [])["items"] == [
        {"n": 2, "node": "b"}
    ]
