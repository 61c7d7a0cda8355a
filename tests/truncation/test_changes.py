"""What has changed between two results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.truncation.changes import MOST_BYTES, changes


def said(value: Any) -> bytes:
    """A result of one text, which is JSON unless it is a text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps({"content": [{"type": "text", "text": text}]}).encode()


LOG = "\n".join(f"line {nth}" for nth in range(100))


class ChangesTests:
    """Pairs of results."""

    def test_lines_of_a_text(self) -> None:
        """Of a text whole lines are compared, wherever they stand."""
        assert changes(said(LOG), said(f"first\n{LOG}")) == "1 line differs: + first."
        assert changes(said(LOG), said(LOG.replace("line 5\n", ""))) == "1 line differs: - line 5."

    def test_a_changed_value(self) -> None:
        """A value that has changed is told as it was and as it is, one after the other."""
        before: dict[str, Any] = {"a": list(range(50)), "b": {"state": "open"}}
        after = {**before, "b": {"state": "shut"}}
        assert (
            changes(said(before), said(after))
            == '2 lines differ: - $.b.state = "open"; + $.b.state = "shut".'
        )

    def test_no_more_than_a_few_are_shown(self) -> None:
        """Many lines are counted, and few are shown, each cut."""
        told = changes(said(LOG), said(LOG + "".join(f"\n{nth} " + "x" * 500 for nth in range(20))))
        assert told.startswith("20 lines differ: + ")
        assert told.endswith("; ….")
        assert len(told) < 600

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (said(LOG), said(LOG)),
            (said(LOG), said("something else\nentirely")),
            (said(LOG), said("x" * MOST_BYTES)),
            (said([*range(20)]), said([*range(50)])),
            (b"no result", said(LOG)),
            (b"", b""),
        ],
    )
    def test_nothing_to_tell(self, before: bytes, after: bytes) -> None:
        """Equal results, very different ones and very large ones have no differences that are worth telling."""
        assert changes(before, after) == ""
