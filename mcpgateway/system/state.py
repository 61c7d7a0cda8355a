"""What a running gateway tells of itself in its home, for programs that look for it: ``state.json``.

The file says which process it was, not that it still runs: that is so while a process has both the pid and the start
time that stand in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress

from attrs import asdict, frozen

from mcpgateway.errors import ConfigError
from mcpgateway.policy.secrets.masking import arguments
from mcpgateway.system import alive, home_files

FORMAT = 1
FILE = "state.json"
FILE_LIMIT = 65_536
PORT, PORT_LIMIT = "port", 64


@frozen
class Running:
    """A gateway that listens.

    :ivar start_time: when its process began, in the kernel's ticks; with the pid it is that process and no other.
    :ivar started_at: seconds since the epoch.
    :ivar command: how it was started, without secrets.
    :ivar listeners: where it is reached, in words.
    :ivar renews: it begins anew on SIGHUP.
    :ivar refused: how often it was to and did not, because its configuration could not be used.
    """

    pid: int
    start_time: int
    port: int
    version: str
    started_at: float
    command: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    renews: bool = False
    refused: int = 0


def file_of(home: str) -> str:
    """Where a gateway of this home says that it runs."""
    return os.path.join(home, FILE)


def write(home: str, running: Running) -> None:
    """Say that a gateway of this home runs.

    :raise ConfigError: that cannot be written.
    """
    text = json.dumps({"format": FORMAT, **asdict(running)}, indent=1)
    home_files.keep(file_of(home), text.encode("ascii") + b"\n", lasting=False)


def read(home: str) -> Running | None:
    """What stands there, whether or not it is still true; None where nothing does.

    :raise ConfigError: it is not as a gateway writes it, or a newer one has written it.
    """
    path = file_of(home)
    try:
        found = json.loads(home_files.read_text(path, FILE_LIMIT))
        if found["format"] > FORMAT:
            raise ConfigError(f"{path}: was written by a newer mcpgateway; use that one")
        return Running(
            int(found["pid"]),
            int(found["start_time"]),
            int(found["port"]),
            str(found["version"]),
            float(found["started_at"]),
            tuple(map(str, found["command"])),
            tuple(map(str, found["listeners"])),
            found.get("renews") is True,
            int(found.get("refused", 0)),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as why:
        raise ConfigError(f"{path}: is not as the gateway writes it; remove it if no gateway runs") from why


def keep_port(home: str, port: int | None) -> None:
    """Remember at which port a gateway was told to listen when it was started; None: where its configuration says.

    What that is told applies when none runs: it is where the next one is looked for.

    :raise ConfigError: that cannot be written.
    """
    path = os.path.join(home, PORT)
    if port is not None:
        home_files.keep(path, f"{port}\n".encode(), lasting=False)
    else:
        with suppress(OSError):  # then it counts once more
            home_files.remove(path)


def kept_port(home: str) -> int | None:
    """The port that the last gateway of a home was told; None where it was told none."""
    try:
        text = home_files.read_text(os.path.join(home, PORT), PORT_LIMIT).strip()
    except (OSError, ConfigError):
        return None
    return int(text) if text.isascii() and text.isdigit() and int(text) < 65536 else None


def remove(home: str, pid: int) -> None:
    """A gateway has ended in order; what another one says stays."""
    with suppress(OSError, ConfigError):
        found = read(home)
        if found is not None and found.pid == pid:
            os.unlink(file_of(home))


def is_alive(running: Running) -> bool:
    """Whether that very process still runs."""
    return alive.is_alive(running.pid) and alive.start_time(running.pid) == running.start_time


def myself(port: int, version: str, now: float, argv: Sequence[str], listeners: Sequence[str]) -> Running:
    """What this process says of itself."""
    pid = os.getpid()
    start = alive.start_time(pid)
    return Running(pid, start, port, version, now, tuple(arguments(list(argv))), tuple(listeners))
