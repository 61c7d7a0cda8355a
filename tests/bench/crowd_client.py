"""A session of a real client, as far as servers can tell: its capabilities, its standing stream, its answers."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen

from tests.bench.http1 import BadAnswer

REVISION = "2025-11-25"
UI = {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}


@frozen
class Kind:
    """A client that people use: its name, and the capabilities that it declares."""

    name: str
    capabilities: dict[str, Any]


CLAUDE_CODE = Kind("claude-code", {"roots": {"listChanged": True}, "elicitation": {"form": {}, "url": {}}})
VS_CODE = Kind(
    "Visual Studio Code",
    {
        "roots": {"listChanged": True},
        "sampling": {},
        "elicitation": {"form": {}, "url": {}},
        "tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}}}},
        "extensions": UI,
    },
)


@frozen
class Person:
    """One of the crowd: a client in the directory of a project."""

    kind: Kind
    project: str

    def initialize(self) -> dict[str, Any]:
        """Return the parameters of ``initialize``."""
        info = {"name": self.kind.name, "version": "1"}
        return {"protocolVersion": REVISION, "capabilities": self.kind.capabilities, "clientInfo": info}

    def reply(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a server's question: the roots; any other is declined."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": question["id"]}
        if question["method"] == "roots/list":
            return answer | {"result": {"roots": [{"uri": f"file://{self.project}"}]}}
        return answer | {"error": {"code": -32601, "message": "Method not found"}}


def request(number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


@define(eq=False)
class Visit:
    """A session at one endpoint; questions are answered on the stream that they come on."""

    url: str
    person: Person
    limit_s: float
    _id: str = field(default="", init=False)
    _standing: http.client.HTTPConnection | None = field(default=None, init=False)

    def begin(self) -> None:
        """Do the handshake, and open the standing stream."""
        self.ask(0, "initialize", self.person.initialize())
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"}, lambda _: None)
        opened = threading.Event()
        threading.Thread(target=self._listen, args=(opened,), daemon=True).start()
        opened.wait(self.limit_s)

    def ask(self, number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request; return its result."""
        found: list[dict[str, Any]] = []

        def hear(message: dict[str, Any]) -> None:
            if message.get("id") == number and "method" not in message:
                found.append(message)
            else:
                self._hear(message)

        self._send(request(number, method, params), hear)
        if not found or "result" not in found[0]:
            raise BadAnswer(f"{self.url}: {method}: {found}")
        result: dict[str, Any] = found[0]["result"]
        return result

    def end(self) -> None:
        """Leave without a word, as most clients do."""
        if self._standing is not None and self._standing.sock is not None:
            with suppress(OSError):
                self._standing.sock.close()

    def _send(self, message: dict[str, Any], hear: Callable[[dict[str, Any]], None]) -> None:
        connection, path = self._connection()
        try:
            heads = self._heads() | {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(message), heads)
            answer = connection.getresponse()
            self._id = answer.getheader("mcp-session-id") or self._id
            for each in _messages(answer):
                hear(each)
        finally:
            connection.close()

    def _listen(self, opened: threading.Event) -> None:
        self._standing, path = self._connection()
        with suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            self._standing.request("GET", path, headers=self._heads())
            answer = self._standing.getresponse()
            opened.set()
            for each in _messages(answer):
                self._hear(each)
        opened.set()

    def _hear(self, message: dict[str, Any]) -> None:
        if "method" in message and "id" in message:
            self._send(self.person.reply(message), lambda _: None)

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        at = urlsplit(self.url)
        return http.client.HTTPConnection(at.hostname or "", at.port, timeout=self.limit_s), at.path

    def _heads(self) -> dict[str, str]:
        heads = {"Accept": "application/json, text/event-stream"}
        return heads | {"Mcp-Session-Id": self._id, "MCP-Protocol-Version": REVISION} if self._id else heads


def _messages(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    if not (answer.getheader("content-type") or "").startswith("text/event-stream"):
        body = answer.read()
        if body:
            yield json.loads(body)
        return
    for line in answer:
        if line.startswith(b"data:") and line[5:].strip():
            yield json.loads(line[5:])
