"""The revisions of MCP, and the features of each."""

from __future__ import annotations

import re
from enum import Enum


class Era(Enum):
    """The form of a conversation: with a handshake and sessions, or with all that matters in each request."""

    LEGACY = "legacy"
    MODERN = "modern"

    __hash__ = (
        object.__hash__
    )  # that of an Enum is written in Python, and slots are looked up by it on every request

    @property
    def other(self) -> Era:
        """The other one of the two eras."""
        return Era.MODERN if self is Era.LEGACY else Era.LEGACY


LEGACY = ("2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions with a handshake and sessions, oldest first."""

MODERN = ("2026-07-28",)
"""The revisions without handshake and sessions, oldest first."""

LATEST_LEGACY = LEGACY[-1]
UNNAMED = "2025-03-26"
"""The revision of a client that names none: from the next one on clients name theirs."""

LATEST_MODERN = MODERN[-1]

UNSUPPORTED = "Bad Request: Unsupported protocol version (supported versions: " + ", ".join(LEGACY) + ")"
"""The error on which a client of both eras falls back to the legacy one: that of servers of that era only."""

_DATE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KNOWN = frozenset(version.encode() for version in LEGACY)


def is_legacy(header: bytes) -> bool:
    """True if an ``MCP-Protocol-Version`` header names a revision of the legacy era."""
    return header in _KNOWN


def is_later(header: bytes | None) -> bool:
    """True if an ``MCP-Protocol-Version`` header names a revision later than the legacy era, known or not."""
    return header is not None and _DATE.fullmatch(header) is not None and header.decode() > LATEST_LEGACY


def negotiated(requested: str | None) -> str:
    """Return the revision for the answer to an ``initialize``: the client's where known, else the latest legacy one."""
    return requested if requested in LEGACY else LATEST_LEGACY


def of_request(header: bytes | None) -> str:
    """Return the revision of a request without a session, by its header (MCP 2025-06-18, transports)."""
    return UNNAMED if header is None else header.decode("latin-1")


def can_resume(version: str) -> bool:
    """True if clients of a revision accept events without data, and come back with ``Last-Event-ID``."""
    return "2025-11-25" <= version < MODERN[0]


def has_batches(version: str) -> bool:
    """True if a revision lets either side send several messages as one array."""
    return version == "2025-03-26"
