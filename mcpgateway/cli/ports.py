"""Which process listens on a TCP port of this machine, as far as the system tells."""

from __future__ import annotations

import os

from mcpgateway.cli.state import command_of
from mcpgateway.system.process.listening import listening

SHOWN_CHARACTERS = 80


def holder_of(port: int) -> int:
    """The process that listens on a port; 0 where that cannot be told."""
    sockets = {f"socket:[{inode}]" for inode, _ in listening(port)}
    if not sockets:
        return 0
    for name in os.listdir("/proc"):
        if name.isdigit() and _has_one(name, sockets):
            return int(name)
    return 0


def _has_one(pid: str, sockets: set[str]) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") in sockets:
                return True
        except OSError:
            continue
    return False


def described(pid: int) -> str:
    """A process in words: its number and what it runs, or that it is a gateway of another home."""
    words = command_of(pid)
    if "mcpgateway" in words:
        home = words[words.index("--home") + 1 :][:1] if "--home" in words else []
        return f"pid {pid}, the gateway of " + (home[0] if home else "another home")
    # Only the program: what follows may be secret.
    name = os.path.basename(words[0])[:SHOWN_CHARACTERS] if words else ""
    return f"pid {pid} ({name})" if name else f"pid {pid}"
