from __future__ import annotations

import pytest

from mcpgateway.frontends.http.write_buffer import STREAM_BACKLOG_LIMIT
from tests.support.doors import MemoryTransport, RecordingDoor, Wire

EVERYWHERE = {b"x-content-type-options": b"nosniff", b"cross-origin-resource-policy": b"same-origin"}
"""What every answer has."""


def wire_for(line: bytes = b"GET / HTTP/1.1", *, reads: bool = True) -> Wire:
    wire = Wire(RecordingDoor(waits=True), MemoryTransport(reads=reads))
    wire.send(line + b"\r\nHost: localhost\r\n\r\n")
    return wire


class AnswerTests:
    def test_is_one_write(self) -> None:
        """Head and body of a small answer leave together."""
        wire = wire_for(reads=False)
        wire.door.handled[0].answer(200, b"{}", extra=b"Mcp-Session-Id: a\r\n")
        assert wire.transport.queued == (
            b"HTTP/1.1 200 OK\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
            b"Content-Type: application/json\r\nMcp-Session-Id: a\r\nContent-Length: 2\r\n\r\n{}"
        )

    @pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_000])
    def test_is_whole_at_any_size(self, size: int) -> None:
        """The client gets every byte and the right length."""
        wire = wire_for()
        wire.door.handled[0].answer(200, b"x" * size)
        assert wire.answers[0].body == b"x" * size

    def test_has_no_type_without_a_body(self) -> None:
        """An empty answer has a length of zero and no content type."""
        wire = wire_for()
        wire.door.handled[0].answer(202)
        assert wire.answers[0].headers == {**EVERYWHERE, b"content-length": b"0"}

    def test_has_no_length_where_none_is_allowed(self) -> None:
        """A 204 has neither."""
        wire = wire_for()
        wire.door.handled[0].answer(204)
        assert wire.answers[0].headers == EVERYWHERE

    def test_is_only_a_head_for_head(self) -> None:
        """HEAD is told how long the body would be."""
        wire = wire_for(b"HEAD / HTTP/1.1")
        wire.door.handled[0].answer(200, b"{}")
        assert wire.transport.taken.endswith(b"Content-Length: 2\r\n\r\n")

    def test_takes_any_status(self) -> None:
        """A status without a registered name is sent with some name."""
        wire = wire_for()
        wire.door.handled[0].answer(499)
        assert wire.statuses == [499]

    def test_is_given_once(self) -> None:
        """A second answer is the door's mistake, and the client does not see it."""
        wire = wire_for()
        wire.door.handled[0].answer(200)
        for again in (wire.door.handled[0].answer, lambda _: wire.door.handled[0].begin_stream()):
            with pytest.raises(RuntimeError):
                again(200)
        assert wire.statuses == [200]


class StreamTests:
    def test_is_chunked(self) -> None:
        """Each part is a chunk, and the end is marked, so that the connection lives on."""
        wire = wire_for()
        exchange = wire.door.handled[0]
        exchange.begin_stream(b"Mcp-Session-Id: a\r\n")
        assert exchange.send(b"data: 1\n\n")
        assert exchange.send(b"")
        assert exchange.send(b"data: 2\n\n")
        assert exchange.streaming
        assert not exchange.answered
        exchange.finish()
        exchange.finish()
        wire.send(b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wire.door.handled[1].answer(200)
        first, second = wire.answers
        assert first.body == b"data: 1\n\ndata: 2\n\n"
        assert first.headers == {
            **EVERYWHERE,
            b"content-type": b"text/event-stream",
            b"cache-control": b"no-cache, no-transform",
            b"x-accel-buffering": b"no",
            b"mcp-session-id": b"a",
            b"transfer-encoding": b"chunked",
        }
        assert second.status == 200

    def test_ends_with_the_connection_for_the_old(self) -> None:
        """HTTP/1.0 knows no chunks; the end of the stream is the end of the connection."""
        wire = wire_for(b"GET / HTTP/1.0")
        exchange = wire.door.handled[0]
        exchange.begin_stream()
        exchange.send(b"data: 1\n\n")
        assert not wire.transport.is_closing
        exchange.finish()
        assert wire.answers[0].body == b"data: 1\n\n"
        assert wire.transport.is_closing

    def test_is_only_a_head_for_head(self) -> None:
        """HEAD gets no events."""
        wire = wire_for(b"HEAD / HTTP/1.1")
        exchange = wire.door.handled[0]
        exchange.begin_stream()
        assert exchange.send(b"data: 1\n\n")
        exchange.finish()
        assert wire.transport.taken.endswith(b"\r\n\r\n")
        assert b"data" not in wire.transport.taken

    def test_says_nothing_to_who_has_gone(self) -> None:
        """Sending to a client that has gone is false, not an error."""
        wire = wire_for()
        exchange = wire.door.handled[0]
        exchange.begin_stream()
        wire.hang_up()
        assert not exchange.send(b"data: 1\n\n")
        exchange.finish()

    def test_a_slow_reader_gets_everything(self) -> None:
        """A reader that is slow but alive loses nothing, and the next request waits for it."""
        wire = wire_for(reads=False)
        exchange = wire.door.handled[0]
        exchange.begin_stream()
        for _ in range(300):
            assert exchange.send(b"x" * 10_000)
        exchange.finish()
        wire.send(b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.door.opened_paths == [b"/"]
        while wire.transport.queued:
            wire.transport.read()
        assert wire.answers[0].body == b"x" * 3_000_000
        assert wire.door.opened_paths == [b"/", b"/next"]

    def test_a_reader_that_stops_is_cut(self) -> None:
        """A reader that stops costs a bounded amount of memory, and then its connection."""
        wire = wire_for(reads=False)
        exchange = wire.door.handled[0]
        heard = []
        exchange.on_gone = lambda: heard.append(True)
        exchange.begin_stream()
        sent = 0
        while exchange.send(b"x" * 10_000):
            sent += 10_000
            assert sent < STREAM_BACKLOG_LIMIT + 200_000
        assert wire.transport.is_aborted
        assert exchange.gone
        assert len(wire.transport.queued) < 200_000
        wire.hang_up()
        assert heard == [True]

    def test_one_large_part_is_no_reason_to_cut(self) -> None:
        """A single part beyond the bound goes out, as long as the reader had kept up."""
        wire = wire_for(reads=False)
        exchange = wire.door.handled[0]
        exchange.begin_stream()
        assert exchange.send(b"x" * 100_000)
        assert exchange.send(b"x" * (STREAM_BACKLOG_LIMIT + 1))
        assert not exchange.send(b"x")

    def test_is_cut_by_the_door(self) -> None:
        """The door may cut its client off, and is not told of what it did itself."""
        wire = wire_for()
        exchange = wire.door.handled[0]
        exchange.on_gone = lambda: 1 / 0
        exchange.begin_stream()
        exchange.abort()
        exchange.abort()
        assert wire.transport.is_aborted
        assert exchange.gone
        wire.hang_up()
