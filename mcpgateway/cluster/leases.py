"""Leases of the cluster: a name belongs to one node at a time, and each new holder has a larger number, the fence.

# Note [Who holds a lease]
The database's clock decides: a lease can be taken once its time is over there.  The holder counts that time from before
it asked, on a clock that goes on while the machine sleeps, and stops `MARGIN_S` earlier.  So the former holder has
ended its work before the next one begins, as long as both clocks run at the same speed; what they show does not matter.

# Note [Numbers that never come again]
A fence is larger than the one before it, and no smaller than the microseconds of the database's clock.  So a number is
not given out twice, even if the database was restored from a backup that knows less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.node_state import LeaseState
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost
from mcpgateway.system.process.boot_clock import boot_seconds

MARGIN_S = 5.0  # between the holder's own deadline and the time at which others may take the lease
RENEWALS = 6  # within the time of a lease
KEPT_DAYS = 30  # for the row of a lease that nobody holds
WORD = "lease"  # the first word of this part's messages

_TAKE = """
    INSERT INTO leases AS held (name, node, incarnation, fence, until)
    VALUES (%(name)s, %(node)s, %(incarnation)s,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
            clock_timestamp() + %(life)s * interval '1 second')
    ON CONFLICT (name) DO UPDATE SET node = excluded.node, incarnation = excluded.incarnation,
        fence = GREATEST(held.fence + 1, excluded.fence), until = excluded.until
    WHERE held.until <= clock_timestamp()
        OR (held.node = excluded.node AND held.incarnation = ANY(%(lives)s))
    RETURNING node, incarnation, fence, 0"""
_READ = """
    SELECT node, incarnation, fence, extract(epoch FROM until - clock_timestamp())::float8
    FROM leases WHERE name = %(name)s"""
_RENEW = """
    UPDATE leases SET until = clock_timestamp() + %(life)s * interval '1 second'
    FROM unnest(%(names)s::text[], %(fences)s::bigint[]) AS mine (name, fence)
    WHERE leases.name = mine.name AND leases.fence = mine.fence AND leases.node = %(node)s
        AND leases.incarnation = %(incarnation)s AND leases.until > clock_timestamp()
    RETURNING leases.name, leases.fence"""
_RELEASE = """
    UPDATE leases SET until = '-infinity'
    WHERE name = %(name)s AND fence = %(fence)s AND node = %(node)s AND incarnation = %(incarnation)s"""
_PRUNE = "DELETE FROM leases WHERE until < clock_timestamp() - %s * interval '1 day'"


@frozen
class LeaseHolder:
    """The node that holds a lease, as the store says.

    :ivar node: the octets of the node.
    :ivar fence: its number.
    :ivar left_s: the seconds until others may take it, unless it is renewed.
    """

    name: str
    node: bytes
    fence: int
    left_s: float = field(default=0.0, eq=False)


@define(eq=False)
class Lease:
    """A lease that this node holds.

    :ivar fence: its number.
    :ivar deadline: the time by `boot_seconds` at which the work under the lease has to have ended.
    :ivar is_held: false once it is lost or released.
    :ivar on_renewed: functions that get each new deadline.
    :ivar on_lost: functions that are called once, when the lease is lost.
    :ivar children: the number of children under it that have a process.
    :ivar on_idle: functions that are called whenever the last of them has ended.
    """

    name: str
    fence: int
    deadline: float
    is_held: bool = True
    on_renewed: list[Callable[[float], None]] = field(factory=list)
    on_lost: list[Callable[[], None]] = field(factory=list)
    children: int = 0
    on_idle: list[Callable[[], None]] = field(factory=list)

    def begun(self) -> None:
        """Note that a child is about to start under the lease."""
        self.children += 1

    def ended(self) -> None:
        """Note that no process of a child is left."""
        self.children -= 1
        if not self.children:
            for each in list(self.on_idle):
                each()


class Leases(NodePart):
    """The leases that this node holds, and the way to others (`mcpgateway.cluster.part.NodePart`).

    :param life_s: the time in seconds for which a lease counts without renewal.
    :param former: the incarnation of this node's former life whose processes have ended, or ''.
    :ivar margin_s: the seconds before the end of a lease at which its holder has to have ended its work.
    :ivar on_free: functions that are called with the name of a lease that another node has released.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        membership: Membership,
        reactor: Any,
        life_s: float,
        former: str = "",
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self.margin_s = min(MARGIN_S, life_s / RENEWALS)
        self.on_free: list[Callable[[str], None]] = []
        self._store = store
        self._membership = membership
        self._life_s = life_s
        self._former = former
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._asked: dict[str, list[Deferred[Lease | LeaseHolder]]] = {}
        self._releasing: set[Deferred[Any]] = set()
        self._is_renewing = False
        self._is_closing = False
        self._loop = LoopingCall(self.renew)
        self._loop.clock = reactor
        self._reactor = reactor
        self._end: Any = None  # the timer of the earliest deadline

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._held.values()))

    @property
    def renew_s(self) -> float:
        """The seconds between two renewals."""
        return self._life_s / RENEWALS

    def find(self, name: str) -> Lease | None:
        """Return a lease that this node holds now; None where it does not."""
        lease = self._held.get(name)
        return lease if lease is not None and lease.is_held and self._clock() < lease.deadline else None

    def want(self, name: str) -> Deferred[Lease | LeaseHolder]:
        """Take a lease, or find out which node holds it.

        :raise StoreLost: (through the Deferred) the store does not answer.
        """
        held = self.find(name)
        if held is not None:
            return succeed(held)
        if self._is_closing:
            return fail(StoreLost("this node is being stopped"))
        done: Deferred[Lease | LeaseHolder] = Deferred()
        waiting = self._asked.setdefault(name, [])
        waiting.append(done)
        if len(waiting) == 1:
            self.look()  # a lease of that name whose time is over is lost before it is taken anew
            values = {**self._me(), "name": name, "life": self._life_s}
            values["lives"] = [each for each in (self._former, values["incarnation"]) if each]
            asked_at = self._clock()
            asked = self._store.run(lambda cursor: _taken(cursor, values))
            asked.addCallback(self._take, name, asked_at)
            asked.addBoth(self._tell, name)
        return done

    def holder(self, name: str) -> Deferred[LeaseHolder | None]:
        """Find out which node holds a lease; fires with None where it is free.

        :raise StoreLost: (through the Deferred) the store does not answer.
        """
        return self._store.run(lambda cursor: _holder(cursor, name))

    def release(self, lease: Lease) -> Deferred[None]:
        """Give up a lease whose work has ended, so that others can take it at once; fires when the store knows.

        A store that does not answer lets the lease run out.
        """
        if not lease.is_held:
            return succeed(None)
        self._drop(lease)
        values = {**self._me(), "name": lease.name, "fence": lease.fence}
        released = self._store.run(lambda cursor: _released(cursor, values))
        self._releasing.add(released)
        released.addErrback(self._failed, "released")
        return released.addBoth(lambda _: self._releasing.discard(released))

    def begin(self) -> None:
        """Renew from now on."""
        self._loop.start(self.renew_s, now=False)
        pruned = self._store.run(lambda cursor: cursor.execute(_PRUNE, (KEPT_DAYS,)))
        pruned.addErrback(self._failed, "pruned")

    def tick(self) -> None:
        """End what is over; called once a second."""
        self.look()

    def heard(self, message: str) -> None:
        """Take the message of another node that it has released a lease."""
        word, _, name = message.partition(" ")
        if word == WORD:
            for each in list(self.on_free):
                each(name)

    def close(self) -> Deferred[None]:
        """Release all leases; fires when the store knows.  The work under them has ended before."""
        if self._loop.running:
            self._loop.stop()
        self._is_closing = True
        for lease in self:
            self.release(lease)
        closed = DeferredList(list(self._releasing), consumeErrors=True)
        return closed.addCallback(lambda _: None)

    def pause(self) -> Deferred[None]:
        """Renew all leases once more, and keep them for the next program; fires when that is done, or has failed."""
        if self._loop.running:
            self._loop.stop()
        self._is_closing = True
        return self.renew()

    def written(self) -> tuple[LeaseState, ...]:
        """Return the leases for the next program of this process."""
        return tuple(LeaseState(each.name, each.fence, each.deadline) for each in self)

    def restore(self, states: Iterable[LeaseState]) -> None:
        """Go on with the leases of the former program of this process, which counts no more."""
        for each in states:
            self._held[each.name] = Lease(each.name, each.fence, each.deadline)
        self._set_timer()

    def renew(self) -> Deferred[None]:
        """Renew all leases of this node in one statement; fires when that is done."""
        self.look()
        if not self._held or self._is_renewing:
            return succeed(None)
        self._is_renewing = True
        held = list(self._held.values())
        values = {
            **self._me(),
            "life": self._life_s,
            "names": [each.name for each in held],
            "fences": [each.fence for each in held],
        }
        asked_at = self._clock()
        renewed = self._store.run(lambda cursor: _renewed(cursor, values))
        renewed.addBoth(self._went_on)
        return renewed.addCallback(self._renewed, held, asked_at).addErrback(self._failed, "renewed")

    def look(self) -> None:
        """Lose the leases whose time is over."""
        now = self._clock()
        for lease in self:
            if now >= lease.deadline:
                self._lose(lease, "could not be renewed in time")
        self._set_timer()

    def _set_timer(self) -> None:
        if self._end is not None and self._end.active():
            self._end.cancel()
        self._end = None
        if self._held:
            first = min(each.deadline for each in self._held.values())
            self._end = self._reactor.callLater(max(0.0, first - self._clock()), self.look)

    def _me(self) -> dict[str, Any]:
        me = self._membership.me
        return {"node": me.octets, "incarnation": me.incarnation}

    def _deadline(self, asked_at: float) -> float:
        return asked_at + self._life_s - self.margin_s

    def _take(self, row: tuple[Any, ...], name: str, asked_at: float) -> Lease | LeaseHolder:
        node, incarnation, fence, left_s = row
        me = self._membership.me
        if (bytes(node), incarnation) != (me.octets, me.incarnation):
            return LeaseHolder(name, bytes(node), fence, left_s)
        lease = self._held[name] = Lease(name, fence, self._deadline(asked_at))
        self.log.info(
            "this node has the lease {name} with the number {fence}",
            event="lease.taken",
            name=name,
            fence=fence,
        )
        self.look()
        return lease

    def _tell(self, result: Any, name: str) -> None:
        for done in self._asked.pop(name, ()):
            done.callback(result)

    def _went_on(self, result: Any) -> Any:
        self._is_renewing = False
        return result

    def _renewed(self, rows: list[tuple[str, int]], held: list[Lease], asked_at: float) -> None:
        renewed = set(rows)
        for lease in held:
            if not lease.is_held:
                continue
            if (lease.name, lease.fence) not in renewed:
                self._lose(lease, "is another node's now")
                continue
            lease.deadline = self._deadline(asked_at)
            for each in list(lease.on_renewed):
                each(lease.deadline)
        self.look()

    def _lose(self, lease: Lease, why: str) -> None:
        self._drop(lease)
        self.log.warn(
            "the lease {name} with the number {fence} {why}: this node ends the work under it",
            event="lease.lost",
            name=lease.name,
            fence=lease.fence,
            why=why,
        )
        for each in list(lease.on_lost):
            each()

    def _drop(self, lease: Lease) -> None:
        lease.is_held = False
        if self._held.get(lease.name) is lease:
            del self._held[lease.name]

    def _failed(self, why: Failure, what: str) -> None:
        if why.check(StoreLost) is None:
            self.log.failure("leases could not be {what}", why, event="lease.failed", what=what)


def _taken(cursor: Any, values: dict[str, Any]) -> tuple[Any, ...]:
    cursor.execute(_TAKE, values)
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    if not rows:
        cursor.execute(_READ, values)
        rows = cursor.fetchall()
    return rows[0]


def _holder(cursor: Any, name: str) -> LeaseHolder | None:
    cursor.execute(f"{_READ} AND until > clock_timestamp()", {"name": name})
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return LeaseHolder(name, bytes(rows[0][0]), *rows[0][2:]) if rows else None


def _renewed(cursor: Any, values: dict[str, Any]) -> list[tuple[str, int]]:
    cursor.execute(_RENEW, values)
    rows: list[tuple[str, int]] = cursor.fetchall()
    return rows


def _released(cursor: Any, values: dict[str, Any]) -> None:
    cursor.execute(_RELEASE, values)
    if cursor.rowcount:
        cursor.execute("SELECT pg_notify('mcpgateway', %s)", (f"{WORD} {values['name']}",))
