"""Errors of shared servers about resources in use, and the move of a server where sharing is their cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Raw
from twisted.logger import Logger

from mcpgateway.errors import GatewayError
from mcpgateway.policy.lock_errors import TEXT_LIMIT, reason_to_move, reported_lock
from mcpgateway.policy.sharing import may_move
from mcpgateway.protocol import jsonrpc

if TYPE_CHECKING:
    from mcpgateway.hub.upstream import Upstream

LOGGED_LIMIT = 1000


class Locks:
    """The errors by which servers report that a resource is in use already.

    :param move: gives each new session of a slot's server a child of its own, for a reason.
    :param others: returns the number of other running children of a slot's server.
    """

    log = Logger()

    def __init__(self, move: Callable[[Upstream, str], None], others: Callable[[Upstream], int]) -> None:
        self._move = move
        self._others = others
        self._logged: dict[tuple[str, str], None] = {}

    def failed(self, slot: Upstream, result: Raw) -> None:
        """Take the result of a tool that says that it has failed."""
        # Long results are data, and a child with a single session cannot be moved.
        if memoryview(result).nbytes <= TEXT_LIMIT and len(slot.sessions) > 1:
            self.reported(slot, _failure(result))

    def reported(self, slot: Upstream, text: str) -> None:
        """Take the error text of a server: move the server if sharing has caused it, else log it once."""
        if not slot.shared or not may_move(slot.server):
            return
        lock = reported_lock(text)
        if lock is None:
            return
        sessions = sum(each.issued is not None for each in slot.sessions)
        why = reason_to_move(lock, sessions=sessions, others=self._others(slot))
        if why:
            self._move(slot, why)
        elif (slot.server.name, lock.name) not in self._logged:
            if len(self._logged) >= LOGGED_LIMIT:
                self._logged.clear()
            self._logged[slot.server.name, lock.name] = None
            self.log.info(
                "{server} reports that {what} is in use already; a child for each session would not help",
                event="server.locked",
                server=slot.server.name,
                what=lock.value,
            )


def _failure(result: Raw) -> str:
    try:
        outcome = jsonrpc.value(result, dict)
    except GatewayError:
        return ""
    content = outcome.get("content")
    if outcome.get("isError") is not True or not isinstance(content, list):
        return ""
    texts = (each.get("text") for each in content if isinstance(each, dict))
    return "\n".join(each for each in texts if isinstance(each, str))
