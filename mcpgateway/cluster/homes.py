"""Find the node that serves a session, and take over a session whose node is gone.

# Note [One node serves a session]
A session id names the node that has begun it.  The id's word holds while that node is alive; after that the row of the
session decides, which one statement changes for exactly one node.  A node that has started again, or was cut off for
longer than its row counts, asks for the row before it serves a session that it began itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.cluster.membership import LEFT, SERVING, Member, Membership
from mcpgateway.cluster.session_store import SessionStore
from mcpgateway.cluster.store import Store
from mcpgateway.errors import StoreLost, UnknownSession
from mcpgateway.interfaces import SessionRecord
from mcpgateway.protocol.session_ids import Issued

KNOWN_LIMIT = 50_000  # sessions whose home is another one than their id says
TRIES = 4
ALONE = "its node has gone, and the store of the cluster cannot be asked whose session this is"
WAITING = "its node does not answer, and may be back in a moment"

_TAKE = """
    INSERT INTO sessions (serial, home, epoch, server, principal, version, params, issued)
    VALUES (%(serial)s, %(me)s, 1, %(server)s, %(principal)s, %(version)s, '', %(issued)s)
    ON CONFLICT (serial) DO UPDATE SET home = %(me)s, epoch = sessions.epoch + 1, seen = now()
    WHERE NOT sessions.ended AND (sessions.home IS NULL OR sessions.home = %(me)s OR sessions.home = %(gone)s)
    RETURNING server, principal, version, params, level, uris, workspace"""
_LIVES = """
    SELECT 1 FROM nodes WHERE octets = %(gone)s AND octets <> %(me)s AND state <> %(left)s
        AND until > clock_timestamp() AND incarnation <> %(refused)s"""
_FIND = "SELECT home, ended FROM sessions WHERE serial = %(serial)s"


@frozen
class Elsewhere:
    """A session is served by another node."""

    member: Member


@frozen
class Here:
    """A session is served by this node, from now on if it was not before.

    :ivar is_new: it was served by another node, or by a former life of this one.
    """

    is_new: bool = False


@frozen
class _Row:
    """The outcome of a take-over.

    :ivar record: the session, if it was taken.
    :ivar home: its node, if it was not.
    :ivar lives: the node that was thought to be gone is alive.
    """

    record: SessionRecord | None = field(default=None, repr=False)
    home: bytes | None = None
    is_ended: bool = False
    lives: bool = False


class Homes:
    """The nodes of sessions, as far as this node knows them.

    :ivar taken: called with the serial of each session that this node has taken over.
    :ivar lost: called with the serials of sessions that another node serves now, or that have ended there.
    """

    log = Logger()

    def __init__(self, store: Store, membership: Membership, sessions: SessionStore) -> None:
        self.taken: Callable[[bytes], None] = _ignore
        self.lost: Callable[[Collection[bytes]], None] = _ignore
        self._store = store
        self._membership = membership
        self._sessions = sessions
        self._known: Bounded[bytes, bytes] = Bounded(KNOWN_LIMIT)
        self._asking: dict[bytes, list[Deferred[Here | Elsewhere]]] = {}

    @property
    def is_sure(self) -> bool:
        """True while this node's own sessions need no question, because nobody else may have taken them."""
        return self._membership.is_member or not self._store.is_up

    def note(self, serial: bytes, home: bytes) -> None:
        """Note the node that serves a session, as another node has said."""
        self._known[serial] = home

    def of(
        self, issued: Issued, server: str, principal: str
    ) -> Deferred[Here | Elsewhere] | Here | Elsewhere:
        """Return the place where a session is served, or a Deferred of it where the store has to be asked.

        :raise StoreLost: (through the Deferred) its node is gone, and the store, too.
        :raise UnknownSession: (through the Deferred) the session has ended.
        """
        waits = self._sessions.releasing.get(issued.serial)
        if waits is not None:
            until: Deferred[Any] = Deferred()
            waits.append(until)
            return until.addCallback(lambda _: self.of(issued, server, principal))
        me = self._membership.me
        home = self._known.get(issued.serial, issued.node)
        if home != me.octets and issued.serial not in self._known and self._is_on_record(issued.serial):
            home = self._known[issued.serial] = me.octets  # taken over in a former life of this node, maybe
        if home == me.octets:
            if issued.serial in self._sessions.held and self.is_sure:
                return Here()
            if me.state != SERVING and issued.serial not in self._sessions.held:
                other = self._membership.serving_for(issued.serial)
                if other is not None:
                    return Elsewhere(other)
        else:
            member = self._membership.find(home)
            # A node that is drained gives its sessions up one by one.
            if member is not None and member.state == SERVING and self._membership.is_live(member):
                return Elsewhere(member)
        waiting = self._asking.get(issued.serial)
        done: Deferred[Here | Elsewhere] = Deferred()
        if waiting is not None:
            waiting.append(done)
            return done
        self._asking[issued.serial] = [done]
        asked = Deferred.fromCoroutine(self._ask(issued, server, principal))
        asked.addBoth(self._tell, issued.serial)
        return done

    def _is_on_record(self, serial: bytes) -> bool:
        record = self._sessions.find(serial)
        return record is not None and not record.is_ended

    def _tell(self, result: Any, serial: bytes) -> None:
        for each in self._asking.pop(serial):
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(result)

    async def _ask(self, issued: Issued, server: str, principal: str) -> Here | Elsewhere:
        home = self._known.get(issued.serial, issued.node)
        for _ in range(TRIES):
            row = await self._take(issued, home, server, principal)
            if row.record is not None:
                return self._taken_over(row.record, issued, home)
            if row.is_ended:
                raise UnknownSession("Session not found")
            if not row.lives and row.home is not None:
                home = self._known[issued.serial] = row.home
            if home == self._membership.me.octets:
                continue
            self._forget((issued.serial,))
            member = await self._living(home)
            if member is not None:
                return Elsewhere(member)
            if row.lives:
                break
        raise StoreLost(what=f"Service Unavailable: {WAITING}")

    def _taken_over(self, record: SessionRecord, issued: Issued, home: bytes) -> Here:
        # Its id names the node that has begun it, which may be alive again.
        self._known[issued.serial] = self._membership.me.octets
        is_new = issued.serial not in self._sessions.held
        self._sessions.take(record, issued.issued)
        if is_new and home != self._membership.me.octets:
            self.log.info(
                "a session of {server} is served here now: its node has gone",
                event="cluster.session_taken",
                server=record.server,
            )
            self.taken(issued.serial)
        return Here(is_new)

    async def _living(self, octets: bytes) -> Member | None:
        member = self._membership.find(octets)
        if member is None or not self._membership.is_live(member):
            await self._membership.renew(must=True)
            member = self._membership.find(octets)
        return member if member is not None and self._membership.is_live(member) else None

    async def _take(self, issued: Issued, gone: bytes, server: str, principal: str) -> _Row:
        member = self._membership.find(gone)
        refused = member.incarnation if member is not None and self._membership.has_refused(member) else ""
        values = {
            "serial": issued.serial,
            "me": self._membership.me.octets,
            "gone": gone,
            "server": server,
            "principal": principal,
            "version": issued.version,
            "issued": issued.issued,
            "left": LEFT,
            "refused": refused,
        }
        floor = self._sessions.floor
        try:
            return await self._store.run(lambda cursor: _taken(cursor, values, issued, floor))
        except StoreLost as why:
            if gone == self._membership.me.octets and issued.serial in self._sessions.held:
                return _Row(self._sessions.find(issued.serial) or _bare(issued, server, principal))
            raise StoreLost(why.why, f"Service Unavailable: {ALONE}") from why

    def _forget(self, serials: Collection[bytes]) -> None:
        self.lost(serials)
        self._sessions.lose(serials)

    def lost_of(self, serials: Iterable[bytes]) -> Deferred[list[bytes]]:
        """Return those of some sessions that another node serves now, and forget that this one did.

        :raise StoreLost: (through the Deferred) the store does not answer.
        """
        asked, me = list(serials), self._membership.me.octets
        if not asked:
            return succeed([])

        def look(cursor: Any) -> list[tuple[bytes, bytes | None]]:
            cursor.execute(
                "SELECT serial, home FROM sessions WHERE serial = ANY(%s) AND (home IS DISTINCT FROM %s OR ended)",
                (asked, me),
            )
            return [
                (bytes(serial), bytes(home) if home is not None else None)
                for serial, home in cursor.fetchall()
            ]

        def found(rows: list[tuple[bytes, bytes | None]]) -> list[bytes]:
            for serial, home in rows:
                if home is not None and home != me:
                    self._known[serial] = home
            lost = [serial for serial, _ in rows]
            self._forget(lost)
            return lost

        return self._store.run(look).addCallback(found)


