"""The semantic search: the ranking of tools by the meaning of a question, and its fusion with that by words.

A program of its own ranks (`mcpgateway.system.semantic.helper_main`): the first search starts it, and it ends after an
idle time.  Until it has the vectors of all tools, and whenever it fails, the words rank alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import msgspec
from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mcpgateway.discovery.records import Item
from mcpgateway.discovery.words import words
from mcpgateway.errors import GatewayError
from mcpgateway.interfaces import Gone, IBackend, ILauncher, Launch
from mcpgateway.system.semantic.launch import MISSING

ASK_S = 0.25  # a question takes 15 ms on an idle machine; an agent waits no longer than a call takes
SILENCE_S = 60.0  # a vector takes 50 ms, and every sixteenth is told
IDLE_S = 900.0  # without a search
RETRY_S = 600.0  # after a failure
LISTS_LIMIT = 1000
NEAREST = 50  # hits of one ranking
DESCRIPTION_CHARACTERS = 200  # a sentence model reads no more of a text with profit
FUSED = 10  # how little the first places count more than the next ones


@frozen
class SimilarTool:
    """A tool, and the cosine similarity of its text and the question."""

    item: Item
    similarity: float


class SemanticSearch:
    """Asks the program, which it starts and ends.

    :ivar reason: why the words rank alone; empty while the program is of use, or is not needed.
    :param make_launch: returns the launch of the program; None where it is not installed.
    """

    log = Logger()

    def __init__(self, launcher: ILauncher, make_launch: Callable[[], Launch | None], clock: Any) -> None:
        self._launcher, self._make_launch, self._clock = launcher, make_launch, clock
        self.reason = ""
        self._backend: IBackend | None = None
        # Those that the program has, the most recently used last.
        self._lists: dict[str, tuple[Item, ...]] = {}
        self._questions: dict[int, Deferred[Sequence[SimilarTool]]] = {}
        self._numbers = count(1)
        self._left = 1  # vectors that are not computed yet
        self._unanswered = 0  # questions, in a row
        self._heard_at = self._not_before = 0.0
        self._timer: Any = None

    def nearest(self, query: str, lists: Mapping[str, tuple[Item, ...]]) -> Deferred[Sequence[SimilarTool]]:
        """Return the tools that are nearest to a query, the nearest first; none while the program is of no use.

        :param lists: the tools of each server, as `mcpgateway.owntools.search.Finder.search` takes them.
        """
        now = self._clock.seconds()
        if not self._left and not self._unanswered:
            self._heard_at = now  # it had nothing to say
        elif self._backend is not None and now - self._heard_at > SILENCE_S:
            self._fail(f"its program has said nothing for {SILENCE_S:.0f} s")
        if self._backend is None and now >= self._not_before:
            self._start(now)
        if self._backend is None:
            return succeed(())
        self._reset_timer()
        for key, items in lists.items():
            self._put(key, items)
        if self._left or self._backend is None:
            return succeed(())
        number = next(self._numbers)
        asked: Deferred[Sequence[SimilarTool]] = Deferred()
        self._questions[number] = asked
        self._tell({"ask": query, "id": number, "keys": list(lists), "most": NEAREST})
        late = self._clock.callLater(ASK_S, self._answer, number, ())

        def answered(found: Sequence[SimilarTool]) -> Sequence[SimilarTool]:
            if late.active():
                late.cancel()
            return found

        return asked.addCallback(answered)

    def _start(self, now: float) -> None:
        self._not_before = now + RETRY_S
        launch = self._make_launch()
        if launch is None:
            self._say(MISSING)
            return
        self._heard_at, self._left, self._unanswered, self._lists = now, 1, 0, {}
        try:
            self._backend = self._launcher.launch(launch, self)
        except GatewayError as why:
            self._say(str(why))

    def _put(self, key: str, items: tuple[Item, ...]) -> None:
        known = self._lists.pop(key, None)
        self._lists[key] = items
        if known == items:
            return
        self._left = 1
        self._tell({"put": key, "texts": [text_of(item) for item in items]})
        if len(self._lists) > LISTS_LIMIT:
            oldest = next(iter(self._lists))
            del self._lists[oldest]
            self._tell({"drop": oldest})

    def _tell(self, message: Mapping[str, Any]) -> None:
        if self._backend is not None:
            try:
                self._backend.write(msgspec.json.encode(message) + b"\n")
            except GatewayError as why:
                self._fail(str(why))

    def line_received(self, line: bytes) -> None:
        """Receive an answer, or the number of vectors that are left."""
        self._heard_at = self._clock.seconds()
        try:
            said = msgspec.json.decode(line, type=_Said)
            hits = [
                SimilarTool(self._lists[key][place], near)
                for key, place, near in said.hits
                if key in self._lists
            ]
        except (msgspec.MsgspecError, IndexError) as why:
            self._fail(f"its answer cannot be read: {why}")
            return
        if said.id:
            self._unanswered = 0
            self._answer(said.id, hits)
        else:
            self._left, self.reason = said.left, ""

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Do nothing: the end of the program follows."""

    def gone(self, why: Gone) -> None:
        """Note the end of the program."""
        if self._backend is not None:
            self._end()
            self._say(f"its program has ended ({why}) {why.last_words}".rstrip())

    def _answer(self, number: int, hits: Sequence[SimilarTool]) -> None:
        asked = self._questions.pop(number, None)
        if asked is not None:
            self._unanswered += not hits
            asked.callback(hits)

    def _fail(self, reason: str) -> None:
        backend = self._backend
        self._end()
        self._say(reason)
        if backend is not None:
            backend.kill()

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            self.log.info(
                "tools are searched by words alone: {reason}", event="search.words_alone", reason=reason
            )
        self.reason = reason

    def _reset_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.reset(IDLE_S)
        else:
            self._timer = self._clock.callLater(IDLE_S, self.forget)

    def forget(self) -> None:
        """End the program; the next search starts it."""
        backend = self._backend
        self._end()
        self._not_before = 0.0
        if backend is not None:
            backend.stop()

    def _end(self) -> None:
        self._backend = None
        self._lists = {}
        self._not_before = self._clock.seconds() + RETRY_S
        for number in list(self._questions):
            self._answer(number, ())


class _Said(msgspec.Struct):
    id: int = 0
    hits: list[tuple[str, int, float]] = []
    left: int = 0


def text_of(item: Item) -> str:
    """Return the text of a tool of which the program computes the vector."""
    name = " ".join(part for word in words(item.own) for part in word.parts or (word.whole,))
    return f"{item.server} {name}: {' '.join(item.description.split())[:DESCRIPTION_CHARACTERS]}"


def fused(by_words: Sequence[Item], by_meaning: Sequence[Item]) -> list[tuple[Item, float]]:
    """Return the items of two rankings in one, with their scores.

    (Reciprocal rank fusion, https://doi.org/10.1145/1571941.1572114.)
    """
    scores: dict[tuple[str, str], float] = {}
    items = {}
    for ranking in (by_words, by_meaning):
        for place, item in enumerate(ranking):
            key = (item.server, item.own)
            items[key] = item
            scores[key] = scores.get(key, 0.0) + 1 / (FUSED + place)
    return [(items[key], scores[key]) for key in sorted(scores, key=lambda each: -scores[each])]
