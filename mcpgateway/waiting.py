"""Waiting for one event, for any number of callers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
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
