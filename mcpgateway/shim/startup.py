"""Start the gateway where none runs: only once, also for several programs at the same time, and detached from them.

# Note [The lock that the daemon holds]
The starter of a daemon first locks a file in the home, and the daemon inherits the lock for its whole life.  So a free
lock means that no daemon started here is alive, not even one that does not answer yet; and a crash releases it.

# Note [What the lock's file says]
``CLOCK WORD TRIES``: the last event of the gateway, its time by the kernel's clock (which is meaningless after a
reboot), and the number of starts in a row without a life of `LIFE_S`.

word        written by
``tried``   the starter of a daemon
``up``      the daemon, once it listens
``ended``   the daemon, when it ends in order

# Note [A wanted gateway]
``mcpgateway start`` writes its options into a file, and ``mcpgateway stop`` renames that file, for a later
``mcpgateway restart``.  Every start of the
gateway in between uses these options, on the port that clients know, and the gateway stays until it is stopped. Without
that file, the gateway was started by a shim, and ends when it is not used.  A shim that was running at the stop does
not start the gateway again: remaining programs must not undo a user's command.
"""

from __future__ import annotations

import errno
import fcntl
import posix
import sys
from posix import _exit

LOCK = "daemon.lock"
LOG = "gateway.log"
WANTED, STOPPED, FORMER = "wanted", "stopped", "former"
REVIVAL, RESTORATION = "revival", "restoration"
CRASHED = "crashed"
UNCLEAN, REBOOT = "unclean", "reboot"  # an end that the next gateway notices, at its own start
LOCK_DESCRIPTOR = 3  # in the daemon
DESCRIPTORS = 65536
TRIED, UP, ENDED = "tried", "up", "ended"
# The least time between automatic starts, after the first failure, the second, and every other.
PAUSES_S = (30.0, 60.0, 120.0)
LIFE_S = 600.0  # a gateway that ran for so long has not failed
RECORD_LIMIT = 128
WANTED_LIMIT = 65_536
TAIL_BYTES = 4096
SAYS = "mcpgateway: "  # begins the line with the reason of a gateway that ends at its start
START, SHIM = "start", "shim"
FORMAT_MASK, REGULAR, DIRECTORY = 0o170000, 0o100000, 0o040000  # inode(7): S_IFMT, S_IFREG, S_IFDIR
# The variables that tell a daemon how it was started, and where it logs.
STARTED_VARIABLE, LOG_VARIABLE = "MCPGATEWAY_STARTED", "MCPGATEWAY_LOG"
# The variable that marks the children of a gateway, which are killed with it; a gateway started by a child is none.
CHILD_VARIABLE = "MCPGATEWAY_INSTANCE"
# Variables that other programs were given by their parents, and that are not for a gateway.
FOREIGN = (
    *(CHILD_VARIABLE.encode(), b"NOTIFY_SOCKET", b"WATCHDOG_USEC", b"WATCHDOG_PID"),
    *(b"INVOCATION_ID", b"XPC_SERVICE_NAME"),
)
LOGGER = "mcpgateway.system.logs.gateway_log.observer"


class StartRecord:
    """The record in the lock's file; see Note [What the lock's file says].

    :ivar at_ms: milliseconds since the machine's boot.
    :ivar word: the last event.
    :ivar tries: the number of starts in a row.
    """

    __slots__ = ("at_ms", "tries", "word")

    def __init__(self, at_ms: int = 0, word: str = "", tries: int = 0) -> None:
        self.at_ms = at_ms
        self.word = word
        self.tries = tries

    def failures(self, now_ms: int) -> int:
        """The number of failed starts in a row; the end of a gateway that ran and was killed counts as the next."""
        if self.word == TRIED:
            return self.tries
        if self.word != UP or now_ms - self.at_ms >= LIFE_S * 1000:
            return 0
        return self.tries

    def pause_s(self, now_ms: int) -> float:
        """Return the seconds after `at_ms` without an automatic start; the first end after a life is no failure."""
        failures = self.failures(now_ms) - (self.word == UP)
        return pause_after(failures)


