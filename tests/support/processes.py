"""The processes and files of a program that runs, as the kernel shows them from outside.

A process may end, a descriptor close and a file vanish while they are looked at: what is gone is left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def bearing(entry: str) -> list[int]:
    """The living processes whose environment has this entry."""
    wanted = entry.encode()
    return [pid for pid in _pids() if wanted in _fields(pid, "environ")]


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    return [each for each in _pids() if _stat(each)[1:2] == [str(pid)]]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    return _stat(pid)[:1] not in ([], ["Z"])


def is_daemon(pid: int) -> bool:
    """Return whether a process is a gateway that runs in the background."""
    return b"--pidfile=" in _fields(pid, "cmdline") and is_alive(pid)


def command_line(pid: int) -> bytes:
    """Return the words with which a process was started, with a space between them."""
    return b" ".join(_fields(pid, "cmdline"))


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment with which a process was started."""
    pairs = [each.decode(errors="replace") for each in _fields(pid, "environ")]
    return dict(each.split("=", 1) for each in pairs if "=" in each)


def open_files(pid: int) -> list[str]:
    """Return the targets of the open descriptors of a process, such as ``socket:[1234]``."""
    found = []
    with suppress(OSError):
        for each in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{each}"))
    return found


def open_sockets(pid: int) -> set[str]:
    """Return the inodes of the open sockets of a process."""
    return {each[8:-1] for each in open_files(pid) if each.startswith("socket:[")}


def holders_of(path: Path) -> list[int]:
    """Return the processes that have a file open."""
    return [pid for pid in _pids() if str(path) in open_files(pid)]


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def found_below(directory: Path) -> dict[Path, os.stat_result]:
    """Return a directory and all that is below it, links not followed."""
    paths = [directory]
    for parent, directories, names in os.walk(directory):
        paths += [Path(parent, each) for each in (*directories, *names)]
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.lstat()
    return found


def texts_below(directory: Path) -> str:
    """Return the contents of all files below a directory."""
    texts = []
    for path in found_below(directory):
        if path.is_file():
            with suppress(FileNotFoundError):
                texts.append(path.read_text(errors="replace"))
    return "".join(texts)


def _pids() -> list[int]:
    return [int(each) for each in os.listdir("/proc") if each.isdigit()]


def _fields(pid: int, name: str) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes().rstrip(b"\0").split(b"\0")
    return []


def _stat(pid: int) -> list[str]:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return text[text.rindex(")") + 2 :].split()
    return []
