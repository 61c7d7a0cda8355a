"""A node's local copy of the cluster's documents, from which it starts while the store is gone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec
from twisted.logger import Logger

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FILE_LIMIT = 16 * 1_048_576
MARK = "read"


class _Kept(msgspec.Struct):
    kind: str
    name: str
    number: int
    body: bytes
    writer: str = ""


class DocumentFiles:
    """The directory ``cluster/documents`` of a home, with a file for each document, sealed as in the store.

    :param seconds: the time of day, in seconds since the epoch.
    """

    log = Logger()

    def __init__(self, home: str, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._outer = os.path.join(home, "cluster")
        self._folder = os.path.join(self._outer, "documents")
        self._writer = home_files.Writer(self._complain, self._folder)

    def read(self) -> Iterator[tuple[str, str, int, bytes, str]]:
        """Iterate over the kind, name, number, sealed body and writer of all readable documents."""
        for each in home_files.names(self._folder):
            try:
                found = msgspec.json.decode(
                    home_files.read(os.path.join(self._folder, each), FILE_LIMIT), type=_Kept
                )
            except (ConfigError, OSError, msgspec.MsgspecError):
                continue  # the store has it
            yield found.kind, found.name, found.number, found.body, found.writer

    def write(self, place: tuple[str, str], number: int, body: bytes, writer: str) -> None:
        """Keep a document; where that fails, the node starts without it while the store is gone."""
        with suppress(ConfigError):
            home_files.make_directory(self._outer)
        self._writer.write(self._path(place), msgspec.json.encode(_Kept(*place, number, body, writer)))

    def erase(self, place: tuple[str, str]) -> None:
        """Erase a document."""
        with suppress(OSError):
            home_files.remove(self._path(place))

    def mark(self) -> None:
        """Note that the store was read at this moment."""
        with suppress(ConfigError):
            home_files.make_directory(self._outer)
            home_files.keep(os.path.join(self._outer, MARK), b"", lasting=False)

    def age_s(self) -> float:
        """Return the time in seconds since the store was read the last time; 0 where that is not known."""
        try:
            return max(0.0, self._seconds() - os.stat(os.path.join(self._outer, MARK)).st_mtime)
        except OSError:
            return 0.0

    def _path(self, place: tuple[str, str]) -> str:
        digest = hashlib.sha256("\0".join(place).encode()).hexdigest()
        return os.path.join(self._folder, f"{digest[:32]}.json")

    def _complain(self, why: str) -> None:
        self.log.warn(
            "{why}; this node could not start without the store", event="cluster.copy_failed", why=why
        )
