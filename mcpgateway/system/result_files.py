"""Whole results on disk, compressed: one file for each, readable by this user alone.

A file is one line of JSON with its owner, followed by the compressed result.  Everything here blocks; a large result is
written and read in a thread.  No write waits for the disk: a file that a power failure destroys causes one miss only.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress

import msgspec
from attrs import asdict, frozen

from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FORMAT = 1
SUFFIX = ".result"
HEAD_LIMIT = 8192
FILE_LIMIT = 1024**3
LEVEL = 1  # of compression: most of the saving, at several times the speed of the default


@frozen
class ResultRecord:
    """The record of one result.

    :ivar principal: its owner.
    :ivar digest: a digest of its owner and content, in hexadecimal.
    :ivar size: the size of the result in bytes.
    :ivar stored: the size of its file in bytes.
    :ivar made_by: the tool that returned it.
    :ivar since: its time, in seconds since the epoch.
    """

    ref: str
    principal: str
    digest: str
    size: int
    made_by: str
    since: float
    stored: int = 0


class ResultFiles:
    """The results in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def _path(self, ref: str) -> str:
        return os.path.join(self._directory, ref + SUFFIX)

    def write(self, record: ResultRecord, original: bytes) -> int:
        """Write a result, and return the size of its file.

        :raise ConfigError: the file cannot be written.
        """
        home_files.make_directory(self._directory)
        head = msgspec.json.encode({"format": FORMAT, **asdict(record)})
        data = head + b"\n" + zlib.compress(original, LEVEL)
        home_files.keep(self._path(record.ref), data, lasting=False)
        return len(data)

    def read(self, record: ResultRecord) -> bytes:
        """Return the whole of a result.

        :raise OSError: the file cannot be read, or is not what was written.
        """
        try:
            data = home_files.read(self._path(record.ref), FILE_LIMIT)
            inflate = zlib.decompressobj()
            original = inflate.decompress(data[data.index(b"\n") + 1 :], record.size + 1)
        except (ConfigError, ValueError, zlib.error) as why:
            raise OSError(str(why)) from why
        if len(original) != record.size or not inflate.eof:
            raise OSError("the file is damaged")
        return original

    def has(self, ref: str) -> bool:
        """True if the file of a result exists; its content is not checked."""
        return os.path.isfile(self._path(ref))

    def remove(self, ref: str) -> None:
        """Remove a result from the disk."""
        with suppress(OSError):
            home_files.remove(self._path(ref))

    def found(self) -> list[ResultRecord]:
        """Return the results on the disk, the oldest first; damaged and half-written ones are removed."""
        records = [each for each in map(self._head, home_files.names(self._directory)) if each is not None]
        return sorted(records, key=lambda each: each.since)

    def _head(self, name: str) -> ResultRecord | None:
        path = os.path.join(self._directory, name)
        if not name.endswith(SUFFIX):
            if name.startswith(".") and SUFFIX in name:
                with suppress(OSError):
                    os.unlink(path)
            return None
        try:
            with os.fdopen(home_files.open_to_read(path), "rb") as stream:
                members = msgspec.json.decode(stream.readline(HEAD_LIMIT))
                stored = os.fstat(stream.fileno()).st_size
            if members.pop("format") > FORMAT:
                return None  # of a newer gateway, which may come back
            record = ResultRecord(**members | {"stored": stored})
            is_sound = record.ref + SUFFIX == name and record.size > 0
        except (ConfigError, OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError):
            is_sound = False
        if not is_sound:
            with suppress(OSError):
                os.unlink(path)
            return None
        return record
