"""Changes of a configuration file's text."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcpgateway.config.edit import json as edit_json
from mcpgateway.config.edit import yaml
from mcpgateway.config.edit.edits import Put, Remove, Rename, changed, key_path_to, rooted, same
from mcpgateway.config.edit.file_text import edit
from mcpgateway.errors import ConfigError

YAML = """\
# top
servers:
  # about a
  a:
    command: npx   # trailing
    args: [-y, "x"]
    env:
      T: "${T}"

  # about b
  b:
    command: [x]
    text: |
      hello
      there
  c: {command: x, env: {A: b}}  # braces
  d:
  e: &anchor
    command: x
  f:
    <<: *anchor
  g: *anchor
gateway:
  http_port: 1 # end
# last
"""
JSON = """\
{
  // about all
  "servers": {
    "a": {"command": "x"}, // one
    "b": {
      "command": "y", /* z */
      "env": {},
    }, // two
    /* three */
    "c": [1, 2]
  },
  "gateway": {
  }
}
"""


def comments(text, marks):
    """The comments of a text, in their order."""
    return [line[line.index(mark) :] for line in text.splitlines() for mark in marks if mark in line]


def lines_changed(before, after):
    """The lines that are in one text and not in the other."""
    return set(before.splitlines()) ^ set(after.splitlines())


class YamlTests:
    """The look of YAML that an edit keeps."""

    @pytest.mark.parametrize(
        ("change", "lines"),
        [
            (Put(("servers", "a", "env", "X"), "é 1: 2"), {'      X: "é 1: 2"'}),
            (Put(("gateway", "http_port"), 5), {"  http_port: 1 # end", "  http_port: 5 # end"}),
            (Remove(("servers", "b", "text")), {"    text: |", "      hello", "      there"}),
            (Remove(("servers", "g")), {"  g: *anchor"}),
            (Rename(("servers", "b"), "b 2"), {"  b:", '  "b 2":'}),
            (Put(("servers", "h"), {"command": "x", "env": {}}), {"  h:", "    command: x", "    env: {}"}),
            (Put(("compat", "x"), True), {"compat:", "  x: true"}),
            (
                Put(("servers", "a"), {"command": "npx", "args": ["-y", "x"], "env": {"T": "1"}}),
                {'      T: "${T}"', '      T: "1"'},
            ),
            (
                Put(("servers", "c", "env", "B"), "1"),
                {
                    "  c: {command: x, env: {A: b}}  # braces",
                    '  c: {command: x, env: {A: b, B: "1"}}  # braces',
                },
            ),
            (
                Remove(("servers", "c", "command")),
                {"  c: {command: x, env: {A: b}}  # braces", "  c: {env: {A: b}}  # braces"},
            ),
        ],
    )
    def test_only_these_lines(self, change, lines):
        """A change touches the lines of what it changes, and no other."""
        assert lines_changed(YAML, edit(YAML, "f.yaml", change)) - {"    command: x"} == lines - {
            "    command: x"
        }

    def test_nothing_becomes_a_mapping(self):
        """A key without a value can be given one."""
        assert "  d:\n    command: x\n  e:" in edit(YAML, "f.yaml", Put(("servers", "d"), {"command": "x"}))

    def test_the_last_key_goes(self):
        """A mapping whose last key goes stays a mapping."""
        assert "    env: {}\n" in edit(YAML, "f.yaml", Remove(("servers", "a", "env", "T")))

    def test_an_alias(self):
        """An alias gives way to a value of its own; what others share is never changed for one of them."""
        made = edit(YAML, "f.yaml", Put(("servers", "g"), {"command": "z"}))
        assert yaml.values(made, "")["servers"]["e"] == {"command": "x"}
        with pytest.raises(ConfigError, match="by hand"):
            edit(YAML, "f.yaml", Put(("servers", "g", "command"), "z"))

    @pytest.mark.parametrize("text", ["", "# nothing\n", "# no end", "---\n"])
    def test_an_empty_file(self, text):
        """The first server of a file is written below its comments."""
        made = edit(text, "f.yaml", Put(("servers", "a"), {"command": "x"}))
        assert made.startswith(text)
        assert yaml.values(made, "") == {"servers": {"a": {"command": "x"}}}

    def test_line_ends(self):
        """Line ends stay what they are."""
        made = edit("a:\r\n  b: 1\r\n", "f.yaml", Put(("a", "c"), {"d": 1}))
        assert made == "a:\r\n  b: 1\r\n  c:\r\n    d: 1\r\n"

    @pytest.mark.parametrize("text", ["a: !x 1\n", "a: [\n", "- a\n"])
    def test_what_cannot_be_read(self, text):
        """A text that is no configuration is not changed."""
        with pytest.raises(ConfigError):
            edit(text, "f.yaml", Put(("b",), 1))


class JsonTests:
    """The look of JSON that an edit keeps, comments and trailing commas."""

    @pytest.mark.parametrize(
        ("change", "lines"),
        [
            (
                Put(("servers", "a", "env"), {"A": "b"}),
                {
                    '    "a": {"command": "x"}, // one',
                    '    "a": {"command": "x", "env": {"A": "b"}}, // one',
                },
            ),
            (
                Put(("servers", "b", "env", "A"), "b"),
                {'      "env": {},', '      "env": {', '        "A": "b"', "      },"},
            ),
            (Put(("servers", "d"), [1]), {'    "c": [1, 2]', '    "c": [1, 2],', '    "d": [1]'}),
            (Put(("servers", "b", "x"), None), {'      "x": null,'}),
            (
                Remove(("servers", "b")),
                {
                    '    "b": {',
                    '      "command": "y", /* z */',
                    '      "env": {},',
                    "    }, // two",
                },
            ),
            (
                Rename(("servers", "a"), 'q"'),
                {'    "a": {"command": "x"}, // one', '    "q\\"": {"command": "x"}, // one'},
            ),
            (Put(("gateway", "p"), 1), {'    "p": 1'}),
        ],
    )
    def test_only_these_lines(self, change, lines):
        """A change touches the lines of what it changes, and no other."""
        assert lines_changed(JSON, edit(JSON, "f.json", change)) == lines

    @pytest.mark.parametrize("text", ["", "{}", "{ }\n", "{\n}\n", "{\n  // c\n}\n"])
    def test_an_empty_file(self, text):
        """The first server of a file is written between the braces, below the comments there."""
        made = edit(text, "f.json", Put(("servers", "a"), {"command": "x"}))
        assert edit_json.values(made, "") == {"servers": {"a": {"command": "x"}}}
        assert comments(made, ("//",)) == comments(text, ("//",))

    @pytest.mark.parametrize(
        "text",
        [
            '{"a": 1',
            '{"a" 1}',
            '{"a": 1 "b": 2}',
            '{"a": nope}',
            "[1 2]",
            '{"a": "\n"}',
            '{"a": NaN}',
            "{} x",
        ],
    )
    def test_what_is_no_json(self, text):
        """A text that is not JSON is not changed, and the line is named."""
        with pytest.raises(ConfigError, match="is not valid JSON"):
            edit(text, "f.json", Put(("b",), 1))

    def test_too_deep(self):
        """A text that is nested without end is refused, not read for ever."""
        with pytest.raises(ConfigError, match="nested too deeply"):
            edit_json.values("[" * 1000, "f.json")


class ChangeTests:
    """The meaning of a change."""

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (Remove(("x",)), "there is no 'x'"),
            (Remove(("a", "x")), "there is no 'x'"),
            (Rename(("x",), "y"), "there is no 'x'"),
            (Rename(("a",), "b"), "there is a 'b' already"),
            (Put((), 1), "the whole file"),
            (Put(("b", "c"), 1), "is no mapping"),
        ],
    )
    def test_refused(self, change, why):
        """A missing key cannot be changed, and no name is taken twice."""
        with pytest.raises(ConfigError, match=why):
            edit('{"a": {}, "b": 1}', "f.json", change)

    @pytest.mark.parametrize(
        ("value", "key_path"),
        [
            ({}, ("servers", "n")),
            (None, ("servers", "n")),
            ({"gateway": {}}, ("servers", "n")),
            ({"mcpServers": {}}, ("mcpServers", "n")),
            ({"servers": {}, "mcpServers": {}}, ("servers", "n")),
            ({"one": {"command": "x"}}, ("n",)),
        ],
    )
    def test_where_a_new_server_goes(self, value, key_path):
        """A new server goes where the others of its file are."""
        assert key_path_to(value, "n") == key_path

    def test_rooted(self):
        """A change of a server is one of a file once it is known where the server stands."""
        assert rooted(Remove(("n", "env", "A")), ("servers", "N")) == Remove(("servers", "N", "env", "A"))

    def test_same(self):
        """The number one differs from true, and the order of keys does not count."""
        assert same({"a": 1, "b": [True]}, {"b": [True], "a": 1})
        assert not same({"a": 1}, {"a": True})
        assert not same([1], [1, 2])


# What a property holds for.

names = st.text("abcxyz-_. #:{}[]é\"'\\", min_size=1, max_size=6).filter(lambda text: text.strip() == text)
scalars = st.one_of(
    st.text(max_size=12).filter(lambda text: text.isprintable()),
    st.sampled_from(
        ["true", "null", "1", "0x1F", "1e3", "- a", "# no", "a: b", "${X:-y}", "é\u2028", "😀", "\t", "~"]
    ),
    st.booleans(),
    st.none(),
    st.integers(-(10**9), 10**9),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
servers = st.dictionaries(
    names, st.dictionaries(names, values, min_size=1, max_size=4), min_size=1, max_size=4
)
documents = st.fixed_dictionaries(
    {"servers": servers}, optional={"gateway": st.dictionaries(names, scalars, max_size=2)}
)


@st.composite
def changes(draw):
    """A document, and a change of something in it."""
    document = draw(documents)
    key_path = ["servers", draw(st.sampled_from(sorted(document["servers"])))]
    if draw(st.booleans()):
        key_path.append(draw(st.sampled_from(sorted(document["servers"][key_path[1]]))))
    kind = draw(st.sampled_from(["put", "add", "remove", "rename"]))
    if kind == "remove":
        return document, Remove(tuple(key_path))
    if kind == "rename":
        return document, Rename(tuple(key_path), draw(names))
    if kind == "add":
        key_path[-1] = draw(names)
    return document, Put(tuple(key_path), draw(values))


def attempt(text, file, change):
    """The text after a change; a name that is taken is no example."""
    try:
        return edit(text, file, change)
    except ConfigError as why:
        assume("already" not in str(why) and "no mapping" not in str(why))
        raise


def as_yaml(value, column=0):
    """A value as YAML, with a comment above each key of a block and braces further down."""
    lines = []
    for key, each in value.items():
        head = " " * column + f"# about {json.dumps(key)}\n" + " " * column + json.dumps(key) + ":"
        if isinstance(each, dict) and each and column < 4:
            lines.append(f"{head}\n{as_yaml(each, column + 2)}")
        else:
            lines.append(f"{head} {json.dumps(each)} # of {json.dumps(key)}\n")
    return "".join(lines)


class PropertyTests:
    """Properties of any text and any change."""

    @given(changes())
    def test_yaml(self, drawn):
        """The text says what the change means, and every comment outside of what was changed is still there."""
        document, change = drawn
        text = as_yaml(document)
        made = attempt(text, "f.yaml", change)
        assert same(yaml.values(made, ""), changed(yaml.values(text, ""), change, ""))
        lost = [each for each in comments(text, ("# about",)) if each not in made]
        inside = json.dumps(change.key_path[1])
        held = document["servers"].get(change.key_path[1])
        allowed = {f"# about {json.dumps(key)}" for key in (held if isinstance(held, dict) else ())}
        assert set(lost) <= allowed | {f"# about {inside}"}

    @given(changes(), st.sampled_from(["\t", "  ", "    ", None]))
    def test_json(self, drawn, indent):
        """The text says what the change means, and the text of every other server is what it was, byte for byte."""
        document, change = drawn
        text = json.dumps(document, indent=indent, ensure_ascii=False)
        made = attempt(text, "f.json", change)
        assert same(edit_json.values(made, ""), changed(document, change, ""))
        for name, written in others(text, change.key_path[1]).items():
            if not isinstance(change, Rename) or change.name != name:
                assert others(made, change.key_path[1]).get(name) == written

    @given(changes())
    def test_json_with_comments(self, drawn):
        """Comments and trailing commas are no obstacle."""
        document, change = drawn
        text = json.dumps(document, indent=2, ensure_ascii=False)
        lines = [f"{line} // {number}" for number, line in enumerate(text.split("\n"))]
        made = attempt("/* first */\n" + "\n".join(lines), "f.json", change)
        assert same(edit_json.values(made, ""), changed(document, change, ""))
        assert made.startswith("/* first */\n{ // 0\n")

    @given(documents)
    def test_it_reads_json(self, document):
        """The JSON reader of the edits reads any JSON as the standard library does."""
        text = json.dumps(document)
        assert same(edit_json.values(text, ""), json.loads(text))


def others(text, but):
    """The text of each server but one, as it is written."""
    root = edit_json.read(text)
    found = next(each.node for each in root.members if each.key == "servers")
    return {each.key: text[each.start : each.node.end] for each in found.members if each.key != but}
