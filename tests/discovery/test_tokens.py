"""The cost of tools in tokens."""

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.discovery.tokens import Cost, cost_of, estimate
from tests.support.listed import items


class EstimateTests:
    """Tokens of a text."""

    @given(st.text())
    def test_quarter(self, text):
        """A token is four characters, in a text and in its bytes."""
        assert estimate(text) == estimate(text.encode()) == len(text) // 4


class CostTests:
    """Tokens of tools."""

    def test_schemas_and_descriptions(self):
        """Schemas count as they are written, descriptions without their quotes, and the total is both."""
        listed = items("a", {"name": "x", "description": "eight ch", "inputSchema": {"type": "object"}}, "y")
        assert cost_of(listed) == Cost(2, 4, 2)
        assert cost_of(listed).total == 6
