"""The records of jobs, on disk: one file for each, which only the user may read.

Everything here blocks for as long as a small file takes.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.protocol.node_marks import MARK
from mcpgateway.system import home_files

FILE_LIMIT = 262_144
_NAME = re.compile(
    rf"(?:{MARK})?job_[0-9]{{1,16}}_[A-Za-z0-9_-]{{16,64}}\Z"
)  # callers name jobs, and must not name other files
_SUFFIX = ".json"


class JobFiles:
    """The files of one home; a job that cannot be written is as good as lost, and the log reports that once."""

    log = Logger()

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._writer = home_files.Writer(self._complain, directory)

    def names(self) -> list[str]:
        """Return the ids of all jobs on record."""
        found = home_files.names(self._directory)
        return [name for each in found if _NAME.match(name := each.removesuffix(_SUFFIX)) and name != each]

    def read(self, name: str) -> bytes | None:
        """Return the record of a job; None where it is missing or cannot be read."""
        if not _NAME.match(name):
            return None
        try:
            return home_files.read_text(self._path(name), FILE_LIMIT).encode()
        except (FileNotFoundError, ConfigError):
            return None

    def write(self, name: str, data: bytes) -> bool:
        """Write the record of a job; false where that fails."""
        return _NAME.match(name) is not None and self._writer.write(self._path(name), data)

    def remove(self, name: str) -> None:
        """Remove the record of a job."""
        if _NAME.match(name):
            with suppress(OSError):
                home_files.remove(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name + _SUFFIX)

    def _complain(self, why: str) -> None:
        self.log.warn(
            "what became of jobs cannot be kept in {directory}: {why}",
            event="jobs.unwritable",
            directory=self._directory,
            why=why,
        )
