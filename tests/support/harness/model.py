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
    """Something that may fail at times: a server, a session, a token.

    :ivar name: what it is called.
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
        """Why it may have failed at some moment since then; "" where there is no such reason."""
        # The latest are the ones that matter, and there may be thousands.
        return next((each.why for each in reversed(self.doubts) if each.ended >= begun), "")


@define(eq=False)
class Server(Target):
    """One server, as clients should find it.

    :ivar prefix: the present prefix of its tools' names on views; None while the server is absent.
    """

    prefix: str | None = None


@define(eq=False)
class Model:
    """All that takes part in a storm, as far as every storm has it.

    :ivar counts: what has happened, and how often.
    :ivar wrong: what should not have.
    :ivar stories: what is known of how it came to that.
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
        """Note that something is wrong."""
        self.counts["complaints"] += 1
        if len(self.wrong) < COMPLAINTS:
            self.wrong.append(f"{clock():.3f} {who}: {what}"[:1500])


def excuse(targets: Iterable[Target], begun: float) -> str:
    """Why one of these may have failed since some moment; "" where there is no such reason."""
    return next((why for each in targets if (why := each.excuse(begun))), "")


async def until(holds: Callable[[], object]) -> bool:
    """Wait until something holds, which may have to be awaited; return whether it ever does."""
    began = clock()
    while True:
        found = holds()
        if await found if isawaitable(found) else found:
            return True
        waited_s = clock() - began
        if waited_s > LIMIT_S:
            return False
        await asyncio.sleep(pause_s(waited_s))