def _bare(issued: Issued, server: str, principal: str) -> SessionRecord:
    return SessionRecord(issued.serial, server, principal, issued.version)


def _taken(cursor: Any, values: dict[str, Any], issued: Issued, floor: int) -> _Row:
    cursor.execute(_FIND + " FOR UPDATE", values)
    found = cursor.fetchone()
    if found is None and issued.issued <= floor:
        return _Row(is_ended=True)
    if found is not None and found[1]:
        return _Row(is_ended=True)
    home = bytes(found[0]) if found is not None and found[0] is not None else None
    if home is not None and home not in (values["me"], values["gone"]):
        return _Row(home=home)
    if home is not None or found is None:
        cursor.execute(_LIVES, values)
        if cursor.fetchone() is not None:
            return _Row(lives=True)
    cursor.execute(_TAKE, values)
    row = cursor.fetchone()
    if row is None:  # another node was faster
        cursor.execute(_FIND, values)
        found = cursor.fetchone()
        return _Row(home=bytes(found[0]) if found[0] is not None else None, is_ended=found[1])
    server, principal, version, params, level, uris, workspace = row
    return _Row(
        SessionRecord(
            issued.serial,
            server,
            principal,
            version,
            bytes(params),
            level,
            None,
            tuple(uris),
            workspace=workspace,
        )
    )


def _ignore(sessions: object) -> None:
    """Ignore what has become of sessions."""
