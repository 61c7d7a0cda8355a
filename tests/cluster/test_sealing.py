"""Tests of the sealing of documents."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcpgateway.cluster.sealing import Sealing, Unsealable

KEYS = st.binary(min_size=32, max_size=32)
NAMES = st.text(max_size=20)


@given(KEYS, NAMES, NAMES, st.binary(max_size=1000))
def test_opened(key: bytes, kind: str, name: str, body: bytes) -> None:
    """A body that is sealed is opened by its key, under its kind and name."""
    sealing = Sealing((key,))
    sealed = sealing.seal(kind, name, body)
    assert sealing.open(kind, name, sealed) == (body, True)
    assert len(body) < 8 or body not in sealed


@given(KEYS, NAMES, NAMES, NAMES, NAMES)
def test_bound(key: bytes, kind: str, name: str, other_kind: str, other_name: str) -> None:
    """A body cannot be put into the place of another document, also where the two names together are the same."""
    assume((kind, name) != (other_kind, other_name))
    sealing = Sealing((key,))
    sealed = sealing.seal(kind, name, b"body")
    with pytest.raises(Unsealable):
        sealing.open(other_kind, other_name, sealed)


@given(st.binary(max_size=60), st.data())
def test_changed(body: bytes, data: st.DataObject) -> None:
    """A body of which any bit is changed, or that is cut off, is not opened."""
    sealing = Sealing((bytes(32),))
    sealed = bytearray(sealing.seal("kind", "name", body))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    for each in (bytes(sealed), bytes(sealed[: bit // 8])):
        with pytest.raises(Unsealable):
            sealing.open("kind", "name", each)


@given(st.lists(KEYS, min_size=2, max_size=4, unique=True))
def test_former(keys: list[bytes]) -> None:
    """What a former key has sealed is opened, and told apart; what an unknown one has sealed is not."""
    sealed = Sealing(keys[1:]).seal("kind", "name", b"body")
    assert Sealing(keys).open("kind", "name", sealed) == (b"body", False)
    with pytest.raises(Unsealable):
        Sealing(keys[:1]).open("kind", "name", sealed)
