"""The overview, diagnosis of servers, the flight recorder, and the activity log."""

from __future__ import annotations

from typing import Any

from mcpgateway.errors import NotThere, UnknownServer
from mcpgateway.frontends.rest.operation import OperationRequest, number
from mcpgateway.observe.activity import SHOWN, ActivityLog
from mcpgateway.observe.overview import Overview
from mcpgateway.observe.recorder import Recording
from mcpgateway.observe.why import Diagnoser

MEMBERS = ("id", "server", "tool", "outcome", "principal", "kind")


class TracingRoutes:
    """The operations for diagnosis."""

    def __init__(
        self, why: Diagnoser, overview: Overview, recording: Recording, activity: ActivityLog | None
    ) -> None:
        self._activity = activity
        self._overview = overview
        self._why = why
        self._recording = recording

    async def overview(self, asked: OperationRequest) -> Any:
        """Return whether all is well, what needs the user, and the numbers of the gateway."""
        return self._overview.tell(asked.principal)

    async def why(self, asked: OperationRequest) -> Any:
        """Return the diagnosis of a server."""
        return self._why.tell(asked.path["name"])

    async def record(self, asked: OperationRequest) -> Any:
        """Return the recorded messages of a server."""
        name, limit = asked.path["name"], asked.query.get("limit")
        lines = await self._recording.export(name, None if limit is None else number("limit", limit))
        if not lines and not self._why.is_known(name):
            raise UnknownServer(f"Unknown server: {name}")
        return {"server": name, "lines": lines}

    async def activity(self, asked: OperationRequest) -> Any:
        """Return the latest lines of the activity log."""
        if self._activity is None:
            raise NotThere("nothing is written down", "gateway.trace.activity switches it on")
        query = dict(asked.query)
        most = number("limit", query.pop("limit", str(SHOWN)))
        wanted = {name: query[name] for name in MEMBERS if query.get(name)}
        return {"records": self._activity.find(most, **wanted)}
