"""Find the gateway process of a home."""

from __future__ import annotations

import os
import socket
import struct

from mcpgateway.shim import locations
from mcpgateway.system.process.procfs import PROC, command_of
from mcpgateway.system.state import is_gateway, read_state

CONNECT_S = 1.0
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
