"""The ledger: the record of each enrolled file, and its originals.

# Note [The ledger comes first]
Before a file changes, an intent is on the disk: the file's digest before and after, and its next record.  The next
program that finds an intent without an outcome compares the file's digest with both.  So a program may be killed at any
moment, and the ledger never records fewer entries than the file holds.

# Note [Secrets]
Entries hold environment variables.  Only the owner may enter the directory, and no entry is in a message or in a repr.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles import transaction
from mcpgateway.clientfiles.backups import Backups, digest_of
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment_records import (
    TEXT,
    FileRecord,
    FileStep,
    Intent,
    LedgerContents,
)
from mcpgateway.clientfiles.formats.rewrite import splices
from mcpgateway.clientfiles.history import FileHistory, FileVersion
from mcpgateway.clientfiles.recovery import ChangeOutcome, SettledChange, judged, settled
from mcpgateway.clientfiles.replacement import sweep
from mcpgateway.clientfiles.store import LedgerStore
from mcpgateway.clientfiles.transaction import ChangedFile, ClientLock
from mcpgateway.errors import ConfigError
from mcpgateway.system.files import any_text_of, bytes_of, marked_text_of

noticed: ContextVar[Callable[[str], None]] = ContextVar("noticed", default=lambda _path: None)
"""Called with the path of each file that is about to be changed, for a display of the progress."""

CHAIN_STEPS = 100
STEP_CHARACTERS = 4 * 1_048_576  # a file with larger changes is restored by value


@frozen
class EditResult:
    """The result of an edit.

    :ivar record: the file's record from then on; None to remove it.
    :ivar original: the text without enrolled entries, where the edit changes that, too; None where it stays.
    """

    text: str = field(repr=False)
    record: FileRecord | None
    original: str | None = field(default=None, repr=False)


@frozen
class LedgerRecords:
    """A snapshot of the ledger.

    :ivar files: the records of files with servers, by their real paths.
    :ivar texts: those of files with texts for agents.
    :ivar opted_out: the names of servers that stay in the clients' files.
    :ivar problems: the defects of the ledger itself, as sentences.
    :ivar unsettled: the files of which a change was begun and has no outcome yet.
    """

    files: Mapping[str, FileRecord] = field(factory=dict)
    texts: Mapping[str, FileRecord] = field(factory=dict)
    opted_out: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


Edit = Callable[[str, FileRecord | None], EditResult]


@define(eq=False, repr=False)
class Ledger:
    """The ledger of one gateway home; all methods but `read` and `is_lost` lock it against other programs of that home.

    :param home: the gateway's own directory.
    """

    home: str
    disk: Disk = field(default=DISK, repr=False)
    backups: Backups = field(init=False)
    history: FileHistory = field(init=False)
    _store: LedgerStore = field(init=False, repr=False)
    _is_loaded: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.backups = Backups(self.home, self.disk)
        self.history = FileHistory(self.backups.ledger)
        self._store = LedgerStore(self.backups.ledger, self.disk)

    @property
    def _contents(self) -> LedgerContents:
        return self._store.contents

    def read(self) -> LedgerRecords:
        """Return the content of the ledger, without locking and without writing.

        :raise ConfigError: the ledger was written by a newer release, or cannot be read.
        """
        contents = self._store.read()
        unsettled = tuple(contents.pending)
        for path, record in moved(contents.files):
            contents.say(path, record)
        for path, intents in list(contents.pending.items()):
            contents.say(path, judged(self.disk, contents.files.get(path), intents).record)
        texts = {path: each for path, each in contents.files.items() if each.mode == TEXT}
        files = {path: each for path, each in contents.files.items() if path not in texts}
        return LedgerRecords(files, texts, contents.opted_out, self._store.problems, unsettled)

    def is_lost(self) -> bool:
        """True if the ledger's directory exists and holds no ledger, not even an empty one.

        :raise ConfigError: the ledger cannot be read.
        """
        return os.path.isdir(self.backups.ledger) and not self._store.read().revision

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock clients' files and the ledger against other programs; the lock is reentrant.

        :raise ConfigError: another program has the lock for too long, or the ledger cannot be read or repaired.
        """
        is_new = not os.path.isdir(self.backups.ledger)
        with self.backups.locked():
            if self._is_loaded:
                yield
                return
            try:
                self._load()
                if is_new:
                    self._store.begin_empty()  # or else it would count as lost
                yield
            finally:
                self._is_loaded = False
                self._store.close()

    def change(
        self,
        path: str,
        edit: Edit,
        *,
        lock: ClientLock | None = None,
        create: bool = False,
        is_prose: bool = False,
    ) -> ChangedFile | None:
        """Change a file and its record, together; None where the text stays.

        :param edit: returns the new text and record of the file for the present ones. It is called again when another
            program has written meanwhile.
        :param lock: the client's own lock.
        :param create: make the file where it does not exist.
        :param is_prose: the file need not be UTF-8; see `mcpgateway.system.files.any_text_of`.
        :raise FileNotFoundError: the file does not exist.
        :raise ConfigError: the file cannot be changed, and is unchanged.
        """
        noticed.get()(path)
        with self.locked():
            real = os.path.realpath(path)
            self._settle(real)
            work = _Change(real, edit, self._contents.files.get(real), self.disk.now(), is_prose)
            try:
                changed = transaction.change(
                    path, work.edited, backups=self.backups, lock=lock, create=create,
                    before=lambda old, new: self._begin(work, old, new), landed=work.landed,
                )  # fmt: skip
            except Exception:
                with suppress(ConfigError, OSError):
                    self._settle(real)
                raise
            if work.is_landed:
                with suppress(ConfigError, OSError):
                    self.history.add(work.version())
                # Where the outcome cannot be recorded, the next program finds it by the file's digest.
                with suppress(ConfigError):
                    self._done(real)
                return changed
            self._settle(real)  # another program was faster, perhaps with the same change
            if changed is None and work.latter != self._contents.files.get(real):
                self._say(real, work.latter)
            return changed

    def put(self, record: FileRecord) -> None:
        """Set the record of a file whose text stays.

        :raise ConfigError: the ledger cannot be written.
        """
        with self.locked():
            real = os.path.realpath(record.path)
            self._settle(real)
            self._say(real, evolve(record, real=real))

    def forget(self, path: str) -> None:
        """Remove the record of a file; the file stays as it is.

        :raise ConfigError: the ledger cannot be written.
        """
        with self.locked():
            for real in {path, os.path.realpath(path)} & self._contents.files.keys():
                self._say(real, None)

    def opt_out(self, names: frozenset[str]) -> None:
        """Set the names of the servers that stay in the clients' files.

        :raise ConfigError: the ledger cannot be written.
        """
        with self.locked():
            if names != self._contents.opted_out:
                self._store.opt_out(names)

    def recover(self) -> tuple[SettledChange, ...]:
        """Settle the changes of killed programs, and repair the copies of the ledger.

        :raise ConfigError: the ledger cannot be read or written.
        """
        with self.locked():
            found = tuple(self._settle(path) for path in list(self._contents.pending))
            for path in self._contents.files:
                sweep(self.backups, path)
            with suppress(OSError):
                self.backups.trim()
            return tuple(each for each in found if each is not None)

    def _load(self) -> None:
        self._store.load()
        for path, record in moved(self._contents.files):
            self._say(path, record)
        self._need()
        self._is_loaded = True

    def _settle(self, path: str) -> SettledChange | None:
        """Find out and record the outcome of the changes of a file."""
        intents = self._contents.pending.get(path)
        if not intents:
            return None
        try:
            found = settled(self.backups, self._contents.files.get(path), intents)
        except OSError as why:
            raise transaction.refusal(path, why) from why
        if found.outcome is not ChangeOutcome.UNKNOWN:
            self._say(path, found.record)
        return found

    def _begin(self, work: _Change, old: bytes, new: bytes) -> None:
        if work.is_landed:
            # The file was overwritten: it may hold the entries of the last attempt, or the former ones.
            work.is_landed = False
            self._say(work.real, work.former)
        self._intend(work.intent(old, new))

    def _intend(self, intent: Intent) -> None:
        self._store.begin(intent)
        self._need()

    def _done(self, path: str) -> None:
        self._say(path, self._contents.pending[path][-1].record)

    def _say(self, path: str, record: FileRecord | None) -> None:
        self._store.say(path, record)
        self._need()

    def _need(self) -> None:
        pending = [each for intents in self._contents.pending.values() for each in intents]
        self.backups.needed = frozenset(digest for each in pending for digest in (each.before, each.after))


