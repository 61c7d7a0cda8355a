"""The header of a link from node to node: for whom a server is reached, and under which lease.

    Mcpgateway-Link: PRINCIPAL WORKSPACE LEASE FENCE

The first three are hexadecimal digits of UTF-8, or ``-`` where they are empty.  The fence is 0 where the sender knows
no holder, and for servers without a lease.  Only the port for nodes reads the header, with the credential of a node.
"""

from __future__ import annotations

from msgspec import Struct

HEADER = "Mcpgateway-Link"
LENGTH_LIMIT = 12_000  # a path may have 4096 bytes


class SaidLink(Struct, frozen=True):
    """A link as its header says it.

    :ivar principal: the principal of the clients; empty for any.
    :ivar workspace: the directory of the clients, as the sender has determined it; empty for any.
    :ivar lease: the name of the lease; empty without one.
    :ivar fence: the number of the holder; 0 for an unknown one.
    """

    principal: str
    workspace: str
    lease: str
    fence: int


def link_header(link: SaidLink) -> str:
    """Return the value of the header."""
    words = (each.encode().hex() or "-" for each in (link.principal, link.workspace, link.lease))
    return f"{' '.join(words)} {link.fence}"


def read_link(value: bytes) -> SaidLink | None:
    """Read the value of the header; None where it is none."""
    words = value.split(b" ")
    if len(value) > LENGTH_LIMIT or len(words) != 4 or not words[3].isdigit():
        return None
    try:
        principal, workspace, lease = (
            "" if each == b"-" else bytes.fromhex(each.decode("ascii")).decode() for each in words[:3]
        )
    except ValueError:
        return None
    return SaidLink(principal, workspace, lease, int(words[3]))
