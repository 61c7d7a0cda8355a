"""Directories of this machine: the workspace of a directory, the working directory of a process, values made of files.

Everything here asks the file system and blocks for as long as that takes: microseconds on a local disk.  It is used at
the beginning of a session, and results are cached for `FRESH_S`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from attrs import define, field
from msgspec import Struct

from mcpgateway.errors import ConfigError
from mcpgateway.system.process.procfs import directory_of

FRESH_S = 5.0  # a repository may be made, or a directory removed, while a client works in it
KEPT = 1000  # directories in the cache
PATH_LIMIT = 4096  # Linux has no longer ones

T = TypeVar("T")


class WorkingDirectory(Struct, frozen=True):
    """The directory in which a client works; empty where it is unknown.

    :ivar directory: a real path.
    :ivar root: the workspace that it lies in, a real path; empty in a home directory, which is none.
    """

    directory: str = ""
    root: str = ""


NOWHERE = WorkingDirectory()


class WorkspaceFinder:
    """Finds the workspace of a directory.

    :param configured: the roots of the configured workspaces.
    :param home: the user's home directory, which is no workspace although clients may well work there.
    :param proc: the directory of the processes.
    """

    def __init__(
        self, configured: Iterable[str], home: str, seconds: Callable[[], float], *, proc: str = "/proc"
    ) -> None:
        self._configured = sorted((os.path.realpath(each) for each in configured), key=len, reverse=True)
        self._none = {os.path.realpath(home), "/"}
        self._seconds = seconds
        self._proc = proc
        self._found: dict[str, tuple[float, WorkingDirectory]] = {}

    def find(self, path: str) -> WorkingDirectory:
        """Return the place of a path; `NOWHERE` for a relative path, and for one that is no readable directory."""
        now = self._seconds()
        known = self._found.get(path)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        if len(self._found) >= KEPT:
            self._found.clear()
        directory = _directory(path)
        place = WorkingDirectory(directory, self._root(directory)) if directory else NOWHERE
        self._found[path] = (now, place)
        return place

    def lies_in(self, directory: str, project: str) -> bool:
        """True if a directory is a project's, or lies in it; a home or ``/`` as a project is that directory only."""
        root = self.find(project).directory
        if not root or not directory:
            return False
        return directory == root if root in self._none else _lies_in(directory, root)

    def _root(self, directory: str) -> str:
        named = next((each for each in self._configured if _lies_in(directory, each)), None)
        if named is not None:
            return named
        if directory in self._none:
            return ""
        return self._git_root(directory) or directory

    def _git_root(self, directory: str) -> str:
        # A user who can write to a directory above, such as /tmp, must not choose the workspace of others.
        trusted = {os.geteuid(), _owner(directory)}
        above = directory
        while above not in self._none:
            if _owner(f"{above}/.git") in trusted:
                return above
            above = os.path.dirname(above)
        return ""

    def of_process(self, pid: int) -> WorkingDirectory:
        """Return the place where a process works; `NOWHERE` where it has ended, is another user's or in a container."""
        return self.find(directory_of(pid, self._proc))


def _directory(path: str) -> str:
    # Linux shows the removed directory of a process with " (deleted)" behind it, which is no directory.
    if not path.startswith("/") or len(path) > PATH_LIMIT or "\0" in path:
        return ""
    try:
        found = os.path.realpath(path, strict=True)
        found.encode()  # a path that cannot be written in a message or a journal is no place
        is_ours = os.path.isdir(found) and os.access(found, os.R_OK | os.X_OK)
    except (OSError, ValueError):
        return ""
    return found if is_ours else ""


def _lies_in(directory: str, root: str) -> bool:
    return directory == root or directory.startswith(root.rstrip("/") + "/")


def _owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None


@define(eq=False, repr=False)
class ParsedFile(Generic[T]):
    """A value made of a file, cached until the file changes.

    :param read: makes the value of the path; called also where the file does not exist.
    """

    _read: Callable[[str], T]
    _cache: dict[str, tuple[object, T]] = field(factory=dict, repr=False)

    def get(self, path: str, *, is_trusted: bool = False) -> T:
        """Return the value that `read` makes of a file; the same object until the file changes.

        :param is_trusted: the owner and the place of the file do not matter.
        :raise ConfigError: the file leads out of its directory, or belongs to another user; or `read` raises it.
        """
        mark = _mark(path)
        known = self._cache.get(path)
        if known is not None and known[0] == mark:
            return known[1]
        if mark is not None and not is_trusted:
            _check(path)
        if len(self._cache) >= KEPT:
            self._cache.clear()
        made = self._read(path)
        self._cache[path] = (mark, made)
        return made


def _mark(path: str) -> object:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _check(path: str) -> None:
    # A file that is checked out of a repository can be a link to another workspace's secrets.
    directory = os.path.dirname(path)
    where = os.path.realpath(path)
    if not _lies_in(where, os.path.realpath(directory)):
        raise ConfigError(f"{path}: leads out of its workspace and is not read; put a file in its place")
    try:
        found = os.stat(where)
        if found.st_uid not in (os.geteuid(), os.stat(directory).st_uid) or found.st_mode & stat.S_IWOTH:
            raise ConfigError(
                f"{path}: can be written by other users and is not read; change its owner or mode"
            )
    except OSError as why:
        raise ConfigError(f"{path}: cannot be read: {why.strerror}") from why
