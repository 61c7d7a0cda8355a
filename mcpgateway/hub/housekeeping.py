"""Give memory back after a load, when nobody is being served."""

from __future__ import annotations

from collections.abc import Callable

from mcpgateway.host.memory import give_back, resident_bytes
from mcpgateway.hub.switchboard import Switchboard

EVERY_TICKS = 5
GROWTH = 1.05  # of what was left the last time: less is not worth the milliseconds


class Housekeeping:
    """Looks every few seconds whether there is something to give back."""

    def __init__(self, switchboard: Switchboard, forget: Callable[[], None]) -> None:
        self._switchboard = switchboard
        self._forget = forget
        self._least = 0

    def look_around(self) -> None:
        """Give memory back if the process has grown and nothing is under way."""
        grown = resident_bytes()
        if not self._least:
            self._least = grown
        if grown > GROWTH * self._least and not self._switchboard.calls():
            self._forget()  # what was only kept because it may come again
            give_back()
            self._least = resident_bytes()
