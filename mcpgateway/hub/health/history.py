"""The latest events of each server, which explain its present state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mcpgateway.bounded import Bounded
from mcpgateway.errors import NeedsAuthorization
from mcpgateway.records import Record

if TYPE_CHECKING:
    from mcpgateway.errors import GatewayError
    from mcpgateway.interfaces import Gone, Launch

HAPPENINGS = 50  # of one server; older ones are dropped
SERVERS = 500  # with a history; a configuration has 100 at most
TEXT_CHARS = 400
CRASHES = 20  # of one server; more in an hour say no more
CRASHES_S = 3600.0


class ServerEvent(Record):
    """An event of a server, perhaps several times in a row.

    :ivar at: its time, in seconds since the epoch; the last one if it is repeated.
    :ivar event: its name in the log, where it is logged.
    :ivar text: a few words that describe it.
    :ivar times: the number of times in a row.
    """

    at: float
    event: str
    text: str
    times: int = 1


class Crash(Struct, frozen=True):
    """An unexpected end of a child that had worked.

    :ivar at: its time, in seconds since the epoch.
    :ivar text: the exit code or the signal, in words.
    :ivar line: the last line of its stderr; empty for none.
    """

    at: float
    text: str
    code: int | None = None
    signal: int | None = None
    line: str = ""


class History(Record):
    """The latest events of one server, over all its children, the oldest first.

    :ivar launches: the number of its children so far, those of ended sessions included.
    :ivar launch: the launch of its latest child; None before the first.
    :ivar launched_at: the time of that, in seconds since the epoch.
    :ivar fault: the error of the latest child's start or handshake; None after a child that has succeeded.
    :ivar end: the end of the latest child, where it was unexpected and no failed start followed; else None.
    :ivar words: the last stderr output of the latest child that failed; empty after one that did not.
    :ivar ill_since: the time of the first failure since a child was ready, in seconds since the epoch; 0 for none.
    :ivar is_former: true while its failure is that of a former run of the gateway, since which it was not started.
    """

    _wall: Callable[[], float]
    _changed: Callable[[], object] = bool
    launches: int = 0
    launch: Launch | None = None
    launched_at: float = 0.0
    fault: GatewayError | None = None
    end: Gone | None = None
    words: str = ""
    ill_since: float = 0.0
    is_former: bool = False
    _crashes: deque[Crash] = msgspec.field(default_factory=lambda: deque(maxlen=CRASHES))
    _happenings: deque[ServerEvent] = msgspec.field(default_factory=lambda: deque(maxlen=HAPPENINGS))

    def add(self, event: str, text: str) -> None:
        """Add an event; one that equals the last counts as its repetition."""
        text = text[:TEXT_CHARS]
        last = self._happenings[-1] if self._happenings else None
        if last is not None and (last.event, last.text) == (event, text):
            last.times += 1
            last.at = self._wall()
        else:
            self._happenings.append(ServerEvent(self._wall(), event, text))

    def launching(self, launch: Launch) -> None:
        """Note the launch of a child."""
        self.launches += 1
        self.is_former = False
        self.launch, self.launched_at = launch, self._wall()
        self.add("child.launching", "it is started")

    def failed(self, why: GatewayError, text: str, words: str) -> None:
        """Note a failed start or handshake.

        :param text: the event's description.
        :param words: the last stderr output of the child.
        """
        self.fault, self.end, self.words, self.is_former = why, None, words, False
        self.ill_since = self.ill_since or self._wall()
        self.add("child.start_failed", text)
        self._changed()

    def ended(self, why: Gone, text: str) -> None:
        """Note an unexpected end of the child."""
        self.fault, self.end, self.words = None, why, why.last_words
        self.ill_since = self.ill_since or self._wall()
        self.add("child.gone", text)
        self._changed()

    def crashed(self, why: Gone, text: str) -> None:
        """Note an unexpected end of a child that had worked, of which its next start leaves no other trace."""
        if not why.is_unreachable:  # it runs elsewhere, and may well go on
            line = (why.last_words.strip().splitlines() or [""])[-1][:TEXT_CHARS]
            self._crashes.append(Crash(self._wall(), str(why), why.code, why.signal, line))
        self.ended(why, text)

    def crashes(self) -> list[Crash]:
        """Return the crashes of the last hour, the oldest first."""
        since = self._wall() - CRASHES_S
        return [each for each in self._crashes if each.at > since]

    def reset(self) -> None:
        """Note that an operator gives the server a fresh start, for which its former crashes do not count."""
        self._crashes.clear()
        self.add("server.reset", "its circuit is reset")
        self._changed()

    def signed_in(self, text: str) -> None:
        """Note a sign-in, after which the lack of one is no fault any more."""
        if isinstance(self.fault, NeedsAuthorization):
            self.fault, self.ill_since = None, 0.0
        self.add("server.signed_in", text)
        self._changed()

    def ready(self, text: str) -> None:
        """Note that the child is ready."""
        self.fault, self.words, self.ill_since, self.is_former = None, "", 0.0, False
        self.add("child.ready", text)
        self._changed()

    def passed(self) -> None:
        """Note that a test of the server has passed, after which its former failures are no faults any more."""
        self.fault, self.end, self.words, self.ill_since, self.is_former = None, None, "", 0.0, False
        self.add("server.passed", "a test of it has passed")
        self._changed()

    def restored(
        self,
        fault: GatewayError | None,
        end: Gone | None,
        words: str,
        since: float,
        crashes: Iterable[Crash],
    ) -> None:
        """Take over the failure of a former run of the gateway."""
        self.fault, self.end, self.words, self.ill_since = fault, end, words, since
        self.is_former = fault is not None or end is not None
        self._crashes.extend(crashes)

    def happenings(self) -> list[ServerEvent]:
        """Return the kept events, the oldest first."""
        return list(self._happenings)


class Histories:
    """The histories of all servers, by their names.

    :ivar is_changed: true if a server has failed or recovered since the value was set to false.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.is_changed = False
        self._known: Bounded[str, History] = Bounded(SERVERS)

    def find(self, name: str) -> History | None:
        """Return the history of a server; None where it has none."""
        return self._known.get(name)

    def of(self, name: str) -> History:
        """Return the history of a server, under former definitions too; a new one where it has none."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = History(self._wall, self._changed)
        return found

    def _changed(self) -> None:
        self.is_changed = True
