"""The sessions on record, so that they outlive the gateway: one SQLite file.

# Note [What a kill leaves]
A change is handed to the operating system before any client learns of it (write-ahead log, one transaction each, about
45 µs), so a killed gateway has lost nothing.  Only checkpoints wait for the disk: after a power failure, the last
seconds may be missing, and signed ids make up for that.

# Note [What cannot be written now]
Another gateway may hold the file, the disk may be full for a while.  Such changes wait in memory, in their order, and
are written before the next one that succeeds, at `Journal.settle`, and at the end.

# Note [The floor]
The records of ended sessions prevent that an id with a valid signature revives one of them.  Beyond their limit the
oldest are removed, and the floor rises: ids issued up to it are valid only while they are on record themselves.  Where
the records are lost and cannot be read, the floor stays low: a revived session does no harm, and many clients cannot
begin a new one when theirs is unknown.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, TypeVar
from urllib.parse import quote

from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.interfaces import PARAMS_LIMIT, SessionRecord
from mcpgateway.records import FrozenRecord
from mcpgateway.system import home_files

FORMAT = 2
PARTS = ("", "-wal", "-shm")  # the suffixes of SQLite's files
LIVE_LIMIT = 20_000  # sessions that can be resumed with all their state
ENDED_LIMIT = 50_000
URIS_LIMIT = 1000  # subscriptions of one session
URIS_BYTES_LIMIT = 256 * 1024  # of one session's subscriptions
OWED_LIMIT = 1000  # changes that wait until the file can be written again
RETRY_S = 1.0
OPENING_S, BUSY_MS = 2.0, 100  # the longest wait for another gateway of the same home
PAGES_LIMIT = 16_384  # of 4 KiB
PRUNE_EVERY = 1000  # new sessions
VERDICT_S = 7 * 24 * 3600  # the lifetime of a verdict on a server

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    serial BLOB PRIMARY KEY, server TEXT NOT NULL, principal TEXT NOT NULL, version TEXT NOT NULL,
    params BLOB NOT NULL, level TEXT, owner INTEGER, issued INTEGER NOT NULL, seen INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0, workspace TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON sessions (ended, seen);
CREATE TABLE IF NOT EXISTS subscriptions (serial BLOB, uri TEXT, PRIMARY KEY (serial, uri)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (launch TEXT PRIMARY KEY, why TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
"""

# Files of format 1 have no column for the workspace.
ADD_WORKSPACE = "ALTER TABLE sessions ADD COLUMN workspace TEXT NOT NULL DEFAULT ''"

_KEEP = "INSERT OR IGNORE INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?)"
_KEEP_OLD = "INSERT OR IGNORE INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,'')"
# The readable part of a damaged file is read from both ends, since reading stops at the first damaged page.
# The column of the workspace is the last one, and missing in format 1: rows that do not fit are skipped.
SALVAGE = (
    ("SELECT * FROM sessions ORDER BY serial", _KEEP),
    ("SELECT * FROM sessions ORDER BY serial DESC", _KEEP),
    ("SELECT * FROM sessions ORDER BY serial", _KEEP_OLD),
    ("SELECT * FROM sessions ORDER BY serial DESC", _KEEP_OLD),
    ("SELECT * FROM subscriptions", "INSERT OR IGNORE INTO subscriptions VALUES (?,?)"),
    ("SELECT * FROM facts", "INSERT OR IGNORE INTO facts VALUES (?,?)"),
)

T = TypeVar("T")


