"""The programs with ports of their own, as mcp-session-manager's manager has them: which run, start, stop.

Its daemons are the servers whose entries have a port.  What it does otherwise: a program that holds such a port, and
was not started here, is used if it speaks MCP, and is never ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import DeferredList

from mcpgateway.config.document import printable
from mcpgateway.config.model import Daemon, ServerSpec
from mcpgateway.errors import GatewayError, NotThere
from mcpgateway.hub.health import Health
from mcpgateway.hub.operating import Operating
from mcpgateway.hub.switchboard import Switchboard
from mcpgateway.rules.condition import UP


@frozen
class Daemons:
    """Tells of them, starts them and stops them."""

    switchboard: Switchboard = field(repr=False)
    health: Health = field(repr=False)
    operating: Operating = field(repr=False)

    def listed(self) -> list[dict[str, Any]]:
        """How each of them is."""
        return [self._status(each) for each in self._all().values()]

    def status(self, name: str) -> dict[str, Any]:
        """How one of them is.

        :raise NotThere: there is none of that name.
        """
        return self._status(self._named(name))

    async def start(self, name: str) -> dict[str, Any]:
        """Start one that does not run; how it is then.

        :raise NotThere: there is none of that name.
        :raise GatewayError: it could not be started.
        """
        server = self._named(name)
        if not self._status(server)["running"]:
            await self.operating.start(name)
        return self._status(server)

    async def stop(self, name: str) -> dict[str, Any]:
        """Stop one, and wait until it has ended; how it is then.

        :raise NotThere: there is none of that name.
        """
        server = self._named(name)
        await self.operating.stop(name)
        return self._status(server)

    async def ensure(self, name: str) -> dict[str, Any]:
        """Have one run; where it serves.

        :raise NotThere: there is none of that name.
        :raise GatewayError: it could not be started.
        """
        await self.start(name)
        reach = self._named(name).reach
        return {"running": True, "port": reach.port if isinstance(reach, Daemon) else 0}

    async def start_all(self) -> list[dict[str, Any]]:
        """Start all that may be started; how each is then."""
        wanted = [name for name, each in self._all().items() if self.health.refusal(each) is None]
        await DeferredList([self.operating.start(each).addErrback(_passed) for each in wanted])
        return self.listed()

    async def stop_all(self) -> list[dict[str, Any]]:
        """Stop all of them; how each is then."""
        await DeferredList([self.operating.stop(each) for each in self._all()])
        return self.listed()

    def _all(self) -> Mapping[str, ServerSpec]:
        return {
            name: each for name, each in self.switchboard.servers.items() if isinstance(each.reach, Daemon)
        }

    def _named(self, name: str) -> ServerSpec:
        found = self._all()
        if name not in found:
            hint = f"there are: {', '.join(found)}" if found else "no server's entry has a port"
            raise NotThere(f"Unknown daemon: {printable(name)}", hint)
        return found[name]

    def _status(self, server: ServerSpec) -> dict[str, Any]:
        slots = [slot for slot in self.switchboard.pool if slot.server.name == server.name]
        shown = self.health.shown(server, slots)
        running = shown["status"] in _UP
        made: dict[str, Any] = {"name": server.name, "running": running}
        if running:
            pids = [slot.pid for slot in slots if slot.pid]
            made |= {"pid": pids[0]} if pids else {}  # none where it was there before
            made["uptime"] = shown["uptime_seconds"]
        if isinstance(server.reach, Daemon):
            made["port"] = server.reach.port
        if shown["last_error"]:
            made["lastError"] = shown["last_error"]
        return made


_UP = frozenset(each.value for each in UP)


def _passed(why: Any) -> None:
    why.trap(GatewayError)  # its status says it
