"""The children of one slot that get no new calls: each goes on with those it has, and is stopped after the last.

A child that hangs must not take its server from others, and what it was asked must not be asked twice.  So the calls
that it has stay with it until they are answered, taken back or out of time, and all others go to the next child.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.backends.conversation import Conversation
from mcpgateway.interfaces import Gone, Request

LIMIT = 3  # of one slot; where more hang, the one that has hung for longest is ended


@frozen(eq=False)
class RetiredChild:
    """One of them.

    :ivar why: what it gets no new calls for.
    :ivar since: when that was found, in seconds of the slot's clock.
    """

    conversation: Conversation
    why: str
    since: float

    @property
    def pid(self) -> int:
        """Its process id; 0 where it is no process of ours."""
        backend = self.conversation.backend
        return backend.pid if backend is not None else 0

    def shown(self, now: float) -> dict[str, Any]:
        """What is shown of it."""
        calls = sum(1 for _ in self.conversation.calls())
        return {"pid": self.pid, "why": self.why, "seconds": round(now - self.since), "calls": calls}


class Retired:
    """All of one slot."""

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
        """One more gets no new calls."""
        self._children[conversation] = RetiredChild(conversation, why, now)
        others = [each.conversation for each in self if each.conversation not in self._stopping]
        for each in others[: max(0, len(others) - LIMIT)]:
            each.give_up("it was stuck, and so were others after it")

    def calls(self) -> Iterator[Request]:
        """The calls that they still have."""
        return (call for each in self for call in each.conversation.calls())

    def withdraw(self, call: Request, reason: str) -> bool:
        """Take a call back from whichever has it."""
        return any(each.conversation.cancel(call, reason) for each in self)

    def expire(self, ticks: float) -> None:
        """A tick has passed: answer the calls whose time is over, and stop those that have none any more."""
        for each in self:
            conversation = each.conversation
            conversation.expire(ticks)
            if conversation not in self._stopping and next(conversation.calls(), None) is None:
                self._stop(conversation)

    def gone(self, conversation: Conversation, why: Gone) -> None:
        """A conversation is over; perhaps it was that with one of them."""
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
        """Stop all of them; each fires when nothing of it is left."""
        return [self._stop(each.conversation) for each in self]

    def _stop(self, conversation: Conversation) -> Deferred[None]:
        self._stopping.add(conversation)
        assert conversation.backend is not None  # else it would not have got any calls
        stopped: Deferred[None] = conversation.backend.stop()
        return stopped.addBoth(self._stopped, conversation)

    def _stopped(self, _: object, conversation: Conversation) -> None:
        if conversation in self._children:
            # There are processes that nothing can kill.
            conversation.gone(Gone(fault="it was stopped, and does not end"))
