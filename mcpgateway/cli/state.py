"""What a gateway has left of itself in its home, and whether the process that it names is that gateway."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any, NamedTuple

from mcpgateway.shim import locations
from mcpgateway.shim.startup import LOCK, opener
from mcpgateway.system.alive import is_alive, start_time

STATE = "state.json"
STATE_LIMIT = 1_048_576
CONNECT_S = 1.0
LOCAL_PEERPID = 0x002  # of macOS, with the level 0
PROC = os.path.exists("/proc/self/stat")
TICKS = os.sysconf("SC_CLK_TCK")


class State(NamedTuple):
    """What ``state.json`` says.

    :ivar pid: 0 where nothing is said.
    :ivar started_at: in seconds since the epoch; 0 where nothing is said.
    :ivar trouble: why it cannot be used; empty where it can, or where there is none.
    :ivar is_hidden: it cannot be told whether there is one.
    """

    pid: int = 0
    port: int = 0
    version: str = ""
    started_at: float = 0.0
    start_time: int = 0
    trouble: str = ""
    exists: bool = True
    is_hidden: bool = False
    value: dict[str, Any] = {}


def read_state(home: str) -> State:
    """Read it; whatever is in the file, there is an answer."""
    try:
        with open(f"{home}/{STATE}", encoding="utf-8", opener=opener) as file:
            value = json.loads(file.read(STATE_LIMIT))
    except FileNotFoundError:
        return State(exists=False)
    except NotADirectoryError:
        return State(exists=False)
    except OSError as why:
        return State(trouble=why.strerror or str(why), is_hidden=True)
    except (ValueError, RecursionError):
        return State(trouble="it is not JSON")
    if not isinstance(value, dict) or not _number(value.get("pid")):
        return State(trouble="it names no process")
    return State(
        _number(value.get("pid")),
        _number(value.get("port")),
        str(value.get("version", "")),
        _seconds(value.get("started_at")),
        _number(value.get("start_time")),
        value=value,
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _seconds(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        from datetime import datetime

        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return 0.0
    return 0.0


def gateway_pid(home: str) -> int:
    """The process that is the gateway of a home, whether it answers or not; 0 where there is none.

    Its number alone proves nothing, since it may be a stranger's by now.  The kernel tells who listens on the Unix
    socket; failing that, the process that the state names must be as old as it says or hold the lock of the home.
    """
    state = read_state(home)
    listener = _listener(locations.socket_path(locations.environment(), home))
    # A socket may have been made by another program, and handed over.
    if listener and (listener == state.pid or "mcpgateway" in command_of(listener) or not PROC):
        return listener
    return state.pid if is_it(state, home) else 0


def is_it(state: State, home: str) -> bool:
    """Whether the process that a state names is the gateway that left it there."""
    if not state.pid or not is_alive(state.pid) or state.pid == os.getpid():
        return False
    began = start_time(state.pid)
    if state.start_time:
        return began == state.start_time
    return holds(state.pid, f"{home}/{LOCK}")


def _listener(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as caller:
        # One that hangs has no room for us after a while; it is not worth a wait.
        caller.settimeout(CONNECT_S)
        try:
            caller.connect(path)
            return _peer(caller)
        except OSError:
            return 0


def _peer(caller: socket.socket) -> int:
    if hasattr(socket, "SO_PEERCRED"):
        found = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", found)
        return int(pid) if uid in (os.getuid(), 0) else 0
    return int(caller.getsockopt(0, LOCAL_PEERPID))


def age(pid: int) -> float:
    """For how many seconds a process has run; 0 where that cannot be told."""
    try:
        with open("/proc/uptime", encoding="ascii") as file:
            uptime = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    began = start_time(pid)
    return max(0.0, uptime - began / TICKS) if began else 0.0


def holds(pid: int, path: str) -> bool:
    """Whether a process has a file open."""
    try:
        wanted = os.stat(path)
        return any(_is_same(f"/proc/{pid}/fd/{each}", wanted) for each in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def _is_same(link: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(link), wanted)
    except OSError:
        return False


def command_of(pid: int) -> list[str]:
    """The words that a process was started with; none where they cannot be told."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return []
    return [os.fsdecode(word) for word in words]


def lifetime(seconds: float) -> str:
    """A time as people say it: ``42s``, ``3m 5s``, ``7h 12m``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3600}h {whole // 60 % 60}m"
