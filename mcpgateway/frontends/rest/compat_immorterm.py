"""The routes of immorterm-mcp-gateway that change servers, with its bodies and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import ClientFilesFailed, InvalidParams, NotThere
from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.hints import cli
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.manage.client_files import ClientFiles
from mcpgateway.manage.install import Installer
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.manage.tools.checks import check_definition, check_name

EXPECTED = 'such as {"name": "notes", "command": "npx", "args": ["-y", "notes-mcp"]}'
RECONNECT_S = 15.0

ListTools = Callable[[ServerSpec, str], Awaitable[Sequence[str]]]
"""Has a server's tools listed for a principal."""


@frozen
class ImmortermRoutes:
    """Restarts servers, restores them to their clients or enrols them again, and installs them."""

    _dispatcher: LegacyDispatcher
    _operating: ServerOperations
    _clients: ClientFiles
    _installing: Callable[[], Installer]
    _list_tools: ListTools

    async def reconnect(self, asked: OperationRequest) -> Any:
        """Replace the children of a server; its entry stays as it is."""
        name = asked.path["name"]
        await self._operating.restart(name, RECONNECT_S)
        return {"ok": True, "server": name}

    async def disable(self, asked: OperationRequest) -> Any:
        """Restore clients' own entries of a server, or switch the server off if no client uses the gateway for it."""
        name = asked.path["name"]
        self._dispatcher.server(name)
        if self._clients.is_enrolled(name):
            await self._clients.restore(name)
        else:
            self._operating.switch(name, on=False)
        return {"ok": True, "server": name, "enabled": False}

    async def enable(self, asked: OperationRequest) -> Any:
        """Enrol clients again for a server that was restored to them, or switch it on."""
        name = asked.path["name"]
        is_known = name in self._dispatcher.servers
        if self._clients.is_restored(name):
            await self._clients.take_in(name)
            if self._clients.is_restored(name):
                raise ClientFilesFailed(
                    f"{name} is still its clients' own", f"{cli('clients plan')} says why"
                )
        elif not is_known:
            raise NotThere(f"there is no server {name}, and none was restored for its clients")
        if name in self._dispatcher.servers:
            self._operating.switch(name, on=True)
        return {"ok": True, "server": name, "enabled": True}

    async def install(self, asked: OperationRequest) -> Any:
        """Validate a server, and add it to the configuration if it works."""
        body = asked.json_object(EXPECTED)
        name = body.get("name")
        if not isinstance(name, str) or not name or not body.get("command"):
            raise InvalidParams('"name" and "command" are needed', EXPECTED)
        definition = _definition(body)
        check_name(name)
        check_definition(definition, may_hold_secrets=True)
        installing = self._installing()
        installing.check_may_run(asked.principal, definition)
        plan = installing.plans.plan(name, definition)
        done = await installing.install(plan, lambda spec: self._list_tools(spec, asked.principal))
        return {"ok": True, "server": name, "installed": True, "tools": list(done.tools)}


def _definition(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("command", "args", "env", "cwd") if body.get(key)}
