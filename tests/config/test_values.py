"""Typed values out of places."""

import pytest

from mcpgateway.config import values
from mcpgateway.config.document import Document
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError


def place(value):
    """Return a place that holds a value."""
    return Document("/c", {"k": value}, lambda _path: 1).root().at("k")


class DurationTests:
    @pytest.mark.parametrize(
        ("found", "seconds"),
        [
            ("30s", 30),
            ("2m", 120),
            ("500ms", 0.5),
            (1.5, 1.5),
            (0, 0),
            ("7", 7),
            ("1h", 3600),
            ("1.5 s", 1.5),
            ("1d", 86400),
        ],
    )
    def test_seconds(self, found, seconds):
        """Durations are numbers of seconds, or numbers with their unit."""
        assert values.duration_s(place(found)) == seconds

    def test_milliseconds(self):
        """Keys in milliseconds take plain numbers as such."""
        assert values.duration_ms(place(1500)) == 1.5
        assert values.duration_ms(place("2s")) == 2

    @pytest.mark.parametrize(
        "found", ["abc", "", "-1s", -1, True, [], float("nan"), float("inf"), 10**400, "9" * 5000]
    )
    def test_wrong(self, found):
        """What is no sensible duration is an error that says what one looks like."""
        with pytest.raises(ConfigError, match="a duration such as 30s, 2m, 500ms or a number of seconds"):
            values.duration_s(place(found))


class ValueTests:
    @pytest.mark.parametrize(
        ("read", "found"),
        [
            (values.text, 3),
            (values.text, "a\0"),
            (values.flag, "true"),
            (values.texts, {}),
            (values.texts, [1]),
            (values.words, "x"),
            (values.words, [None]),
            (values.mapping, []),
            (lambda each: values.whole(each, 1, 9), True),
            (lambda each: values.whole(each, 1, 9), 10),
            (lambda each: values.whole(each, 1, 9), 1.0),
            (values.secret, 3),
            (values.secret, "a\0"),
        ],
    )
    def test_wrong(self, read, found):
        """A value of another kind is an error."""
        with pytest.raises(ConfigError, match=r"/c, line 1: k.*: found .*; expected"):
            read(place(found))

    def test_lists(self):
        """Lists take one text alone, and arguments take numbers."""
        assert values.texts(place("a")) == ("a",)
        assert values.words(place(["a", 1, True, 1.5])) == ("a", "1", "true", "1.5")

    def test_arguments_never_shown(self):
        """A command line in the place of a list of arguments may hold a secret."""
        with pytest.raises(ConfigError, match="found text; expected a list of texts") as caught:
            values.words(place("--token hunter2"))
        assert "hunter2" not in str(caught.value)

    def test_written_numbers(self):
        """A number of YAML is the text that it was written as."""
        found = parse("env: {A: 3.10, B: 1_0, C: True, D: ~}\n", "/c.yaml").root().at("env")
        assert values.variables(found) == {"A": "3.10", "B": "1_0", "C": "True"}

    def test_variables(self):
        """Variables come as a mapping or as a list."""
        assert values.variables(place({"A": "1", "B": 2})) == {"A": "1", "B": "2"}
        assert values.variables(place(["A=1=2", "B="])) == {"A": "1=2", "B": ""}

    @pytest.mark.parametrize(
        "found",
        [{"A": ["hunter2"]}, {"A=B": "hunter2"}, ["hunter2"], ["=hunter2"], "hunter2", {"A": "hunter2\0"}],
    )
    def test_variables_never_shown(self, found):
        """A mistake in variables is reported without a value."""
        with pytest.raises(ConfigError) as caught:
            values.variables(place(found))
        assert "hunter2" not in str(caught.value)
