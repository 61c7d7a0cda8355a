"""The drawings of the documentation, which are made from text."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
from accessible import mended  # noqa: E402
from drawing import Box, Drawing, Label, Line  # noqa: E402 - an extension of Sphinx

ARROW = """\
  to serve
     |
     v
  +-----+
  | one |
  +-----+
"""


class DrawingTests:
    """A text of boxes and arrows as lines, boxes and labels."""

    def test_an_arrow_ends_at_its_box(self) -> None:
        """An arrow reaches the edge of the box below its head."""
        drawing = Drawing(ARROW)
        assert drawing.boxes == [Box(2, 3, 8, 5)]
        assert drawing.heads == [(5, 2, "v")]
        assert Line(5, 0.5, 5, 3) in drawing.lines

    def test_letters_of_words_are_no_arrows(self) -> None:
        """A letter "v" below a line belongs to its word when it has neighbours."""
        drawing = Drawing("| in the cell\n|\nverse")
        assert drawing.heads == []
        assert [each.text for each in drawing.labels] == ["in the cell", "verse"]

    def test_labels(self) -> None:
        """A label in the middle of its box is centred; lower-case words at the left edge are the name of the box."""
        drawing = Drawing("+-------------+\n|  hub  calls |\n|     one     |\n+-------------+")
        assert drawing.labels == [
            Label(2.5, 1, "hub", is_name=True),
            Label(7.5, 1, "calls"),
            Label(7.0, 2, "one", is_centred=True),
        ]

    def test_divided_boxes(self) -> None:
        """A box that is divided by a line is two boxes."""
        drawing = Drawing("+--+--+\n|  |  |\n+--+--+")
        assert drawing.boxes == [Box(0, 0, 3, 2), Box(3, 0, 6, 2)]

    def test_labels_are_escaped(self) -> None:
        """A label and a description with markup stay text."""
        svg = Drawing("a & b").svg("from a & <b>")
        assert "a &amp; b</text>" in svg
        assert 'aria-label="from a &amp; &lt;b&gt;"' in svg

    def test_the_house(self) -> None:
        """Every floor of the drawing of the house is a box, and the name of each package is a name."""
        drawing = Drawing((ROOT / "docs" / "explanation" / "house.txt").read_text())
        names = {each.text for each in drawing.labels if each.is_name}
        assert {"tap", "frontends", "cli", "hub", "clientfiles | credentials", "errors"} <= names
        assert len(drawing.boxes) == 8


class AccessibleTests:
    """The markup that screen readers and keyboards need."""

    def test_mended_once(self) -> None:
        """A page that is mended already stays as it is."""
        page = mended('<p class="caption" role="heading">A</p><div class="table-wrapper docutils">')
        assert (
            page
            == '<p class="caption" role="heading" aria-level="2">A</p><div tabindex="0" class="table-wrapper docutils">'
        )
        assert mended(page) == page
