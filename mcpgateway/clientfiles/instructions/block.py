"""The gateway's block between two marks in a user's text file, which can be removed without a trace.

# Note [Byte for byte]
The first mark records how many line ends before it belong to the block, and whether the file does.  So exactly the
inserted bytes are removed, for any end of the file; the bytes before and after the block are not parsed.
"""

from __future__ import annotations

import re

from attrs import frozen

from mcpgateway.errors import ConfigError

BEGIN = re.compile(rb"<!-- mcpgateway begin ([012])( new)? -->(\r?\n)")
END = re.compile(rb"<!-- mcpgateway end -->(?:\r\n|\n|$)")
ANY = re.compile(rb"<!-- mcpgateway (begin|end)")


@frozen
class FoundBlock:
    """The position of the block.

    :ivar start: start of the inserted bytes, with the line ends before the mark.
    :ivar lead: number of these line ends.
    :ivar line_end: the line end of its lines.
    :ivar is_new: True if the file was made for it.
    """

    start: int
    end: int
    lead: int
    line_end: bytes
    is_new: bool


def put(data: bytes | None, text: str, front: str = "") -> bytes:
    """Return a file with the block: in place of an existing block, else at the end.

    :param data: None if the file does not exist.
    :param front: beginning of a new file.
    :raise ConfigError: the marks in the file do not match.
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


def take_out(data: bytes, front: str = "") -> bytes | None:
    """Return a file without the block; None if the file is to be removed.

    :raise ConfigError: the file has no block, or its marks do not match.
    """
    found = find(data)
    if found is None:
        raise ConfigError("there is nothing of mcpgateway's in it")
    rest = data[: found.start] + data[found.end :]
    return None if found.is_new and rest in (b"", front.encode()) else rest


def find(data: bytes) -> FoundBlock | None:
    """Return the position of the block; None if the file has none.

    :raise ConfigError: the marks in the file do not match.
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
