"""The events of a session, from one connection of its client to the next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.hub.replay import (
    BYTES_LIMIT,
    EVENT_COST,
    EVENTS_LIMIT,
    EXPIRE_TICKS,
    KEPT_TICKS,
    STANDING,
    TOTAL_LIMIT,
    TRAILS_LIMIT,
    Replay,
    ReplayBudget,
    ReplayStream,
)
from mcpgateway.protocol.sse import EventId
from tests.support.gateway_in_memory import Client, MemoryGateway

LARGE = bytes(BYTES_LIMIT)
CHANGED = "notifications/tools/list_changed"


@pytest.fixture
def replay() -> Replay:
    """The events of one session."""
    return Replay("ab", ReplayBudget())


def places(replay: Replay, trail: ReplayStream, after: int = -1) -> list[int]:
    """Which events of a stream are kept."""
    return [identifier.place for identifier, _ in replay.after(trail, after)]


class TrailTests:
    """Streams, and what has been said on them."""

    def test_ids(self, replay: Replay) -> None:
        """An event's id names the session's life, the stream, the place in it, and the request that opened it."""
        trail = replay.open(b'"call"', None, 0)
        assert replay.record(trail, b"one", 0) == EventId("ab", trail.number, 0, b'"call"')
        assert replay.mark(trail) == EventId("ab", trail.number, 1, b'"call"')
        assert replay.record(trail, b"two", 0) == EventId("ab", trail.number, 2, b'"call"')
        assert replay.mark(replay.standing) == EventId("ab", STANDING, 0)

    def test_an_event_that_says_nothing(self, replay: Replay) -> None:
        """An empty event has a place of its own and is not kept; a client that names it misses nothing, and
        none it has heard.
        """
        trail = replay.open(b"1", None, 0)
        replay.record(trail, b"a", 0)
        opening = replay.mark(trail)
        replay.record(trail, b"b", 0)
        assert [message for _, message in replay.after(trail, opening.place)] == [b"b"]
        assert [message for _, message in replay.after(trail, opening.place - 1)] == [b"b"]
        assert [message for _, message in replay.after(trail, -1)] == [b"a", b"b"]

    def test_the_standing_stream(self, replay: Replay) -> None:
        """The standing stream is opened by no request, and no request's stream has its number."""
        assert replay.find(STANDING) is replay.standing
        assert {replay.open(b"%d" % n, None, 0).number for n in range(5)}.isdisjoint({STANDING})
        replay.record(replay.standing, b"one", 0)
        assert replay.after(replay.standing, -1) == [(EventId("ab", STANDING, 0), b"one")]

    def test_each_stream_by_itself(self, replay: Replay) -> None:
        """A message of one stream is never repeated on another."""
        one, two = replay.open(b"1", None, 0), replay.open(b"2", None, 0)
        for message, trail in ((b"a", one), (b"b", two), (b"c", replay.standing), (b"d", one)):
            replay.record(trail, message, 0)
        assert replay.after(one, -1) == [
            (EventId("ab", one.number, 0, b"1"), b"a"),
            (EventId("ab", one.number, 1, b"1"), b"d"),
        ]
        assert replay.after(one, 0) == [(EventId("ab", one.number, 1, b"1"), b"d")]
        assert replay.after(one, 1) == replay.after(one, 99) == []
        assert replay.after(two, -1) == [(EventId("ab", two.number, 0, b"2"), b"b")]

    def test_who_carries_it_on(self, replay: Replay) -> None:
        """A stream is found by its number while it lasts, with whoever speaks on it."""
        sink = object()
        trail = replay.open(b"1", sink, 0)
        found = replay.find(trail.number)
        assert found is trail
        assert found.sink is sink
        assert replay.find(trail.number + 1) is None

    def test_after_its_end(self, replay: Replay) -> None:
        """A stream that has ended still gives what was said last, but nobody speaks on it any more."""
        trail = replay.open(b"1", object(), 0)
        replay.record(trail, b"the answer", 0)
        replay.end(trail, 7)
        found = replay.find(trail.number)
        assert found is trail
        assert (found.ended, found.sink) == (7, None)
        assert [message for _, message in replay.after(found, -1)] == [b"the answer"]


