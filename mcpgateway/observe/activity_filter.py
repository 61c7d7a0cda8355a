"""The choice of records of the activity log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mcpgateway.interfaces import TIMED_OUT

FAILED = frozenset(("error", "refused"))
FIRST_FAILURE = 400  # HTTP
SEARCHED_MEMBERS = ("server", "tool", "client", "principal", "project", "error", "operation")


class ActivityFilter(Struct, frozen=True):
    """The records that are wanted.

    :ivar members: values that members have.
    :ivar identifier: the id of a call, a trace or a session.
    :ivar since: the time of the earliest, as records have it; empty for any.
    :ivar until: the time of the latest.
    :ivar after: the time and the id of the last record that is known already.
    :ivar before: the time and the id of the earliest one that is known already.
    :ivar slower_ms: those that took as long, or longer.
    :ivar is_failed: those that have failed, or were refused.
    :ivar is_timed_out: those that were not answered in time.
    :ivar words: in lower case; all of them are in the names, the directory or the error of a record.
    """

    members: Mapping[str, str] = {}
    identifier: str = ""
    since: str = ""
    until: str = ""
    after: str = ""
    before: str = ""
    slower_ms: float = 0.0
    is_failed: bool = False
    is_timed_out: bool = False
    words: tuple[str, ...] = ()

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Return whether a record is wanted."""
        at = record.get("at", "")
        if (self.since and at < self.since) or (self.until and at > self.until):
            return False
        place = place_of(record) if self.after or self.before else ""
        if (self.after and place <= self.after) or (self.before and place >= self.before):
            return False
        if any(record.get(name) != value for name, value in self.members.items()):
            return False
        if self.slower_ms and record.get("ms", 0.0) < self.slower_ms:
            return False
        if self.is_failed and record.get("outcome") not in FAILED:
            return bool(record.get("status", 0) >= FIRST_FAILURE)
        if self.is_timed_out and record.get("error") != TIMED_OUT:
            return False
        if self.words and not self._is_found(record):
            return False
        named = (record.get("id"), record.get("trace"), record.get("session"))
        return not self.identifier or self.identifier in named

    def _is_found(self, record: Mapping[str, Any]) -> bool:
        text = "\n".join(str(record.get(name, "")) for name in SEARCHED_MEMBERS).lower()
        return all(word in text for word in self.words)

    def is_past(self, record: Mapping[str, Any]) -> bool:
        """Return whether this record and all before it are earlier than any wanted one."""
        first = max(self.since, self.after)
        return bool(first) and str(record.get("at", "")) < first[: len("2026-11-24T01:00:00.000000Z")]


EVERYTHING = ActivityFilter()


def place_of(record: Mapping[str, Any]) -> str:
    """Return the place of a record in the log, by which streams and pages go on."""
    return f"{record.get('at', '')}/{record.get('id', '')}"
