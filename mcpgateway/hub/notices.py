"""Pass on what servers say unasked, to the sessions that may hear it."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import GatewayError, UnknownMethod
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Call, INoticeListener
from mcpgateway.rules import audience
from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope


@implementer(INoticeListener)
class Notices:
    """The road up for notifications that name no call, and for a server's own questions.

    :ivar unheard: how many notices nobody could be told.
    """

    log = Logger()

    def __init__(self) -> None:
        self.unheard = 0

    def noticed(self, backend: Any, method: str, message: Envelope) -> None:
        """Tell the sessions with calls under way that may hear it, each on its newest call."""
        calls = _newest_calls(backend)
        if method == "notifications/message":
            hearers = audience.of_log_message(_level(message), calls)
        else:
            hearers = audience.of_notice(calls)
        data = jsonrpc.encode(message)
        told = [session for session in hearers if calls[session].sink.noticed(calls[session], data)]
        if not told:
            self.unheard += 1
            self.log.debug(
                "{server} said {method}, and nobody could be told",
                event="notice.unheard",
                server=backend.server,
                method=method,
            )

    def asked(self, backend: Any, method: str, message: Envelope) -> None:
        """Refuse: no client capabilities were declared to it, so there is nobody it could mean."""
        self.log.debug(
            "{server} asked {method}", event="question.refused", server=backend.server, method=method
        )
        try:
            backend.reply(message, UnknownMethod(f"Method not found: {method} (no client offers it)"))
        except GatewayError as why:
            self.log.debug("{server} could not be answered: {why}", server=backend.server, why=why)


def _newest_calls(backend: Conversation) -> dict[Session, Call]:
    # Calls stand in the order they were sent, so a session's last one is its newest.
    return {call.session: call for call in backend.pending.values() if call.session is not None}


def _level(message: Envelope) -> str:
    try:
        return jsonrpc.read_string(jsonrpc.read_object(message["params"], "params")["level"], "level")
    except (KeyError, GatewayError):
        return audience.DEFAULT_LEVEL
