"""The clients that get a server's notifications."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy import routing


@frozen(eq=False)
class Client:
    """A session as the rule sees it."""

    principal: str = "local"
    level: str = "debug"


def of_log_message(level: str, in_flight: Sequence[Client], everyone: Sequence[Client]) -> list[Client]:
    """Return the clients that get a log message: those of a notice whose level admits it."""
    return [each for each in routing.of_notice(in_flight, everyone) if routing.admits(each.level, level)]


class LogMessageTests:
    """Log messages name no call."""

    def test_the_only_one_under_way(self) -> None:
        """The message of a server with one session under way is that session's."""
        one, two = Client(), Client()
        assert of_log_message("info", [one, one], [one, two]) == [one]

    def test_several_of_one_principal(self) -> None:
        """Several sessions of one user all hear it, each once."""
        one, two = Client(), Client()
        assert of_log_message("info", [one, two, one], [one, two, Client()]) == [one, two]

    def test_several_principals(self) -> None:
        """Between users nothing leaks."""
        assert not of_log_message("info", [Client("a"), Client("b")], [])
        assert not of_log_message("info", [], [Client("a"), Client("b")])

    def test_nobody_under_way(self) -> None:
        """The message of a server with no session under way goes to every session."""
        one, two = Client(), Client(level="error")
        assert of_log_message("info", [], [one, two]) == [one]

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
        assert bool(of_log_message(level, [Client(level=wanted)], [])) is heard

    @given(st.lists(st.sampled_from(routing.LEVELS)))
    def test_most_verbose(self, levels: list[str]) -> None:
        """The server is set to a level that lets everybody hear what they asked for."""
        chosen = routing.most_verbose(levels)
        assert (chosen is None) is (not levels)
        if chosen is not None:
            assert all(routing.admits(chosen, level) for level in levels)

    def test_other_notices(self) -> None:
        """Any other notice is for those under way, else for all, as long as they are one principal's."""
        one, two, other = Client(), Client(), Client("b")
        assert routing.of_notice([one, one], [one, two]) == [one]
        assert routing.of_notice([one, two], []) == [one, two]
        assert routing.of_notice([], [one, two]) == [one, two]
        assert not routing.of_notice([one, other], [])
        assert not routing.of_notice([], [one, other])
        assert not routing.of_notice([], [])


sessions = st.builds(Client, st.sampled_from("ab"), st.sampled_from([*routing.LEVELS, "loud"]))


class AnyCircleTests:
    """Rules for any set of connected clients."""

    @given(st.lists(sessions, max_size=5), st.lists(st.integers(0, 9), max_size=6), st.text(max_size=9))
    def test_notices(self, everyone: list[Client], under_way: list[int], level: str) -> None:
        """A notice goes once to each session, where all have one principal, and else to none; a level only takes
        away.
        """
        in_flight = [everyone[each] for each in under_way if each < len(everyone)]
        heard = routing.of_notice(in_flight, everyone)
        assert len(set(heard)) == len(heard)
        assert set(heard) <= set(in_flight or everyone)
        assert len({each.principal for each in heard}) <= 1
        if len({each.principal for each in in_flight or everyone}) == 1:
            assert set(heard) == set(in_flight or everyone)
        else:
            assert not heard
        for said in (level, *routing.LEVELS):
            quiet = of_log_message(said, in_flight, everyone)
            assert list(quiet) == [each for each in heard if routing.admits(each.level, said)]

    @given(st.sampled_from(routing.LEVELS), st.sampled_from(routing.LEVELS))
    def test_order(self, wanted: str, level: str) -> None:
        """A level admits itself and whatever is worse."""
        assert routing.admits(wanted, wanted)
        assert routing.admits(wanted, level) or routing.admits(level, wanted)
        assert routing.admits(routing.LEVELS[0], level)
        assert routing.admits(level, routing.LEVELS[-1])

    @given(st.text(max_size=9), st.sampled_from(routing.LEVELS))
    def test_unknown_levels(self, unknown: str, level: str) -> None:
        """A level that nobody knows hides nothing, neither as a wish nor as a message's."""
        if unknown not in routing.LEVELS:
            assert routing.admits(unknown, level)
            assert routing.admits(level, unknown)

    def test_whoever_set_no_level(self) -> None:
        """A client that never set a level hears everything."""
        assert all(routing.admits(routing.DEFAULT_LEVEL, level) for level in routing.LEVELS)

    @given(st.lists(st.sampled_from([*routing.LEVELS, "loud"]), min_size=1))
    def test_the_level_is_one_of_theirs(self, levels: list[str]) -> None:
        """The server is set to nobody else's wish, and to no quieter one than anybody's."""
        chosen = routing.most_verbose(levels)
        assert chosen in levels
        assert all(routing.admits(chosen, each) for each in levels)


class PartTests:
    """Which resources are a part of which."""

    @pytest.mark.parametrize(
        ("uri", "whole", "is_part"),
        [
            ("file:///a", "file:///a", True),
            ("file:///a/b", "file:///a", True),
            ("file:///a/b", "file:///a/", True),
            ("file:///a#b", "file:///a", True),
            ("file:///ab", "file:///a", False),
            ("file:///a", "file:///a/b", False),
            ("urn:a:b", "urn:a", True),
            ("anything", "", False),
        ],
    )
    def test_parts(self, uri: str, whole: str, is_part: bool) -> None:  # noqa: FBT001 - what is expected
        """A URI is part of another one that it continues at a boundary of names."""
        assert routing.is_part(uri, whole) is is_part
