"""The processes of this user."""

from __future__ import annotations

import os
from collections.abc import Iterator

from attrs import field, frozen

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.system.paths import HOME_VARIABLE
from mcpgateway.system.process import procfs


@frozen
class UserProcess:
    """A process of this user.

    :ivar argv: its command line; it may hold secrets, so it is never shown.
    :ivar is_of_gateway: whether a gateway has started it.
    :ivar home: the gateway's home that its environment names; empty where it names none.
    """

    pid: int
    parent: int
    argv: tuple[str, ...] = field(repr=False)
    is_of_gateway: bool = False
    home: str = ""


def user_processes(proc: str = procfs.PROC) -> Iterator[UserProcess]:
    """Every process of this user but our own."""
    for pid in procfs.pids(proc):
        if pid == os.getpid() or not procfs.is_own(pid, proc):
            continue
        parent = procfs.parent(pid, proc)
        if parent:  # it may have ended by now
            environ = procfs.environment_of(pid, proc)
            home = environ.get(HOME_VARIABLE.encode(), b"").decode(errors="replace")
            argv = tuple(procfs.command_of(pid, proc))
            yield UserProcess(pid, parent, argv, INSTANCE_MARKER.encode() in environ, home)
