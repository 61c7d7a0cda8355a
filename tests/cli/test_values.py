"""What the words of a command become before the gateway gets them."""

import pytest

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.values import Expanding


class ExpandingTests:
    def test_values(self):
        """Variables are filled in here, and nothing in their values is by the gateway."""
        assert Expanding({"A": "${B}"}, is_on=True).text("x${A}") == "x${:-$}{B}"
        assert Expanding({"A": "1"}, is_on=False).text("x${A}") == "x${A}"

    @pytest.mark.parametrize("text", ["${keyring:a/b}", "x${cmd:id}"])
    def test_outside(self, text):
        """Nothing is asked for by a command, and what cannot be had does not silently become nothing."""
        with pytest.raises(Trouble, match="only taken from what is written into the configuration file"):
            Expanding({}, is_on=True).text(text)
