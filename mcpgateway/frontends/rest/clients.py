"""Clients' own files: the files that use the gateway, the detected ones, and enrolling them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage.client_files import ClientFiles as Files

EXPECTED = 'such as {"configPath": "/…/.mcp.json"}'


@frozen
class ClientRoutes:
    """The operations on clients' files."""

    _files: Files

    async def listed(self, _: OperationRequest) -> Any:
        """Return the files that use the gateway."""
        return {"clients": self._files.listed()}

    async def detect(self, _: OperationRequest) -> Any:
        """Return the clients that are installed on this machine."""
        return {"detected": await self._files.detect()}

    async def register(self, asked: OperationRequest) -> Any:
        """Enrol a client's files."""
        body = asked.json_object(EXPECTED)
        self._files.check_may_run(asked.principal)
        return await self._files.register(body.get("tool"), body.get("configPath"))

    async def register_project(self, asked: OperationRequest) -> Any:
        """Enrol a project's file."""
        body = asked.json_object(EXPECTED)
        self._files.check_may_run(asked.principal)
        return await self._files.register_project(body.get("configPath"))

    async def disable(self, _: OperationRequest) -> Any:
        """Switch the gateway off softly: clients' own servers are restored, and the gateway goes on running."""
        return await self._files.disable()

    async def enable(self, _: OperationRequest) -> Any:
        """Switch the gateway on again."""
        return await self._files.enable()

    async def config(self, _: OperationRequest) -> Any:
        """Return the gateway's settings for clients' files."""
        return self._files.config()
