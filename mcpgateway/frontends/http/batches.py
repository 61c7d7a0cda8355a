"""A batch: several messages in one POST, their answers in one array (MCP 2025-03-26 only; JSON-RPC 2.0, section 6)."""

from __future__ import annotations

from typing import Any

from attrs import define, frozen

from mcpgateway.errors import GatewayError, MalformedMessage
from mcpgateway.frontends.http.streams import HEARTBEAT_TICKS, PATIENCE_TICKS, Accepted, Streams
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, sse
from mcpgateway.protocol.jsonrpc import Envelope, Message


@frozen
class UnreadableMember:
    """A member of a batch that is no message."""

    body: bytes
    why: GatewayError


def read_batch(body: bytes) -> list[Message | UnreadableMember] | None:
    """Return the members of a batch; None if the body is no JSON array.

    :raise MalformedMessage: the array is empty or too large, or a member is an ``initialize``.
    """
    members = jsonrpc.read_batch(body)
    if members is None:
        return None
    read = [_read(member) for member in members]
    if any(isinstance(each, Message) and each.method == "initialize" for each in read):
        raise MalformedMessage("Invalid Request: initialize must not be part of a batch")
    return read


def _read(member: bytes) -> Message | UnreadableMember:
    try:
        return jsonrpc.read_client(member)
    except GatewayError as why:
        return UnreadableMember(member, why)


@define(eq=False, repr=False)
class BatchMember:
    """A request of a batch."""

    _batch: Batch
    _nth: int

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the response of this request."""
        self._batch.answered(self._nth, jsonrpc.splice_id(reply, request.id))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Take an error as the response of this request."""
        self._batch.answered(self._nth, jsonrpc.error_bytes(request.id, why))

    @property
    def is_gone(self) -> bool:
        """True once the client's connection has closed."""
        return self._batch.is_gone

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass on progress of this request."""
        self._batch.noticed(message)

    def noticed(self, request: Request, message: bytes) -> bool:
        """Pass on a message before the response."""
        return self._batch.noticed(message)


class Batch:
    """The requests of a POST, answered in one array; or each in its own event, once a message had to be sent before."""

    def __init__(self, streams: Streams, exchange: Any, takes: Accepted) -> None:
        self._streams = streams
        self._exchange = exchange
        self._takes = takes
        self._answers: list[bytes | None] = []
        self._open = 0
        self._is_whole = False
        self._ticks = 0
        exchange.on_gone = self.gone
        streams.waiting.add(self)

    @property
    def is_gone(self) -> bool:
        """True once the client's connection has closed."""
        return bool(self._exchange.gone)

    def member(self) -> BatchMember:
        """Return the sink of one more request."""
        self._answers.append(None)
        self._open += 1
        return BatchMember(self, len(self._answers) - 1)

    def refused(self, body: bytes) -> None:
        """Add an error as the response to a member that is no valid message, or whose endpoint is unknown."""
        self.member()
        self.answered(len(self._answers) - 1, body)

    def whole(self) -> None:
        """Note that all members have been read."""
        self._is_whole = True
        self._look()

    def answered(self, nth: int, body: bytes) -> None:
        """Take the response of one request of the batch."""
        if self._answers[nth] is not None:
            return
        self._answers[nth] = body
        self._open -= 1
        if self._exchange.streaming:
            self._exchange.send(sse.event(body))
        self._look()

    def _look(self) -> None:
        if self._open or not self._is_whole:
            return
        self._streams.waiting.discard(self)
        exchange = self._exchange
        exchange.on_gone = None
        if exchange.gone or exchange.answered:
            return
        answers = [each for each in self._answers if each is not None]
        if exchange.streaming:
            exchange.finish()
        elif not answers:
            exchange.answer(202, b"")
        elif self._takes.json:
            exchange.answer(200, b"[" + b",".join(answers) + b"]")
        else:
            self._commit()
            exchange.finish()

    def _commit(self) -> None:
        self._exchange.begin_stream()
        for body in self._answers:
            if body is not None:
                self._exchange.send(sse.event(body))

    def noticed(self, message: bytes) -> bool:
        """Send a message before the responses; return false if the client accepts JSON only, or is gone."""
        if not self._takes.sse or self._exchange.gone:
            return False
        if not self._exchange.streaming:
            self._commit()
        self._ticks = 0
        return bool(self._exchange.send(sse.event(message)))

    def tick(self) -> None:
        """Begin a stream after `PATIENCE_TICKS`, or send a sign of life; called once a second."""
        exchange = self._exchange
        if exchange.gone or exchange.answered or not self._takes.sse:
            return
        self._ticks += 1
        if not exchange.streaming and self._ticks >= PATIENCE_TICKS:
            self._commit()
        if exchange.streaming and self._ticks >= HEARTBEAT_TICKS:
            self._ticks = 0
            exchange.send(sse.PING)

    def gone(self) -> None:
        """Note that the client has disconnected: the batch is not answered."""
        self._streams.waiting.discard(self)
