"""Changes of an entry as programs ask for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.edit import Put, Remove, Rename
from mcpgateway.config.patch import Patch, read_patch
from mcpgateway.errors import InvalidParams

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


class ReadTests:
    """The body of a PATCH."""

    def test_all(self) -> None:
        """Every member of S003's."""
        said = {
            "disabled": True,
            "add_env": ["A=1=2"],
            "remove_env": ["B"],
            "add_headers": {"X-A": "1"},
            "remove_headers": ["X-B"],
            "new_name": "other",
        }
        assert read_patch(said) == Patch(True, {"A": "1=2"}, ("B",), {"X-A": "1"}, ("X-B",), "other")

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"env": {"A": "1"}}, Patch(add_env={"A": "1"})),
            ({"headers": {"A": "1"}}, Patch(add_headers={"A": "1"})),
            ({"enabled": True}, Patch(disabled=False)),
            ({"disabled": False, "enabled": True}, Patch(disabled=False)),
        ],
    )
    def test_other_spellings(self, said: dict[str, Any], expected: Patch) -> None:
        """What its first release called them, and the positive word."""
        assert read_patch(said) == expected

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"command": "sh"},
            {"disabled": "yes"},
            {"disabled": None},
            {"add_env": None},
            {"remove_env": None},
            {"new_name": None},
            {"disabled": True, "enabled": True},
            {"add_env": ["A"]},
            {"add_env": {"A": 1}},
            {"add_env": {"": "x"}},
            {"add_env": ["=x"]},
            {"add_env": {"A B": "x"}},
            {"add_env": {"A=B": "x"}},
            {"add_env": {"A": "x\ny"}},
            {"add_env": {"A": "x\0"}},
            {"add_headers": {"A": "x\r\nB: y"}},
            {"add_env": {"A": "1"}, "remove_env": ["A"]},
            {"add_headers": {"A": "1"}, "remove_headers": ["a"]},
            {"add_env": {"A": "1"}, "env": {"A": "1"}},
            {"remove_env": "A"},
            {"remove_headers": [1]},
            {"new_name": ""},
            {"new_name": 1},
        ],
    )
    def test_refused(self, said: dict[str, Any]) -> None:
        """What is no change, contradicts itself, or would end a line, is refused."""
        with pytest.raises(InvalidParams):
            read_patch(said)

    @given(st.dictionaries(st.sampled_from(["disabled", "add_env", "remove_env", "headers", "x"]), JSON))
    def test_anything(self, said: dict[str, Any]) -> None:
        """Whatever is said, it is read or refused as the caller's mistake."""
        try:
            read_patch(said)
        except InvalidParams:
            pass


class EditsTests:
    """What it comes to."""

    def test_the_name_comes_last(self) -> None:
        """All is changed under the old name, which changes then."""
        patch = Patch(False, {"A": "1"}, ("B",), {}, (), "new")
        entry = {"command": "x", "disabled": True, "env": {"B": "2"}}
        assert patch.edits("s", entry) == (
            Put(("s", "env", "A"), "1"),
            Remove(("s", "env", "B")),
            Put(("s", "disabled"), False),
            Rename(("s",), "new"),
        )

    def test_one_list(self) -> None:
        """Where variables are one list, nothing that was set is lost by what is taken away."""
        patch = Patch(add_env={"A": "1"}, remove_env=("B",))
        assert patch.edits("s", {"env": ["B=2", "C=3"]})[-1] == Put(("s", "env"), ["C=3", "A=1"])

    def test_nothing(self) -> None:
        """What is so already comes to nothing."""
        assert Patch(False, {"A": "1"}, ("B",), {}, (), "s").edits("s", {"env": {"A": "1"}}) == ()

    def test_what_is_powerful(self) -> None:
        """Values are as powerful as a command; a switch and a name are not."""
        assert Patch(remove_headers=("A",)).gives
        assert not Patch(disabled=True, new_name="x").gives

    def test_no_value_is_shown(self) -> None:
        """Values stand in no representation."""
        assert "secret" not in repr(Patch(add_env={"A": "secret"}, add_headers={"B": "secret"}))
