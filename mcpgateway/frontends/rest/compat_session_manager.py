"""The routes of mcp-session-manager's manager, with its bodies and answers."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.errors import CallerError, GatewayError, InvalidParams
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.manage.daemons import DaemonOperations as Book

EXPECTED = 'such as {"name": "memory"}'


@frozen
class DaemonRoutes:
    """The operations on daemons; errors are {error}, with a hint."""

    _book: Book

    async def ping(self, _: OperationRequest) -> Any:
        """Return that the gateway is alive."""
        return {"status": "ok", "message": "mcpgateway is running"}

    async def status(self, _: OperationRequest) -> Any:
        """Return the state of each daemon."""
        return {"daemons": await self._book.listed()}

    async def start(self, asked: OperationRequest) -> Any:
        """Start a daemon."""
        try:
            return await self._book.start(_name(asked))
        except CallerError:
            raise
        except GatewayError as why:
            return OperationAnswer(500, {"error": why.message, "hint": why.advice})

    async def stop(self, asked: OperationRequest) -> Any:
        """Stop a daemon."""
        return await self._book.stop(_name(asked))

    async def ensure(self, asked: OperationRequest) -> Any:
        """Start a daemon unless it runs."""
        try:
            return await self._book.ensure(_name(asked))
        except CallerError:
            raise
        except GatewayError as why:
            return OperationAnswer(500, {"running": False, "error": why.message, "hint": why.advice})

    async def start_all(self, _: OperationRequest) -> Any:
        """Start all daemons."""
        return {"daemons": await self._book.start_all()}

    async def stop_all(self, _: OperationRequest) -> Any:
        """Stop all daemons."""
        return {"daemons": await self._book.stop_all()}


def _name(asked: OperationRequest) -> str:
    found = asked.json_object(EXPECTED).get("name") if asked.body.strip() else None
    if not isinstance(found, str) or not found:
        raise InvalidParams("Missing daemon name", EXPECTED)
    return found
