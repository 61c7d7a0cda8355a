"""The notifications that a subscriber wants, as sets and as the filter of a ``subscriptions/listen``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.errors import Overloaded
from mcpgateway.hub.subscriptions.interest import LISTS, URIS_LIMIT, Interest, narrowed, read_interest
from mcpgateway.protocol import jsonrpc

texts = st.frozensets(st.sampled_from("abc"))
interests = st.builds(Interest, st.frozensets(st.sampled_from(sorted(LISTS))), texts, texts)


class InterestTests:
    """Interests, as sets."""

    @given(interests)
    def test_written_and_read(self, one: Interest) -> None:
        """An interest that is written is read as the same."""
        assert read_interest({"notifications": jsonrpc.raw(one.written())}) == one
        assert bool(one) is bool(one.written())

    @given(interests, interests, interests)
    def test_sets(self, one: Interest, two: Interest, three: Interest) -> None:
        """Unions cover their parts, and what two have in common is covered by both."""
        assert one <= one | two
        assert one & two <= one
        assert (one <= two) is (one | two == two)
        assert (one | two) & three == (one & three) | (two & three)

    @given(st.text() | st.binary())
    def test_nonsense(self, said: Any) -> None:
        """A value that is no filter asks for nothing."""
        raw = Raw(said.encode(errors="surrogatepass") if isinstance(said, str) else said)
        assert isinstance(read_interest({"notifications": raw}), Interest)

    @pytest.mark.parametrize(
        "said",
        [None, 5, [], {"toolsListChanged": 1, "resourceSubscriptions": "a", "taskIds": {"a": 1}, "x": True}],
    )
    def test_strange_members(self, said: Any) -> None:
        """Strange members are left out."""
        assert not read_interest({"notifications": jsonrpc.raw(said)})

    def test_bearable(self) -> None:
        """There is a limit to what one can name."""
        few = frozenset(map(str, range(URIS_LIMIT)))
        assert narrowed(Interest(uris=few, tasks=few)) == Interest(uris=few, tasks=few)
        for strange in (Interest(uris=few | {"x"}), Interest(tasks=few | {"x"})):
            with pytest.raises(Overloaded):
                narrowed(strange)
