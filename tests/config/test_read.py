"""Files to documents: JSON and YAML, with their lines and their limits."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.document import dotted, kind, printable, shown
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def problem(text, file="/c.json", **rest):
    """Return what parsing complains of."""
    with pytest.raises(ConfigError) as caught:
        parse(text, file, **rest)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def paths(value, path=()):
    """Walk over the paths of all members."""
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield (*path, step)
            yield from paths(value[step], (*path, step))


class SniffTests:
    def test_extension(self):
        """The extension decides first."""
        assert parse("a: 1", "/c.yml").value == {"a": 1}
        assert "not valid JSON" in problem("a: 1", "/c.json")

    def test_content(self):
        """Without a telling extension, a brace at the beginning means JSON."""
        assert parse('\n {"a": 1}', "/.config").value == {"a": 1}
        assert parse("a: 1", "/config").value == {"a": 1}

    def test_empty(self):
        """An empty file is an empty mapping in both languages."""
        assert parse("  \n", "/c.json").value == {}
        assert parse("# nothing yet\n", "/c.yaml").value == {}
        assert str(parse("", "/c.yaml").root().where) == "/c.yaml, line 1"

    def test_top_level(self):
        """Anything but a mapping at the top level is an error."""
        assert "found a list; expected a mapping" in problem("[]")
        assert "found text; expected a mapping" in problem("text", "/c.yaml")


class JsonTests:
    def test_line_of_error(self):
        """A mistake is reported with its line."""
        assert problem('{\n "a": 1,\n}').startswith("/c.json, line 3, column 1: is not valid JSON")

    def test_repeated_key(self):
        """A key that is there twice is named with the line of its second place."""
        assert problem('{"x": {"a": 1,\n "b": "a", "a": 2}}') == "/c.json, line 2: the key 'a' is there twice"

    def test_repeated_escaped_key(self):
        """Two spellings of one key are one key."""
        assert "the key 'a' is there twice" in problem('{"a": [{"b": "\\\\"}], "\\u0061": 2}')

    def test_repeated_key_of_a_client(self):
        """The last of several equal keys counts in a client's file, as it does for the client."""
        found = parse('{"a": 1,\n"a":\n2}', "/c.json", strict=False)
        assert (found.value, found.line_of(("a",))) == ({"a": 2}, 3)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_no_number(self, number):
        """A number that JSON does not have is refused."""
        assert f"{number} is not a JSON number" in problem(f'{{"a": {number}}}')

    @pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000 + "1" + "}" * 200_000])
    def test_depth(self, text):
        """A depth bomb is refused and not followed."""
        assert "/c.json" in problem(text)

    def test_huge_number(self):
        """A number of thousands of digits is an error and not a crash."""
        assert "not valid JSON" in problem('{"a": ' + "1" * 5000 + "}")

    def test_line_of_missing(self):
        """A path that is not there is found at the nearest place above it."""
        found = parse('{\n"a": {\n"b": [1,\n 2]}}', "/c.json")
        assert found.line_of(("a", "b", 1)) == 4
        assert found.line_of(("a", "c")) == 2
        assert found.line_of(("a", "b", 7, "x")) == 3
        assert found.line_of(("a", "b", 0, "x")) == 3

    @given(st.dictionaries(st.text(max_size=6), plain, max_size=4), st.sampled_from([None, 0, 2]))
    def test_lines(self, value, indent):
        """The line of every value is where a reader would look for it."""
        text = json.dumps(value, indent=indent)
        found = parse(text, "/c.json")
        assert found.value == value
        lines = [found.line_of(path) for path in paths(value)]
        # Written with an indent, each member has a line of its own, in order.
        assert lines == (sorted(set(lines)) if indent is not None else [1] * len(lines))

    @given(st.text())
    def test_any_text(self, text):
        """Any text is a document or an error of ours."""
        for file in ("/c.json", "/c.yaml"):
            with suppress(ConfigError):
                parse("{" + text, file)