class Journal:
    """The records of one home; where the file cannot be used they are kept in memory, and the log reports that."""

    log = Logger()

    def __init__(self, path: str, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._puts = 0
        self._complained = False
        self._owed: deque[_Change] = deque(maxlen=OWED_LIMIT)
        self._retry_at = 0.0
        self._file = self._open(path)
        self.floor: int = self._fact("floor")

    def _open(self, path: str) -> sqlite3.Connection:
        try:
            return _connect(path)
        except NewerJournalFormat as why:
            self.log.error(
                "{path} was written by a newer mcpgateway (format {found}) and is left alone; sessions that begin now "
                "end with this process",
                event="journal.newer",
                path=path,
                found=why.found,
            )
        except sqlite3.DatabaseError as why:
            if isinstance(why, sqlite3.OperationalError):
                self._complain(why)
            else:
                aside = f"{path}.damaged-{int(self._now())}"
                self.log.error(
                    "{path} is damaged ({why}) and is kept as {aside}",
                    event="journal.damaged",
                    path=path,
                    aside=aside,
                    why=str(why),
                )
                with suppress(ConfigError, OSError, sqlite3.Error):
                    for part in PARTS:
                        with suppress(FileNotFoundError):
                            os.replace(path + part, aside + part)
                    return self._salvaged(_connect(path), aside)
        except ConfigError as why:
            self._complain(why)
        return self._salvaged(_connect(":memory:"), path)

    def _salvaged(self, file: sqlite3.Connection, damaged: str) -> sqlite3.Connection:
        """Copy the readable records of a damaged file, and return the new file."""
        with suppress(ConfigError, sqlite3.Error), closing(_reader(damaged)) as old:
            for read, write in SALVAGE:
                with suppress(sqlite3.Error), _transaction(file):
                    file.executemany(write, _rows(old, read))
        (count,) = file.execute("SELECT COUNT(*) FROM sessions").fetchone()
        if count:
            self.log.info(
                "{count} sessions were read from {damaged}",
                event="journal.salvaged",
                count=count,
                damaged=damaged,
            )
        return file

    def find(self, serial: bytes) -> SessionRecord | None:
        """Return the record of a session; None where it is unknown."""
        self.settle()
        return self._try(lambda: self._find(serial), None)

    def _find(self, serial: bytes) -> SessionRecord | None:
        row = self._file.execute(
            "SELECT server, principal, version, params, level, owner, ended, workspace FROM sessions"
            " WHERE serial = ?",
            (serial,),
        ).fetchone()
        if row is None:
            return None
        server, principal, version, params, level, owner, ended, workspace = row
        found = self._file.execute("SELECT uri FROM subscriptions WHERE serial = ?", (serial,))
        uris = found.fetchall() if not ended else []
        return SessionRecord(
            serial,
            server,
            principal,
            version,
            params,
            level,
            owner,
            tuple(uri for (uri,) in uris),
            bool(ended),
            workspace,
        )

    def keep(self, record: SessionRecord, issued: int) -> None:
        """Record a session, or update its record; its subscriptions stay as they are."""
        self._write(
            "INSERT INTO sessions (serial, server, principal, version, params, level, owner, issued, seen, workspace)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (serial) DO UPDATE SET"
            " level = excluded.level, owner = excluded.owner, seen = excluded.seen WHERE ended = 0",
            record.serial,
            record.server,
            record.principal,
            record.version,
            record.params if len(record.params) <= PARAMS_LIMIT else b"",
            record.level,
            record.owner,
            issued,
            int(self._now()),
            record.workspace,
        )
        self._puts += 1
        if self._puts % PRUNE_EVERY == 1:
            self._try(lambda: self._prune(LIVE_LIMIT, ENDED_LIMIT), None)

    def subscribe(self, serial: bytes, uri: str) -> None:
        """Record a session's subscription to a resource."""
        self._write(
            "INSERT OR IGNORE INTO subscriptions SELECT ?1, ?2 WHERE"
            " (SELECT COUNT(*) < ?3 AND TOTAL(LENGTH(CAST(uri AS BLOB))) < ?4 FROM subscriptions WHERE serial = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM sessions WHERE serial = ?1 AND ended = 1)",
            serial,
            uri,
            URIS_LIMIT,
            URIS_BYTES_LIMIT,
        )

    def unsubscribe(self, serial: bytes, uri: str) -> None:
        """Remove a session's subscription from the record."""
        self._write("DELETE FROM subscriptions WHERE serial = ? AND uri = ?", serial, uri)

    def end(self, serial: bytes, issued: int) -> None:
        """Record that a session has ended for good."""
        self._write(
            "INSERT INTO sessions (serial, server, principal, version, params, issued, seen, ended)"
            " VALUES (?, '', '', '', x'', ?, 0, 1) ON CONFLICT (serial) DO UPDATE SET"
            " ended = 1, server = '', principal = '', params = x'', level = NULL, owner = NULL, workspace = ''",
            serial,
            issued,
        )
        self._write("DELETE FROM subscriptions WHERE serial = ?", serial)

    def verdict(self, launch: str) -> str | None:
        """Return why a server needs a child per session; empty where it can be shared, None without a valid verdict."""
        since = int(self._now()) - VERDICT_S
        query = "SELECT why FROM verdicts WHERE launch = ? AND at > ?"
        row = self._try(lambda: self._file.execute(query, (launch, since)).fetchone(), None)
        return row[0] if row is not None else None

    def judge(self, launch: str, why: str) -> None:
        """Record the verdict on a server: the reason for a child per session, or empty where it can be shared."""
        now = int(self._now())
        self._write("DELETE FROM verdicts WHERE at <= ?", now - VERDICT_S)
        self._write("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", launch, why, now)

    def settle(self) -> None:
        """Write the changes that could not be written before; not more often than `RETRY_S`."""
        if self._owed and self._now() >= self._retry_at:
            self._pay()

    def _pay(self) -> None:
        while self._owed:
            if not self._done(self._owed[0]):
                return
            self._owed.popleft()
        self.log.info(
            "{path}: what could not be put on record for a while is there now",
            event="journal.settled",
            path=self._path,
        )
        self._complained = False

    def close(self, *, is_followed: bool = False) -> None:
        """Write the waiting changes, as far as possible, and close the file.

        :param is_followed: true if the next program of this process opens it at once: SQLite's log stays beside the
            file, because to merge them waits for the disk, while clients wait.
        """
        if self._owed:
            self._pay()
        if is_followed:
            return
        with suppress(sqlite3.Error):
            self._file.close()

    def _fact(self, name: str) -> int:
        row = self._try(
            lambda: self._file.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone(), None
        )
        return int(row[0]) if row is not None else 0

    def _prune(self, live: int, ended: int) -> None:
        with _transaction(self._file):
            self._file.execute(
                "DELETE FROM sessions WHERE serial IN"
                " (SELECT serial FROM sessions WHERE ended = 0 ORDER BY seen DESC LIMIT -1 OFFSET ?)",
                (live,),
            )
            self._file.execute("DELETE FROM subscriptions WHERE serial NOT IN (SELECT serial FROM sessions)")
            edge = self._file.execute(
                "SELECT issued FROM sessions WHERE ended = 1 ORDER BY issued DESC LIMIT 1 OFFSET ?", (ended,)
            ).fetchone()
            if edge is None:
                return
            floor = max(self.floor, int(edge[0]))
            self._file.execute("DELETE FROM sessions WHERE ended = 1 AND issued <= ?", (floor,))
            self._file.execute("INSERT OR REPLACE INTO facts VALUES ('floor', ?)", (floor,))
        self.floor = floor

    def _write(self, statement: str, *values: Any) -> None:
        change = _Change(statement, values)
        self.settle()
        if self._owed or not self._done(change):
            self._owed.append(change)

    def _done(self, change: _Change) -> bool:
        try:
            self._execute(change)
        except sqlite3.OperationalError as why:
            self._complain(why)
            self._retry_at = self._now() + RETRY_S
            return False
        except sqlite3.Error as why:
            self._complain(why)  # another try would not help, and would delay the other changes
        return True

    def _execute(self, change: _Change) -> None:
        while True:
            try:
                self._file.execute(change.statement, change.values)
            except sqlite3.OperationalError as why:
                if getattr(why, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL or not self._make_room():
                    raise
            else:
                return

    def _make_room(self) -> bool:
        """Delete large data of little value: one session's subscriptions, else the older half of the sessions."""
        (pages,) = self._file.execute("PRAGMA page_count").fetchone()
        if pages < PAGES_LIMIT * 0.9:
            return False  # it is the disk that is full
        largest = self._file.execute(
            "SELECT serial FROM subscriptions GROUP BY serial ORDER BY SUM(LENGTH(uri)) DESC LIMIT 10"
        ).fetchall()
        (live,) = self._file.execute("SELECT COUNT(*) FROM sessions WHERE ended = 0").fetchone()
        if largest:
            self._file.executemany("DELETE FROM subscriptions WHERE serial = ?", largest)
            what = f"the subscriptions of {len(largest)} sessions"
        elif live:
            # Their sessions can still be resumed by their ids alone.
            self._prune(live // 2, ENDED_LIMIT // 2)
            what = f"{live - live // 2} sessions"
        else:
            return False
        self.log.warn(
            "{path} is full: {what} are on record no more",
            event="journal.full",
            path=self._path,
            what=what,
        )
        return True

    def _try(self, what: Callable[[], T], otherwise: T) -> T:
        try:
            return what()
        except sqlite3.Error as why:
            self._complain(why)
            return otherwise

    def _complain(self, why: Exception) -> None:
        if self._complained:
            return  # once is enough: the next one will have the same reason
        self._complained = True
        self.log.error(
            "{path}: sessions cannot be put on record ({why}); they may end with this process",
            event="journal.failed",
            path=self._path,
            why=str(why),
        )


class _Change(FrozenRecord, frozen=True):
    """One statement that writes."""

    statement: str
    values: tuple[Any, ...]


def _check(path: str) -> None:
    # SQLite would follow a link, and wait for a pipe.
    for part in PARTS:
        with suppress(FileNotFoundError):
            os.close(home_files.open_to_read(path + part))


def _reader(path: str) -> sqlite3.Connection:
    _check(path)
    # The program that keeps the file locked has been waited for already.
    return sqlite3.connect(f"file:{quote(path)}?mode=ro", timeout=BUSY_MS / 1000, uri=True)


def _rows(file: sqlite3.Connection, statement: str) -> Iterator[tuple[Any, ...]]:
    # A damaged page ends the reading; what came before it is good.
    with suppress(sqlite3.Error):
        yield from file.execute(statement)


class NewerJournalFormat(Exception):
    """The file has a later format than this program knows."""

    def __init__(self, found: int) -> None:
        super().__init__(f"format {found}")
        self.found = found


class _transaction:  # noqa: N801 - reads as a statement
    """One transaction, rolled back when its block raises."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.execute("COMMIT" if kind is None else "ROLLBACK")


def _connect(path: str) -> sqlite3.Connection:
    if path != ":memory:":
        _check(path)
        # SQLite gives its two side files the mode of this one.
        os.close(home_files.open_to_write(path))
    file = sqlite3.connect(path, timeout=OPENING_S, isolation_level=None, cached_statements=16)
    try:
        found = int(file.execute("PRAGMA user_version").fetchone()[0])
        if found > FORMAT:
            raise NewerJournalFormat(found)
        # A torn page would be met by every later start again; to look takes 50 ms for the largest file there can be.
        (state,) = file.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state.splitlines()[-1])
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute("PRAGMA cache_size = -256")
        file.execute(f"PRAGMA max_page_count = {PAGES_LIMIT}")
        if found < FORMAT:
            # Else there is nothing to write, and no need to wait for another gateway that does.
            _bring_up_to_date(file)
        file.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    except BaseException:
        file.close()
        raise
    return file


def _bring_up_to_date(file: sqlite3.Connection) -> None:
    # All of it or nothing, and by one of two gateways that open the file at the same time.
    with _transaction(file):
        for statement in SCHEMA.split(";"):
            file.execute(statement)
        columns = [name for _, name, *_ in file.execute("PRAGMA table_info(sessions)")]
        if "workspace" not in columns:
            file.execute(ADD_WORKSPACE)
        file.execute(f"PRAGMA user_version = {FORMAT}")
