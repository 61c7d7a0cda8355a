"""The layout of tables on terminals of any width."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from mcpgateway.cli.layout import Line, broken, cut_in_the_middle, display_width, folded, hanging, laid_out

COLUMNS = ("NAME", "STATUS", "DEFINED")
ROWS = (
    ("clock", "running", "/home/me/projects/with-a-long-name/.config/config.yaml"),
    ("notes", "the last start has failed twice", ""),
)
WORDS = st.text(st.sampled_from("ab /日\u0301"), max_size=60).map(str.strip)


def written(block: list[Line]) -> list[str]:
    """The lines of a block as they are printed."""
    return ["".join(each.text + " " * each.pad for each in line) for line in block]


class LayoutTests:
    """Tables."""

    def test_room(self) -> None:
        """A table that has room has one line for each row, and nothing is cut."""
        for width in (None, 200):
            blocks = laid_out(COLUMNS, ROWS, width)
            assert [len(each) for each in blocks] == [1, 1, 1]
            assert written(blocks[0])[0].split() == list(COLUMNS)
            assert written(blocks[1])[0].split() == list(ROWS[0])

    def test_folded(self) -> None:
        """Cells are folded at spaces, and paths behind a slash, where the terminal is narrower."""
        lines = [line for block in laid_out(COLUMNS, ROWS, 60) for line in written(block)]
        assert lines == [
            "NAME   STATUS                     DEFINED",
            "clock  running                    /home/me/projects/",
            "                                  with-a-long-name/.config/",
            "                                  config.yaml",
            "notes  the last start has failed",
            "       twice",
        ]

    def test_narrow(self) -> None:
        """A terminal without room for the columns gets the cells of a row below each other, without the empty ones."""
        blocks = laid_out(COLUMNS, ROWS, 30)
        assert written(blocks[0]) == []
        assert written(blocks[1]) == [
            f"{title:<9}{text}" for title, text in zip(COLUMNS, ROWS[0], strict=True)
        ]
        assert written(blocks[2]) == ["", "NAME     notes", f"STATUS   {ROWS[1][1]}"]

    @given(rows=st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4), width=st.integers(40, 120))
    def test_any(self, rows: list[tuple[str, str, str]], width: int) -> None:
        """No line is wider than the terminal, and every character of every cell is shown."""
        blocks = laid_out(COLUMNS, rows, width)
        for row, block in zip(rows, blocks[1:], strict=True):
            assert all(display_width(line) <= width for line in written(block))
            for at, text in enumerate(row):
                shown = "".join(each.text for line in block for each in line if each.at == at)
                assert shown.replace(" ", "") == text.replace(" ", "")


class FoldingTests:
    """Texts in a column."""

    @given(text=WORDS, width=st.integers(2, 30))
    @example(text="\u0301/a\u65e5", width=2)
    def test_width(self, text: str, width: int) -> None:
        """A text is folded to lines of the width, and loses nothing but spaces."""
        lines = folded(text, width)
        assert all(display_width(each) <= width for each in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")

    @given(text=WORDS, width=st.integers(3, 30))
    def test_middle(self, text: str, width: int) -> None:
        """A text that is too wide loses its middle, and keeps its ends; any other stays as it is."""
        cut = cut_in_the_middle(text, width)
        if display_width(text) <= width:
            assert cut == text
            return
        head, _, tail = cut.partition("…")
        assert display_width(cut) <= width
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head) + len(tail) < len(text)


class BreakingTests:
    """Sentences on a terminal."""

    def test_hanging(self) -> None:
        """A line goes on below its value, its sentence or its item."""
        lines = (
            "a sentence",
            "  defined    ~/x",
            "  1. time does",
            "mcpgateway: no",
            "Next:    start",
            "✓ All",
        )
        assert [hanging(each) for each in lines] == [0, 13, 5, 2, 9, 2]

    @given(
        words=st.lists(st.text("ab日", min_size=1, max_size=12), min_size=1, max_size=20),
        width=st.integers(24, 60),
    )
    def test_words(self, words: list[str], width: int) -> None:
        """No line is wider than the terminal, no word is broken, and none is lost."""
        text = " ".join(words)
        ends = broken(text, width)
        lines = [text[begin:end] for begin, end in pairwise([0, *ends, len(text)])]
        assert all(display_width(each.strip()) <= width for each in lines)
        assert [word for each in lines for word in each.split()] == words

    def test_a_path(self) -> None:
        """A word that is longer than a line stays where it is."""
        assert broken("in " + "x" * 40 + " it stands", 30) == [43]

    def test_a_command_is_whole(self) -> None:
        """A command at the end of a line is not broken, so that it can be copied; one within a sentence may be."""
        command = "mcpgateway servers add think -- npx -y @modelcontextprotocol/server-memory"
        assert broken(f"  {command}", 40) == []
        text = f"put it behind two dashes: {command}"
        assert [text[end + 1 :] for end in broken(text, 60)] == [command]
        assert broken(f"{command} adds it, and more of the kind", 60) != []
