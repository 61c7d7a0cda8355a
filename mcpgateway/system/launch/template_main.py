"""The template of a Python server: a process that imports the server's packages once, and is forked for each child.

It is run as ``python OPTIONS template_main.py KIND TARGET COMM WORDS`` by the server's own interpreter, without the
gateway's packages: KIND is ``script`` (TARGET is the path of a console script) or ``module`` (a package for ``-m``),
COMM the name that the kernel gives to a child, empty for the interpreter's own.  Descriptor 3 is a socket of packets.

The template prints ``ready``, or ``plain REASON`` and ends.  A packet on the socket is one entry ``NAME=VALUE`` of the
new child's environment, with its stdin, stdout and stderr; the answer is the pid, or ``-REASON`` where a new template
may fork, or ``!REASON`` where none can.  After a reason the template ends.  A child is a child of the gateway and no
descendant of the template, whose end it does not notice.

# Note [Imports that may be shared]
An import counts as it would in each child of its own only if it has left nothing behind that a fork loses or doubles,
and has decided nothing by what changes between two starts.  So the import is watched: threads, descriptors, timers,
sockets, other programs, files that are written or that belong to no package, random numbers, stdin and output are
reasons to start the server plainly.  All files that were read are compared before each fork.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import os
import random
import runpy
import select
import signal
import socket
import stat
import sys
import threading
import types
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD
from typing import Any, NoReturn

STREAMS = 3
PACKET_BYTES = 4096
KEPT_FOR_READING = ("/usr/", "/etc/", "/lib", "/opt/")
NOT_FILES = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/dev/random")
CODE = (".py", ".pyc", ".so", ".pth", ".zip", ".cfg")
FOREIGN: tuple[str, ...] = (
    "socket.",
    "subprocess.",
    "os.fork",
    "os.exec",
    "os.posix_spawn",
    "os.system",
    "os.spawn",
    "pty.",
)
FOREIGN += ("sqlite3.connect", "mmap.", "tempfile.", "shutil.", "ftplib.", "smtplib.", "urllib.", "http.")
CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)
HARMLESS = {
    "urllib3.util.connection": ("socket.",),  # looks whether there is IPv6
    "git.cmd": ("subprocess.",),  # asks git for its version
    "opentelemetry.context": ("os.urandom",),  # names of keys
    "multiprocessing.process": ("os.urandom",),  # a key that is renewed after the fork
}
"""The events of modules that repeat nothing and decide nothing."""
LATE = {
    "anyio": ("anyio._backends._asyncio",),
    "mcp.server.fastmcp": ("rich.console", "rich.logging"),
    "mcp.server.mcpserver": ("rich.console", "rich.logging"),
}
"""The modules that a package imports only when a server runs."""
CLONE_PARENT, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x8000, 0x200000, 0x1000000
# The number, and whether the child's id precedes its TLS.
CLONE = {"x86_64": (56, True), "aarch64": (220, False)}
SET_NAME, SET_MM, MM_MAP, MM_MAP_SIZE, GET_TID_ADDRESS = 15, 35, 14, 15, 40


class NotShareable(Exception):
    """The server has to be started plainly; the text is the reason."""


class Kernel:
    """The calls of Linux that Python has no functions for."""

    class Map(ctypes.Structure):
        """The attributes of a process that the kernel shows: ``struct prctl_mm_map``."""

        IN_STAT = (25, 26, 44, 45, 46, None, 27)  # places in ``/proc/self/stat``; not the end of the heap
        _fields_ = [
            *[(f"place_{each}", ctypes.c_uint64) for each in range(7)],
            *[(name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end", "auxv")],
            *[(name, ctypes.c_uint32) for name in ("auxv_size", "exe_fd")],
        ]

    def __init__(self) -> None:
        self._libc = ctypes.PyDLL(None, use_errno=True)
        self._libc.sbrk.restype = ctypes.c_void_p
        self._libc.syscall.restype = ctypes.c_long
        self._shown: object = None  # what is shown must stay where it is
        self._tid = self._tid_address()
        size = ctypes.c_uint(0)
        if self._prctl(SET_MM, MM_MAP_SIZE, ctypes.byref(size)) or size.value != ctypes.sizeof(self.Map):
            raise NotShareable("the kernel cannot show the command of a forked process")
        if os.uname().machine not in CLONE or sys.maxsize < 2**32:
            raise NotShareable(f"{os.uname().machine} is not supported")

    def _prctl(self, what: int, *args: Any) -> int:
        words = [
            each if not isinstance(each, int) else ctypes.c_ulong(each) for each in (*args, 0, 0, 0, 0)[:4]
        ]
        return int(self._libc.prctl(what, *words))

    def _tid_address(self) -> int:
        # glibc keeps the id of a thread in its memory; its fork has the kernel write the new one there.
        address = ctypes.c_void_p()
        if "CS_GNU_LIBC_VERSION" not in os.confstr_names or self._prctl(
            GET_TID_ADDRESS, ctypes.byref(address)
        ):
            raise NotShareable("the C library is not glibc, or the kernel too old")
        if not address.value or ctypes.c_int.from_address(address.value).value != os.getpid():
            raise NotShareable("the C library is of an unknown kind")
        return address.value

    def fork_sibling(self) -> int:
        """Fork as `os.fork` does, but the new process is a child of this one's parent; return 0 in it."""
        python = ctypes.pythonapi
        for each in (python.PyOS_BeforeFork, python.PyOS_AfterFork_Child, python.PyOS_AfterFork_Parent):
            each.restype = None
        number, is_id_first = CLONE[os.uname().machine]
        flags = CLONE_PARENT | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | signal.SIGCHLD
        last = (self._tid, 0) if is_id_first else (0, self._tid)
        words = [ctypes.c_ulong(each) for each in (flags, 0, 0, *last)]
        python.PyOS_BeforeFork()
        pid = self._libc.syscall(ctypes.c_long(number), *words)
        if pid:
            python.PyOS_AfterFork_Parent()
        else:
            python.PyOS_AfterFork_Child()
        if pid < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return int(pid)

    def show(self, words: list[bytes], entries: list[bytes], comm: str) -> None:
        """Show these words and entries of the environment of this process, and this name."""
        first = b"".join(each + b"\0" for each in words)
        text = ctypes.create_string_buffer(first + b"".join(each + b"\0" for each in entries))
        with open("/proc/self/stat") as stream:
            fields = ["", "", *stream.read().rpartition(")")[2].split()]
        places = [self._libc.sbrk(0) if each is None else int(fields[each]) for each in self.Map.IN_STAT]
        start = ctypes.addressof(text)
        middle, end = start + len(first), start + len(text) - 1
        shown = self.Map(*places, start, middle, middle, end, 0, 0, 0xFFFFFFFF)
        if self._prctl(SET_MM, MM_MAP, ctypes.byref(shown), ctypes.sizeof(shown)):
            raise OSError(ctypes.get_errno(), "the command of a forked process cannot be shown")
        self._shown = text
        if comm:
            self._prctl(SET_NAME, ctypes.c_char_p(os.fsencode(comm)[:15]))


