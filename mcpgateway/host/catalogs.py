"""What servers have answered, on disk: one file for each server.

Everything here blocks for as long as a small file takes.  A file that is lost costs one start of its server, so none is
waited for until it is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

from twisted.logger import Logger

from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.host import homefile
from mcpgateway.rules import snapshots
from mcpgateway.rules.snapshots import FILE_LIMIT, Catalog, NewerFormat

ABANDONED_S = 3600.0  # a half-written file of that age is one of a gateway that was killed


class Catalogs:
    """The files of one home; what cannot be read is as good as absent, and the log says so."""

    log = Logger()

    def __init__(self, directory: str, now: Callable[[], float]) -> None:
        self._directory = directory
        self._now = now
        self._newer: set[str] = set()
        self._writer = homefile.Writer(self._complain, directory)
        self._has_swept = False

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, f"{quote(name, safe='')}.json")

    def read(self, name: str) -> Catalog:
        """What is on record of a server."""
        path = self._path(name)
        try:
            found = snapshots.read(homefile.read_text(path, FILE_LIMIT).encode())
        except FileNotFoundError:
            found = Catalog()
        except NewerFormat as why:
            if name not in self._newer:
                self.log.warn(
                    "{path} was written by a newer mcpgateway (format {found}) and is left alone",
                    event="catalog.newer",
                    path=path,
                    found=str(why),
                )
            self._newer.add(name)
            return Catalog()
        except (ConfigError, GatewayError) as why:
            self.log.warn(
                "{path} is ignored, and written anew: {why}", event="catalog.damaged", path=path, why=str(why)
            )
            found = Catalog()
        self._newer.discard(name)
        return found

    def write(self, name: str, catalog: Catalog) -> bool:
        """Put on record what is known of a server; false when that has to be tried again."""
        if name in self._newer:
            return True  # it is not ours to replace
        self._sweep()
        return self._writer.write(self._path(name), catalog.written())

    def erase(self, name: str) -> None:
        """Forget a server; the file of a newer gateway stays."""
        self.read(name)
        if name not in self._newer:
            with suppress(OSError):
                homefile.remove(self._path(name))

    def _sweep(self) -> None:
        if self._has_swept:
            return
        self._has_swept = True
        for name in homefile.names(self._directory):
            path = os.path.join(self._directory, name)
            with suppress(OSError):
                if name.startswith(".") and self._now() - os.lstat(path).st_mtime > ABANDONED_S:
                    os.unlink(path)

    def _complain(self, why: str) -> None:
        self.log.warn(
            "what servers have answered cannot be kept in {directory}: {why}",
            event="catalog.unwritable",
            directory=self._directory,
            why=why,
        )
