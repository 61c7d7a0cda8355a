"""A value as lines, for searching.

A text has its own lines.  Of any other value each line is one leaf: its path and its value.

    $.items[0].name = "a"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Raw

from mcpgateway.errors import InvalidParams
from mcpgateway.truncation import paths, values

LEAVES_LIMIT = 500_000  # beyond it a narrower path is required
LEAF_CHARS = 1000  # of one leaf that are searched and shown
LINE_CHARS = 1000  # of one line that are shown
DEPTH_LIMIT = 200

Matcher = Callable[[str], bool]


def of_value(path: str, value: Raw) -> list[str]:
    """Return the lines of a value.

    :raise InvalidParams: the value has too many.
    """
    text = values.text(value)
    if text is not None:
        return text.split("\n")
    found: list[str] = []
    for leaf in _leaves(path, value, 0):
        found.append(leaf)
        if len(found) > LEAVES_LIMIT:
            raise InvalidParams(f"{path} has more than {LEAVES_LIMIT} values", "Name a narrower path")
    return found


def _leaves(path: str, value: Raw, depth: int) -> Iterator[str]:
    head = values.head(value) if depth < DEPTH_LIMIT else b""
    listed = values.items(value) if head == b"[" else None
    named = values.members(value) if head == b"{" else None
    if listed:
        for index, each in enumerate(listed):
            yield from _leaves(paths.of_item(path, index), each, depth + 1)
    elif named:
        for name, each in named.items():
            yield from _leaves(paths.of_member(path, name), each, depth + 1)
    else:
        yield f"{path} = {shortened(values.as_text(value), LEAF_CHARS)}"


def shortened(line: str, chars: int = LINE_CHARS) -> str:
    """Return a line cut to a length that can be shown."""
    return line if len(line) <= chars else f"{line[:chars]}… [{len(line) - chars} more chars]"


def matcher(pattern: str) -> Matcher:
    """Return the matcher of lines: a text in any case, ``|`` between several, ``.*`` for anything between two of them.

    Other characters have no special meaning, so no pattern takes longer than reading the line.
    """
    choices = [[part.lower() for part in each.split(".*")] for each in pattern.split("|") if each]

    def matches(line: str) -> bool:
        lowered = line.lower()
        return any(_holds(lowered, parts) for parts in choices)

    return matches


def _holds(line: str, parts: Sequence[str]) -> bool:
    place = 0
    for each in parts:
        place = line.find(each, place)
        if place < 0:
            return False
        place += len(each)
    return True


def around(lines: Sequence[str], matches: Sequence[int], context: int) -> list[str]:
    """Return matching lines and those around them, numbered as by ``grep -n``: ``12:``, ``13-``, ``--`` for a gap."""
    hits = set(matches)
    shown = sorted({each for hit in matches for each in range(max(0, hit - context), hit + context + 1)})
    found: list[str] = []
    last = -1
    for each in shown:
        if each >= len(lines):
            break
        if context and last >= 0 and each > last + 1:
            found.append("--")
        found.append(f"{each + 1}{':' if each in hits else '-'} {shortened(lines[each])}")
        last = each
    return found
