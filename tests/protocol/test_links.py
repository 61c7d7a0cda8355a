"""Tests of the header of links between nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.protocol.links import SaidLink, link_header, read_link

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@given(st.builds(SaidLink, TEXTS, TEXTS, TEXTS, st.integers(0, 2**63)))
def test_round_trip(link: SaidLink) -> None:
    """A header is read as it was written, whatever the principal, the workspace and the lease are called."""
    assert read_link(link_header(link).encode()) == link


@pytest.mark.parametrize(
    "value", [b"", b"- - 1", b"- - - x", b"zz - - 1", b"- - ff 1", b"- - - 1 2", b"0" * 13_000]
)
def test_unreadable(value: bytes) -> None:
    """Anything else is no link."""
    assert read_link(value) is None
