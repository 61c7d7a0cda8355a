"""A value as lines, for searching.

A text has its own lines.  Of any other value each line is one leaf: its path and its value.

    $.items[0].name = "a"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from attrs import frozen
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


@frozen
class _Choice:
    """One alternative of a pattern.

    :ivar parts: the texts that follow each other in a line.
    :ivar gaps: the fewest characters before each of them.
    :ivar is_first: the first text begins the line.
    :ivar is_last: the last text ends it.
    """

    parts: list[str]
    gaps: list[int]
    is_first: bool
    is_last: bool

    def holds(self, line: str) -> bool:
        """Return whether a line matches, in a time that is linear in its length."""
        place = 0
        for nth, (gap, part) in enumerate(zip(self.gaps, self.parts, strict=True)):
            is_end = self.is_last and nth == len(self.parts) - 1
            at = len(line) - len(part) if is_end else line.find(part, place + gap)
            if at < place + gap or (self.is_first and not nth and at) or (is_end and not line.endswith(part)):
                return False
            place = at + len(part)
        return True


def matcher(pattern: str) -> Matcher:
    """Return the matcher of lines: a text in any case, or the part of regular expressions that takes linear time.

    ``|`` stands between alternatives, ``.*`` and ``.+`` for any characters, ``^`` and ``$`` for the ends of the line,
    and a backslash before a sign for that sign.

    :raise InvalidParams: the pattern has another operator of regular expressions.
    """
    wrong = _OTHERS.search(_ESCAPED.sub("\0", pattern))
    if wrong is not None:
        raise InvalidParams(
            f"grep does not know {wrong[0].replace(chr(0), chr(92) + '.')!r}",
            "It knows |, .*, .+, ^ and $; a backslash before a sign stands for the sign",
        )
    choices = [_choice(each) for each in _ALTERNATIVE.findall(pattern) if each]

    def matches(line: str) -> bool:
        lowered = line.lower()
        return any(each.holds(lowered) for each in choices)

    return matches


def _choice(text: str) -> _Choice:
    is_first, is_last = text.startswith("^"), text.endswith("$") and not text.endswith("\\$")
    text = text[is_first : len(text) - is_last]
    parts, gaps = [""], [0]
    for sign in _SIGN.findall(text):
        if sign in (".*", ".+"):
            parts.append("")
            gaps.append(int(sign == ".+"))
        else:
            parts[-1] += (sign[1:] or sign if sign.startswith("\\") else sign).lower()
    return _Choice(parts, gaps, is_first, is_last)


_SIGN = re.compile(r"\\.|\.[*+]|.", re.DOTALL)
_ALTERNATIVE = re.compile(r"(?:\\.|[^|\\]|\\\Z)+", re.DOTALL)
_ESCAPED = re.compile(r"\\[^0-9A-Za-z]")
_OTHERS = re.compile(
    r"\\[0-9A-Za-z]"  # classes and anchors
    r"|\(\?|\)[*+?{]|\([^()]*\|[^()]*\)"  # groups
    r"|\[\^|\w-\w\]|\][*+?{]"  # sets
    r"|\w[*+?](?=\w)|\w[*+]\Z|\w\{\d+,?\d*\}|\.[*+]\?"  # of one character, and lazy ones
)


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
