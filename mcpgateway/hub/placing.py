"""The place of each child in a cluster: at this node, or at another one, to which it is linked.

# Note [One instance]
The only child of a server runs under a lease of the cluster (`mcpgateway.cluster.leases`).  A node that gets the lease
starts the child; any other links to the holder, and names its number, so that no answer comes from a former holder.
The lease is released when the gateway has stopped the child, and kept where the child has ended by itself.

# Note [A holder that is gone]
Its lease runs out before another node may take it.  Calls wait for that if it is soon; else they fail and tell when.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import CertificateTrust
from mcpgateway.backends.link import Link, LinkAuthorizer
from mcpgateway.cluster.leases import Lease, LeaseHolder, Leases
from mcpgateway.cluster.membership import DRAINING, SERVING, Member, Membership, in_order
from mcpgateway.cluster.node_state import LeaseState
from mcpgateway.cluster.part import NodePart
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import GatewayError, StoreLost, Unavailable
from mcpgateway.inherited import Inherited, InheritedLink
from mcpgateway.interfaces import IBackend, ILauncher, ILineReceiver, Launch, Placement
from mcpgateway.protocol.links import HEADER, SaidLink, link_header
from mcpgateway.system.process.boot_clock import boot_seconds
from mcpgateway.units import duration
from mcpgateway.waiting import Waiting

PATIENCE_S = 5.0  # with a node that does not answer
WAIT_S = 20.0  # for the end of a lease, where the entry says nothing
LOOK_S = 1.0  # between two attempts to get a lease
IDLE_TICKS = 30  # for which a lease without a child is kept
LATER = "try again in a moment"


class INodeLinks(Protocol):
    """The way to other nodes.

    :ivar web: the HTTP client.
    :ivar trust: the certificates of nodes.
    """

    web: Web
    trust: CertificateTrust

    def url(self, member: Member, path: str) -> str:
        """Return the URL of a path at a node."""

    def credential(self, member: Member) -> dict[str, str]:
        """Return the header by which another node knows this one."""

    def reach(self, member: Member) -> Deferred[bool]:
        """Find out whether a node answers; one whose process has ended counts as gone from then on."""


@frozen
class _Linked:
    """A place at another node."""

    member: Member
    name: str
    fence: int


@frozen
class _Refused:
    """No place, and the reason."""

    why: GatewayError


class _Local:
    """A lease of this node and the child under it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.child: Any = None
        self.receiver: Any = None
        self.idle_ticks = 0


