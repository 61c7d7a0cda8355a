"""Commands that ask a route and print a table, as rows of data: the route, the columns, the sentence for no rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from mcpgateway.cli.client import LIMIT_S, GatewayClient
from mcpgateway.cli.console import Part, answer, say, spinner, table
from mcpgateway.cli.context import Globals

Cell = Callable[[Mapping[str, Any]], Part]


class TableQuery(NamedTuple):
    """One question to the gateway, and how a person reads its answer.

    :ivar route: the path; ``{name}`` stands for an argument.
    :ivar columns: the cell of each column, by its title.
    :ivar key: the member of the answer that holds the rows; empty where the answer is the rows.
    :ivar none: the sentence that stands for no rows.
    :ivar waits: what a person is shown while the gateway works; empty for nothing.
    """

    route: str
    columns: Mapping[str, Cell]
    key: str = ""
    none: str = ""
    method: str = "GET"
    limit_s: float = LIMIT_S
    waits: str = ""

    def ask(
        self,
        globals_: Globals,
        params: Mapping[str, object] | None = None,
        body: object = None,
        **names: str,
    ) -> Any:
        """Ask the gateway; its answer, in which `rows` finds the rows.

        :param params: of the URL's query; empty ones are left out.
        :param names: the arguments that stand in the route.
        :raise Trouble: no gateway answers, or it refuses.
        """
        path = self.route.format_map({name: quote(value, safe="") for name, value in names.items()})
        said = {name: str(value) for name, value in (params or {}).items() if value}
        client = GatewayClient(globals_)
        with spinner(self.waits) if self.waits else nullcontext():
            found = client.told(
                path + (f"?{urlencode(said)}" if said else ""),
                method=self.method,
                body=body,
                limit_s=self.limit_s,
            )
        if not isinstance(self._held(found), list):
            client.unreachable("what answers there is no gateway")
        return found

    def rows(self, found: Any) -> list[dict[str, Any]]:
        """The rows of an answer."""
        return [each for each in self._held(found) if isinstance(each, dict)]

    def tell(self, found: Any) -> None:
        """Print an answer for a person."""
        rows = self.rows(found)
        if rows:
            table(list(self.columns), [[cell(each) for cell in self.columns.values()] for each in rows])
        else:
            say(self.none)

    def run(self, globals_: Globals, params: Mapping[str, object] | None = None, **names: str) -> Any:
        """Ask, and print the answer as JSON or as a table; the answer."""
        found = self.ask(globals_, params, **names)
        answer(globals_, found, lambda: self.tell(found))
        return found

    def _held(self, found: Any) -> Any:
        if not self.key:
            return found
        return found.get(self.key) if isinstance(found, dict) else None


def text(key: str, absent: str = "") -> Cell:
    """A cell that shows a member as it is.

    :param absent: shown where there is none, or an empty one.
    """
    return lambda row: str(row.get(key) or absent)
