"""The operations on daemons for the routes of mcp-session-manager: list, start and stop them.

Its daemons are the servers whose entries have a port.  One difference: a program that holds such a port, and was not
started by the gateway, is adopted if it speaks MCP, and is never ended.  So it may run without a backend of the
gateway's, before the first request and after a stop; then its port is probed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import DeferredList, ensureDeferred, gatherResults

from mcpgateway.config.document import printable
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Daemon
from mcpgateway.errors import GatewayError, NotThere
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.hub.slot import Slot
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.policy.health import UP

IsServed = Callable[[Daemon], Awaitable[bool]]
"""A predicate, awaited: a server answers MCP at the port of a daemon."""


@frozen
class DaemonOperations:
    """Lists, starts and stops daemons."""

    dispatcher: LegacyDispatcher = field(repr=False)
    health: Health = field(repr=False)
    operating: ServerOperations = field(repr=False)
    is_served: IsServed = field(repr=False)

    async def listed(self) -> list[dict[str, Any]]:
        """Return the state of each daemon."""
        return await gatherResults(ensureDeferred(self._status(each)) for each in self._all().values())

    async def start(self, name: str) -> dict[str, Any]:
        """Start a daemon unless it runs; return its state.

        :raise NotThere: no daemon has that name.
        :raise GatewayError: it could not be started.
        """
        server = self._named(name)
        if await self._runs(server):
            self.operating.keep_up(name)
        else:
            if self._is_up(server):  # it was adopted, and has ended since its state was last read
                await self.operating.stop(name)
            await self.operating.start(name, stays=True)
        return await self._status(server)

    async def stop(self, name: str) -> dict[str, Any]:
        """Stop a daemon, and wait for its end; return its state.

        :raise NotThere: no daemon has that name.
        """
        server = self._named(name)
        await self.operating.stop(name)
        return await self._status(server)

    async def ensure(self, name: str) -> dict[str, Any]:
        """Start a daemon unless it runs; return its address.

        :raise NotThere: no daemon has that name.
        :raise GatewayError: it could not be started.
        """
        await self.start(name)
        reach = self._named(name).reach
        return {"running": True, "port": reach.port if isinstance(reach, Daemon) else 0}

    async def start_all(self) -> list[dict[str, Any]]:
        """Start all daemons that may be started; return the state of each."""
        wanted = [name for name, each in self._all().items() if self.health.refusal(each) is None]
        await DeferredList([self.operating.start(each, stays=True).addErrback(_passed) for each in wanted])
        return await self.listed()

    async def stop_all(self) -> list[dict[str, Any]]:
        """Stop all daemons; return the state of each."""
        await DeferredList([self.operating.stop(each) for each in self._all()])
        return await self.listed()

    def _all(self) -> Mapping[str, ServerSpec]:
        return {
            name: each for name, each in self.dispatcher.servers.items() if isinstance(each.reach, Daemon)
        }

    def _named(self, name: str) -> ServerSpec:
        found = self._all()
        if name not in found:
            hint = f"there are: {', '.join(found)}" if found else "no server's entry has a port"
            raise NotThere(f"Unknown daemon: {printable(name)}", hint)
        return found[name]

    async def _status(self, server: ServerSpec) -> dict[str, Any]:
        slots = self._slots(server)
        shown = self.health.shown(server, slots)
        is_up, reach = await self._runs(server), server.reach
        is_idle = not is_up and shown["status"] not in _UP
        is_others = is_idle and isinstance(reach, Daemon) and await self.is_served(reach)
        made: dict[str, Any] = {"name": server.name, "running": is_up or is_others}
        if is_up:
            pids = [pid for slot in slots for pid in slot.pids]
            made |= {"pid": pids[0]} if pids else {}  # none of an adopted daemon
            made["uptime"] = shown["uptime_seconds"]
        if isinstance(reach, Daemon):
            made["port"] = reach.port
        if shown["last_error"] and not is_others:
            made["lastError"] = shown["last_error"]
        return made

    async def _runs(self, server: ServerSpec) -> bool:
        # An adopted daemon has no child here that reports its end, so its port is probed.
        if not self._is_up(server):
            return False
        is_ours = any(slot.pids for slot in self._slots(server))
        return is_ours or not isinstance(server.reach, Daemon) or await self.is_served(server.reach)

    def _is_up(self, server: ServerSpec) -> bool:
        return self.health.shown(server, self._slots(server))["status"] in _UP

    def _slots(self, server: ServerSpec) -> list[Slot]:
        return [slot for slot in self.dispatcher.pool if slot.server.name == server.name]


_UP = frozenset(each.value for each in UP)


def _passed(why: Any) -> None:
    why.trap(GatewayError)  # its state has the error
