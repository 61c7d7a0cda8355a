"""The servers with unknown lists, which a list of a view names in its ``_meta``.

A view answers a list from the known lists of servers, so it may be incomplete.  The missing servers are in the
``_meta`` of the result, and in the error for an unknown name: a client that reads a list once knows that it is
incomplete.
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
    """Return the result of a list with the missing servers in it; it is not parsed, as it may be long.

    :param listed: a non-empty object without ``_meta``.
    """
    if not missing:
        return listed
    meta = jsonrpc.encode({"_meta": jsonrpc.raw({KEY: dict(missing)})})
    return Raw(bytes(listed)[:-1] + b"," + meta[1:])


def hint(missing: Missing) -> str:
    """Return the hint of an error for an unknown name; empty without missing servers."""
    if not missing:
        return ""
    named = "; ".join(f"{server}: {why}" for server, why in list(missing.items())[:NAMED])
    more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"not all servers are known yet ({named}{more})"
