"""This gateway as a node: its store, its fellow nodes, and the parts that agree through the store."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from attrs import asdict
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger

from mcpgateway.cluster.counts_on import Acknowledgements
from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.documents import Documents
from mcpgateway.cluster.membership import NEWS, Membership
from mcpgateway.cluster.node_state import NodeState
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.sealing import Sealing
from mcpgateway.cluster.session_store import SessionStore
from mcpgateway.cluster.store import Store
from mcpgateway.config.cluster import ClusterSettings
from mcpgateway.records import FrozenRecord


class ClusterKeys(FrozenRecord, frozen=True):
    """The keys of a cluster, the same on all nodes.

    :ivar newest: the key that signs and seals.
    :ivar former: former keys, which are still read.
    """

    newest: str
    former: tuple[str, ...] = ()

    def derived(self, purpose: str) -> bytes:
        """Return a key of 32 octets for one purpose."""
        return derived(self.newest, purpose)

    def all_derived(self, purpose: str) -> tuple[bytes, ...]:
        """Return the keys for one purpose, the newest first."""
        return tuple(derived(each, purpose) for each in (self.newest, *self.former))


def derived(key: str, purpose: str) -> bytes:
    """Return a key of 32 octets, derived from one of the cluster for one purpose."""
    return hmac.digest(key.encode(), f"cluster key for {purpose}".encode(), hashlib.sha256)


class ClusterNode:
    """This gateway as a node of a cluster.

    :ivar settings: the settings of the node.
    :ivar reactor: the reactor.
    :ivar keys: the keys of the cluster.
    :ivar store: the database of the cluster.
    :ivar membership: this node and the others.
    :ivar documents: what all nodes share.
    :ivar acknowledgements: waits until the nodes have read what one has written.
    :ivar passed: returns the number of requests that were passed on to other nodes.
    :ivar farewell: called before the node stops; gives its sessions up within a number of seconds.
    :ivar unready: functions that return why the node is not ready for clients; empty if it is.
    :ivar sessions: the records of sessions; set before the start.
    :ivar client: sends requests to other nodes (`mcpgateway.frontends.http.node_client.NodeClient`); set before the
        start.
    :ivar placing: places servers on nodes (`mcpgateway.hub.placing.Placing`); set before the start.
    :ivar port: the port for other nodes (`mcpgateway.frontends.http.node_port.NodePort`); set before the start.
    :ivar former: the state of the node in the former program of this process, as which it goes on; None at a new start.
    :ivar parts: the parts that agree through the store, in the order of their start.
    """

    log = Logger()

    def __init__(self, settings: ClusterSettings, keys: ClusterKeys, reactor: Any, home: str) -> None:
        self.settings = settings
        self.reactor = reactor
        self.keys = keys
        self.store = Store(settings.store, reactor)
        self.membership = Membership.named(self.store, settings.node, settings.address, settings.labels)
        self.documents = Documents(
            self.store,
            self.membership,
            Sealing(keys.all_derived("documents")),
            DocumentFiles(home, reactor.seconds),
        )
        self.acknowledgements = Acknowledgements(self.store, self.membership, reactor)
        self.parts: list[NodePart] = [self.documents]
        self.unready: list[Callable[[], str]] = []
        self.sessions: SessionStore | None = None
        self.client: Any = None
        self.passed: Callable[[], int] = int
        self.farewell: Callable[[float], Awaitable[None]] | None = None
        self.placing: Any = None
        self.port: Any = None
        self.former: NodeState | None = None
        self.store.on_change = self._store_changed
        self._is_begun = False

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.settings.node

    @property
    def octets(self) -> bytes:
        """The node in ids."""
        return self.membership.me.octets

    def add(self, *parts: NodePart) -> None:
        """Add parts; before the start."""
        self.parts += parts

    def joining(self) -> str:
        """Return why the node is no member, or has read nothing of the store yet; empty if it has joined."""
        if self.store.refusal is not None:
            return "refused"
        if self.membership.is_usurped:
            return "name taken"
        shares = self.settings.config == "store" and not self.documents.is_read and not self.documents.number
        return "joining" if shares else ""

    def begin(self) -> None:
        """Join the cluster."""
        self._is_begun = True
        self.membership.tick()
        self.store.listen(self._heard)
        for each in self.parts:
            each.begin()

    def tick(self) -> None:
        """Do the work of one second."""
        self.membership.look()
        self.membership.tick()
        self.store.tick()
        for each in self.parts:
            each.tick()

    def written(self) -> bytes:
        """Return the state of the node for the next program of this process."""
        held = tuple(self.sessions.held) if self.sessions is not None else ()
        leases = self.placing.leases.written() if self.placing is not None else ()
        return msgspec.msgpack.encode(
            NodeState(_digest(self.settings, self.keys), *self.membership.written(), leases, held)
        )

    def restore(self, written: bytes) -> None:
        """Go on as the node of the former program of this process, unless the settings are of another node."""
        former = msgspec.msgpack.decode(written, type=NodeState)
        if former.settings != _digest(self.settings, self.keys):
            self.log.info(
                "the settings of the cluster have changed: the node begins anew", event="cluster.anew"
            )
            return
        self.former = former
        self.membership.restore(former.members, former.spared)

    def pause(self) -> Deferred[Any]:
        """End in this program; fires when the next one can go on as this node."""
        renewed = self.membership.renew()  # for the time without a program
        ended = DeferredList([renewed, *(each.pause() for each in reversed(self.parts))], consumeErrors=True)
        return ended.addBoth(lambda _: self.store.close())

    def close(self) -> Deferred[Any]:
        """Leave the cluster; fires when the store knows, or cannot be told."""
        if not self._is_begun:
            self.store.close()
            return succeed(None)
        ended = DeferredList([each.close() for each in reversed(self.parts)], consumeErrors=True)
        ended.addCallback(lambda _: self.membership.leave())
        return ended.addBoth(lambda _: self.store.close())

    def _heard(self, message: str) -> None:
        if message == NEWS:
            self.membership.renew()
        for each in self.parts:
            each.heard(message)

    def _store_changed(self, is_up: bool) -> None:  # noqa: FBT001 - a plain callback
        if is_up and self._is_begun:
            self.membership.renew()


def _digest(settings: ClusterSettings, keys: ClusterKeys) -> str:
    return hashlib.sha256(repr((asdict(settings), keys.newest, keys.former)).encode()).hexdigest()


def read_keys(lines: Iterable[str]) -> ClusterKeys | None:
    """Return the keys in the lines of a key file, the newest first; None where there is none."""
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    return ClusterKeys(keys[0], keys[1:]) if keys else None
