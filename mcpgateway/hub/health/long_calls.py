"""The calls that have been under way for at least `LONG_S`: the gateway does not end them, but its operator may."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from twisted.logger import Logger

from mcpgateway.hub.health.history import Histories
from mcpgateway.hub.sessions import handle
from mcpgateway.interfaces import Request
from mcpgateway.protocol import modern

if TYPE_CHECKING:
    from mcpgateway.hub.upstream import Upstream

LONG_S = 300.0
LOOK_TICKS = 10
SHOWN = 20  # of one server, the oldest first
UNENDING = frozenset((modern.LISTEN,))  # requests that are answered only when the stream ends


class LongCall(Struct, frozen=True):
    """A call that has been under way for long.

    :ivar what: the name of the tool, or the method where it is no call of a tool.
    :ivar seconds: the time for which it has been under way.
    """

    request: Request
    server: str
    what: str
    seconds: float

    def shown(self) -> dict[str, Any]:
        """Return its members in the REST API: tool, age and session handle, never its arguments."""
        session = self.request.session
        outer = session.outer or session if session is not None else None
        return {
            "what": self.what,
            "seconds": round(self.seconds),
            "session": handle(outer.id) if outer is not None and outer.id else "",
        }


def long_calls(slots: Iterable[Upstream]) -> list[LongCall]:
    """Return the long calls of these slots, the oldest first."""
    found = [made for slot in slots for call in slot.calls() if (made := _long(slot, call)) is not None]
    return sorted(found, key=lambda each: -each.seconds)


def _long(slot: Upstream, request: Request) -> LongCall | None:
    row = request.meter
    if row is None or request.method in UNENDING:
        return None
    seconds = row.age(request)
    return LongCall(request, slot.server.name, row.tool or row.method, seconds) if seconds >= LONG_S else None


class LongCalls:
    """Reports each long call once, in the log and in the history of its server."""

    log = Logger()

    def __init__(self, histories: Histories) -> None:
        self._histories = histories
        self._told: set[Request] = set()

    def look(self, slots: Collection[Upstream]) -> None:
        """Report the calls that are new."""
        found = long_calls(slots)
        for each in found:
            if each.request not in self._told:
                self._tell(each)
        self._told = {each.request for each in found}

    def _tell(self, found: LongCall) -> None:
        minutes = round(found.seconds / 60)
        self._histories.of(found.server).add(
            "call.long", f"a call of {found.what} has been under way for {minutes} min"
        )
        self.log.warn(
            "{server}: a call of {what} has been under way for {minutes} min",
            event="call.long",
            server=found.server,
            what=found.what,
            minutes=minutes,
        )
