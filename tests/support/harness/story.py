"""The latest messages to and from a client of a storm, for finding out how an answer was lost."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from itertools import dropwhile
from typing import Any

from attrs import Factory, define

LINES, CHARACTERS = 400, 300  # of one client, the latest
LOG_LINES = 400
SECOND = len("2026-01-01T00:00:00")


def now() -> str:
    """The time of day, as the gateway's log has it and to the microsecond."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"


@define
class Story:
    """The latest messages to and from one client."""

    _lines: deque[tuple[str, str]] = Factory(lambda: deque(maxlen=LINES))

    def tell(self, what: str, message: Any) -> None:
        """Add a message."""
        self._lines.append((now(), f"{what} {message}"[:CHARACTERS]))

    def since(self, begun: str, remarks: str, log: str) -> str:
        """The messages from some moment on, with the stderr of the client and the log of the gateway.

        :param remarks: what its own program has said on stderr, whenever that was.
        :param log: the gateway's.
        """
        seen = [f"  {at} {what}" for at, what in self._lines if at >= begun]
        earlier = lambda line: line[:SECOND] < begun[:SECOND]  # noqa: E731
        noted = list(dropwhile(earlier, log.splitlines()))[:LOG_LINES]
        told = [
            "the client:",
            *seen,
            "its program's stderr:",
            remarks,
            "the gateway's log:",
            *noted,
        ]
        return "\n".join(told)
