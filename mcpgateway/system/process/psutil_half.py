"""The functions of `procfs` for macOS, by psutil; their parameter ``proc`` means nothing there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import psutil

from mcpgateway.system.process.process_row import ProcessRow

Fact = TypeVar("Fact")
TICKS = os.sysconf("SC_CLK_TCK")
STATES = {psutil.STATUS_STOPPED: b"T", psutil.STATUS_TRACING_STOP: b"t", psutil.STATUS_ZOMBIE: b"Z"}
RUNS = b"R"  # or sleeps, which makes no difference here
UNTOLD = (psutil.Error, OSError, ValueError)  # it has ended, or is another user's


def _fact(ask: Callable[[psutil.Process], Fact], fallback: Fact) -> Callable[..., Fact]:
    def fact(pid: int, proc: str = "") -> Fact:
        try:
            return ask(psutil.Process(pid))
        except UNTOLD:
            return fallback

    return fact


parent = _fact(psutil.Process.ppid, 0)
command_of: Callable[..., list[str]] = _fact(psutil.Process.cmdline, [])
directory_of = _fact(psutil.Process.cwd, "")
name_of = _fact(psutil.Process.name, "")
is_own = _fact(lambda each: bool(each.uids().effective == os.geteuid()), fallback=False)
resident_kib = _fact(lambda each: int(each.memory_info().rss) // 1024, 0)
start_time = _fact(lambda each: round(each.create_time() * TICKS), 0)
environment_of: Callable[..., dict[bytes, bytes]] = _fact(
    lambda each: {os.fsencode(name): os.fsencode(value) for name, value in each.environ().items()}, {}
)


def is_alive(pid: int) -> bool:
    """True if a process runs: a zombie counts as dead, another user's process as alive."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except (*UNTOLD, OverflowError):
        return False


def age(pid: int) -> float:
    """Return the seconds that a process has run."""
    began = start_time(pid) / TICKS
    return max(0.0, time.time() - began) if began else 0.0  # noqa: TID251 - psutil tells the time on the wall


def has_open(pid: int, path: str) -> bool:
    """True if a process has a file open."""
    real = os.path.realpath(path)
    return _fact(lambda each: any(file.path == real for file in each.open_files()), fallback=False)(pid)


def pids(proc: str = "") -> Iterator[int]:
    """Iterate over the processes of this machine."""
    yield from psutil.pids()


def table(proc: str = "") -> Iterator[ProcessRow]:
    """Iterate over the processes of this machine, with what a tree of them is made of."""
    page = os.sysconf("SC_PAGE_SIZE")
    for pid in pids():
        try:
            each = psutil.Process(pid)
            state, pages = STATES.get(each.status(), RUNS), each.memory_info().rss // page
            # Its own and its ended children's, user and system.
            ticks = int(sum(each.cpu_times()[:4]) * TICKS)
            yield ProcessRow(pid, state, each.ppid(), os.getpgid(pid), os.getsid(pid), pages, ticks)
        except UNTOLD:
            continue


def listeners(port: int) -> Iterator[tuple[int, str, int]]:
    """Iterate over the processes of this user that listen at a TCP port: process id, name and user of each."""
    listens = _fact(
        lambda each: (
            (psutil.CONN_LISTEN, port)
            in ((one.status, one.laddr.port) for one in each.net_connections("tcp"))
        ),
        fallback=False,
    )
    yield from ((pid, name_of(pid), os.geteuid()) for pid in pids() if listens(pid))
