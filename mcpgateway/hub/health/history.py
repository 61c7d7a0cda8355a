"""What has happened to each server lately, so that whoever asks why can be told how it came about."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from mcpgateway.errors import GatewayError
    from mcpgateway.interfaces import Gone, Launch

HAPPENINGS = 50  # of one server; the latest are kept
SERVERS = 500  # whose histories are kept; those of a configuration are 100 at most
TEXT_CHARS = 400


@define(eq=False)
class Happening:
    """One thing that has happened, perhaps several times in a row.

    :ivar at: when, in seconds since the epoch; the last time if it has happened several times.
    :ivar event: the name it has in the log, where it is logged at all.
    :ivar text: what, in a few words about the server.
    """

    at: float
    event: str
    text: str
    times: int = 1


@define(eq=False)
class History:
    """The latest happenings of one server, over all its children, the oldest first.

    :ivar launch: how its latest child was started, or was to be; None before the first.
    :ivar launched_at: when, in seconds since the epoch.
    :ivar fault: why the latest child could not be started, or failed its handshake; None after one that did not.
    :ivar end: how the latest child ended unasked; None where it did not, or one that came after it failed to start.
    :ivar words: the last words of the latest child that failed; empty after one that did not.
    """

    _wall: Callable[[], float] = field(repr=False)
    launch: Launch | None = field(default=None, repr=False)
    launched_at: float = 0.0
    fault: GatewayError | None = None
    end: Gone | None = None
    words: str = field(default="", repr=False)
    _happenings: deque[Happening] = field(factory=lambda: deque(maxlen=HAPPENINGS), repr=False)

    def add(self, event: str, text: str) -> None:
        """Something has happened; what happens again and again is one thing."""
        text = text[:TEXT_CHARS]
        last = self._happenings[-1] if self._happenings else None
        if last is not None and (last.event, last.text) == (event, text):
            last.times += 1
            last.at = self._wall()
        else:
            self._happenings.append(Happening(self._wall(), event, text))

    def launching(self, launch: Launch) -> None:
        """A child is about to be started like this."""
        self.launch, self.launched_at = launch, self._wall()
        self.add("child.launching", "it is started")

    def failed(self, why: GatewayError, text: str, words: str) -> None:
        """It could not be started, or failed its handshake."""
        self.fault, self.end, self.words = why, None, words
        self.add("child.start_failed", text)

    def ended(self, why: Gone, text: str) -> None:
        """It has ended unasked."""
        self.fault, self.end, self.words = None, why, why.last_words
        self.add("child.gone", text)

    def ready(self, text: str) -> None:
        """It runs."""
        self.fault, self.words = None, ""
        self.add("child.ready", text)

    def happenings(self) -> list[Happening]:
        """All that is kept, the oldest first."""
        return list(self._happenings)


class Histories:
    """The histories of all servers, by their names."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._known: dict[str, History] = {}

    def find(self, name: str) -> History | None:
        """What has happened to a server; None where nothing has."""
        return self._known.get(name)

    def of(self, name: str) -> History:
        """What has happened to a server, also under former definitions of it."""
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= SERVERS:
                del self._known[next(iter(self._known))]
            found = self._known[name] = History(self._wall)
        return found
