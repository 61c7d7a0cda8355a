"""Kinds of values, and what an editor is told of them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcpgateway.config import entry, fields, gateway_settings, reach_settings, schema
from mcpgateway.config.document import Document
from mcpgateway.config.fields import ArgumentList, Duration, Flag, Text, Texts, Tree, VariableMap, WholeNumber
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse
from mcpgateway.config.section import Key, Section, nearest
from mcpgateway.errors import ConfigError

SECTIONS = [
    gateway_settings.GATEWAY,
    gateway_settings.LIMITS,
    gateway_settings.COMPAT,
    entry.SERVER,
    reach_settings.DOCKER,
]
KEYS = [
    *(key for section in SECTIONS for key in section.keys.values()),
    Key("texts", fields.Texts(), "."),
    Key("words", fields.ListOf(fields.Flag()), "."),
    Key("map", fields.MapOf(fields.WholeNumber(1, 3)), "."),
]
samples = st.recursive(
    st.booleans()
    | st.integers(-2, 9000)
    | st.floats(0, 9)
    | st.sampled_from(
        ["", "a", "30s", "5", "auto", "global", "off", "::1", "K=V", "full", "sse", "GET", " "]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "name", "image", "_n"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def place(value):
    """Return a place that holds a value."""
    return Document("/c", {"k": value}, lambda _path: 1).root().at("k")


class KindTests:
    @given(st.sampled_from(KEYS), samples)
    def test_editors_agree(self, key, value):
        """A value that a file may have is not underlined by an editor."""
        problems = Problems()
        if isinstance(key.kind, schema.ServerList):
            return
        with suppress(ConfigError):
            key.kind.read(place(value), problems)
            if not problems:
                assert list(Draft202012Validator(key.kind.json()).iter_errors(value)) == []

    @pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
    def test_words(self, key):
        """Every kind describes its allowed values on one line."""
        assert key.kind.words
        assert "\n" not in key.kind.words

    @given(st.sampled_from(KEYS))
    def test_defaults(self, key):
        """A default is a value that the key takes."""
        if key.default is not None:
            problems = Problems()
            key.kind.read(place(key.default), problems)
            assert problems == []

    def test_lists(self):
        """All problems of a list or a mapping are reported, and the rest of it is read."""
        problems = Problems()
        assert fields.ListOf(fields.Flag()).read(place([True, 1, False, "x"]), problems) == (True, False)
        assert fields.MapOf(fields.WholeNumber(1, 3)).read(place({"a": 1, "b": 9, "_c": 9}), problems) == {
            "a": 1
        }
        assert [each.where.key for each in problems] == ["k[1]", "k[3]", "k.b"]
        with pytest.raises(ConfigError, match="expected a list"):
            fields.ListOf(fields.Flag()).read(place("x"), problems)

    def test_secrets(self):
        """A value that may be a secret is not shown, in whatever place it stands."""
        secret = Section("s", [Key("token", fields.Text(is_secret=True), ".")], is_secret=True)
        problems = Problems()
        secret.read(place({"hunter2": None, "token hunter2": 1, "tokenn": 1, "token": ["hunter2"]}), problems)
        for kind in (
            fields.Texts(is_secret=True),
            fields.Strings(),
            fields.Strings(hides_names=True),
            fields.VariableMap(),
        ):
            for value in (
                "hunter2",
                {"hunter2": ["hunter2"]} if kind == fields.Strings(hides_names=True) else {"a": ["hunter2"]},
            ):
                fields.tried(kind, place(value), problems)
        assert len(problems) == 12
        assert "hunter2" not in " ".join(str(each) for each in problems)
        assert "did you mean 'token'?" in str(problems[3])

    def test_nearest(self):
        """The nearest known word is asked for, if one is near."""
        assert nearest("tiemout", entry.SERVER.keys) == "did you mean 'timeout'?"
        assert nearest("xyz", entry.SERVER.keys) == ""


class SectionTests:
    def test_without_effect(self):
        """A key without effect is told where it says something else than what holds anyway."""
        problems = Problems()
        gateway_settings.COMPAT.read(
            place({"ports": [], "errors": "harshal", "open_loopback_admin": True}), problems
        )
        assert [str(each) for each in problems] == ["/c, line 1: k.errors: has no effect in this release"]

    def test_parts(self):
        """A part of a section passes over all else."""
        problems = Problems()
        part = entry.SERVER.only("command")
        assert part.read(place({"command": "x", "share": 3, "strange": 1}), problems) == {"command": "x"}
        assert problems == []
        assert part.json()["additionalProperties"]

    def test_tables(self):
        """Every key is explained by a sentence, and no two sections share a title."""
        for key in KEYS[:-3]:
            assert key.says.endswith(".")
            assert key.says[0].isupper() or key.says[0] == "`"


def read(kind, value):
    """Return what a value is read as."""
    return kind.read(place(value), Problems())


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
        assert read(Duration(), found) == seconds

    def test_milliseconds(self):
        """Keys in milliseconds take plain numbers as such."""
        assert read(Duration("ms"), 1500) == 1.5
        assert read(Duration("ms"), "2s") == 2

    @pytest.mark.parametrize(
        "found", ["abc", "", "-1s", -1, True, [], float("nan"), float("inf"), 10**400, "9" * 5000]
    )
    def test_wrong(self, found):
        """A malformed duration is an error with an example of a good one."""
        with pytest.raises(ConfigError, match="a duration such as 30s, 2m, 500ms or a number of seconds"):
            read(Duration(), found)


class ValueTests:
    @pytest.mark.parametrize(
        ("kind", "found"),
        [
            (Text(), 3),
            (Text(), "a\0"),
            (Flag(), "true"),
            (Texts(), {}),
            (Texts(), [1]),
            (ArgumentList(), "x"),
            (ArgumentList(), [None]),
            (Tree(), []),
            (WholeNumber(1, 9), True),
            (WholeNumber(1, 9), 10),
            (WholeNumber(1, 9), 1.0),
            (Text(is_secret=True), 3),
            (Text(is_secret=True), "a\0"),
        ],
    )
    def test_wrong(self, kind, found):
        """A value of another kind is an error."""
        with pytest.raises(ConfigError, match=r"/c, line 1: k.*: found .*; expected"):
            read(kind, found)

    def test_lists(self):
        """Lists take one text alone, and arguments take numbers."""
        assert read(Texts(), "a") == ("a",)
        assert read(ArgumentList(), ["a", 1, True, 1.5]) == ("a", "1", "true", "1.5")

    def test_arguments_never_shown(self):
        """A command line in the place of a list of arguments may hold a secret."""
        with pytest.raises(ConfigError, match="found text; expected a list of texts") as caught:
            read(ArgumentList(), "--token hunter2")
        assert "hunter2" not in str(caught.value)

    def test_written_numbers(self):
        """A number of YAML is the text that it was written as."""
        found = parse("env: {A: 3.10, B: 1_0, C: True, D: ~}\n", "/c.yaml").root().at("env")
        assert VariableMap().read(found, Problems()) == {"A": "3.10", "B": "1_0", "C": "True"}

    def test_variables(self):
        """Variables come as a mapping or as a list."""
        assert read(VariableMap(), {"A": "1", "B": 2}) == {"A": "1", "B": "2"}
        assert read(VariableMap(), ["A=1=2", "B="]) == {"A": "1=2", "B": ""}

    @pytest.mark.parametrize(
        "found",
        [{"A": ["hunter2"]}, {"A=B": "hunter2"}, ["hunter2"], ["=hunter2"], "hunter2", {"A": "hunter2\0"}],
    )
    def test_variables_never_shown(self, found):
        """A mistake in variables is reported without a value."""
        with pytest.raises(ConfigError) as caught:
            read(VariableMap(), found)
        assert "hunter2" not in str(caught.value)
