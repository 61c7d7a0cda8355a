"""Programs of tests, forked from a process that has imported all that they need.

Most of the time that the functional tests take is the import of the same modules in hundreds of gateways and commands.
A program that is forked is a process as any other: it has its own arguments, environment, directory, descriptors and
reactor, and ``ps`` and ``/proc`` show them.  A gateway that such a command starts comes from it in the same way.

Run as ``python -P -m tests.support.forkserver DESCRIPTOR PROGRAMS``: a Unix socket on which requests come and exits are
told, and which programs it forks, `OURS` or `SDK`.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import posix
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

MESSAGE_BYTES = 1 << 20
PIPE_BYTES = 1 << 15  # a pipe has room for more
STREAMS = 3
LIMIT_S = 60.0
# The programs that can be forked, and what each of them runs.
COMMAND = ("mcpgateway.cli.entry", "main")
PROGRAMS = {
    "twistd": ("twisted.scripts.twistd", "run"),
    "twist": ("twisted.application.twist._twist", "Twist.main"),
    **dict.fromkeys(("mcpgateway", "mcp-ctl", "mcpg", "mcp-gateway"), COMMAND),
}
IMPORTED = (
    "twisted.scripts.twistd",
    "twisted.application.twist._twist",
    "twisted.internet.epollreactor" if sys.platform == "linux" else "twisted.internet.selectreactor",
    "mcpgateway.app.build",
    "mcpgateway.app.hub",
    "mcpgateway.cli.entry",
    "mcpgateway.cli.main",
    "twisted.web.template",
    "ruamel.yaml",
    "twisted.internet.inotify",
    "twisted.web.server",
    "werkzeug.routing",
    "werkzeug.wrappers",
    "psycopg",  # of nodes of a cluster: a quarter of a second for each
)
# What commands become, which need the gateway's code.
HANDED_OVER = ("mcpgateway.app.discover", "mcpgateway.app.validate")
# Packages of which sooner or later most programs need most modules.
ENTIRE = (
    "clientfiles",
    "cli",
    "cluster",
    "config",
    "discovery",
    "observe",
    "owntools",
    "policy",
    "truncation",
    "views",
)
# The servers of tests that are scripts on the Python SDK need other modules; those of each are in `OVER_SDK`.
OURS, SDK = "ours", "sdk"
SCRIPTS = ("over_http.py", "protected.py")
OVER_SDK = (
    "mcp.server",
    "mcp.server.auth.middleware.auth_context",
    "mcp.server.auth.provider",
    "mcp.server.auth.settings",
    "mcp.server.mcpserver",
    "mcp.server.sse",
    "mcp.server.streamable_http_manager",
    "mcp.shared.auth",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
# What an interpreter would have done otherwise from its beginning.
FOR_PYTHON = ("PYTHON", "LD_", "LC_")
HARMLESS = ("PYTHONDONTWRITEBYTECODE",)
LANGUAGES = ("", "C.UTF-8")


class Forked:
    """A program that was forked.

    :ivar returncode: as `subprocess.Popen` has it.
    """

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
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

    def __init__(self, programs: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), programs]
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environ, cwd=root
        )
        theirs.close()
        self._lock = threading.RLock()
        self._exits: dict[int, int] = {}
        self._pids: list[int] = []
        atexit.register(self.close)
        self._is_ready = False
        with suppress(ConnectionResetError):  # it has ended
            self._is_ready = bool(self._socket.recv(MESSAGE_BYTES))

    def is_up(self) -> bool:
        """True if it runs, and has imported the modules of all programs."""
        return self._is_ready and self._process.poll() is None

    def start(
        self, argv: Sequence[str], environ: Mapping[str, str], directory: Path, streams: Sequence[int]
    ) -> Forked:
        """Fork a program.

        :param streams: the descriptors of what it reads, what it writes to, and what it complains to.
        """
        request = json.dumps({"argv": list(argv), "environ": dict(environ), "directory": str(directory)})
        with self._lock:
            socket.send_fds(self._socket, [request.encode()], list(streams))
            while not self._pids:
                self.look(None)
            return Forked(self, self._pids.pop())

    def exit_of(self, pid: int) -> int | None:
        """Return the exit code of a program; None while it runs."""
        self.look(0)
        return self._exits.get(pid)

    def look(self, seconds: float | None) -> None:
        """Take what the server says, if it says anything in that time."""
        with self._lock:
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


_servers: dict[str, ForkServer] = {}
_choice = threading.Lock()


def server(programs: str = OURS) -> ForkServer:
    """The fork server of this process for some programs; one that has ended is replaced."""
    with _choice:
        for _ in range(2):
            if programs not in _servers or not _servers[programs].is_up():
                _servers[programs] = ForkServer(programs)
        return _servers[programs]


def script(
    argv: Sequence[str], environ: Mapping[str, str] | None = None, *, is_quiet: bool = True
) -> Forked | subprocess.Popen[bytes]:
    """Start one of `SCRIPTS`, forked where it can be.

    :param argv: the script and its arguments.
    :param is_quiet: what it says is of no use.
    """
    assert Path(argv[0]).name in SCRIPTS
    environ = dict(os.environ) if environ is None else environ
    said = subprocess.DEVNULL if is_quiet else None
    if not _Shown.can():
        return subprocess.Popen([sys.executable, *argv], env=environ, stdout=said, stderr=said)
    with Path(os.devnull).open("r+b") as nothing:
        out, err = (nothing.fileno(),) * 2 if is_quiet else (1, 2)
        return server(SDK).start(argv, environ, Path.cwd(), (nothing.fileno(), out, err))


def can_fork(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Return whether a program can be forked: it neither starts with TLS nor sets variables of the interpreter."""
    program = Path(argv[0])
    has_tls = any(each.startswith("ssl:") for each in argv)
    is_for_python = any(each.startswith(FOR_PYTHON) and each not in HARMLESS for each in environ)
    is_known = program.name in PROGRAMS and program.parent == Path(sys.executable).parent and _Shown.can()
    return is_known and not has_tls and not is_for_python and environ.get("LANG", "") in LANGUAGES


