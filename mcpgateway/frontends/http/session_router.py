"""Bring each request to the node of its conversation, before anything else looks at it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.homes import Elsewhere, Here, Homes
from mcpgateway.cluster.membership import SERVING, Member, Membership
from mcpgateway.cluster.places import Places
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError, StoreLost
from mcpgateway.frontends.http.node_client import HOME
from mcpgateway.frontends.http.passing import MISDIRECTED, RETRY, Passing, answer_away, error_of
from mcpgateway.frontends.http.statuses import status_of
from mcpgateway.frontends.http.workspace_detection import known_id
from mcpgateway.hub.request_states import STATE_LIMIT
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.request_states import node_of
from mcpgateway.protocol.session_ids import NODE_BYTES, Issued, SessionIds

ATTEMPTS = 3
Serve = Callable[[], None]


class SessionRouter:
    """Decides where a request of a conversation is served.

    :ivar passing: passes requests on to other nodes.
    :ivar places: the nodes of servers' own tasks.
    """

    log = Logger()

    def __init__(
        self, homes: Homes, membership: Membership, passing: Passing, ids: SessionIds, places: Places
    ) -> None:
        self.passing = passing
        self.places = places
        self._homes = homes
        self._membership = membership
        self._ids = ids

    @property
    def is_sure(self) -> bool:
        """True while a session in use here is certainly this node's."""
        return self._homes.is_sure

    def route(
        self, exchange: Any, server: ServerSpec, principal: str, here: Serve, attempts: int = ATTEMPTS
    ) -> None:
        """Serve a request with a session id here, or pass it on to the node of its session.

        :param here: serves it at this node.
        """
        issued = self._ids.read(exchange.headers.get(b"mcp-session-id", b""))
        if issued is None or not issued.is_for(server.name, principal):
            here()  # it is refused as any id that is not its bearer's
            return
        place = self._homes.of(issued, server.name, principal)
        if isinstance(place, Deferred):
            place.addCallbacks(
                self._found,
                self._not_found,
                callbackArgs=(exchange, issued, server, principal, here, attempts),
                errbackArgs=(exchange,),
            )
            place.addErrback(self._broken, exchange)
        else:
            self._found(place, exchange, issued, server, principal, here, attempts)

    def _found(
        self,
        place: Here | Elsewhere,
        exchange: Any,
        issued: Issued,
        server: ServerSpec,
        principal: str,
        here: Serve,
        attempts: int,
    ) -> None:
        if exchange.gone:
            return
        if isinstance(place, Here):
            here()
            return
        member = place.member
        if exchange.caller.node:
            # The node that has passed it on goes to the better one itself.
            home = self._membership.named_node(exchange.caller.node)
            better = member if home is None or self._membership.me.state == SERVING else home
            extra = f"{HOME}: {better.octets.hex()}\r\n".encode()
            exchange.answer(MISDIRECTED, error_of(exchange, "Misdirected Request"), extra=extra)
            return

        def again() -> None:
            self.route(exchange, server, principal, here, attempts - 1)

        def unsent(is_refused: bool) -> None:  # noqa: FBT001 - a plain callback
            is_gone = self._membership.refused(member) if is_refused else not self._membership.is_live(member)
            if is_gone and attempts > 1:
                again()
            else:
                answer_away(exchange)

        def corrected(octets: bytes) -> bool:
            if attempts <= 1 or octets == member.octets:
                return False
            self._homes.note(issued.serial, octets)
            again()
            return True

        self.passing.send(exchange, member, unsent, corrected)

    def _not_found(self, why: Failure, exchange: Any) -> None:
        error = why.value
        if not isinstance(error, GatewayError):
            self.log.failure("a session could not be routed", why, event="cluster.route_broken")
            error = GatewayError("Internal error: the node of the session could not be found")
        if exchange.gone:
            return
        extra = RETRY if isinstance(error, StoreLost) else b""
        exchange.answer(status_of(error), jsonrpc.error_bytes(known_id(exchange.body), error), extra=extra)

    def _broken(self, why: Failure, exchange: Any) -> None:
        self.log.failure("a request of a session broke", why, event="cluster.route_broken")
        if not exchange.gone and not exchange.answered and not exchange.streaming:
            exchange.answer(500, error_of(exchange, "Internal error"))

    # Conversations without a session id

    def stream_prefix(self) -> bytes:
        """Return the beginning of the ids of this node's streams of the oldest transport."""
        return urlsafe_b64encode(self._membership.me.octets + b"\0\0")

    def passes_stream(self, exchange: Any, identifier: bytes) -> bool:
        """Pass a message on to the node of its stream; return False where the stream would be this node's."""
        try:
            octets = urlsafe_b64decode(identifier[:8])[:NODE_BYTES]
        except ValueError:
            return False
        return self._passes(exchange, octets)

    def passes_state(self, exchange: Any, params: Envelope | None) -> bool:
        """Pass a request on to the node that has made its request state; return False if it is gone, or this one."""
        state = peek.text(params, "requestState", STATE_LIMIT)
        return state is not None and self._passes(exchange, node_of(state))

    def route_task(self, exchange: Any, params: Envelope | None, principal: str, here: Serve) -> None:
        """Serve a modern request for a task here, or pass it on to the node whose server has begun the task."""
        task = peek.text(params, "taskId")
        if task is None or exchange.caller.node:
            here()
            return

        def found(member: Member | None) -> None:
            if exchange.gone:
                return
            if member is None:
                here()
            else:
                self.passing.send(exchange, member)

        self.places.find(task, principal).addCallback(found).addErrback(self._broken, exchange)

    def _passes(self, exchange: Any, octets: bytes) -> bool:
        member = None if exchange.caller.node else self._membership.other(octets)
        if member is None:
            return False
        self.passing.send(exchange, member)
        return True
