"""`mcpgateway.waiting`: one event for any number of callers, and news that are collected."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mcpgateway.waiting import Collected, Waiting, WaitingByKey


def outcomes(deferreds):
    """The outcomes of Deferreds; a failure is shown by its exception."""
    found = []
    for each in deferreds:
        each.addBoth(lambda result: found.append(result.value if isinstance(result, Failure) else result))
    return found


class Work:
    """Coroutines that end when the test says so."""

    def __init__(self):
        self.begun = []

    async def run(self):
        """Wait for the test."""
        self.begun.append(end := Deferred())
        return await end


class WaitingTests:
    """Callers that wait for an event."""

    def test_all_get_the_result(self):
        """Each caller gets the result once; a later event is for later callers."""
        waiting = Waiting()
        found = outcomes([waiting.wait(), waiting.wait()])
        assert len(waiting) == 2
        waiting.over("first")
        assert (found, len(waiting)) == (["first", "first"], 0)
        waiting.over("second")
        assert found == ["first", "first"]

    def test_all_get_the_failure(self):
        """A failure reaches each caller as a failure."""
        waiting, why = Waiting(), ValueError("no")
        found = outcomes([waiting.wait(), waiting.wait()])
        waiting.over(Failure(why))
        assert found == [why, why]

    def test_a_caller_that_has_gone(self):
        """A cancelled Deferred keeps nobody else from the result."""
        waiting = Waiting()
        gone, stays = waiting.wait(), waiting.wait()
        found = outcomes([gone, stays])
        gone.cancel()
        waiting.over("done")
        assert isinstance(found[0], CancelledError)
        assert found[1:] == ["done"]

    def test_who_waits_again(self):
        """A caller that waits anew as it gets its result waits for the next event."""
        waiting, later = Waiting(), []
        waiting.wait().addCallback(lambda _: later.append(waiting.wait()))
        waiting.over(1)
        assert len(waiting) == 1
        found = outcomes(later)
        waiting.over(2)
        assert found == [2]


class OnceTests:
    """Work that runs once for all callers."""

    @pytest.mark.parametrize("result", ["done", ValueError("no")])
    def test_once_for_all(self, result):
        """A second caller joins the work under way; the next one after its end begins it anew."""
        waiting, work = Waiting(), Work()
        found = outcomes([waiting.once(work.run), waiting.once(work.run)])
        assert len(work.begun) == 1
        work.begun[0].callback(Failure(result) if isinstance(result, Exception) else result)
        assert found == [result, result]
        waiting.once(work.run).addErrback(lambda _: None)
        assert len(work.begun) == 2

    def test_done_at_once(self):
        """Work that does not wait leaves nobody waiting."""

        async def ready():
            return 3

        waiting = Waiting()
        assert outcomes([waiting.once(ready), waiting.once(ready)]) == [3, 3]
        assert len(waiting) == 0

    def test_by_key(self):
        """Work for one key is not that for another, and nothing of a key is left at its end."""
        waiting, work = WaitingByKey(), Work()
        found = outcomes([waiting.once(key, work.run) for key in "aba"])
        assert len(work.begun) == 2
        work.begun[0].callback("of a")
        assert found == ["of a", "of a"]
        work.begun[1].callback("of b")
        assert found == ["of a", "of a", "of b"]
        assert waiting._waiting == {}


class CollectedTests:
    """News that are collected for a moment."""

    def test_each_once(self):
        """A receiver gets each of its news once, in their order, when the moment of the first of them is over."""
        clock, delivered = Clock(), []
        collected = Collected(clock, 2, lambda receiver, news: delivered.append((receiver, list(news))))
        collected.add("a", 2)
        clock.advance(1)
        for receiver, news in (("b", 1), ("a", 1), ("a", 2)):
            collected.add(receiver, news)
        assert delivered == []
        clock.advance(1)
        assert delivered == [("a", [2, 1]), ("b", [1])]
        collected.add("a", 2)
        clock.advance(2)
        assert delivered[2:] == [("a", [2])]
        assert clock.getDelayedCalls() == []

    def test_withdrawn(self):
        """News that a receiver knows by now are not delivered; there need not be any."""
        clock, delivered = Clock(), []
        collected = Collected(clock, 0, lambda receiver, news: delivered.extend(news))
        collected.withdraw("a", 1)
        collected.add("a", 1)
        collected.add("a", 2)
        collected.withdraw("a", 1)
        clock.advance(0)
        assert delivered == [2]

    def test_news_of_the_delivery(self):
        """News that come during the delivery begin another moment."""
        clock, delivered = Clock(), []

        def deliver(receiver, news):
            delivered.extend(news)
            if delivered == [1]:
                collected.add(receiver, 2)

        collected = Collected(clock, 1, deliver)
        collected.add("a", 1)
        clock.advance(1)
        assert delivered == [1]
        clock.advance(1)
        assert delivered == [1, 2]