class TimeTests:
    """The time for which ended streams are remembered."""

    def test_for_a_while(self, replay: Replay) -> None:
        """An ended stream is forgotten some minutes later, when the next one is opened, and what it said with it."""
        trail = replay.open(b"1", None, 0)
        replay.record(trail, b"the answer", 0)
        replay.end(trail, 10)
        replay.open(b"2", None, 10 + KEPT_TICKS)
        assert replay.find(trail.number) is trail
        replay.open(b"3", None, 11 + KEPT_TICKS)
        assert replay.find(trail.number) is None
        assert replay.after(trail, -1) == []

    def test_ended_in_the_first_tick(self, replay: Replay) -> None:
        """The gateway's first tick is a time like any other."""
        trail = replay.open(b"1", None, 0)
        replay.end(trail, 0)
        replay.open(b"2", None, KEPT_TICKS)
        assert replay.find(trail.number) is trail
        replay.open(b"3", None, KEPT_TICKS + 1)
        assert replay.find(trail.number) is None

    def test_as_long_as_it_lasts(self, replay: Replay) -> None:
        """A stream that goes on is remembered however old it is, and so is the standing one."""
        trail = replay.open(b"1", None, 0)
        replay.record(trail, b"a", 0)
        replay.open(b"2", None, 100 * KEPT_TICKS)
        assert replay.find(trail.number) is trail
        assert places(replay, trail) == [0]
        assert replay.find(STANDING) is replay.standing

    def test_the_standing_stream(self) -> None:
        """Messages of the standing stream are kept for as long and no longer, although no other stream is opened."""
        budget = ReplayBudget()
        replay = Replay("ab", budget)
        lasting = replay.open(b"1", None, 0)
        for trail, now in ((replay.standing, 0), (lasting, 0), (replay.standing, EXPIRE_TICKS)):
            replay.record(trail, b"x", now)
        for now in range(KEPT_TICKS + 1):
            budget.tick(now)
        assert places(replay, replay.standing) == [0, 1]
        for now in range(KEPT_TICKS + 1, KEPT_TICKS + EXPIRE_TICKS + 1):
            budget.tick(now)
        assert places(replay, replay.standing) == [1]
        assert places(replay, lasting) == [0], "its request is under way"
        for now in range(KEPT_TICKS + EXPIRE_TICKS + 1, KEPT_TICKS + 2 * EXPIRE_TICKS + 1):
            budget.tick(now)
        assert places(replay, replay.standing) == []
        assert budget.used == 1 + EVENT_COST

    def test_a_call_that_outlives_its_session(self) -> None:
        """A message for a session that has ended is given back some minutes later."""
        budget = ReplayBudget()
        trail = Replay("ab", budget).open(b"1", None, 0)
        later = Replay("ab", budget)
        later.record(trail, b"the answer", 0)
        budget.tick(10 * KEPT_TICKS)
        assert budget.used == 0

    def test_too_many(self, replay: Replay) -> None:
        """Of many ended streams the latest are remembered; those that go on are not counted."""
        lasting = [replay.open(b"0", None, 0) for _ in range(10)]
        ended = [replay.open(b"%d" % n, None, 0) for n in range(TRAILS_LIMIT + 5)]
        for trail in ended:
            replay.record(trail, b"x", 0)
            replay.end(trail, 1)
        replay.open(b"1", None, 1)
        assert [replay.find(trail.number) for trail in ended] == [None] * 5 + ended[5:]
        assert all(replay.find(trail.number) is trail for trail in lasting)
        assert places(replay, ended[4]) == []
        assert places(replay, ended[5]) == [0]


