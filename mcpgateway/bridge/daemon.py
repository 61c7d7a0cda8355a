"""Start the gateway when it is away: once, however many find it so, and detached, since it is nobody's to stop.

# Note [The lock that the daemon holds]
Whoever starts a daemon first locks a file in the home, and the daemon inherits the lock for as long as it lives.  So a
lock that can be taken says that no daemon started here is alive, not even one that does not answer yet; and a crash
gives it back.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import sys
from posix import _exit

LOCK = "daemon.lock"
LOG = "gateway.log"
LOCK_DESCRIPTOR = 3  # in the daemon
DESCRIPTORS = 65536
# A daemon that could not start is not tried more often than this, whoever asks.
AGAIN_S = 3.0


def argv(home: str | None, options: list[str]) -> list[str]:
    """How a gateway is started, with the interpreter that runs this program."""
    runner = sys.executable.rpartition("/")[0] + "/twistd"
    if posix.access(runner, posix.X_OK):
        started = [sys.executable, runner]
    else:
        started = [sys.executable, "-P", "-c", "from twisted.scripts.twistd import run; run()"]
    chosen = ["--home", home] if home is not None else []
    return [*started, "-n", "--pidfile=", "mcpgateway", *chosen, *options]


class Starter:
    """Starts the daemon of one home."""

    def __init__(self, home: str) -> None:
        self._home = home

    def start(self) -> bool:
        """Start a daemon unless one has been started and lives, or has just failed; whether this one was started.

        :raise OSError: the home cannot be used.
        """
        make_directory(self._home)
        make_directory(self._home + "/logs")
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NOFOLLOW
        lock = posix.open(f"{self._home}/{LOCK}", flags, 0o600)
        try:
            return self._start(lock)
        finally:
            posix.close(lock)

    def _start(self, lock: int) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as why:
            if why.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        if not self._may_try(lock):
            return False
        detach(lambda: self._become(lock))
        return True

    def _may_try(self, lock: int) -> bool:
        # The kernel's boot clock goes into the file: it never jumps, and says nothing after a restart of the machine.
        now = clock()
        last = posix.pread(lock, 32, 0)
        if last.isdigit() and 0 <= now - int(last) < AGAIN_S * 1000:
            return False
        posix.ftruncate(lock, 0)
        posix.pwrite(lock, b"%d" % now, 0)
        return True

    def _become(self, lock: int) -> None:
        log = posix.open(f"{self._home}/logs/{LOG}", posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o600)
        null = posix.open("/dev/null", posix.O_RDONLY)
        lock = fcntl.fcntl(lock, fcntl.F_DUPFD, 10)
        log, null = fcntl.fcntl(log, fcntl.F_DUPFD, 10), fcntl.fcntl(null, fcntl.F_DUPFD, 10)
        for source, target in ((null, 0), (log, 1), (log, 2), (lock, LOCK_DESCRIPTOR)):
            posix.dup2(source, target)
        posix.closerange(LOCK_DESCRIPTOR + 1, DESCRIPTORS)
        posix.chdir("/")
        program = argv(self._home, [])
        posix.execve(program[0], program, posix.environ)


def clock() -> int:
    """Milliseconds since the machine was started."""
    from time import monotonic

    return int(monotonic() * 1000)


def make_directory(path: str) -> None:
    """Make a directory of the user's own, and what is above it."""
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        above = path.rstrip("/").rpartition("/")[0]
        if not above:
            raise
        make_directory(above)
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            return


def detach(become: object) -> None:
    """Run a program as nobody's child: in a session of its own, with the default signals; returns at once."""
    import _signal  # type: ignore[import-not-found]  # the builtin half of signal

    child = posix.fork()
    if child:
        posix.waitpid(child, 0)
        return
    try:
        posix.setsid()
        if posix.fork():
            _exit(0)
        posix.umask(0o077)
        for number in range(1, _signal.NSIG):
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except (OSError, ValueError):
                continue  # KILL, STOP and those of the C library
        become()  # type: ignore[operator]  # does not return
    finally:
        _exit(127)
