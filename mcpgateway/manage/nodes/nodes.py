"""The nodes of the cluster, as operators see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpgateway.errors import Conflict, NotThere
from mcpgateway.hints import cli

if TYPE_CHECKING:
    from mcpgateway.cluster.membership import Member
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.manage.nodes.drain import Drain

ALONE: dict[str, Any] = {"node": "", "items": []}
_WANT = "UPDATE nodes SET wanted = %s WHERE name = %s"
_HURRY = "SELECT pg_notify('mcpgateway', %s)"


class NodeOperations:
    """Lists the nodes, and drains them.

    :param node: this node; None for a gateway that is alone.
    :param drain: the drain of this node.
    """

    def __init__(self, node: ClusterNode | None, drain: Drain | None) -> None:
        self._node = node
        self._drain = drain

    def shown(self) -> dict[str, Any]:
        """Return the nodes that the store knows, those that are gone among them."""
        if self._node is None:
            return ALONE
        membership = self._node.membership
        me = membership.me
        rows = [self._row(self._node, me if each.octets == me.octets else each) for each in membership]
        return {
            "node": me.name,
            "store": "up" if self._node.store.is_up else "lost",
            "member": membership.is_member,
            "items": rows or [self._row(self._node, me)],
        }

    @staticmethod
    def _row(node: ClusterNode, member: Member) -> dict[str, Any]:
        facts = node.membership.facts() if member is node.membership.me else member.facts
        is_gone = member.state != "left" and not node.membership.is_live(member)
        return {
            "name": member.name,
            "state": "gone" if is_gone else member.state,
            "address": member.address,
            "clients": facts.get("clients", ""),
            "tls": facts.get("tls", False),
            "labels": list(member.labels),
            "version": member.version,
            "sessions": 0 if is_gone or member.state == "left" else facts.get("sessions", 0),
            "since": member.since,
            "mark": member.octets.hex(),
        }

    async def drain(self, name: str, *, is_undone: bool = False) -> dict[str, str]:
        """Begin to drain a node, or take that back; return the node and its state to come.

        :param name: the node; empty for this one.
        :raise Conflict: this gateway is alone.
        :raise NotThere: no live node has the name.
        :raise StoreLost: the other node cannot be told.
        """
        node, state = self._node, "serving" if is_undone else "draining"
        if node is None or self._drain is None:
            raise Conflict("this gateway is no node of a cluster", f"{cli('stop')} stops it")
        if name in ("", node.name):
            self._drain.want(state)
            return {"node": node.name, "state": state}
        member = node.membership.named_node(name)
        if member is None or not node.membership.is_live(member):
            raise NotThere(f"no live node is called {name}", f"{cli('cluster status')} lists them")

        await node.store.run(lambda cursor: _wanted(cursor, name, state))
        return {"node": name, "state": state}


def _wanted(cursor: Any, name: str, state: str) -> None:
    cursor.execute(_WANT, (state, name))
    cursor.execute(_HURRY, (f"drain {name}",))