def pause_after(failures: int) -> float:
    """Return the seconds until the next try, after so many failures in a row."""
    return PAUSES_S[min(failures, len(PAUSES_S)) - 1] if failures > 0 else 0.0


def read_record(descriptor: int) -> StartRecord:
    """Return the record in the lock's file; an empty one where it is unreadable, or from before the machine's boot."""
    words = posix.pread(descriptor, RECORD_LIMIT, 0).decode("ascii", "replace").split()
    if len(words) != 3 or not (words[0].isdigit() and words[2].isdigit()):
        return StartRecord()
    at_ms = int(words[0])
    return StartRecord(at_ms, words[1], int(words[2])) if at_ms <= clock() else StartRecord()


def write_record(descriptor: int, word: str, tries: int = 0) -> None:
    """Write the record of an event of the gateway."""
    text = f"{clock()} {word} {tries}\n".encode()
    posix.pwrite(descriptor, text, 0)
    posix.ftruncate(descriptor, len(text))


def argv(home: str | None, options: list[str], *, logger: str = "") -> list[str]:
    """Return the command line of a gateway, with the interpreter that runs this program."""
    started = [sys.executable, "-P", "-m", "mcpgateway.app.twisted_runner", "twistd"]
    log = [f"--logger={logger}"] if logger else []
    chosen = ["--home", home] if home is not None else []
    return [*started, "-n", "--pidfile=", *log, "mcpgateway", *chosen, *options]


class Starter:
    """Starts the daemon of one home."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._began_ms = clock()

    def start(self) -> bool:
        """Start a daemon unless one lives, has just failed, or was stopped since; true if one was started.

        :raise OSError: the home cannot be used.
        """
        return self._locked(self._start_if_due)

    def start_wanted(self, options: list[str] | None) -> bool:
        """Start a daemon that is to stay, with these options or else with those of a wanted gateway; true if started.

        :raise OSError: the home cannot be used.
        """

        def begin(lock: int) -> bool:
            if options is not None:
                write_wanted(self._home, options)
                forget(self._home, STOPPED)
                forget(self._home, CRASHED)
            elif read_wanted(self._home) is None:
                return False
            return self._start(lock, read_record(lock))

        return self._locked(begin)

    def is_stopped(self) -> bool:
        """Return whether the user has stopped the gateway since this process has begun."""
        return stopped_at(self._home) >= self._began_ms

    def _locked(self, begin: object) -> bool:
        make_directory(self._home)
        make_own(self._home + "/logs")
        lock = open_lock(self._home)
        try:
            if not take(lock):
                return False
            return begin(lock)  # type: ignore[operator,no-any-return]  # one of ours
        finally:
            posix.close(lock)

    def _start_if_due(self, lock: int) -> bool:
        record, now = read_record(lock), clock()
        if self.is_stopped() or now - record.at_ms < record.pause_s(now) * 1000:
            return False
        return self._start(lock, record)

    def _start(self, lock: int, record: StartRecord) -> bool:
        tries = record.failures(clock()) + 1
        # A command can report the missing log to its user; a program without a user could not.
        log = open_own(f"{self._home}/logs/{LOG}", posix.O_WRONLY | posix.O_APPEND)
        try:
            write_record(lock, TRIED, tries)
            wanted = read_wanted(self._home)
            detach(lambda: self._become(lock, log, wanted))
        finally:
            posix.close(log)
        return True

    def _become(self, lock: int, log: int, wanted: list[str] | None) -> None:
        path = f"{self._home}/logs/{LOG}"
        null = posix.open("/dev/null", posix.O_RDONLY)
        lock = fcntl.fcntl(lock, fcntl.F_DUPFD, 10)
        log, null = fcntl.fcntl(log, fcntl.F_DUPFD, 10), fcntl.fcntl(null, fcntl.F_DUPFD, 10)
        for source, target in ((null, 0), (log, 1), (log, 2), (lock, LOCK_DESCRIPTOR)):
            posix.dup2(source, target)
        posix.closerange(LOCK_DESCRIPTOR + 1, DESCRIPTORS)
        posix.chdir("/")
        program = argv(self._home, wanted or [], logger=LOGGER)
        environ = {**posix.environ}
        for name in FOREIGN:
            environ.pop(name, None)
        environ[STARTED_VARIABLE.encode()] = (SHIM if wanted is None else START).encode()
        environ[LOG_VARIABLE.encode()] = path.encode(errors="surrogateescape")
        posix.execve(program[0], program, environ)


def last_words(home: str) -> str:
    """Return why the last gateway could not be started, from its log; empty where the log ends with anything else."""
    try:
        log = opener(f"{home}/logs/{LOG}", posix.O_RDONLY)
    except OSError:
        return ""
    try:
        size = posix.fstat(log).st_size
        text = posix.pread(log, TAIL_BYTES, max(0, size - TAIL_BYTES)).decode(errors="replace")
    except OSError:
        return ""
    finally:
        posix.close(log)
    line = text.rstrip().rpartition("\n")[2]
    return line.removeprefix(SAYS) if line.startswith(SAYS) else ""


def open_lock(home: str) -> int:
    """Open the file of the lock.

    :raise OSError: the home cannot be used.
    """
    return open_own(f"{home}/{LOCK}", posix.O_RDWR)


def take(lock: int) -> bool:
    """Take the lock if it is free; return whether it was.

    :raise OSError: the file system has no locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as why:
        if why.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def is_held(home: str) -> bool:
    """True if a gateway of the home is alive, starting or ending included; the lock is tried for a moment."""
    try:
        lock = open_lock(home)
    except OSError:
        return False
    try:
        return not take(lock)
    except OSError:
        return False
    finally:
        posix.close(lock)


