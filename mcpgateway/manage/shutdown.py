"""Shutdown of the gateway on request: in order, and only once."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway.hub.dispatch import LegacyDispatcher

SOON_S = 0.05  # the answer to the request is sent first
BEGUN, ALREADY = "shutting_down", "already_shutting_down"


@define(eq=False, repr=False)
class GatewayShutdown:
    """Ends the gateway as a signal would: calls under way may end, and its guardian restores clients' files.

    :param stop: stops the service, and then the process.
    """

    log = Logger()

    _dispatcher: LegacyDispatcher = field(repr=False)
    _clock: IReactorTime = field(repr=False)
    _stop: Callable[[], None] = field(repr=False)
    _has_begun: bool = field(default=False, init=False)

    def begin(self) -> str:
        """Begin the shutdown soon; return its state."""
        if self._has_begun or not self._dispatcher.is_open:
            return ALREADY
        self._has_begun = True
        self.log.info("the gateway ends on request", event="service.ending")
        self._clock.callLater(SOON_S, self._stop)
        return BEGUN
