"""The processes of this machine, and the limits of the gateway's own."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf

from mcpgateway.errors import ConfigError, Overloaded
from mcpgateway.system.process.procfs import environment_of, is_alive, pids

FILES_WANTED = 65_536  # descriptors: one per client connection, three per child

# Descriptors that connections and servers must leave free, for files that are opened for a moment: a module that is
# imported when it is first needed, a file that is read or written.
RESERVE = 4
AT_ONCE = 4  # opened once the gateway listens: inotify's, a pipe of its threads, one to the guardian
TELLING = 16  # of all descriptors, one part in so many is for connections that get a refusal
TOO_MANY = "the gateway has too many files open"
RAISE_IT = "let the gateway open more: ulimit -n 1024, or LimitNOFILE= of its unit"

STDERR = 2

_original: tuple[int, int] | None = None


def raise_nofile() -> None:
    """Raise the process's soft limit of open files; `original_nofile` restores it for a child."""
    global _original  # noqa: PLW0603 - the limit is a fact of the whole process, set once
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _original is None:
        _original = soft, hard
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def restore_nofile() -> None:
    """Restore the original limit of open files, for a program that replaces this process and raises it again."""
    if _original is not None:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, _original)


def files_limit() -> int:
    """Return the number of files that this process may have open; 0 for any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft


def files_left(opened: int | None = None) -> float:
    """Return how many more files may be opened without using the reserve; less than 0 where it is in use.

    :param opened: the latest descriptor, which the system makes the lowest free one.
    """
    limit = files_limit() or inf
    if opened is not None:
        return limit - RESERVE - opened - 1
    try:
        free = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -RESERVE
    os.close(free)
    return limit - RESERVE - free


def check_files() -> None:
    """Check that at least one client could be served.

    :raise ConfigError: so few files may be open that no connection could be accepted.
    """
    if files_left() <= AT_ONCE + files_limit() // TELLING:
        raise ConfigError(
            f"the gateway may have {files_limit()} files open only, which are too few", RAISE_IT
        )


def out_of_files(why: BaseException) -> Overloaded | None:
    """Return the error for a failure because no more files can be opened; None for another failure."""
    is_it = isinstance(why, OSError) and why.errno in (errno.EMFILE, errno.ENFILE)
    return Overloaded(TOO_MANY, f"{RAISE_IT}, or end clients that are not needed") if is_it else None


def seal_descriptors() -> None:
    """Keep inherited descriptors from children; Python's own are never inherited, but these would be."""
    for directory in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            for name in os.listdir(directory):
                if int(name) > STDERR:
                    with suppress(OSError):  # the one that listed the directory is closed by now
                        os.set_inheritable(int(name), False)
            return


@contextmanager
def original_nofile() -> Iterator[None]:
    """Run a spawn under the original limit of open files: some programs close every descriptor up to it."""
    if _original is None:
        yield
        return
    now = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_original[0], now[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, now)


class ProcessTable:
    """The processes of this machine."""

    def is_alive(self, pid: int) -> bool:
        """True if that process runs (a zombie does not), or if that cannot be determined."""
        return is_alive(pid)


def group_is_alive(pgid: int) -> bool:
    """True if a process group has a process left."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_group(pgid: int, number: signal.Signals) -> bool:
    """Signal a whole process group; false where it has no process left."""
    try:
        os.killpg(pgid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # a member changed its user; those that are ours have got the signal
        return True
    return True


def bearing(marker: str) -> list[int]:
    """Return the processes whose environment holds this ``NAME=value`` entry; empty where the system does not tell."""
    name, _, value = marker.encode().partition(b"=")
    return [pid for pid in pids() if pid != os.getpid() and environment_of(pid).get(name) == value]


def kill_bearing(marker: str) -> int:
    """Send SIGKILL to every process that has the marker, until none is left, and return their number."""
    killed = set()
    for _ in range(
        20
    ):  # each pass may meet children born during the last one, and those that are still ending
        pids = bearing(marker)
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        if not pids:
            break
    return len(killed)