def moved(files: Mapping[str, FileRecord]) -> list[tuple[str, FileRecord | None]]:
    """Return the new records, by path, of files whose real path has changed, since a link was made or removed there.

    The record of the former path stays where that is still a file of its own.
    """
    found: list[tuple[str, FileRecord | None]] = []
    for former, record in files.items():
        latter = os.path.realpath(record.path or former)
        if latter in files or not os.path.isfile(latter):
            continue
        is_own = os.path.realpath(former) == former and os.path.isfile(former)
        found += [
            (latter, evolve(record, real=latter)),
            (former, evolve(record, path=former) if is_own else None),
        ]
    return found


@define(eq=False, repr=False)
class _Change:
    """One change of one file, which may be worked out several times."""

    real: str
    edit: Edit
    former: FileRecord | None
    now: float
    is_prose: bool
    latter: FileRecord | None = None
    is_landed: bool = False
    is_rebased: bool = False
    _before: FileRecord | None = field(init=False)
    _step: FileStep = field(init=False, default=FileStep("", "", ()))

    def __attrs_post_init__(self) -> None:
        self._before = self.former

    def edited(self, text: str) -> str:
        if not self.is_prose:
            marked_text_of(bytes_of(text), self.real)
        made = self.edit(text, self.former)
        self.latter = made.record
        if self.latter is not None:
            # The ledger sets these itself.
            chain = self.former.chain if self.former and self.latter.is_standing else ()
            since = self.former.registered_at if self.former else self.now
            self.is_rebased = made.original is not None and self.latter.is_standing
            if made.original is not None and self.is_rebased:
                chain = (_step(made.original.encode(), made.text.encode()),)
            self.latter = evolve(self.latter, real=self.real, chain=chain, registered_at=since)
        return made.text

    def landed(self, changed: ChangedFile) -> None:
        """Record that the file may hold the entries of this attempt, and those before."""
        self.is_landed = True
        if self.latter is not None and self.latter.is_standing:
            before = self.former.entries if self.former and self.former.is_standing else {}
            self.former = evolve(self.latter, entries={**before, **self.latter.entries})

    def version(self) -> FileVersion:
        """Return the change for the history."""
        return FileVersion.of(self.real, self.now, self._step, self._before, self.latter)

    def intent(self, old: bytes, new: bytes) -> Intent:
        self._step = _step(old, new)
        if self.latter is not None:
            self.latter = evolve(self.latter, chain=self._chain())
        return Intent(self.real, digest_of(old), digest_of(new), self.latter)

    def _chain(self) -> tuple[FileStep, ...]:
        """Return the gateway's changes since the file had no enrolled entries; () where other changes came between."""
        if self.latter is None or not self.latter.is_standing:
            return ()
        if self.is_rebased:
            return self.latter.chain
        chain = self.former.chain if self.former and self.former.is_standing else ()
        if self.former and self.former.is_standing and (not chain or chain[-1].after != self._step.before):
            return ()
        chain = (*chain, self._step)
        size = sum(len(part.old) + len(part.new) for each in chain for part in each.splices)
        return chain if size <= STEP_CHARACTERS and len(chain) <= CHAIN_STEPS else ()


def _step(old: bytes, new: bytes) -> FileStep:
    return FileStep(digest_of(old), digest_of(new), splices(any_text_of(old, ""), any_text_of(new, "")))
