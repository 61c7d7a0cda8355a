"""Conditions of requests that change entries."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.edit.conditions import EditCondition, read_condition
from mcpgateway.errors import InvalidParams, NeedsCondition, Outdated

A, B = '"a"', '"b"'


class ReadTests:
    """The headers of a condition."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (None, None),
            ("*", {"*"}),
            (A, {A}),
            ('"a", "b"', {A, B}),
            ('W/"a","b"', {B}),
            ('W/"a"', set()),
        ],
    )
    def test_if_match(self, header: str | None, expected: set[str] | None) -> None:
        """Tags stand in quotes; weak ones match nothing."""
        assert read_condition(header, None).matches == expected

    @pytest.mark.parametrize("header", ["a", '"a', '"a" "b"', "", "**", '"a",', '"' + "a" * 5000 + '"'])
    def test_nonsense(self, header: str) -> None:
        """A header that is no list of tags is refused, and not taken for a condition that holds."""
        with pytest.raises(InvalidParams):
            read_condition(header, None)

    def test_if_none_match(self) -> None:
        """The header If-None-Match is understood with a star only."""
        assert read_condition(None, "*").is_new
        with pytest.raises(InvalidParams):
            read_condition(None, A)

    @given(st.text())
    def test_anything(self, header: str) -> None:
        """A header of any text is read, or refused as the caller's mistake."""
        with suppress(InvalidParams):
            read_condition(header, None)


class CheckTests:
    """The check of a condition."""

    @pytest.mark.parametrize(
        ("condition", "tag"), [(EditCondition(), A), (EditCondition(), None), (read_condition("*", None), A)]
    )
    def test_holds(self, condition: EditCondition, tag: str | None) -> None:
        """A condition holds where none is given, or a star and an entry that exists."""
        condition.check(tag)

    @pytest.mark.parametrize(
        ("condition", "tag"),
        [
            (read_condition(A, None), B),
            (read_condition(A, None), None),
            (read_condition("*", None), None),
            (read_condition('W/"a"', None), A),
            (read_condition(None, "*"), A),
        ],
    )
    def test_does_not_hold(self, condition: EditCondition, tag: str | None) -> None:
        """A condition with another tag, without the entry, or against a present entry does not hold."""
        with pytest.raises(Outdated):
            condition.check(tag)

    def test_whoever_replaces_says_what(self) -> None:
        """A whole entry is not replaced unsaid."""
        with pytest.raises(NeedsCondition):
            EditCondition().check(A, replaces=True)
        EditCondition().check(None, replaces=True)
        read_condition("*", None).check(A, replaces=True)
