"""How it came about: why a server is as it is, and what was said."""

from __future__ import annotations

from typing import Any

from mcpgateway.doors.http.rest.asking import Asked
from mcpgateway.hub.why import Why


class Tracing:
    """Answers about what has happened."""

    def __init__(self, why: Why) -> None:
        self._why = why

    async def why(self, asked: Asked) -> Any:
        """Why a server is as it is."""
        return self._why.tell(asked.path["name"])
