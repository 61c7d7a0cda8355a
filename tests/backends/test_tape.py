"""The flight recorder: what is kept of what is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.backends.tape import PIECE, Tape, Tapes


class TapeTests:
    """The ring."""

    @given(st.lists(st.tuples(st.integers(-3, 3), st.binary(max_size=60)), max_size=60))
    def test_bounds(self, said: list[tuple[int, bytes]]) -> None:
        """The latest lines are kept, in their order, as many as the bounds allow and no fewer."""
        tape = Tape(lambda: 1.0, lines=20, limit=300)
        for number, line in said:
            tape.keep(number, line)
        kept = tape.lines()
        assert [(each[1], each[3]) for each in kept] == said[len(said) - len(kept) :]
        assert sum(len(each[3]) for each in kept) <= 300
        assert len(kept) <= 20
        if len(kept) < min(len(said), 20):
            dropped = said[len(said) - len(kept) - 1][1]
            assert sum(len(each[3]) for each in kept) + len(dropped) > 300

    def test_a_long_line(self) -> None:
        """Of a long line the beginning is kept, and its size; a short one is kept as the object that it is."""
        tape = Tape(lambda: 1.0)
        tape.keep(1, b"x" * 100_000)
        short = b"short line"
        tape.keep(-1, short)
        long, kept = tape.lines()
        assert (long[2], len(long[3])) == (100_000, PIECE)
        assert kept[3] is short

    def test_stray(self) -> None:
        """The latest line of the latest child that is no message is found, and none of what it was sent."""
        tape = Tape(lambda: 1.0)
        first, second = tape.begin(), tape.begin()
        tape.keep(-first, b"old")
        tape.keep(second, b"sent")
        tape.keep(-second, b' {"jsonrpc":"2.0"}')
        assert tape.stray() == b""
        tape.keep(-second, b"Welcome!")
        assert tape.stray() == b"Welcome!"

    def test_all_servers(self) -> None:
        """Each server has its own; where no line is to be kept there is none, and old ones give way."""
        tapes = Tapes(lambda: 1.0)
        assert tapes.of("a") is tapes.of("a") is not tapes.of("b")
        assert Tapes(lambda: 1.0, 0).of("a") is None
        former = tapes.of("a")
        for number in range(300):
            tapes.of(str(number))
        assert tapes.of("a") is not former
