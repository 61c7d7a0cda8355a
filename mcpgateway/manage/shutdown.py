"""The end of the gateway, when somebody asks for it: in order, and only once."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mcpgateway.hub.dispatch import Switchboard

SOON_S = 0.05  # the answer to whoever asks leaves first
BEGUN, ALREADY = "shutting_down", "already_shutting_down"


@define(eq=False)
class Ending:
    """Ends the gateway as a signal would: calls under way may end, and its guardian gives clients' files back.

    :param stop: has the service stopped, and the process end then.
    """

    log = Logger()

    _switchboard: Switchboard = field(repr=False)
    _clock: IReactorTime = field(repr=False)
    _stop: Callable[[], None] = field(repr=False)
    _has_begun: bool = field(default=False, init=False)

    def begin(self) -> str:
        """Have it end soon; whether that was news."""
        if self._has_begun or not self._switchboard.is_open:
            return ALREADY
        self._has_begun = True
        self.log.info("the gateway ends, because somebody has asked for it", event="service.ending")
        self._clock.callLater(SOON_S, self._stop)
        return BEGUN
