"""The ledger on the disk: a SQLite database and its backup, which holds the same rows.

# Note [Two databases]
Each transaction is committed to ``ledger.db`` and then to ``ledger.backup.db``, each of them synced, before a client's
file is touched.  So the two differ by one transaction at most, and the later one counts.  Each record has a checksum:
SQLite notices a damaged page, and not a damaged value.  A lost or damaged database is written anew from the other.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from attrs import define, field, frozen

from mcpgateway.clientfiles import enrolment_records, former_journal
from mcpgateway.clientfiles.backups import digest_of, read_file, sync_directory
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment_records import FileRecord, Intent, LedgerContents
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import home_files

DATABASE, BACKUP = "ledger.db", "ledger.backup.db"
FORMAT = 2  # 1 had no column `rerouted`
ROLLBACK = "-journal"  # the suffix of SQLite's file beside a database that is being written
NEW = ".new"
DAMAGED = ".damaged-"
DAMAGED_FILES = 10
DIGEST_CHARACTERS = 16
FILE_LIMIT = 512 * 1_048_576

# Text is bound as bytes, see `_bound`.
SCHEMA = (
    "CREATE TABLE state (revision INTEGER NOT NULL)",
    "CREATE TABLE opted_out (name TEXT PRIMARY KEY, checksum TEXT NOT NULL) WITHOUT ROWID",
    (
        "CREATE TABLE file (path TEXT PRIMARY KEY, named TEXT NOT NULL, client TEXT NOT NULL, mode TEXT NOT NULL,"
        " project TEXT NOT NULL, suspended TEXT NOT NULL, is_watched INTEGER NOT NULL, registered_at REAL NOT NULL,"
        " steps TEXT NOT NULL, rerouted TEXT NOT NULL, checksum TEXT NOT NULL) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE entry (file TEXT NOT NULL REFERENCES file (path), position INTEGER NOT NULL,"
        " key_path TEXT NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL, former TEXT NOT NULL, ours TEXT NOT NULL,"
        " written TEXT, PRIMARY KEY (file, position)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE intent (id INTEGER PRIMARY KEY, path TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,"
        " latter TEXT NOT NULL, checksum TEXT NOT NULL)"
    ),
    "INSERT INTO state VALUES (0)",
)
FORGET = (
    "DELETE FROM intent WHERE path = CAST(? AS TEXT)",
    "DELETE FROM entry WHERE file = CAST(? AS TEXT)",
    "DELETE FROM file WHERE path = CAST(? AS TEXT)",
)
PUT_FILE = (
    "INSERT INTO file VALUES (CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT),"
    " CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))"
)
PUT_ENTRY = (
    "INSERT INTO entry VALUES (CAST(? AS TEXT), ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT),"
    " CAST(? AS TEXT), CAST(? AS TEXT))"
)
PUT_INTENT = (
    "INSERT INTO intent (path, before, after, latter, checksum)"
    " VALUES (CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))"
)
PUT_OPTED_OUT = "INSERT INTO opted_out VALUES (CAST(? AS TEXT), CAST(? AS TEXT))"
ENTRIES = (
    "SELECT position, key_path, name, title, former, ours, written FROM entry WHERE file = CAST(? AS TEXT)"
    " ORDER BY position"
)
INTENTS = "SELECT path, before, after, latter, checksum FROM intent ORDER BY id"
# System error numbers for SQLite's result codes.
CODES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
}
UNDAMAGED = frozenset(CODES)

Statement = tuple[str, Sequence[Any]]


@frozen
class DatabaseCopy:
    """One of the two databases, as it was read.

    :ivar is_there: the database was written once.
    :ivar damage: the defect, in words; empty for a whole one.
    :ivar format: its format; one with an earlier format is written anew.
    """

    name: str
    contents: LedgerContents = field(factory=LedgerContents, repr=False)
    is_there: bool = False
    damage: str = ""
    format: int = FORMAT

    @property
    def is_whole(self) -> bool:
        """True if the database exists and has no defect."""
        return self.is_there and not self.damage


@define(eq=False, repr=False)
class LedgerStore:
    """The two databases in the directory of a ledger; only the holder of that directory's lock writes them.

    :ivar contents: their content, from `load` on.
    :ivar problems: the missing and damaged copies that the last reading found, as sentences.
    """

    directory: str
    disk: Disk = field(default=DISK, repr=False)
    contents: LedgerContents = field(factory=LedgerContents, repr=False)
    problems: tuple[str, ...] = ()
    _open: dict[str, sqlite3.Connection] = field(factory=dict, repr=False)

    def read(self) -> LedgerContents:
        """Read the content of the ledger, without writing.

        :raise ConfigError: the ledger was written by a newer release, or cannot be read.
        """
        return self._united([self._read(name) for name in (DATABASE, BACKUP)])

    def load(self) -> None:
        """Read the ledger, repair the two databases from each other, and take over the journal of an earlier release.

        :raise ConfigError: as for `read`, or the databases cannot be written.
        """
        copies = [self._read(name) for name in (DATABASE, BACKUP)]
        self.contents = self._united(copies)
        for each in copies:
            is_latest = each.contents.revision == self.contents.revision and each.format == FORMAT
            if each.is_whole and is_latest:
                continue
            if each.damage:
                self._put_aside(each.name)
            if self.contents.revision:  # else there is nothing to write yet
                self._write_anew(each.name)
        if self.contents.revision:
            former_journal.remove(self.directory, self.disk)

    def begin_empty(self) -> None:
        """Write a ledger without records, unless there is one.

        :raise ConfigError: the databases cannot be written.
        """
        if not self.contents.revision:
            self._write(())

    def close(self) -> None:
        """Close the databases; the next write opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def say(self, path: str, record: FileRecord | None) -> None:
        """Write or remove the record of a file, which settles its intents.

        :raise ConfigError: the databases cannot be written.
        """
        self._write([*((each, (path,)) for each in FORGET), *_file(path, record)])
        self.contents.say(path, record)

    def begin(self, intent: Intent) -> None:
        """Record a change that is about to be made.

        :raise ConfigError: the databases cannot be written.
        """
        self._write([_intent(intent)])
        self.contents.begin(intent)

    def opt_out(self, names: frozenset[str]) -> None:
        """Record the servers that stay in the clients' files.

        :raise ConfigError: the databases cannot be written.
        """
        self._write([("DELETE FROM opted_out", ()), *map(_opted_out, sorted(names))])
        self.contents.opted_out = names

    # Reading

    def _united(self, copies: Sequence[DatabaseCopy]) -> LedgerContents:
        if not any(each.is_there or each.damage for each in copies):
            self.problems = ()
            return former_journal.read(self.directory, self.disk)
        self.problems = tuple(self._problems(copies))
        best, other = sorted(copies, key=lambda each: (each.is_whole, each.contents.revision), reverse=True)
        if best.is_whole or best.contents.revision != other.contents.revision:
            return best.contents
        return LedgerContents(
            {**other.contents.files, **best.contents.files},
            {**other.contents.pending, **best.contents.pending},
            best.contents.opted_out | other.contents.opted_out,
            best.contents.revision,
        )

    def _problems(self, copies: Sequence[DatabaseCopy]) -> Iterable[str]:
        for each in copies:
            path = self._path(each.name)
            if each.damage:
                yield f"{path} is damaged ({each.damage}); {cli('doctor --fix')} restores it from its other copy"
            elif not each.is_there:
                yield f"{path} is missing; {cli('doctor --fix')} restores it from its other copy"
        if not any(each.is_whole for each in copies):
            yield f"{self.directory}: records of the ledger are damaged in both of its copies"

    def _read(self, name: str) -> DatabaseCopy:
        path = self._path(name)
        try:
            for each in (path, path + ROLLBACK):
                with suppress(FileNotFoundError):
                    os.close(home_files.open_to_read(each))  # SQLite would follow a link, and block on a pipe
            if not os.path.lexists(path):
                return DatabaseCopy(name)
            with closing(self.disk.connect(path)) as database:
                return self._copy(name, database)
        except sqlite3.Error as why:
            code = _code(why)
            if code in UNDAMAGED:
                raise home_files.refused(path, "read", _os_error(why, path)) from why
            return DatabaseCopy(name, damage=str(why))
        except OSError as why:
            raise home_files.refused(path, "read", why) from why

    def _copy(self, name: str, database: sqlite3.Connection) -> DatabaseCopy:
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise ConfigError(
                f"{self._path(name)}: was written by a newer release of mcpgateway (format {found}, this one knows"
                f" {FORMAT}); use that release, or one newer still. Nothing was changed"
            )
        if not found:
            return DatabaseCopy(name)
        (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state.splitlines()[-1])
        contents, damaged = _contents(database)
        damage = f"{damaged} records" if damaged else ""
        return DatabaseCopy(name, contents, is_there=True, damage=damage, format=found)

    # Writing

    def _write(self, statements: Sequence[Statement]) -> None:
        if not self.contents.revision:
            self.contents.revision = 1
            for name in (DATABASE, BACKUP):
                self._write_anew(name)
        for name in (DATABASE, BACKUP):
            with self._writing(name):
                if name not in self._open:
                    self._open[name] = self.disk.connect(self._path(name))
                self._transact(self._open[name], statements)
        self.contents.revision += 1

    def _transact(self, database: sqlite3.Connection, statements: Iterable[Statement]) -> None:
        try:
            database.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                database.execute(statement, _bound(values))
            database.execute("UPDATE state SET revision = revision + 1")
            self.disk.commit(database)
        except BaseException:
            with suppress(sqlite3.Error):
                database.rollback()
            raise

    def _write_anew(self, name: str) -> None:
        """Write a new database with all records, and put it in the place of the former one."""
        path = self._path(name)
        new = path + NEW
        with self._writing(name):
            for each in (new, new + ROLLBACK):
                with suppress(FileNotFoundError):
                    self.disk.unlink(each)
            self.disk.close(self.disk.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW))
            try:
                with closing(self.disk.connect(new)) as database:
                    self._transact(database, self._everything())
                with suppress(FileNotFoundError):
                    self.disk.unlink(path + ROLLBACK)  # of the replaced one
                self.disk.rename(new, path)
            except (OSError, sqlite3.Error):
                for each in (new, new + ROLLBACK):
                    with suppress(OSError):
                        self.disk.unlink(each)
                raise
            sync_directory(self.disk, self.directory)

    def _everything(self) -> Iterator[Statement]:
        contents = self.contents
        for each in (*SCHEMA, f"PRAGMA user_version = {FORMAT}"):
            yield each, ()
        yield "UPDATE state SET revision = ?", (contents.revision - 1,)  # the transaction itself counts
        for path, record in contents.files.items():
            yield from _file(path, record)
        for intents in contents.pending.values():
            yield from map(_intent, intents)
        yield from map(_opted_out, sorted(contents.opted_out))

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        path = self._path(name)
        try:
            yield
        except (OSError, sqlite3.Error) as why:
            error = _os_error(why, path) if isinstance(why, sqlite3.Error) else why
            raise ConfigError(
                f"{path}: cannot be written, so no client's file is changed: {error.strerror or error}",
                "free some space or repair its permissions, and try again",
            ) from why

    def _put_aside(self, name: str) -> None:
        """Rename a damaged database, and keep it for a while for examination."""
        path = self._path(name)
        with suppress(OSError):
            digest = digest_of(read_file(self.disk, path, FILE_LIMIT))[:DIGEST_CHARACTERS]
            self.disk.rename(path, f"{path}{DAMAGED}{digest}")
        with suppress(OSError):
            names = [each for each in self.disk.names(self.directory) if DAMAGED in each]
            found = [os.path.join(self.directory, each) for each in names]
            found.sort(key=lambda each: self.disk.stat(each).st_mtime_ns, reverse=True)
            for each in found[DAMAGED_FILES:]:
                self.disk.unlink(each)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def _contents(database: sqlite3.Connection) -> tuple[LedgerContents, int]:
    """Return the contents of a database, and the number of its damaged records."""
    contents, damaged = LedgerContents(), 0
    (contents.revision,) = database.execute("SELECT revision FROM state").fetchone()
    names = set()
    for name, checksum in database.execute("SELECT * FROM opted_out"):
        if _checksum([name]) == checksum:
            names.add(name)
        else:
            damaged += 1
    contents.opted_out = frozenset(names)
    for *row, checksum in database.execute("SELECT * FROM file").fetchall():
        entries = database.execute(ENTRIES, _bound(row[:1])).fetchall()
        if _checksum([row, entries]) != checksum:
            damaged += 1
            continue
        contents.files[row[0]] = _adopted(row, entries)
    for *row, checksum in database.execute(INTENTS):
        if _checksum(row) != checksum:
            damaged += 1
            continue
        path, before, after, latter = row
        record_json = json.loads(latter)
        record = None if record_json is None else enrolment_records.read(record_json)
        contents.begin(Intent(path, before, after, record))
    return contents, damaged


