"""The words of a command, as the gateway gets them."""

from pathlib import Path

import click
import pytest

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.values import Expanding, TimeOption, headers, json_object


class ExpandingTests:
    def test_values(self):
        """Variables are filled in here, and nothing in their values is by the gateway."""
        assert Expanding({"A": "${B}"}, is_on=True).text("x${A}") == "x${:-$}{B}"
        assert Expanding({"A": "1"}, is_on=False).text("x${A}") == "x${A}"

    @pytest.mark.parametrize("text", ["${keyring:a/b}", "x${cmd:id}"])
    def test_outside(self, text):
        """A value asks no command, and one that cannot be fetched does not silently become empty."""
        with pytest.raises(Trouble, match="only taken from what is written into the configuration file"):
            Expanding({}, is_on=True).text(text)


class HeadersTests:
    """Headers of a command line."""

    @pytest.mark.parametrize(
        "words",
        [
            ["Authorization=Bearer t=:k"],
            ["Authorization: Bearer t=:k"],
            ["Authorization:Bearer t=:k"],
            ["Authorization", "Bearer t=:k"],
        ],
    )
    def test_forms(self, words: list[str]) -> None:
        """A value stands behind an equals sign, a colon or a space."""
        assert headers([*words, "X-A=1"], "x") == {"Authorization": "Bearer t=:k", "X-A": "1"}

    @pytest.mark.parametrize(
        "words", [["Bearer secret"], ["=secret"], ["A=1", "Bearer secret"], ["(secret)"]]
    )
    def test_no_header(self, words: list[str]) -> None:
        """A value without a name is refused, and not shown."""
        with pytest.raises(Trouble, match="no header; expected HEADER=VALUE") as why:
            headers(words, "set-header")
        assert "secret" not in str(why.value)


class ObjectTests:
    """Options that take a JSON object."""

    def test_all_at_once(self, tmp_path: Path) -> None:
        """The object is the option itself, or stands in a file; anything else is an error that does not show it."""
        file = tmp_path / "args.json"
        file.write_text('{"a": 1}')
        assert json_object(f"@{file}", "--x", "{}") == json_object('{"a": 1}', "--x", "{}") == {"a": 1}
        for each in ("[]", '{"secret"', f"@{tmp_path}/none"):
            with pytest.raises(Trouble, match="--x: ") as why:
                json_object(each, "--x", "{}")
            assert "secret" not in str(why.value)


class DurationTests:
    """Options that take a time."""

    @pytest.mark.parametrize(
        ("text", "seconds"), [("30", 30), ("500ms", 0.5), ("1.5m", 90), ("12h", 43_200), ("8w", 4_838_400)]
    )
    def test_units(self, text: str, seconds: float) -> None:
        """A unit stands behind the number; without one it is of seconds."""
        assert TimeOption(1e9).convert(text, None, None) == seconds

    @pytest.mark.parametrize("text", ["", "0s", "-1s", "2d", "soon", "nan"])
    def test_limit(self, text: str) -> None:
        """A duration that is malformed or longer than the limit is an error that names a duration."""
        with pytest.raises(click.BadParameter, match="expected a time such as 30s"):
            TimeOption().convert(text, None, None)
