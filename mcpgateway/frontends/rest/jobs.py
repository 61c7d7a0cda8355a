"""Jobs: calls in the background, which ``gateway_invoke_async`` has begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from mcpgateway.errors import NotThere
from mcpgateway.frontends.rest.operation import OperationRequest, number
from mcpgateway.owntools.job_records import UnknownJob
from mcpgateway.owntools.jobs import KEPT, Jobs

SHOWN = 50


@frozen
class JobRoutes:
    """The operations on jobs.

    :ivar jobs: returns the jobs, which are built on first use.
    """

    jobs: Callable[[], Jobs]

    async def listed(self, asked: OperationRequest) -> Any:
        """Return the caller's latest jobs, the newest first."""
        limit = max(1, min(number("limit", asked.query.get("limit", str(SHOWN))), KEPT))
        return {"items": [each.row() for each in self.jobs().latest(asked.principal, limit)]}

    async def cancel(self, asked: OperationRequest) -> Any:
        """Cancel a job; an ended one stays as it is."""
        try:
            return self.jobs().cancel(asked.path["id"], asked.principal).row()
        except UnknownJob as why:
            raise NotThere(why.message, why.hint) from None
