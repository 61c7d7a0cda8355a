"""Find the gateway process of a home."""

from __future__ import annotations

import os
import socket
import struct
from datetime import UTC, datetime
from time import time

from mcpgateway.cli.console import local_time
from mcpgateway.shim import locations, startup
from mcpgateway.system.process.procfs import PROC, command_of, is_own, parent, pids
from mcpgateway.system.state import is_gateway, read_state

CONNECT_S = 1.0
TOLD_S = 86_400.0  # for so long a crash is told
LOCAL_PEERPID = 0x002  # the option of macOS, for level 0


def gateway_pid(home: str) -> int:
    """Return the process that is the gateway of a home, even if it does not answer; 0 if there is none.

    The pid in the state file alone is no proof, since another process may have it by now.  The kernel reports the
    process that listens on the Unix socket; without that, the process in the state file must have the recorded start
    time, or hold the lock of the home.
    """
    state = read_state(home)
    listener = _listener(locations.socket_path(locations.environment(), home))
    # Another program may have made the socket and passed it on.
    if listener and (
        listener == state.pid or "mcpgateway" in command_of(listener) or not os.path.exists(PROC)
    ):
        return listener
    return state.pid if is_gateway(state, home) else 0


def is_returning(home: str) -> bool:
    """Return whether a killed gateway is being started again: by its guardian, by the program after that, or now."""
    if startup.read_wanted(home) is None:
        return False
    if startup.is_held(home):
        return True
    for pid in filter(is_own, pids()):
        words = command_of(pid)
        if any(each.endswith("/revive_main.py") for each in words) and home in words:
            return True
        # A guardian outlives its gateway for as long as children have to be ended.
        if any("/guardian_main." in each for each in words) and not _is_gateways(parent(pid)):
            return True
    return False


def crashed_at(home: str) -> str:
    """Return the time of a crash (ISO 8601) within the last day, since which its user has not started the gateway."""
    return "" if startup.read_end(home) == startup.REBOOT else _told_at(home)


def rebooted_at(home: str) -> str:
    """Return the same time of a start after the machine had gone down while the gateway ran."""
    return _told_at(home) if startup.read_end(home) == startup.REBOOT else ""


def end_in_words(home: str) -> str:
    """Return the sentence on the latest end without a stop; empty where none is told."""
    at = local_time(_told_at(home))
    if not at:
        return ""
    match startup.read_end(home):
        case startup.REBOOT:
            return f"the machine went down while the gateway ran, and the gateway was started again at {at}"
        case startup.UNCLEAN:
            return f"the gateway ended without a stop, and was started again at {at}"
    return f"the gateway crashed at {at}, and was started again"


def _told_at(home: str) -> str:
    at = startup.read_crash(home)
    return datetime.fromtimestamp(at, UTC).isoformat() if at > time() - TOLD_S else ""


def _is_gateways(pid: int) -> bool:
    return "mcpgateway" in command_of(pid)


def _listener(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as caller:
        # The backlog of a gateway that hangs is full after a while; a wait would be in vain.
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
