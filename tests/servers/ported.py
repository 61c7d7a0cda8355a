"""A program that serves MCP at a port of its own, as plainly as can be: JSON over POST, no sessions, no streams.

python ported.py PORT [--late SECONDS] [--exit CODE] [--strange] [--stubborn]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "ported", "version": "1"},
}
PID = {"name": "pid", "description": "Who answers.", "inputSchema": {"type": "object"}}


class Mcp(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """The program logs nothing."""

    def do_POST(self) -> None:
        """Answer a message."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in message:
            self.put(202, b"")
            return
        result = self.result(message.get("method"))
        said: dict[str, Any] = {"result": result}
        if result is None:
            said = {"error": {"code": -32601, "message": "Method not found"}}
        self.put(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}).encode())

    def result(self, method: str) -> Any:
        """The result of a method; None where it is unknown."""
        called = {"content": [{"type": "text", "text": str(os.getpid())}]}
        known = {"initialize": HELLO, "ping": {}, "tools/list": {"tools": [PID]}, "tools/call": called}
        return known.get(method)

    def do_GET(self) -> None:
        """There are no streams."""
        self.put(405, b"")

    do_DELETE = do_GET

    def put(self, status: int, body: bytes) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Strange(Mcp):
    """Speaks HTTP, but not MCP."""

    def do_POST(self) -> None:
        """A page."""
        self.put(200, b"<p>hello</p>")

    do_GET = do_POST


class Server(ThreadingHTTPServer):
    """May be started again at once."""

    daemon_threads = True
    allow_reuse_address = True


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--late", type=float, default=0)
    parser.add_argument("--exit", type=int)
    parser.add_argument("--strange", action="store_true")
    parser.add_argument("--stubborn", action="store_true")
    flags = parser.parse_args()
    print("starting", flush=True)
    sys.stderr.write("and complaining\n")
    if flags.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(flags.late)
    if flags.exit is not None:
        sys.exit(flags.exit)
    Server(("127.0.0.1", flags.port), Strange if flags.strange else Mcp).serve_forever()


if __name__ == "__main__":
    main()
