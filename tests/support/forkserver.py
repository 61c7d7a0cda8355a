"""Gateways of tests, forked from a process that has imported all that they need.

Most of the time that the functional tests take is the import of the same modules in hundreds of gateways.  A gateway
that is forked is a process as any other: it has its own arguments, environment, directory and reactor.  Its command
line and its first environment, as ``ps`` and ``/proc`` show them, are those of the process that it comes from.

Run as ``python -P -m tests.support.forkserver DESCRIPTOR``: a Unix socket on which requests come and exits are told.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import posix
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

MESSAGE_BYTES = 1 << 20
OUTPUTS = 2
# The programs that can be forked, and what each of them runs.
PROGRAMS = {
    "twistd": ("twisted.scripts.twistd", "run"),
    "twist": ("twisted.application.twist._twist", "Twist.main"),
}
IMPORTED = (
    "twisted.scripts.twistd",
    "twisted.application.twist._twist",
    "mcpgateway.app.build",
    "mcpgateway.app.hub",
)


class Forked:
    """A program that was forked.

    :ivar returncode: as `subprocess.Popen` has it.
    """

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it has ended; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.exit_of(self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait until it has ended, for so many seconds.

        :raise subprocess.TimeoutExpired: it has not.
        """
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self._server.look(0.05)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that programs are forked from, as its user sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environ, cwd=root
        )
        theirs.close()
        self._exits: dict[int, int] = {}
        self._pids: list[int] = []
        atexit.register(self.close)

    def start(self, argv: Sequence[str], environ: Mapping[str, str], directory: Path, output: int) -> Forked:
        """Fork a program.

        :param output: the descriptor of what it writes to.
        """
        request = json.dumps({"argv": list(argv), "environ": dict(environ), "directory": str(directory)})
        socket.send_fds(self._socket, [request.encode()], [output])
        while not self._pids:
            self.look(None)
        return Forked(self, self._pids.pop())

    def exit_of(self, pid: int) -> int | None:
        """How a program has ended; None while it runs."""
        self.look(0)
        return self._exits.get(pid)

    def look(self, seconds: float | None) -> None:
        """Take what the server says, if it says anything in that time."""
        while select.select([self._socket], [], [], seconds)[0]:
            data = self._socket.recv(MESSAGE_BYTES)
            if not data:
                raise RuntimeError("the fork server has ended")
            pid, status = json.loads(data)
            if status is None:
                self._exits.pop(pid, None)  # of a process that had the same id
                self._pids.append(pid)
                return
            self._exits[pid] = os.waitstatus_to_exitcode(status)
            seconds = 0

    def close(self) -> None:
        """End it; what it has started goes on."""
        self._socket.close()
        self._process.wait()


@cache
def server() -> ForkServer:
    """The fork server of this process."""
    return ForkServer()


def can_fork(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether a program can be forked: not where it begins with TLS, or its environment is for the interpreter."""
    has_tls = any(each.startswith("ssl:") for each in argv)
    is_for_python = any(each.startswith(("PYTHON", "LD_", "LC_")) for each in environ)
    return Path(argv[0]).name in PROGRAMS and not has_tls and not is_for_python


# The other side


class _Server:
    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._wakes, self._woken = os.pipe()
        for each in (self._wakes, self._woken):
            os.set_blocking(each, False)

    def serve(self) -> dict[str, Any]:
        """Serve until there is nobody to serve; returns in a program that was forked, with what it is to do."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken)
        while True:
            ready, _, _ = select.select([self._socket, self._wakes], [], [])
            if self._wakes in ready:
                os.read(self._wakes, MESSAGE_BYTES)
                self._reap()
            if self._socket in ready:
                data, descriptors, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES, 1)
                if not data:
                    os._exit(0)
                pid = os.fork()
                if not pid:
                    return self._become(json.loads(data), descriptors[0])
                os.close(descriptors[0])
                self._say(pid, None)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._say(*found)

    def _say(self, pid: int, status: int | None) -> None:
        with suppress(OSError):
            self._socket.send(json.dumps([pid, status]).encode())

    def _become(self, request: dict[str, Any], output: int) -> dict[str, Any]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in range(1, 1 + OUTPUTS):
            os.dup2(output, each)
        os.closerange(1 + OUTPUTS, 1 << 16)
        self._socket.detach()
        return request


def _run(argv: list[str], environ: dict[str, str], directory: str) -> NoReturn:
    os.environ.clear()
    os.environ.update(environ)
    posix.environ.clear()
    posix.environ.update({os.fsencode(name): os.fsencode(value) for name, value in environ.items()})
    time.tzset()
    os.chdir(directory)
    sys.argv[:], sys.orig_argv = argv, [sys.executable, *argv]  # some have that very list as a default
    module, name = PROGRAMS[Path(argv[0]).name]
    program: Callable[[], object] = importlib.import_module(module)  # type: ignore[assignment]
    for each in name.split("."):
        program = getattr(program, each)
    sys.exit(program())  # type: ignore[arg-type]


def main() -> NoReturn:
    """Import what gateways need, and fork them."""
    from mcpgateway.tap import leave_out_openssl  # the other side has no use for it

    leave_out_openssl()  # as most gateways do; one that needs it lets it in
    for each in IMPORTED:
        importlib.import_module(each)
    assert "twisted.internet.reactor" not in sys.modules
    server = _Server(int(sys.argv[1]))
    gc.collect()
    gc.freeze()
    _run(**server.serve())


if __name__ == "__main__":
    main()