class Placing(NodePart):
    """Starts children at this node, or links to those of other nodes (`ILauncher`, `NodePart`).

    :ivar nodes: the way to other nodes; None before the node has joined.
    :ivar leases: the leases of only children.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        inner: ILauncher,
        membership: Membership,
        leases: Leases,
    ) -> None:
        self.nodes: INodeLinks | None = None
        self._reactor = reactor
        self._inner = inner
        self._membership = membership
        self.leases = leases
        self._local: dict[str, _Local] = {}
        self._links: dict[Link, _Linked] = {}
        self._preparing: Counter[str] = Counter()
        self._changed = Waiting[None]()
        leases.on_free.append(self._freed)

    def sole(self) -> list[str]:
        """Return the names of the servers whose only child runs at this node."""
        return sorted({name.split()[1] for name, local in self._local.items() if local.child is not None})

    # The launcher

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        """Find the place of a child, and its program if that is here."""
        place = launch.place
        if place is None:
            prepared: Deferred[Launch] = self._inner.prepare(launch)
            return prepared
        return Deferred.fromCoroutine(self._prepare(launch, place))

    def launch(self, launch: Launch, receiver: ILineReceiver) -> IBackend:
        """Start a child here, or link to it.

        :raise GatewayError: it cannot be started, no node may run it, or none can be reached.
        """
        if launch.inherited is not None:
            return self._take_over(launch, launch.inherited, receiver)
        match launch.placed:
            case _Refused(why):
                raise why
            case _Linked() as linked:
                return self._link(linked, launch, receiver)
        local = self._local.get(lease_name(launch.server, launch.place)) if launch.place else None
        try:
            child: IBackend = self._inner.launch(launch, receiver)
        except GatewayError:
            if local is not None and launch.lease is not None:
                self.leases.release(local.lease)
            raise
        if local is not None and local.lease is launch.lease:
            local.child, local.receiver = child, receiver
        return child

    def _take_over(self, launch: Launch, former: Inherited, receiver: ILineReceiver) -> IBackend:
        if isinstance(former, InheritedLink):
            member = self._membership.find(former.node)
            if member is None:
                raise lacking(launch.server, ())
            linked = _Linked(evolve(member, incarnation=former.incarnation), former.lease, former.fence)
            return self._link(linked, evolve(launch, inherited=former.session), receiver)
        named = next((each.lease for each in former.children if each.lease is not None), None)
        lease = self.leases.find(named[0]) if named is not None else None
        child: IBackend = self._inner.launch(evolve(launch, lease=lease), receiver)
        if lease is not None:
            local = self._own(lease)
            local.child, local.receiver = child, receiver
        return child

    # The part of the node

    def restore(self, leases: Iterable[LeaseState]) -> None:
        """Go on with the leases of the former program of this process; their children are taken over later."""
        self.leases.restore(leases)
        for each in self.leases:
            self._own(each)

    def tick(self) -> None:
        """End links to nodes that are gone, and give up leases without a child, or without a call while draining."""
        # A node that is frozen or cut off does not answer, and breaks no connection either.
        self._move({link for link, linked in self._links.items() if not self._is_live(linked.member)})
        is_draining = self._membership.me.state == DRAINING
        for name, local in list(self._local.items()):
            if not local.lease.is_held:
                del self._local[name]
            elif local.lease.children:
                local.idle_ticks = 0
                if is_draining and not getattr(local.receiver, "has_work", False):
                    local.child.stop()
            elif not self._preparing[name]:
                local.idle_ticks += 1
                if is_draining or local.idle_ticks > IDLE_TICKS:
                    self.leases.release(local.lease)

    # The place of a child

    async def _prepare(self, launch: Launch, place: Placement) -> Launch:
        name = lease_name(launch.server, place)
        self._preparing[name] += 1
        try:
            placed = await (
                self._sole(launch, place, name) if place.is_sole else self._labelled(launch, place)
            )
            if isinstance(placed, _Local):
                launch = evolve(launch, lease=placed.lease)
            elif placed is not None:
                return evolve(launch, placed=placed)
            prepared: Launch = await self._inner.prepare(launch)
        except GatewayError as why:
            return evolve(launch, placed=_Refused(why))
        finally:
            self._preparing[name] -= 1
        return prepared

    async def _labelled(self, launch: Launch, place: Placement) -> _Linked | None:
        if set(place.labels) <= set(self._membership.me.labels):
            return None
        key = launch.server.encode() + b"\0" + (place.scope or self._membership.me.octets)
        return await self._elsewhere(launch.server, place.labels, key)

    async def _sole(self, launch: Launch, place: Placement, name: str) -> _Local | _Linked:
        me, began = self._membership.me, boot_seconds()
        wait_s = launch.connect_s or WAIT_S
        while True:
            waited_s = boot_seconds() - began
            may_take = set(place.labels) <= set(me.labels) and self._membership.me.state == SERVING
            try:
                found = await (self.leases.want(name) if may_take else self.leases.holder(name))
            except StoreLost as lost:  # no fault of the server
                raise Unavailable(f"{launch.server}: {lost.message}", lost.advice) from lost
            left_s = 0.0
            if isinstance(found, Lease):
                local = self._own(found)
                if not found.children and found.is_held:
                    return local
                why = Unavailable(f"{launch.server}: its former process has not ended yet", LATER)
            elif found is None:
                return await self._elsewhere(launch.server, place.labels, name.encode(), name)
            else:
                holder = self._membership.find(found.node)
                if holder is not None and holder.octets != me.octets and await self._reach(holder):
                    return _Linked(holder, name, found.fence)
                why, left_s = self._held(launch.server, holder, found), found.left_s
            if waited_s >= PATIENCE_S and waited_s + left_s > wait_s:
                raise why
            await self._wait()

    def _held(self, server: str, holder: Member | None, lease: LeaseHolder) -> Unavailable:
        """Return the error for a server whose holder does not answer, with the time for which others cannot run it."""
        node = f"node {holder.name}" if holder is not None else "another node"
        left_s = math.ceil(max(lease.left_s, 1.0))
        until = datetime.fromtimestamp(self._reactor.seconds() + left_s, UTC).strftime("%H:%M:%S UTC")
        return Unavailable(
            f"{server}: {node}, which does not answer, holds it until {until}",
            f"try again in {duration(left_s)}: another node runs it then",
            {"retry_after_s": left_s},
        )

    def _own(self, lease: Lease) -> _Local:
        local = self._local.get(lease.name)
        if local is None or local.lease is not lease:
            local = self._local[lease.name] = _Local(lease)
            lease.on_idle.append(lambda: self._idle(local))
        return local

    def _idle(self, local: _Local) -> None:
        child, local.child, local.receiver = local.child, None, None
        if child is None or child.is_dismissed:
            self.leases.release(local.lease)
        self._changed.over(None)

    async def _elsewhere(self, server: str, labels: Collection[str], key: bytes, lease: str = "") -> _Linked:
        others = self._membership.others()
        able = [each for each in others if each.state == SERVING and set(labels) <= set(each.labels)]
        for member in in_order(able, key):
            if await self._reach(member):
                return _Linked(member, lease, 0)
        raise lacking(server, labels)

    def _is_live(self, member: Member) -> bool:
        known = self._membership.find(member.octets)
        return (
            known is not None and known.incarnation == member.incarnation and self._membership.is_live(known)
        )

    async def _reach(self, member: Member) -> bool:
        return self._membership.is_live(member) and self.nodes is not None and await self.nodes.reach(member)

    async def _wait(self) -> None:
        changed = self._changed.wait()
        timer = self._reactor.callLater(LOOK_S, lambda: self._changed.over(None))
        await changed
        if timer.active():
            timer.cancel()

    def _freed(self, name: str) -> None:
        self._move({link for link, linked in self._links.items() if linked.name == name})
        self._changed.over(None)

    # Links

    def _move(self, links: Collection[Link]) -> None:
        for each in links:
            each.move()

    def _link(self, linked: _Linked, launch: Launch, receiver: ILineReceiver) -> Link:
        nodes, place = self.nodes, launch.place
        if nodes is None or place is None:
            raise StoreLost(what=f"{launch.server}: the node has not joined its cluster yet")
        said = link_header(SaidLink(place.principal, place.workspace, linked.name, linked.fence))
        authorizer = LinkAuthorizer(lambda: {HEADER: said, **nodes.credential(linked.member)}, nodes.trust)
        remote = Remote(nodes.url(linked.member, f"/{launch.server}/mcp"))
        link = Link(self._reactor, nodes.web, launch, remote, receiver, authorizer)
        link.place = (linked.member.octets, linked.member.incarnation, linked.name, linked.fence)
        self._links[link] = linked
        link.on_end = lambda ended: self._links.pop(ended, None)
        self.log.info(
            "{server} runs at node {node}",
            event="server.linked",
            server=launch.server,
            node=linked.member.name,
        )
        return link


def lease_name(server: str, place: Placement) -> str:
    """Return the name of the lease of a server's only child for these clients."""
    scope = b"\0".join((place.scope, place.principal.encode()))
    if scope == b"\0":
        return f"server {server}"
    return f"server {server} {hashlib.sha256(scope).hexdigest()[:32]}"


def lacking(server: str, labels: Collection[str]) -> Unavailable:
    """Return the error for a server that no live node may run."""
    if not labels:
        return Unavailable(f"{server}: no live node of the cluster can run it", LATER)
    shown = ", ".join(labels)
    return Unavailable(
        f"{server} needs a node of the cluster with {shown}, and none of the live nodes has it",
        f"start a node with gateway.cluster.labels: [{shown}]",
    )
