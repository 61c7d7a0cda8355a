"""Identical calls at the same time become one call to the server.

# Note [Which calls fly together]
Calls are joined if their server annotates the tool as read-only and idempotent, and if they come from the same
principal, go to the same child and have the same arguments in any spelling.  A retry with answers, a call that begins a
task and a call that asks for log messages are not joined.  Calls that ask for progress are not joined with those that
do not, because the server would report none.  If the answer asks something, it goes to the first call only, and the
others are sent by themselves: each client answers for itself.

# Note [Whose call it is]
The server gets a call of the flight's own, in the session of the first joined call, whose client gets the server's
questions and the messages that precede the answer.  When the first call is cancelled, or its session ends, the flight
passes to the next call's session, and the server notices nothing.  If the call has been lost with its session already,
it is sent once more for the others, which the annotations allow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import define, field, frozen
from msgspec import Raw

from mcpgateway.discovery.records import Item
from mcpgateway.errors import Cancelled, ClientGone, GatewayError, ShuttingDown, UnknownSession
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc, modern, translate
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.translate import RETRIED

CALL_TOOL = "tools/call"
PARAMS_LIMIT = 65_536  # bytes of parameters that are compared
PASSENGERS_LIMIT = 1000  # of one flight
_VARYING = frozenset(
    ("progressToken", "traceparent", "tracestate", "baggage")
)  # members that do not change the request
_LOST = (
    UnknownSession,
    ShuttingDown,
    Cancelled,
    ClientGone,
)  # the errors of a call whose session has ended

Submit = Callable[[Request], None]
_encode = msgspec.json.Encoder(order="sorted").encode


@frozen
class _Key:
    """The parts in which joined calls are equal; see Note [Which calls fly together]."""

    where: Any
    principal: str
    wants_progress: bool
    params: bytes = field(repr=False)


@define(eq=False, repr=False)
class _JoinedCall:
    """One joined call, and the function that sends it by itself."""

    request: Request
    submit: Submit = field(repr=False)

    def go_alone(self) -> None:
        """Send the call by itself."""
        try:
            self.submit(self.request)
        except GatewayError as why:
            self.request.sink.failed(self.request, why)


@define(eq=False, repr=False)
class _Flight:
    """One call to a server, and the joined calls that wait for its answer; the server's questions go to the first."""

    flights: SingleFlight
    key: _Key
    joined: list[_JoinedCall]
    request: Request

    @property
    def is_gone(self) -> bool:
        """True if no client waits any more."""
        return all(each.request.sink.is_gone for each in self.joined)

    def answered(self, request: Request, reply: Envelope) -> None:
        """Answer each joined call; if the answer asks something, only the first, and send the others by themselves."""
        joined = self._land()
        asks = bool(joined[1:]) and "result" in reply and _asks(reply["result"])
        for nth, each in enumerate(joined):
            if asks and nth:
                each.go_alone()
            else:
                each.request.sink.answered(each.request, dict(reply))

    def failed(self, request: Request, why: GatewayError) -> None:
        """Fail all joined calls; if the first one's session has ended, fail that one and retry for the others."""
        if isinstance(why, _LOST) and len(self.joined) > 1:
            self.flights.over(self)
            first = self.joined.pop(0)
            first.request.sink.failed(first.request, why)
            self.flights.again(self)
            return
        for each in self._land():
            each.request.sink.failed(each.request, why)

    def _land(self) -> list[_JoinedCall]:
        self.flights.over(self)
        joined, self.joined = self.joined, []
        return joined

    def progressed(self, request: Request, message: bytes) -> None:
        """Pass progress on to each client under its own token."""
        envelope = jsonrpc.decode(message)
        for each in list(self.joined):
            if each.request.token is not None and request.progress is not None:
                each.request.progress = request.progress | {"progressToken": Raw(each.request.token)}
                envelope["params"] = Raw(jsonrpc.encode(each.request.progress))
                each.request.sink.progressed(each.request, jsonrpc.encode(envelope))

    def noticed(self, request: Request, message: bytes) -> bool:
        """Pass a message that precedes the answer, such as a question, to the first client."""
        first = self.joined[0].request if self.joined else None
        return first is not None and bool(first.sink.noticed(first, message))


