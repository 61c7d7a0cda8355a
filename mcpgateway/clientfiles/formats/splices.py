"""The difference of two texts, as a few exact replacements that can be reversed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field, frozen

from mcpgateway.errors import ConfigError

# Two texts count as aligned again where so many characters are the same.
WINDOW = 24
STEP = 8
# The distance in which alignment is searched for; beyond it, all the rest counts as one difference.
REACH = 1 << 16


@frozen
class TextSplice:
    """A part of a text that was replaced.

    :ivar start: its position in the former text.
    :ivar old: the replaced text; it may hold secrets.
    :ivar new: the text in its place.
    """

    start: int
    old: str = field(repr=False)
    new: str = field(repr=False)


def splices(before: str, after: str) -> tuple[TextSplice, ...]:
    """Return the replacements that turn one text into another, in order; they are exact, but not always minimal."""
    found: list[TextSplice] = []
    here = there = 0
    while True:
        same = _common(before, here, after, there)
        here, there = here + same, there + same
        if here == len(before) and there == len(after):
            return tuple(found)
        old, new = _apart(before, here, after, there)
        found.append(TextSplice(here, before[here : here + old], after[there : there + new]))
        here, there = here + old, there + new


def forward(before_text: str, splices: Sequence[TextSplice]) -> str:
    """Return the text after the replacements of the text that they were made from."""
    parts: list[str] = []
    here = 0
    for each in splices:
        parts += [before_text[here : each.start], each.new]
        here = each.start + len(each.old)
    return "".join((*parts, before_text[here:]))


def reverse(after_text: str, splices: Sequence[TextSplice]) -> str:
    """Return the text before the replacements.

    :raise ConfigError: the replacements have not made this text.
    """
    parts: list[str] = []
    here, shift = 0, 0
    for each in splices:
        at = each.start + shift
        end = at + len(each.new)
        if at < here or after_text[at:end] != each.new:
            raise ConfigError("the text is not what was made of the former one")
        parts += [after_text[here:at], each.old]
        here, shift = end, shift + len(each.new) - len(each.old)
    return "".join((*parts, after_text[here:]))


def _common(before: str, here: int, after: str, there: int) -> int:
    """Return the number of equal characters from two positions on."""

    def agree(same: int, size: int) -> bool:
        old, new = here + same, there + same
        return before[old : old + size] == after[new : new + size]

    return _longest(min(len(before) - here, len(after) - there), agree)


def _common_end(before: str, here: int, after: str, there: int) -> int:
    """Return the number of equal characters at the ends of two texts, back to two positions."""

    def agree(same: int, size: int) -> bool:
        old, new = len(before) - same, len(after) - same
        return before[old - size : old] == after[new - size : new]

    return _longest(min(len(before) - here, len(after) - there), agree)


def _longest(most: int, agree: Callable[[int, int], bool]) -> int:
    """Return the length for which two texts agree.

    :param agree: tells for an offset and a size whether these characters are the same.
    """
    size, same = 1 << 12, 0
    while same < most:
        size = min(size, most - same)
        if agree(same, size):
            same += size
            size *= 2
        elif size == 1:
            break
        else:
            size //= 2
    return same


def _apart(before: str, here: int, after: str, there: int) -> tuple[int, int]:
    """Return the lengths of the different parts of two texts, up to their next alignment."""
    stop = min(here + REACH, len(before) - WINDOW)
    best: tuple[int, int] | None = None
    for at in range(here, stop + 1, STEP):
        if best is not None and at - here >= sum(best):
            break
        # A position beyond the best one so far cannot be better.
        end = there + (REACH if best is None else sum(best) - (at - here))
        found = after.find(before[at : at + WINDOW], there, end + WINDOW)
        if found < 0:
            continue
        back = 0
        while at - back > here and found - back > there and before[at - back - 1] == after[found - back - 1]:
            back += 1
        pair = at - back - here, found - back - there
        if best is None or sum(pair) < sum(best):
            best = pair
    if best is not None and best != (0, 0):
        return best
    same = _common_end(before, here, after, there)
    return len(before) - here - same, len(after) - there - same
