"""What each revision of MCP is called and allows."""

from __future__ import annotations

LEGACY = ("2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions with a handshake and sessions, oldest first."""

LATEST_LEGACY = LEGACY[-1]

_KNOWN = frozenset(version.encode() for version in LEGACY)


def is_legacy(header: bytes) -> bool:
    """Whether an ``MCP-Protocol-Version`` header names a revision of the legacy era."""
    return header in _KNOWN


def negotiated(requested: str | None) -> str:
    """The revision an ``initialize`` is answered with: the client's own where it is known, else our latest."""
    return requested if requested in LEGACY else LATEST_LEGACY


def can_resume(version: str) -> bool:
    """Whether clients of a revision take events without data, and come back with ``Last-Event-ID``."""
    return version >= "2025-11-25"


def has_batches(version: str) -> bool:
    """Whether a revision lets either side send several messages as one array."""
    return version == "2025-03-26"
