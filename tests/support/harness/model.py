"""The model that a storm is compared with: the failures that are permitted now, and the faults that were found."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from math import inf

from attrs import define, field

from tests.support.gateway import LIMIT_S, pause_s

COMPLAINTS = 50  # that are told; what follows from one thing is said a thousand times
clock = time.monotonic


class Lost(Exception):
    """A request had no answer."""


@define(eq=False)
class Doubt:
    """A time in which something may fail, for a reason."""

    why: str
    begun: float = field(factory=clock)
    ended: float = inf


@define(eq=False)
class Target:
    """A part that may fail at times: a server, a session, a token.

    :ivar name: of the server, the session or the token.
    """

    name: str
    doubts: list[Doubt] = field(init=False, factory=list, repr=False)

    def doubt(self, why: str) -> Doubt:
        """Permit failures from now on, until the doubt is ended."""
        self.doubts.append(doubt := Doubt(why))
        return doubt

    @contextmanager
    def doubted(self, why: str) -> Iterator[Doubt]:
        """Permit failures for the duration of a block."""
        doubt = self.doubt(why)
        yield doubt
        doubt.ended = clock()

    def excuse(self, begun: float) -> str:
        """The reason for which the target may have failed at some moment since then; "" for none."""
        # The latest are the ones that matter, and there may be thousands.
        return next((each.why for each in reversed(self.doubts) if each.ended >= begun), "")


@define(eq=False)
class Server(Target):
    """A server, as clients should find it.

    :ivar prefix: the present prefix of its tools' names on views; None while the server is absent.
    """

    prefix: str | None = None


@define(eq=False)
class Model:
    """The events and the faults of a storm.

    :ivar counts: the events, and how often they have happened.
    :ivar wrong: the faults.
    :ivar stories: the messages and tracebacks that explain faults.
    :ivar servers: by name.
    """

    counts: Counter[str] = field(init=False, factory=Counter)
    wrong: list[str] = field(init=False, factory=list)
    stories: list[str] = field(init=False, factory=list)
    servers: dict[str, Server] = field(init=False, factory=dict)
    _nonces: int = field(init=False, default=0)

    def nonce(self, name: str) -> str:
        """Return a unique text."""
        self._nonces += 1
        return f"{name}/{self._nonces}"

    def complain(self, who: str, what: str) -> None:
        """Note a fault."""
        self.counts["complaints"] += 1
        if len(self.wrong) < COMPLAINTS:
            self.wrong.append(f"{clock():.3f} {who}: {what}"[:1500])


def excuse(targets: Iterable[Target], begun: float) -> str:
    """The reason for which one of these targets may have failed since then; "" for none."""
    return next((why for each in targets if (why := each.excuse(begun))), "")


async def until(holds: Callable[[], object]) -> bool:
    """Wait until a condition holds, which may have to be awaited; return false when the time limit has passed."""
    began = clock()
    while True:
        found = holds()
        if await found if isawaitable(found) else found:
            return True
        waited_s = clock() - began
        if waited_s > LIMIT_S:
            return False
        await asyncio.sleep(pause_s(waited_s))
