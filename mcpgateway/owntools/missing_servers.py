"""The servers with unknown lists, which a list of a view names in its ``_meta``.

A list is answered from what is known, so it may be shorter than it will be.  Who is missing stands in the ``_meta`` of
the result, and in the error of a name that is not found: a client that reads a list once knows that it is not whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from mcpgateway.protocol import jsonrpc

KEY = "mcpgateway/missing"
"""In ``_meta``: why each of these servers is missing, by its name."""

NAMED = 5  # servers in a sentence
NOT_YET = "it has not said yet what it has"

Missing = Mapping[str, str]
"""Why, by the names of servers."""


def with_missing(listed: Raw, missing: Missing) -> Raw:
    """The result of a list that says who is missing; it may be long, so it is not read again.

    :param listed: an object with something in it, and without ``_meta``.
    """
    if not missing:
        return listed
    said = jsonrpc.encode({"_meta": jsonrpc.raw({KEY: dict(missing)})})
    return Raw(bytes(listed)[:-1] + b"," + said[1:])


def hint(missing: Missing) -> str:
    """Return the hint of an error for an unknown name; empty without missing servers."""
    if not missing:
        return ""
    named = "; ".join(f"{server}: {why}" for server, why in list(missing.items())[:NAMED])
    more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"not all servers are known yet ({named}{more})"
