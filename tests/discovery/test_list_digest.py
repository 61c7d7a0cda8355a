"""Digits for what a view lists."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.discovery.list_digest import topology

definitions = st.lists(st.binary(max_size=8), max_size=5, unique=True)


class TopologyTests:
    @given(definitions, st.randoms(use_true_random=False))
    def test_order(self, listed, random):
        """The order of a list makes no other digits."""
        shuffled = list(listed)
        random.shuffle(shuffled)
        assert topology(shuffled) == topology(listed)
        assert re.fullmatch("[0-9a-f]{8}", topology(listed))

    @given(definitions, definitions)
    def test_another_list(self, one, other):
        """Another list has other digits."""
        assert (topology(one) == topology(other)) == (set(one) == set(other))
