"""Changes of TOML."""

import pytest

from mcpgateway.config.edit import toml
from mcpgateway.config.edit.edits import Put, Remove, Rename, changed, same, spliced
from mcpgateway.errors import ConfigError

TEXT = '''\
top = 1 # one
[servers.a] # it
command = "x" # cmd
args = ["a", # first
  "]"]

# variables
[servers.a.env]
T = "1"
# behind

[servers]
b = { command = "y", env = { A = "}" } } # braces
c.command = "z"
c.args = []
[servers."d e"]
when = 2020-01-01 10:00:00
text = """
[servers.no]
""" # text
[other]
x = 1
[servers.a.tools.t]
y = 2
'''


def made(text, change):
    """A text after a change, which means what it should."""
    after = spliced(text, toml.OpenedToml(text, "f.toml").change(change))
    assert same(toml.values(after, "f.toml"), changed(toml.values(text, ""), change, ""))
    return after


def lines_changed(before, after):
    """The lines that are in one text and not in the other."""
    return set(before.splitlines()) ^ set(after.splitlines())


class TomlTests:
    """The look of TOML that an edit keeps."""

    @pytest.mark.parametrize(
        ("change", "lines"),
        [
            (Put(("top",), 2), {"top = 1 # one", "top = 2 # one"}),
            (Put(("new",), 2), {"new = 2"}),
            (Put(("other", "y"), "z"), {'y = "z"'}),
            (Put(("servers", "c", "n"), {"a": 1}), {"c.n = { a = 1 }"}),
            (Put(("servers", "a", "n"), {"a": 1}), {"n = { a = 1 }"}),
            (
                Put(("servers", "b", "env", "B"), "1"),
                {
                    'b = { command = "y", env = { A = "}" } } # braces',
                    'b = { command = "y", env = { A = "}", B = "1" } } # braces',
                },
            ),
            (
                Put(("servers", "b"), {"url": "u"}),
                {'b = { command = "y", env = { A = "}" } } # braces', 'b = { url = "u" } # braces'},
            ),
            (Put(("servers", "c"), {"url": "u"}), {'c.command = "z"', "c.args = []", 'c.url = "u"'}),
            (Put(("servers", "c"), {}), {'c.command = "z"', "c.args = []", "c = {}"}),
            (
                Put(("servers", "a"), {"url": "u", "tools": {"t": {"y": 2}}}),
                {
                    'command = "x" # cmd',
                    'args = ["a", # first',
                    '  "]"]',
                    "# variables",
                    "[servers.a.env]",
                    'T = "1"',
                    'url = "u"',
                },
            ),
            (Put(("servers", "f"), {"url": "u"}), {"[servers.f]", 'url = "u"'}),
            (
                Remove(("servers", "b", "command")),
                {
                    'b = { command = "y", env = { A = "}" } } # braces',
                    'b = { env = { A = "}" } } # braces',
                },
            ),
            (
                Remove(("servers", "b", "env")),
                {
                    'b = { command = "y", env = { A = "}" } } # braces',
                    'b = { command = "y" } # braces',
                },
            ),
            (Remove(("servers", "c", "args")), {"c.args = []"}),
            (Remove(("top",)), {"top = 1 # one"}),
            (Remove(("other",)), {"[other]", "x = 1"}),
            (
                Rename(("servers", "a"), "q.r"),
                {
                    "[servers.a] # it",
                    '[servers."q.r"] # it',
                    "[servers.a.env]",
                    '[servers."q.r".env]',
                    "[servers.a.tools.t]",
                    '[servers."q.r".tools.t]',
                },
            ),
            (
                Rename(("servers", "c"), "n"),
                {'c.command = "z"', "c.args = []", 'n.command = "z"', "n.args = []"},
            ),
            (
                Rename(("servers", "b", "command"), "n"),
                {
                    'b = { command = "y", env = { A = "}" } } # braces',
                    'b = { n = "y", env = { A = "}" } } # braces',
                },
            ),
        ],
    )
    def test_only_these_lines(self, change, lines):
        """A change touches the lines of what it changes, and no other."""
        assert lines_changed(TEXT, made(TEXT, change)) == lines

    def test_a_table_all_over_the_file(self):
        """Keys that stand apart from the rest of their table are removed with it."""
        after = made(TEXT, Put(("servers", "a"), {"url": "u"}))
        assert "servers.a." not in after
        after = made(TEXT, Remove(("servers", "a")))
        assert "servers.a" not in after
        assert "# behind" in after

    @pytest.mark.parametrize("change", [Remove(("a",)), Put(("a",), {"z": 1}), Rename(("a",), "c")])
    def test_the_comment_of_the_next(self, change):
        """The comment above the next table is that table's, and stays."""
        assert "\n\n# about b\n[b]\ny = 2\n" in made(
            "top = 1\n\n[a]\nx = 1\n\n# about b\n[b]\ny = 2\n", change
        )

    @pytest.mark.parametrize("text", ["", "# c\n", "x = 1"])
    def test_the_first_table(self, text):
        """The first entry of a file goes below what is there."""
        assert made(text, Put(("servers", "a"), {"command": "x"})).startswith(text)

    def test_line_ends(self):
        """Line ends stay what they are."""
        after = made("[a.b]\r\nc = 1\r\nd = 2\r\n", Put(("a", "b"), {"e": 3, "f": 4}))
        assert after == "[a.b]\r\ne = 3\r\nf = 4\r\n"

    def test_a_table_without_a_header(self):
        """A table of which only tables below it are written gets a header of its own."""
        assert made("[a.b.c]\nd = 1\n", Put(("a", "b"), {"e": 3})) == "[a.b]\ne = 3\n"

    @pytest.mark.parametrize(
        "value", ['a"b\\c', "é\n", "\x00\x7f", True, -1, 1.5, 1e300, [1, [2]], {}, {"a b": {"c": []}}, "'''"]
    )
    def test_values(self, value):
        """Every value that JSON knows is written, but nothing."""
        made("a = 1\n", Put(("a",), value))
        with pytest.raises(ConfigError, match="no word for nothing"):
            toml.inline([None])

    @pytest.mark.parametrize(
        "change", [Put(("l", "a"), {"b": 1}), Remove(("l",)), Remove(("no",)), Rename(("no",), "x")]
    )
    def test_what_cannot_be_changed(self, change):
        """Lists of tables are left alone, and what is not there is."""
        assert toml.OpenedToml("[[l]]\na = 1\n[[l]]\na = 2\n", "").change(change) is None

    @pytest.mark.parametrize(
        ("text", "line"), [("a = \n", 1), ("a = 1\nb = [\n", 3), ("a = 1\na = 2\n", 2), ("[a]\n[a]\n", 2)]
    )
    def test_what_is_no_toml(self, text, line):
        """A text that is not TOML is refused, and the line is named."""
        with pytest.raises(ConfigError, match=rf"f\.toml, line {line}(?:, column \d+)?: is not valid TOML"):
            toml.values(text, "f.toml")

    def test_limits(self):
        """A text that is nested without end, or endless, is refused."""
        with pytest.raises(ConfigError, match="nested too deeply"):
            toml.values("a = " + "[" * 100_000, "f.toml")
        with pytest.raises(ConfigError, match="larger than"):
            toml.values("#" * (toml.TEXT_LIMIT + 1), "f.toml")
