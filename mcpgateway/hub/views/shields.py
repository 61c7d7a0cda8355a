"""Which results of calls on views are shortened, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from mcpgateway.catalog.records import Item, Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.surface import Level
from mcpgateway.hub.librarian import Librarian
from mcpgateway.hub.shielding import Shielding
from mcpgateway.interfaces import Call

if TYPE_CHECKING:
    from mcpgateway.hub.views.view import View


@frozen
class Shields:
    """Puts shields before the results of calls."""

    shielding: Shielding
    librarian: Librarian

    def over(self, call: Call, view: View, server: str, tool: str, level: Level | None) -> None:
        """Shield a call on a view, before it goes to its server.

        :param level: what the call asks for; None for what its tool, its server or the gateway is set to.
        """
        spec = view.servers[server]
        known = self.librarian.known(spec, Kind.TOOL, view.told.get(server, "")) or ()
        item = next((each for each in known if each.own == tool), None)
        self.shielding.over(call, item, self.shielding.level(spec, tool, level))

    def over_own(self, call: Call, server: ServerSpec | None, item: Item | None, level: Level | None) -> None:
        """Shield a call that is no view's: a job's, once it is under way, or one of the gateway's own tools."""
        if server is None or item is None:
            self.shielding.over(call, None, level or self.shielding.usual)
        else:
            self.shielding.over(call, item, self.shielding.level(server, item.own, level))


def unshielded(call: Call, view: View, server: str, tool: str, level: Any) -> None:
    """Let results be as large as they are."""
