"""The book of the calls of tools and the tokens that were saved, on disk.

Everything here blocks for as long as a small file takes.  A lost file costs nothing but its counts, so no write waits
for the disk.
"""

from __future__ import annotations

from twisted.logger import Logger

from mcpgateway.discovery import usage
from mcpgateway.discovery.usage import FILE_LIMIT, Book, NewerUsageFormat
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files


class UsageFile:
    """The file of one home; a file that cannot be read counts as missing, and the log reports that."""

    log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_newer = False
        self._writer = home_files.Writer(self._complain)

    def read(self) -> Book:
        """Return the counts that were written last; none where the file is missing."""
        try:
            return usage.read(home_files.read_text(self._path, FILE_LIMIT))
        except FileNotFoundError:
            return Book()
        except NewerUsageFormat as why:
            self._is_newer = True
            self.log.warn(
                "{path} was written by a newer mcpgateway (format {found}) and is left alone",
                event="usage.newer",
                path=self._path,
                found=str(why),
            )
        except (ConfigError, ValueError) as why:
            self.log.warn(
                "{path} is ignored, and written anew: {why}",
                event="usage.damaged",
                path=self._path,
                why=str(why),
            )
        return Book()

    def write(self, book: Book) -> bool:
        """Write a book; false where that has to be tried again."""
        if self._is_newer:
            return True  # a newer gateway's file is not replaced
        return self._writer.write(self._path, book.written())

    def _complain(self, why: str) -> None:
        self.log.warn(
            "how often tools are called cannot be kept in {path}: {why}",
            event="usage.unwritable",
            path=self._path,
            why=why,
        )
