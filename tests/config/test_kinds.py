"""Kinds of values, and what an editor is told of them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcpgateway.config import gatewaykeys, kinds, schema, serverkeys
from mcpgateway.config.document import Document
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Key, Section, nearest
from mcpgateway.errors import ConfigError

SECTIONS = [gatewaykeys.GATEWAY, gatewaykeys.LIMITS, gatewaykeys.COMPAT, serverkeys.SERVER, serverkeys.DOCKER]
KEYS = [
    *(key for section in SECTIONS for key in section.keys.values()),
    Key("texts", kinds.Texts(), "."),
    Key("words", kinds.ListOf(kinds.Flag()), "."),
    Key("map", kinds.MapOf(kinds.WholeNumber(1, 3)), "."),
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
        """What a file may say without a word from us, an editor does not underline."""
        problems = Problems()
        if isinstance(key.kind, schema.ServerList):
            return
        with suppress(ConfigError):
            key.kind.read(place(value), problems)
            if not problems:
                assert list(Draft202012Validator(key.kind.json()).iter_errors(value)) == []

    @pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
    def test_words(self, key):
        """Of every kind it is said what is allowed, on one line."""
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
        """Of a list and of a mapping all that is wrong is told, and the rest is read."""
        problems = Problems()
        assert kinds.ListOf(kinds.Flag()).read(place([True, 1, False, "x"]), problems) == (True, False)
        assert kinds.MapOf(kinds.WholeNumber(1, 3)).read(place({"a": 1, "b": 9, "_c": 9}), problems) == {
            "a": 1
        }
        assert [each.where.key for each in problems] == ["k[1]", "k[3]", "k.b"]
        with pytest.raises(ConfigError, match="expected a list"):
            kinds.ListOf(kinds.Flag()).read(place("x"), problems)

    def test_secrets(self):
        """What may be a secret is not shown, whatever it is found in the place of."""
        secret = Section("s", [Key("token", kinds.Text(is_secret=True), ".")], is_secret=True)
        problems = Problems()
        secret.read(place({"hunter2": None, "token hunter2": 1, "tokenn": 1, "token": ["hunter2"]}), problems)
        for kind in (
            kinds.Texts(is_secret=True),
            kinds.Strings(),
            kinds.Strings(hides_names=True),
            kinds.VariableMap(),
        ):
            for value in (
                "hunter2",
                {"hunter2": ["hunter2"]} if kind == kinds.Strings(hides_names=True) else {"a": ["hunter2"]},
            ):
                kinds.tried(kind, place(value), problems)
        assert len(problems) == 12
        assert "hunter2" not in " ".join(str(each) for each in problems)
        assert "did you mean 'token'?" in str(problems[3])

    def test_nearest(self):
        """The nearest known word is asked for, if one is near."""
        assert nearest("tiemout", serverkeys.SERVER.keys) == "did you mean 'timeout'?"
        assert nearest("xyz", serverkeys.SERVER.keys) == ""


class SectionTests:
    def test_without_effect(self):
        """A key without effect is told where it says something else than what holds anyway."""
        problems = Problems()
        gatewaykeys.COMPAT.read(
            place({"ports": [], "errors": "harshal", "open_loopback_admin": True}), problems
        )
        assert [str(each) for each in problems] == ["/c, line 1: k.errors: has no effect in this release"]

    def test_parts(self):
        """A part of a section passes over all else."""
        problems = Problems()
        part = serverkeys.SERVER.only("command")
        assert part.read(place({"command": "x", "share": 3, "strange": 1}), problems) == {"command": "x"}
        assert problems == []
        assert part.json()["additionalProperties"]

    def test_tables(self):
        """Every key is explained by a sentence, and no two sections share a title."""
        for key in KEYS[:-3]:
            assert key.says.endswith(".")
            assert key.says[0].isupper() or key.says[0] == "`"
