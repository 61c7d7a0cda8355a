"""What the gateway has put into users' files, and what stood there before.

# Note [The ledger comes first]
Before a file changes, an intent is on the disk: the file's digest before and after, and what the ledger will say of it
then.  Whoever finds an intent without an outcome looks at the file: its digest says which of the two it is.  So a
program may be killed at any moment, and the ledger never says less than the file holds.

# Note [Secrets]
Entries hold environment variables.  The directory is its owner's alone, and no entry is in a message or in a repr.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles import transaction
from mcpgateway.clientfiles.backups import Kept, digest_of
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment_records import Adopted, Contents, Enrolled, Intent, Step, unwound
from mcpgateway.clientfiles.formats.rewrite import splices
from mcpgateway.clientfiles.recovery import Outcome, Settled, judged, settled
from mcpgateway.clientfiles.replacement import sweep
from mcpgateway.clientfiles.store import LedgerStore
from mcpgateway.clientfiles.transaction import Changed, ClientLock
from mcpgateway.errors import ConfigError

__all__ = [
    "Adopted",
    "Changed",
    "Enrolled",
    "Ledger",
    "Outcome",
    "Records",
    "Rewritten",
    "Settled",
    "Step",
    "unwound",
]

CHAIN_STEPS = 100
STEP_CHARACTERS = 4 * 1_048_576  # what is more is restored by value


@frozen
class Rewritten:
    """What an edit makes of a file.

    :ivar adopted: what the ledger says of it from then on, None for nothing any more.
    """

    text: str = field(repr=False)
    adopted: Adopted | None


@frozen
class Records:
    """What the ledger says.

    :ivar files: by their real paths.
    :ivar opted_out: the names of servers that stay in the clients' files.
    :ivar problems: what is wrong with the ledger itself, as sentences.
    :ivar unsettled: the files of which a change was begun and has no outcome yet.
    """

    files: Mapping[str, Adopted] = field(factory=dict)
    opted_out: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


Edit = Callable[[str, Adopted | None], Rewritten]


@define(eq=False)
class Ledger:
    """The ledger of one gateway home; everything but `read` keeps other programs of that home waiting.

    :param home: the gateway's own directory.
    """

    home: str
    disk: Disk = field(default=DISK, repr=False)
    kept: Kept = field(init=False)
    _store: LedgerStore = field(init=False, repr=False)
    _is_loaded: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.kept = Kept(self.home, self.disk)
        self._store = LedgerStore(self.kept.ledger, self.disk)

    @property
    def _said(self) -> Contents:
        return self._store.contents

    def read(self) -> Records:
        """What it says now, without waiting for anybody and without writing.

        :raise ConfigError: it was written by a newer release, or cannot be read.
        """
        said = self._store.read()
        unsettled = tuple(said.pending)
        for path, adopted in moved(said.files):
            said.say(path, adopted)
        for path, intents in list(said.pending.items()):
            said.say(path, judged(self.disk, said.files.get(path), intents).adopted)
        return Records(said.files, said.opted_out, self._store.problems, unsettled)

    def is_lost(self) -> bool:
        """Whether there is a place for it and nothing is written there, not even that there was nothing.

        :raise ConfigError: it cannot be read.
        """
        return os.path.isdir(self.kept.ledger) and not self._store.read().revision

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes a client's file or the ledger meanwhile; it may be entered again inside.

        :raise ConfigError: another program has it for too long, or it cannot be read, or not be repaired.
        """
        with self.kept.locked():
            if self._is_loaded:
                yield
                return
            try:
                self._load()
                yield
            finally:
                self._is_loaded = False
                self._store.close()

    def change(
        self, path: str, edit: Edit, *, lock: ClientLock | None = None, create: bool = False
    ) -> Changed | None:
        """Change a file and what is said of it, together; None where the text stays.

        :param edit: from the text, and what is said of the file, to what both are to be. It is asked again when
            somebody else has written meanwhile.
        :param lock: the client's own.
        :param create: make the file where there is none.
        :raise FileNotFoundError: there is no such file.
        :raise ConfigError: it cannot be changed, and is as it was.
        """
        with self.locked():
            real = os.path.realpath(path)
            self._settle(real)
            work = _Change(real, edit, self._said.files.get(real), self.disk.now())
            try:
                changed = transaction.change(
                    path, work.edited, kept=self.kept, lock=lock, create=create,
                    before=lambda old, new: self._begin(work, old, new), landed=work.landed,
                )  # fmt: skip
            except Exception:
                with suppress(ConfigError, OSError):
                    self._settle(real)
                raise
            if work.is_landed:
                # The file says by itself what became of the intent, should it not be possible to write that down.
                with suppress(ConfigError):
                    self._done(real)
                return changed
            self._settle(real)  # somebody else was faster, perhaps with the same
            if changed is None and work.latter != self._said.files.get(real):
                self._say(real, work.latter)
            return changed

    def put(self, adopted: Adopted) -> None:
        """Say something else of a file whose text stays.

        :raise ConfigError: it cannot be written.
        """
        with self.locked():
            real = os.path.realpath(adopted.path)
            self._settle(real)
            self._say(real, evolve(adopted, real=real))

    def forget(self, path: str) -> None:
        """Say nothing of a file any more; it is not touched.

        :raise ConfigError: it cannot be written.
        """
        with self.locked():
            for real in {path, os.path.realpath(path)} & self._said.files.keys():
                self._say(real, None)

    def opt_out(self, names: frozenset[str]) -> None:
        """From now on the servers of these names, and no others, stay in the clients' files.

        :raise ConfigError: it cannot be written.
        """
        with self.locked():
            if names != self._said.opted_out:
                self._store.opt_out(names)

    def recover(self) -> tuple[Settled, ...]:
        """Settle what killed programs have left: changes without an outcome, half-written files, damaged copies.

        :raise ConfigError: the ledger cannot be read or written.
        """
        with self.locked():
            found = tuple(self._settle(path) for path in list(self._said.pending))
            for path in self._said.files:
                sweep(self.kept, path)
            with suppress(OSError):
                self.kept.trim()
            return tuple(each for each in found if each is not None)

    def _load(self) -> None:
        self._store.load()
        for path, adopted in moved(self._said.files):
            self._say(path, adopted)
        self._need()
        self._is_loaded = True

    def _settle(self, path: str) -> Settled | None:
        """Find out, and write down, what became of the changes of a file."""
        intents = self._said.pending.get(path)
        if not intents:
            return None
        try:
            found = settled(self.kept, self._said.files.get(path), intents)
        except OSError as why:
            raise transaction.refusal(path, why) from why
        if found.outcome is not Outcome.UNKNOWN:
            self._say(path, found.adopted)
        return found

    def _begin(self, work: _Change, old: bytes, new: bytes) -> None:
        if work.is_landed:
            # It was overwritten: what stands in the file may be of the last time, or of before.
            work.is_landed = False
            self._say(work.real, work.former)
        self._intend(work.intent(old, new))

    def _intend(self, intent: Intent) -> None:
        self._store.begin(intent)
        self._need()

    def _done(self, path: str) -> None:
        self._say(path, self._said.pending[path][-1].adopted)

    def _say(self, path: str, adopted: Adopted | None) -> None:
        self._store.say(path, adopted)
        self._need()

    def _need(self) -> None:
        pending = [each for intents in self._said.pending.values() for each in intents]
        self.kept.needed = frozenset(digest for each in pending for digest in (each.before, each.after))


