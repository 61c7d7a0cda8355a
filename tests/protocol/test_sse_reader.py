"""The reader of event streams."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcpgateway.protocol import sse
from mcpgateway.protocol.sse_reader import BOM, END_BYTES, ID_LIMIT, Event, EventTooLong, SseReader

LIMIT = 1000

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")).map(str.encode)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Lines of streams, as they occur and malformed."""
    known = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"other"])
    field = st.builds(lambda name, colon, value: name + colon + value, known, ends_of_names, texts)
    lines = draw(st.lists(st.one_of(field, st.just(b""), texts)))
    return draw(st.sampled_from([b"", BOM])) + b"".join(line + draw(ends) for line in lines) + draw(texts)


ends_of_names = st.sampled_from([b":", b": ", b""])


@st.composite
def chunkings(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A stream's bytes, whole and in pieces."""
    data = draw(whole)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)))))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return data, pieces


def read(*pieces: bytes, limit: int = 10**6) -> tuple[list[Event], SseReader]:
    """Return the events that are read of a stream."""
    reader = SseReader(limit)
    return [event for piece in pieces for event in reader.feed(piece)], reader


class ReaderTests:
    """The reading of the lines of a stream."""

    @given(chunkings(streams()))
    def test_chunking_does_not_matter(self, drawn: tuple[bytes, list[bytes]]) -> None:
        """The same events come out whatever pieces the bytes come in."""
        data, pieces = drawn
        whole, at_once = read(data)
        cut, bit_by_bit = read(*pieces)
        assert cut == whole
        assert (bit_by_bit.last_id, bit_by_bit.retry_ms) == (at_once.last_id, at_once.retry_ms)

    @given(chunkings(streams()))
    def test_another_goes_on(self, drawn: tuple[bytes, list[bytes]]) -> None:
        """Between two events another reader can go on, and the same events come out."""
        data, pieces = drawn
        assume(BOM not in data[1:])
        reader = SseReader(10**6)
        events: list[Event] = []
        for piece in pieces:
            events += reader.feed(piece)
            if reader.is_between:
                reader = SseReader(10**6, reader.last_id)
        assert events == read(data)[0]

    @given(
        chunkings(
            st.lists(st.binary(min_size=1).filter(lambda each: not set(each) & set(b"\r\n\0"))).map(
                b"\0".join
            )
        )
    )
    def test_what_our_encoder_writes(self, drawn: tuple[bytes, list[bytes]]) -> None:
        """An event of our own encoder is read as it was."""
        messages = [each for each in drawn[0].split(b"\0") if each]
        events, _ = read(b"".join(sse.event(each) + sse.PING for each in messages))
        assert events == [Event(b"message", each) for each in messages]

    def test_fields(self) -> None:
        """A single blank behind the colon belongs to no value; lines of text are joined; the rest is left out."""
        events, _ = read(b"event: endpoint\ndata:/a\ndata:  b\ndata\nother: c\n:ping\n\n")
        assert events == [Event(b"endpoint", b"/a\n b\n")]

    def test_kind_is_of_one_event(self) -> None:
        """An event without a type is a message, whatever the one before it was."""
        events, _ = read(b"event: endpoint\ndata: a\n\ndata: b\n\n")
        assert [event.kind for event in events] == [b"endpoint", b"message"]

    def test_primer(self) -> None:
        """An event without text is none, but a stream is resumed behind it, as soon as it says."""
        events, reader = read(b"id: 7\nretry: 500\ndata: \n\n")
        assert events == []
        assert (reader.last_id, reader.retry_ms) == (b"7", 500)

    def test_id_holds_until_the_next(self) -> None:
        """An id counts when its event is over, and holds for what follows."""
        reader = SseReader(LIMIT, b"1")
        reader.feed(b"id: 2\ndata: a\n")
        assert reader.last_id == b"1"
        reader.feed(b"\ndata: b\n\n")
        assert reader.last_id == b"2"

    @pytest.mark.parametrize(
        "line",
        [b"id: a\0b", b"id: " + b"x" * (ID_LIMIT + 1), b"retry: -5", b"retry: 1e3", b"retry: 1234567890"],
    )
    def test_useless_fields(self, line: bytes) -> None:
        """Ids that no header can hold, and waits that are no numbers, are left out."""
        _, reader = read(line + b"\ndata: a\n\n")
        assert (reader.last_id, reader.retry_ms) == (b"", None)

    @pytest.mark.parametrize("piece", [1, 7, 100])
    @pytest.mark.parametrize(
        "endless", [b"data: " + b"x" * 2000, b"data: x\n" * 100, b":" + b" " * 2000, b"x" * 2000]
    )
    def test_limit(self, endless: bytes, piece: int) -> None:
        """An event that does not end is given up at the limit, however it is written."""
        pieces = [endless[start : start + piece] for start in range(0, len(endless), piece)]
        with pytest.raises(EventTooLong):
            read(*pieces, limit=LIMIT)

    @pytest.mark.parametrize("piece", [1, 7, 100])
    @pytest.mark.parametrize("between", [b"", b"\ndata: ", b"\rdata: ", b"\r\nid: 5\r\ndata: "])
    def test_passed_over(self, piece: int, between: bytes) -> None:
        """A stream goes on behind an event beyond the limit where that is wanted, with both ends of the event."""
        long = b"data: {head" + between.join([b"x" * 3000] * 3) + b"tail}\n\n"
        data = b"data: a\n\nid: 4\n" + long + b"data: b\n\n"
        reader = SseReader(LIMIT, skips=True)
        events = [
            event
            for start in range(0, len(data), piece)
            for event in reader.feed(data[start : start + piece])
        ]
        first, passed_over, last = events
        assert (first, last) == (Event(b"message", b"a"), Event(b"message", b"b"))
        assert passed_over.data.startswith(b"{headx")
        assert passed_over.tail is not None
        assert passed_over.tail.endswith(b"xtail}")
        assert len(passed_over.data + passed_over.tail) <= 2 * END_BYTES
        assert reader.size == 0
        assert reader.last_id == b"4"

    def test_limit_is_of_one_event(self) -> None:
        """A stream may be as long as it likes."""
        reader = SseReader(LIMIT)
        for _ in range(1000):
            assert len(reader.feed(b"data: " + b"x" * 500 + b"\n\n")) == 1
