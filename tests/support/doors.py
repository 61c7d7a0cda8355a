"""Doors, transports and a small reader of answers, for tests of the HTTP channel without sockets."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.frontends.http.channel import Channel
from mcpgateway.frontends.http.channel_factory import ChannelFactory

BUFFER = 65536  # what Twisted's own transports hold before they pause a producer


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """A connection whose client reads when the test says so.

    :ivar taken: what the client has read.
    :ivar queued: what it has not read yet.
    """

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads
        self.taken = b""
        self.queued = b""
        self.producer: Any = None
        self.is_producing = True
        self.is_closing = False
        self.is_aborted = False
        self._is_full = False

    def write(self, data: bytes) -> None:
        if self.is_aborted:
            return
        self.queued += data
        if len(self.queued) > BUFFER and self.producer is not None and not self._is_full:
            self._is_full = True
            self.producer.pauseProducing()
        if self.reads:
            self.read()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def read(self, size: int | None = None) -> None:
        """The client reads; an emptied buffer resumes the producer."""
        size = len(self.queued) if size is None else size
        self.taken += self.queued[:size]
        self.queued = self.queued[size:]
        if not self.queued and self._is_full:
            self._is_full = False
            if self.producer is not None:
                self.producer.resumeProducing()

    @property
    def dataBuffer(self) -> bytes:
        return self.queued

    offset = 0

    def registerProducer(self, producer: Any, streaming: object) -> None:
        assert self.producer is None
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        assert self.is_producing
        self.is_producing = False

    def resumeProducing(self) -> None:
        self.is_producing = True

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        assert self.producer is None, "Twisted does not close under a registered producer"
        self.is_closing = True

    def abortConnection(self) -> None:
        self.is_aborted = True

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 9100)


class OpenedTransport(MemoryTransport):
    """A connection that has a descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


class RecordingDoor:
    """Answers everything, or keeps the exchanges for the test to answer.

    :ivar opened_paths: paths of the requests whose heads were judged.
    :ivar handled: the exchanges that arrived whole.
    """

    def __init__(self, *, limit: int = 4 * 1024 * 1024, waits: bool = False) -> None:
        self.limit = limit
        self.waits = waits
        self.opened_paths: list[bytes] = []
        self.handled: list[Any] = []
        self.bodies: list[bytes] = []

    def opened(self, exchange: Any) -> int:
        self.opened_paths.append(exchange.path)
        if exchange.path == b"/refused":
            exchange.answer(403, b'{"error":"no"}')
            return 0
        if exchange.path == b"/broken-guard":
            raise ZeroDivisionError
        return self.limit

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        return json.dumps({"error": why, **(data or {})}).encode()

    def handle(self, exchange: Any) -> None:
        self.handled.append(exchange)
        self.bodies.append(exchange.body)
        if exchange.path == b"/broken":
            raise ZeroDivisionError
        if exchange.path == b"/broken-stream":
            exchange.begin_stream()
            raise ZeroDivisionError
        if not self.waits:
            exchange.answer(200, exchange.path + b" " + exchange.body, b"text/plain")


@define
class Wire:
    """A channel with its door and its client's end."""

    door: Any = field(factory=RecordingDoor)
    transport: MemoryTransport = field(factory=MemoryTransport)
    factory: ChannelFactory = field(init=False)
    channel: Channel = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.factory = ChannelFactory(self.door)
        self.channel = self.factory.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def send(self, *chunks: bytes) -> None:
        """The client sends; what a paused connection gets would wait in the kernel, so pausing must be respected."""
        for chunk in chunks:
            self.channel.dataReceived(chunk)

    def pass_ticks(self, count: int) -> None:
        """Advance the clock by some seconds."""
        for _ in range(count):
            self.factory.sweep()

    def hang_up(self) -> None:
        """The client disconnects."""
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def answers(self) -> list[Answer]:
        """The bytes that the client has read."""
        return read_answers(self.transport.taken)

    @property
    def statuses(self) -> list[int]:
        """The status of each answer the client has read."""
        return [each.status for each in self.answers]


@define
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def read_answers(data: bytes) -> list[Answer]:
    """Read responses strictly; anything that is not one fails the test."""
    answers = []
    while data:
        head, blank, data = data.partition(b"\r\n\r\n")
        assert blank, f"half a head: {head!r}"
        line, *fields = head.split(b"\r\n")
        version, status, reason = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        assert reason
        headers = {}
        for each in fields:
            name, _, value = each.partition(b": ")
            assert name.lower() not in headers
            headers[name.lower()] = value
        if status == b"100":
            body = b""
        elif b"transfer-encoding" in headers:
            body, data = _read_chunks(data)
        elif b"content-length" in headers:
            length = int(headers[b"content-length"])
            body, data = data[:length], data[length:]
            assert len(body) == length
        else:
            body, data = (b"", data) if status in (b"204", b"304") else (data, b"")
        answers.append(Answer(int(status), headers, body))
    return answers


def _read_chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body += data[:length]
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]
        if length == 0:
            return body, data
