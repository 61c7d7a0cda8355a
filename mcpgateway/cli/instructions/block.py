"""The gateway's block between two marks in a user's text file; taken out, nothing is left of it.

# Note [Byte for byte]
The first mark says how many line ends before it are ours, and whether the file is.  So what is taken out is exactly
what was put in, whatever the file ended with; everything before and behind the block is bytes that nobody looks into.
"""

from __future__ import annotations

import re

from attrs import field, frozen

from mcpgateway.errors import ConfigError

BEGIN = re.compile(rb"<!-- mcpgateway begin ([012])( new)? -->(\r?\n)")
END = re.compile(rb"<!-- mcpgateway end -->(?:\r\n|\n|$)")
ANY = re.compile(rb"<!-- mcpgateway (begin|end)")


@frozen
class FoundBlock:
    """Where the block is.

    :ivar start: where what is ours begins, with the line ends before the mark.
    :ivar lead: how many line ends that are.
    :ivar line_end: what its lines end with.
    :ivar is_new: the file was made for it.
    """

    start: int
    end: int
    lead: int
    line_end: bytes
    is_new: bool


@frozen
class Content:
    """The content that a file is to have; None where the file is to be removed."""

    data: bytes | None = field(repr=False)


def put(data: bytes | None, text: str, front: str = "") -> bytes:
    """A file with the block: in the place of the one that it has, else at its end.

    :param data: None where there is no such file.
    :param front: what a new file begins with.
    :raise ConfigError: its marks do not match.
    """
    if data is None:
        return front.encode() + _block(text, b"\n", 0, is_new=True)
    found = find(data)
    if found is not None:
        before = data[: found.start] + found.line_end * found.lead
        return before + _block(text, found.line_end, found.lead, is_new=found.is_new) + data[found.end :]
    line_end = _line_end(data)
    lead = 0 if not data else 1 if data.endswith(b"\n") else 2
    return data + line_end * lead + _block(text, line_end, lead, is_new=False)


def take_out(data: bytes, front: str = "") -> Content:
    """Return a file without the block.

    :raise ConfigError: there is none, or its marks do not match.
    """
    found = find(data)
    if found is None:
        raise ConfigError("there is nothing of mcpgateway's in it")
    rest = data[: found.start] + data[found.end :]
    return Content(None if found.is_new and rest in (b"", front.encode()) else rest)


def find(data: bytes) -> FoundBlock | None:
    """Where the block is; None where there is none.

    :raise ConfigError: its marks do not match.
    """
    marks = ANY.findall(data)
    begin = BEGIN.search(data)
    end = END.search(data, begin.end()) if begin else None
    if not marks:
        return None
    if begin is None or end is None or marks != [b"begin", b"end"]:
        raise ConfigError("the marks of mcpgateway's block do not match; take the block out by hand")
    lead = int(begin[1])
    start = _back(data, begin.start(), lead, begin[3])
    return FoundBlock(start, end.end(), lead, begin[3], bool(begin[2]))


def _back(data: bytes, at: int, lead: int, line_end: bytes) -> int:
    for _ in range(lead):
        if data[:at].endswith(line_end):
            at -= len(line_end)
    return at


def _line_end(data: bytes) -> bytes:
    first = data.find(b"\n")
    return b"\r\n" if first > 0 and data[first - 1 : first] == b"\r" else b"\n"


def _block(text: str, line_end: bytes, lead: int, *, is_new: bool) -> bytes:
    mark = f"<!-- mcpgateway begin {lead}{' new' if is_new else ''} -->"
    whole = f"{mark}\n{text.strip()}\n<!-- mcpgateway end -->\n"
    return whole.encode().replace(b"\n", line_end)