def ran(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str | None = None,
    has_ended: bool = True,
    limit_s: float = LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Run one of our programs to its end, forked where it can be.

    What it says goes to files: a gateway that it starts could keep a pipe open for ever.

    :param given: what it reads from a pipe; nothing is there, and no pipe, without.
    :param has_ended: it must have ended well.
    :param limit_s: how many seconds it may take.
    :raise subprocess.CalledProcessError: it has not.
    :raise subprocess.TimeoutExpired: it does not end.
    """
    words, environ = [str(each) for each in argv], dict(os.environ if env is None else env)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _reading(given) as stdin:
        if can_fork(words, environ):
            streams = [each.fileno() for each in (stdin, out, err)]
            process: Forked | subprocess.Popen[bytes] = server().start(
                words, environ, cwd or Path.cwd(), streams
            )
        else:
            process = subprocess.Popen(words, stdin=stdin, stdout=out, stderr=err, env=environ, cwd=cwd)
        try:
            code = process.wait(limit_s)
        finally:
            process.kill()
        said, complained = (_whole(each) for each in (out, err))
    done = subprocess.CompletedProcess(words, code, said, complained)
    if has_ended:
        done.check_returncode()
    return done


def _reading(given: str | None) -> IO[bytes]:
    if given is None:
        return Path(os.devnull).open("rb")
    assert len(given.encode()) <= PIPE_BYTES
    reads, writes = os.pipe()
    os.write(writes, given.encode())
    os.close(writes)
    return os.fdopen(reads, "rb")


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


# The other side


class _Shown(ctypes.Structure):
    """The attributes of a process that the kernel shows: ``struct prctl_mm_map`` of Linux."""

    SET_MM, MAP, MAP_SIZE = 35, 14, 15
    IN_STAT = (
        25,
        26,
        44,
        45,
        46,
        None,
        27,
    )  # where ``/proc/PID/stat`` has the first ones; not the end of the heap
    _fields_ = (
        *((f"place_{each}", ctypes.c_uint64) for each in range(len(IN_STAT))),
        *((name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end", "auxv")),
        *((name, ctypes.c_uint32) for name in ("auxv_size", "exe_fd")),
    )
    _library = ctypes.CDLL(None, use_errno=True)
    _kept: list[object] = []  # what is shown must stay where it is

    @classmethod
    @cache
    def can(cls) -> bool:
        """Return whether a process may change these attributes."""
        size = ctypes.c_uint(0)
        known = sys.platform == "linux" and not cls._prctl(cls.MAP_SIZE, ctypes.byref(size), 0)
        return known and size.value == ctypes.sizeof(cls)

    @classmethod
    def show(cls, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Show these of this process."""
        words = b"".join(os.fsencode(each) + b"\0" for each in argv)
        entries = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items())
        text = ctypes.create_string_buffer(words + entries)
        stat = Path("/proc/self/stat").read_text()
        fields = ["", "", *stat[stat.rindex(")") + 2 :].split()]
        cls._library.sbrk.restype = ctypes.c_void_p
        places = [cls._library.sbrk(0) if each is None else int(fields[each]) for each in cls.IN_STAT]
        start = ctypes.addressof(text)
        middle = start + len(words)
        shown = cls(*places, start, middle, middle, middle + len(entries), 0, 0, 0xFFFFFFFF)
        cls._kept[:] = [text]
        if cls._prctl(cls.MAP, ctypes.byref(shown), ctypes.sizeof(shown)):
            raise OSError(ctypes.get_errno(), "what is shown of this process cannot be changed")

    @classmethod
    def _prctl(cls, what: int, where: object, size: int) -> int:
        result: int = cls._library.prctl(cls.SET_MM, what, where, ctypes.c_ulong(size), ctypes.c_ulong(0))
        return result


