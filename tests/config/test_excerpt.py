"""Excerpts of files that cannot be parsed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.edit.toml import values
from mcpgateway.config.edit.yamltext import parse
from mcpgateway.config.excerpt import MASK, WIDTH, excerpt, value_column
from mcpgateway.config.problems import Problem, Problems, Wrong
from mcpgateway.config.read import parse_json

READERS: dict[str, Callable[[str], object]] = {
    "json": lambda text: parse_json(text, "f", Problems()),
    "yaml": lambda text: parse(text, "f", Problems()),
    "toml": lambda text: values(text, "f"),
}


def problem_of(kind: str, text: str) -> Problem:
    """The problem of a text that is no JSON, YAML or TOML."""
    with pytest.raises(Wrong) as caught:
        READERS[kind](text)
    return caught.value.problem


class SyntaxTests:
    """Errors of the parsers."""

    @pytest.mark.parametrize(
        ("kind", "text", "place", "shown"),
        [
            ("json", '{"a": 1,\n "b" 3}', (2, 6), [' "•" •}', "     ^"]),
            (
                "json",
                '{"servers": {"a": "hunter2",}}',
                (1, 29),
                ['{"servers": {"•": "•••••••",}}', " " * 28 + "^"],
            ),
            ("yaml", "a:\n  b: [x\n  c: hunter2\n", (3, 4), ["  c: •••••••", "   ^"]),
            ("toml", '[a]\nb = "hunter2" c\n', (2, 15), ['b = "•••••••" •', " " * 14 + "^"]),
        ],
    )
    def test_place(self, kind: str, text: str, place: tuple[int, int], shown: list[str]) -> None:
        """An error names line and column, and has the line without its values, with a caret at the column."""
        found = problem_of(kind, text)
        assert (found.where.line, found.where.column) == place
        assert found.excerpt.split("\n") == shown
        assert str(found).startswith(f"f, line {place[0]}, column {place[1]}: is not valid")
        assert "\n" not in str(found)


class ExcerptTests:
    """The line and its caret."""

    @given(
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n"), max_size=300), st.data()
    )
    def test_caret(self, line: str, data: st.DataObject) -> None:
        """The caret stands below its column, in a line of bounded width of characters that print."""
        column = data.draw(st.integers(1, len(line) + 1))
        shown, caret = excerpt(line, column).split("\n")
        assert len(shown) <= WIDTH
        assert shown.isprintable()
        assert caret.lstrip(" ") == "^"
        whole = excerpt(line, 0) if len(line.rstrip("\r")) <= WIDTH else None
        assert whole is None or shown == whole

    @given(st.text("abcXYZ0189_", min_size=1, max_size=40))
    def test_values(self, secret: str) -> None:
        """No letter and no digit of a value is shown, quoted or not."""
        for line in (
            f'"token": "{secret}" x',
            f"token: {secret}",
            f'  "{secret}"',
            f"- {secret}",
            f'["k", "{secret}"',
        ):
            shown = excerpt(line, 1).split("\n")[0]
            assert len(shown) == len(line)
            assert json.dumps(secret)[1:-1] not in shown.removeprefix('"token"').removeprefix("token")
            assert MASK in shown

    def test_usual_keys(self) -> None:
        """The usual keys of a line stay readable, and so do values that the error names."""
        assert excerpt('{"mcpServers" {"a": {"command": "hunter2"}}', 0) == (
            '{"mcpServers" {"•": {"command": "•••••••"}}'
        )
        assert excerpt('{"gateway": {"port" 9100}}', 0) == '{"gateway": {"port" ••••}}'
        assert excerpt("timeout: 9x # x", 10, ["9x"]) == "timeout: 9x # •\n         ^"
        assert (value_column('  "timeout": 9', "timeout"), value_column("b: 1", "timeout")) == (14, 0)
