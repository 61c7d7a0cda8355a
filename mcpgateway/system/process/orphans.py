"""The record of running children on disk, and the end of those that a killed gateway has left behind."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.records import Record
from mcpgateway.system import home_files
from mcpgateway.system.process.processes import kill_bearing, signal_group
from mcpgateway.system.process.procfs import is_alive, start_time

FORMAT = 1
DIRECTORY = "children"
FILE_LIMIT = 16 * 1_048_576


class ChildRecord(Struct, frozen=True):
    """One running child; its pid and start time together identify the process."""

    pid: int
    start_time: int
    server: str


class ChildRegistry(Record):
    """The children of this gateway, mirrored in ``<home>/children/<instance>.json``.

    The file is never synced: a machine that crashes ends the children as well.
    """

    home: str
    instance: str
    _entries: dict[int, ChildRecord] = msgspec.field(default_factory=dict)
    _complained: bool = False

    @property
    def path(self) -> str:
        """The path of the file."""
        return os.path.join(self.home, DIRECTORY, f"{self.instance}.json")

    def added(self, pid: int, server: str) -> None:
        """Record a child that has been started."""
        self.kept(pid, server)
        self._save()

    def kept(self, pid: int, server: str) -> None:
        """Record a child that the file names already, since the former program of this process has started it."""
        self._entries[pid] = ChildRecord(pid, start_time(pid), server)

    def removed(self, pid: int) -> None:
        """Remove the record of a child of which no process is left."""
        if self._entries.pop(pid, None) is not None:
            self._save()

    def close(self) -> None:
        """Remove the file, after every child has been stopped."""
        with suppress(OSError):
            home_files.remove(self.path)

    def _save(self) -> None:
        # The guardian ends the children of a killed gateway too, so a full disk need not keep a child from starting.
        try:
            self._write()
        except ConfigError as why:
            if not self._complained:
                self._complained = True
                Logger().error(
                    "children cannot be put on record: {why}",
                    event="orphan.unrecorded",
                    path=self.path,
                    why=str(why),
                )

    def _write(self) -> None:
        home_files.make_directory(os.path.dirname(self.path))
        own = os.getpid()
        content = {
            "format": FORMAT,
            "gateway": {"pid": own, "start_time": start_time(own)},
            "instance": self.instance,
            "children": [asdict(entry) for entry in self._entries.values()],
        }
        home_files.keep(self.path, json.dumps(content).encode("ascii"), lasting=False)


def reap_leftovers(home: str) -> list[str]:
    """Kill the children that killed gateways of this home have left behind, and return a description of each."""
    directory = os.path.join(home, DIRECTORY)
    found: list[str] = []
    for name in home_files.names(directory):
        path = os.path.join(directory, name)
        if name.endswith(".json") and not name.startswith("."):
            found += _reap(path)
        else:
            with suppress(OSError):
                os.unlink(path)  # half-written
    return found


def instances(home: str) -> set[str]:
    """Return the gateways of this home whose children are on record; after `reap_leftovers`, those that run."""
    found = home_files.names(os.path.join(home, DIRECTORY))
    return {name.removesuffix(".json") for name in found if name.endswith(".json")}


def _reap(path: str) -> list[str]:
    try:
        content: dict[str, Any] = json.loads(home_files.read_text(path, FILE_LIMIT))
        if content["format"] > FORMAT:
            Logger().warn(
                "{path} is of a newer gateway and is left alone", event="orphan.newer_format", path=path
            )
            return []
        gateway = content["gateway"]
        if is_alive(gateway["pid"]) and start_time(gateway["pid"]) == gateway["start_time"]:
            return []
        entries = [ChildRecord(**entry) for entry in content["children"]]
        instance = str(content["instance"])
    except (ConfigError, OSError, ValueError, KeyError, TypeError, RecursionError) as why:
        Logger().warn("{path} cannot be read: {why}", event="orphan.unreadable", path=path, why=why)
        return []
    found = [f"{entry.server} (pid {entry.pid})" for entry in entries if _kill(entry)]
    strays = kill_bearing(f"{INSTANCE_MARKER}={instance}")
    if strays:
        found.append(f"{strays} more that had left their groups")
    with suppress(OSError):
        os.unlink(path)
    return found


def _kill(entry: ChildRecord) -> bool:
    # The leader must be the very process that the gateway started: its pid may be another's by now.  The pid of a group
    # without its leader is not reused, but only the marker proves that it is a child (`kill_bearing` finds those).
    if not is_alive(entry.pid) or start_time(entry.pid) != entry.start_time:
        return False
    return signal_group(entry.pid, signal.SIGKILL)
