"""The gateway's own .env file."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.errors import ConfigError


class ParseDotenvTests:
    def test_lines(self):
        """Plain, quoted, exported and commented lines are read."""
        text = (
            "# a comment\n\nA=1\nexport B = two words  # why\nC='it # is $X \\n'\n"
            'D="line\\nnext \\"q\\" \\\\"  # why\nE=\nF=a#b\nA=last\r\n'
        )
        assert parse_dotenv(text, "/.env") == {
            "A": "last",
            "B": "two words",
            "C": "it # is $X \\n",
            "D": 'line\nnext "q" \\',
            "E": "",
            "F": "a#b",
        }

    def test_no_expansion(self):
        """A variable of the process stays as it is written, so that nothing of the daemon's own leaks in."""
        assert parse_dotenv("A=${HOME}\n", "/.env") == {"A": "${HOME}"}

    def test_references(self):
        """A value can use those above it, except in single quotes, and what it brings along is not looked at again."""
        text = "A=a\nB=${A}b\nC=\"<${B}>\"\nD='${A}'\nE=${D}${LATER}${NOT:-d}\nLATER=x\n"
        assert parse_dotenv(text, "/.env") == {
            "A": "a",
            "B": "ab",
            "C": "<ab>",
            "D": "${A}",
            "E": "${A}${LATER}d",
            "LATER": "x",
        }

    @pytest.mark.parametrize("line", ["hunter2", "1A=x", "=x", "A='open", 'A="x" y', "A B=c"])
    def test_wrong_line(self, line):
        """A line of another form is an error that names the line and does not show it."""
        with pytest.raises(ConfigError) as caught:
            parse_dotenv(f"X=1\n{line}\n", "/.env")
        assert str(caught.value) == "/.env, line 2: found something else; expected KEY=VALUE"

    @given(st.text())
    def test_any_text(self, text):
        """Any text is variables or an error of ours."""
        with suppress(ConfigError):
            parse_dotenv(text, "/.env")


class LinesTests:
    """Values of several lines."""

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("quote", ["'", '"'])
    def test_a_key(self, quote, end):
        """A quoted value goes on to the end of its quotation, and the lines below it are read as ever."""
        text = end.join((f"A={quote}BEGIN", "", "# x=1", f"END{quote}  # a key", "export B=2", ""))
        assert parse_dotenv(text, "/w/.env") == {"A": "BEGIN\n\n# x=1\nEND", "B": "2"}

    @pytest.mark.parametrize("text", ['X=1\nA="x\nB=1\n', "X=1\nA='x\nB='y'\n", 'X=1\nA="x\ny" z\n'])
    def test_no_end(self, text):
        """A quotation that nobody ends is a mistake in the line in which it begins."""
        with pytest.raises(ConfigError, match=r"/w/\.env, line 2: "):
            parse_dotenv(text, "/w/.env")

    def test_line_below(self):
        """Lines are counted through a value of several."""
        with pytest.raises(ConfigError, match=r"line 4: "):
            parse_dotenv('A="x\ny"\n\nwrong\n', "/w/.env")

    def test_other_separators(self):
        """A line ends only at the characters that end one for an editor."""
        assert parse_dotenv("A=x\u2028y\x0bz\nB=1", "/w/.env") == {"A": "x\u2028y\x0bz", "B": "1"}
