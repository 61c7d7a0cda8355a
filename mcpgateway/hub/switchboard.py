"""Decide where each message of a client goes; the hot road's one crossing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import (
    Cancelled,
    GatewayError,
    InvalidParams,
    SessionRequired,
    ShuttingDown,
    UnknownServer,
    UnknownSession,
    UnsupportedVersion,
)
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import Call
from mcpgateway.rules import audience
from mcpgateway.wire import jsonrpc, legacy
from mcpgateway.wire.jsonrpc import PROTOCOL_VERSION_KEY, Message
from mcpgateway.wire.revisions import LATEST_LEGACY, LEGACY, negotiated

UNSUPPORTED = "Bad Request: Unsupported protocol version (supported versions: " + ", ".join(LEGACY) + ")"


class Switchboard:
    """What a door asks: which session, and what becomes of a message.

    :ivar is_open: false once the gateway is stopping.
    """

    log = Logger()

    def __init__(self, servers: tuple[ServerSpec, ...], pool: Pool, sessions: Sessions) -> None:
        self.servers = {server.name: server for server in servers}
        self.pool = pool
        self.sessions = sessions
        self.is_open = True
        self._here: dict[str, Callable[[Call, Message], None]] = {
            "ping": _pong,
            "logging/setLevel": self._set_level,
            "server/discover": _refuse_modern,
        }

    def server(self, name: str) -> ServerSpec:
        """The server of that name.

        :raise UnknownServer: there is none.
        """
        try:
            return self.servers[name]
        except KeyError:
            raise UnknownServer(f"Unknown server: {name}") from None

    def session(self, identifier: bytes | None, server: ServerSpec, principal: str) -> Session:
        """The session a request belongs to.

        :raise UnknownSession: the id is not one of ours, of this server, or of this principal.
        :raise SessionRequired: no id, and the server keeps state per session.
        """
        if identifier is not None:
            session = self.sessions.find(identifier, server, principal)
            if session is None:
                raise UnknownSession("Session not found")
            return session
        if self.pool.scope(server) is Share.SESSION:
            raise SessionRequired(
                "Bad Request: Mcp-Session-Id header is required",
                f"{server.name} keeps state per session: send initialize first and repeat the id it answers with",
            )
        return self.sessions.anonymous(server, principal, LATEST_LEGACY)

    def initialize(
        self, server: ServerSpec, principal: str, message: Message, owner: int | None
    ) -> Deferred[tuple[Session, Raw]]:
        """Begin a session; fires with it and the ``InitializeResult`` for its client.

        :raise GatewayError: (through the Deferred) the server could not be started, or the gateway is stopping.
        """
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        if message.meta is not None and PROTOCOL_VERSION_KEY in message.meta:
            raise UnsupportedVersion(UNSUPPORTED)
        while self.sessions.is_full:
            self.end(self.sessions.quietest(), "there are too many sessions")
        scope = self.pool.scope(server)
        version = negotiated(legacy.requested_version(message.params))
        kept = message.params if scope is Share.SESSION else None
        session = self.sessions.open(server, principal, version, kept, owner)
        slot = self.pool.slot_for(session)
        answer = slot.greet().addCallback(legacy.hello_for, version, shared=slot.shared)
        return answer.addCallbacks(lambda hello: (session, hello), self._not_begun, errbackArgs=(session,))

    def _not_begun(self, why: Any, session: Session) -> Any:
        self.end(session, "its server could not be started")
        return why

    def submit(self, call: Call, message: Message) -> None:
        """Bring a request to its server; the call's sink hears what becomes of it.

        :raise GatewayError: it goes nowhere.
        """
        if message.meta is not None and PROTOCOL_VERSION_KEY in message.meta:
            raise UnsupportedVersion(UNSUPPORTED)
        here = self._here.get(call.method)
        if here is not None:
            here(call, message)
            return
        self._forward(call, message)

    def _forward(self, call: Call, message: Message) -> None:
        if not self.is_open:
            raise ShuttingDown("the gateway is stopping")
        session: Session = call.session
        slot = session.slot or self.pool.slot_for(session)
        slot.submit(call, message)

    def _set_level(self, call: Call, message: Message) -> None:
        # One level for all is what a shared server has, so it is set to what the most verbose session asked for.
        session: Session = call.session
        level = _level_of(message)
        session.level, session.has_level = level, True
        slot = self.pool.slot_for(session)
        if not slot.has_levels:
            self._forward(call, message)  # it will say itself that it has none
            return
        wanted = audience.most_verbose(s.level for s in self._level_setters(session))
        if wanted == slot.level or wanted is None:
            call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))
            return
        slot.level = wanted
        if message.params is not None:
            message.params["level"] = jsonrpc.raw(wanted)
        self._forward(call, message)

    def _level_setters(self, session: Session) -> list[Session]:
        others = [each for each in self.sessions if each.slot is session.slot and each.has_level]
        return others if session in others else [*others, session]

    def heard(self, session: Session, message: Message) -> None:
        """Take a notification of a client's."""
        if message.method == "notifications/cancelled":
            self._cancelled(session, message)
        elif message.method in SWALLOWED:
            return
        else:
            slot = self.pool.slot_for(session)
            if slot.conversation is not None and not slot.shared:
                slot.conversation.notify(message.envelope)

    def _cancelled(self, session: Session, message: Message) -> None:
        identifier = jsonrpc.identifier((message.params or {}).get("requestId"))
        if identifier is None or session.slot is None:
            return
        for call in reversed(session.slot.calls()):
            if call.session is session and jsonrpc.same_identifier(call.id, identifier):
                if session.slot.cancel(call, _reason(message)):
                    call.sink.failed(call, Cancelled("Request cancelled"))
                return

    def end(self, session: Session, why: str) -> bool:
        """End a session: its calls are cancelled, its own child is stopped. True when a child is stopped."""
        self.sessions.forget(session)
        slot = session.slot
        if slot is not None:
            for call in slot.calls():
                if call.session is session and slot.cancel(call, "the session has ended"):
                    call.sink.failed(call, UnknownSession("Session has ended"))
        self.log.info(
            "a session of {server} ends: {why}", event="session.ended", server=session.server.name, why=why
        )
        return self.pool.release(session)

    def calls(self) -> int:
        """How many calls are under way or waiting."""
        return sum(len(slot.calls()) for slot in self.pool)

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Take no more calls and stop every child."""
        self.is_open = False
        return self.pool.close()


SWALLOWED = frozenset(
    (
        "notifications/initialized",  # the gateway said it itself, once per child
        "notifications/roots/list_changed",  # no child was told that a client has roots
        "notifications/progress",  # it would belong to a question, and no server is let ask one
    )
)


def _pong(call: Call, message: Message) -> None:
    call.sink.answered(call, jsonrpc.result(jsonrpc.NULL, {}))


def _refuse_modern(call: Call, message: Message) -> None:
    raise UnsupportedVersion(UNSUPPORTED)


def _level_of(message: Message) -> str:
    try:
        level = jsonrpc.read_string((message.params or {})["level"], "level")
    except (KeyError, GatewayError):
        level = ""
    if level not in audience.LEVELS:
        raise InvalidParams(f"Invalid params: level must be one of {', '.join(audience.LEVELS)}")
    return level


def _reason(message: Message) -> str:
    try:
        return jsonrpc.read_string((message.params or {})["reason"], "reason")
    except (KeyError, GatewayError):
        return "cancelled by the client"
