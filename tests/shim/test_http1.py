"""The HTTP reader: bytes in any pieces become one answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.shim.http1 import AnswerReader, BadAnswer, request


def pieces(data, cuts):
    """The data, cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def read(data, cuts=(), *, is_over=False):
    """Read an answer that comes in pieces; the reader and the body."""
    reader = AnswerReader()
    body = b"".join(map(reader.feed, pieces(data, cuts)))
    if is_over:
        reader.finish()
    return reader, body


def counted(body):
    """An answer that says its length."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A:  b \r\n\r\n" % len(body) + body


def chunked(chunks):
    """An answer in chunks, the empty ones left out."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%X;e=1\r\n%b\r\n" % (len(c), c) for c in chunks if c) + b"0\r\nT: 1\r\n\r\n"


class AnswerTests:
    """What is read."""

    @given(st.binary(max_size=300), st.lists(st.integers(min_value=0)))
    def test_a_counted_body(self, body, cuts):
        """A body of known length is read whole, however it comes."""
        reader, got = read(counted(body), cuts)
        assert (got, reader.is_done, reader.status, reader.headers[b"x-a"]) == (body, True, 200, b"b")
        assert not reader.is_last

    @given(st.lists(st.binary(max_size=50)), st.lists(st.integers(min_value=0)))
    def test_chunks(self, chunks, cuts):
        """A chunked body is read whole, however it comes."""
        reader, got = read(chunked(chunks), cuts)
        assert (got, reader.is_done, reader.rest) == (b"".join(chunks), True, b"")

    @given(st.binary(max_size=300), st.lists(st.integers(min_value=0)))
    def test_a_body_up_to_the_end(self, body, cuts):
        """A body without a length ends with the connection, which is then used up."""
        reader, got = read(b"HTTP/1.1 200 OK\r\n\r\n" + body, cuts, is_over=True)
        assert (got, reader.is_done, reader.is_last) == (body, True, True)

    def test_what_comes_before(self):
        """An interim answer is passed over."""
        reader, got = read(b"HTTP/1.1 100 Continue\r\n\r\n" + counted(b"x"))
        assert (reader.status, got) == (200, b"x")

    def test_what_comes_behind(self):
        """What stands behind the answer does not belong to it."""
        reader, got = read(counted(b"x") + b"HTTP/1.1")
        assert (got, reader.rest) == (b"x", b"HTTP/1.1")

    def test_no_body(self):
        """204 has no body, whatever it says."""
        reader, _ = read(b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n")
        assert reader.is_done

    @pytest.mark.parametrize(
        ("head", "is_last"),
        [
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", True),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", False),
        ],
    )
    def test_whether_it_is_the_last(self, head, is_last):
        """An answer says whether its connection can be used again."""
        assert read(head)[0].is_last is is_last

    @pytest.mark.parametrize(
        "data",
        [
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        ],
    )
    def test_nonsense(self, data):
        """What is no answer is refused, not waited for."""
        with pytest.raises(BadAnswer):
            read(data)

    @given(st.binary(max_size=200))
    def test_anything(self, data):
        """Whatever comes is an answer, a part of one, or refused."""
        try:
            read(data)
        except BadAnswer:
            pass

    @given(st.integers(min_value=0))
    def test_an_early_end(self, cut):
        """An answer whose connection ends too early is refused."""
        whole = counted(b"body")
        with pytest.raises(BadAnswer):
            read(whole[: cut % len(whole)], is_over=True)

    def test_an_end_in_time(self):
        """An answer that is whole may be followed by the end."""
        assert read(counted(b"body"), is_over=True)[1] == b"body"


class RequestTests:
    """What is sent."""

    def test_with_a_body(self):
        """A body is counted."""
        assert (
            request(b"POST", b"/x", [b"A: b"], b"c")
            == b"POST /x HTTP/1.1\r\nA: b\r\nContent-Length: 1\r\n\r\nc"
        )

    def test_without(self):
        """A request without a body says nothing of it."""
        assert request(b"GET", b"/x", []) == b"GET /x HTTP/1.1\r\n\r\n"
