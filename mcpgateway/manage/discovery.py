"""Read the lists of every server, so that its tools can be found while no server runs.

The catalog records lists as they pass by (`mcpgateway.hub.catalog.recorded`); this module only requests them.  A server
that was not running before is stopped again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.logger import Logger

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.manage.internal_client import InternalClient, RefusedRequest
from mcpgateway.protocol.versions import Era
from mcpgateway.units import duration

AT_ONCE = 4  # servers that are started at the same time
LIMIT_S = 60.0  # for one server; most of it is for a package that has to be downloaded first
LISTS = (
    ("tools", "tools/list", "tools"),
    ("prompts", "prompts/list", "prompts"),
    ("resources", "resources/list", "resources"),
    ("resources", "resources/templates/list", "resourceTemplates"),
)
"""Capabilities of a server, and the lists that belong to each."""

WAITS, ASKED, DONE, FAILED = "waiting", "asked", "done", "failed"


@define(eq=False, repr=False)
class DiscoveredServer:
    """The outcome for one server.

    :ivar state: `WAITS`, `ASKED`, `DONE` or `FAILED`.
    :ivar tools: number of its tools.
    :ivar entries: number of its prompts, resources and resource templates.
    :ivar error: the reason of a failure.
    :ivar note: a remark on its lists.
    """

    server: str
    state: str = WAITS
    tools: int = 0
    entries: int = 0
    took_s: float = 0.0
    error: str = ""
    note: str = ""

    def shown(self) -> dict[str, Any]:
        """Return the outcome as JSON."""
        made = {"name": self.server, "state": self.state, "tools": self.tools, "entries": self.entries}
        remarks = {name: words for name, words in (("error", self.error), ("note", self.note)) if words}
        return {**made, "took_s": round(self.took_s, 3), **remarks}


@define(eq=False, repr=False)
class Discovery:
    """The discovery under way, or the latest.

    :ivar found: the outcome for each server, in their order.
    """

    log = Logger()

    _dispatcher: LegacyDispatcher
    _clock: Any = field(repr=False)
    found: list[DiscoveredServer] = field(factory=list)
    _is_running: bool = False

    @property
    def is_running(self) -> bool:
        """True while servers are being asked."""
        return self._is_running

    def shown(self) -> dict[str, Any]:
        """Return the progress, for programs."""
        return {"running": self.is_running, "servers": [each.shown() for each in self.found]}

    def begin(
        self, servers: Sequence[ServerSpec], limit_s: float = LIMIT_S
    ) -> Deferred[list[DiscoveredServer]]:
        """Read the lists of these servers, a few at a time; fires with the outcome for each, and never fails.

        :param limit_s: for one server.
        """
        self._is_running = True
        self.found = [DiscoveredServer(each.name) for each in servers]
        waiting = list(zip(servers, self.found, strict=True))
        turns = [ensureDeferred(self._turn(waiting, limit_s)) for _ in range(AT_ONCE)]
        return DeferredList(turns, consumeErrors=True).addCallback(self._done)

    def _done(self, _: object) -> list[DiscoveredServer]:
        self._is_running = False
        return self.found

    async def _turn(self, waiting: list[tuple[ServerSpec, DiscoveredServer]], limit_s: float) -> None:
        while waiting:
            server, found = waiting.pop(0)
            began = self._clock.seconds()
            found.state = ASKED
            asked = ensureDeferred(self._ask(server, found))
            try:
                await asked.addTimeout(limit_s, self._clock)
                found.state, found.note = DONE, self._dispatcher.list_limit.describe(server.name)
            except (defer.TimeoutError, defer.CancelledError):
                found.state, found.error = FAILED, f"it did not answer within {duration(limit_s)}"
            except GatewayError as why:
                found.state, found.error = FAILED, why.message
            except Exception:  # noqa: BLE001 - one server must not keep the others from being asked
                self.log.failure("a server could not be discovered", event="discovery.broken")
                found.state, found.error = FAILED, "something went wrong in the gateway; its log says what"
            found.took_s = self._clock.seconds() - began

    async def _ask(self, server: ServerSpec, found: DiscoveredServer) -> None:
        if not server.enabled:
            raise GatewayError("it is switched off")
        was_up = any(self._dispatcher.pool.is_running(server, era) for era in Era)
        visit = await InternalClient.begin(self._dispatcher, server, OURSELVES)
        slot = slot_of(visit.session)
        try:
            if slot is not None:
                await slot.greet()  # recorded lists are to be renewed
            for capability, method, member in LISTS:
                if visit.offers(capability):
                    await self._count(visit, method, member, found)
        finally:
            visit.end("all its lists were asked for")
            if slot is not None and not was_up and not _stays_up(slot):
                # the next request starts it again
                slot.close().addErrback(lambda why: why.trap(GatewayError))

    async def _count(self, visit: InternalClient, method: str, member: str, found: DiscoveredServer) -> None:
        try:
            number = len(await visit.list(method, member))
        except RefusedRequest:
            if member == "tools":
                raise
            return  # many servers declare resources, and have no templates
        if member == "tools":
            found.tools = number
        else:
            found.entries += number


OURSELVES = "local"
"""The principal of these sessions: the gateway's own user."""


def _stays_up(slot: Slot) -> bool:
    return (
        bool(slot.is_used or slot.load or slot.is_over)
        or slot.server.lazy.prewarm
        or not slot.server.lazy.enabled
    )