def _file(path: str, record: FileRecord | None) -> Iterator[Statement]:
    """Iterate over the statements that put a file into a database without it."""
    if record is None:
        return
    members = enrolment_records.written(record)
    keys = ("path", "dialect", "mode", "project", "suspended")
    row = [path, *(members[key] for key in keys), int(members["is_watched"]), float(members["registered_at"])]
    row += [json.dumps(members["chain"]), members["rerouted"]]
    entries = [
        [
            position,
            *(json.dumps(each["road"]), each["name"], each["title"]),
            *(json.dumps(each["former"]), json.dumps(each["ours"]), each["written"]),
        ]
        for position, each in enumerate(members["entries"])
    ]
    yield PUT_FILE, (*row, _checksum([row, entries]))
    for each in entries:
        yield PUT_ENTRY, (path, *each)


def _adopted(row: Sequence[Any], entries: Iterable[Sequence[Any]]) -> FileRecord:
    path, named, client, mode, project, suspended, is_watched, registered_at, steps, *rerouted = row
    members: Mapping[str, Any] = {
        "path": named,
        "real": path,
        "dialect": client,
        "mode": mode,
        "project": project,
        "suspended": suspended,
        "is_watched": bool(is_watched),
        "registered_at": registered_at,
        "rerouted": "".join(rerouted),
        "chain": json.loads(steps),
        "entries": [
            {
                "road": json.loads(key_path),
                "name": name,
                "title": title,
                "written": written,
                "former": json.loads(former),
                "ours": json.loads(ours),
            }
            for _, key_path, name, title, former, ours, written in entries
        ],
    }
    return enrolment_records.read(members)


def _intent(intent: Intent) -> Statement:
    members = None if intent.record is None else enrolment_records.written(intent.record)
    row = [intent.path, intent.before, intent.after, json.dumps(members)]
    return PUT_INTENT, (*row, _checksum(row))


def _opted_out(name: str) -> Statement:
    return PUT_OPTED_OUT, (name, _checksum([name]))


def _checksum(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode("ascii")).hexdigest()


def _bound(values: Iterable[Any]) -> list[Any]:
    # A path or a title may have characters that are no valid Unicode, which SQLite stores and Python does not bind.
    return [each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each for each in values]


def _code(why: sqlite3.Error) -> int:
    return getattr(why, "sqlite_errorcode", 0) & 0xFF  # the higher bits only specify it further


def _os_error(why: sqlite3.Error, path: str) -> OSError:
    code = CODES.get(_code(why), 0)
    return OSError(code, os.strerror(code) if code else str(why), path)
