"""The cache on disk of the programs that package runners start: ``<home>/launch-cache.json``.

The key of an entry is a digest of all that decides the answer, so nothing of a command line or of an environment can be
read from the file, except non-secret variables that the runner itself adds to the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from attrs import field, frozen
from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FORMAT = 1
FILE = "launch-cache.json"
BYTES_LIMIT = 8 * 2**20
ENTRIES_LIMIT = 500  # one for each server and workspace; those checked longest ago are dropped


@frozen
class ResolvedProgram:
    """A program that a package runner would start.

    :ivar program: its absolute path; empty where the entry is run as written until `shy_until`.
    :ivar path: the directories in front of ``PATH``.
    :ivar added: the variables that the runner sets.
    :ivar removed: the variables that the runner removes.
    :ivar package: the name of the package.
    :ivar version: its version; empty where unknown.
    :ivar integrity: the digest of its files; empty where unknown.
    :ivar checked_at: the time when it was last found to be what the runner starts.
    :ivar saved_kib: the memory that the runner took, in KiB; 0 where unknown.
    :ivar shy_until: the time until which the entry is run as written, because the program did not work by itself.
    """

    program: str
    path: str = ""
    added: Mapping[str, str] = field(factory=dict, repr=False)
    removed: tuple[str, ...] = ()
    package: str = ""
    version: str = ""
    checked_at: float = 0.0
    saved_kib: int = 0
    shy_until: float = 0.0
    integrity: str = ""


@frozen
class _Content:
    format: int
    entries: dict[str, ResolvedProgram]


class LaunchCache:
    """Resolved programs, in memory and on disk; without a disk the next gateway resolves them again."""

    log = Logger()

    def __init__(self, home: str) -> None:
        self._path = os.path.join(home, FILE)
        self._is_foreign = False  # written by a newer gateway, and not ours to replace
        self._entries = self._read()

    def find(self, key: str) -> ResolvedProgram | None:
        """Return the program of a key; None where it is not known."""
        return self._entries.get(key)

    def all(self) -> tuple[ResolvedProgram, ...]:
        """Return all resolved programs."""
        return tuple(self._entries.values())

    def keep(self, key: str, found: ResolvedProgram) -> None:
        """Record the program of a key."""
        self._entries[key] = found
        while len(self._entries) > ENTRIES_LIMIT:
            del self._entries[min(self._entries, key=lambda each: self._entries[each].checked_at)]
        self._write()

    def drop(self, key: str) -> None:
        """Remove the program of a key."""
        if self._entries.pop(key, None) is not None:
            self._write()

    def _read(self) -> dict[str, ResolvedProgram]:
        try:
            text = home_files.read_text(self._path, BYTES_LIMIT)
            found = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            written = msgspec.json.decode(found.get("format", msgspec.Raw(b"0")), type=int)
            if written > FORMAT:
                self._is_foreign = True
                self.log.warn(
                    "{path} is of a newer gateway and is left alone",
                    event="launch.newer_format",
                    path=self._path,
                )
                return {}
            return msgspec.json.decode(text, type=_Content).entries if written == FORMAT else {}
        except FileNotFoundError:
            return {}
        except (ConfigError, msgspec.MsgspecError) as why:
            self.log.warn(
                "{path} cannot be read and is begun anew: {why}",
                event="launch.unreadable",
                path=self._path,
                why=why,
            )
            return {}

    def _write(self) -> None:
        if self._is_foreign:
            return
        content = msgspec.json.encode(_Content(FORMAT, self._entries))
        try:
            home_files.keep(self._path, msgspec.json.format(content, indent=1))
        except ConfigError as why:
            self.log.warn(
                "what is started cannot be kept: {why}",
                event="launch.unwritten",
                path=self._path,
                why=str(why),
            )
