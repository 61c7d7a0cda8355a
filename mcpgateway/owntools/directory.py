"""Find the tool that a caller names: by the id in searches and lists, or by its server and its own name.

No server is started for that if its list is known, from an earlier run or the present one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import Deferred, succeed

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.naming import did_you_mean, read_id, shown
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.errors import CallerError
from mcpgateway.owntools.tool import Access

SUGGESTED = 3
SEPARATOR = "\0"


class ListSource(Protocol):
    """The known lists of servers (`mcpgateway.hub.catalog.listed.ServerLists`)."""

    def known(self, server: ServerSpec, kind: ListKind, handshake: str = "") -> tuple[Item, ...] | None:
        """Return a server's list, from memory or from its record; None if it is unknown.

        :param handshake: key of a client's own child; empty for a shared child.
        """

    def instructions(self, server: ServerSpec) -> str:
        """Return the recorded instructions of a server; empty where none are recorded."""


class UnknownTool(CallerError):
    """No server that the caller may use has that tool."""

    code = -32602


@define(eq=False, repr=False)
class Directory:
    """The tools of all servers that a caller may use."""

    server_lists: ListSource

    def id_of(self, item: Item, access: Access) -> str:
        """Return the id of a tool: the name that it is listed under."""
        try:
            return access.view.listing.names.name_of(item)
        except KeyError:
            return shown(item.server, item.own)  # the view does not have it yet

    def known(self, spec: ServerSpec, access: Access) -> tuple[Item, ...] | None:
        """Return the tools of a server, if they are known without a request to it; else None."""
        handshake = _handshake(spec, access)
        found = self.server_lists.known(spec, ListKind.TOOL, handshake)
        if found is None and handshake:
            found = self.server_lists.known(spec, ListKind.TOOL)
        return None if found is None else access.view.narrowed(spec, found)

    def lists(self, access: Access) -> dict[str, tuple[Item, ...]]:
        """Return the known tools of each of the caller's servers, by the server's name and the variant of its list."""
        found = {}
        for spec in self._specs(access).values():
            items = self.known(spec, access)
            if items:
                more = spec.workspace + spec.principal + _handshake(spec, access) + _limits(access)
                found[f"{spec.name}{SEPARATOR}{more}" if more else spec.name] = items
        return found

    def find(self, identifier: str, access: Access, *, is_look: bool = True) -> Deferred[Item]:
        """Return the tool of an id, in any spelling.

        :param is_look: False if the tool is about to be called.
        :raise UnknownTool: (through the Deferred) no tool has that id.
        """
        found = access.view.find(identifier)
        specs = self._specs(access)
        if isinstance(found, Item) and found.kind is ListKind.TOOL and found.server in specs:
            return succeed(found)
        pairs = [(server, tool) for server, tool in read_id(identifier) if server in specs]
        for server, tool in pairs:
            item = _named(self.known(specs[server], access) or (), tool)
            if item is not None:
                return succeed(item)
        return Deferred.fromCoroutine(self._ask(identifier, pairs, access, is_look=is_look))

    def find_own(self, server: str, tool: str, access: Access) -> Deferred[Item]:
        """Return the tool of a server's own name, for a call.

        :raise UnknownTool: (through the Deferred) the server is unknown, or has no tool of that name.
        """
        spec = self._specs(access).get(server)
        item = _named((self.known(spec, access) or ()) if spec is not None else (), tool)
        if item is not None:
            return succeed(item)
        pairs = [(server, tool)] if spec is not None else []
        return Deferred.fromCoroutine(self._ask(f"{server}__{tool}", pairs, access, is_look=False))

    async def _ask(
        self, identifier: str, pairs: Sequence[tuple[str, str]], access: Access, *, is_look: bool
    ) -> Item:
        # A server without a known list is asked now; one with a known list has no such tool.
        specs = self._specs(access)
        for server, tool in pairs:
            if self.known(specs[server], access) is None:
                item = _named(await access.list(server, ListKind.TOOL, is_look=is_look), tool)
                if item is not None:
                    return item
        raise self._unknown(identifier, access)

    def _unknown(self, identifier: str, access: Access) -> UnknownTool:
        access.view.check_off(identifier)
        server = next((name for name, _ in read_id(identifier)), "")
        specs = self._specs(access)
        if server and server not in specs:
            near = did_you_mean(server, specs, SUGGESTED)
            return _not_found(
                f"Unknown server: {server}", near, "gateway_list_servers shows the servers you may use"
            )
        known = {self.id_of(item, access): item for item in self.tools(access, server)}
        # The name may have been remembered without its server.
        own = [listed for listed, item in known.items() if item.own == identifier]
        near = own[:SUGGESTED] or did_you_mean(identifier, known, SUGGESTED)
        return _not_found(f"Tool not found: {identifier}", near, "gateway_search finds the ids of tools")

    def tools(self, access: Access, server: str = "") -> list[Item]:
        """Return the known tools of the caller's servers, or of one of them, in order."""
        return [
            item
            for spec in self._specs(access).values()
            if not server or spec.name == server
            for item in self.known(spec, access) or ()
        ]

    @staticmethod
    def _specs(access: Access) -> Mapping[str, ServerSpec]:
        hidden = access.view.exposure.hidden
        return {each.name: each for each in access.specs() if each.name not in hidden}


def _handshake(spec: ServerSpec, access: Access) -> str:
    return access.view.handshakes.get(spec.name, "")


def _limits(access: Access) -> str:
    scope = access.view.scope
    return repr(scope) if scope is not None and scope.names_tools else ""


def _named(items: Iterable[Item], own: str) -> Item | None:
    return next((each for each in items if each.own == own), None)


def _not_found(message: str, near: list[str], hint: str) -> UnknownTool:
    data: dict[str, Any] | None = {"did_you_mean": near} if near else None
    return UnknownTool(message, f"did you mean {' or '.join(near)}? " + hint if near else hint, data)
