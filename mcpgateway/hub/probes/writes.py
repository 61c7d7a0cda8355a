"""The watch over the writing of a server's first calls (see the notes of `mcpgateway.policy.concurrency`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec

from mcpgateway.policy.concurrency import ConcurrencyFinding, Tally, judge
from mcpgateway.records import Record

Written = Callable[[Collection[int]], Mapping[int, int]]
"""Returns the bytes that the process trees of some leaders have written, by leader; unreadable ones are left out."""

PATIENCE_TICKS = 10  # after which a call that has written nothing holds up others no more
TOOLS_LIMIT = 200


class WatchedCall(Protocol):
    """A call whose writing is watched.

    :ivar age: ticks since it was sent.
    """

    tool: str
    age: int


class WriteWatch(Record):
    """The watch over the writing of one server's calls.

    :param written: returns the bytes that processes have written.
    :param concluded: called with each new finding, and its description.
    :ivar last: the latest finding.
    """

    _written: Written
    _concluded: Callable[[ConcurrencyFinding, str], None]
    last: ConcurrencyFinding = ConcurrencyFinding.OPEN
    _tallies: dict[str, Tally] = msgspec.field(default_factory=dict)
    _before: dict[WatchedCall, Mapping[int, int]] = msgspec.field(default_factory=dict)
    _doubtful: set[WatchedCall] = msgspec.field(default_factory=set)  # calls that ran beside others

    def begin(self, turn: WatchedCall, pids: Collection[int]) -> None:
        """Begin to watch a call that is sent."""
        if self._before:
            self._doubtful |= {turn, *self._before}
        self._before[turn] = self._written(pids) if pids else {}

    def spare(self) -> None:
        """Conclude that the server does not write, since none of its tools may change anything."""
        self._concluded(ConcurrencyFinding.FREE, "")

    def lets_go(self, turn: WatchedCall, pids: Collection[int]) -> bool:
        """True if a call has run for `PATIENCE_TICKS` without writing, so that others need not wait for it."""
        was_seen = bool(self._before.get(turn))  # a call that came before its child ran was not watched
        return was_seen and turn.age >= PATIENCE_TICKS and self.is_quiet(turn, pids)

    def is_quiet(self, turn: WatchedCall, pids: Collection[int]) -> bool:
        """True if a watched call was seen to write nothing so far."""
        return turn in self._before and not self._since(turn, pids)

    def end(self, turn: WatchedCall, pids: Collection[int], *, has_failed: bool) -> None:
        """End the watch of a call, and judge by its writing."""
        if turn not in self._before:
            return
        written, was_seen = self._since(turn, pids), bool(self._before[turn])
        del self._before[turn]
        if turn in self._doubtful:
            self._doubtful.discard(turn)
            was_seen = bool(written)
        if not was_seen:
            return  # it came before its child ran, or ran beside others: no writing is no evidence then
        if len(self._tallies) < TOOLS_LIMIT or turn.tool in self._tallies:
            self._tallies.setdefault(turn.tool, Tally()).count(written, has_failed=has_failed)
        self._conclude(f"its tool {turn.tool} wrote {written:,} bytes" if written else "")

    def _conclude(self, words: str) -> None:
        found = judge(self._tallies.values())
        if found is not self.last:
            self.last = found
            self._concluded(found, words)

    def _since(self, turn: WatchedCall, pids: Collection[int]) -> int:
        # Only processes that ran before the call count: writing at a child's start does not belong to it.
        before = self._before[turn]
        now = self._written([each for each in pids if each in before]) if before else {}
        return sum(max(0, written - before[pid]) for pid, written in now.items())