def record_of(home: str) -> StartRecord:
    """Read the record of a home's gateway; an empty one where it cannot be read."""
    try:
        lock = open_lock(home)
    except OSError:
        return StartRecord()
    try:
        return read_record(lock)
    finally:
        posix.close(lock)


def write_log(home: str, source: str, text: str) -> None:
    """Write a line to the gateway's log while no gateway runs; where that fails, the line is lost.

    :param source: the program that writes the line.
    """
    from time import gmtime, strftime

    line = f"{strftime('%Y-%m-%dT%H:%M:%S+0000', gmtime())} [{source}] {text}\n"
    try:
        log = open_own(f"{home}/logs/{LOG}", posix.O_WRONLY | posix.O_APPEND)
    except OSError:
        return
    try:
        posix.write(log, line.encode())
    except OSError:
        pass
    finally:
        posix.close(log)


def write_wanted(home: str, options: list[str]) -> None:
    """Record the options of the wanted gateway.

    :raise OSError: the record cannot be written.
    """
    _write(home, WANTED, "".join(f"{each}\0" for each in options))


def write_stopped(home: str) -> None:
    """Record that the gateway is stopped: shims that are running do not start it again.

    :raise OSError: the record cannot be written.
    """
    try:
        posix.rename(f"{home}/{WANTED}", f"{home}/{FORMER}")
    except FileNotFoundError:
        pass  # it was started by a shim, or is stopped already
    forget(home, CRASHED)
    _write(home, STOPPED, str(clock()))


def write_due(home: str, name: str, due_ms: int) -> None:
    """Record the time at which this process is going to act.

    :param name: `REVIVAL` or `RESTORATION`.
    :raise OSError: the record cannot be written.
    """
    _write(home, name, f"{due_ms} {posix.getpid()}")


def read_due(home: str, name: str) -> tuple[int, int] | None:
    """Return the time of that act, by the kernel's clock, and its process; None where there is no record."""
    words = (_read(home, name) or "").split()
    if len(words) != 2 or not all(each.isdigit() for each in words):
        return None
    return int(words[0]), int(words[1])


def write_crash(home: str, at: float, end: str = "") -> None:
    """Record that the gateway has ended without a word, at a time in epoch seconds, until its user starts it.

    :param end: `UNCLEAN` or `REBOOT` where the time is that of the next start; empty for the end's own.
    :raise OSError: the record cannot be written.
    """
    _write(home, CRASHED, f"{int(at)} {end}".rstrip())


