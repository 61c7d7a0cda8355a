"""The filters between a call on a view and its client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Raw
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpgateway.errors import BackendTimeout, GatewayError
from mcpgateway.hub.filters import SinkFilter
from mcpgateway.interfaces import TIMED_OUT, Request
from mcpgateway.protocol import peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.units import duration

if TYPE_CHECKING:
    from mcpgateway.views.members import MemberSessions


class TaskLearner(SinkFilter):
    """Remembers the server of a task that a call begins."""

    members: MemberSessions
    server: str

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response, which may name a task."""
        task = peek.text(peek.members(peek.members(reply, "result"), "task"), "taskId")
        if task is not None:
            self.members.began(task, self.server)
        self.sink.answered(request, reply)


class Rewriter(SinkFilter):
    """Rewrites the result of a request on its way to the client."""

    rewrite: Callable[[Raw], Raw]

    def answered(self, request: Request, reply: Envelope) -> None:
        """Take the server's response, and pass it on with its result rewritten."""
        if "result" in reply:
            reply = reply | {"result": self.rewrite(reply["result"])}
        self.sink.answered(request, reply)


class Limited(SinkFilter):
    """Ends a call after a fixed time, whatever progress it makes."""

    clock: IReactorTime
    _late: IDelayedCall | None = None

    def begin(self, request: Request, limit_s: float) -> None:
        """Start the timer."""
        self._late = self.clock.callLater(limit_s, self._expired, request, limit_s)

    def _expired(self, request: Request, limit_s: float) -> None:
        self._late = None
        if request.withdraw(TIMED_OUT):
            request.sink.failed(
                request,
                BackendTimeout(f"{request.session.server.name} did not answer within {duration(limit_s)}"),
            )

    def _stop(self) -> None:
        timer, self._late = self._late, None
        if timer is not None:
            timer.cancel()

    def answered(self, request: Request, reply: Envelope) -> None:
        """Pass the response on, and stop the timer."""
        self._stop()
        self.sink.answered(request, reply)

    def failed(self, request: Request, why: GatewayError) -> None:
        """Pass the error on, and stop the timer."""
        self._stop()
        self.sink.failed(request, why)
