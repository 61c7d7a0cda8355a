"""Changing a user's file while other programs write it too: no edit is lost, and the file is whole at every moment.

# Note [The exchange]
A new version is written beside the file, and the two then exchange their names in one step.  The displaced file is
exactly what the file was at that moment.  If the change was not worked out from that content, another program has
written in between: the names are exchanged back at once, and the change is worked out again.  So no edit of another
program is overlooked; only between the exchange and its reversal can such an edit hit the new version.  That edit is
kept (`Backups`), and only two writes within that moment lose one.

# Note [Writers in place]
A program that writes without replacing the file has it open meanwhile, which shows in a refused lease.  A file that is
being written is not read, and an exchange with it does not stand.

# Note [Overwritten]
A program that has read the file before the change may write it after, without reading it again, and cannot be
prevented. So where the file was written within the last seconds, it is watched for a moment, and when it was written
again the edit is called once more: it changes nothing where the enrolled entries are still there.

# Note [The client's lock]
Claude Code makes a directory ``<file>.lock``, touches it as long as it writes, and removes one that was not touched for
10 seconds.  It does not wait long for others: it writes anyway.  So the lock makes a collision less likely, and nothing
relies on it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from attrs import define, field, frozen

from mcpgateway.clientfiles.backups import Backups, digest_of, read_file, read_open, sync_directory
from mcpgateway.clientfiles.disk import DISK, UNSUPPORTED, Disk
from mcpgateway.clientfiles.replacement import InPlaceOnly, overwrite, prepared, put_away, sweep
from mcpgateway.errors import ConfigError
from mcpgateway.system import files

FILE_LIMIT = 512 * 1_048_576
READS = 6  # a malformed file may be in the middle of being written
READ_AGAIN_S = 0.1
CHANGES = 40  # next to a writer every 20 ms one attempt in two or three succeeds
CONTESTED_S = 2.0
ALONE_S = 0.2
ALONE_POLL_S = 0.02
QUIET_S = 1.0
QUIET_POLL_S = 0.005
SWAPS = 8
LOCK_WAIT_S = 2.0
LOCK_STALE_S = 10.0
LOCK_POLL_S = 0.05
CANNOT_RENAME = frozenset((errno.EBUSY, errno.EXDEV))  # a file that is itself a mount point
ADVICE = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EACCES: "give yourself the right to write it and its directory, and try again",
    errno.EPERM: "if it is immutable (lsattr shows an i), allow changes (chattr -i) and try again",
    errno.EROFS: "make its file system writable, and try again",
    errno.EIO: "the disk is failing; see the system's log",
    errno.ELOOP: "its symbolic links lead nowhere; repair them",
}


@define(eq=False, repr=False)
class ClientLock:
    """A lock that is a directory.

    :param path: the path of the directory, which exists only while a program has the lock.
    """

    path: str
    _disk: Disk = field(default=DISK, repr=False)
    _inode: int = 0

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Take the lock, or go on without it after 2 seconds; yields whether it is held."""
        self._inode = self._taken()
        try:
            yield self._inode != 0
        finally:
            self._release()

    def refresh(self) -> None:
        """Show that the lock is still in use; called between the steps of a change."""
        if self._inode:
            with suppress(OSError):
                self._disk.touch(self.path)

    def _taken(self) -> int:
        end = self._disk.now() + LOCK_WAIT_S
        while True:
            try:
                self._disk.make_directory(self.path, 0o755)
                return self._disk.stat(self.path).st_ino
            except FileExistsError:
                self._remove_stale()
                if self._disk.now() >= end:
                    return 0
            except OSError:
                return 0  # where no directory can be made, the client cannot make one either
            self._disk.sleep(LOCK_POLL_S)

    def _remove_stale(self) -> None:
        with suppress(OSError):
            if self._disk.now() - self._disk.stat(self.path).st_mtime > LOCK_STALE_S:
                self._disk.remove_directory(self.path)

    def _release(self) -> None:
        inode, self._inode = self._inode, 0
        # A client that considered this lock stale has made its own, which stays.
        with suppress(OSError):
            if inode and self._disk.stat(self.path).st_ino == inode:
                self._disk.remove_directory(self.path)


def directory_lock(file: str, disk: Disk = DISK) -> ClientLock:
    """Return the lock of a file as Claude Code has it: beside the file itself, also where a link leads there."""
    return ClientLock(os.path.realpath(file) + ".lock", disk)


@frozen
class ChangedFile:
    """A file that was changed.

    :ivar path: its real path.
    :ivar before: the digest of its former content.
    :ivar after: the digest of its new content.
    :ivar text: its new text.
    :ivar displaced: the digests of the versions that are kept because this change displaced them.
    :ivar in_place: the reason why it was overwritten in place, where a reader may see half of it for a moment; else
        empty.
    """

    path: str
    before: str
    after: str
    text: str = field(repr=False)
    displaced: tuple[str, ...] = ()
    in_place: str = ""


Before = Callable[[bytes, bytes], None]
After = Callable[[ChangedFile], None]