def read_crash(home: str) -> int:
    """Return the time of the latest such end; 0 for none."""
    text = (_read(home, CRASHED) or "").partition(" ")[0]
    return int(text) if text.isdigit() else 0


def read_end(home: str) -> str:
    """Return the kind of that end, as `write_crash` has recorded it."""
    return (_read(home, CRASHED) or "").partition(" ")[2].strip()


def _write(home: str, name: str, content: str) -> None:
    path, draft = f"{home}/{name}", f"{home}/.{name}.{posix.getpid()}"
    text = content.encode(errors="surrogateescape")
    descriptor = open_own(draft, posix.O_WRONLY | posix.O_TRUNC)
    try:
        try:
            posix.write(descriptor, text)
        finally:
            posix.close(descriptor)
        posix.replace(draft, path)
    except OSError as why:
        posix.unlink(draft)
        raise OSError(why.errno, why.strerror, path) from why


def read_wanted(home: str) -> list[str] | None:
    """Read the options of the wanted gateway; None where no gateway is wanted."""
    return _options_in(home, WANTED)


def read_former(home: str) -> list[str] | None:
    """Read the options of the gateway that was stopped last; None where there are none."""
    return _options_in(home, FORMER)


def _options_in(home: str, name: str) -> list[str] | None:
    text = _read(home, name)
    return None if text is None else text.split("\0")[:-1]


def stopped_at(home: str) -> int:
    """Return the time of the last stop, in milliseconds since the machine's boot; -1 where there was none."""
    text = _read(home, STOPPED) or ""
    return int(text) if text.isdigit() and int(text) <= clock() else -1


def _read(home: str, name: str) -> str | None:
    try:
        return read_own(f"{home}/{name}", WANTED_LIMIT).decode(errors="surrogateescape")
    except OSError:
        return None


def read_own(path: str, limit: int) -> bytes:
    """Read a file of the gateway in its home, as `mcpgateway.system.home_files.read` does, but cut at the limit.

    :raise OSError: the file does not exist, cannot be read, or is no regular file of this user.
    """
    descriptor = opener(path, posix.O_RDONLY)
    try:
        return posix.read(descriptor, limit)
    finally:
        posix.close(descriptor)


def opener(path: str, _flags: int) -> int:
    """Open a file as the ``opener`` of ``open``, with the checks of `read_own`."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOFOLLOW)
    try:
        _check(descriptor, path)
    except OSError:
        posix.close(descriptor)
        raise
    return descriptor


def open_own(path: str, flags: int) -> int:
    """Open a file of the gateway for writing, made where it is missing.

    :raise OSError: the file cannot be opened, or is no regular file of this user.
    """
    flags |= posix.O_CREAT | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOFOLLOW
    descriptor = posix.open(path, flags, 0o600)
    try:
        _check(descriptor, path)
    except OSError:
        posix.close(descriptor)
        raise
    return descriptor


def _check(descriptor: int, path: str) -> None:
    found = posix.fstat(descriptor)
    if found.st_mode & FORMAT_MASK != REGULAR or found.st_uid != posix.geteuid():
        raise OSError(errno.EINVAL, "is not a regular file of this user", path)


def forget(home: str, name: str) -> None:
    """Remove a record.

    :raise OSError: the record cannot be removed.
    """
    try:
        posix.unlink(f"{home}/{name}")
    except FileNotFoundError:
        return


def clock() -> int:
    """Return the milliseconds since the machine's boot."""
    from time import monotonic

    return int(monotonic() * 1000)


def make_directory(path: str) -> None:
    """Make a private directory, and those above it."""
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


def make_own(path: str) -> None:
    """Make a directory of the gateway's own in its home, as `mcpgateway.system.home_files.make_directory` does.

    :raise OSError: the directory cannot be made, or is no directory of this user.
    """
    make_directory(path)
    found = posix.lstat(path)
    if found.st_mode & FORMAT_MASK != DIRECTORY or found.st_uid != posix.geteuid():
        raise OSError(errno.ENOTDIR, "is not a directory of this user", path)


def detach(become: object) -> None:
    """Run a program detached: in a session of its own, with the default signals; return at once."""
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
