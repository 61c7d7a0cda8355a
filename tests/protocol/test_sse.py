"""Events for a client."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.protocol import sse

epochs = st.text("0123456789abcdef", min_size=1, max_size=32)
identifiers = st.integers().map(lambda number: b"%d" % number) | st.text().map(
    lambda x: json.dumps(x).encode()
)


def data_of(event: bytes) -> bytes:
    """Return the data of an event, which has one line of data, and ends as events do."""
    assert event.endswith(b"\n\n")
    lines = event[:-2].splitlines()
    (data,) = [line[6:] for line in lines if line.startswith(b"data: ")]
    assert all(line.startswith((b"data: ", b"event: ", b"id: ", b"retry: ")) for line in lines)
    return data


class EventTests:
    """The event of one message."""

    @pytest.mark.parametrize("message", [b'{"a":"b"}', b'{"a":\r"b"}', b'{\n"a":\r\n"b"\r}', b'{"a": "b"}'])
    def test_one_data_line(self, message: bytes) -> None:
        """A message with any characters between its tokens is one line of data."""
        event = sse.event(message)
        lines = event.split(b"\n")
        assert lines[0] == b"event: message"
        assert lines[1].startswith(b"data: ")
        assert lines[2:] == [b"", b""]
        assert b"\r" not in event
        assert json.loads(lines[1][6:]) == {"a": "b"}

    @given(st.lists(st.sampled_from([b"", b" ", b"\n", b"\r", b"\r\n\t"]), min_size=3, max_size=3))
    def test_lone_surrogates(self, gaps: list[bytes]) -> None:
        """JavaScript's lone surrogates, which not every reader of JSON takes, are no reason to split it."""
        event = sse.event(b'{%b"id"%b:%b"\\ud800"}' % tuple(gaps))
        assert json.loads(data_of(event)) == {"id": "\ud800"}

    @given(identifiers, st.integers(0, 10**9 - 1))
    def test_with_an_id(self, identifier: bytes, place: int) -> None:
        """An event that can be resumed from says which it is, in a line of its own."""
        where = sse.EventId("ab", 1, place, identifier)
        event = sse.event(b'{"a":1}', where)
        assert data_of(event) == b'{"a":1}'
        (line,) = [line for line in event.split(b"\n") if line.startswith(b"id: ")]
        assert line == b"id: " + bytes(where)

    def test_the_primer_has_no_data(self) -> None:
        """A stream's first event gives its id and the time to wait, and tells the client's program nothing."""
        where = sse.EventId("ab", 7, 0, b'"x"')
        event = sse.primer(where, 1000)
        assert data_of(event) == b""
        assert event.splitlines() == [b"id: " + bytes(where), b"retry: 1000", b"data: ", b""]

    def test_ping_is_a_comment(self) -> None:
        """A sign of life says nothing."""
        assert sse.PING.startswith(b":")
        assert sse.PING.endswith(b"\n\n")


class EventIdTests:
    """Where an event stands, as a text that a client gives back."""

    @given(epochs, st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1), identifiers | st.just(b""))
    def test_what_is_written_is_read(self, epoch: str, stream: int, place: int, request: bytes) -> None:
        """Writing and reading are each other's inverse, unless the request's id is too long to travel along."""
        where = sse.EventId(epoch, stream, place, request)
        kept = request if len(request) <= sse.REQUEST_ID_LIMIT else b""
        assert sse.read_event_id(bytes(where)) == sse.EventId(epoch, stream, place, kept)

    @given(epochs, st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1), identifiers | st.just(b""))
    def test_form(self, epoch: str, stream: int, place: int, request: bytes) -> None:
        """An event id is a short word of visible ASCII, fit for a header's value, for any request id."""
        text = bytes(sse.EventId(epoch, stream, place, request))
        assert re.fullmatch(rb"[\x21-\x7e]+", text)
        assert len(text) <= sse.EVENT_ID_LIMIT

    def test_as_long_as_can_be(self) -> None:
        """The longest request id that travels along makes an id that can be read, in the longest of lives."""
        where = sse.EventId("f" * 32, 10**9 - 1, 10**9 - 1, b'"' + b"x" * (sse.REQUEST_ID_LIMIT - 2) + b'"')
        assert len(where.request) > 300
        assert len(bytes(where)) <= sse.EVENT_ID_LIMIT
        assert sse.read_event_id(bytes(where)) == where

    @pytest.mark.parametrize("length", [sse.REQUEST_ID_LIMIT, sse.REQUEST_ID_LIMIT + 1])
    def test_a_long_request_id(self, length: int) -> None:
        """A request's id travels along up to a limit; a longer one is left out."""
        request = b'"' + b"x" * (length - 2) + b'"'
        read = sse.read_event_id(bytes(sse.EventId("ab", 1, 2, request)))
        assert read is not None
        assert read.request == (request if length == sse.REQUEST_ID_LIMIT else b"")

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"ab",
            b"ab-1",
            b"ab-1-",
            b"ab-1-2-",
            b"ab-1-2\n",
            b" ab-1-2",
            b"AB-1-2",
            b"xy-1-2",
            b"ab--1-2",
            b"ab-1-1234567890",
            b"a" * 33 + b"-1-2",
            b"ab-1-2-M",
            b"ab-1-2-M$",
            b"ab-1-2-" + b"MTEx" * 200,
        ],
    )
    def test_nonsense(self, text: bytes) -> None:
        """An event id that is none of ours reads as none."""
        assert sse.read_event_id(text) is None

    @pytest.mark.parametrize(
        "request_id",
        [
            b"x",
            b"null",
            b"1.5",
            b"1 ",
            b"1\n",
            b'1,"x":2',
            b'1,"id":2',
            b'1},{"id":1',
            b'"a',
            b'"a\nb"',
            b'"\xff"',
        ],
    )
    def test_a_forged_request_id(self, request_id: bytes) -> None:
        """A forged request id in an event id is refused: spliced into an answer, it would change the answer or break
        its JSON.
        """
        assert sse.read_event_id(b"ab-1-2-" + urlsafe_b64encode(request_id)) is None

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_never_breaks(self, text: bytes, request: bytes) -> None:
        """Any bytes are an id or none, and an id is one that we could have written."""
        for each in (text, b"ab-1-2-" + text, b"ab-1-2-" + urlsafe_b64encode(request)):
            read = sse.read_event_id(each)
            assert read is None or sse.read_event_id(bytes(read)) == read
