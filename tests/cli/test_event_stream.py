"""An event stream of the gateway, as commands follow it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mcpgateway.cli.client import GatewayClient
from mcpgateway.cli.context import Globals
from mcpgateway.cli.event_stream import EVENT_LIMIT, Following, StreamEvent

FIRST = (
    b": ping\n\n"
    b"id: 1\nevent: server\ndata: one\ndata: two\n\n"
    b"data: " + b"x" * EVENT_LIMIT + b"yy\n\n"
    b"data: after\r\n\r\n"
    b"data: not whole\n"
)


class Streamer(HTTPServer):
    """A gateway whose stream breaks off once.

    :ivar resumed: the ``Last-Event-ID`` of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Streaming)
        self.resumed: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Streaming(BaseHTTPRequestHandler):
    server: Streamer

    def do_GET(self) -> None:
        """Send the next part of the stream, and end it."""
        self.server.resumed.append(self.headers["Last-Event-ID"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(FIRST if len(self.server.resumed) == 1 else b"id: 2\ndata: again\n\n")

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def streamer() -> Iterator[Streamer]:
    """A server of an event stream."""
    with Streamer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class FollowingTests:
    """The events that a command follows."""

    def test_resumed(self, streamer: Streamer, tmp_path: Path) -> None:
        """Lines of data are joined, too long and unfinished events are left out, and the stream is resumed."""
        pauses: list[float] = []
        remote = GatewayClient(Globals(str(tmp_path), url=streamer.url))
        events = Following(remote, "/events", lambda why, pause: None, wait=pauses.append).events()
        assert [next(events) for _ in range(3)] == [
            StreamEvent("1", "server", "one\ntwo"),
            StreamEvent("1", "message", "after"),
            StreamEvent("2", "message", "again"),
        ]
        assert streamer.resumed == [None, "1"]
        assert pauses == [1.0]
