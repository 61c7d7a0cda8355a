"""The documents of the cluster: the same small texts on all nodes, such as tokens and configuration files.

# Note [Nothing is missed]
Every change gets a number under the lock of one row, which it holds until its commit.  So numbers become visible in
their order, and "all since number N" misses none.  NOTIFY only hurries the node, which asks once a second anyhow.

# Note [A restored store]
A backup that is restored has lower numbers, or lacks some.  The sum of the numbers, which comes with each answer,
differs from the node's own then: the node reads all documents anew.  Numbers follow the store's clock, so none that was
given before the restore is given twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.sealing import Sealing, Unsealable
from mcpgateway.cluster.store import CHANNEL, Store
from mcpgateway.errors import InvalidParams, Outdated, StoreLost
from mcpgateway.records import FrozenRecord
from mcpgateway.system.process.boot_clock import boot_seconds
from mcpgateway.waiting import Waiting

WORD = "documents"
BODY_LIMIT = 8 * 1_048_576  # bytes
BATCH = 200
POLLS_LIMIT = 30  # of all nodes together, in a second
RESEALED = 50  # in a second
PRUNE_TICKS, KEPT_DAYS = 3600, 30  # for the rows of documents that are gone
MARK_TICKS = 30

_SINCE = """
    SELECT s.total, d.kind, d.name, d.number, d.body, d.gone, d.writer
    FROM (SELECT coalesce(sum(number), 0) AS total FROM documents WHERE NOT gone) s
    LEFT JOIN LATERAL (SELECT kind, name, number, body, gone, writer FROM documents
                       WHERE number > %s ORDER BY number LIMIT %s) d ON true ORDER BY d.number"""
_NUMBER = """
    UPDATE marks SET value = greatest(value + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    WHERE name = 'number' RETURNING value"""
_HELD = "SELECT number, gone, writer, body FROM documents WHERE kind = %s AND name = %s"
_WRITE = """
    INSERT INTO documents (kind, name, number, body, gone, writer, at) VALUES (%s, %s, %s, %s, %s, %s, now())
    ON CONFLICT (kind, name) DO UPDATE SET number = excluded.number, body = excluded.body, gone = excluded.gone,
        writer = excluded.writer, at = excluded.at"""
_RESEAL = "UPDATE documents SET body = %s WHERE kind = %s AND name = %s AND number = %s AND body = %s"
_PRUNE = "DELETE FROM documents WHERE gone AND at < now() - %s * interval '1 day'"
_READ_UP_TO = "UPDATE nodes SET read = %s WHERE name = %s AND incarnation = %s"

Place = tuple[str, str]
Row = tuple[Any, ...]


class ClusterDocument(FrozenRecord, frozen=True):
    """One document.

    :ivar kind: its kind, such as ``token``.
    :ivar number: its version; 0 for a document that was never there.
    :ivar writer: the node that has written it.
    :ivar is_gone: true for a document that was removed.
    """

    kind: str
    name: str
    number: int
    body: bytes
    writer: str = ""
    is_gone: bool = False

    @property
    def place(self) -> Place:
        """The kind and the name."""
        return self.kind, self.name


class DocumentChange(FrozenRecord, frozen=True):
    """A change of one document.

    :ivar body: its new body; None removes it.
    :ivar expected: the number that it has to have until then, 0 for none; None: any.
    """

    kind: str
    name: str
    body: bytes | None
    expected: int | None = None


class OtherDocument(Outdated):
    """Another node has changed a document meanwhile.

    :ivar document: the other node's; one that is gone where it has removed it.
    """

    def __init__(self, document: ClusterDocument) -> None:
        super().__init__(f"{document.name} was changed at node {document.writer} meanwhile")
        self.document = document


class Documents(NodePart):
    """The mirror of the store's documents at one node.

    :ivar number: the number up to which the node has read.
    :ivar is_read: true once the node has read the store in this life.
    :param files: the local copy, from which a node starts without the store.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        membership: Membership,
        sealing: Sealing,
        files: DocumentFiles,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self.number = 0
        self.is_read = False
        self._store = store
        self._membership = membership
        self._sealing = sealing
        self._files = files
        self._clock = clock
        self._known: dict[Place, ClusterDocument] = {}
        self._sealed: dict[Place, tuple[int, bytes]] = {}  # of a key that is not the newest
        self._closed: dict[Place, int] = {}  # the numbers of those that no key opens
        self._subscribers: dict[str, list[Callable[[Sequence[ClusterDocument]], None]]] = {}
        self._is_reading = False
        self._reads_again = False
        self._settling: Waiting[None] = Waiting()
        self._ticks = 0
        self._told = -1
        self._read_at = clock() - files.age_s()
        self._load()

    # Reading

    def get(self, kind: str, name: str) -> ClusterDocument | None:
        """Return a document as this node knows it; None where there is none."""
        return self._known.get((kind, name))

    def all(self, kind: str) -> list[ClusterDocument]:
        """Return all documents of a kind, by name."""
        return sorted(
            (each for each in self._known.values() if each.kind == kind), key=lambda each: each.name
        )

    def is_closed(self, kind: str, name: str) -> bool:
        """Return whether there is such a document that this node has no key for."""
        return (kind, name) in self._closed

    def subscribe(self, kind: str, changed: Callable[[Sequence[ClusterDocument]], None]) -> None:
        """Call a function with the documents of a kind that have changed, those that are gone among them."""
        self._subscribers.setdefault(kind, []).append(changed)

    @property
    def lost_s(self) -> float:
        """The time in seconds for which the store could not be read; counted on over a restart of the node."""
        return max(0.0, self._clock() - self._read_at)

    # Writing

    def put(self, kind: str, name: str, body: bytes) -> Deferred[ClusterDocument]:
        """Write a document, whatever it was; fires with it once the store has it.

        :raise StoreLost: (through the Deferred) the store does not answer; it may have it or not.
        """
        return self.write(DocumentChange(kind, name, body)).addCallback(_first)

    def replace(self, kind: str, name: str, body: bytes, expected: int) -> Deferred[ClusterDocument]:
        """Write a document that nobody has changed meanwhile.

        :param expected: its number so far; 0 for a new one.
        :raise OtherDocument: (through the Deferred) it was changed; nothing is written.
        :raise StoreLost: (through the Deferred) the store does not answer; it may have it or not.
        """
        return self.write(DocumentChange(kind, name, body, expected)).addCallback(_first)

    def remove(self, kind: str, name: str, expected: int | None = None) -> Deferred[ClusterDocument]:
        """Remove a document; errors are those of `replace`."""
        return self.write(DocumentChange(kind, name, None, expected)).addCallback(_first)

    def write(self, *changes: DocumentChange) -> Deferred[list[ClusterDocument]]:
        """Carry out changes, all or none.

        :raise OtherDocument: (through the Deferred) one was changed meanwhile; nothing is written.
        :raise StoreLost: (through the Deferred) the store does not answer; it may have them or not.
        :raise InvalidParams: a body is too large.
        """
        for each in changes:
            if each.body is not None and len(each.body) > BODY_LIMIT:
                raise InvalidParams(
                    f"{each.name}: is larger than {BODY_LIMIT} bytes, the most that the cluster keeps"
                )
        writer = f"{self._membership.me.name} {secrets.token_hex(8)}"
        sealed = [
            (each, b"" if each.body is None else self._sealing.seal(each.kind, each.name, each.body))
            for each in changes
        ]

        def work(cursor: Any) -> tuple[list[int], list[Row]]:
            numbers = [self._written(cursor, each, body, writer) for each, body in sealed]
            cursor.execute(f"SELECT pg_notify('{CHANNEL}', %s)", (f"{WORD} {max(numbers)}",))
            cursor.execute(_SINCE, (self.number, BATCH))
            return numbers, cursor.fetchall()

        def done(found: tuple[list[int], list[Row]]) -> list[ClusterDocument]:
            numbers, rows = found
            self._take(rows)
            return [
                ClusterDocument(
                    each.kind,
                    each.name,
                    number,
                    each.body or b"",
                    self._membership.me.name,
                    each.body is None,
                )
                for (each, _), number in zip(sealed, numbers, strict=True)
            ]

        return self._store.run(work).addCallback(done)

    def _written(self, cursor: Any, change: DocumentChange, body: bytes, writer: str) -> int:
        cursor.execute(_NUMBER)
        number: int = cursor.fetchone()[0]
        cursor.execute(_HELD, (change.kind, change.name))
        held = cursor.fetchone()
        if held is not None and held[2] == writer:
            found: int = held[0]
            return found  # the work is run a second time, since its connection broke after the commit
        present = 0 if held is None or held[1] else held[0]
        if change.expected is not None and present != change.expected:
            raise OtherDocument(self._other(change, held))
        cursor.execute(_WRITE, (change.kind, change.name, number, body, change.body is None, writer))
        return number

    def _other(self, change: DocumentChange, held: Row | None) -> ClusterDocument:
        if held is None:
            return ClusterDocument(change.kind, change.name, 0, b"", is_gone=True)
        body = b""
        if not held[1]:
            body, _ = self._sealing.open(change.kind, change.name, bytes(held[3]))
        return ClusterDocument(change.kind, change.name, held[0], body, _node_of(held[2]), held[1])

    # The part of a node

    def begin(self) -> None:
        """Read the store."""
        self.read()

    def tick(self) -> None:
        """Ask for changes, once a second or less often where many nodes do."""
        self._ticks += 1
        pause = -(-len(self._membership.live()) // POLLS_LIMIT)
        if self._ticks % pause == 0 or not self.is_read:
            self.read()
        if self._sealed and self._store.is_up:
            self._reseal()
        if self._ticks % PRUNE_TICKS == 0 and self._membership.live()[0].name == self._membership.me.name:
            self._store.run(lambda cursor: cursor.execute(_PRUNE, (KEPT_DAYS,))).addErrback(self._failed)

    def heard(self, message: str) -> None:
        """Read the changes that another node has made."""
        word, _, number = message.partition(" ")
        if word == WORD and number.isascii() and number.isdigit() and int(number) > self.number:
            self.read()

    def close(self) -> Deferred[None]:
        """End; the local copy stays."""
        self._is_reading = True
        return succeed(None)

    def settled(self) -> Deferred[None]:
        """Read what has changed in the store; fires when all that was written before this has been read.

        It fires without that where the store does not answer.
        """
        done = self._settling.wait()
        self.read()
        return done

    def read(self) -> None:
        """Read what has changed in the store."""
        if self._is_reading:
            self._reads_again = True
            return
        self._is_reading = True
        self._reads_again = False
        self._since(self.number).addCallback(self._compared).addErrback(self._failed).addCallback(self._ended)

    def _since(self, number: int) -> Deferred[list[Row]]:
        def work(cursor: Any) -> list[Row]:
            cursor.execute(_SINCE, (number, BATCH))
            rows: list[Row] = cursor.fetchall()
            return rows

        return self._store.run(work)

    def _compared(self, rows: list[Row]) -> Any:
        self._read_at, self.is_read = self._clock(), True
        if self._ticks % MARK_TICKS == 0:
            self._files.mark()
        self._take(rows)
        if _is_full(rows):
            self._reads_again = True
            return None
        if int(rows[0][0]) == self._sum():
            self._tell_read()
            return None
        self.log.info(
            "the documents of the cluster are read anew: the store is not as this node knows it",
            event="cluster.documents_anew",
        )
        return self._anew({}, 0)

    def _sum(self) -> int:
        return sum(each.number for each in self._known.values()) + sum(self._closed.values())

    def _anew(self, found: dict[Place, Row], number: int) -> Deferred[None]:
        def more(rows: list[Row]) -> Deferred[None]:
            for row in _rows(rows):
                found[row[1], row[2]] = row
            last = max((row[3] for row in _rows(rows)), default=number)
            if _is_full(rows):
                return self._anew(found, last)
            gone = [
                (None, kind, name, 0, b"", True, "")
                for kind, name in (*self._known, *self._closed)
                if (kind, name) not in found
            ]
            self.number = last
            self._take([*gone, *found.values()], is_anew=True)
            self._tell_read()
            return succeed(None)

        return self._since(number).addCallback(more)

    def _ended(self, _: Any) -> None:
        self._is_reading = False
        if self._reads_again:
            self.read()
        else:
            self._settling.over(None)

    def _failed(self, why: Failure) -> None:
        if why.check(StoreLost) is None:
            self.log.failure(
                "the documents of the cluster could not be read", why, event="cluster.documents_failed"
            )

    def _load(self) -> None:
        for kind, name, number, body, writer in self._files.read():
            self._take([(None, kind, name, number, body, False, writer)], is_kept=True)

    def _take(self, rows: Iterable[Row], *, is_anew: bool = False, is_kept: bool = False) -> None:
        changed: dict[str, list[ClusterDocument]] = {}
        for _, kind, name, number, sealed, is_gone, writer in _rows(rows):
            place = (kind, name)
            known = self._known.get(place)
            if not is_anew:
                self.number = max(self.number, number)
            former = known.number if known is not None else self._closed.get(place, -1)
            if number == former or (number < former and not is_anew):
                continue
            made = self._made(place, number, bytes(sealed), writer, is_gone=is_gone, is_kept=is_kept)
            if made is not None and not (is_gone and known is None):
                changed.setdefault(kind, []).append(made)
        for kind, documents in changed.items():
            self._tell(kind, documents)

    def _made(
        self, place: Place, number: int, sealed: bytes, writer: str, *, is_gone: bool, is_kept: bool
    ) -> ClusterDocument | None:
        kind, name = place
        self._sealed.pop(place, None)
        if is_gone:
            self._known.pop(place, None)
            self._closed.pop(place, None)
            self._files.erase(place)
            return ClusterDocument(kind, name, number, b"", _node_of(writer), is_gone=True)
        try:
            body, is_newest = self._sealing.open(kind, name, sealed)
        except Unsealable as why:
            if not is_kept:  # else the store has it
                self._known.pop(place, None)
                self._closed[place] = number
                self.log.error("{why}", event="cluster.document_sealed", why=str(why), remedy=why.advice)
            return None
        if not is_newest:
            self._sealed[place] = (number, sealed)
        self._closed.pop(place, None)
        made = self._known[place] = ClusterDocument(kind, name, number, body, _node_of(writer))
        if not is_kept:
            self._files.write(place, number, sealed, writer)
        return made

    def _tell(self, kind: str, documents: Sequence[ClusterDocument]) -> None:
        for each in self._subscribers.get(kind, ()):
            try:
                each(documents)
            except Exception:  # noqa: BLE001 - the one catch-all of this path
                self.log.failure("a change of documents broke", event="cluster.change_failed")

    def _tell_read(self) -> None:
        # Nodes that wait for this one look at its row.
        if self._told == self.number:
            return
        number, me = self.number, self._membership.me
        self._told = number

        def told(count: int) -> None:
            if not count:  # the row is not there yet
                self._told = -1

        def work(cursor: Any) -> int:
            cursor.execute(_READ_UP_TO, (number, me.name, me.incarnation))
            count: int = cursor.rowcount
            return count

        def failed(why: Failure) -> None:
            self._told = -1
            self._failed(why)

        self._store.run(work).addCallbacks(told, failed)

    def _reseal(self) -> None:
        chosen = [(place, *self._sealed.pop(place)) for place in list(self._sealed)[:RESEALED]]
        made = [
            (place, number, self._sealing.seal(*place, self._known[place].body), former)
            for place, number, former in chosen
            if place in self._known and self._known[place].number == number
        ]

        def work(cursor: Any) -> list[tuple[Place, int, bytes]]:
            done = []
            for (kind, name), number, sealed, former in made:
                cursor.execute(_RESEAL, (sealed, kind, name, number, former))
                if cursor.rowcount:
                    done.append(((kind, name), number, sealed))
            return done

        def written(done: list[tuple[Place, int, bytes]]) -> None:
            for place, number, sealed in done:
                known = self._known.get(place)
                if known is not None and known.number == number:
                    self._files.write(place, number, sealed, known.writer)

        def failed(why: Failure) -> None:
            self._sealed.update({place: (number, former) for place, number, _, former in made})
            self._failed(why)

        self._store.run(work).addCallbacks(written, failed)


def _first(found: list[ClusterDocument]) -> ClusterDocument:
    return found[0]


def _rows(rows: Iterable[Row]) -> Iterable[Row]:
    # The sum comes in a row of its own where nothing has changed.
    return (row for row in rows if row[1] is not None)


def _is_full(rows: Sequence[Row]) -> bool:
    return len(rows) >= BATCH


def _node_of(writer: str) -> str:
    return writer.partition(" ")[0]
