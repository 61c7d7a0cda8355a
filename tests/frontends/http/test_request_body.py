from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.frontends.http.request_body import BadChunk, ChunkedBody, CountedBody

LIMIT = 10_000


def encode(pieces: list[bytes], *, trailer: bytes = b"") -> bytes:
    return (
        b"".join(b"%X;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
        + b"0\r\n"
        + trailer
        + b"\r\n"
    )


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def feed_endlessly(body: ChunkedBody) -> None:
    for _ in range(10_000):
        body.feed(b"a", LIMIT)


class ChunkedBodyTests:
    @given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 20)), st.binary(max_size=20))
    def test_chunking_does_not_matter(self, pieces: list[bytes], sizes: list[int], rest: bytes) -> None:
        """However it arrives, a body is decoded, its trailers dropped, and what follows it given back."""
        body = ChunkedBody()
        left = b""
        for chunk in cut(encode(pieces, trailer=b"X: y\r\n") + rest, sizes):
            if body.is_done:
                left += chunk
            else:
                body.feed(chunk, LIMIT)
        assert body.is_done
        assert bytes(body.body) == b"".join(pieces)
        assert body.rest + left == rest

    @given(st.binary(max_size=100), st.lists(st.integers(0, 20)))
    def test_any_bytes_are_a_body_or_bad(self, data: bytes, sizes: list[int]) -> None:
        """Nonsense is refused with the one exception there is, whatever its chunking."""
        outcomes = []
        for chunks in ([data], cut(data, sizes)):
            body = ChunkedBody()
            try:
                for chunk in chunks:
                    body.feed(chunk, 2**40)
                outcomes.append((bytes(body.body), body.is_done))
            except BadChunk:
                outcomes.append(None)
        assert outcomes[0] == outcomes[1]

    def test_announces_its_size(self) -> None:
        """A chunk counts from the moment it is announced."""
        body = ChunkedBody()
        body.feed(b"ff\r\nabc", LIMIT)
        assert body.size == 255

    def test_stops_beyond_the_limit(self) -> None:
        """The bytes beyond the limit are not stored."""
        body = ChunkedBody()
        body.feed(b"2\r\nab\r\nffff\r\n" + b"x" * 65535, 10)
        assert body.size > 10
        assert len(body.body) == 2

    def test_bounds_its_lines(self) -> None:
        """A size line or trailers without end are refused while they come."""
        for start in (b"1;", b"0\r\nX: "):
            body = ChunkedBody()
            body.feed(start, LIMIT)
            with pytest.raises(BadChunk):
                feed_endlessly(body)


class CountedBodyTests:
    @given(st.binary(min_size=1, max_size=50), st.binary(max_size=20), st.lists(st.integers(0, 20)))
    def test_chunking_does_not_matter(self, data: bytes, rest: bytes, sizes: list[int]) -> None:
        """However it arrives, the announced number of bytes is taken, and what follows given back."""
        body = CountedBody(len(data))
        left = b""
        for chunk in cut(data + rest, sizes):
            if body.is_done:
                left += chunk
            else:
                body.feed(chunk, LIMIT)
        assert bytes(body.body) == data
        assert body.rest + left == rest
