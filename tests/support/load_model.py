"""The model of all participants of a load: the failures that are permitted now, and the faults that were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from attrs import define, field

COMPLAINTS = 50  # that are told; what follows from one thing is said a thousand times


@define(eq=False)
class Doubt:
    """A time in which something may fail, for a reason."""

    why: str
    begun: float
    ended: float = inf


@define(eq=False)
class Target:
    """Something that may fail at times: a server, a session, a token.

    :ivar name: what it is called.
    """

    name: str
    clock: Callable[[], float] = field(repr=False)
    doubts: list[Doubt] = field(init=False, factory=list, repr=False)

    @contextmanager
    def doubted(self, why: str) -> Iterator[Doubt]:
        """Permit failures for the duration of a block."""
        doubt = Doubt(why, self.clock())
        self.doubts.append(doubt)
        yield doubt
        doubt.ended = self.clock()

    def over(self, why: str) -> None:
        """Permit failures from now on, for good."""
        self.doubts.append(Doubt(why, self.clock()))

    def excuse(self, begun: float) -> str:
        """Why it may have failed at some moment since then; "" where there is no such reason."""
        # The latest are the ones that matter, and there may be thousands.
        return next((each.why for each in reversed(self.doubts) if each.ended >= begun), "")


@define(eq=False)
class World:
    """All that takes part.

    :ivar counts: what has happened, and how often.
    :ivar wrong: what should not have.
    :ivar servers: by name.
    """

    clock: Callable[[], float] = field(repr=False)
    counts: Counter[str] = field(init=False, factory=Counter)
    wrong: list[str] = field(init=False, factory=list)
    servers: dict[str, Target] = field(init=False, factory=dict)
    _nonces: int = field(init=False, default=0)

    def target(self, name: str) -> Target:
        """Something new that may fail."""
        return Target(name, self.clock)

    def nonce(self, name: str) -> str:
        """Return a unique text."""
        self._nonces += 1
        return f"{name}/{self._nonces}"

    def complain(self, what: str) -> None:
        """Something is wrong."""
        self.counts["complaints"] += 1
        if len(self.wrong) < COMPLAINTS:
            self.wrong.append(f"{self.clock():.1f} {what}"[:1500])
