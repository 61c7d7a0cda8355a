"""Retired children of a slot: they get no new calls, go on with those they have, and are stopped after the last.

A child that hangs must not block its server for other calls, and its calls must not be sent twice.  So its calls stay
with it until they are answered, cancelled or timed out, and all others go to the next child.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.backends.conversation import Conversation
from mcpgateway.interfaces import Gone, Request
from mcpgateway.records import FrozenRecord

LIMIT = 3  # of one slot; beyond that, the child that was retired first is given up


class RetiredChild(FrozenRecord, frozen=True):
    """A retired child.

    :ivar why: the reason for which it was retired.
    :ivar since: the time of that, in seconds of the slot's clock.
    """

    conversation: Conversation
    why: str
    since: float

    @property
    def pid(self) -> int:
        """The process id; 0 where the child is no process of the gateway's."""
        backend = self.conversation.backend
        return backend.pid if backend is not None else 0

    def shown(self, now: float) -> dict[str, Any]:
        """Return its members in the REST API."""
        calls = sum(1 for _ in self.conversation.calls())
        return {"pid": self.pid, "why": self.why, "seconds": round(now - self.since), "calls": calls}


class Retired:
    """The retired children of one slot."""

    log = Logger()

    def __init__(self, server: str) -> None:
        self._server = server
        self._children: dict[Conversation, RetiredChild] = {}
        self._stopping: set[Conversation] = set()

    def __iter__(self) -> Iterator[RetiredChild]:
        return iter(list(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def add(self, conversation: Conversation, why: str, now: float) -> None:
        """Add a child; beyond `LIMIT` the oldest are given up."""
        self._children[conversation] = RetiredChild(conversation, why, now)
        others = [each.conversation for each in self if each.conversation not in self._stopping]
        for each in others[: max(0, len(others) - LIMIT)]:
            each.give_up("it was stuck, and so were others after it")

    def calls(self) -> Iterator[Request]:
        """Iterate over the calls that these children still have."""
        return (call for each in self for call in each.conversation.calls())

    def withdraw(self, request: Request, reason: str) -> bool:
        """Cancel a call at the child that has it; return False where none has."""
        return any(each.conversation.cancel(request, reason) for each in self)

    def expire(self, ticks: float) -> None:
        """Advance by some ticks: fail the calls that time out, and stop children without calls."""
        for each in self:
            conversation = each.conversation
            conversation.expire(ticks)
            if conversation not in self._stopping and next(conversation.calls(), None) is None:
                self._stop(conversation)

    def gone(self, conversation: Conversation, why: Gone) -> None:
        """Forget the child of an ended conversation, if it is one of these."""
        self._stopping.discard(conversation)
        child = self._children.pop(conversation, None)
        if child is not None:
            self.log.info(
                "{server} (pid {pid}), which got no new calls, has ended: {why}",
                event="child.gone",
                server=self._server,
                pid=child.pid,
                why=str(why),
            )

    def close(self) -> list[Deferred[None]]:
        """Stop all children; each Deferred fires when its child has ended."""
        return [self._stop(each.conversation) for each in self]

    def _stop(self, conversation: Conversation) -> Deferred[None]:
        self._stopping.add(conversation)
        assert conversation.backend is not None  # else it would not have got any calls
        stopped: Deferred[None] = conversation.backend.stop()
        return stopped.addBoth(self._stopped, conversation)

    def _stopped(self, _: object, conversation: Conversation) -> None:
        if conversation in self._children:
            # Some processes cannot be killed, such as those in uninterruptible sleep.
            conversation.gone(Gone(fault="it was stopped, and does not end"))
