"""Counting of tool calls, shortening of their results, and merging of identical calls.

Identical calls that change nothing are merged (`mcpgateway.hub.coalescing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.discovery.records import Item
from mcpgateway.hub.results.budgets import BudgetFilter, Budgets
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
    """Counts calls, shortens their results, and merges identical ones; each as far as it is configured.

    :ivar kept: the originals of what was shortened; None where none are kept.
    :ivar budgets: the tokens that clients have been given at profiles.
    :param own: the numbers of the gateway's own tools.
    :param seconds: a clock.
    """

    def __init__(
        self,
        usage: Usage | None,
        shielding: Shielding | None,
        flights: SingleFlight | None,
        own: Meter,
        seconds: Callable[[], float],
    ) -> None:
        self.own = own
        self.budgets = Budgets(seconds)
        self.usage = usage
        self.shielding = shielding
        self.flights = flights
        self.kept = KeptResults(shielding.vault) if shielding is not None else None
        # Annotations are slow to read, and needed with every call.  The entry of a newer list replaces the former one,
        # which would keep its whole list in memory.
        self._flying: dict[tuple[str, str], tuple[Item, bool]] = {}

    def counts(self) -> Mapping[str, int]:
        """Return the number of calls of each tool."""
        return self.usage.counts() if self.usage is not None else {}

    def called(self, server: str, tool: str) -> None:
        """Count a call of a server's tool, by its own name."""
        if self.usage is not None:
            self.usage.called(server, tool)

    def listed(self, view: View) -> None:
        """Count the tokens that a view's list of tools saves, when a client is given it."""
        if self.usage is not None:
            for saving, server, tokens in view.spared():
                self.usage.saved(saving, server, tokens)

    def over(
        self,
        request: Request,
        principal: str,
        view: View,
        target: tuple[str, str],
        level: Level | None = None,
        item: Item | None = None,
    ) -> None:
        """Count a call of a server's tool, and have its result shortened.

        :param principal: the caller's principal.
        :param target: the server, and the tool's own name.
        :param item: the tool as it is listed, where that is known.
        :param level: the level of shortening; None for that of the tool, the server or the gateway.
        """
        server, tool = target
        self.called(server, tool)
        most = self._budgeted(request, view) if view.spec.budget else 0
        if self.shielding is not None:
            chosen = self.shielding.level(view.servers[server], tool, level)
            self.shielding.over(request, item or view.tool(server, tool), chosen, principal, most=most)

    def _budgeted(self, request: Request, view: View) -> int:
        # Under the shield, whose shorter result counts.
        account = self.budgets.account(view.spec.name, view.spec.budget, request)
        request.sink = BudgetFilter(request.sink, account)
        return account.most_bytes

    def shield(
        self, spec: ServerSpec, request: Request, item: Item | None, level: Level | None, principal: str
    ) -> None:
        """Have the result of a call of the gateway's shortened.

        :param spec: the server whose settings count.
        :param principal: the principal that gets the result.
        """
        if self.shielding is not None:
            tool = item.own if item is not None else ""
            chosen = self.shielding.level(spec, tool, level)
            self.shielding.over(request, item, chosen, principal, is_own=item is None)

    def flies(self, request: Request, item: Item | None, submit: Callable[[Request], None]) -> bool:
        """Merge a call with identical ones; return False where it has to be submitted by itself.

        :raise GatewayError: the call is refused.
        """
        if self.flights is None or item is None or not self.may_fly(item):
            return False
        return self.flights.join(request, item, submit)

    def may_fly(self, item: Item) -> bool:
        """True if a tool is read-only and idempotent by its annotations."""
        name = (item.server, item.own)
        known = self._flying.get(name)
        if known is None or known[0] is not item:
            if len(self._flying) >= FLYING_LIMIT:
                self._flying.clear()
            known = self._flying[name] = (item, item.is_read_only and item.is_idempotent)
        return known[1]
