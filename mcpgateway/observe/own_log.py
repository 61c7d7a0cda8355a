"""The gateway's own log for its readers: the end of its file, and each line as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.logger import formatEventAsClassicLogText

from mcpgateway.escaping import one_line
from mcpgateway.observe.event_feed import EventHistory, FeedEntry, Follower
from mcpgateway.observe.server_logs import stamp

LINES, LINES_CHARS = 500, 131_072  # that are kept for readers that reconnect
NONE = "0"  # an id before all others


def _no_file(_: int) -> list[str]:
    return []


@define(eq=False, repr=False)
class OwnLog:
    """The gateway's own log.

    :ivar tail: returns the last lines of its file; none for a gateway that logs to a terminal or to the journal.
    :ivar redact: removes all secrets from a line of the file, which others write to as well.
    """

    tail: Callable[[int], list[str]] = _no_file
    redact: Callable[[str], str] = str
    _lines: EventHistory = field(init=False, factory=lambda: EventHistory(LINES, LINES_CHARS))
    _last: str = field(init=False, default="")

    def heard(self, event: Mapping[str, Any]) -> None:
        """Take an event that has no secrets any more, and is in the file already."""
        for line in (formatEventAsClassicLogText(dict(event)) or "").splitlines():
            self._last = stamp(event["log_time"], self._last)
            self._lines.add(FeedEntry(self._last, one_line(line)))

    def history(self, number: int, after: str = "") -> list[FeedEntry]:
        """Return the last lines, the oldest first; with ``after`` only those that came after it."""
        written = self.tail(number) if not after else []
        if written:
            # A reader that reconnects goes on behind all of them.
            return [FeedEntry(self._last or NONE, one_line(self.redact(line))) for line in written]
        return list(self._lines.after(after))[-number:] if number else []

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Pass every line to a follower from now on; return a function that ends that."""
        return self._lines.follow(follower)

    def close(self) -> None:
        """End the log for its followers."""
        self._lines.close()
