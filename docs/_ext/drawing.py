"""Drawings of boxes and arrows, made from text when the pages are built.

``.. drawing:: SENTENCE`` draws its content; ``:file: NAME`` draws a file beside the page instead.  The sentence is the
description that a screen reader says.  Boxes consist of ``+``, ``-``, ``|`` and ``=``, arrows end in ``>``, ``<``,
``v`` or ``^``, and everything else is a label.  A label in the middle of its box is centred; a label of lower-case
words at the left edge of a box is the name of the box.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx.application import Sphinx

WIDTH, HEIGHT = 8, 18  # of a character, in pixels
ACROSS, DOWN = re.compile(r"[+<]?[-=]{2,}(?:\+?[-=]*)*[+>]?"), "|:+"
HEADS = {">": (1, 0), "<": (-1, 0), "v": (0, 1), "^": (0, -1)}
LABEL = re.compile(r"\S+(?: \S+)*")
NAME = re.compile(r"[a-z]+(?: \| [a-z]+)*")
AT_THE_EDGE = 4  # so many spaces at most precede the name of a box


class Line(NamedTuple):
    """A straight line between two places of the grid."""

    x: float
    y: float
    to_x: float
    to_y: float


class Box(NamedTuple):
    """A box of the grid, by its corners."""

    x: int
    y: int
    to_x: int
    to_y: int


class Label(NamedTuple):
    """A piece of text: where it stands, whether it is centred there, and whether it names its box."""

    x: float
    y: int
    text: str
    is_centred: bool = False
    is_name: bool = False


class Drawing:
    """The lines, boxes and labels of a text.

    :ivar rows: the text, with rows of one length.
    :ivar drawn: the places of the grid that belong to lines.
    """

    def __init__(self, text: str) -> None:
        lines = text.rstrip().expandtabs().splitlines()
        self.width = max(map(len, lines), default=0)
        self.rows = [line.ljust(self.width) for line in lines]
        self.drawn: set[tuple[int, int]] = set()
        self.lines = [*self._across(), *self._down()]
        self.boxes = list(self._boxes())
        self.heads = [(x, y, self.rows[y][x]) for x, y in sorted(self.drawn) if self.rows[y][x] in HEADS]
        self.labels = list(self._labels())

    def svg(self, description: str) -> str:
        """The drawing as SVG that takes its colours from the page."""
        width, height = self.width * WIDTH, len(self.rows) * HEIGHT
        parts = [
            f'<svg class="drawing" role="img" aria-label={quoteattr(description)}',
            f' viewBox="0 0 {width} {height}" width="{width}" xmlns="http://www.w3.org/2000/svg">',
        ]
        for box in self.boxes:
            (x, y), (to_x, to_y) = _pixels(box.x, box.y), _pixels(box.to_x, box.to_y)
            parts.append(f'<rect x="{x:g}" y="{y:g}" width="{to_x - x:g}" height="{to_y - y:g}"/>')
        for line in self.lines:
            (x, y), (to_x, to_y) = _pixels(line.x, line.y), _pixels(line.to_x, line.to_y)
            parts.append(f'<path d="M{x:g},{y:g} L{to_x:g},{to_y:g}"/>')
        for x, y, mark in self.heads:
            right, down = HEADS[mark]
            touches = (x + right, y + down) in self.drawn
            reach = 1 if touches else 0.5
            parts.append(_head(*_pixels(x + right * reach, y + down * reach), right, down))
        parts += map(_text, self.labels)
        return "".join([*parts, "</svg>"])

    def _at(self, x: int, y: int) -> str:
        return self.rows[y][x] if 0 <= y < len(self.rows) and 0 <= x < self.width else " "

    def _across(self) -> Iterator[Line]:
        for y, row in enumerate(self.rows):
            for found in ACROSS.finditer(row):
                self.drawn.update((x, y) for x in range(*found.span()))
                first, last = found.start(), found.end() - 1
                yield Line(first - self._reach(first, y), y, last + self._reach(last, y), y)

    def _reach(self, x: int, y: int) -> float:
        return 0.5 if self._at(x, y) in "-=" else 0

    def _down(self) -> Iterator[Line]:
        across = set(self.drawn)
        for x in range(self.width):
            column = "".join(self._mark(x, y) for y in range(len(self.rows)))
            for found in re.finditer(r"\^?[|:+]+v?", column):
                first, last = found.start(), found.end() - 1
                if last > first:
                    self.drawn.update((x, y) for y in range(first, last + 1))
                    # A line or an arrow that ends beside a box touches it.
                    above = 1 if (x, first - 1) in across else 0 if column[first] == "+" else 0.5
                    below = 1 if (x, last + 1) in across else 0 if column[last] == "+" else 0.5
                    yield Line(x, first - above, x, last + below)

    def _mark(self, x: int, y: int) -> str:
        """The character at a place, unless it is a letter of a word."""
        mark = self._at(x, y)
        in_word = mark.isalpha() and (self._at(x - 1, y) + self._at(x + 1, y)).strip()
        return " " if in_word else mark

    def _boxes(self) -> Iterator[Box]:
        corners = [place for place in sorted(self.drawn) if self._at(*place) == "+"]
        for x, y in corners:
            for to_x in (other for other, row in corners if row == y and other > x):
                if not self._is_drawn(y, x, to_x):
                    break
                to_y = next((row for row in range(y + 1, len(self.rows)) if self._ends(x, to_x, y, row)), 0)
                if to_y:
                    yield Box(x, y, to_x, to_y)
                    break

    def _ends(self, x: int, to_x: int, y: int, row: int) -> bool:
        sides = all(
            self._at(each, between) in DOWN for each in (x, to_x) for between in range(y + 1, row + 1)
        )
        return sides and self._is_drawn(row, x, to_x)

    def _is_drawn(self, y: int, x: int, to_x: int) -> bool:
        return all((each, y) in self.drawn and self._at(each, y) in "+-=" for each in range(x, to_x + 1))

    def _labels(self) -> Iterator[Label]:
        for y, row in enumerate(self.rows):
            walls = [-1, *(x for x in range(self.width) if (x, y) in self.drawn), self.width]
            for wall, end in pairwise(walls):
                found = list(LABEL.finditer(row, wall + 1, end))
                for each in found:
                    left, right = each.start() - wall, end - each.end() + 1
                    is_only = len(found) == 1 and wall >= 0 and end < self.width
                    if is_only and abs(left - right) <= 1:
                        yield Label((wall + end) / 2, y, each[0], is_centred=True)
                    else:
                        is_name = wall >= 0 and left <= AT_THE_EDGE and NAME.fullmatch(each[0]) is not None
                        yield Label(each.start() - 0.5, y, each[0], is_name=is_name)


def _pixels(x: float, y: float) -> tuple[float, float]:
    return (x + 0.5) * WIDTH, (y + 0.5) * HEIGHT


def _head(x: float, y: float, right: int, down: int) -> str:
    """The head of an arrow whose tip is at this place."""
    one = (x - right * 8 - down * 4, y - down * 8 - right * 4)
    other = (x - right * 8 + down * 4, y - down * 8 + right * 4)
    points = " ".join(f"{px:g},{py:g}" for px, py in ((x, y), one, other))
    return f'<polygon points="{points}"/>'


def _text(label: Label) -> str:
    x, y = _pixels(label.x, label.y)
    kind = "middle" if label.is_centred else "name" if label.is_name else "label"
    return f'<text class="{kind}" x="{x:g}" y="{y + 5:g}">{escape(label.text)}</text>'


class DrawingDirective(Directive):
    """``.. drawing:: SENTENCE`` - the drawing of its content, or of the file beside the page that ``:file:`` names."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = {"file": directives.path}

    def run(self) -> list[nodes.Node]:
        """Draw the text."""
        text = "\n".join(self.content)
        if "file" in self.options:
            page, _ = self.state_machine.get_source_and_line(self.lineno)
            file = Path(page or "").parent / self.options["file"]
            self.state.document.settings.record_dependencies.add(str(file))
            text = file.read_text()
        svg = Drawing(text).svg(" ".join(self.arguments[0].split()))
        return [nodes.raw("", f'<div class="drawing">{svg}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("drawing", DrawingDirective)
    return {"parallel_read_safe": True}