def change(  # noqa: PLR0913 - each is a different question about one change
    path: str,
    edit: Callable[[str], str],
    *,
    backups: Backups,
    lock: ClientLock | None = None,
    before: Before | None = None,
    after: After | None = None,
    landed: After | None = None,
    create: bool = False,
    limit: int = FILE_LIMIT,
) -> ChangedFile | None:
    """Change a file's text; None where the edit changes nothing.

    A symbolic link is written through; mode, owner and extended attributes stay.

    :param edit: returns the new text for the old one, each as of `mcpgateway.system.files.any_text_of`. It is called
        again when another program has written meanwhile. It raises ConfigError for a malformed text, which is then
        read again for a while.
    :param before: called with the old and the new bytes before each attempt; when it raises, nothing is changed.
    :param landed: called each time the file was replaced; it may be overwritten, and replaced again.
    :param after: called when the change is on the disk for good.
    :param create: make the file where it does not exist.
    :raise FileNotFoundError: the file does not exist.
    :raise ConfigError: the file cannot be changed, and is unchanged.
    """
    real = os.path.realpath(path)
    with backups.locked(), lock.held() if lock else nullcontext():
        sweep(backups, real)
        work = _Work(real, edit, backups, before, landed, lock, is_made=create, limit=limit)
        try:
            changed = work.carry_out()
        except FileNotFoundError as why:
            if create:
                raise refusal(real, why) from why
            raise
        except OSError as why:
            raise refusal(real, why) from why
        with suppress(OSError):
            backups.trim()
        if changed is not None and after is not None:
            after(changed)
        return changed


def refusal(path: str, why: OSError) -> ConfigError:
    """Return the error for a file that could not be changed, with its remedy."""
    advice = ADVICE.get(why.errno or 0, "")
    sentence = f"{path}: cannot be changed and is as it was: {why.strerror or why}"
    return ConfigError(f"{sentence}; {advice}" if advice else sentence, hint=advice)


@frozen
class _Found:
    """A file as it was read; its status is None where it does not exist."""

    data: bytes = field(repr=False)
    status: os.stat_result | None

    @property
    def identity(self) -> tuple[int, ...]:
        return _identity(self.status) if self.status else ()


