"""Who hears what a server says unasked."""

from __future__ import annotations

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.rules import audience


@frozen(eq=False)
class Client:
    """A session as the rule sees it."""

    principal: str = "local"
    level: str = "debug"


class LogMessageTests:
    """Log messages name no call."""

    def test_the_only_one_under_way(self) -> None:
        """With one session under way the message is its own."""
        one, two = Client(), Client()
        assert audience.of_log_message("info", [one, one], [one, two]) == [one]

    def test_several_of_one_principal(self) -> None:
        """Several sessions of one user all hear it, each once."""
        one, two = Client(), Client()
        assert audience.of_log_message("info", [one, two, one], [one, two, Client()]) == [one, two]

    def test_several_principals(self) -> None:
        """Between users nothing leaks."""
        assert not audience.of_log_message("info", [Client("a"), Client("b")], [])
        assert not audience.of_log_message("info", [], [Client("a"), Client("b")])

    def test_nobody_under_way(self) -> None:
        """With nobody under way everybody hears it."""
        one, two = Client(), Client(level="error")
        assert audience.of_log_message("info", [], [one, two]) == [one]

    @pytest.mark.parametrize(
        ("wanted", "level", "heard"),
        [
            ("debug", "debug", True),
            ("error", "info", False),
            ("error", "emergency", True),
            ("warning", "nonsense", True),
        ],
    )
    def test_levels(self, wanted: str, level: str, *, heard: bool) -> None:
        """A session hears what its level admits."""
        assert bool(audience.of_log_message(level, [Client(level=wanted)], [])) is heard

    @given(st.lists(st.sampled_from(audience.LEVELS)))
    def test_most_verbose(self, levels: list[str]) -> None:
        """The server is set to a level that lets everybody hear what they asked for."""
        chosen = audience.most_verbose(levels)
        assert (chosen is None) is (not levels)
        if chosen is not None:
            assert all(audience.admits(chosen, level) for level in levels)

    def test_other_notices(self) -> None:
        """Any other notice is for those under way, else for all, as long as they are one principal's."""
        one, two, other = Client(), Client(), Client("b")
        assert audience.of_notice([one, one], [one, two]) == [one]
        assert audience.of_notice([one, two], []) == [one, two]
        assert audience.of_notice([], [one, two]) == [one, two]
        assert not audience.of_notice([one, other], [])
        assert not audience.of_notice([], [one, other])
        assert not audience.of_notice([], [])
