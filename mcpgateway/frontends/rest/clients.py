"""Clients' own files: the files that use the gateway, the detected ones, and enrolling them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from attrs import frozen

from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage.client_files import ClientFiles as Files

ONE = 'such as {"tool": "cursor", "configPath": "/…/mcp.json", "mode": "http"}'
EXPECTED = 'such as {"configPath": "/…/.mcp.json"}'


@frozen
class ClientRoutes:
    """The operations on clients' files.

    :ivar directories: returns the directories in which clients work.
    """

    _files: Files
    _directories: Callable[[], Collection[str]]

    async def listed(self, _: OperationRequest) -> Any:
        """Return the files that use the gateway."""
        return {"clients": self._files.listed()}

    async def detect(self, _: OperationRequest) -> Any:
        """Return the clients that are installed on this machine."""
        return {"detected": await self._files.detect()}

    async def in_projects(self, _: OperationRequest) -> Any:
        """Return the clients' files of the projects in which clients work."""
        return await self._files.in_projects(self._directories())

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

    async def plan(self, asked: OperationRequest) -> Any:
        """Return the change that enrolling a client's file would make."""
        body = asked.json_object(ONE)
        return await self._files.plan(body.get("tool"), body.get("configPath"), body.get("mode"))

    async def apply(self, asked: OperationRequest) -> Any:
        """Enrol a client's file."""
        body = asked.json_object(ONE)
        self._files.check_may_run(asked.principal)
        return await self._files.apply(body.get("tool"), body.get("configPath"), body.get("mode"))

    async def undo(self, asked: OperationRequest) -> Any:
        """Restore a client's file."""
        body = asked.json_object(ONE)
        version = body.get("version")
        if version is not None:
            self._files.check_may_run(asked.principal)  # the version may name other programs
        return await self._files.undo(body.get("tool"), body.get("configPath"), version)

    async def restoration(self, asked: OperationRequest) -> Any:
        """Return the change that restoring a client's file would make."""
        body = asked.json_object(ONE)
        return await self._files.restoration(body.get("tool"), body.get("configPath"), body.get("version"))

    async def history(self, asked: OperationRequest) -> Any:
        """Return the changes of clients' files."""
        return await self._files.history(asked.query.get("path", ""))

    async def change(self, asked: OperationRequest) -> Any:
        """Return one change of a client's file."""
        return await self._files.change(asked.path["version"])

    async def disable(self, _: OperationRequest) -> Any:
        """Switch the gateway off softly: clients' own servers are restored, and the gateway goes on running."""
        return await self._files.disable()

    async def enable(self, _: OperationRequest) -> Any:
        """Switch the gateway on again."""
        return await self._files.enable()

    async def config(self, _: OperationRequest) -> Any:
        """Return the gateway's settings for clients' files."""
        return self._files.config()