@define(eq=False, repr=False)
class _Work:
    """One change of one file."""

    path: str
    edit: Callable[[str], str]
    backups: Backups
    before: Before | None
    landed: After | None
    lock: ClientLock | None
    is_made: bool
    limit: int
    text: str = field(default="", repr=False)
    displaced: list[str] = field(factory=list)
    in_place: str = ""

    @property
    def disk(self) -> Disk:
        return self.backups.disk

    def carry_out(self) -> ChangedFile | None:
        """Try until no other program writes meanwhile, and return the changed file."""
        changed: ChangedFile | None = None
        for _ in range(CHANGES):
            found, made = self._worked_out()
            if made == found.data:
                return changed
            if self.lock:
                self.lock.refresh()
            text, is_contested = self.text, self._is_contested(found)
            if not self._is_put(found, made):
                continue
            displaced = tuple(dict.fromkeys(self.displaced))
            changed = ChangedFile(
                self.path, digest_of(found.data), digest_of(made), text, displaced, self.in_place
            )
            if self.landed:
                self.landed(changed)
            if not is_contested or self._is_left_alone(made):
                return changed
        raise ConfigError(
            f"{self.path}: another program writes it all the time; it is as that program left it. Please try again"
        )

    def _is_contested(self, found: _Found) -> bool:
        """True if another program seems to write the file; see Note [Overwritten]."""
        if found.status is None:
            return False
        return self.disk.now() - found.status.st_mtime < CONTESTED_S or len(self.displaced) > 0

    def _is_left_alone(self, made: bytes) -> bool:
        """True if the file still has the bytes that were put there, and does not change for a moment."""
        try:
            placed = _identity(self.disk.stat(self.path))
            if read_file(self.disk, self.path, self.limit) != made:
                return False
            end = self.disk.now() + ALONE_S
            while self.disk.now() < end:
                self.disk.sleep(ALONE_POLL_S)
                if _identity(self.disk.stat(self.path)) != placed:
                    return False
        except FileNotFoundError:
            return False
        return True

    def _worked_out(self) -> tuple[_Found, bytes]:
        """Read the file and work out its new bytes; a malformed file is read again for a while."""
        for reads_left in reversed(range(READS)):
            found = self._read()
            try:
                if not found.data and found.status and reads_left:
                    raise ConfigError(f"{self.path}: is empty")
                return found, self._edited(found.data)
            except ConfigError:
                if not reads_left:
                    raise
            self.disk.sleep(READ_AGAIN_S)
        raise AssertionError("the last read returns or raises")

    def _edited(self, data: bytes) -> bytes:
        text = files.any_text_of(data, self.path)
        self.text = self.edit(text)
        return data if self.text == text else files.bytes_of(self.text)

    def _read(self) -> _Found:
        """Read the file when no program is writing it, or after a while regardless."""
        try:
            descriptor = self.disk.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:
            if self.is_made:
                return _Found(b"", None)
            raise
        try:
            self._check(self.disk.fstat(descriptor))
            end = self.disk.now() + QUIET_S
            while self.disk.is_being_written(descriptor) and self.disk.now() < end:
                self.disk.sleep(QUIET_POLL_S)
            status = self.disk.fstat(descriptor)  # before the bytes, so that a later write shows
            return _Found(read_open(self.disk, descriptor, self.limit), status)
        finally:
            self.disk.close(descriptor)

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{self.path}: is not a regular file")
        if status.st_uid != self.disk.user() and self.disk.user() != 0:
            raise ConfigError(
                f"{self.path}: belongs to another user (uid {status.st_uid}); let that user change it"
            )
        if not status.st_mode & 0o222:
            raise ConfigError(f"{self.path}: is read-only; make it writable (chmod u+w) and try again")

    def _is_put(self, found: _Found, made: bytes) -> bool:
        """Put the new version in place; false where another program has written meanwhile."""
        if self.before:
            self.before(found.data, made)
        if found.status and found.status.st_nlink > 1:
            # A new file under this name would no longer be the one that the other names lead to.
            return self._is_written(found, made, f"it has {found.status.st_nlink} hard links")
        try:
            return self._is_replaced(found, made, prepared(self.disk, self.path, found.status, made))
        except InPlaceOnly as why:
            return self._is_written(found, made, str(why))

    def _is_replaced(self, found: _Found, made: bytes, temporary: str) -> bool:
        try:
            if found.status is None:
                return self._is_created(temporary)
            ours = _identity(self.disk.stat(temporary))
            if not self._is_still(found):
                self._discard(temporary)
                return False
            if not self._is_exchanged(temporary):
                return self._is_renamed(found, temporary)
        except FileNotFoundError:  # removed in the last moment
            self._discard(temporary)
            return False
        except BaseException:
            self._discard(temporary)
            raise
        # From here on, the file of the temporary name may be another program's edit.
        if not self._is_what_came_out(found, temporary):
            self._take_back(ours, temporary)
            return False
        sync_directory(self.disk, os.path.dirname(self.path))
        self._put_away(temporary)
        return True

    def _is_exchanged(self, temporary: str) -> bool:
        """Exchange the names; false where that is not possible here."""
        try:
            self.disk.exchange(temporary, self.path)
        except OSError as why:
            if why.errno in CANNOT_RENAME:
                raise InPlaceOnly("it is a mount point of its own") from why
            if why.errno not in UNSUPPORTED:
                raise
            return False
        return True

    def _is_still(self, found: _Found) -> bool:
        try:
            return (
                read_file(self.disk, self.path, self.limit) == found.data
                and _identity(self.disk.stat(self.path)) == found.identity
            )
        except FileNotFoundError:
            return False

    def _is_what_came_out(self, found: _Found, temporary: str) -> bool:
        """True if the exchange has displaced the version that was read; see Note [Writers in place]."""
        try:
            descriptor = self.disk.open(temporary, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                return (
                    _identity(self.disk.fstat(descriptor)) == found.identity
                    and not self.disk.is_being_written(descriptor)
                    and read_open(self.disk, descriptor, self.limit) == found.data
                )
            finally:
                self.disk.close(descriptor)
        except OSError:
            return False

    def _take_back(self, placed: tuple[int, ...], temporary: str) -> None:
        """Put the displaced file back, or a later version that another program has written.

        :param placed: the identity of the file that was put in its place.
        """
        for _ in range(SWAPS):
            holding = _identity(self.disk.stat(temporary))
            self.disk.exchange(temporary, self.path)
            if _identity(self.disk.stat(temporary)) == placed:
                break
            placed = holding  # the file that came out is newer than the one that went in, and is put back
        self._put_away(temporary)

    def _is_renamed(self, found: _Found, temporary: str) -> bool:
        """Rename where names cannot be exchanged: an edit in the last moment is not noticed."""
        self.displaced.append(self.backups.put(found.data))
        if not self._is_still(found):
            self._discard(temporary)
            return False
        self.disk.rename(temporary, self.path)
        sync_directory(self.disk, os.path.dirname(self.path))
        return True

    def _is_created(self, temporary: str) -> bool:
        try:
            self.disk.link(temporary, self.path)
        except FileExistsError:
            self._discard(temporary)
            return False
        self._discard(temporary)
        sync_directory(self.disk, os.path.dirname(self.path))
        return True

    def _is_written(self, found: _Found, made: bytes, why: str) -> bool:
        """Overwrite the file itself, after keeping a copy, from which it is repaired if this is cut short."""
        self.displaced.append(self.backups.put(found.data))
        self.backups.put(made)
        if not self._is_still(found):
            return False
        try:
            overwrite(self.disk, self.path, made)
        except OSError:
            with suppress(OSError):
                if read_file(self.disk, self.path) != found.data:
                    overwrite(self.disk, self.path, found.data)
            raise
        self.in_place = why
        return True

    def _put_away(self, temporary: str) -> None:
        """Keep the displaced version; where that fails, the next run finds it beside the file."""
        with suppress(OSError):
            self.displaced += put_away(self.backups, temporary)

    def _discard(self, temporary: str) -> None:
        with suppress(OSError):
            self.disk.unlink(temporary)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
