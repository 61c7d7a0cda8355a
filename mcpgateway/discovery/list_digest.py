"""A few digits that are others when a list is another, so that clients drop what they have kept of it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

DIGITS = 8


def topology(listed: Iterable[bytes]) -> str:
    """Eight hexadecimal digits for what a view lists, in whatever order.

    :param listed: the definitions of all that is listed, as JSON.
    """
    digests = sorted(sha256(each).digest() for each in listed)
    return sha256(b"".join(digests)).hexdigest()[:DIGITS]
