"""The nodes of the cluster: this one renews its row, and reads the others'.

# Note [Who is alive]
A node's row names the time until which it counts as alive, by the database's clock.  The node itself counts that time
from before it asked, on a clock that goes on while the machine sleeps, so it knows its end no later than the others.

# Note [A refused connection]
A node that has been reached at its address once, by itself, and refuses connections there now, has ended: its process
listens for as long as it runs.  So its sessions are taken over at once.  A node that does not answer may be cut off and
serve all the same: its sessions wait until its row has run out.

# Note [After the store was away]
Nobody has renewed meanwhile, so a node whose row had run out by then may serve all the same, and not know yet that the
store is back.  The first to know gives the others a whole life to renew: what it would take over they still serve.

# Note [Two gateways of one name]
The one that has begun later has the name.  The other one is no member, says so in the row at each renewal, which warns
the holder, and gets the name once the holder's time is over.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from mcpgateway import __version__
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost
from mcpgateway.protocol.session_ids import NODE_BYTES
from mcpgateway.system.process.boot_clock import boot_seconds

RENEW_S = 5
LIFE_S = 15
KEPT_DAYS = 7  # for the row of a node that is gone
NEWS = "nodes"  # the message that a node has joined, changes its state or has left
SERVING, DRAINING, LEFT = "serving", "draining", "left"

_RENEW = """
    INSERT INTO nodes (name, octets, incarnation, address, is_verified, labels, version, state, since, until, facts)
    VALUES (%(name)s, %(octets)s, %(incarnation)s, %(address)s, %(is_verified)s, %(labels)s, %(version)s, %(state)s,
            now(), clock_timestamp() + %(life)s * interval '1 second', %(facts)s::jsonb)
    ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, address = excluded.address,
        is_verified = excluded.is_verified, labels = excluded.labels, version = excluded.version,
        state = excluded.state, until = excluded.until, facts = excluded.facts,
        wanted = CASE WHEN nodes.incarnation = excluded.incarnation THEN nodes.wanted ELSE '' END,
        rival = CASE WHEN nodes.incarnation = excluded.incarnation THEN nodes.rival ELSE '' END,
        since = CASE WHEN nodes.incarnation = excluded.incarnation THEN nodes.since ELSE now() END
    WHERE %(is_first)s OR nodes.incarnation = excluded.incarnation OR nodes.until <= clock_timestamp()"""
_WARN = """
    UPDATE nodes SET rival = %(address)s, rival_until = clock_timestamp() + %(life)s * interval '1 second'
    WHERE name = %(name)s"""
_READ = """
    SELECT name, octets, incarnation, address, is_verified, labels, version, state,
           extract(epoch FROM until - clock_timestamp())::float8, extract(epoch FROM since)::float8, facts, wanted,
           CASE WHEN rival_until > clock_timestamp() THEN rival ELSE '' END
    FROM nodes"""


@frozen
class Member:
    """One node, as its row says.

    :ivar octets: the node in ids.
    :ivar incarnation: the process; another one after a restart.
    :ivar address: host and port for other nodes.
    :ivar is_verified: the node has reached itself at its address.
    :ivar state: ``serving``, ``draining`` or ``left``.
    :ivar until: the time at which it counts as gone, by this node's clock.
    :ivar since: the time of its start, in seconds since the epoch.
    :ivar facts: what it tells of itself, such as ``clients``, its address for clients, and ``sessions``, their number.
    :ivar wanted: the state that an operator wants it to have; empty for none.
    :ivar rival: the address of another gateway that runs under its name; empty for none.
    """

    name: str
    octets: bytes
    incarnation: str
    address: str
    is_verified: bool = False
    labels: tuple[str, ...] = ()
    version: str = __version__
    state: str = SERVING
    until: float = 0.0
    since: float = 0.0
    facts: Mapping[str, Any] = field(factory=dict, eq=False)
    wanted: str = ""
    rival: str = ""


def in_order(members: Collection[Member], key: bytes) -> list[Member]:
    """Return nodes in the order in which a key prefers them (rendezvous hashing): few keys move with a node."""
    return sorted(members, key=lambda each: hashlib.sha256(each.octets + key).digest())


def octets_of(name: str) -> bytes:
    """Return the octets that stand for a node in ids."""
    return hashlib.sha256(b"node " + name.encode()).digest()[:NODE_BYTES]


class Membership:
    """The nodes of the cluster.

    :ivar me: this node.
    :ivar is_member: true while this node's row counts, by its own clock.
    :ivar is_usurped: true while another process serves under this node's name.
    :ivar facts: returns what this node tells of itself in its row, as JSON; asked every `RENEW_S` seconds.
    :ivar on_change: functions that are called when the live nodes, or their rows, have changed.
    :ivar on_return: functions that are called when this node counts again after it did not.
    """

    log = Logger()

    def __init__(self, store: Store, me: Member, clock: Callable[[], float] = boot_seconds) -> None:
        self.me = me
        self.is_usurped = False
        self.facts: Callable[[], dict[str, Any]] = dict
        self.on_change: list[Callable[[], None]] = []
        self.on_return: list[Callable[[], None]] = []
        self._store = store
        self._clock = clock
        self._known: dict[bytes, Member] = {}
        self._is_renewing = False
        self._has_begun = False
        self._has_left = False
        self._was_member = False
        self._ticks = 0
        # See Note [After the store was away].
        self._spared_until = 0.0
        self._spared_since = 0.0
        self._refused: dict[bytes, str] = {}  # the incarnation of a verified node that refuses connections

    @classmethod
    def named(cls, store: Store, name: str, address: str, labels: tuple[str, ...]) -> Membership:
        """Return the nodes around one of this name, which begins a new life."""
        return cls(store, Member(name, octets_of(name), secrets.token_hex(8), address, labels=labels))

    @property
    def may_go_on(self) -> bool:
        """True if the next program of this process can be this node: it has joined, and is not drained."""
        return self._has_begun and not self.is_usurped and self.me.state == SERVING

    def written(self) -> tuple[tuple[Member, ...], tuple[float, float]]:
        """Return the nodes for the next program of this process, this one first, and the time that others have."""
        return (self.me, *self._known.values()), (self._spared_until, self._spared_since)

    def restore(self, members: tuple[Member, ...], spared: tuple[float, float]) -> None:
        """Go on as the node that the former program of this process was."""
        self.me = evolve(members[0], version=__version__)
        self._known = {each.octets: each for each in members[1:]} | {self.me.octets: self.me}
        self._spared_until, self._spared_since = spared
        self._has_begun = self._was_member = True

    @property
    def is_member(self) -> bool:
        """True while this node's row counts, by its own clock."""
        return self._clock() < self.me.until and not self.is_usurped

    def __iter__(self) -> Iterator[Member]:
        return iter(sorted(self._known.values(), key=lambda each: each.name))

    def find(self, octets: bytes) -> Member | None:
        """Return the node of these octets, alive or not; None for an unknown one."""
        return self.me if octets == self.me.octets else self._known.get(octets)

    def named_node(self, name: str) -> Member | None:
        """Return the node of a name."""
        return next((each for each in self if each.name == name), None)

    def is_live(self, member: Member) -> bool:
        """Return whether a node counts as alive."""
        if member.octets == self.me.octets:
            return True
        if member.state == LEFT or self.has_refused(member):
            return False
        now = self._clock()
        return now < member.until or (now < self._spared_until and member.until >= self._spared_since)

    def live(self) -> list[Member]:
        """Return the live nodes, this one among them, by name."""
        return sorted((self.me, *self.others()), key=lambda each: each.name)

    def unseen_s(self, member: Member) -> float | None:
        """Return the seconds since a node has renewed its row; None for one that never has."""
        if not member.until:
            return None
        return max(0.0, self._clock() - member.until + (0 if member.state == LEFT else LIFE_S))

    def others(self) -> list[Member]:
        """Return the other live nodes."""
        return [each for each in self if each.octets != self.me.octets and self.is_live(each)]

    def other(self, octets: bytes | None) -> Member | None:
        """Return the live node of these octets; None for this node, and for one that is unknown or gone."""
        member = self._known.get(octets) if octets is not None else None
        return member if member is not None and octets != self.me.octets and self.is_live(member) else None

    def serving_for(self, thing: bytes) -> Member | None:
        """Return the other serving node that is to take a thing over, the same for all who ask; None without any."""
        return next(iter(in_order([each for each in self.others() if each.state == SERVING], thing)), None)

    def refused(self, member: Member) -> bool:
        """Note that a node refuses connections; return whether it counts as gone by that."""
        if member.is_verified:
            self._refused[member.octets] = member.incarnation
        else:
            self.renew()  # it may have reached itself meanwhile
        return not self.is_live(member)

    def has_refused(self, member: Member) -> bool:
        """Return whether a node is known to have ended by the connections that it refused."""
        return self._refused.get(member.octets) == member.incarnation

    def verify(self) -> None:
        """Note that this node has reached itself at its address."""
        if not self.me.is_verified:
            self.me = evolve(self.me, is_verified=True)
            self.renew()

    def set_state(self, state: str) -> Deferred[None]:
        """Change this node's state; fires when the others can know it.

        :raise StoreLost: (through the Deferred) the store does not answer.
        """
        self.me = evolve(self.me, state=state)
        return self.renew(must=True).addCallback(lambda _: self._store.run(_hurry))

    def tick(self) -> None:
        """Renew this node's row every `RENEW_S` seconds, and sooner while it does not count; called once a second."""
        self._ticks += 1
        if self._ticks % RENEW_S == 1 or not (self.is_member or self.is_usurped):
            self.renew()

    def renew(self, *, must: bool = False) -> Deferred[None]:
        """Renew this node's row and read the others' now; fires when that is done.

        :param must: fail where it cannot be done.
        :raise StoreLost: (through the Deferred) the store does not answer.
        """
        if (self._is_renewing and not must) or self._has_left:
            return succeed(None)
        self._is_renewing = True
        asked_at, me = self._clock(), evolve(self.me, facts=self.facts())
        asked = self._store.run(lambda cursor: _renewed(cursor, me, is_first=not self._has_begun))
        asked.addBoth(self._ended)
        renewed: Deferred[None] = asked.addCallback(self._read, asked_at)
        return renewed if must else renewed.addErrback(self._failed)

    def leave(self) -> Deferred[None]:
        """Say that this node has ended: others take its sessions over at once."""
        me = evolve(self.me, state=LEFT)
        if not self._has_begun or self.is_usurped:
            return succeed(None)
        self._has_left = True  # no later renewal takes that back
        left = self._store.run(lambda cursor: _left(cursor, me))
        return left.addCallbacks(lambda _: None, lambda why: why.trap(StoreLost) and None)

    def _ended(self, result: Any) -> Any:
        self._is_renewing = False
        return result

    def _failed(self, why: Any) -> None:
        if why.check(StoreLost) is None:
            self.log.failure("the row of this node could not be renewed", why, event="cluster.renew_failed")

    def _read(self, rows: list[tuple[Any, ...]], asked_at: float) -> None:
        self.look()  # it may have been no member for less than the time between two looks
        now = self._clock()
        before = [(each.octets, each.incarnation, each.state, each.address) for each in self.live()]
        known = {bytes(row[1]): _member(row, now) for row in rows}
        mine = known[self.me.octets]
        if mine.incarnation != self.me.incarnation:
            self._ousted(mine)
            return
        is_back, self._was_member = self._has_begun and not self._was_member, True
        if is_back and not self.is_usurped:
            self._spared_until, self._spared_since = now + LIFE_S, self.me.until - LIFE_S
        self._known, self.is_usurped = known, False
        self._look_at_rival(mine.rival)
        self.me = evolve(
            self.me,
            since=mine.since,
            facts=mine.facts,
            wanted=mine.wanted,
            rival=mine.rival,
            until=asked_at + LIFE_S,
        )
        self._known[self.me.octets] = self.me
        self._refused = {
            octets: incarnation
            for octets, incarnation in self._refused.items()
            if octets in self._known and self._known[octets].incarnation == incarnation
        }
        if not self._has_begun:
            self._has_begun = True
            self.log.info(
                "this gateway is node {node} of a cluster", event="cluster.joined", node=self.me.name
            )
        if is_back:
            self._tell(self.on_return)
        if is_back or before != [
            (each.octets, each.incarnation, each.state, each.address) for each in self.live()
        ]:
            self._tell(self.on_change)

    def _ousted(self, holder: Member) -> None:
        """Note that another gateway has the name."""
        self.me = evolve(self.me, rival=holder.address)
        if self.is_usurped:
            return
        self.is_usurped, self._was_member = True, False
        self.log.critical(
            "another gateway, at {address}, serves as node {node} of the cluster: give each node a name of its own"
            " (gateway.cluster.node); this one is no member until the other has ended",
            event="cluster.name_taken",
            node=self.me.name,
            address=holder.address,
        )
        self._tell(self.on_change)

    def _look_at_rival(self, rival: str) -> None:
        if rival and not self.me.rival:
            self.log.error(
                "another gateway, at {address}, is called node {node} as this one: give each node a name of its own"
                " (gateway.cluster.node); the other one is no member while this one runs",
                event="cluster.name_shared",
                node=self.me.name,
                address=rival,
            )
        elif self.me.rival and not rival:
            self.log.info(
                "the name {node} is of this gateway alone again",
                event="cluster.name_alone",
                node=self.me.name,
            )

    def look(self) -> None:
        """Note whether this node still counts; called once a second, before anything relies on it."""
        if self._was_member and not self.is_member:
            self._was_member = False
            self.log.warn(
                "node {node} has not reached the store for {life} s: other nodes may serve its sessions from now on",
                event="cluster.cut_off",
                node=self.me.name,
                life=LIFE_S,
            )

    def _tell(self, functions: list[Callable[[], None]]) -> None:
        for each in functions:
            each()


def _member(row: tuple[Any, ...], now: float) -> Member:
    values = list(row)
    values[1], values[5], values[8] = bytes(row[1]), tuple(row[5]), now + row[8]
    return Member(*values)


def _hurry(cursor: Any) -> None:
    cursor.execute("SELECT pg_notify('mcpgateway', %s)", (NEWS,))


def _left(cursor: Any, me: Member) -> None:
    _renewed(cursor, me, is_first=False, life_s=0)
    _hurry(cursor)


def _renewed(cursor: Any, me: Member, *, is_first: bool, life_s: float = LIFE_S) -> list[tuple[Any, ...]]:
    values = {
        "name": me.name,
        "octets": me.octets,
        "incarnation": me.incarnation,
        "address": me.address,
        "is_verified": me.is_verified,
        "labels": list(me.labels),
        "version": me.version,
        "state": me.state,
        "life": life_s,
        "facts": json.dumps(me.facts),
        "is_first": is_first,
    }
    cursor.execute(_RENEW, values)
    if cursor.rowcount == 0:
        cursor.execute(_WARN, values)
    elif is_first:
        _hurry(cursor)
    cursor.execute(_READ)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
