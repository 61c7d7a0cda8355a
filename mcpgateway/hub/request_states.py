"""The request states of modern servers, on their way through clients (MCP 2026-07-28, "Multi Round-Trip Requests").

A server that asks its client something sends a state along, and gets it back with the answers.  Servers should trust it
as little as any other parameter, but many check neither its owner nor its repeated use.  So the client gets a state of
the gateway that wraps the server's own: it is valid once, for a day, and only for the same principal, server, method
and arguments.  The wrapped state is self-contained, so it is valid after a restart of the gateway, too; its use is
recorded in the journal with the ended sessions.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from attrs import define, field
from msgspec import Raw

from mcpgateway.bounded import Bounded
from mcpgateway.errors import InvalidParams
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import ISessionStore, Request
from mcpgateway.protocol import jsonrpc, modern, peek, translate
from mcpgateway.protocol.jsonrpc import Envelope, Message
from mcpgateway.protocol.request_states import HANDLE_BYTES, Carried, RequestStates, digest_of

LIFE_S = 86_400  # a human may have to sleep over it
USED_LIMIT = 10_000  # used states that are known without the journal, which a full disk keeps from writing
STATE_LIMIT = 16 * 1024 * 1024  # characters; a request is never longer
UNKNOWN = "Invalid params: requestState is not known: it was used, has expired, or belongs to another request"

_STATE = "requestState"
_ASKS = re.compile(modern.INPUT_REQUIRED.encode())

Key = tuple[str, str, str, bytes]
"""The binding of a state: principal, server, method, digest of the arguments."""


class _Wrapping(SinkFilter):
    """Wraps the state in a server's answer."""

    states: ServerStates
    message: Message
    principal: str
    place: str

    def answered(self, request: Request, reply: Envelope) -> None:
        """Wrap the state of the response; a pattern shows without decoding that most have none."""
        if "result" in reply and _ASKS.search(reply["result"]):
            key = (self.principal, self.place, request.method, digest_of(self.message.params or {}))
            reply = reply | {"result": self.states.wrapped(reply["result"], key)}
        self.sink.answered(request, reply)


@define(eq=False, repr=False)
class ServerStates:
    """Wraps the states that servers send, and unwraps them when clients return them.

    :param seconds: the wall clock.
    """

    _states: RequestStates
    _store: ISessionStore
    _seconds: Callable[[], float]
    _used: dict[bytes, None] = field(factory=lambda: Bounded(USED_LIMIT), init=False, repr=False)

    def take(self, request: Request, principal: str, place: str) -> None:
        """Prepare a request, whose answer may be a question: unwrap its state, and wrap that of the answer.

        :param place: the name of the server's variant.
        :raise InvalidParams: the state of the request is not valid.
        """
        params = request.message.params
        if params is not None and _STATE in params:
            key = (principal, place, request.method, digest_of(params))
            params[_STATE] = self._unwrapped(params, key)
        request.sink = _Wrapping(request.sink, self, request.message, principal, place)

    def _unwrapped(self, params: Envelope, key: Key) -> Raw:
        state = peek.text(params, _STATE, STATE_LIMIT) or ""
        carried = self._states.unwrap(state, *key)
        is_over = carried is None or self._seconds() - carried.issued >= LIFE_S
        if carried is None or is_over or not self._spend(carried):
            raise InvalidParams(UNKNOWN)
        return carried.state

    def _spend(self, carried: Carried) -> bool:
        # The journal records used states for a limited time; an older state may have been used.
        if carried.nonce in self._used or carried.issued <= self._store.floor:
            return False
        if self._store.find(carried.nonce) is not None:
            return False
        self._used[carried.nonce] = None
        self._store.end(carried.nonce, carried.issued)
        return True

    def wrapped(self, result: Raw, key: Key) -> Raw:
        """Return a result with its state, if it has one, wrapped for this request."""
        if translate.kind_of(result) != modern.INPUT_REQUIRED:
            return result
        members = jsonrpc.read_object(result, "result")
        if bytes(members.get(_STATE, jsonrpc.NULL))[:1] != b'"':
            return result
        carried = Carried(secrets.token_bytes(HANDLE_BYTES), int(self._seconds()), members[_STATE])
        return jsonrpc.raw(members | {_STATE: jsonrpc.raw(self._states.wrap(carried, *key))})