class ImportWatch:
    """Watches an import for all that a fork would not repeat.

    :ivar reason: the first reason against a fork; empty for none.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._is_on = False
        self._read: dict[str, tuple[int, int, int] | None] = {}
        self._descriptors = self._open()
        self._random = random.getstate()
        self._urandom = os.urandom
        roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__)}
        self._roots = tuple(os.path.realpath(each) + "/" for each in roots)
        sys.addaudithook(self._hear)

    def begin(self) -> None:
        """Watch from now on."""
        os.urandom = self._draw
        self._is_on = True

    def _draw(self, size: int) -> bytes:
        if not self._is_harmless("os.urandom"):
            self._object("it draws random numbers when it is imported")
        return self._urandom(size)

    def _object(self, reason: str) -> None:
        self.reason = self.reason or reason

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event == "open":
            self._hear_open(*args)
        elif event.startswith(CHANGES):
            if "__pycache__" not in str(args[0]):
                self._object(f"it changes files when it is imported ({event} {args[0]})")
        elif event.startswith(FOREIGN) and event != "socket.gethostname" and not self._is_harmless(event):
            self._object(f"it calls {event} when it is imported")

    @staticmethod
    def _is_harmless(event: str) -> bool:
        frame: Any = sys._getframe(2)  # noqa: SLF001 - who calls is known nowhere else
        while frame is not None:
            if event.startswith(HARMLESS.get(frame.f_globals.get("__name__", ""), "-")):
                return True
            frame = frame.f_back
        return False

    def _hear_open(self, path: Any, _: object, flags: int) -> None:
        if not isinstance(path, (str, bytes)):
            return
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(NOT_FILES):
            return
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            if "__pycache__" not in path:
                self._object(f"it writes to {path} when it is imported")
            return
        is_code = path.endswith(CODE) or "-packages/" in path or ".dist-info/" in path or ".egg-info/" in path
        if not is_code and not os.path.realpath(path).startswith((*KEPT_FOR_READING, *self._roots)):
            self._object(f"it reads {path} when it is imported")
        if not path.endswith(".pyc"):
            self._read[path] = self._state(path)

    def end(self) -> None:
        """Judge what the import has left behind.

        :raise NotShareable: it cannot be shared.
        """
        self._is_on = False
        os.urandom = self._urandom
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        left = {
            "it starts threads": threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1,
            "it opens files or sockets": self._open() != self._descriptors,
            "it sets a timer": any(signal.getitimer(each)[0] for each in (0, 1, 2)),
            "it draws random numbers": self._has_drawn(),
            "it reads stdin": waiting(0) != 1,
            "it prints": bool(waiting(1) or waiting(2)),
        }
        for each in filter(left.get, left):
            self._object(f"{each} when it is imported")
        if self.reason:
            raise NotShareable(self.reason)
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and os.path.isabs(path) and path != __file__:
                self._read.setdefault(path, self._state(path))
        # Many packages look for it before they open it.
        self._read[os.path.abspath(".env")] = self._state(".env")

    def _has_drawn(self) -> bool:
        known = random.Random()  # noqa: S311 - for its state
        known.setstate(self._random)
        if "rich.style" in sys.modules:
            known.getrandbits(24)  # where the numbers of links on terminals begin
        return random.getstate() != known.getstate()

    def check(self) -> None:
        """Compare all that was read with what is there now.

        :raise NotShareable: a file has changed.
        """
        for path, known in self._read.items():
            if self._state(path) != known:
                raise NotShareable(f"{path} has changed")

    @staticmethod
    def _state(path: str) -> tuple[int, int, int] | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return None if stat.S_ISDIR(found.st_mode) else (found.st_ino, found.st_size, found.st_mtime_ns)

    @staticmethod
    def _open() -> set[tuple[str, str]]:
        here = set()
        for each in os.listdir("/proc/self/fd"):
            try:
                here.add((each, os.readlink("/proc/self/fd/" + each)))
            except OSError:
                pass  # of the directory itself
        return here


def waiting(descriptor: int) -> int:
    """Return how many bytes are in a pipe."""
    found = array.array("i", [0])
    ioctl(descriptor, FIONREAD, found)
    return found[0]


class ForkSource:
    """The process that is forked.

    :param kind: ``script`` or ``module``.
    :param words: the arguments of the server.
    """

    def __init__(self, kind: str, target: str, comm: str, words: list[str]) -> None:
        self._kind, self._target, self._comm, self._words = kind, target, comm, words
        with open("/proc/self/cmdline", "rb") as stream:
            shown = stream.read().split(b"\0")[:-1]
        with open("/proc/self/environ", "rb") as stream:
            self._entries = stream.read().split(b"\0")[:-1]
        options = shown[: len(shown) - len(words) - 4]
        first = [os.fsencode(target)] if kind == "script" else [b"-m", os.fsencode(target)]
        self._shown = [*options, *first, *map(os.fsencode, words)]
        self._control = socket.socket(fileno=3)
        self._report, self._alive = os.dup(1), os.dup(0)
        self._pipes = []
        for each in range(STREAMS):
            reads, writes = os.pipe()
            os.dup2(writes if each else reads, each)
            self._pipes += [reads, writes]
            if not each:
                os.write(writes, b"\n")  # what reads it is noticed

    def prepare(self) -> None:
        """Import the server as its own start would, and report whether it can be forked."""
        try:
            self._kernel = Kernel()
            self._watch = ImportWatch()
            self._pose()
            names = self._modules() if self._kind == "script" else []
            self._watch.begin()
            try:
                names = names or self._package()
                for each in names:
                    importlib.import_module(each)
                for late in [each for package in LATE if package in sys.modules for each in LATE[package]]:
                    with suppress(ModuleNotFoundError):
                        importlib.import_module(late)
            except NotShareable:
                raise
            except BaseException as why:  # noqa: BLE001 - all of them, in the server's own start
                raise NotShareable(f"its import fails with {type(why).__name__}") from None
            self._watch.end()
        except NotShareable as why:
            os.write(self._report, f"plain {why}\n".encode(errors="replace"))
            os._exit(0)
        gc.collect()
        gc.freeze()
        os.write(self._report, b"ready\n")

    def _pose(self) -> None:
        # What is imported may look at the program that it is imported by.
        main = types.ModuleType("__main__")
        main.__dict__.update(__builtins__=__builtins__, __annotations__={})
        is_safe = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
        if self._kind == "script":
            from importlib.machinery import SourceFileLoader

            loader = SourceFileLoader("__main__", self._target)
            main.__dict__.update(__file__=self._target, __loader__=loader, __cached__=None)
            place = os.path.dirname(os.path.realpath(self._target))
        else:
            place = os.getcwd()
        if not is_safe:
            sys.path[0] = place
        sys.modules["__main__"] = main
        sys.argv[:] = [self._target if self._kind == "script" else "-m", *self._words]
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = map(os.fsdecode, self._shown)

    def _package(self) -> list[str]:
        # A module that is no package runs as the program itself: it must not have been imported.
        from importlib.util import find_spec

        spec = find_spec(self._target)
        is_package = spec is not None and spec.submodule_search_locations is not None
        found = self._target if is_package else self._target.rpartition(".")[0]
        if not found:
            raise NotShareable("it is a module outside of any package")
        return [found]

    def _modules(self) -> list[str]:
        import ast

        with open(self._target, "rb") as stream:
            tree = ast.parse(stream.read())
        found, is_script = [], False
        for each in tree.body:
            if isinstance(each, ast.ImportFrom) and each.module and not each.level:
                found.append(each.module)
            elif isinstance(each, ast.If) and "__name__" in ast.dump(each.test):
                is_script = True
            elif not isinstance(each, ast.Import) and not (
                isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
            ):
                raise NotShareable("it is no console script")
        if not is_script or not found:
            raise NotShareable("it is no console script")
        return found

    def serve(self) -> None:
        """Fork until the gateway closes the socket or the template's stdin; return in each child."""
        while True:
            both: list[Any] = [self._control, self._alive]
            ready, _, _ = select.select(both, [], [])
            if self._alive in ready:
                os._exit(0)
            data, ancillary, _, _ = self._control.recvmsg(PACKET_BYTES, socket.CMSG_SPACE(STREAMS * 4))
            if not data:
                os._exit(0)
            streams = array.array("i")
            for _, _, content in ancillary:
                streams.frombytes(content[: len(content) - len(content) % 4])
            try:
                self._watch.check()
                pid = self._kernel.fork_sibling()
            except (NotShareable, OSError) as why:
                sign = "-" if isinstance(why, NotShareable) else "!"
                self._control.send(f"{sign}{why}".encode(errors="replace")[:PACKET_BYTES])
                os._exit(0)
            if not pid:
                self._become(data, streams)
                return
            self._control.send(b"%d" % pid)
            for each in streams:
                os.close(each)

    def _become(self, entry: bytes, streams: array.array[int]) -> None:
        os.setsid()
        for target, each in enumerate(streams):
            os.dup2(each, target)
        for each in (*streams, *self._pipes, self._report, self._alive):
            os.close(each)
        self._control.close()
        name, _, value = entry.partition(b"=")
        entries = [entry if each.startswith(name + b"=") else each for each in self._entries]
        os.environ[os.fsdecode(name)] = os.fsdecode(value)
        self._kernel.show(self._shown, entries, self._comm)
        renew()

    def run(self) -> None:
        """Run the server as its interpreter would.

        :raise SystemExit: the server has ended.
        """
        ending = Ending()
        try:
            if self._kind == "script":
                main = sys.modules["__main__"].__dict__
                exec(main["__loader__"].get_code("__main__"), main)  # noqa: S102 - the server, as its interpreter does
            else:
                runpy._run_module_as_main(self._target)  # type: ignore[attr-defined]  # noqa: SLF001 - as "-m" does
        except SystemExit:
            raise
        except BaseException as why:  # noqa: BLE001 - as the interpreter does
            ending.show(why)


class Ending:
    """The end of a server by an exception, as the interpreter would show it."""

    def __init__(self) -> None:
        import atexit

        self._is_interrupted = False
        atexit.register(self._last)  # before those of the server, which are called first

    def show(self, why: BaseException) -> NoReturn:
        """Print an exception without the template's own part of its traceback, and end.

        :raise SystemExit: always.
        """
        if why.__traceback__ is not None:
            why.__traceback__ = why.__traceback__.tb_next
        sys.last_type, sys.last_value, sys.last_traceback = type(why), why, why.__traceback__
        sys.stdout.flush()
        sys.excepthook(type(why), why, why.__traceback__)
        self._is_interrupted = isinstance(why, KeyboardInterrupt)
        sys.exit(1)

    def _last(self) -> None:
        if self._is_interrupted:
            for each in (sys.stdout, sys.stderr):
                each.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)


def renew() -> None:
    """Renew the random numbers that a fork would give to all children alike; `random` renews its own."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "multiprocessing.process" in sys.modules:
        sys.modules["multiprocessing.process"].current_process().authkey = os.urandom(32)


if __name__ == "__main__":
    template = ForkSource(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
    template.prepare()
    template.serve()
    template.run()
