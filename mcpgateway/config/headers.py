"""Which headers a configuration may set, and which values they may have."""

from __future__ import annotations

import re

# RFC 9110 section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They frame the message or lead it; set by hand they would break or redirect it.
LEADING = frozenset("host content-length transfer-encoding connection upgrade te trailer".split())


def refused(name: str) -> str:
    """Return why a header of this name may not be set, or ""."""
    if not TOKEN.fullmatch(name):
        return "is not a name that a header can have"
    return "is a header that the gateway sets itself" if name.lower() in LEADING else ""
