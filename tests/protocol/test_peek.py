"""Looking into members that may not be what they should be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.protocol import jsonrpc, peek

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=8,
)


class PeekTests:
    """Members that are read as they are, or as nothing."""

    @given(values)
    def test_any_value(self, value: Any) -> None:
        """A value is found by the reader of its kind, and by no other."""
        envelope = {"it": jsonrpc.raw(value)}
        is_object = isinstance(value, dict)
        assert peek.mapping(envelope, "it") == (value if is_object else {})
        found = peek.members(envelope, "it")
        assert {key: jsonrpc.value(each, object) for key, each in found.items()} == (
            value if is_object else {}
        )
        assert peek.text(envelope, "it") == (value if isinstance(value, str) else None)

    @pytest.mark.parametrize("envelope", [None, {}, {"other": Raw(b"{}")}])
    def test_absent(self, envelope: Any) -> None:
        """An absent member is empty."""
        assert (peek.mapping(envelope, "it"), peek.members(envelope, "it")) == ({}, {})
        assert peek.text(envelope, "it") is None

    def test_too_long(self) -> None:
        """A string beyond its limit reads as nothing."""
        envelope = {"it": jsonrpc.raw("x" * 10)}
        assert peek.text(envelope, "it", 10) == "x" * 10
        assert peek.text(envelope, "it", 9) is None
