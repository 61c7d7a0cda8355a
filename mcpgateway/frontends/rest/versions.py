"""Versions of servers' packages: comparison, upgrade and rollback; approval of changed tools."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.errors import InvalidParams
from mcpgateway.frontends.rest.operation import OperationRequest
from mcpgateway.manage.versions.upgrades import ServerUpgrades

TOOLS = 'such as {"tools": {"read": "<digest>"}}'
VERSION = 'such as {"version": "1.2.3"}'


@frozen
class VersionRoutes:
    """The operations on versions."""

    _upgrades: ServerUpgrades

    async def check(self, asked: OperationRequest) -> Any:
        """Compare the newest version of a server's package, or a given one, with the one in use."""
        return await self._upgrades.check(asked.path["name"], _version(asked, usual=""))

    async def upgrade(self, asked: OperationRequest) -> Any:
        """Give new sessions of a server a version that was compared."""
        return await self._upgrades.upgrade(asked.path["name"], _version(asked))

    async def rollback(self, asked: OperationRequest) -> Any:
        """Give new sessions of a server the version before its upgrade."""
        return await self._upgrades.rollback(asked.path["name"])

    async def approve(self, asked: OperationRequest) -> Any:
        """Offer tools again that are held back."""
        tools = asked.json_object(TOOLS).get("tools")
        if not isinstance(tools, dict) or not all(isinstance(each, str) for each in tools.values()):
            raise InvalidParams('"tools" holds the digest of each tool that is approved', TOOLS)
        return self._upgrades.approve(asked.path["name"], tools)


def _version(asked: OperationRequest, usual: str | None = None) -> str:
    version = asked.json_object(VERSION).get("version", usual)
    if not isinstance(version, str):
        raise InvalidParams('"version" is a text', VERSION)
    return version
