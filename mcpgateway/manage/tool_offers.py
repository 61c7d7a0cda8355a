"""The tools that servers offer: their numbers, and the switches that take a tool out of the offer (``tools_off``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mcpgateway.config.edit.change import Patch
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.naming import read_id, shown
from mcpgateway.discovery.records import Item
from mcpgateway.discovery.tokens import cost_of
from mcpgateway.errors import Conflict, UnknownServer
from mcpgateway.hints import cli
from mcpgateway.hub.meters import Meters
from mcpgateway.policy.permissions import is_off

if TYPE_CHECKING:
    from mcpgateway.manage.entries import Entries

OFF, PINNED = "tools_off", "pinned"


@frozen(eq=False, repr=False)
class ToolOffers:
    """Shows what is known of tools, and switches them.

    :ivar servers: returns the servers, by name.
    :ivar tools: returns the known tools of a server; None where it was never asked.
    :ivar meters: counters of calls.
    :ivar entries: makes the editor of servers' entries.
    """

    servers: Callable[[], Mapping[str, ServerSpec]]
    tools: Callable[[ServerSpec], Sequence[Item] | None]
    meters: Meters
    entries: Callable[[], Entries]

    def described(self, rows: Iterable[dict[str, Any]], *, counts: bool) -> list[dict[str, Any]]:
        """Return the rows of tools with their effect, annotations, tokens and numbers.

        :param counts: False for callers that learn nothing of the calls of others.
        """
        known = {(each.server, each.own): each for each in self._known()}
        rows_of = {(row.server, row.tool): row for row in self.meters.rows if row.tool} if counts else {}
        found = []
        for row in rows:
            at, shows = (row["server"], row["tool"]), {"offered": True, **row}
            if (item := known.get(at)) is not None:
                shows |= {
                    "pinned": item.own in self.servers()[item.server].pinned,
                    "tier": item.tier,
                    "annotations": item.raw.get("annotations"),
                    "tokens": cost_of([item]).total,
                }
            if counts:
                meter = rows_of.get(at)
                shows |= {"calls": meter.requests if meter else 0, "errors": meter.errors if meter else 0}
            found.append(shows)
        return found

    def rows(self, server: str = "") -> Iterator[dict[str, Any]]:
        """Iterate over the known tools, of all servers or of one, those that are off included."""
        for item in self._known():
            if server in ("", item.server):
                yield {
                    "name": shown(item.server, item.own),
                    "tool": item.own,
                    "description": item.description,
                    "server": item.server,
                    "input_schema": item.input_schema,
                    "offered": not is_off(self.servers()[item.server].tools_off, item.own),
                }

    def find(self, identifier: str) -> tuple[str, str] | None:
        """Return the server and the own name of a tool; None if no known list has it."""
        for server, tool in read_id(identifier):
            spec = self.servers().get(server)
            if spec is not None and any(each.own == tool for each in self.tools(spec) or ()):
                return server, tool
        # A name that was shortened has digits in the place of its tool's own.
        listed = (each for each in self.rows("") if each["name"] == identifier)
        return next(((each["server"], each["tool"]) for each in listed), None)

    def switch(self, wanted: Iterable[tuple[str, str]], *, offered: bool) -> dict[str, list[str]]:
        """Offer tools, or take them out of the offer; return the new ``tools_off`` of each server.

        :param wanted: the server and the own name of each tool.
        :raise GatewayError: a server cannot be changed; those before it are.
        """

        def turned(server: str, tool: str, patterns: list[str]) -> None:
            if offered:
                _take_out(server, tool, patterns)
            elif not is_off(patterns, tool):
                patterns.append(tool)

        return self._edit(wanted, OFF, lambda spec: spec.tools_off, turned)

    def pin(self, wanted: Iterable[tuple[str, str]], *, pinned: bool) -> dict[str, list[str]]:
        """List tools before others, or no longer; return the new ``pinned`` of each server.

        :param wanted: the server and the own name of each tool.
        :raise GatewayError: a server cannot be changed; those before it are.
        """

        def turned(_: str, tool: str, names: list[str]) -> None:
            if pinned and tool not in names:
                names.append(tool)
            elif not pinned:
                names[:] = [each for each in names if each != tool]

        return self._edit(wanted, PINNED, lambda spec: spec.pinned, turned)

    def _edit(
        self,
        wanted: Iterable[tuple[str, str]],
        key: str,
        held: Callable[[ServerSpec], Sequence[str]],
        turned: Callable[[str, str, list[str]], None],
    ) -> dict[str, list[str]]:
        """Change a list of each server for some of its tools; return the new lists.

        :param turned: changes the list of a server, which it is given with the server and the tool.
        """
        made: dict[str, list[str]] = {}
        for server, tool in wanted:
            spec = self.servers().get(server)
            if spec is None:
                raise UnknownServer(f"Unknown server: {server}")
            turned(server, tool, made.setdefault(server, list(held(spec))))
        for server, new in made.items():
            if new != list(held(self.servers()[server])):
                self.entries().patch(server, Patch(values={(key,): new}), EditCondition())
        return made

    def _known(self) -> Iterator[Item]:
        for spec in self.servers().values():
            if spec.enabled:
                yield from self.tools(spec) or ()


def _take_out(server: str, tool: str, patterns: list[str]) -> None:
    patterns[:] = [each for each in patterns if each != tool]
    wide = [each for each in patterns if is_off((each,), tool)]
    if wide:
        raise Conflict(
            f"{wide[0]} in tools_off of {server} covers {tool} and may cover others",
            f"{cli('servers set {} tools_off=[...]', server)} names the tools themselves",
        )
