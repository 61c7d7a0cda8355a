"""The gateway itself: its version, the readiness of servers, a dump of its state, and its shutdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from mcpgateway import __version__
from mcpgateway.errors import Conflict, InvalidParams
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.hints import cli
from mcpgateway.manage.readiness import WAIT_MOST_S, WAIT_S, Readiness
from mcpgateway.manage.shutdown import GatewayShutdown
from mcpgateway.observe.dump import Dump

EXPECTED = 'such as {"servers": ["github"], "timeout_ms": 20000}'


@frozen
class GatewayRoutes:
    """The operations on the gateway as a whole."""

    _readiness: Readiness
    _dump: Dump
    _ending: GatewayShutdown
    _restart: Callable[[], bool]

    async def version(self, _: OperationRequest) -> Any:
        """Return the release of the gateway."""
        return {"version": __version__}

    async def preflight(self, asked: OperationRequest) -> Any:
        """Return whether servers are ready for calls, without starting any."""
        names = [each.strip() for each in asked.query.get("need", "").split(",")]
        return self._readiness.look(names)

    async def wait(self, asked: OperationRequest) -> Any:
        """Start servers, and wait until they are ready for calls."""
        body = asked.json_object(EXPECTED)
        servers, limit_ms = body.get("servers"), body.get("timeout_ms", WAIT_S * 1000)
        if not isinstance(servers, list) or not all(isinstance(each, str) for each in servers):
            raise InvalidParams('"servers" must be a list of names', EXPECTED)
        if isinstance(limit_ms, bool) or not isinstance(limit_ms, int | float) or not limit_ms >= 1:
            raise InvalidParams('"timeout_ms" must be a number of milliseconds', EXPECTED)
        return await self._readiness.wait(servers, min(limit_ms, WAIT_MOST_S * 1000) / 1000)

    async def dump(self, _: OperationRequest) -> Any:
        """Return the state of the gateway."""
        return self._dump.state()

    async def restart(self, _: OperationRequest) -> Any:
        """Restart the gateway within its process."""
        if not self._restart():
            raise Conflict("this gateway cannot restart itself", f"{cli('restart')} does it, in a terminal")
        return OperationAnswer(202, {"status": "restarting"})

    async def shutdown(self, _: OperationRequest) -> Any:
        """Shut the gateway down."""
        return {"status": self._ending.begin()}
