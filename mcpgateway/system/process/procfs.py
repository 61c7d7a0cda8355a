"""Facts about processes, from ``/proc``, and on macOS, which has none, from `psutil_half`.

A fact that the system does not tell is 0, or empty.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from mcpgateway.system.process.process_row import ProcessRow

PROC = "/proc"
READ_BYTES = 256 * 1024
ENVIRONMENT_BYTES = 4 * 1024 * 1024  # Linux starts no program with more
STAT_BYTES = 4096

# proc(5): the fields of /proc/PID/stat after the command's name, which is in parentheses and may hold anything.
_STATE, _PARENT, _GROUP, _SESSION, _START, _RESIDENT = 0, 1, 2, 3, 19, 21
# Times of its own in user and kernel mode, and of those of its children that it has waited for.
_TIMES = slice(11, 15)


def is_alive(pid: int) -> bool:
    """True if a process runs: a zombie counts as dead, another user's process as alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return _field(pid, _STATE) not in ("Z", "X")


def start_time(pid: int) -> int:
    """Return the start of a process in clock ticks since boot; together with the pid it identifies the process."""
    return int(_field(pid, _START) or 0)


def boot_id() -> str:
    """Return the name that the kernel gives to the run of the machine since its boot."""
    try:
        return _read(f"{PROC}/sys/kernel/random/boot_id").decode("ascii", "replace").strip()
    except OSError:
        return ""


def parent(pid: int, proc: str = PROC) -> int:
    """Return the parent of a process."""
    return int(_field(pid, _PARENT, proc) or 0)


def age(pid: int) -> float:
    """Return the seconds that a process has run."""
    try:
        uptime = float(_read(f"{PROC}/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    began = start_time(pid)
    return max(0.0, uptime - began / os.sysconf("SC_CLK_TCK")) if began else 0.0


def command_of(pid: int, proc: str = PROC) -> list[str]:
    """Return the command line of a process; it may hold secrets."""
    try:
        return [os.fsdecode(word) for word in _read(f"{proc}/{pid}/cmdline").split(b"\0")[:-1]]
    except OSError:
        return []


def environment_of(pid: int, proc: str = PROC) -> dict[bytes, bytes]:
    """Return the environment that a process was started with; it may hold secrets."""
    try:
        entries = _read(f"{proc}/{pid}/environ", ENVIRONMENT_BYTES).split(b"\0")
        return dict(each.partition(b"=")[::2] for each in entries if each)
    except OSError:
        return {}


def directory_of(pid: int, proc: str = PROC) -> str:
    """Return the working directory of a process; empty where it is unknown, or in another file system (a container)."""
    try:
        if os.path.samestat(os.stat(f"{proc}/{pid}/root"), os.stat("/")):
            return os.readlink(f"{proc}/{pid}/cwd")
    except OSError:
        pass
    return ""


def name_of(pid: int, proc: str = PROC) -> str:
    """Return the kernel's name of a process."""
    try:
        return _read(f"{proc}/{pid}/comm").strip().decode(errors="replace")
    except OSError:
        return ""


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    try:
        return int(_read(f"{PROC}/{pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except (OSError, IndexError, ValueError):
        return 0


def has_open(pid: int, path: str) -> bool:
    """True if a process has a file open."""
    try:
        wanted = os.stat(path)
        return any(_is_same(f"{PROC}/{pid}/fd/{each}", wanted) for each in os.listdir(f"{PROC}/{pid}/fd"))
    except OSError:
        return False


def pids(proc: str = PROC) -> Iterator[int]:
    """Iterate over the processes of this machine."""
    try:
        names = os.listdir(proc)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdecimal())


def is_own(pid: int, proc: str = PROC) -> bool:
    """True if a process exists, and belongs to this user."""
    try:
        return os.stat(f"{proc}/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def table(proc: str = PROC) -> Iterator[ProcessRow]:
    """Iterate over the processes of this machine, with what a tree of them is made of."""
    for pid in pids(proc):
        try:
            fields = _fields(pid, proc)
        except OSError:
            continue  # it has just ended
        parent, group, session, pages = (int(fields[each]) for each in (_PARENT, _GROUP, _SESSION, _RESIDENT))
        yield ProcessRow(pid, fields[_STATE], parent, group, session, pages, sum(map(int, fields[_TIMES])))


def _field(pid: int, index: int, proc: str = PROC) -> str:
    try:
        return _fields(pid, proc)[index].decode()
    except OSError:
        return ""


def _fields(pid: int, proc: str) -> list[bytes]:
    text = _read(f"{proc}/{pid}/stat", STAT_BYTES)
    return text[text.rindex(b")") + 2 :].split()


def _is_same(link: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(link), wanted)
    except OSError:
        return False


def _read(path: str, limit: int = READ_BYTES) -> bytes:
    with open(path, "rb") as file:
        return file.read(limit)


if sys.platform == "darwin":
    from mcpgateway.system.process.psutil_half import *  # noqa: F403 - all that it has
