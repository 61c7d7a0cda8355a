"""The processes of this user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from attrs import field, frozen

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.system.paths import HOME_VARIABLE

READ_BYTES = 256 * 1024


@frozen
class Program:
    """A process.

    :ivar argv: how it was started; it may hold secrets, so it is never shown.
    :ivar is_of_gateway: whether a gateway has started it.
    :ivar home: the gateway's home that its environment names; empty where it names none.
    """

    pid: int
    parent: int
    argv: tuple[str, ...] = field(repr=False)
    is_of_gateway: bool = False
    home: str = ""


def programs(proc: str = "/proc") -> Iterator[Program]:
    """Every process of this user but our own."""
    for name in os.listdir(proc) if os.path.isdir(proc) else ():
        if name.isdecimal() and int(name) != os.getpid():
            with suppress(OSError, ValueError, IndexError):  # it may end at any time
                if os.stat(f"{proc}/{name}").st_uid == os.geteuid():
                    yield _program(proc, int(name))


def _program(proc: str, pid: int) -> Program:
    argv = tuple(each.decode(errors="replace") for each in _read(f"{proc}/{pid}/cmdline").split(b"\0")[:-1])
    state = _read(f"{proc}/{pid}/stat")
    parent = int(state[state.rindex(b")") + 2 :].split()[1])
    environ: dict[bytes, bytes] = {}
    with suppress(OSError):
        environ = dict(each.partition(b"=")[::2] for each in _read(f"{proc}/{pid}/environ").split(b"\0"))
    home = environ.get(HOME_VARIABLE.encode(), b"").decode(errors="replace")
    return Program(pid, parent, argv, INSTANCE_MARKER.encode() in environ, home)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(READ_BYTES)
