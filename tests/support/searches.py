"""Searches that are never left, for tests that want what they find."""

from __future__ import annotations

from mcpgateway.system.process.socket_owners import Search


def finished(searching: Search) -> dict[int, int]:
    """Run a search to its end; return its result."""
    while True:
        try:
            next(searching)
        except StopIteration as end:
            found: dict[int, int] = end.value
            return found
