"""A program that serves MCP at a port of its own, and counts for each session: JSON, or with --events in events.

python sessions.py PORT [--events] [--resumable] [--certificate FILE] [--sse]

With --resumable, the rest of an answer in events can be fetched by another connection; --sse is HTTP with SSE, at /sse.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "sessions", "version": "1"},
}
TOOLS = [{"name": each, "inputSchema": {"type": "object"}} for each in ("count", "facts", "wait")]
STREAM_S = 0.1  # between two looks whether a session has ended
COUNTS: dict[str, int] = {}
ANSWERS: dict[str, bytes] = {}
"""The answers in events, by the ids of the events before them; empty until they are known."""
STREAMS: dict[str, SimpleQueue[bytes]] = {}
"""The answers for the streams of HTTP with SSE, by session."""
SEEN: list[str] = []
"""The methods of all requests, those of HTTP for others than POST."""


class Mcp(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """The program logs nothing."""

    @property
    def session(self) -> str:
        """The session of a request; empty for none that is known."""
        named = self.headers.get("Mcp-Session-Id", "")
        return named if named in COUNTS else ""

    def do_POST(self) -> None:
        """Answer a message."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, session = message.get("method", "answer"), self.session
        SEEN.append(method)
        if "--sse" in sys.argv:
            session = self.path.rpartition("=")[2]
            self.put(202)
            if "id" in message:
                answer = Thread(
                    target=lambda: STREAMS[session].put(self.answer(message, session)), daemon=True
                )
                answer.start()
            return
        if method == "initialize":
            session = secrets.token_hex(8)
            COUNTS[session] = 0
        if not session:
            self.put(404)
        elif "id" not in message or method == "answer":
            self.put(202)
        elif "--events" in sys.argv:
            begun = secrets.token_hex(8)
            ANSWERS[begun] = b""
            Thread(target=lambda: ANSWERS.update({begun: self.answer(message, session)}), daemon=True).start()
            self.begin("text/event-stream", session)
            if "--resumable" in sys.argv:
                self.say(f"id: {begun}\ndata: \n\n".encode())
            self.follow(begun)
        else:
            self.put(200, self.answer(message, session), session)

    def answer(self, message: dict[str, Any], session: str) -> bytes:
        """Return the response to a request."""
        result: dict[str, Any] = {"tools": TOOLS}
        if message["method"] == "initialize":
            result = HELLO
        elif message["method"] == "tools/call":
            said = self.said(message["params"], session)
            result = {"content": [{"type": "text", "text": said}]}
        return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()

    def said(self, params: dict[str, Any], session: str) -> str:
        """Return the text that a tool answers with."""
        match params["name"]:
            case "count":
                COUNTS[session] += 1
                return str(COUNTS[session])
            case "wait":
                file = Path(params["arguments"]["file"])
                file.with_suffix(".begun").touch()
                while not file.exists():
                    time.sleep(STREAM_S)
                return "waited"
        return json.dumps({"pid": os.getpid(), "session": session, "seen": SEEN})

    def do_GET(self) -> None:
        """Keep the stream of a session open; it has no events."""
        session = self.session
        SEEN.append("GET")
        if "--sse" in sys.argv:
            self.stream(secrets.token_hex(8))
            return
        if not session:
            self.put(404)
            return
        self.begin("text/event-stream", session)
        if (begun := self.headers.get("Last-Event-ID", "")) in ANSWERS:
            self.follow(begun)
            return
        while session in COUNTS:
            self.say(b": \n\n")
            time.sleep(STREAM_S)
        self.wfile.write(b"0\r\n\r\n")

    def follow(self, begun: str) -> None:
        """Send the answer that follows an event, once it is known."""
        while not ANSWERS[begun]:
            self.say(b": \n\n")
            time.sleep(STREAM_S)
        self.say(b"data: " + ANSWERS[begun] + b"\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def stream(self, session: str) -> None:
        """Send all answers of a session as events, until its client has gone."""
        COUNTS[session], STREAMS[session] = 0, SimpleQueue()
        self.begin("text/event-stream", session)
        self.say(f"event: endpoint\ndata: /message?session={session}\n\n".encode())
        while True:
            try:
                self.say(b"event: message\ndata: " + STREAMS[session].get(timeout=STREAM_S) + b"\n\n")
            except Empty:
                self.say(b": \n\n")

    def say(self, data: bytes) -> None:
        """Send a part of an answer."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def do_DELETE(self) -> None:
        """End a session."""
        SEEN.append("DELETE")
        found = COUNTS.pop(self.session, None)
        self.put(404 if found is None else 204)

    def begin(self, content_type: str, session: str) -> None:
        """Begin an answer in parts."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Mcp-Session-Id", session)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()

    def put(self, status: int, body: bytes = b"", session: str = "") -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Ends with its main thread, and says nothing of connections that break."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client has gone."""


server = Server(("127.0.0.1", int(sys.argv[1])), Mcp)
if "--certificate" in sys.argv:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[sys.argv.index("--certificate") + 1])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
