"""The nodes of the cluster, as operators see them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcpgateway.errors import Conflict, NotThere
from mcpgateway.hints import cli, with_command
from mcpgateway.observe.overview import GATEWAY, NAME_SHARED, NODE_REFUSED, STORE_LOST, OpenNeed

if TYPE_CHECKING:
    from mcpgateway.cluster.membership import Member
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.config.model import ServerSpec
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
        membership, refusal = self._node.membership, self._node.store.refusal
        me = membership.me
        rows = [self._row(self._node, me if each.octets == me.octets else each) for each in membership]
        return {
            "node": me.name,
            "store": "up" if self._node.store.is_up else "lost",
            "member": membership.is_member,
            **self._lost(self._node),
            **({"refused": refusal.message} if refusal is not None else {}),
            "items": rows or [self._row(self._node, me)],
        }

    def figures(self) -> dict[str, Any]:
        """Return what the overview tells of the cluster; nothing of a gateway that is alone."""
        if self._node is None:
            return {}
        membership = self._node.membership
        store = "up" if self._node.store.is_up else "lost"
        nodes, config = len(membership.live()), self._node.settings.config
        return {"cluster": {"node": membership.me.name, "store": store, "nodes": nodes, "config": config}}

    def placed(self, server: ServerSpec | None) -> dict[str, Any]:
        """Return where a server runs that not every node runs; nothing for others."""
        if self._node is None or server is None or not (server.is_sole or server.on):
            return {}
        rows = [self._row(self._node, each) for each in self._node.membership.live()]
        if server.is_sole:
            nodes = [each["name"] for each in rows if server.name in each["sole"]]
        else:
            nodes = [each["name"] for each in rows if set(server.on) <= set(each["labels"])]
        return {"instances": "one" if server.is_sole else "each", "on": list(server.on), "nodes": nodes}

    def needs(self) -> Iterator[OpenNeed]:
        """Yield what needs the user of a node."""
        if self._node is None:
            return
        run, me, refusal = cli("cluster status"), self._node.membership.me, self._node.store.refusal
        if me.rival:
            which = "this one" if self._node.membership.is_usurped else "that one"
            says = f"another gateway, at {me.rival}, is called node {me.name}, too; {which} is no member of the cluster"
            do = "give each node a name of its own, as gateway.cluster.node in its node.yaml, and restart it"
            yield OpenNeed(GATEWAY, "", NAME_SHARED, says, with_command(do, run), run)
        if refusal is not None:
            yield OpenNeed(GATEWAY, "", NODE_REFUSED, refusal.message, with_command(refusal.advice, run), run)
        elif not self._node.store.is_up:
            yield self._store_need(run)

    @staticmethod
    def _store_need(run: str) -> OpenNeed:
        says = "the store of the cluster cannot be reached; edits, new tokens and take-overs of sessions wait"
        do = with_command("bring its database back; the nodes find it again by themselves", run)
        return OpenNeed(GATEWAY, "", STORE_LOST, says, do, run)

    @staticmethod
    def _lost(node: ClusterNode) -> dict[str, Any]:
        if node.store.is_up or node.store.refusal is not None:
            return {}
        since = node.reactor.seconds() - node.documents.lost_s
        limit_s = node.settings.store_lost_s
        until = None if math.isinf(limit_s) else _moment(since + limit_s)
        return {"lost_since": _moment(since), "tokens_until": until}

    @staticmethod
    def _row(node: ClusterNode, member: Member) -> dict[str, Any]:
        facts = node.membership.facts() if member is node.membership.me else member.facts
        membership = node.membership
        is_gone = member.state != "left" and not membership.is_live(member)
        # Without the store a node that is silent may live.
        is_unknown = is_gone and not node.store.is_up and not membership.has_refused(member)
        state = "unknown" if is_unknown else "gone" if is_gone else member.state
        unseen_s = membership.unseen_s(member)
        return {
            "name": member.name,
            "state": state,
            "address": member.address,
            "clients": facts.get("clients", ""),
            "tls": facts.get("tls", False),
            "labels": list(member.labels),
            "version": member.version,
            "sessions": 0 if state in ("gone", "left") else facts.get("sessions", 0),
            "sole": [] if state in ("gone", "left") else list(facts.get("sole", ())),
            "rival": member.rival,
            "since": member.since,
            "seen": None if unseen_s is None else node.reactor.seconds() - unseen_s,
            "mark": member.octets.hex(),
        }

    async def drain(self, name: str, *, is_undone: bool = False, is_forced: bool = False) -> dict[str, str]:
        """Begin to drain a node, or take that back; return the node and its state to come.

        :param name: the node; empty for this one.
        :param is_forced: drain it also where no other node takes clients.
        :raise Conflict: this gateway is alone, or no other node takes clients.
        :raise NotThere: no live node has the name.
        :raise StoreLost: the other node cannot be told.
        """
        node, state = self._node, "serving" if is_undone else "draining"
        if node is None or self._drain is None:
            raise Conflict("this gateway is no node of a cluster", f"{cli('stop')} stops it")
        name = name or node.name
        member = node.membership.named_node(name)
        if name != node.name and (member is None or not node.membership.is_live(member)):
            raise NotThere(f"no live node is called {name}", f"{cli('cluster status')} lists them")
        takers = (
            each.name for each in node.membership.live() if each.state == "serving" and each.name != name
        )
        if not (is_undone or is_forced or any(takers)):
            raise Conflict(
                f"no other node takes clients: with node {name} drained, nobody serves the cluster",
                f"start another node before, or {cli('cluster drain {} --force', name)}",
            )
        if name == node.name:
            self._drain.want(state)
            return {"node": name, "state": state}
        await node.store.run(lambda cursor: _wanted(cursor, name, state))
        return {"node": name, "state": state}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _wanted(cursor: Any, name: str, state: str) -> None:
    cursor.execute(_WANT, (state, name))
    cursor.execute(_HURRY, (f"drain {name}",))
