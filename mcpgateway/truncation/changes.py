"""The differences between two results of the same tool, for a reader who knows the former.

# Note [Near-identical]
The lines of both results are compared (`mcpgateway.truncation.lines`), wherever they stand: an item that was added at
the beginning of a list changes no other.  Results are nearly identical if at most a tenth of their lines differ.
"""

from __future__ import annotations

import re
from collections import Counter

from mcpgateway.errors import InvalidParams
from mcpgateway.truncation import documents, lines

MOST_BYTES = 1_048_576  # of each result; comparing larger ones takes too long
NEAR = 10  # at most one line in so many differs
SHOWN = 4  # differing lines
SHOWN_CHARS = 80  # of each
_NUMBER = re.compile(r"(\d+)")
_INDEX = re.compile(r"\[\d+\]")


def changes(before: bytes, after: bytes) -> str:
    """Return a sentence on the lines that are new and gone; empty unless the results are nearly identical."""
    if max(len(before), len(after)) > MOST_BYTES:
        return ""
    try:
        former, present = (lines.of_value("$", documents.root_of(each)) for each in (before, after))
    except InvalidParams:
        return ""
    gone, new = _beyond(former, present), _beyond(present, former)
    count = len(new) + len(gone)
    if not count or count * NEAR > len(former) + len(present):
        return ""
    # As in a diff, a line that is gone stands before the one in its place.
    shown = [(_order(former[at], at), f"- {former[at]}") for at in gone]
    shown += [(_order(present[at], at), f"+ {present[at]}") for at in new]
    shown.sort(key=lambda each: each[0])
    told = "; ".join(lines.shortened(line, SHOWN_CHARS) for _, line in shown[:SHOWN])
    return (
        f"{count} {'line differs' if count == 1 else 'lines differ'}: {told}{'; …' if count > SHOWN else ''}."
    )


def _beyond(some: list[str], others: list[str]) -> list[int]:
    """Return the places of the lines that others lack: first at the same place in a list, then at any."""
    left, found = Counter(others), [*range(len(some))]
    for name in (str, _anywhere):
        left = Counter(map(name, left.elements()))
        found = [at for at in found if not _taken(left, name(some[at]))]
    return found


def _taken(left: Counter[str], line: str) -> bool:
    left[line] -= 1
    return left[line] >= 0


def _anywhere(line: str) -> str:
    path, mark, value = line.partition(" = ")
    return f"{_INDEX.sub('[]', path)}{mark}{value}" if mark and line.startswith("$") else line


def _order(line: str, at: int) -> list[str | int]:
    path, mark, _ = line.partition(" = ")
    parts = _NUMBER.split(path) if mark and line.startswith("$") else ["", str(at)]
    return [int(each) if nth % 2 else each for nth, each in enumerate(parts)]