def moved(files: Mapping[str, Adopted]) -> list[tuple[str, Adopted | None]]:
    """What is to be said, by path, of files that are somewhere else by now: a link was put there, or taken away.

    What was at the former place stays on record where it is still a file of its own.
    """
    found: list[tuple[str, Adopted | None]] = []
    for former, adopted in files.items():
        latter = os.path.realpath(adopted.path or former)
        if latter in files or not os.path.isfile(latter):
            continue
        is_own = os.path.realpath(former) == former and os.path.isfile(former)
        found += [
            (latter, evolve(adopted, real=latter)),
            (former, evolve(adopted, path=former) if is_own else None),
        ]
    return found


@define(eq=False)
class _Change:
    """One change of one file, worked out perhaps several times."""

    real: str
    edit: Edit
    former: Adopted | None
    now: float
    latter: Adopted | None = None
    is_landed: bool = False

    def edited(self, text: str) -> str:
        made = self.edit(text, self.former)
        self.latter = made.adopted
        if self.latter is not None:
            # What the ledger fills in itself is not the edit's to change.
            chain = self.former.chain if self.former and self.latter.is_standing else ()
            since = self.former.registered_at if self.former else self.now
            self.latter = evolve(self.latter, real=self.real, chain=chain, registered_at=since)
        return made.text

    def landed(self, changed: Changed) -> None:
        """From now on, everything of the last time and of before may stand in the file."""
        self.is_landed = True
        if self.latter is not None and self.latter.is_standing:
            before = self.former.entries if self.former and self.former.is_standing else {}
            self.former = evolve(self.latter, entries={**before, **self.latter.entries})

    def intent(self, old: bytes, new: bytes) -> Intent:
        if self.latter is not None:
            self.latter = evolve(self.latter, chain=self._chain(old, new))
        return Intent(self.real, digest_of(old), digest_of(new), self.latter)

    def _chain(self, old: bytes, new: bytes) -> tuple[Step, ...]:
        """All our changes since the file last held nothing of ours; none where others were in between."""
        if self.latter is None or not self.latter.is_standing:
            return ()
        chain = self.former.chain if self.former and self.former.is_standing else ()
        if self.former and self.former.is_standing and (not chain or chain[-1].after != digest_of(old)):
            return ()
        step = Step(digest_of(old), digest_of(new), splices(old.decode(), new.decode()))
        chain = (*chain, step)
        size = sum(len(part.old) + len(part.new) for each in chain for part in each.splices)
        return chain if size <= STEP_CHARACTERS and len(chain) <= CHAIN_STEPS else ()
