"""Facts about single processes from ``/proc``; the shim uses the module, so it imports as little as possible.

Where the system has no ``/proc``, a fact is unknown: 0, or empty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

PROC = "/proc"
READ_BYTES = 256 * 1024


def is_alive(pid: int) -> bool:
    """True if a process runs: a zombie counts as dead, another user's process as alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return _field(pid, 0) not in ("Z", "X")


def start_time(pid: int) -> int:
    """Return the start of a process in clock ticks since boot; together with the pid it identifies the process."""
    return int(_field(pid, 19) or 0)


def boot_id() -> str:
    """Return the name that the kernel gives to the run of the machine since its boot."""
    try:
        return _read(f"{PROC}/sys/kernel/random/boot_id").decode("ascii", "replace").strip()
    except OSError:
        return ""


def parent(pid: int, proc: str = PROC) -> int:
    """Return the parent of a process."""
    return int(_field(pid, 1, proc) or 0)


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
        return dict(each.partition(b"=")[::2] for each in _read(f"{proc}/{pid}/environ").split(b"\0"))
    except OSError:
        return {}


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


def _field(pid: int, index: int, proc: str = PROC) -> str:
    # proc(5): the fields after the command's name, which is in parentheses and may hold anything; state is the first.
    try:
        text = _read(f"{proc}/{pid}/stat")
    except OSError:
        return ""
    return text[text.rindex(b")") + 2 :].split()[index].decode()


def _is_same(link: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(link), wanted)
    except OSError:
        return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(READ_BYTES)