class _Server:
    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._wakes, self._woken = os.pipe()
        for each in (self._wakes, self._woken):
            os.set_blocking(each, False)

    def greet(self) -> None:
        """Tell that all has been imported."""
        self._socket.send(b"ready")

    def serve(self) -> dict[str, Any]:
        """Serve until all clients have disconnected; returns in a forked program, with its task."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken)
        while True:
            ready, _, _ = select.select([self._socket, self._wakes], [], [])
            if self._wakes in ready:
                os.read(self._wakes, MESSAGE_BYTES)
                self._reap()
            if self._socket in ready:
                data, descriptors, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES, STREAMS)
                if not data:
                    os._exit(0)
                pid = os.fork()
                if not pid:
                    return self._become(json.loads(data), descriptors)
                for each in descriptors:
                    os.close(each)
                self._say(pid, None)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._say(*found)

    def _say(self, pid: int, status: int | None) -> None:
        with suppress(OSError):
            self._socket.send(json.dumps([pid, status]).encode())

    def _become(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        assert min(descriptors) >= STREAMS
        for target, each in enumerate(descriptors):
            os.dup2(each, target)
        os.closerange(STREAMS, 1 << 16)
        self._socket.detach()
        if os.isatty(0):  # a terminal of its own, from which keys send signals
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        return request


def _run(argv: list[str], environ: dict[str, str], directory: str) -> NoReturn:
    os.chdir(directory)
    _be(argv, environ)
    if Path(argv[0]).name in SCRIPTS:
        sys.path[0:1] = [str(Path(argv[0]).parent), *sys.path[0:1]]
        runpy.run_path(argv[0], run_name="__main__")
        sys.exit()
    if PROGRAMS[Path(argv[0]).name] == COMMAND:
        posix.execve = os.execve = _exec
        os.execv = _exec_here
    _end_with(_program(argv))


def _be(argv: list[str], environ: dict[str, str]) -> None:
    """Be the program of these words in all that can be seen of it, from inside and from outside."""
    os.environ.clear()
    os.environ.update(environ)
    posix.environ.clear()
    posix.environ.update({os.fsencode(name): os.fsencode(value) for name, value in environ.items()})
    time.tzset()
    sys.argv[:], sys.orig_argv = argv, [sys.executable, *argv]  # some have that very list as a default
    _Shown.show(sys.orig_argv, environ)
    errors = "strict" if environ.get("LANG") else "surrogateescape"  # as the interpreter has them
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _stream(descriptor, "backslashreplace" if name == "stderr" else errors)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _stream(descriptor: int, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w" if descriptor else "r", closefd=False)
    buffered = io.BufferedWriter(raw) if descriptor else io.BufferedReader(raw)
    is_by_line = descriptor > 1 or raw.isatty()
    return io.TextIOWrapper(buffered, encoding="utf-8", errors=errors, line_buffering=is_by_line)


def _program(argv: Sequence[str]) -> Callable[[], object]:
    module, name = PROGRAMS[Path(argv[0]).name]
    program: Callable[[], object] = importlib.import_module(module)  # type: ignore[assignment]
    for each in name.split("."):
        program = getattr(program, each)
    return program


_execv, _execve = os.execv, posix.execve
HANDING = "mcpgateway.cli.handover"


def _exec(path: str, words: list[str], environ: Mapping[Any, Any]) -> NoReturn:
    """Become another program: a gateway at once, since it has been imported."""
    named = {os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()}
    if words[0] != sys.executable or not words[1:] or not can_fork(words[1:], named):
        _execve(path, words, environ)
    _begin(words[1:], named, _program(words[1:]))


def _exec_here(path: str, words: list[str]) -> NoReturn:
    """Become another program with the same environment: a module of ours or a gateway at once."""
    if tuple(words[:-1]) != (sys.executable, "-P", "-m", HANDING) or words[-1] not in HANDED_OVER:
        _exec(path, words, os.environ)
    for each in (HANDING, words[-1]):
        sys.modules.pop(each, None)

    def run() -> None:
        sys.argv[:] = ["", words[-1]]
        runpy.run_module(HANDING, run_name="__main__", alter_sys=True)

    _begin(words[1:], dict(os.environ), run)


def _begin(argv: list[str], environ: dict[str, str], program: Callable[[], object]) -> NoReturn:
    posix.execve, os.execve, os.execv = _execve, _execve, _execv  # a gateway begins anew as any other does

    def begun() -> object:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, usual)
        _be(argv, environ)
        return program()

    _end_with(begun)


def _end_with(program: Callable[[], object]) -> NoReturn:
    """End as the interpreter does, but for the modules, whose removal takes longer than most commands."""
    code: object = 1
    try:
        code = program()
    except SystemExit as end:
        code = end.code
    finally:
        if sys.exc_info()[0]:
            sys.excepthook(*sys.exc_info())
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        if not isinstance(code, int | None):
            print(code, file=sys.stderr)
            code = 1
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code or 0)


def _entire() -> Iterator[str]:
    for name in ENTIRE:
        package = importlib.import_module(f"mcpgateway.{name}")
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not each.name.endswith("main__"):
                yield each.name


def _imports_ours() -> None:
    from mcpgateway.tap import leave_out_openssl  # the other side has no use for it

    leave_out_openssl()  # as most gateways do; one that needs it lets it in
    for each in (*IMPORTED, *HANDED_OVER, *_entire()):
        importlib.import_module(each)
    too_much = {"twisted.internet.reactor", "OpenSSL", "cryptography"} & {
        name for name, each in sys.modules.items() if each
    }
    assert not too_much, f"{too_much} of {list(sys.modules)}"


def _imports_sdk() -> None:
    for each in OVER_SDK:
        importlib.import_module(each)


def main() -> NoReturn:
    """Import what some programs need, and fork them."""
    descriptor, programs = sys.argv[1:]
    {OURS: _imports_ours, SDK: _imports_sdk}[programs]()
    server = _Server(int(descriptor))
    gc.collect()
    gc.freeze()
    server.greet()
    _run(**server.serve())


if __name__ == "__main__":
    main()
