"""The sessions of a node: on record in its home, as those of a lone gateway, and behind that in the store.

# Note [Written behind]
A change is on record in the home at once, and in the store a moment later, many in one transaction.  So no request
waits for the store, and while that is gone changes wait, the oldest of `OWED_LIMIT` being given up: such a session is
known by its id alone, at the node that takes it over.

# Note [Who writes a row]
Each row names the node that serves its session, and only that node writes it, so that a node that was cut off harms
nothing when it comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.cluster.store import Store
from mcpgateway.cluster.verdicts import Verdicts
from mcpgateway.errors import StoreLost
from mcpgateway.interfaces import PARAMS_LIMIT, ISessionStore, SessionRecord
from mcpgateway.records import Record

OWED_LIMIT = 10_000  # sessions with changes that wait
BATCH = 500  # sessions in one transaction
SOON_S = 0.05
HELD_LIMIT = 50_000

_KEEP = """
    INSERT INTO sessions (serial, home, server, principal, version, params, level, uris, workspace, issued)
    VALUES (%(serial)s, %(home)s, %(server)s, %(principal)s, %(version)s, %(params)s, %(level)s, %(uris)s,
            %(workspace)s, %(issued)s)
    ON CONFLICT (serial) DO UPDATE SET level = excluded.level, uris = excluded.uris, seen = now(),
        params = CASE WHEN length(excluded.params) > 0 THEN excluded.params ELSE sessions.params END
    WHERE sessions.home = excluded.home AND NOT sessions.ended"""
_END = """
    INSERT INTO sessions (serial, home, server, principal, version, params, issued, ended)
    VALUES (%(serial)s, %(home)s, '', '', '', '', %(issued)s, true)
    ON CONFLICT (serial) DO UPDATE SET ended = true, params = '', uris = '{}', workspace = '', level = NULL
    WHERE sessions.home = excluded.home OR sessions.home IS NULL"""

_RELEASE = "UPDATE sessions SET home = NULL WHERE serial = ANY(%s) AND home = %s AND NOT ended"


class _Owed(Record):
    """The changes of one session that are not in the store yet."""

    issued: int
    record: SessionRecord | None = None
    is_ended: bool = False


class SessionStore:
    """The records of sessions of a node.

    :ivar verdicts: the verdicts on servers.
    :ivar held: the sessions that this node serves, as far as it has known them since its start.
    :ivar releasing: the sessions that are being given up, with requests that wait for the end of that.
    """

    log = Logger()

    def __init__(self, journal: ISessionStore, store: Store, home: bytes, reactor: Any) -> None:
        self.held: Bounded[bytes, None] = Bounded(HELD_LIMIT)
        self.releasing: dict[bytes, list[Deferred[None]]] = {}
        self.verdicts: Verdicts = journal
        self._journal = journal
        self._store = store
        self._home = home
        self._reactor = reactor
        self._owed: dict[bytes, _Owed] = {}
        self._timer: Any = None
        self._is_writing = False
        self._has_dropped = False
        self._floor = 0

    @property
    def floor(self) -> int:
        """The time, in seconds since the epoch, up to which an id is valid only with a record."""
        return max(self._journal.floor, self._floor)

    def raise_floor(self, floor: int) -> None:
        """Take the floor of the store, which has removed records of ended sessions."""
        self._floor = max(self._floor, floor)

    @property
    def owed(self) -> int:
        """The number of sessions with changes that are not in the store yet."""
        return len(self._owed)

    def find(self, serial: bytes) -> SessionRecord | None:
        """Return the record of a session, or None."""
        return self._journal.find(serial)

    def restore(self, serials: Iterable[bytes]) -> None:
        """Go on serving the sessions that the former program of this process has served."""
        for each in serials:
            self.held[each] = None

    def take(self, record: SessionRecord, issued: int) -> None:
        """Put a session on record that this node serves from now on."""
        self.held[record.serial] = None
        self._journal.keep(record, issued)
        for uri in record.uris:
            self._journal.subscribe(record.serial, uri)

    def lose(self, serials: Iterable[bytes]) -> None:
        """Forget that this node serves sessions."""
        for serial in serials:
            self.held.pop(serial, None)
            self._owed.pop(serial, None)

    def release(self, serials: Iterable[bytes]) -> Deferred[None]:
        """Give sessions up that this node serves: the node that gets their next request serves them.

        :raise StoreLost: (through the Deferred) the store does not answer, and this node still serves them.
        """
        given = list(serials)
        self.releasing.update({serial: [] for serial in given})

        def work(cursor: Any) -> None:
            cursor.execute(_RELEASE, (given, self._home))

        released = self.flush().addCallback(lambda _: self._store.run(work))
        return released.addCallback(lambda _: self.lose(given)).addBoth(self._released, given)

    def _released(self, result: Any, serials: list[bytes]) -> Any:
        for serial in serials:
            for each in self.releasing.pop(serial, ()):
                each.callback(None)
        return result

    def keep(self, record: SessionRecord, issued: int) -> None:
        """Write or update the record of a session; its subscriptions stay as they are."""
        self.held[record.serial] = None
        self._journal.keep(record, issued)
        owed = self._owe(record.serial, issued)
        params = record.params or (owed.record.params if owed.record is not None else b"")
        owed.record = evolve(record, params=params if len(params) <= PARAMS_LIMIT else b"")

    def subscribe(self, serial: bytes, uri: str) -> None:
        """Record that a session has subscribed to a resource."""
        self._journal.subscribe(serial, uri)
        self._again(serial)

    def unsubscribe(self, serial: bytes, uri: str) -> None:
        """Record that a session has unsubscribed from a resource."""
        self._journal.unsubscribe(serial, uri)
        self._again(serial)

    def end(self, serial: bytes, issued: int) -> None:
        """Record that a session has ended for good."""
        self._journal.end(serial, issued)
        self._owe(serial, issued).is_ended = True

    def verdict(self, launch: str) -> str | None:
        """Return why a server needs a child for each session; empty if it can be shared, None if that is undecided."""
        return self.verdicts.verdict(launch)

    def judge(self, launch: str, why: str) -> None:
        """Record why a server needs a child for each session; empty if it can be shared."""
        self.verdicts.judge(launch, why)

    def settle(self) -> None:
        """Write the records that could not be written before; cheap without any."""
        self._journal.settle()
        if self._owed and self._timer is None:
            self._write_soon()

    def close(self, *, is_followed: bool = False) -> None:
        """Close the files; `flush` is called before.

        :param is_followed: true if the next program of this process opens them at once.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._journal.close(is_followed=is_followed)

    def flush(self) -> Deferred[None]:
        """Write what waits, as far as the store can be reached; fires when that is done."""
        if not self._owed:
            return succeed(None)
        written = Deferred.fromCoroutine(self._write())
        return written.addErrback(lambda _: None)

    def _again(self, serial: bytes) -> None:
        record = self._journal.find(serial)
        if record is not None and not record.is_ended:
            owed = self._owed.get(serial)
            if owed is None or owed.record is None:
                self._owe(serial, 0).record = record

    def _owe(self, serial: bytes, issued: int) -> _Owed:
        owed = self._owed.get(serial)
        if owed is None:
            if len(self._owed) >= OWED_LIMIT:
                self._drop_oldest()
            owed = self._owed[serial] = _Owed(issued)
        if self._timer is None:
            self._write_soon()
        return owed

    def _drop_oldest(self) -> None:
        del self._owed[next(iter(self._owed))]
        if not self._has_dropped:
            self.log.warn(
                "the store has been gone for so long that sessions are not written to it any more; they go on here",
                event="cluster.sessions_dropped",
            )
        self._has_dropped = True

    def _write_soon(self) -> None:
        self._timer = self._reactor.callLater(SOON_S, self._write_now)

    def _write_now(self) -> None:
        self._timer = None
        if not self._is_writing:
            Deferred.fromCoroutine(self._write()).addErrback(self._not_written)

    def _not_written(self, why: Failure) -> None:
        if why.check(StoreLost) is None:
            self.log.failure(
                "sessions could not be written to the store", why, event="cluster.sessions_failed"
            )

    async def _write(self) -> None:
        self._is_writing = True
        try:
            while self._owed:
                serials = list(self._owed)[:BATCH]
                batch = {serial: self._owed.pop(serial) for serial in serials}
                kept, ended = self._rows(batch)
                try:
                    await self._store.run(partial(_written, kept, ended))
                except BaseException:
                    # What came meanwhile is newer.
                    self._owed = {**batch, **self._owed}
                    raise
                self._has_dropped = False
        finally:
            self._is_writing = False

    def _rows(self, batch: dict[bytes, _Owed]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        kept, ended = [], []
        for serial, owed in batch.items():
            if owed.is_ended:
                ended.append({"serial": serial, "home": self._home, "issued": owed.issued})
            elif owed.record is not None:
                kept.append(self._row(owed.record, owed.issued))
        return kept, ended

    def _row(self, record: SessionRecord, issued: int) -> dict[str, Any]:
        found = self._journal.find(record.serial)
        return {
            "serial": record.serial,
            "home": self._home,
            "server": record.server,
            "principal": record.principal,
            "version": record.version,
            "params": record.params or (found.params if found is not None else b""),
            "level": record.level,
            "uris": list(found.uris) if found is not None else [],
            "workspace": record.workspace,
            "issued": issued,
        }


def _written(kept: list[dict[str, Any]], ended: list[dict[str, Any]], cursor: Any) -> None:
    if kept:
        cursor.executemany(_KEEP, kept)
    if ended:
        cursor.executemany(_END, ended)
