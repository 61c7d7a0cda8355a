"""The SSE reader: bytes in any pieces become the same events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.shim import sse
from mcpgateway.shim.sse import EventReader, TooLong
from tests.shim.test_http1 import pieces

LINES = st.sampled_from(
    [
        "data: a",
        "data:b",
        "data",
        "data:  c",
        "id: 7",
        "id:",
        "id: x\x00y",
        "event: message",
        "event: other",
        "retry: 5",
        "retry: x",
        ": comment",
        "",
        "",
        "",
        "unknown: z",
    ]
)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=30).map(
    lambda lines: "".join(a + b for a, b in lines).encode()
)


def read(data, cuts=()):
    """Read a stream that comes in pieces; the reader and the messages."""
    reader = EventReader()
    return reader, [message for piece in pieces(data, cuts) for message in reader.feed(piece)]


def model(text):
    """The same by the letter of the standard, for a stream that is there as a whole."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    messages, data, kind, identifier, last, retry = [], [], "", "", "", None
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            last = identifier
            if "\n".join(data) and kind in {"", "message"}:
                messages.append("\n".join(data).encode())
            data, kind = [], ""
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            identifier = value
        elif name == "retry" and value.isdigit():
            retry = int(value)
    return messages, last.encode(), retry


class EventTests:
    """What is read."""

    @given(STREAMS, st.lists(st.integers(min_value=0)), st.booleans())
    def test_any_pieces(self, stream, cuts, has_mark):
        """Every stream means what the standard says, cut wherever it may be."""
        data = (b"\xef\xbb\xbf" if has_mark else b"") + stream
        reader, messages = read(data, cuts)
        assert (messages, reader.last_id, reader.retry_ms) == model(stream.decode())

    @given(st.binary(max_size=100), st.lists(st.integers(min_value=0)))
    def test_any_bytes(self, data, cuts):
        """Bytes without any sense do no harm."""
        assert read(data, cuts)[1] == read(data)[1]

    def test_lines_of_data(self):
        """Several lines of data are one message."""
        assert read(b"data: {\ndata:  1}\n\n")[1] == [b"{\n 1}"]

    def test_an_id_counts_with_its_event(self):
        """An event that is not whole has not been heard."""
        reader, _ = read(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
        assert reader.last_id == b"1"

    def test_a_carriage_return_at_the_end(self):
        """A stream with old line ends is heard at once, not with its next byte."""
        assert read(b"data: a\r\r")[1] == [b"a"]

    def test_too_long(self, monkeypatch):
        """A message beyond the limit is refused, in one line or in many."""
        monkeypatch.setattr(sse, "EVENT_LIMIT", 100)
        for stream in (b"data: " + b"x" * 101, b"data: 123456789\n" * 11):
            with pytest.raises(TooLong):
                read(stream)
