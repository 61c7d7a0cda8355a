"""Progress that the gateway reports for a call while its server is silent; see `mcpgateway.policy.progress`."""

from __future__ import annotations

from msgspec import Raw

from mcpgateway.errors import GatewayError
from mcpgateway.interfaces import Request
from mcpgateway.policy.progress import PATIENCE_TICKS, SILENT_TICKS, in_order, next_value
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope

PROGRESS = "notifications/progress"


def raise_above(params: Envelope, last: float) -> Envelope | None:
    """Return a server's progress with a value raised above one that was reported; None if it is above already."""
    try:
        value = jsonrpc.value(params["progress"], float)
    except (KeyError, GatewayError):
        return None
    raised = in_order(value, last)
    return None if raised == value else params | {"progress": jsonrpc.raw(raised)}


class ProgressKeepalive:
    """The gateway's progress notifications for one call.

    :param token: the client's own progress token, as JSON.
    """

    __slots__ = ("_last_value", "_own_value", "_progress", "_quiet", "_token")

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._progress: Envelope | None = None
        self._own_value: float | None = None
        self._last_value: float | None = None
        self._quiet = 0

    def tick(self, progress: Envelope | None) -> bytes | None:
        """Count one second; return the notification to send now, or None.

        :param progress: the parameters of the server's latest progress, None before its first.
        """
        if progress is not self._progress:
            self._progress, self._own_value, self._quiet = progress, None, 0
        self._quiet += 1
        if self._quiet % SILENT_TICKS or self._quiet > PATIENCE_TICKS:
            return None
        return self._notification()

    def follow(self, request: Request, message: bytes) -> bytes:
        """Return a server's progress notification with a value above those that the gateway has reported."""
        if self._last_value is None or request.progress is None:
            return message
        raised = raise_above(request.progress, self._last_value)
        if raised is None:
            return message
        request.progress, self._last_value = raised, jsonrpc.value(raised["progress"], float)
        return jsonrpc.encode(jsonrpc.notification(PROGRESS, raised))

    def _notification(self) -> bytes | None:
        params = dict(self._progress or {})
        try:
            latest = jsonrpc.value(params["progress"], float) if params else None
        except (KeyError, GatewayError):
            return None  # the server's value is not a number
        value = next_value(latest, self._own_value)
        if value is None:
            return None
        self._own_value = self._last_value = value
        params |= {"progressToken": Raw(self._token), "progress": jsonrpc.raw(value)}
        return jsonrpc.encode(jsonrpc.notification(PROGRESS, params))
