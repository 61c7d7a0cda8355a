"""The layout of tables: columns beside each other, folded to the width of a terminal, or one row below the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from unicodedata import combining, east_asian_width

from mcpgateway.hints import PROGRAM

BETWEEN = "  "
CUT = "\N{HORIZONTAL ELLIPSIS}"
TITLE = re.compile(r" {,8}(?:[\w ]{,12}:? {2,}|[A-Z][a-z ]{,10}: |- |-> |[✓!●○✗] |\d+\. )?(?=\S)")
SENTENCE = "shows|says|lists|tells|makes|names|explains|has|is|takes|adds|gives|and|or"
COMMAND = re.compile(rf"(?:^ *|: )({PROGRAM} (?!.* (?:{SENTENCE}) )[^;]*)$")
"""A command at the end of a line, which no sentence goes on behind."""
NARROWEST = 12  # characters that a column keeps, so that words and the ends of paths can be read


class Segment(NamedTuple):
    """A part of a printed line, which stands in one cell.

    :ivar at: the column of the cell, whose style it has.
    :ivar pad: spaces behind it.
    """

    at: int
    text: str
    pad: int
    is_title: bool = False


Line = list[Segment]


def laid_out(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[list[Line]]:
    """Return the lines of the titles, and those of each row.

    :param width: the columns of the terminal; None for any number.
    """
    widths = [max(map(display_width, column)) for column in zip(columns, *rows, strict=True)]
    room = None if width is None else width - len(BETWEEN) * (len(widths) - 1)
    if room is not None and sum(widths) > room:
        floors = [
            min(each, max(NARROWEST, display_width(title)))
            for each, title in zip(widths, columns, strict=True)
        ]
        if sum(floors) > room:
            return [[], *_one_below_the_other(columns, rows)]
        widths = _shrunk(widths, floors, room)
    return [list(_beside_each_other(columns, widths, is_title=True))] + [
        list(_beside_each_other(row, widths)) for row in rows
    ]


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def folded(text: str, width: int) -> list[str]:
    """Return a text as lines that are no longer than a width, broken at spaces where there are any."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if display_width(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
    return [*lines, line]


def broken(text: str, width: int) -> list[int]:
    """Return the indexes of the spaces at which a line ends, so that no word is broken that has room on a line."""
    ends: list[int] = []
    indent = hanging(text)
    column, space = 0, -1
    command = COMMAND.search(text)
    whole_from = command.start(1) if command is not None else len(text)  # a command is copied as it stands
    for at, character in enumerate(text):
        if character == " " and at < whole_from:
            space = at if at > indent else space
        column += display_width(character)
        if column > width and character != " " and space > (ends[-1] if ends else -1):
            word = text[space + 1 :].partition(" ")[0]
            if indent + display_width(word) <= width or space + 1 == whole_from:
                ends.append(space)
                column = indent + display_width(text[space + 1 : at + 1])
    return ends


def hanging(text: str) -> int:
    """Return the column at which a line goes on below itself: below its value, its sentence or its item."""
    if text.startswith(f"{PROGRAM}: "):
        return len(BETWEEN)
    found = TITLE.match(text)
    return found.end() if found else 0


def cut_in_the_middle(text: str, width: int) -> str:
    """Return a text that is no wider than a width: with an ellipsis for its middle, where it is wider."""
    if display_width(text) <= width:
        return text
    head, tail = "", ""
    for first, last in zip(text, reversed(text), strict=True):
        if display_width(head + tail + first) >= width:
            break
        head += first
        if display_width(head + tail + last) >= width:
            break
        tail = last + tail
    return f"{head}{CUT}{tail}"


def _pieces(word: str, width: int) -> list[str]:
    """Break a word, such as a path, behind a slash where the piece is not much shorter for it."""
    pieces = [""]
    for character in word:
        if pieces[-1] and display_width(pieces[-1] + character) > width:
            at = pieces[-1].rfind("/") + 1
            is_near = at > width // 2 and display_width(pieces[-1][at:] + character) <= width
            at = at if is_near else len(pieces[-1])
            pieces[-1:] = [pieces[-1][:at], pieces[-1][at:]]
        pieces[-1] += character
    return pieces


def _shrunk(widths: Sequence[int], floors: Sequence[int], room: int) -> list[int]:
    """Take from the widest columns until all have room."""
    left = list(widths)
    while sum(left) > room:
        at = max((at for at, each in enumerate(left) if each > floors[at]), key=left.__getitem__)
        left[at] -= 1
    return left


def _beside_each_other(
    cells: Sequence[str], widths: Sequence[int], *, is_title: bool = False
) -> Iterator[Line]:
    parts = [folded(text, width) for text, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, parts))):
        line = []
        for at, width in enumerate(widths):
            text = parts[at][number] if number < len(parts[at]) else ""
            line.append(Segment(at, text, width - display_width(text) + len(BETWEEN), is_title))
        while line and not line[-1].text:
            line.pop()
        yield [*line[:-1], line[-1]._replace(pad=0)] if line else []


def _one_below_the_other(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[list[Line]]:
    wide = max(map(display_width, columns))
    for number, row in enumerate(rows):
        lines: list[Line] = [[]] if number else []
        for at, (title, text) in enumerate(zip(columns, row, strict=True)):
            if text:
                pad = wide - display_width(title) + len(BETWEEN)
                lines.append([Segment(at, title, pad, is_title=True), Segment(at, text, 0)])
        yield lines
