"""The digest of a list, by which clients notice that their copy is outdated."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

DIGITS = 8


def topology(listed: Iterable[bytes]) -> str:
    """Return eight hexadecimal digits for the list of a view, in any order.

    :param listed: the definitions of all listed entries, as JSON.
    """
    digests = sorted(sha256(each).digest() for each in listed)
    return sha256(b"".join(digests)).hexdigest()[:DIGITS]
