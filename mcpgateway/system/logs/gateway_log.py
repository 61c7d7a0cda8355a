"""The log file of a gateway that runs detached: private, and never larger than a few turns of it."""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO, cast

from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python.logfile import LogFile

from mcpgateway.system import home_files

LOG_VARIABLE = "MCPGATEWAY_LOG"
ROTATE_BYTES = 5 * 1_048_576
KEPT = 3
STDOUT, STDERR = 1, 2


class PrivateLog(LogFile):
    """A log file that others write to as well: Python before it is set up, and what a crash says.

    Both stdout and stderr lead to it, and follow it when it is rotated.
    """

    def _openFile(self) -> None:
        self.closed = False
        descriptor = home_files.open_to_write(self.path)
        self._file = cast("BinaryIO", os.fdopen(descriptor, "ab", 0))
        self.size = os.fstat(descriptor).st_size
        for stream in (STDOUT, STDERR):
            os.dup2(descriptor, stream)


def observer() -> ILogObserver:
    """The observer that ``twistd --logger`` asks for: to the file that the starter has named, or else to stdout."""
    path = os.environ.get(LOG_VARIABLE)
    out: Any = sys.stdout
    if path:
        out = PrivateLog.fromFullPath(path, rotateLength=ROTATE_BYTES, maxRotatedFiles=KEPT)
    made: ILogObserver = textFileLogObserver(out)
    return made
