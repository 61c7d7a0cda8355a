"""The clients that need no session: those whose requests describe them (MCP 2026-07-28), as they were seen last.

`mcpgateway.hub.modern_dispatch.ModernDispatcher` counts their requests.  What a client says of itself is kept as it was
sent, within `mcpgateway.protocol.modern.INFO_LIMIT` bytes, until a reader comes.
"""

from __future__ import annotations

from msgspec import Struct

KEPT = 200
ClientKey = tuple[bytes, str, str, str, int | None]
"""The first members of a `RecentClient`."""


class RecentClient(Struct):
    """A client at one endpoint; the one that has been silent for longest makes place for one too many.

    :ivar info: its own name and version, as JSON; empty if unknown.
    :ivar began: the time of its first request, in ticks of `mcpgateway.hub.sessions.Sessions.now`.
    :ivar seen: the time of its latest request.
    :ivar calls: the calls of tools among its requests.
    """

    info: bytes
    server: str
    workspace: str
    principal: str
    pid: int | None
    began: int
    seen: int
    requests: int = 0
    calls: int = 0
