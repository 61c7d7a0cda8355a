"""What becomes of a call of a tool beside its answer: it is counted, and what is too much for a model is shortened.

Identical calls that change nothing fly together (`mcpgateway.hub.coalescing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.discovery.records import Item
from mcpgateway.interfaces import Request
from mcpgateway.views.kept_results import KeptResults

if TYPE_CHECKING:
    from mcpgateway.hub.coalescing import SingleFlight
    from mcpgateway.hub.meters import Meter
    from mcpgateway.hub.results.shortening import Shielding
    from mcpgateway.hub.usage import Usage
    from mcpgateway.views.view import View

FLYING_LIMIT = 10_000  # tools whose annotations are remembered


class Outcomes:
    """Counts calls, shortens answers, lets identical calls fly together; each where there is something that does it.

    :ivar kept: the originals of what was shortened; None where none are kept.
    :param own: what is counted of the gateway's own tools.
    """

    def __init__(
        self, usage: Usage | None, shielding: Shielding | None, flights: SingleFlight | None, own: Meter
    ) -> None:
        self.own = own
        self.usage = usage
        self.shielding = shielding
        self.flights = flights
        self.kept = KeptResults(shielding.vault) if shielding is not None else None
        # Annotations are slow to read, and read with every call.  What a newer list says takes the place of the former,
        # or each list would be kept with its entries.
        self._flying: dict[tuple[str, str], tuple[Item, bool]] = {}

    def counts(self) -> Mapping[str, int]:
        """How often each tool was called."""
        return self.usage.counts() if self.usage is not None else {}

    def called(self, server: str, tool: str) -> None:
        """A server's tool is called, by its own name."""
        if self.usage is not None:
            self.usage.called(server, tool)

    def listed(self, view: View) -> None:
        """A client is given a view's list of tools."""
        if self.usage is not None:
            for saving, server, tokens in view.spared():
                self.usage.saved(saving, server, tokens)

    def over(
        self,
        call: Request,
        principal: str,
        view: View,
        target: tuple[str, str],
        level: Level | None = None,
        item: Item | None = None,
    ) -> None:
        """A call of a server's tool is on its way.

        :param principal: who calls.
        :param target: the server, and the tool's own name.
        :param item: the tool as it is listed, where that is known.
        :param level: how much of its answer is shown; None for what the tool, the server or the gateway is set to.
        """
        server, tool = target
        self.called(server, tool)
        if self.shielding is not None:
            chosen = self.shielding.level(view.servers[server], tool, level)
            self.shielding.over(call, item or view.tool(server, tool), chosen, principal)

    def shield(
        self, spec: ServerSpec, call: Request, item: Item | None, level: Level | None, principal: str
    ) -> None:
        """Have the answer of a call of the gateway's own shortened.

        :param spec: the server whose settings count.
        :param principal: who is given the answer.
        """
        if self.shielding is not None:
            tool = item.own if item is not None else ""
            chosen = self.shielding.level(spec, tool, level)
            self.shielding.over(call, item, chosen, principal, is_own=item is None)

    def flies(self, call: Request, item: Item | None, submit: Callable[[Request], None]) -> bool:
        """Whether a call flies together with its like; false where it has to be submitted by itself.

        :raise GatewayError: it goes nowhere.
        """
        if self.flights is None or item is None or not self.may_fly(item):
            return False
        return self.flights.join(call, item, submit)

    def may_fly(self, item: Item) -> bool:
        """Whether a tool changes nothing, nor does a second call of it, as its server says."""
        name = (item.server, item.own)
        known = self._flying.get(name)
        if known is None or known[0] is not item:
            if len(self._flying) >= FLYING_LIMIT:
                self._flying.clear()
            known = self._flying[name] = (item, item.is_read_only and item.is_idempotent)
        return known[1]