class YamlTests:
    def test_values(self):
        """Plain YAML becomes plain values, and what only looks like a date or a yes stays text."""
        text = "a: 1\nb: 1.5\nc: true\nd: ~\ne: 2024-01-01\nf: yes\ng: 0x10\nh: '1'\ni: 1:30\n7: x\nj: [a, {b: c}]\n"
        assert parse(text, "/c.yaml").value == {
            "a": 1,
            "b": 1.5,
            "c": True,
            "d": None,
            "e": "2024-01-01",
            "f": "yes",
            "g": 16,
            "h": "1",
            "i": "1:30",
            "7": "x",
            "j": ["a", {"b": "c"}],
        }

    def test_written(self):
        """The spelling of a number is kept, because 3.10 is a version and not 3.1."""
        assert parse("a: 3.10\nb: 0x10\nc: 1_000\nd: True", "/c.yaml").written == {
            ("a",): "3.10",
            ("b",): "0x10",
            ("c",): "1_000",
            ("d",): "True",
        }

    def test_lines(self):
        """Every value knows its line."""
        found = parse("a:\n  b:\n    - x\n    - y\n", "/c.yaml")
        assert [found.line_of(each) for each in (("a",), ("a", "b"), ("a", "b", 1), ("a", "z"))] == [
            1,
            2,
            4,
            1,
        ]

    def test_json_in_yaml(self):
        """JSON is read as YAML too."""
        assert parse('{"a": [1, "b"]}', "/c.yaml").value == {"a": [1, "b"]}

    def test_huge_number(self):
        """A number of thousands of digits is text."""
        digits = "1" * 5000
        assert parse(f"a: {digits}", "/c.yaml").value == {"a": digits}

    def test_merge(self):
        """A merged mapping gives what the mapping does not say itself."""
        text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}\n"
        found = parse(text, "/c.yaml").value
        assert (found["y"], found["z"]) == ({"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 4})

    def test_repeated_key(self):
        """A key that is there twice is named with its line."""
        assert problem("a: 1\nb: 2\na: 3\n", "/c.yaml") == "/c.yaml, line 3: the key 'a' is there twice"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: !!python/object/apply:os.system [x]", "tags are not supported"),
            ("a: !local x", "tags are not supported"),
            ("a: !local {b: c}", "tags are not supported"),
            ("a: !!binary aGk=", "tags are not supported"),
            ("a: .nan", "is not a number"),
            ("a: -.inf", "is not a number"),
            ("a: 1e999", "too large"),
            ("a: 1" + "0" * 400 + ".0", "too large"),
            ("? [x]\n: y", "has a key that is not text"),
            ("<<: x", "merges something that is not a mapping"),
            ("a: b: c", "is not valid YAML"),
            ("a: *nobody", "is not valid YAML"),
            ("a: 1\n---\nb: 2\n", "is not valid YAML"),
            ("a: \x01", "is not valid YAML"),
            ("a: &a [*a]", "/c.yaml"),
            ("[" * 1000, "nested too deeply"),
            ("a: " + "[" * 150 + "]" * 150, "nested too deeply"),
            ("x" * 1_100_000, "is larger than"),
        ],
    )
    def test_refused(self, text, words):
        """A document that is no plain configuration is refused in one line."""
        assert words in problem(text, "/c.yaml")

    def test_alias_bomb(self):
        """Aliases that multiply are stopped."""
        rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
        assert "has too many values" in problem("\n".join(rows), "/c.yaml")


class PlaceTests:
    def test_where(self):
        """A place is named by file, line and key."""
        place = (
            parse("servers:\n  x:\n    args: [a,\n      b]\n", "/c.yaml")
            .root()
            .at("servers")
            .at("x")
            .at("args")
        )
        assert str(place.at(1).where) == "/c.yaml, line 4: servers.x.args[1]"
        assert (
            str(place.at(0).wrong("bread")) == "/c.yaml, line 3: servers.x.args[0]: found 'a'; expected bread"
        )
        assert "'a'" not in str(place.at(0).wrong_secret("bread"))

    def test_absent(self):
        """An absent place is empty, at any depth."""
        root = parse('{"a": null}', "/c.json").root()
        assert root.at("b").at("c").at(0).value is None
        assert not root.has("a")
        assert root.key == ""

    def test_notes(self):
        """Keys that begin with an underscore are notes."""
        assert [each.key for each in parse('{"_note": "x", "a": 1}', "/c.json").root().members()] == ["a"]

    def test_value_not_in_repr(self):
        """Values are not shown when a place is printed."""
        assert "hidden" not in repr(parse('{"a": "hidden"}', "/c.json").root().at("a"))

    def test_shown(self):
        """Found values are short, on one line, and in the language of the file."""
        assert [shown(each) for each in (None, True, "a\nb", 3, [1], {})] == [
            *("nothing", "true", "'a\\nb'", "3", "a list", "a mapping")
        ]
        assert [kind(each) for each in (None, True, "a", 3, 1.5)] == [
            *("nothing", "true or false", "text", "a number", "a number")
        ]
        assert len(shown("x" * 1000)) < 100
        assert printable("\x1b[31m") == "\\x1b[31m"
        assert dotted(("a", 1, "b\n")) == "a[1].b\\n"


class FlawsTests:
    """Keys that are there twice, told without giving up."""

    @pytest.mark.parametrize(
        ("text", "file"),
        [
            ('{"a": 1,\n"b": {"c": 1, "c": 2},\n"a": 3}', "/c.json"),
            ("a: 1\nb: {c: 1, c: 2}\na: 3\n", "/c.yaml"),
        ],
    )
    def test_all_are_told(self, text, file):
        """A repeated key is reported with its line, and the last one counts."""
        flaws = Problems()
        found = parse(text, file, flaws=flaws)
        assert found.value == {"a": 3, "b": {"c": 2}}
        assert [each.where.line for each in flaws] == [2, 3]

    def test_list(self):
        """A list at the top level is a document where one may be."""
        assert parse("- a", "/c.yaml", takes_list=True).value == ["a"]
        with pytest.raises(ConfigError, match="found text; expected a mapping at the top level"):
            parse("hunter2", "/c.yaml", takes_list=True)

    @pytest.mark.parametrize(
        "text", ["token: *hunter2", "token: !hunter2 x", "token: !hunter2 {}", "a: &hunter2 'b\n"]
    )
    def test_secrets(self, text):
        """The text at which the parser fails may be part of a secret, and is not shown."""
        assert "hunter2" not in problem(text, "/c.yaml")
