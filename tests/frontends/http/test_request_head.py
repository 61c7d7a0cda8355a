from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.frontends.http.request_head import BadHead, HeadReader, read_head

LINES = (
    b"Host: a",
    b"host:b ",
    b"X: y",
    b"x:\tz\t",
    b"Cookie: a=b",
    b"Content-Length: 5",
    b"Content-Length: 05",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"Expect: tea",
    b"Content-Encoding: br",
    b"Content-Encoding: identity",
    b"Mcp-Session-Id: s",
    b"Mcp-Name: n",
    b"Empty:",
    b": nameless",
    b" folded",
    b"no colon",
    b"X : y",
    b"X: \0",
    b"X: caf\xc3\xa9",
)
FIRST_LINES = (
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"POST /a?b=c HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET * HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET / RTSP/1.1",
    b"GET /",
    b"TRACE / HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    lines = [
        draw(st.sampled_from(FIRST_LINES)),
        b"Host: localhost",
        *draw(st.lists(st.sampled_from(LINES), max_size=6)),
    ]
    raw = bytearray(b"\r\n".join(lines))
    for position, byte in draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=2)
    ):
        if draw(st.booleans()):
            raw[position] = byte
    return bytes(raw).replace(b"\r\n\r\n", b"\r\n") + b"\r\n\r\n"


def outcome_at_once(raw: bytes) -> object:
    try:
        return facts(read_head(raw))
    except BadHead as why:
        return why.status


def outcome_in_pieces(raw: bytes, size: int) -> object:
    reader = HeadReader()
    try:
        for start in range(0, len(raw), size):
            reader.feed(raw[start : start + size])
        return facts(reader.finish(raw))
    except BadHead as why:
        return why.status


def facts(head: object) -> tuple[object, ...]:
    names = ("raw", "method", "target", "path", "query", "version", "headers", "length", "is_last", "expects")
    return tuple(getattr(head, name) for name in names)


class HeadTests:
    @given(heads(), st.integers(1, 40))
    def test_means_the_same_in_pieces(self, raw: bytes, size: int) -> None:
        """A head that arrives whole and one that arrives in pieces are judged and read alike."""
        whole, pieces = outcome_at_once(raw), outcome_in_pieces(raw, size)
        if isinstance(whole, int):
            assert isinstance(pieces, int)
        else:
            assert whole == pieces

    @given(st.binary(max_size=200))
    def test_never_fails_otherwise(self, raw: bytes) -> None:
        """The bytes of any request are a head or a refusal, never another exception."""
        assert outcome_at_once(raw + b"\r\n\r\n") is not None

    @pytest.mark.parametrize(
        "name", [b"Host", b"Content-Length", b"Authorization", b"Origin", b"Mcp-Anything"]
    )
    def test_some_headers_come_once(self, name: bytes) -> None:
        """A header that must be unique is refused when it is repeated."""
        with pytest.raises(BadHead):
            read_head(b"GET / HTTP/1.1\r\nHost: a\r\n%b: 1\r\n%b: 1\r\n\r\n" % (name, name))

    @pytest.mark.parametrize(
        "name", [b"MCP-Protocol-Version", b"Mcp-Method", b"Mcp-Name", b"Mcp-Param-Any", b"mcp-param-"]
    )
    def test_some_match_nothing_when_they_come_twice(self, name: bytes) -> None:
        """A header that repeats the body is joined in a way that no body can say, however it arrives."""
        raw = b"GET / HTTP/1.1\r\nHost: a\r\n%b: 1\r\n%b: 1\r\n\r\n" % (name, name.upper())
        assert read_head(raw).headers[name.lower()] == b"1\0001"
        reader = HeadReader()
        for start in range(len(raw)):
            reader.feed(raw[start : start + 1])
        assert reader.finish(raw).headers == read_head(raw).headers

    def test_keeps_secrets_out_of_its_repr(self) -> None:
        """The headers of a client may hold a token, and never show in a log."""
        head = read_head(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n\r\n")
        assert "secret" not in repr(head)
