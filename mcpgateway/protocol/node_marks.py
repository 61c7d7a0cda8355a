"""The mark of a node of a cluster, before the ids of what only that node has: jobs, kept results, codes, sign-ins.

    n1a2b3c4d_job_1764062000000_Kq7c...

A gateway that is alone has no mark, and its ids are bare.
"""

from __future__ import annotations

import re

_MARKED = re.compile(r"n([0-9a-f]{8})_")
MARK = "n[0-9a-f]{8}_"
"""The form of a mark, as a regular expression."""


def mark_of(octets: bytes) -> str:
    """Return the mark of a node."""
    return f"n{octets.hex()}_"


def octets_in(identifier: str) -> bytes | None:
    """Return the node that an id names; None for an id of a gateway that is alone."""
    found = _MARKED.match(identifier)
    return bytes.fromhex(found[1]) if found is not None else None
