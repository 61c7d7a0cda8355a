"""A remote MCP server that fails as it is told to, in a thread of the test."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

JSON = "application/json"
SECRET = "hush-page"
RESET = struct.pack("ii", 1, 0)  # closing sends a reset


class FaultyServer:
    """Answers every tool call with its text, but for those that its path or its tool makes fail.

    The path ``/fails/KIND`` makes the handshake fail; a tool that is called KIND makes the call fail.

    :ivar port: where it listens.
    :ivar sessions: those that have begun and were neither ended nor forgotten.
    :ivar strangers: how many connections have come at the other host that it redirects to.
    """

    def __init__(self, certificate: str = "") -> None:
        self.sessions: set[str] = set()
        self.strangers = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.faulty = self  # type: ignore[attr-defined]
        self._elsewhere = socket.create_server(("127.0.0.2", 0))
        self.port: int = self._server.server_port
        self.elsewhere = f"127.0.0.2:{self._elsewhere.getsockname()[1]}"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self.context is not None:
            self.certify(certificate)

    def certify(self, certificate: str) -> None:
        """Show this certificate from now on."""
        assert self.context is not None
        self.context.load_cert_chain(certificate)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *why: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        with contextlib.suppress(OSError):
            self._elsewhere.shutdown(socket.SHUT_RDWR)
        self._elsewhere.close()

    def _count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._elsewhere.accept()[0].close()
                self.strangers += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def setup(self) -> None:
        """TLS, where there is a certificate: in this thread, so that the others go on."""
        context = self.server.faulty.context
        if context is not None:
            self.request.settimeout(60)
            self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        """Serve a connection until it breaks."""
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        """The connection is over."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Refuse the standing stream."""
        self.say(405)

    def do_DELETE(self) -> None:
        """End a session."""
        self.server.faulty.sessions.discard(self.headers.get("Mcp-Session-Id"))
        self.say(200)

    def do_POST(self) -> None:
        """Take a message."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, number = message.get("method"), message.get("id")
        if method == "initialize":
            self.meet(number, message["params"]["protocolVersion"])
        elif number is None:
            self.say(202)
        elif self.headers.get("Mcp-Session-Id") not in self.server.faulty.sessions:
            self.say(404)
        elif method == "tools/call":
            name, arguments = message["params"]["name"], message["params"]["arguments"]
            result = {"content": [{"type": "text", "text": arguments.get("text", "")}], "isError": False}
            FAULTS.get(name, _Handler.result)(self, number, result)
        else:
            self.result(number, {"tools": []})

    def meet(self, number: Any, version: str) -> None:
        """Answer the handshake."""
        info = {"name": "faulty", "version": "1"}
        hello = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        start, _, kind = self.path.rpartition("/")
        if start == "/fails":
            FAULTS[kind](self, number, hello)
            return
        session = secrets.token_hex(8)
        self.server.faulty.sessions.add(session)
        self.result(number, hello, Mcp_Session_Id=session)

    def say(self, status: int, body: bytes = b"", kind: str = JSON, *, size: int = -1, **more: str) -> None:
        """Answer with a body, of which the headers may say that it is longer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if size < 0 else size))
        if self.server.faulty.context is not None:
            self.send_header("Connection", "close")  # so that the next request sees the next certificate
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def result(self, number: Any, result: Any, **more: str) -> None:
        """Answer as one should."""
        self.say(200, _message(number, result), **more)

    # What goes wrong

    def resets(self, number: Any, result: Any) -> None:
        """Reset the connection in mid-answer."""
        body = _message(number, result)
        self.say(200, body[:20], size=len(body))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close_connection = True
        os.close(self.connection.detach())

    def stalls_before_headers(self, number: Any, result: Any) -> None:
        """Say nothing until the other side has gone."""
        self.close_connection = True
        self.connection.recv(1)

    def stalls_in_the_body(self, number: Any, result: Any) -> None:
        """Say a half of it until the other side has gone."""
        self.say(200, _message(number, result)[:20], size=1000)
        self.stalls_before_headers(number, result)

    def stalls_in_the_stream(self, number: Any, result: Any) -> None:
        """Begin an event stream, and say nothing in it."""
        self.say(200, b": wait\n\n", "text/event-stream", size=1000)
        self.stalls_before_headers(number, result)

    def fails_inside(self, number: Any, result: Any) -> None:
        """HTTP 500."""
        self.say(500, SECRET.encode(), "text/plain")

    def is_away(self, number: Any, result: Any) -> None:
        """HTTP 503, as of a proxy whose server is down."""
        self.say(503, SECRET.encode(), "text/plain")

    def answers_html(self, number: Any, result: Any) -> None:
        """A page for people."""
        self.say(200, b"<html>Please sign in: " + SECRET.encode() + b"</html>", "text/html")

    def truncates(self, number: Any, result: Any) -> None:
        """End the connection in order, and too early."""
        body = _message(number, result)
        self.say(200, body[:20], size=len(body))
        self.close_connection = True

    def truncates_the_stream(self, number: Any, result: Any) -> None:
        """End an event stream in order, without the answer."""
        self.say(200, b": nothing\n\n", "text/event-stream")

    def redirects(self, number: Any, result: Any) -> None:
        """Send the request elsewhere."""
        self.say(307, Location=f"http://{self.server.faulty.elsewhere}/mcp?{SECRET}")

    def forgets_its_session(self, number: Any, result: Any) -> None:
        """Know the session no more."""
        self.server.faulty.sessions.discard(self.headers["Mcp-Session-Id"])
        self.say(404)


FAULTS: dict[str, Callable[[_Handler, Any, Any], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        _Handler.resets,
        _Handler.stalls_before_headers,
        _Handler.stalls_in_the_body,
        _Handler.stalls_in_the_stream,
        _Handler.fails_inside,
        _Handler.is_away,
        _Handler.answers_html,
        _Handler.truncates,
        _Handler.truncates_the_stream,
        _Handler.redirects,
        _Handler.forgets_its_session,
    )
}


def _message(number: Any, result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
