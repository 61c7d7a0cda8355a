"""The encodings of an answer's body that a client accepts (RFC 9110 section 12.5.3)."""

from __future__ import annotations


def accepted_encodings(header: bytes) -> frozenset[bytes]:
    """Return the names in an ``Accept-Encoding`` header, without those whose weight is 0."""
    offered = {}
    for each in header.lower().split(b","):
        name, _, weight = each.partition(b";")
        offered[name.strip()] = weight.strip().removeprefix(b"q=").strip(b"0. ") != b"" or not weight
    return frozenset(name for name, is_accepted in offered.items() if is_accepted)
