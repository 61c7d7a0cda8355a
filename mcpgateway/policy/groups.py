"""Groups of servers that people look at as one thing: their servers, and the state of the worst of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# The worst is first. A server that a user has switched off is in none of these states: it is the best.
WORST_FIRST = (
    "failed",
    "error",
    "disabled",  # by its circuit breaker
    "not ready",
    "unreachable",
    "needs login",
    "degraded",
    "restarting",
    "starting",
    "running",
    "asleep",
    "idle",
    "stopped",
)


class ServerGroup(NamedTuple):
    """A group of servers.

    :ivar name: the name of the group.
    :ivar title: the heading above it, which several groups may have.
    :ivar status: the worst state of its servers.
    :ivar servers: the servers, as the gateway describes them.
    """

    name: str
    title: str
    status: str
    servers: tuple[Mapping[str, Any], ...]


def grouped(servers: Iterable[Mapping[str, Any]]) -> list[ServerGroup | Mapping[str, Any]]:
    """Return servers in their order, with each group in the place of its first server."""
    rows: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for each in servers:
        group = str(each.get("group") or "")
        place = (str(each.get("group_title") or ""), group) if group else (str(each.get("name")),)
        rows.setdefault(place, []).append(each)
    return [
        ServerGroup(place[1], place[0], worst_status(found), tuple(found)) if len(place) > 1 else found[0]
        for place, found in rows.items()
    ]


def worst_status(servers: Sequence[Mapping[str, Any]]) -> str:
    """Return the worst state of servers."""
    return _state(min(servers, key=_rank))


def _state(server: Mapping[str, Any]) -> str:
    return str(server.get("state") or server.get("status") or "")


def _rank(server: Mapping[str, Any]) -> int:
    if server.get("enabled") is False:
        return len(WORST_FIRST)
    status = _state(server)
    return WORST_FIRST.index(status) if status in WORST_FIRST else 0
