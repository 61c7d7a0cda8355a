"""Notifications and questions of a server's child, on their way from its conversation to the rest of the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Raw

from mcpgateway.backends.conversation import Conversation
from mcpgateway.errors import UnknownMethod
from mcpgateway.hub.slot_environment import SlotEnvironment
from mcpgateway.hub.subscriptions.interest import TOOLS_CHANGED
from mcpgateway.interfaces import Request
from mcpgateway.protocol import legacy
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshot
    from mcpgateway.hub.limits.call_limiter import Limiter
    from mcpgateway.hub.subscriptions.upstream_modern import Listening
    from mcpgateway.hub.upstream import Upstream


class SpeakingSlot(Protocol):
    """The parts of a slot that its child's messages concern.

    :ivar dismissed: the conversation with the latest child that was stopped.
    """

    dismissed: Conversation | None
    snapshot: Snapshot | None
    limiter: Limiter | None
    listening: Listening | None

    @property
    def speaking(self) -> Conversation | None:
        """The conversation with the child that is being started, or runs."""


class ChildMessages(Record):
    """Passes on the messages of a slot's current child; those of a former child are dropped.

    :ivar _upstream: the same slot, as the hub's listeners know it.
    """

    _slot: SpeakingSlot
    _upstream: Upstream
    _environment: SlotEnvironment

    def noticed(self, backend: Conversation, method: str, message: Envelope) -> None:
        """Take a notification of a child."""
        slot = self._slot
        if backend is not slot.speaking:
            return
        if slot.snapshot is not None:
            slot.snapshot.changed(method)
        self._outdate(method)
        if slot.listening is None or not slot.listening.noticed(method, message):
            self._environment.listener.noticed(self._upstream, method, message)

    def changed(self, method: str, what: str | None) -> None:
        """Take a change that a modern child has notified on its subscription stream."""
        self._outdate(method)
        self._environment.listener.changed(self._upstream, method, what)

    def _outdate(self, method: str) -> None:
        if method == TOOLS_CHANGED and self._slot.limiter is not None:
            self._slot.limiter.outdate()

    def asked(self, backend: Conversation, method: str, message: Envelope) -> None:
        """Take a question of a child; a former child's is refused."""
        if backend is self._slot.speaking:
            self._environment.listener.asked(self._upstream, method, message)
            if self._slot.limiter is not None:  # only after the listener has found the question's call
                self._slot.limiter.asks(self._upstream)
        elif backend is not self._slot.dismissed:
            backend.reply(
                message, UnknownMethod(f"Method not found: {method} (another child is in your place)")
            )

    def progressed(self, backend: Conversation, number: int, params: Envelope, message: Envelope) -> None:
        """Take progress of a call that has been answered."""
        if backend is self._slot.speaking:
            self._environment.listener.progressed(self._upstream, number, params, message)

    def refused(self, backend: Conversation, request: Request, error: Raw) -> None:
        """Take the error with which a child has answered a call."""
        if self._environment.locks is not None:
            self._environment.locks.reported(self._upstream, legacy.error_text(error))
        self._environment.listener.refused(self._upstream, request, error)

    def failed(self, backend: Conversation, result: Raw) -> None:
        """Take the result of a tool that says that it has failed."""
        if self._environment.locks is not None:
            self._environment.locks.failed(self._upstream, result)
