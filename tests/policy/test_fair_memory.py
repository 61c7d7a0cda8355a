"""Memory that many share is bounded in total, and only the greedy give way."""

from __future__ import annotations

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.fair_memory import FairMemory


@define(eq=False)
class Holder:
    """Holds bytes for a peer."""

    peer: str
    may_give_way: bool = True
    given_way: list[str] = field(factory=list)

    def give_way(self) -> None:
        """Note that the holder gives way."""
        self.given_way.append(self.peer)


STEPS = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from(["take", "take", "give", "leave"]), st.integers(0, 60)),
    max_size=80,
)


class RoomTests:
    """The holders that may keep their memory."""

    @given(STEPS)
    def test_bounded(self, steps: list[tuple[int, str, int]]) -> None:
        """No more than the room is held, whatever is taken and given, unless by a single one or those that cannot."""
        room = FairMemory(100)
        holders = [Holder(f"peer {number % 4}", number % 5 != 0) for number in range(12)]
        for number, what, size in steps:
            holder = holders[number]
            if what == "take":
                before = len(holder.given_way)
                assert room.take(holder, size) is (len(holder.given_way) == before)
            elif what == "give":
                room.give(holder, size)
            else:
                room.leave(holder)
            held = room.holders()
            assert room.used == sum(map(room.of, held))
            assert room.used <= 100 or len(held) == 1 or not any(each.may_give_way for each in held)
        for each in holders:
            room.leave(each)
        assert room.used == 0

    @given(st.integers(2, 40), st.integers(1, 20))
    def test_fair(self, many: int, small: int) -> None:
        """However many holders the greedy have, a peer that holds less never gives way."""
        room = FairMemory(100)
        modest = Holder("modest")
        assert room.take(modest, small)
        greedy = [Holder("greedy") for _ in range(many)]
        for each in greedy:
            room.take(each, 30)
        assert not modest.given_way
        assert room.take(modest, small)
        assert not modest.given_way

    def test_the_newest_first(self) -> None:
        """The part that grows gives way, of the greediest; where another grows, the largest part of the greediest."""
        room = FairMemory(100)
        one, two, other = Holder("greedy"), Holder("greedy"), Holder("modest")
        assert room.take(one, 60)
        assert not room.take(two, 50)
        assert (one.given_way, two.given_way) == ([], ["greedy"])
        assert room.take(two, 30)
        assert room.take(other, 20)
        assert one.given_way == ["greedy"]
        assert room.of(one) == 0
        assert room.refusals == 2

    def test_what_would_be(self) -> None:
        """The memory says beforehand whether a holder would be refused."""
        room = FairMemory(100)
        one, other, third = Holder("a"), Holder("b"), Holder("a")
        assert not room.would_refuse(one, 500), "nobody else is there"
        room.take(one, 60)
        assert room.would_refuse(third, 50)
        assert not room.would_refuse(other, 50)
        assert not room.would_refuse(third, 40)

    def test_scarce(self) -> None:
        """The owners of memory are called for once more than an eighth of the room is taken."""
        told: list[int] = []
        room = FairMemory(80, lambda: told.append(1))
        room.take(Holder("a"), 10)
        assert not told
        room.take(Holder("a"), 1)
        assert told == [1]
