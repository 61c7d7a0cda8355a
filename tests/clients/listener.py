"""An HTTP server that writes down what a client says to it, and answers like a server of the eras that a test names."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import Factory, define, frozen

from tests.clients.loopback import Handler, Loopback

LEGACY, MODERN = "2025-11-25", "2026-07-28"
REFUSAL = "Bad Request: Unsupported protocol version (supported versions: 2025-11-25, 2025-06-18)"
ABOUT = {"capabilities": {"tools": {}}, "instructions": "Says what it heard."}
NAME = {"name": "listener", "version": "1"}
META = "io.modelcontextprotocol/"
PRIVATE = {"ttlMs": 0, "cacheScope": "private"}
TOOL = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}


@frozen
class Heard:
    """A request of a client.

    :ivar verb: of HTTP.
    :ivar headers: their names in lower case.
    :ivar message: its body; empty where it had none.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    message: Mapping[str, Any]

    @property
    def method(self) -> str:
        """The method that the request asks for; the verb where it has no body."""
        return str(self.message.get("method", self.verb))

    @property
    def meta(self) -> Mapping[str, Any]:
        """The envelope of the stateless era, or what else is there."""
        found: Mapping[str, Any] = self.message.get("params", {}).get("_meta", {})
        return found


class _Handler(Handler):
    """A connection of a client."""

    def do_GET(self) -> None:
        self._hear({})
        self._send({}, 405)

    def do_DELETE(self) -> None:
        self._hear({})
        self._send({})

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._hear(message)
        if "id" not in message or "method" not in message:
            self._send({}, 202)
        elif META + "protocolVersion" in message.get("params", {}).get("_meta", {}):
            self._answer_modern(message)
        else:
            self._answer_legacy(message)

    def _hear(self, message: Mapping[str, Any]) -> None:
        listener: Listener = self.server.owner  # type: ignore[attr-defined]
        headers = {name.lower(): value for name, value in self.headers.items()}
        with listener.lock:
            listener.heard.append(Heard(self.command, self.path, headers, message))

    def _answer_modern(self, message: Mapping[str, Any]) -> None:
        listener: Listener = self.server.owner  # type: ignore[attr-defined]
        if not listener.is_modern:
            self._refuse(message, -32000, REFUSAL, 400)
        elif message["method"] == "server/discover":
            meta = {"_meta": {META + "serverInfo": NAME}, "supportedVersions": [MODERN]}
            self._answer(message, {**meta, **ABOUT, **PRIVATE})
        else:
            self._serve(message)

    def _answer_legacy(self, message: Mapping[str, Any]) -> None:
        listener: Listener = self.server.owner  # type: ignore[attr-defined]
        if not listener.is_legacy:
            data = {"supported": [MODERN], "requested": message.get("params", {}).get("protocolVersion", "")}
            self._refuse(message, -32022, "Unsupported protocol version", 400, data)
        elif message["method"] == "initialize":
            version = message["params"]["protocolVersion"]
            self._answer(message, {"protocolVersion": version, "serverInfo": NAME, **ABOUT})
        else:
            self._serve(message)

    def _serve(self, message: Mapping[str, Any]) -> None:
        if message["method"] == "tools/list":
            self._answer(message, {"tools": [TOOL], **PRIVATE})
        elif message["method"] == "tools/call":
            text = message["params"]["arguments"]["text"]
            self._answer(message, {"content": [{"type": "text", "text": text}]})
        elif message["method"] == "ping":
            self._answer(message, {})
        else:
            self._refuse(message, -32601, "Method not found", 200)

    def _answer(self, message: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        whole = {"resultType": "complete", **result}
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": whole})

    def _refuse(self, message: Mapping[str, Any], code: int, why: str, status: int, data: Any = None) -> None:
        error = {"code": code, "message": why, **({} if data is None else {"data": data})}
        self._send({"jsonrpc": "2.0", "id": message["id"], "error": error}, status)

    def _send(self, value: Any, status: int = 200) -> None:
        body = b"" if status in {202, 405} else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@define
class Listener(Loopback):
    """A running server with one tool, ``echo``.

    :ivar is_legacy: whether it answers ``initialize``.
    :ivar is_modern: whether it answers ``server/discover``, and what else bears an envelope.
    :ivar heard: what clients said, in order.
    """

    handler: ClassVar[type[Handler]] = _Handler
    path: ClassVar[str] = "/mcp"
    is_legacy: bool
    is_modern: bool
    heard: list[Heard] = Factory(list)
    lock: threading.Lock = Factory(threading.Lock)

    @property
    def methods(self) -> list[str]:
        """The methods that were asked for, in order."""
        return [each.method for each in self.heard]
