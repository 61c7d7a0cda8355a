"""HTTP servers on memory transports that give the answers of a test, for tests of HTTP clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define, field
from httptools import HttpRequestParser
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.python.failure import Failure

HERE = "10.0.0.9"  # the address our own ends have


class Wire:
    """The end of a connection, as the client's transport."""

    def __init__(self, host: str, port: int, server: ScriptedServer) -> None:
        self.protocol: Any = None
        self.disconnecting = False
        self.is_closed = False
        self.is_aborted = False
        self.is_paused = False
        self._peer = (host, port)
        self._server = server
        self._held: list[bytes] = []
        self._come: Request | None = None
        self._parser = HttpRequestParser(self)
        self._new()

    def _new(self) -> None:
        self._target, self._headers, self._body = b"", {}, b""

    # What the asking side does

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self._parser.feed_data(data)
        come, self._come = self._come, None
        if come is not None:
            self._server.took(come)

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.close(error.ConnectionDone())

    def abortConnection(self) -> None:
        self.is_aborted = True
        self.disconnecting = True
        self.close(error.ConnectionLost())

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False
        held, self._held = self._held, []
        for data in held:
            self.say(data)

    def setTcpNoDelay(self, enabled: Any) -> None:
        """No matter here."""

    def setTcpKeepAlive(self, enabled: Any) -> None:
        """No matter here."""

    def getHandle(self) -> None:
        return None

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", HERE, 50_000)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", *self._peer)

    # What the parser finds

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, former = name.decode().lower(), self._headers.get(name.decode().lower())
        self._headers[key] = value.decode() if former is None else f"{former}, {value.decode()}"

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        self._come = Request(method, self._target.decode(), self._headers, self._body, self)
        self._new()

    # What the test does

    def say(self, data: bytes) -> None:
        """Send bytes."""
        if self.is_paused:
            self._held.append(data)
        elif not self.is_closed:
            self.protocol.dataReceived(data)

    def close(self, why: Exception | None = None) -> None:
        """End it."""
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connectionLost(Failure(why or error.ConnectionDone()))


@define(eq=False)
class Request:
    """A received request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    wire: Wire = field(repr=False)

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def reply(self, status: int = 200, body: Any = b"", **headers: str) -> None:
        """Answer it whole; anything but bytes as JSON."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content_Type": "application/json", **headers}
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        head = f"HTTP/1.1 {status} Some Words\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n"
        self.wire.say(head.encode() + body)

    def result(self, result: Any, **headers: str) -> None:
        """Answer a JSON-RPC request with JSON."""
        self.reply(200, {"jsonrpc": "2.0", "id": self.json["id"], "result": result}, **headers)

    def error(self, status: int, code: int, message: str = "no", **more: Any) -> None:
        """Answer with a JSON-RPC error."""
        error = {"code": code, "message": message}
        self.reply(status, {"jsonrpc": "2.0", "id": more.get("id", self.json.get("id")), "error": error})

    def begin(self, **headers: str) -> None:
        """Begin an event stream."""
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        self.wire.say(f"{head}{''.join(lines)}\r\n".encode())

    def event(self, message: Any = None, *, text: str = "", **fields: Any) -> None:
        """Send an event; a value that is not bytes is sent as JSON."""
        lines = [f"{name}: {value}\n" for name, value in fields.items()]
        data = text or ("" if message is None else json.dumps(message))
        event = f"{''.join(lines)}data: {data}\n\n".encode()
        self.wire.say(b"%x\r\n%b\r\n" % (len(event), event))

    def event_result(self, result: Any) -> None:
        """The answer, as an event."""
        self.event({"jsonrpc": "2.0", "id": self.json["id"], "result": result})

    def finish(self) -> None:
        """End the stream in order."""
        self.wire.say(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection."""
        self.wire.close(error.ConnectionLost())


class ScriptedServer:
    """A server whose requests wait for the test, or are answered by what it has set for them.

    :ivar requests: all that have come.
    :ivar answers: what answers the requests of a method, HTTP's or JSON-RPC's, at once.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: dict[str, Callable[[Request], None]] = {}
        self.wires: list[Wire] = []

    def took(self, request: Request) -> None:
        """A request has come."""
        self.requests.append(request)
        name = request.method
        if request.method == "POST" and request.body[:1] == b"{":
            name = request.json.get("method", "a response")
        if name in self.answers:
            self.answers[name](request)

    @property
    def last(self) -> Request:
        """The latest request."""
        return self.requests[-1]

    def asked(self, name: str) -> list[Request]:
        """The requests of a method, HTTP's or JSON-RPC's."""
        return [
            each
            for each in self.requests
            if each.method == name or (each.body[:1] == b"{" and each.json.get("method") == name)
        ]


class MemoryNet(Clock):
    """A network of scripted servers, and the time in it.

    :ivar servers: by address and port.
    :ivar names: the addresses of host names.
    :ivar silent: addresses that do not even refuse.
    :ivar dialled: what has been tried, in its order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[tuple[str, int], ScriptedServer] = {}
        self.names: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.dialled: list[tuple[str, int]] = []

    @property
    def nameResolver(self) -> Any:
        """The resolver of names."""
        return self

    def resolveHostName(self, receiver: Any, host: str, *more: Any, **options: Any) -> Any:
        """Look up a name."""
        receiver.resolutionBegan(None)
        for address in self.names.get(host, ()):
            receiver.addressResolved(IPv4Address("TCP", address, 0))
        receiver.resolutionComplete()
        return receiver

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        """Connect, or be refused."""
        self.dialled.append((host, port))
        connector = _Connector()
        if host in self.silent:
            return connector
        factory.doStart()
        server = self.servers.get((host, port))
        if server is None:
            factory.clientConnectionFailed(connector, Failure(error.ConnectionRefusedError()))
            return connector
        wire = Wire(host, port, server)
        server.wires.append(wire)
        wire.protocol = factory.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        return connector

    def serve(self, port: int = 80, host: str = "10.0.0.1") -> ScriptedServer:
        """A server at an address."""
        return self.servers.setdefault((host, port), ScriptedServer())


class _Connector:
    def stopConnecting(self) -> None:
        """Never connect."""
