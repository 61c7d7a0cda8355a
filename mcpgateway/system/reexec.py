"""Restart in place: the process executes its program again, which inherits the open sockets and the lock.

# Note [What is handed over]
The process keeps its pid, so its parent notices nothing.  The listening sockets stay open: a client that connects
meanwhile waits in the kernel's queue.  So do connections whose next request has not been read.  A variable names the
descriptors; the kernel knows the kind of each.  The lock of the home is inherited as descriptor 3, where
`mcpgateway.shim.startup` puts it.

Variables that the first program removed from its environment, because they are not for its children, are put back.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Container, Iterable, Mapping, MutableMapping
from contextlib import suppress
from time import monotonic, sleep  # noqa: TID251 - the reactor has ended

from mcpgateway.records import FrozenRecord
from mcpgateway.system.instance_lock import DESCRIPTOR, STARTED_VARIABLE
from mcpgateway.system.process import fall_back, processes
from mcpgateway.system.process.handover import FIRST, Handover, left_open
from mcpgateway.system.process.handover import VARIABLE as HANDOVER_VARIABLE
from mcpgateway.system.process.procfs import parent, pids

VARIABLE = "MCPGATEWAY_SOCKETS"
# Variables of a service manager that are for one process (sd_notify(3), sd_watchdog_enabled(3)).
MANAGER_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
TAKEN = (STARTED_VARIABLE, *MANAGER_VARIABLES)
LIMIT = 1000  # descriptors
REAP_S = 2.0


class ReexecCommand(FrozenRecord, frozen=True):
    """The command by which this process was started.

    :ivar taken: the variables that are removed from the environment.
    :ivar pid: the process that was started; after a fork the present one differs.
    """

    program: str
    argv: tuple[str, ...]
    taken: Mapping[str, str]
    pid: int

    @classmethod
    def of_this_process(cls, environ: Mapping[str, str]) -> ReexecCommand | None:
        """Return the command of this process; None where the program cannot be restarted in place.

        A program that daemonizes, or that keeps a pid file, would conflict with itself; a process with a terminal, or
        that ignores SIGHUP, receives SIGHUP for another reason than a restart.
        """
        words = tuple(sys.orig_argv)
        if not sys.executable or not _stays(words):
            return None
        if VARIABLE not in environ and (has_terminal() or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN):
            return None
        taken = {name: environ[name] for name in TAKEN if name in environ}
        return cls(sys.executable, words, taken, os.getpid())

    def is_there(self) -> bool:
        """True if the program can be executed now; during an upgrade it may be missing."""
        script = next((each for each in self.argv[1:] if not each.startswith("-")), "")
        is_file = script.startswith("/")
        return os.access(self.program, os.X_OK) and (not is_file or os.access(script, os.R_OK))

    def execute(
        self, sockets: Iterable[int], lock: int, path: str, handover: Handover | None = None, former: str = ""
    ) -> None:
        """Execute the program in place of the present one; returns only by an exception.

        :param sockets: the descriptors of listening sockets and of connections.
        :param lock: the descriptor of the home's lock; negative for none.
        :param path: the PATH of the program.
        :param handover: the state that the next program takes over.
        :param former: the directory of the present program, for the case that the next one does not start.
        :raise OSError: the program cannot be executed.
        """
        _reap(REAP_S, handover.pids if handover is not None else set())
        copies = [left_open(each) for each in sockets]
        named = {VARIABLE: " ".join(map(str, copies)), fall_back.VARIABLE: former}
        if handover is not None:
            file = handover.write()
            named[HANDOVER_VARIABLE] = str(file)
            copies += [file, *handover.descriptors()]
        for each in copies:
            os.set_inheritable(each, True)
        if lock == DESCRIPTOR:
            os.set_inheritable(lock, True)
        elif lock >= 0:
            os.dup2(lock, DESCRIPTOR)
        environ = {**os.environ, **self.taken, **named, "PATH": path}
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new program handles it
        processes.restore_nofile()
        os.execve(self.program, self.argv, environ)  # noqa: S606 - no shell is wanted


def _stays(words: tuple[str, ...]) -> bool:
    # `python -m twisted` is twist, which does not daemonize.
    is_module = "-m" in words[:3] and words[words.index("-m") + 1 : words.index("-m") + 2] == ("twisted",)
    is_twist = is_module or any(os.path.basename(each) == "twist" for each in words[:5])
    return is_twist or ("--pidfile=" in words and ("-n" in words or "--nodaemon" in words))


def has_terminal() -> bool:
    """True if this process has a terminal that can send it signals."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _reap(limit_s: float, kept: Container[int]) -> None:
    # The new program does not know the other children of this one, and would not wait for them.
    ends = monotonic() + limit_s
    while monotonic() < ends and (left := _own_children(kept)):
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        sleep(0.01)


def _own_children(but: Container[int]) -> list[int]:
    own = os.getpid()
    return [each for each in pids() if each not in but and parent(each) == own]


def inherited(environ: MutableMapping[str, str]) -> tuple[list[socket.socket], list[socket.socket]]:
    """Return the inherited sockets, listening ones and connections, and remove the variable that names them."""
    words = environ.pop(VARIABLE, "").split()[:LIMIT]
    return taken_over(int(each) for each in words if each.isascii() and each.isdigit())


def taken_over(descriptors: Iterable[int]) -> tuple[list[socket.socket], list[socket.socket]]:
    """Return the sockets of descriptors, listening ones and connections; those that are none are left out."""
    listening: list[socket.socket] = []
    connected: list[socket.socket] = []
    for each in descriptors:
        if each >= FIRST:
            with suppress(OSError):
                made = _taken_over(each)
                listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                (listening if listens else connected).append(made)
    return listening, connected


def _taken_over(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    made = socket.socket(fileno=descriptor)
    made.setblocking(False)
    return made
