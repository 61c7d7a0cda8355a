"""Calls that have not reached a server that has ended, and that the next one gets."""

from __future__ import annotations

from collections.abc import Collection

from mcpgateway.interfaces import Request

DIALS = 4  # of one call whose server moves from node to node


def take_unsent(pending: dict[int, Request], unsent: Collection[int]) -> list[Request]:
    """Remove the calls of these numbers from the pending ones, and return them in their order.

    A call that was taken back too often stays, and so does a request of the gateway's own.
    """
    found = [pending[each] for each in sorted(unsent) if each in pending]
    taken = [each for each in found if each.holder is not None and each.attempts < DIALS]
    for each in taken:
        del pending[each.number]
        each.number, each.attempts = 0, each.attempts + 1
    return taken
