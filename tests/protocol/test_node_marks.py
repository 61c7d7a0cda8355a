"""Tests of the marks of nodes in ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.protocol.node_marks import mark_of, octets_in

OCTETS = st.binary(min_size=4, max_size=4)


@given(OCTETS, st.text(max_size=50))
def test_marked(octets: bytes, rest: str) -> None:
    """An id with a mark names its node, whatever follows."""
    assert octets_in(mark_of(octets) + rest) == octets


@given(st.from_regex(r"(job|r|mcpgc)_[a-z0-9_]{1,40}", fullmatch=True))
def test_unmarked(identifier: str) -> None:
    """An id of a gateway that is alone names no node."""
    assert octets_in(identifier) is None
