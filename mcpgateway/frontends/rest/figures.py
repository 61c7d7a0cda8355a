"""The numbers of the gateway: for S000's dashboard, in S003's format, and the savings of sharing."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from mcpgateway.frontends.rest.operation import OperationRequest, number
from mcpgateway.observe import figures
from mcpgateway.observe.savings import Savings
from mcpgateway.observe.timeline import MINUTE_S, MINUTES

HOUR = 60


@frozen
class FigureRoutes:
    """The routes with numbers."""

    _figures: figures.ServerFigures
    _savings: Savings

    async def stats(self, asked: OperationRequest) -> dict[str, Any]:
        """Return all numbers for S000's dashboard."""
        await self._figures.timeline.learn()
        return self._figures.stats()

    async def metrics(self, asked: OperationRequest) -> dict[str, Any]:
        """Return restarts of servers and token costs of tools, in the shape of S003."""
        return self._figures.metrics()

    async def series(self, asked: OperationRequest) -> dict[str, Any]:
        """Return numbers of the latest minutes."""
        minutes = max(1, min(number("minutes", asked.query.get("minutes", str(HOUR))), MINUTES))
        await self._figures.timeline.learn()
        return {"step_s": MINUTE_S, "items": self._figures.series(minutes, asked.query.get("server", ""))}

    async def savings(self, asked: OperationRequest) -> dict[str, Any]:
        """Return the savings of sharing."""
        return self._savings.shown()
