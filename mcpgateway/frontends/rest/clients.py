"""Clients' own files: which use the gateway, which there are, and enrolling them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage.client_files import ClientFiles as Files

EXPECTED = 'such as {"configPath": "/…/.mcp.json"}'


@frozen
class ClientRoutes:
    """Answers what is asked about clients' files."""

    _files: Files

    async def listed(self, _: OperationRequest) -> Any:
        """The files that use the gateway."""
        return {"clients": self._files.listed()}

    async def detect(self, _: OperationRequest) -> Any:
        """The clients that this machine has."""
        return {"detected": await self._files.detect()}

    async def register(self, asked: OperationRequest) -> Any:
        """Enrol a client's files."""
        said = asked.said(EXPECTED)
        self._files.check_may_run(asked.principal)
        return await self._files.register(said.get("tool"), said.get("configPath"))

    async def register_project(self, asked: OperationRequest) -> Any:
        """Enrol a project's file."""
        said = asked.said(EXPECTED)
        self._files.check_may_run(asked.principal)
        return await self._files.register_project(said.get("configPath"))

    async def disable(self, _: OperationRequest) -> Any:
        """Switch the gateway off softly: clients use their own servers, and it goes on running."""
        return await self._files.disable()

    async def enable(self, _: OperationRequest) -> Any:
        """Switch it on again."""
        return await self._files.enable()

    async def config(self, _: OperationRequest) -> Any:
        """Return the gateway's settings for clients' files."""
        return self._files.config()
