"""The framer: any chunking, the same lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.protocol.framing import HEAD_BYTES, LineFramer, LineTooLong

LIMIT = 1000


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A byte stream and one way of cutting it."""
    stream = draw(st.lists(st.binary(max_size=30), max_size=12).map(b"\n".join))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


class LineFramerTests:
    """Newline-delimited framing."""

    @given(chunked())
    def test_chunking_does_not_matter(self, case: tuple[bytes, list[bytes]]) -> None:
        """The lines depend on the bytes, not on how they come."""
        stream, chunks = case
        framer = LineFramer(LIMIT)
        lines = [line for chunk in chunks for line in framer.feed(chunk)]
        whole = [line.rstrip(b"\r") for line in stream.split(b"\n")[:-1]]
        assert lines == [line for line in whole if line and not line.isspace()]

    def test_the_buffer_may_be_used_again(self) -> None:
        """The framer holds no reference to the reader's buffer after a feed."""
        framer, buffer = LineFramer(LIMIT), bytearray(b"abc\nde")
        lines = framer.feed(buffer, 6)
        buffer[:4] = b"f\nXX"
        lines += framer.feed(buffer, 2)
        assert lines == [b"abc", b"def"]

    def test_a_line_without_end(self) -> None:
        """A line longer than the limit is an error that shows its beginning."""
        framer = LineFramer(LIMIT)
        framer.feed(b'{"id":7,')
        framer.feed(b"x" * 900)
        with pytest.raises(LineTooLong) as why:
            framer.feed(b"x" * 100)
        assert why.value.head.startswith(b'{"id":7,xx')
        assert len(why.value.head) == HEAD_BYTES

    def test_many_small_pieces_of_a_large_line(self) -> None:
        """A large line in small pieces is put together once."""
        framer = LineFramer(2**24)
        for _ in range(2**12):
            assert framer.feed(b"y" * 1024) == []
        (line,) = framer.feed(b"\n")
        assert len(line) == 2**22
