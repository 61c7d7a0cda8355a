"""The recorded lists of servers, on disk: one file for each server, a large one compressed (``zcat`` reads it).

Everything here blocks for as long as a small file takes, except for writing a large one, which a thread does.  The loss
of a file costs one start of its server, so no write waits for the disk.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.errors import ConfigError, GatewayError
from mcpgateway.policy import recorded_answers
from mcpgateway.policy.recorded_answers import FILE_LIMIT, Catalog, NewerListFormat
from mcpgateway.system import home_files

ABANDONED_S = 3600.0  # a half-written file of that age was left by a killed gateway
LARGE = 262_144  # bytes from which on a file is compressed
IN_THREAD = 2 * 1024 * 1024  # bytes that take more than some 20 ms to be compressed
GZIP = 16 + zlib.MAX_WBITS
MAGIC = b"\x1f\x8b"
LEVEL = 1  # 50 MiB in half a second, to a tenth; the highest makes it half of that, in ten times the time

InThread = Callable[..., Deferred[Any]]


class RecordedListFiles:
    """The files of one home; a file that cannot be read counts as missing, and the log reports that.

    :param in_thread: runs a blocking function in a thread; None to call it directly.
    """

    log = Logger()

    def __init__(self, directory: str, now: Callable[[], float], in_thread: InThread | None = None) -> None:
        self._directory = directory
        self._now = now
        self._in_thread = in_thread
        self._writing: dict[str, bytes] = {}  # what threads are writing, or is to be written after that
        self._newer: set[str] = set()
        self._writer = home_files.Writer(self._complain, directory)
        self._has_swept = False

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, f"{quote(name, safe='')}.json")

    def read(self, name: str) -> Catalog:
        """Return the recorded lists of a server."""
        path = self._path(name)
        try:
            found = recorded_answers.read(self._writing.get(name) or _read(path))
        except FileNotFoundError:
            found = Catalog()
        except NewerListFormat as why:
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
        """Write the recorded lists of a server; false where that has to be tried again."""
        if name in self._newer:
            return True  # a newer gateway's file is not replaced
        self._sweep()
        path, data = self._path(name), catalog.written()
        if self._in_thread is None or len(data) < IN_THREAD:
            self._writing.pop(name, None)
            return self._writer.write(path, _packed(data))
        is_first = name not in self._writing
        self._writing[name] = data
        if is_first:
            self._pack(name, path, data)
        return True

    def _pack(self, name: str, path: str, data: bytes) -> None:
        def packed(found: bytes) -> None:
            latest = self._writing.get(name)
            if latest is not None and latest is not data:
                self._pack(name, path, latest)
            elif self._writing.pop(name, None) is not None:
                self._writer.write(path, found)

        assert self._in_thread is not None
        done = self._in_thread(_packed, data)
        done.addCallback(packed).addErrback(lambda why: self.log.failure("a catalog", why))

    def close(self) -> None:
        """Write the lists that threads have not finished."""
        writing, self._writing = self._writing, {}
        for name, data in writing.items():
            self._writer.write(self._path(name), _packed(data))

    def erase(self, name: str) -> None:
        """Remove the lists of a server; the file of a newer gateway stays."""
        self._writing.pop(name, None)
        self.read(name)
        if name not in self._newer:
            with suppress(OSError):
                home_files.remove(self._path(name))

    def _sweep(self) -> None:
        if self._has_swept:
            return
        self._has_swept = True
        for name in home_files.names(self._directory):
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


def _read(path: str) -> bytes:
    try:
        size = os.lstat(path).st_size
    except OSError:
        size = 0
    if size > FILE_LIMIT:
        raise ConfigError(f"{path}: is larger than {FILE_LIMIT} bytes")
    return _whole(home_files.read(path, size), path)  # memory is allocated up to the limit


def _packed(data: bytes) -> bytes:
    if len(data) < LARGE:
        return data
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    return packer.compress(data) + packer.flush()


def _whole(data: bytes, path: str) -> bytes:
    if not data.startswith(MAGIC):
        return data
    try:
        unpacker = zlib.decompressobj(GZIP)
        found = unpacker.decompress(data, FILE_LIMIT)
    except zlib.error as why:
        raise ConfigError(f"{path}: cannot be unpacked: {why}") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ConfigError(f"{path}: is cut short, or larger than {FILE_LIMIT} bytes")
    return found