class SingleFlight:
    """All flights, as the holder of the joined calls; the flights' own calls are with the slots."""

    def __init__(self) -> None:
        self._flights: dict[_Key, _Flight] = {}
        self._by_call: dict[Request, _Flight] = {}

    def join(self, request: Request, item: Item | None, submit: Submit) -> bool:
        """Join a call to an equal one, or begin a flight with it; false if the caller has to send it by itself.

        :param submit: sends a call to its server; called at once for the first call of a flight.
        :raise GatewayError: the call is refused by ``submit``.
        """
        key = _key(request, item)
        if key is None:
            return False
        joined_call = _JoinedCall(request, submit)
        flight = self._flights.get(key)
        if flight is not None:
            if len(flight.joined) >= PASSENGERS_LIMIT:
                return False
            flight.joined.append(joined_call)
            self._by_call[request] = flight
            request.holder = self
            return True
        self._take_off(key, [joined_call])
        return True

    def _take_off(self, key: _Key, joined: list[_JoinedCall]) -> None:
        first = joined[0].request
        own = Request(first.session, first.message, first.token, None, level=first.level)
        own.id = b""  # unknown to clients, so that none can cancel it
        own.follow(first)
        flight = own.sink = _Flight(self, key, joined, own)
        self._flights[key] = flight
        for each in joined:
            self._by_call[each.request] = flight
            each.request.holder = self
        try:
            joined[0].submit(own)
        except GatewayError:
            self.over(flight)
            raise

    def again(self, flight: _Flight) -> None:
        """Send a call that has ended once more, for the remaining joined calls."""
        joined = flight.joined
        try:
            self._take_off(flight.key, joined)
        except GatewayError as why:
            for each in joined:
                each.request.sink.failed(each.request, why)

    def over(self, flight: _Flight) -> None:
        """Remove a flight that has ended."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        for each in flight.joined:
            self._by_call.pop(each.request, None)

    def calls(self) -> list[Request]:
        """Return the joined calls."""
        return list(self._by_call)

    def withdraw(self, request: Request, reason: str) -> bool:
        """Take a joined call back; the others stay.  False if it is not, or no longer, under way."""
        flight = self._by_call.pop(request, None)
        if flight is None:
            return False
        flight.joined = [each for each in flight.joined if each.request is not request]
        if flight.joined:
            flight.request.session = flight.joined[0].request.session
        else:
            self.over(flight)
            flight.request.withdraw(reason)
        return True


def _asks(result: Raw) -> bool:
    return translate.kind_of(result) == modern.INPUT_REQUIRED


def _key(request: Request, item: Item | None) -> _Key | None:
    if item is None or not (item.is_read_only and item.is_idempotent):
        return None
    params, session = request.message.params, request.session
    if request.method != CALL_TOOL or params is None or session is None or request.level is not None:
        return None
    if "task" in params or not RETRIED.isdisjoint(params) or modern.has_tasks(request.message.meta):
        return None
    arguments = canonical(params, request.message.meta)
    slot = session.slot
    is_shared = slot is not None and slot.shared and not session.awaits_roots
    where = slot if is_shared else session
    return None if arguments is None else _Key(where, session.principal, request.token is not None, arguments)


def canonical(params: Envelope, meta: Envelope | None) -> bytes | None:
    """Return the request of a call as bytes that do not depend on its spelling; None if it is too long or invalid."""
    members = {name: value for name, value in params.items() if name != "_meta"}
    rest = {name: value for name, value in (meta or {}).items() if name not in _VARYING}
    whole = jsonrpc.encode(members | {"_meta": jsonrpc.raw(rest)})
    if len(whole) > PARAMS_LIMIT:
        return None
    try:
        read = json.loads(whole, parse_int=_number, parse_float=_number, object_pairs_hook=_members)
        return bytes(_encode(read))
    except (ValueError, RecursionError):
        return None  # duplicate names, or lone surrogates


def _number(text: str) -> Raw:
    return Raw(text.encode())


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
