"""The state of a node that goes on in the next program of its process."""

from __future__ import annotations

from msgspec import Struct

from mcpgateway.cluster.membership import Member


class LeaseState(Struct, frozen=True):
    """A lease that the node holds (`mcpgateway.cluster.leases.Lease`)."""

    name: str
    fence: int
    deadline: float


class NodeState(Struct, frozen=True):
    """A node.

    :ivar settings: the digest of its settings: a node with other ones is another node.
    :ivar members: the nodes that it knows, itself first.
    :ivar spared: see Note [After the store was away] of `mcpgateway.cluster.membership`.
    :ivar sessions: the serials of the sessions that it serves.
    """

    settings: str
    members: tuple[Member, ...]
    spared: tuple[float, float]
    leases: tuple[LeaseState, ...]
    sessions: tuple[bytes, ...]