class BoundTests:
    """Bounds of the messages that are kept."""

    def test_events(self, replay: Replay) -> None:
        """A session's latest events are kept, the oldest giving way, of whichever stream they are."""
        one, two = replay.open(b"1", None, 0), replay.open(b"2", None, 0)
        replay.record(one, b"x", 0)
        for _ in range(EVENTS_LIMIT):
            replay.record(two, b"x", 0)
        assert places(replay, one) == []
        assert places(replay, two) == list(range(EVENTS_LIMIT))
        assert one.place == 0

    def test_bytes(self, replay: Replay) -> None:
        """Together they are no larger than the limit, and one that is larger alone is not kept."""
        trail = replay.standing
        for size in (BYTES_LIMIT - 10, 10, 1, BYTES_LIMIT + 1, BYTES_LIMIT):
            replay.record(trail, bytes(size), 0)
        assert places(replay, trail) == [4]
        replay.record(trail, bytes(BYTES_LIMIT + 1), 0)
        assert places(replay, trail) == []
        assert trail.place == 5

    def test_all_sessions_together(self) -> None:
        """All sessions keep no more than the total, however many there are."""
        budget = ReplayBudget()
        several = [Replay(f"{n}", budget) for n in range(2 * TOTAL_LIMIT // BYTES_LIMIT)]
        for each in several:
            each.record(each.standing, bytes(BYTES_LIMIT), 0)
            assert budget.used <= TOTAL_LIMIT
        kept = [len(each.after(each.standing, -1)) for each in several]
        assert sum(kept) == TOTAL_LIMIT // (BYTES_LIMIT + EVENT_COST)
        assert kept == sorted(kept), "the oldest give way"

    def test_events_without_words(self) -> None:
        """Many small events are bounded too: what they take beside their messages counts."""
        budget = ReplayBudget()
        several = [Replay(f"{n}", budget) for n in range(4)]
        for each in several:
            for _ in range(EVENTS_LIMIT):
                each.record(each.standing, b"", 0)
        assert budget.used == 4 * EVENTS_LIMIT * EVENT_COST

    def test_what_many_are_told(self) -> None:
        """A message that many sessions are told takes its bytes once; they are free when the last one drops it."""
        budget = ReplayBudget()
        several = [Replay(f"{n}", budget) for n in range(2 * TOTAL_LIMIT // BYTES_LIMIT)]
        for each in several:
            each.record(each.standing, LARGE, 0)
        assert all(places(each, each.standing) == [0] for each in several)
        assert budget.used == BYTES_LIMIT + len(several) * EVENT_COST
        for each in several[1:]:
            each.clear()
        assert budget.used == BYTES_LIMIT + EVENT_COST
        several[0].clear()
        assert budget.used == 0

    def test_the_fullest_give_way(self) -> None:
        """A session that keeps little keeps it, whatever the others are told and however old it is."""
        budget = ReplayBudget()
        little, several = Replay("1", budget), [Replay(f"{n}", budget) for n in range(2, 80)]
        trail = little.open(b"1", None, 0)
        little.record(trail, b"the answer", 0)
        for nth in range(300):
            for each in several:
                each.record(each.standing, bytes(20_000 + nth % 2), 0)
                assert budget.used <= TOTAL_LIMIT
        assert budget.used > TOTAL_LIMIT // 2
        assert places(little, trail) == [0]
        little.record(trail, b"more", 0)
        assert places(little, trail) == [0, 1]
        kept = [len(places(each, each.standing)) for each in several]
        assert min(kept) > 0
        assert all(places(each, each.standing)[-1] == 299 for each in several), "the latest is kept"

    def test_given_back(self) -> None:
        """The room of a session is there for others as soon as it is cleared."""
        budget = ReplayBudget()
        one, other = Replay("1", budget), Replay("2", budget)
        one.record(one.standing, b"abc", 0)
        other.record(other.standing, b"de", 0)
        assert budget.used == 5 + 2 * EVENT_COST
        one.clear()
        assert budget.used == 2 + EVENT_COST
        assert places(one, one.standing) == []
        one.clear()
        assert budget.used == 2 + EVENT_COST

    deeds = st.one_of(
        st.tuples(st.just("open"), st.integers(0, 2), st.integers(0, 200)),
        st.tuples(st.just("record"), st.integers(0, 2), st.integers(0, 9)),
        st.tuples(st.just("end"), st.integers(0, 2), st.integers(0, 9)),
        st.tuples(st.just("clear"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.integers(0, 400)),
    )

    @given(st.lists(deeds, max_size=60), st.integers(0, BYTES_LIMIT // 2))
    def test_any_history(self, history: list[tuple[str, int, int]], size: int) -> None:
        """The sessions are within their bounds after any history, and the sum is that of all."""
        budget = ReplayBudget()
        several = [Replay(f"{n}", budget) for n in range(3)]
        trails: list[list[ReplayStream]] = [[each.standing] for each in several]
        said: list[list[Any]] = [[] for _ in several]
        now = 0
        for deed, who, what in history:
            replay, mine = several[who], trails[who]
            trail = mine[what % len(mine)]
            if deed == "open":
                now += what
                mine.append(replay.open(b"1", None, now))
            elif deed == "record" and trail.ended is None:
                message = b"%d of %d" % (len(said[who]), who) + bytes(size)
                said[who].append((replay.record(trail, message, now), message))
            elif deed == "end" and trail is not replay.standing:
                replay.end(trail, now)
            elif deed == "clear":
                replay.clear()
            elif deed == "wait":
                now += what
                budget.tick(now // EXPIRE_TICKS * EXPIRE_TICKS)
            kept = [
                [pair for trail in trails[n] for pair in each.after(trail, -1)]
                for n, each in enumerate(several)
            ]
            assert budget.used == sum(len(message) + EVENT_COST for each in kept for _, message in each)
            for n, each in enumerate(kept):
                assert len(each) <= EVENTS_LIMIT
                assert sum(len(message) for _, message in each) <= BYTES_LIMIT
                assert all(pair in said[n] for pair in each)
            for each in said:
                assert len({identifier for identifier, _ in each}) == len(each)


class StandingStreamTests:
    """The stream of GET, when its client comes back with ``Last-Event-ID``."""

    def listening(self) -> tuple[MemoryGateway, Client, Client]:
        """A gateway, a client that understands event ids, and the connection on which it listens."""
        gateway = MemoryGateway()
        client = gateway.client()
        client.initialize(protocolVersion="2025-11-25")
        return gateway, client, gateway.listen(client)

    def test_no_id_is_ahead_of_what_was_missed(self) -> None:
        """A client that is cut off again between any two events asks for the rest, and has lost nothing."""
        gateway, client, ears = self.listening()
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        opening, first, second = ids(ears)
        again = gateway.listen(client, Last_Event_ID=opening)
        assert ids(again)[:2] == [first, second]
        once_more = gateway.listen(client, Last_Event_ID=ids(again)[0])
        assert ids(once_more)[0] == second

    def test_every_event_has_an_id_of_its_own(self) -> None:
        """No two events of a session bear the same id, those that open a stream included."""
        gateway, client, ears = self.listening()
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        again = gateway.listen(client)
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        once_more = gateway.listen(client, Last_Event_ID=ids(again)[-1])
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        found = ids(ears) + ids(again) + ids(once_more)
        assert len(set(found)) == len(found) == 6

    def test_an_id_of_a_former_life(self) -> None:
        """A client that has heard nothing since its session came back is told all that was said since then."""
        gateway, client, ears = self.listening()
        (before,) = ids(ears)
        (session,) = gateway.sessions
        gateway.dispatcher.park(session, "a test")
        again = gateway.listen(client, Last_Event_ID=before)
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        once_more = gateway.listen(client, Last_Event_ID=before)
        assert ids(once_more)[0] == ids(again)[1]


def ids(stream: Client) -> list[str]:
    """The ids of a stream's events, in their order."""
    lines = stream.transport.taken.decode().split("\n")
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
