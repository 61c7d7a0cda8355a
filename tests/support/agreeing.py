"""Nodes for tests of their agreement: the real parts of nodes with one real PostgreSQL, and clocks that tests set."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import define
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.documents import Documents
from mcpgateway.cluster.homes import Elsewhere
from mcpgateway.cluster.leases import Leases
from mcpgateway.cluster.membership import Member, Membership, octets_of
from mcpgateway.cluster.node_sessions import NodeSessions
from mcpgateway.cluster.sealing import Sealing
from mcpgateway.cluster.session_store import SessionStore
from mcpgateway.errors import StoreLost, UnknownSession
from mcpgateway.interfaces import SessionRecord
from mcpgateway.protocol.session_ids import Issued
from mcpgateway.protocol.versions import LEGACY
from mcpgateway.system.journal import Journal
from tests.support.store_at_once import StoreAtOnce

LEASE_S = 60.0
KEY = bytes(32)
SERVER, PRINCIPAL = "time", "someone"
HOPS = 3


def now(done: Any) -> Any:
    """The result of a Deferred that has fired, or of no Deferred; raises its failure."""
    if not isinstance(done, Deferred):
        return done
    results: list[Any] = []
    done.addBoth(results.append)
    assert results, "it has not fired"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


class Way:
    """The way of one node to the store, which can be cut.

    :ivar is_cut: the node does not reach the store.
    :ivar count: the transactions of the node so far.
    """

    def __init__(self, store: StoreAtOnce) -> None:
        self.is_cut = False
        self.count = 0
        self._store = store

    @property
    def is_up(self) -> bool:
        """Whether the store can be reached."""
        return not self.is_cut

    def run(self, work: Callable[[Any], Any]) -> Deferred[Any]:
        """Run work in a transaction."""
        if self.is_cut:
            return fail(StoreLost())
        self.count += 1
        return self._store.run(work)


@define(eq=False)
class BegunSession:
    """A session of the test.

    :ivar is_ended: its end is in the store.
    """

    issued: Issued
    is_ended: bool = False


class Peer:
    """A node: its row, its sessions, its leases and its mirror of documents.

    :ivar is_restarting: between two programs of its process, which listens all the time.
    """

    def __init__(
        self,
        name: str,
        store: StoreAtOnce,
        directory: Path,
        offset: float = 0.0,
        former: str = "",
        documents: type[Documents] = Documents,
    ) -> None:
        self.name, self.clock, self.way = name, Clock(), Way(store)
        self.clock.advance(offset)
        self._store, self._directory, self._kind = store, directory, documents
        way: Any = self.way
        member = Member(name, octets_of(name), secrets.token_hex(8), f"{name}:1")
        self.membership = Membership(way, member, self.clock.seconds)
        self.leases = Leases(way, self.membership, self.clock, LEASE_S, former, self.clock.seconds)
        home = directory / name
        home.mkdir(exist_ok=True)
        files = DocumentFiles(str(home), self.clock.seconds)
        self.documents = documents(way, self.membership, Sealing((KEY,)), files, self.clock.seconds)
        journal = Journal(str(home / "journal.db"), self.clock.seconds)
        self.sessions = SessionStore(journal, way, member.octets, cast("Any", self.clock))
        self.parts = NodeSessions(way, self.membership, self.sessions, lambda _: None)
        self.homes = self.parts.homes
        self.is_alive = True
        self.is_restarting = False
        self._left: tuple[Any, ...] = ()

    def tick(self) -> None:
        """Do what a node does within five seconds."""
        self.membership.look()
        self.membership.renew()
        if not self.way.is_cut:
            self.membership.verify()
        now(self.leases.renew())
        self.documents.tick()
        now(self.sessions.flush())

    def second(self) -> None:
        """Do what a node does in one second, in the order of `mcpgateway.cluster.node.ClusterNode.tick`."""
        self.clock.advance(1.0)
        self.membership.look()
        self.membership.tick()
        self.leases.tick()
        self.documents.tick()
        self.parts.tick()
        self.sessions.settle()

    def kill(self) -> None:
        """End its process, with its children."""
        if self.is_alive:
            self.sessions.close()
        self.is_alive = self.is_restarting = False

    def leave(self) -> None:
        """Do what the former program of a restart in place does."""
        self.is_alive, self.is_restarting = False, True
        now(self.sessions.flush())
        now(self.leases.pause())
        self._left = (self.membership.written(), self.leases.written(), list(self.sessions.held))
        self.sessions.close()

    def resumed(self) -> Peer:
        """The next program of a restart in place."""
        self.is_restarting = False
        made = self.reborn()
        members, leases, sessions = self._left
        made.membership.restore(*members)
        made.leases.restore(leases)
        made.sessions.restore(sessions)
        return made

    def reborn(self) -> Peer:
        """The next life of a killed node, on the same home."""
        former = self.membership.me.incarnation
        made = Peer(self.name, self._store, self._directory, self.clock.seconds(), former, self._kind)
        made.way.is_cut = self.way.is_cut
        return made

    def begin_session(self, serial: bytes) -> BegunSession:
        """Begin a session here."""
        issued = Issued(serial, 1_900_000_000, LEGACY[-1], b"", b"", self.membership.me.octets)
        self.sessions.keep(SessionRecord(serial, SERVER, PRINCIPAL, LEGACY[-1], b"{}"), issued.issued)
        return BegunSession(issued)

    def serves(self, session: BegunSession) -> bool:
        """Return whether a request of a session would be served here, without a question."""
        record = self.sessions.find(session.issued.serial)
        is_ended = record is not None and record.is_ended
        return session.issued.serial in self.sessions.held and self.membership.is_member and not is_ended


class Peers:
    """All nodes of a store.

    :ivar every: the latest life of each node, by name.
    """

    def __init__(self, store: StoreAtOnce) -> None:
        self.store = store
        self.every: dict[str, Peer] = {}

    def live(self) -> list[Peer]:
        """The nodes whose processes run."""
        return [each for each in self.every.values() if each.is_alive]

    def pass_(self, seconds: float) -> None:
        """Let the same time pass at the store and at all nodes."""
        self.store.advance(seconds)
        for each in self.every.values():
            each.clock.advance(seconds)

    def served(self, session: BegunSession, at: Peer) -> Peer | None:
        """The node that serves a request which arrives at a node; None where clients are told to try again.

        :raise UnknownSession: the session has ended.
        """
        for _ in range(HOPS):
            try:
                found = now(at.homes.of(session.issued, SERVER, PRINCIPAL))
            except StoreLost:
                return None
            if not isinstance(found, Elsewhere):
                record = at.sessions.find(session.issued.serial)
                if record is not None and record.is_ended:
                    raise UnknownSession("Session not found")
                return at
            assert found.member.octets != at.membership.me.octets
            other = self.every[found.member.name]
            if other.is_restarting:
                return None
            if other.is_alive:
                at = other
            elif not at.membership.refused(found.member):
                return None
        return None
