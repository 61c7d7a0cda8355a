"""The state file of a gateway, ``state.json`` in its home, for programs that look for it.

The file names the process that wrote it; that process still runs while a process has both the pid and the start time in
the file.  Commands read it before anything else, so modules that only the gateway needs are imported where they are
used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from mcpgateway.errors import ConfigError
from mcpgateway.shim.startup import LOCK, REBOOT, UNCLEAN, opener
from mcpgateway.system.process import procfs

FORMAT = 1
FILE = "state.json"
FILE_LIMIT = 1_048_576
PORT, PORT_LIMIT = "port", 64
PAUSE = "paused-until"


class GatewayState(NamedTuple):
    """The state of a gateway.

    :ivar pid: the gateway's process; 0 where the file names none.
    :ivar start_time: the start of that process in clock ticks; together with the pid it identifies the process.
    :ivar started_at: seconds since the epoch; 0 where the file does not say.
    :ivar command: its command line, without secrets.
    :ivar listeners: its addresses, in words.
    :ivar renews: it restarts in place on SIGHUP.
    :ivar refused: the number of restarts it has refused, because its configuration could not be used.
    :ivar boot: identifies the run of the machine; empty where the system has no such name.
    :ivar trouble: the reason why the file cannot be used; empty where it can, or is missing.
    :ivar exists: the file exists.
    :ivar is_hidden: the directory cannot be read, so it is unknown whether the file exists.
    """

    pid: int = 0
    start_time: int = 0
    port: int = 0
    version: str = ""
    started_at: float = 0.0
    command: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    renews: bool = False
    refused: int = 0
    boot: str = ""
    trouble: str = ""
    exists: bool = True
    is_hidden: bool = False


WRITTEN = GatewayState._fields[:10]


def file_of(home: str) -> str:
    """Return the path of the state file of a home."""
    return os.path.join(home, FILE)


def write(home: str, state: GatewayState) -> None:
    """Write the state file of a home.

    :raise ConfigError: the file cannot be written.
    """
    from mcpgateway.system import home_files

    text = json.dumps({"format": FORMAT, **{name: getattr(state, name) for name in WRITTEN}}, indent=1)
    home_files.keep(file_of(home), text.encode("ascii") + b"\n", lasting=False)


def read_state(home: str) -> GatewayState:
    """Read the state file of a home; faults are a part of the result, and no exception is raised."""
    try:
        return _state(_decoded(home))
    except OSError as why:
        return GatewayState(trouble=why.strerror or str(why), is_hidden=True)


def read(home: str) -> GatewayState | None:
    """Read the state file of a home; None where it does not exist.

    :raise ConfigError: the file is malformed, or a newer gateway has written it.
    """
    path = file_of(home)
    try:
        found = _decoded(home)
    except OSError as why:
        from mcpgateway.system.home_files import refused

        raise refused(path, "read", why) from why
    if isinstance(found, dict) and _number(found.get("format")) > FORMAT:
        raise ConfigError(f"{path}: was written by a newer mcpgateway; use that one")
    state = _state(found)
    if state.trouble:
        raise ConfigError(f"{path}: is not as the gateway writes it; remove it if no gateway runs")
    return state if state.exists else None


def _decoded(home: str) -> Any:
    """Return the value in the state file, or the state of a missing or malformed one."""
    try:
        with open(file_of(home), encoding="utf-8", opener=opener) as file:
            return json.loads(file.read(FILE_LIMIT))
    except (FileNotFoundError, NotADirectoryError):
        return GatewayState(exists=False)
    except (ValueError, RecursionError):
        return GatewayState(trouble="it is not JSON")


def _state(found: Any) -> GatewayState:
    if isinstance(found, GatewayState):
        return found
    if not isinstance(found, dict) or not _number(found.get("pid")):
        return GatewayState(trouble="it names no process")
    return GatewayState(
        _number(found.get("pid")),
        _number(found.get("start_time")),
        _number(found.get("port")),
        str(found.get("version", "")),
        _seconds(found.get("started_at")),
        _words(found.get("command")),
        _words(found.get("listeners")),
        found.get("renews") is True,
        _number(found.get("refused")),
        str(found.get("boot") or ""),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _words(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


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


def keep_port(home: str, port: int | None) -> None:
    """Record the port that a gateway was started with; None where its configuration decides.

    Commands look for the next gateway at that port while none runs.

    :raise ConfigError: the record cannot be written.
    """
    from mcpgateway.system import home_files

    path = os.path.join(home, PORT)
    if port is not None:
        home_files.keep(path, f"{port}\n".encode(), lasting=False)
    else:
        with suppress(OSError):  # the record then stays valid
            home_files.remove(path)


def recorded_port(home: str) -> int | None:
    """Return the port that the last gateway of a home was started with; None where its configuration decided."""
    from mcpgateway.system import home_files

    try:
        text = home_files.read_text(os.path.join(home, PORT), PORT_LIMIT).strip()
    except (OSError, ConfigError):
        return None
    return int(text) if text.isascii() and text.isdigit() and int(text) < 65536 else None


def keep_pause_end(home: str, at: float) -> None:
    """Record the end of a pause of the clients, in epoch seconds; 0 for a pause that has none.

    :raise ConfigError: the record cannot be written or removed.
    """
    from mcpgateway.system import home_files

    path = pause_file(home)
    if at:
        home_files.keep(path, f"{at:.0f}\n".encode())
        return
    try:
        home_files.remove(path)
    except OSError as why:
        raise home_files.refused(path, "removed", why) from why


def recorded_pause_end(home: str) -> float:
    """Return the recorded end of a pause of the clients; 0 for none.  Without paused clients it means nothing."""
    return pause_end_in(pause_file(home))


def pause_end_in(path: str) -> float:
    """Return the end of a pause that a file records, in epoch seconds; 0 for none."""
    from mcpgateway.system import home_files

    try:
        text = home_files.read_text(path, PORT_LIMIT).strip()
    except (OSError, ConfigError):
        return 0.0
    return float(text) if text.isascii() and text.isdigit() else 0.0


def pause_file(home: str) -> str:
    """Return the path of the record of a pause's end."""
    return os.path.join(home, PAUSE)


