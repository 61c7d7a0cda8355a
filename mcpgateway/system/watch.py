"""Report when files change, are made or removed, however they are saved.

# Note [Events hasten, looks decide]
A change is found by comparing the files' status (inode, size, times), every second at the latest.  An event of inotify
only makes that comparison happen at once, so an event that is missed, comes twice or concerns something else does no
harm.  Directories are watched rather than files: an editor that saves by renaming puts another file in the place of the
former one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from stat import S_ISDIR
from typing import Any, Protocol

from attrs import field, frozen
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mcpgateway.records import Record

DEBOUNCE_S = 0.5  # some editors save in several steps
QUICK_S = 0.1  # for a file that may be read half-written without harm
PATIENCE_S = 2.0  # a file that is written all the time is reported after so long
PAUSE_S = 0.05  # between two comparisons because of events: a home directory can be a busy place
PATHS_LIMIT = 1000
DIRECTORIES_LIMIT = 64
# The kernel stamps files with the time of its last tick.
STAMP_NS = 20_000_000


@frozen
class FileStamp:
    """The status of a file by which a change is noticed.

    :ivar times: the times of the last modification and of the last change of the status, in nanoseconds.
    :ivar compared_times: the times as far as they are compared: None for a directory, in which other files may change.
    :ivar names: the names in a directory, without hidden files.
    """

    device: int
    inode: int
    times: tuple[int, int] = field(eq=False)
    size: int = 0
    compared_times: tuple[int, int] | None = None
    names: frozenset[str] | None = field(default=None, repr=False)


class Notifier(Protocol):
    """A notifier of changes in directories."""

    def __call__(self, directories: list[str], happened: Callable[[], None]) -> Callable[[], None]:
        """Begin to watch directories; the returned function ends that.

        :raise OSError: the directories cannot be watched.
        """


def no_notifier(directories: list[str], happened: Callable[[], None]) -> Callable[[], None]:
    """Watch nothing, where there is no inotify: the comparison every second suffices."""
    return _nothing


def inotify(reactor: Any) -> Notifier:
    """Return a notifier that uses inotify, or `no_notifier` where there is none."""
    try:
        from twisted.internet.inotify import INotify
        from twisted.python import _inotify
    except ImportError:
        return no_notifier
    from twisted.internet import inotify as flags
    from twisted.python.filepath import FilePath

    # IN_DELETE_SELF is left out: Twisted closes everything upon it.
    mask = (
        flags.IN_CREATE | flags.IN_MOVED_TO | flags.IN_MOVED_FROM | flags.IN_DELETE
        | flags.IN_CLOSE_WRITE | flags.IN_ATTRIB
    )  # fmt: skip

    def begin(directories: list[str], happened: Callable[[], None]) -> Callable[[], None]:
        try:
            found = INotify(reactor)
        except _inotify.INotifyError as why:
            raise OSError(str(why)) from why
        found.startReading()

        def changed_file(*_: object) -> None:
            happened()

        for each in directories:
            try:
                found.watch(FilePath(each), mask, callbacks=[changed_file])
            except _inotify.INotifyError:
                continue  # it does not exist yet, or there are too many: it is compared every second
        return found.loseConnection

    return begin


class Timers(Protocol):
    """The part of the reactor that is used."""

    def callLater(self, delay: float, call: Callable[[], None]) -> IDelayedCall:
        """Call a function after so many seconds."""


class _Due(Record):
    """A change that is reported once no further one follows."""

    patience: IDelayedCall
    quiet: IDelayedCall
    quiet_s: float


class FileWatch:
    """Watches files, and directories as lists of files; `tick` has to be called every second.

    :param changed: called without arguments, once for a burst of changes.
    """

    log = Logger()

    def __init__(self, clock: Timers, notifier: Notifier, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._notifier = notifier
        self._tell = changed
        self._seen: dict[str, FileStamp | None] = {}
        self._reported: dict[str, FileStamp | None] = {}
        self._quick: frozenset[str] = frozenset()
        self._directories: list[str] = []
        self._places: dict[str, tuple[int, int] | None] = {}
        self._end: Callable[[], None] = _nothing
        self._due: _Due | None = None
        self._pause: IDelayedCall | None = None
        self._is_open = True

    def follow(self, paths: Iterable[str], since_ns: int, quick: Iterable[str] = ()) -> None:
        """Watch these paths from now on, and no others.

        :param since_ns: the time when reading them began (the wall clock); later modifications count as changes.
        :param quick: files whose changes are reported sooner, since they may be read half-written.
        """
        self._quick = frozenset(quick)
        wanted = list(dict.fromkeys(paths))
        if len(wanted) > PATHS_LIMIT:
            self.log.warn(
                "{left_out} files of the configuration are not watched, because there are more than {limit}",
                event="watch.limit",
                left_out=len(wanted) - PATHS_LIMIT,
                limit=PATHS_LIMIT,
            )
        former = self._seen
        self._seen = {each: former[each] if each in former else stamp(each) for each in wanted[:PATHS_LIMIT]}
        self._reported = {each: self._reported.get(each, self._seen[each]) for each in self._seen}
        self._find_directories()
        self._settle()
        fresh = {path: found for path, found in self._seen.items() if path not in former}
        changed = {path for path, found in fresh.items() if found and max(found.times) > since_ns - STAMP_NS}
        if changed:
            self._disturbed(changed)

    def changes(self) -> set[str]:
        """Return the files that have changed since the last call; they are not reported again."""
        self._look()
        found = {path for path, seen in self._seen.items() if seen != self._reported[path]}
        self._reported = dict(self._seen)
        self._calm()
        return found

    def is_due(self) -> bool:
        """Compare the files at once; true where a change is about to be reported."""
        if self._is_open:
            self._look_around()
        return self._due is not None

    def tick(self) -> None:
        """Compare the files; called every second."""
        if self._is_open:
            self._look_around()
            self._settle()

    def close(self) -> None:
        """Stop watching all files."""
        self._is_open = False
        self._calm()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        end, self._end = self._end, _nothing
        end()

    # Comparing

    def _look(self) -> set[str]:
        found = {path: stamp(path, seen) for path, seen in self._seen.items()}
        changed = {path for path, seen in self._seen.items() if found[path] != seen}
        self._seen = found
        if changed:
            self._find_directories()
        return changed

    def _look_around(self) -> None:
        changed = self._look()
        if changed:
            self._disturbed(changed)

    def _happened(self) -> None:
        if self._pause is None and self._is_open:
            self._pause = self._clock.callLater(PAUSE_S, self._paused)

    def _paused(self) -> None:
        self._pause = None
        self._look_around()

    # Waiting until it is quiet

    def _disturbed(self, changed: set[str]) -> None:
        quiet_s = QUICK_S if changed <= self._quick else DEBOUNCE_S
        if self._due is None:
            patience = self._clock.callLater(PATIENCE_S, self._fire)
            self._due = _Due(patience, self._clock.callLater(quiet_s, self._fire), quiet_s)
        else:
            self._due.quiet_s = max(self._due.quiet_s, quiet_s)
            self._due.quiet.reset(self._due.quiet_s)

    def _calm(self) -> None:
        due, self._due = self._due, None
        for each in (due.patience, due.quiet) if due is not None else ():
            if each.active():
                each.cancel()

    def _fire(self) -> None:
        self._calm()
        self._tell()

    # Directories

    def _find_directories(self) -> None:
        self._directories = sorted(_directories(self._seen))[:DIRECTORIES_LIMIT]

    def _settle(self) -> None:
        # A directory that has been replaced is another one, even under the same name.
        wanted = {each: _identity(each) for each in self._directories}
        if wanted == self._places or not self._is_open:
            return
        self._places = wanted
        end, self._end = self._end, _nothing
        end()
        there = [each for each, identity in wanted.items() if identity is not None]
        try:
            self._end = self._notifier(there, self._happened)
        except OSError as why:
            self.log.info(
                "changes of files are only noticed within a second, because {why}",
                event="watch.slow",
                why=str(why),
            )


def stamp(path: str, former: FileStamp | None = None) -> FileStamp | None:
    """Return the stamp of a file, behind all links; None where it cannot be read.

    :param former: its former stamp; a directory that has not changed since is not listed again.
    """
    try:
        found = os.stat(path)
        times = (found.st_mtime_ns, found.st_ctime_ns)
        if not S_ISDIR(found.st_mode):
            return FileStamp(found.st_dev, found.st_ino, times, found.st_size, times)
        if former and former.names is not None and (former.inode, former.times) == (found.st_ino, times):
            return former
        names = frozenset(each for each in os.listdir(path) if not each.startswith("."))
        return FileStamp(found.st_dev, found.st_ino, times, names=names)
    except (OSError, ValueError):
        return None


def _directories(paths: Iterable[str]) -> set[str]:
    # A link's target is replaced in the target's directory.
    found = set()
    for path in paths:
        for each in (path, os.path.realpath(path)):
            found.add(each if os.path.isdir(each) else os.path.dirname(each))
    return found


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino)


def _nothing() -> None:
    """Do nothing, where no watch has to be ended."""
