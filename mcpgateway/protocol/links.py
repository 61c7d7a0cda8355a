"""The header of a link from node to node: for whom a server is reached, and under which lease.

    Mcpgateway-Link: PRINCIPAL LEASE FENCE

Principal and lease are hexadecimal digits of UTF-8, or ``-`` where they are empty.  The fence is 0 where the sender
knows no holder, and for servers without a lease.
"""

from __future__ import annotations

from msgspec import Struct

HEADER = "Mcpgateway-Link"
LENGTH_LIMIT = 2000


class SaidLink(Struct, frozen=True):
    """A link as its header says it.

    :ivar principal: the principal of the clients; empty for any.
    :ivar lease: the name of the lease; empty without one.
    :ivar fence: the number of the holder; 0 for an unknown one.
    """

    principal: str
    lease: str
    fence: int


def link_header(principal: str, lease: str, fence: int) -> str:
    """Return the value of the header."""
    return f"{principal.encode().hex() or '-'} {lease.encode().hex() or '-'} {fence}"


def read_link(value: bytes) -> SaidLink | None:
    """Read the value of the header; None where it is none."""
    words = value.split(b" ")
    if len(value) > LENGTH_LIMIT or len(words) != 3 or not words[2].isdigit():
        return None
    try:
        principal, lease = (
            "" if each == b"-" else bytes.fromhex(each.decode("ascii")).decode() for each in words[:2]
        )
    except ValueError:
        return None
    return SaidLink(principal, lease, int(words[2]))
