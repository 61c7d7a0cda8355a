"""JSON values without secrets."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.secrets.redaction import MASK, Redactor
from mcpgateway.policy.secrets.scrubbing import scrubbed

SECRET = "hunter2-and-more"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just(f"a\n{SECRET}\nb"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def redactor() -> Redactor:
    """A redactor that knows a secret."""
    made = Redactor()
    made.learn([SECRET])
    return made


class ScrubbingTests:
    """A value without its secrets."""

    @given(VALUES)
    def test_shape(self, value: Any) -> None:
        """The shape of a value stays as it is, and no known secret is in it."""
        found = scrubbed(value, redactor().redact)
        assert SECRET not in str(found)
        assert type(found) is type(value)
        if isinstance(value, list | dict):
            assert len(found) <= len(value)

    @given(VALUES)
    def test_nothing_to_hide(self, value: Any) -> None:
        """Where nothing is secret, nothing is changed."""
        assert scrubbed(value, lambda text: text) == value or "token" in str(value).lower()

    def test_names(self) -> None:
        """A value under the name of a secret is left out; numbers and the rest stay."""
        said = {
            "token": "abc",
            "progressToken": 5,
            "name": "x",
            "in": [{"password": "p"}],
            "none": {"secret": ""},
        }
        assert scrubbed(said, redactor().redact) == {
            "token": MASK,
            "progressToken": 5,
            "name": "x",
            "in": [{"password": MASK}],
            "none": {"secret": ""},
        }

    def test_traces(self) -> None:
        """The place in a trace stays, though it looks like a key; what only bears its name does not."""
        parent, key = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "A1b2" * 12
        found = scrubbed({"_meta": {"traceparent": parent}, "traceparent": key, "x": "y"}, redactor().redact)
        assert found == {"_meta": {"traceparent": parent}, "traceparent": MASK, "x": "y"}

    def test_a_secret_of_several_lines(self) -> None:
        """A redactor that takes line ends away leaves every text where it was."""
        found = scrubbed({"a": "one\ntwo", "b": "three"}, lambda text: text.replace("one\ntwo", "•"))
        assert found == {"a": "•", "b": "three"}
