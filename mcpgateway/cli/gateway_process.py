"""The process that is the gateway of a home."""

from __future__ import annotations

import os
import socket
import struct

from mcpgateway.shim import locations
from mcpgateway.system.process.procfs import PROC, command_of
from mcpgateway.system.state import is_gateway, read_state

CONNECT_S = 1.0
LOCAL_PEERPID = 0x002  # of macOS, with the level 0


def gateway_pid(home: str) -> int:
    """The process that is the gateway of a home, whether it answers or not; 0 where there is none.

    Its number alone proves nothing, since it may be a stranger's by now.  The kernel tells who listens on the Unix
    socket; failing that, the process that the state names must be as old as it says or hold the lock of the home.
    """
    state = read_state(home)
    listener = _listener(locations.socket_path(locations.environment(), home))
    # A socket may have been made by another program, and handed over.
    if listener and (
        listener == state.pid or "mcpgateway" in command_of(listener) or not os.path.exists(PROC)
    ):
        return listener
    return state.pid if is_gateway(state, home) else 0


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
