"""The MCP requests that the benchmark sends, and a plain blocking client for one exchange at a time."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

from attrs import define, field, frozen

from tests.bench.http1 import Answer, AnswerReader, BadAnswer, messages

REVISION, MODERN = "2025-06-18", "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
CLIENT = {"name": "bench", "version": "1"}
ENVELOPE: dict[str, Any] = {
    PREFIX + "protocolVersion": MODERN,
    PREFIX + "clientInfo": CLIENT,
    PREFIX + "clientCapabilities": {},
}
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
LISTEN = (
    b'{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen",'
    b'"params":{"notifications":{"toolsListChanged":true}}}'
)


@frozen
class Session:
    """An initialised MCP session; a server without sessions gives no id, nor has a client of `MODERN` any."""

    number: int
    url: str
    id: str = ""
    version: str = REVISION

    @property
    def is_modern(self) -> bool:
        """True if each request of the session has an envelope, and headers that repeat it."""
        return self.version >= MODERN


def initialize(number: int = 0) -> bytes:
    """The body of an ``initialize`` request."""
    params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": CLIENT}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "initialize", "params": params}).encode()


def call(number: int | str, tool: str, arguments: dict[str, Any], token: int | str | None = None) -> bytes:
    """The body of a ``tools/call`` request, with a progress token if there is one."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()


def enveloped(body: bytes) -> tuple[bytes, list[str]]:
    """A request as a client of `MODERN` sends it, and the headers that say a part of it again."""
    request = json.loads(body)
    params = request.setdefault("params", {})
    params["_meta"] = {**ENVELOPE, **params.get("_meta", {})}
    mirrors = [f"Mcp-Method: {request['method']}"]
    if "name" in params:
        mirrors.append(f"Mcp-Name: {params['name']}")
    return json.dumps(request).encode(), mirrors


def post(url: SplitResult, body: bytes, session: Session | None = None) -> bytes:
    """A whole HTTP request."""
    mirrors: list[str] = []
    if session is not None and session.is_modern:
        body, mirrors = enveloped(body)
    lines = [
        f"POST {url.path or '/'} HTTP/1.1",
        f"Host: {url.hostname}:{url.port}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Content-Length: {len(body)}",
        *mirrors,
    ]
    if session is not None and session.id:
        lines.append(f"Mcp-Session-Id: {session.id}")
    if session is not None and session.version:
        lines.append(f"MCP-Protocol-Version: {session.version}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def listen(url: SplitResult, session: Session) -> bytes:
    """A whole HTTP request for a session's standing stream, or for what stands in its place without sessions."""
    if session.is_modern:
        return post(url, LISTEN % session.number, session)
    lines = [
        f"GET {url.path or '/'} HTTP/1.1",
        f"Host: {url.hostname}:{url.port}",
        "Accept: text/event-stream",
        f"Mcp-Session-Id: {session.id}",
        f"MCP-Protocol-Version: {session.version}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def opened(number: int, url: str, answer: Answer) -> Session:
    """The session that an answer to ``initialize`` opens."""
    replies = messages(answer) if answer.status == 200 else []
    if not replies or "result" not in replies[-1]:
        raise BadAnswer(f"initialize: {answer.status} {answer.body[:200]!r}")
    version = str(replies[-1]["result"].get("protocolVersion", ""))
    return Session(number, url, answer.header("mcp-session-id"), version)


@define
class Client:
    """A keep-alive connection with blocking calls, for exchanges that are timed one by one."""

    url: str
    timeout_s: float = 30.0
    _socket: socket.socket | None = field(default=None, init=False)

    def ask(self, body: bytes, session: Session | None = None) -> Answer:
        """Send one request and wait for its whole answer."""
        target = urlsplit(self.url)
        if self._socket is None:
            self._socket = socket.create_connection(
                (target.hostname or "", target.port or 80), self.timeout_s
            )
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(post(target, body, session))
        reader = AnswerReader()
        answer = None
        while answer is None:
            data = self._socket.recv(1 << 18)
            answer = reader.feed(data) if data else reader.ended()
            if not data or (answer is not None and answer.header("connection").lower() == "close"):
                self.close()
        return answer

    def open(self, number: int = 0) -> Session:
        """Initialise a session."""
        session = opened(number, self.url, self.ask(initialize()))
        answer = self.ask(INITIALIZED, session)
        if answer.status not in {200, 202, 204}:
            raise BadAnswer(f"initialized: {answer.status} {answer.body[:200]!r}")
        return session

    def echo(self, session: Session, text: str) -> None:
        """Call ``echo`` once and see that the text comes back."""
        answer = self.ask(call(1, "echo", {"text": text}), session)
        replies = messages(answer) if answer.status == 200 else []
        if not replies or replies[-1].get("result", {}).get("content", [{}])[0].get("text") != text:
            raise BadAnswer(f"echo: {answer.status} {answer.body[:200]!r}")

    def tools(self, session: Session) -> int:
        """Return the size of the list of tools in bytes."""
        answer = self.ask(LIST, session)
        if answer.status != 200 or b'"tools"' not in answer.body:
            raise BadAnswer(f"tools/list: {answer.status} {answer.body[:200]!r}")
        return len(answer.body)

    def close(self) -> None:
        """Drop the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