def remove(home: str, pid: int) -> None:
    """Remove the state file of a gateway that ends in order; another gateway's file stays."""
    with suppress(OSError, ConfigError):
        found = read(home)
        if found is not None and found.pid == pid:
            os.unlink(file_of(home))


def is_alive(state: GatewayState) -> bool:
    """True if the very process that a state names still runs."""
    return procfs.is_alive(state.pid) and procfs.start_time(state.pid) == state.start_time


def is_gateway(state: GatewayState, home: str) -> bool:
    """True if the process that a state names is the gateway of this home, and not another process of that pid.

    Where the state has no start time, the process has to hold the lock of the home.
    """
    if not state.pid or not procfs.is_alive(state.pid) or state.pid == os.getpid():
        return False
    return is_alive(state) if state.start_time else procfs.has_open(state.pid, f"{home}/{LOCK}")


def myself(
    port: int, version: str, now: float, argv: Sequence[str], listeners: Sequence[str]
) -> GatewayState:
    """Return the state of this process."""
    from mcpgateway.policy.secrets.masking import arguments

    pid = os.getpid()
    command = tuple(arguments(list(argv)))
    own = GatewayState(pid, procfs.start_time(pid), port, version, now, command, tuple(listeners))
    return own._replace(boot=procfs.boot_id())


def unclean_end(former: GatewayState) -> str:
    """Return the end of a gateway that has left its state file: `UNCLEAN`, `REBOOT`, or "" while it still runs."""
    if not former.pid or former.trouble or (is_alive(former) and former.boot in ("", procfs.boot_id())):
        return ""
    return REBOOT if former.boot and former.boot != procfs.boot_id() else UNCLEAN
