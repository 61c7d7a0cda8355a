"""An MCP server on HTTP with one tool that takes its time, and shows in a way of the test's choice that it lives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from attrs import define

from tests.clients.loopback import Handler, Loopback

INTERVAL_S = 2.0

Sign = Callable[[int, Any], bytes]
"""What the server sends while it works, each time: how often it has done so, and the call's progress token."""


def _comment(nth: int, token: Any) -> bytes:
    return b": ping\n\n"


def _event(message: Mapping[str, Any]) -> bytes:
    return b"event: message\ndata: " + json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n\n"


def _log(nth: int, token: Any) -> bytes:
    return _event({"method": "notifications/message", "params": {"level": "info", "data": nth}})


def _ping(nth: int, token: Any) -> bytes:
    return _event({"id": f"ping-{nth}", "method": "ping"})


def _progress(nth: float, token: Any) -> bytes:
    return _event({"method": "notifications/progress", "params": {"progressToken": token, "progress": nth}})


def _progress_near_zero(nth: int, token: Any) -> bytes:
    return _progress(nth * 1e-21, token)


def _progress_of_another(nth: int, token: Any) -> bytes:
    return _progress(nth, "nobody's")


HEARD: Mapping[str, Sign] = {"progress": _progress, "progress near zero": _progress_near_zero}
"""What Claude Code takes for a sign of life."""

UNHEARD: Mapping[str, Sign] = {
    "comment": _comment,
    "log message": _log,
    "ping": _ping,
    "progress of another call": _progress_of_another,
}
"""What it does not."""


class _Handler(Handler):
    """A connection of one client."""

    def handle(self) -> None:
        with suppress(OSError):  # a client that gives up cuts the connection
            super().handle()

    def do_GET(self) -> None:
        self._send({}, 405)

    def do_DELETE(self) -> None:
        self._send({})

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        params = message.get("params", {})
        if "id" not in message or "method" not in message:
            self._send({}, 202)
        elif message["method"] == "initialize":
            hello = {"capabilities": {"tools": {}}, "serverInfo": {"name": "slow", "version": "1"}}
            self._answer(message, {"protocolVersion": params["protocolVersion"], **hello})
        elif message["method"] == "tools/list":
            self._answer(message, {"tools": [{"name": "slow", "inputSchema": {"type": "object"}}]})
        elif message["method"] == "tools/call":
            self._work(message, params.get("_meta", {}).get("progressToken"))
        else:
            error = {"code": -32601, "message": "Method not found"}
            self._send({"jsonrpc": "2.0", "id": message["id"], "error": error}, 400)

    def _work(self, message: Mapping[str, Any], token: Any) -> None:
        slow: SlowServer = self.server.owner  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for nth in range(int(slow.works_s / INTERVAL_S)):
            self.wfile.write(slow.sign(nth + 1, token))
            time.sleep(INTERVAL_S)
        content = [{"type": "text", "text": "done"}]
        self.wfile.write(_event({"id": message["id"], "result": {"content": content}}))
        self.close_connection = True

    def _answer(self, message: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _send(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@define
class SlowServer(Loopback):
    """A running server; its tool ``slow`` answers ``done`` after a while.

    :ivar sign: how it shows that it lives.
    :ivar works_s: how long the tool takes.
    """

    handler: ClassVar[type[Handler]] = _Handler
    path: ClassVar[str] = "/mcp"
    sign: Sign
    works_s: float
