"""The log file of a gateway that runs detached: private, and bounded by rotation."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO, cast

from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python.logfile import LogFile

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

LOG_VARIABLE = "MCPGATEWAY_LOG"
ROTATE_BYTES = 5 * 1_048_576
KEPT = 3
STDOUT, STDERR = 1, 2


class PrivateLog(LogFile):
    """A log file that other writers use as well: Python before logging is set up, and the messages of a crash.

    Both stdout and stderr lead to it, also after rotation.
    """

    def _openFile(self) -> None:
        self.closed = False
        descriptor = home_files.open_to_write(self.path)
        self._file = cast("BinaryIO", os.fdopen(descriptor, "ab", 0))
        self.size = os.fstat(descriptor).st_size
        for stream in (STDOUT, STDERR):
            os.dup2(descriptor, stream)


def observer() -> ILogObserver:
    """Return the observer for ``twistd --logger``: for the file that the starter has named, or else for stdout."""
    path = os.environ.get(LOG_VARIABLE)
    out: Any = sys.stdout
    if path:
        with suppress(ConfigError):  # of a home that is read-only by now: stdout leads to the former log
            out = PrivateLog.fromFullPath(path, rotateLength=ROTATE_BYTES, maxRotatedFiles=KEPT)
    made: ILogObserver = textFileLogObserver(out)
    return made
