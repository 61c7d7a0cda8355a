"""Watch what the first calls of a server write (see the notes of `mcpgateway.policy.concurrency`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from attrs import define, field

from mcpgateway.policy.concurrency import ConcurrencyFinding, Tally, judge

Written = Callable[[Collection[int]], Mapping[int, int]]
"""The bytes that the process trees of some leaders have written, by leader; who cannot be looked at is left out."""

PATIENCE_TICKS = 10  # a call that has written nothing for so long keeps the others waiting no more
TOOLS_LIMIT = 200


class WatchedCall(Protocol):
    """A call whose writing is watched.

    :ivar age: ticks since it was sent.
    """

    tool: str
    age: int


@define(eq=False)
class WriteWatch:
    """Looks at what calls write, of one server.

    :param written: looks at processes.
    :param concluded: told what was found, and in which words.
    :ivar last: the latest finding.
    """

    _written: Written
    _concluded: Callable[[ConcurrencyFinding, str], None]
    last: ConcurrencyFinding = ConcurrencyFinding.OPEN
    _tallies: dict[str, Tally] = field(factory=dict)
    _before: dict[WatchedCall, Mapping[int, int]] = field(factory=dict)
    _doubtful: set[WatchedCall] = field(factory=set)  # others were under way at the same time

    def begin(self, turn: WatchedCall, pids: Collection[int]) -> None:
        """A call is sent."""
        if self._before:
            self._doubtful |= {turn, *self._before}
        self._before[turn] = self._written(pids) if pids else {}

    def spare(self) -> None:
        """There is nothing to look at: no tool of the server may change anything."""
        self._concluded(ConcurrencyFinding.FREE, "")

    def lets_go(self, turn: WatchedCall, pids: Collection[int]) -> bool:
        """Whether a call has been at it for so long, without writing, that others need not wait for it."""
        was_seen = bool(self._before.get(turn))  # one that came before its child ran was not
        return was_seen and turn.age >= PATIENCE_TICKS and self.is_quiet(turn, pids)

    def is_quiet(self, turn: WatchedCall, pids: Collection[int]) -> bool:
        """Whether a call that is watched was seen to write nothing so far."""
        return turn in self._before and not self._since(turn, pids)

    def end(self, turn: WatchedCall, pids: Collection[int], *, has_failed: bool) -> None:
        """A call has ended."""
        if turn not in self._before:
            return
        written, was_seen = self._since(turn, pids), bool(self._before[turn])
        del self._before[turn]
        if turn in self._doubtful:
            self._doubtful.discard(turn)
            was_seen = bool(written)
        if not was_seen:
            return  # it came before its child ran, or others were under way: that it wrote nothing says nothing
        if len(self._tallies) < TOOLS_LIMIT or turn.tool in self._tallies:
            self._tallies.setdefault(turn.tool, Tally()).count(written, has_failed=has_failed)
        self._conclude(f"its tool {turn.tool} wrote {written:,} bytes" if written else "")

    def _conclude(self, words: str) -> None:
        found = judge(self._tallies.values())
        if found is not self.last:
            self.last = found
            self._concluded(found, words)

    def _since(self, turn: WatchedCall, pids: Collection[int]) -> int:
        # Of those only that ran before: what a child writes at its start says nothing of the call.
        before = self._before[turn]
        now = self._written([each for each in pids if each in before]) if before else {}
        return sum(max(0, written - before[pid]) for pid, written in now.items())
