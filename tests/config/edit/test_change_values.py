"""The edits that alter the values of an entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.edit.change import ENV, HEADERS, added, is_on, read_patch, switched, taken
from mcpgateway.config.edit.edits import Edit, Put, Remove, changed

NAMES = st.sampled_from("ABCD")
VALUES = st.dictionaries(NAMES, st.sampled_from(["", "x", "y=z"]))


def after(entry: dict[str, Any], edits: tuple[Edit, ...]) -> dict[str, Any]:
    """The entry when all edits have been made."""
    whole: Any = {"s": entry}
    for each in edits:
        whole = changed(whole, each, "file")
    found: dict[str, Any] = whole["s"]
    return found


def variables(entry: dict[str, Any]) -> dict[str, str]:
    """The variables of an entry, however they are written."""
    held = entry.get("env", entry.get("environment", {}))
    return dict(each.split("=", 1) for each in held) if isinstance(held, list) else held


class SwitchTests:
    """The edits that switch a server on and off."""

    @pytest.mark.parametrize("on", [True, False])
    @pytest.mark.parametrize(
        "entry",
        [
            {},
            {"enabled": True},
            {"enabled": False},
            {"disabled": True},
            {"disabled": False},
            {"enabled": True, "disabled": True},
            {"enabled": False, "disabled": False},
            {"enabled": False, "disabled": True},
        ],
    )
    def test_every_spelling(self, entry: dict[str, Any], *, on: bool) -> None:
        """An entry of any spelling is on or off afterwards, and untouched where it was so already."""
        edits = switched("s", entry, on=on)
        assert is_on(after(entry, edits)) is on
        assert bool(edits) is (is_on(entry) is not on)

    def test_its_own_word(self) -> None:
        """The word that stands there is used."""
        assert switched("s", {"disabled": False}, on=False) == (Put(("s", "disabled"), True),)
        assert switched("s", {}, on=False) == (Put(("s", "enabled"), False),)


class ValuesTests:
    """Variables and headers."""

    @given(VALUES, VALUES, st.sampled_from(["env", "environment"]), st.sampled_from([list, dict]))
    def test_added(self, held: dict[str, str], new: dict[str, str], key: str, form: type) -> None:
        """An added value stands beside the values before it; nothing is written twice."""
        entry: dict[str, Any] = {key: [f"{a}={b}" for a, b in held.items()] if form is list else held}
        edits = added("s", entry, ENV, new)
        made = after(entry, edits)
        assert variables(made) == {**held, **new}
        assert added("s", made, ENV, new) == ()

    @given(VALUES, st.lists(NAMES), st.sampled_from(["env", "environment"]), st.sampled_from([list, dict]))
    def test_taken(self, held: dict[str, str], gone: list[str], key: str, form: type) -> None:
        """A removed value is gone, and all others stay."""
        entry: dict[str, Any] = {key: [f"{a}={b}" for a, b in held.items()] if form is list else held}
        made = after(entry, taken("s", entry, ENV, gone))
        assert variables(made) == {name: value for name, value in held.items() if name not in gone}
        assert taken("s", made, ENV, gone) == ()

    def test_headers(self) -> None:
        """Headers are changed one by one."""
        entry = {"url": "http://x", "headers": {"A": "1", "B": "2"}}
        assert added("s", entry, HEADERS, {"A": "1", "C": "3"}) == (Put(("s", "headers", "C"), "3"),)
        assert taken("s", entry, HEADERS, ["B", "D"]) == (Remove(("s", "headers", "B")),)

    def test_case(self) -> None:
        """A header is the same however it is capitalised; a variable is another."""
        entry = {"url": "http://x", "headers": {"X-Key": "1"}, "env": {"Key": "1"}}
        assert added("s", entry, HEADERS, {"x-key": "2"}) == (Put(("s", "headers", "X-Key"), "2"),)
        assert added("s", {}, HEADERS, {"A": "1", "a": "2"}) == (Put(("s", "headers", "A"), "2"),)
        assert taken("s", entry, HEADERS, ["x-KEY"]) == (Remove(("s", "headers", "X-Key")),)
        assert added("s", entry, ENV, {"KEY": "2"}) == (Put(("s", "env", "KEY"), "2"),)
        assert taken("s", entry, ENV, ["KEY"]) == ()


class ProgramTests:
    """Another program for an entry."""

    @pytest.mark.parametrize(
        ("entry", "values", "command"),
        [
            ({"command": "npxx", "args": ["-y"]}, {"command": "npx"}, "npx"),
            ({"command": ["npxx", "-y", "notes"]}, {"command": "npx"}, ["npx", "-y", "notes"]),
            ({"command": ["npxx", "-y"]}, {"command": "npx", "args": ["notes"]}, "npx"),
            ({"command": ["npxx", "-y"]}, {"command": ["uvx", "notes"]}, ["uvx", "notes"]),
            ({}, {"command": "npx"}, "npx"),
        ],
    )
    def test_arguments_stay(self, entry: dict[str, Any], values: dict[str, Any], command: Any) -> None:
        """The arguments stay where the entry has them in one list with the program, unless others are given."""
        patch = read_patch({"set": values})
        assert after(entry, patch.edits("s", entry))["command"] == command
