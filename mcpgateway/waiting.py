"""Waiting of callers for one event, and of news for the end of a moment."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Waiting(Generic[T]):
    """The Deferreds of all callers that wait for one event; its length is their number."""

    __slots__ = ("_deferreds",)

    def __init__(self) -> None:
        self._deferreds: list[Deferred[T]] = []

    def __len__(self) -> int:
        return len(self._deferreds)

    def wait(self) -> Deferred[T]:
        """Return a Deferred that fires at the next event."""
        done: Deferred[T] = Deferred()
        self._deferreds.append(done)
        return done

    def over(self, result: T | Failure) -> None:
        """Fire all Deferreds with the result of the event, in the order in which their callers came."""
        deferreds, self._deferreds = self._deferreds, []
        for done in deferreds:
            done.callback(result)  # a failure becomes that of the Deferred

    def once(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """Wait for the end of a coroutine, which begins unless it is under way."""
        done = self.wait()
        if len(self) == 1:
            Deferred.fromCoroutine(begin()).addBoth(self.over)
        return done


class WaitingByKey(Generic[K, T]):
    """Coroutines that are under way, at most one for each key."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[K, Waiting[T]] = {}

    def once(self, key: K, begin: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """Wait for the end of the coroutine of a key, which begins unless it is under way."""
        return self._waiting.setdefault(key, Waiting()).once(lambda: self._run(key, begin))

    async def _run(self, key: K, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await begin()
        finally:
            del self._waiting[key]


class Collected(Generic[K, T]):
    """News by their receivers that are collected for a moment, so that each receiver gets each of them once.

    :param delay_s: the length of the moment in seconds; 0 for the rest of the reactor's turn.
    :param deliver: called at the end of the moment, with each receiver and its news in their order.
    """

    def __init__(
        self, clock: IReactorTime, delay_s: float, deliver: Callable[[K, Iterable[T]], None]
    ) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._deliver = deliver
        self._news: dict[K, dict[T, None]] = {}

    def add(self, receiver: K, news: T) -> None:
        """Add news; the first of a moment begins it."""
        if not self._news:
            self._clock.callLater(self._delay_s, self.deliver)
        self._news.setdefault(receiver, {})[news] = None

    def withdraw(self, receiver: K, news: T) -> None:
        """Remove news that the receiver knows by now."""
        self._news.get(receiver, {}).pop(news, None)

    def deliver(self) -> None:
        """Deliver all news now."""
        collected, self._news = self._news, {}
        for receiver, news in collected.items():
            self._deliver(receiver, news)
