"""The PostgreSQL database of the cluster, from one thread of the node.

# Note [The store may be gone]
No statement belongs to a call, so the loss of the store interrupts no client.  A connection that stands still is given
up by PostgreSQL's client library (``tcp_user_timeout``, ``connect_timeout``) and by a timeout here, whichever is first;
while the store is known to be gone, statements fail at once, and one of them tries again each second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.cluster import schema
from mcpgateway.errors import ConfigError, StoreLost, StoreRefused

TIMEOUT_S = 8.0  # of one piece of work, at the node
STATEMENT_MS = 5000
QUEUE_LIMIT = 2000  # pieces of work that wait
PAUSE_S = 1.0  # between two attempts to reach a store that is gone
CHANNEL = "mcpgateway"
DEFAULTS: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 4000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "target_session_attrs": "read-write",
    "application_name": "mcpgateway",
}

T = TypeVar("T")
Work = Callable[[Any], T]


class Store:
    """The database of the cluster.

    :ivar is_up: true if the latest attempt to reach it succeeded.
    :ivar on_change: called with true or false whenever that changes.
    :ivar admit: looks, in each new connection and before any work, whether the node may use the store; raises
        `ConfigError` if not.
    :ivar refusal: why the node may not use it; None if it may, or cannot reach it.
    """

    log = Logger()

    def __init__(self, dsn: str, reactor: Any) -> None:
        self.is_up = False
        self.on_change: Callable[[bool], None] = _ignore
        self.admit: Work[None] = _ignore
        self.refusal: StoreRefused | None = None
        self._dsn = dsn
        self._reactor = reactor
        self._queue: SimpleQueue[tuple[Work[Any], Deferred[Any]] | None] = SimpleQueue()
        self._waiting = 0
        self._retry_at = 0.0
        self._connection: Any = None
        self._has_schema = False
        self._thread: threading.Thread | None = None
        self._has_complained = False
        self._ear: _Ear | None = None
        self._is_closed = False

    def run(self, work: Work[T]) -> Deferred[T]:
        """Run work in a transaction, in the thread of the store; fires with its result.

        :param work: gets a cursor; it may be run twice, if the connection breaks meanwhile.
        :raise StoreLost: (through the Deferred) the store does not answer, or refuses the node.
        """
        if self._is_closed or self._waiting >= QUEUE_LIMIT:
            return fail(StoreLost())
        # The clock may be set back.
        if not self.is_up and 0 < self._retry_at - self._reactor.seconds() <= PAUSE_S:
            return fail(self.refusal or StoreLost())
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="cluster store", daemon=True)
            self._thread.start()
        done: Deferred[T] = Deferred()
        self._waiting += 1
        self._queue.put((work, done))
        done.addTimeout(TIMEOUT_S, self._reactor, lambda *_: Failure(self._lost("it does not answer")))
        return done

    def listen(self, heard: Callable[[str], None]) -> None:
        """Call a function with each message that a node sends by NOTIFY, from now on.

        Messages are lost while the connection is; they only hurry what the node asks for anyhow.
        """
        self._ear = _Ear(self, heard, self._reactor)
        self._ear.look()

    def tick(self) -> None:
        """Listen again, if the connection for it was lost; called once a second."""
        if self._ear is not None and self.is_up:
            self._ear.look()

    def close(self) -> None:
        """Take no more work; the connections close when the work under way is done."""
        self._is_closed = True
        if self._ear is not None:
            self._ear.close()
        self._queue.put(None)

    def connect(self) -> Any:
        """Open a connection; called in the thread of the store.

        :raise ConfigError: psycopg is not installed.
        """
        psycopg = library()
        named = psycopg.conninfo.conninfo_to_dict(self._dsn)
        options = f"{named.pop('options', '')} -c statement_timeout={STATEMENT_MS}".strip()
        # Poolers keep no prepared statements from one transaction to the next.
        return psycopg.connect(
            **{**DEFAULTS, **named}, options=options, autocommit=True, prepare_threshold=None
        )

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done = item
            try:
                result: Any = self._attempt(work)
            except Exception:  # noqa: BLE001 - handed to the caller
                result = Failure()
            self._reactor.callFromThread(self._done, done, result)
        if self._connection is not None:
            self._connection.close()

    def _attempt(self, work: Work[T]) -> T:
        psycopg = library()
        for is_last in (False, True):
            is_fresh = self._connection is None
            try:
                if self._connection is None:
                    self._connection = self.connect()
                if not self._has_schema:
                    self._create()
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    return work(cursor)
            except (
                psycopg.OperationalError,
                psycopg.InterfaceError,
                psycopg.errors.ReadOnlySqlTransaction,
            ) as why:
                self._drop()
                # A kept connection may have been closed by a restart of the store.
                if is_fresh or is_last:
                    raise StoreLost(_reason(why)) from why
            except psycopg.errors.InsufficientPrivilege as why:
                raise StoreRefused(f"the store of the cluster refuses its user: {_reason(why)}") from why
        raise AssertionError

    def _create(self) -> None:
        psycopg = library()
        for is_last in (False, False, True):
            try:
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    schema.create(cursor)
                    self.admit(cursor)
            except ConfigError as why:
                raise StoreRefused(why.message, why.advice) from why
            except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                if is_last:  # two nodes create the tables at the same time
                    raise
            else:
                self._has_schema = True
                return

    def _drop(self) -> None:
        connection, self._connection, self._has_schema = self._connection, None, False
        if connection is not None:
            connection.close()

    def _done(self, done: Deferred[Any], result: Any) -> None:
        self._waiting -= 1
        if isinstance(result, Failure) and isinstance(result.value, StoreLost):
            self._lost(result.value.why, result.value)
        else:
            self._found()
        if not done.called:
            done.callback(result)

    def _lost(self, why: str, error: StoreLost | None = None) -> StoreLost:
        self._retry_at = self._reactor.seconds() + PAUSE_S
        former, self.refusal = self.refusal, error if isinstance(error, StoreRefused) else None
        if self.refusal is not None:
            if former is None:
                self.log.critical(
                    "{what}; {advice}",
                    event="cluster.refused",
                    what=self.refusal.message,
                    advice=self.refusal.advice,
                )
        elif self.is_up or not self._has_complained:
            self.log.error(
                "the store of the cluster cannot be reached: {why}", event="cluster.store_lost", why=why
            )
        self._has_complained = True
        if self.is_up:
            self.is_up = False
            self.on_change(False)
        return StoreLost(why)

    def _found(self) -> None:
        if self.is_up:
            return
        self.is_up, self.refusal = True, None
        if self._has_complained:
            self.log.info("the store of the cluster is there again", event="cluster.store_found")
        self._has_complained = False
        self.on_change(True)


@implementer(IReadDescriptor)
class _Ear:
    """The connection that hears messages of other nodes."""

    def __init__(self, store: Store, heard: Callable[[str], None], reactor: Any) -> None:
        self._store = store
        self._heard = heard
        self._reactor = reactor
        self._connection: Any = None
        self._descriptor = -1
        self._is_opening = False

    def look(self) -> None:
        """Open the connection, if it is not there."""
        if self._connection is None and not self._is_opening:
            self._is_opening = True
            self._store.run(lambda _: self._open()).addCallbacks(self._opened, self._not_opened)

    def _open(self) -> Any:
        connection = self._store.connect()
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def _opened(self, connection: Any) -> None:
        self._is_opening = False
        self._connection = connection
        # One of its own: the library closes the connection's as soon as it is lost, under the reactor's feet.
        self._descriptor = os.dup(connection.fileno())
        self._reactor.addReader(self)

    def _not_opened(self, why: Failure) -> None:
        self._is_opening = False

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name for log messages."""
        return "cluster"

    def doRead(self) -> None:
        """Read messages."""
        psycopg = library()
        try:
            self._connection.pgconn.consume_input()
            while (connection := self._connection) is not None:
                message = connection.pgconn.notifies()
                if message is None:
                    return
                self._heard(message.extra.decode(errors="replace"))  # which may close the connection
        except psycopg.Error:
            self.close()

    def connectionLost(self, why: Failure) -> None:
        """Close the connection; `look` opens the next one."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is None:
            return
        self._reactor.removeReader(self)
        os.close(self._descriptor)
        connection, self._connection, self._descriptor = self._connection, None, -1
        connection.close()


def library() -> Any:
    """Return PostgreSQL's client library.

    :raise ConfigError: it is not installed.
    """
    try:
        import psycopg  # only nodes of a cluster need it
        import psycopg.conninfo
    except ImportError as why:
        raise ConfigError("gateway.cluster needs psycopg: pip install 'mcpgateway[cluster]'") from why
    return psycopg


def _reason(why: BaseException) -> str:
    return next((line.strip() for line in str(why).splitlines() if line.strip()), type(why).__name__)


def _ignore(_: Any) -> None:
    """Ignore a change of the store's state, and let every node use it."""
