"""The history of enrolled files: each change of a file by the gateway, and the version before it.

# Note [Beside the ledger]
The ledger alone ensures that a file can be restored.  The history is for the user who looks back, so each of its
records is a small file of its own, which is written once the change stands; where that fails, the change stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles import enrolment_records
from mcpgateway.clientfiles.backups import Backups, digest_of
from mcpgateway.clientfiles.enrolment_records import TEXT, FileRecord, FileStep
from mcpgateway.clientfiles.formats.splices import TextSplice, forward
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files
from mcpgateway.system.files import any_text_of, bytes_of

DIRECTORY = "history"
SUFFIX = ".json"
KEPT_VERSIONS = 30  # of one file: two weeks of a gateway that is stopped each evening
VERSION_BYTES = 4 * 1_048_576  # a larger change, of thousands of entries, is left out
EMPTY = digest_of(b"")


class FileAct(Enum):
    """What the gateway did with a file."""

    ENROLLED = "enrolled"
    UPDATED = "updated"
    WRITTEN = "written"
    RESUMED = "enrolled again"
    RESTORED = "restored"
    DISABLED = "restored for a pause"
    STOPPED = "restored at the gateway's stop"
    AWAY = "restored while the gateway is away"


SUSPENSIONS = {"disabled": FileAct.DISABLED, "stopped": FileAct.STOPPED, "away": FileAct.AWAY}


@frozen
class FileVersion:
    """A change of a file.

    :ivar number: its number in the history, set when it is added.
    :ivar real: the file's real path.
    :ivar at: the time, in seconds since the epoch.
    :ivar step: the change of the text.
    :ivar former: the file's record before; None where it was not enrolled.
    :ivar latter: its record after; None where it is not enrolled any more.
    """

    real: str
    at: float
    step: FileStep = field(repr=False)
    former: FileRecord | None = field(repr=False)
    latter: FileRecord | None = field(repr=False)
    number: int = 0

    @classmethod
    def of(
        cls, real: str, at: float, step: FileStep, former: FileRecord | None, latter: FileRecord | None
    ) -> FileVersion:
        """Return a change without the earlier changes that its records hold."""
        return cls(real, at, step, former and evolve(former, chain=()), latter and evolve(latter, chain=()))

    @property
    def record(self) -> FileRecord | None:
        """The record that names the client and its entries."""
        return self.latter or self.former

    @property
    def act(self) -> FileAct:
        """What the gateway did."""
        if self.latter is None or not self.latter.entries:
            return FileAct.RESTORED
        if self.latter.suspended:
            return SUSPENSIONS.get(self.latter.suspended, FileAct.DISABLED)
        if self.former is not None and self.former.suspended:
            return FileAct.RESUMED
        if self.former is not None and self.former.entries:
            return FileAct.UPDATED
        return FileAct.WRITTEN if self.latter.mode == TEXT else FileAct.ENROLLED

    @property
    def path(self) -> str:
        """The path as the user named it."""
        return self.record.path if self.record is not None else self.real

    @property
    def client(self) -> str:
        """The name of the client."""
        return self.record.dialect if self.record is not None else ""

    @property
    def project(self) -> str:
        """The directory of the project that the file belongs to, or ""."""
        return self.record.project if self.record is not None else ""

    def texts(self, backups: Backups) -> tuple[str, str] | None:
        """Return the text before and after; None where it is no longer kept."""
        data = b"" if self.step.before == EMPTY else backups.get(self.step.before)
        if data is None:
            return None
        before = any_text_of(data, self.real)
        after = forward(before, self.step.splices)
        return (before, after) if digest_of(bytes_of(after)) == self.step.after else None

    def is_kept(self, backups: Backups) -> bool:
        """True if the version before is kept."""
        return self.step.before == EMPTY or backups.holds(self.step.before)


@frozen
class FileHistory:
    """The latest changes of each enrolled file; only the holder of the ledger's lock adds one.

    :param ledger: the directory of the ledger.
    """

    ledger: str

    @property
    def directory(self) -> str:
        """The directory of the records."""
        return os.path.join(self.ledger, DIRECTORY)

    def add(self, version: FileVersion) -> None:
        """Add a change, and remove the oldest ones of its file.

        :raise ConfigError: it cannot be written.
        :raise OSError: an older one cannot be removed.
        """
        home_files.make_directory(self.directory)
        numbers = self._numbers()
        data = json.dumps(_written(version)).encode()
        if len(data) > VERSION_BYTES:
            return
        home_files.keep(self._path(max(numbers, default=0) + 1), data, lasting=False)
        for each in list(self.listed(version.real))[KEPT_VERSIONS:]:
            home_files.remove(self._path(each.number))

    def listed(self, path: str = "") -> Iterator[FileVersion]:
        """Iterate over the changes, the latest first.

        :param path: the one file whose changes are meant; empty for all.
        """
        real = os.path.realpath(path) if path else ""
        for number in sorted(self._numbers(), reverse=True):
            version = self._read(number)
            if version is not None and real in ("", version.real):
                yield version

    def get(self, number: int) -> FileVersion:
        """Return a change.

        :raise ConfigError: the history has no change of this number.
        """
        version = self._read(number)
        if version is None:
            raise ConfigError(f"the history of clients' files has no change {number}")
        return version

    def _numbers(self) -> list[int]:
        names = (each.removesuffix(SUFFIX) for each in home_files.names(self.directory))
        return [int(each) for each in names if each.isascii() and each.isdigit()]

    def _read(self, number: int) -> FileVersion | None:
        with suppress(FileNotFoundError, ConfigError, ValueError, KeyError, TypeError):
            return _adopted(json.loads(home_files.read(self._path(number), VERSION_BYTES)), number)
        return None

    def _path(self, number: int) -> str:
        return os.path.join(self.directory, f"{number:08}{SUFFIX}")


def _written(version: FileVersion) -> dict[str, Any]:
    step = version.step
    return {
        "real": version.real,
        "at": version.at,
        "step": [step.before, step.after, [[each.start, each.old, each.new] for each in step.splices]],
        "former": version.former and enrolment_records.written(version.former),
        "latter": version.latter and enrolment_records.written(version.latter),
    }


def _adopted(members: Mapping[str, Any], number: int) -> FileVersion:
    before, after, splices = members["step"]
    former, latter = (
        members[name] and enrolment_records.read(members[name]) for name in ("former", "latter")
    )
    step = FileStep(before, after, tuple(TextSplice(*each) for each in splices))
    return FileVersion(members["real"], members["at"], step, former, latter, number)
