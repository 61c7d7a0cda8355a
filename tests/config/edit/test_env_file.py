"""The .env file that values are written into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.dotenv import parse_dotenv
from mcpgateway.config.edit.env_file import updated, written
from mcpgateway.errors import ConfigError

FILE = "/w/.env"
NAMES = st.sampled_from(("A", "B", "GITHUB_PASSWORD", "_x", "env"))
# Everything that means something to the reader is in them more often than it is elsewhere.
TEXTS = st.text(st.one_of(st.sampled_from("\\\"'${}:-#=\n\r\t env:ABnrt"), st.characters(codec="utf-8")))
VALUES = st.dictionaries(NAMES, TEXTS)


@st.composite
def lines(draw):
    """Draw a line that people write, without a reference."""
    kinds = (
        "# a comment",
        "",
        "   ",
        "export C=1",
        "D='x\ny'  # two lines",
        'E="a\\"b"',
        "A=old",
        "B = old # why",
    )
    return draw(st.sampled_from(kinds))


class WrittenTests:
    @given(NAMES, TEXTS)
    def test_round_trip(self, name, value):
        """Any written value is read back unchanged."""
        assert parse_dotenv(written(name, value), FILE) == {name: value}

    @given(VALUES)
    def test_nothing_refers(self, values):
        """No value is taken for a reference to one above it."""
        assert parse_dotenv(updated("", FILE, values), FILE) == values

    def test_escapes(self):
        """A backslash, a quote and a dollar are escaped as a shell has them; what is harmless stays."""
        assert written("A", "a\\b\"c$d#e'f\n") == 'A="a\\\\b\\"c\\$d#e\'f\\n"'


class UpdatedTests:
    @given(st.lists(lines()), VALUES, st.sampled_from(("\n", "\r\n")), st.booleans())
    def test_what_is_there_stays(self, there, values, end, is_ended):
        """The new values are read back, the rest is as it was with its comments, and a second time changes nothing."""
        text = end.join(there) + (end if is_ended else "")
        after = updated(text, FILE, values)
        assert parse_dotenv(after, FILE) == parse_dotenv(text, FILE) | values
        assert after.count("# ") >= text.count("# ")
        assert updated(after, FILE, values) == after

    def test_places(self):
        """Present variables keep their places; new ones stand at the end, sorted, below their note."""
        before = "# mine\nB=1\n\nX=${B}\nB=2 # again"
        after = updated(before, FILE, {"B": "3", "Z": "z", "C": "c"}, {"Z": "watch out", "B": "not again"})
        assert after == '# mine\nB="3"\n\nX=${B}\nB="3" # again\nC="c"\n# watch out\nZ="z"\n'

    def test_no_env_file(self):
        """A file of another kind is left alone, and not shown."""
        with pytest.raises(
            ConfigError, match=r"^/w/\.env, line 2: found something else; expected KEY=VALUE$"
        ):
            updated("A=1\nhunter2\n", FILE, {"A": "2"})
