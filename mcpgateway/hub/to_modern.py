"""Bring the messages of legacy sessions to servers that speak only the modern era."""

from __future__ import annotations

from mcpgateway.errors import UnknownMethod
from mcpgateway.hub.questions import Questions
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.interfaces import Call
from mcpgateway.wire.jsonrpc import Message


class ToModern:
    """The bridge from legacy clients to modern servers."""

    def __init__(self, sessions: Sessions, questions: Questions) -> None:
        self._sessions = sessions
        self._questions = questions

    def join(self, session: Session) -> None:
        """A session uses a modern child (``session.slot``): let it hear what it would hear of a legacy one."""

    def leave(self, session: Session) -> None:
        """A session ends, or is put aside."""

    def submit(self, call: Call, message: Message) -> None:
        """Bring a request to the session's server; the call's sink hears what becomes of it.

        :raise GatewayError: it goes nowhere.
        """
        raise UnknownMethod(f"Method not found: {call.method}")

    def tick(self) -> None:
        """A second has passed."""
