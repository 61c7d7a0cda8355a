"""A journal that is kept twice: records are added at its end, and each copy is repaired from the other.

A line is ``{"sum":"<16 hexadecimal digits>","v":1,"n":<number>,"record":{…}}``, and the sum is of what follows it.  A
last line without an end was cut short, and was never there.  The numbers tell which records a copy lacks, so it does
not matter that the two are never written at the same moment.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, evolve, field, frozen

from mcpgateway.clientfiles.backups import (
    check_regular,
    digest_of,
    read_file,
    sync_directory,
    write_all,
    write_new,
)
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

COPIES = ("journal.jsonl", "shadow.jsonl")
FORMAT = 1
FILE_LIMIT = 128 * 1_048_576
SUM_CHARACTERS = 16
HEAD = b'{"sum":"'
SUM_END = len(HEAD) + SUM_CHARACTERS
ASIDE = ".damaged-"
ASIDE_FILES = 10

Record = Mapping[str, Any]


@frozen
class Copy:
    """One of the two, as it was read.

    :ivar lines: those that are whole, by their numbers.
    :ivar damage: how many lines are not.
    :ivar is_torn: the last line has no end.
    """

    lines: Mapping[int, bytes] = field(factory=dict, repr=False)
    damage: int = 0
    is_torn: bool = False
    is_there: bool = False


@define(eq=False)
class Twice:
    """The journal in a directory; only who has that directory locked may write it.

    :ivar problems: what was found damaged by the last reading, as sentences.
    """

    directory: str
    disk: Disk = field(default=DISK, repr=False)
    problems: tuple[str, ...] = ()
    size: int = 0
    _next: int = 1

    def read(self) -> dict[int, Record]:
        """Every record that is whole in either copy, in order.

        :raise ConfigError: it was written by a newer release, or cannot be read.
        """
        return self._united([self._read(name) for name in COPIES])

    def load(self) -> dict[int, Record]:
        """The same, and both copies are whole afterwards.

        :raise ConfigError: as for `read`, or they cannot be written.
        """
        copies = [self._read(name) for name in COPIES]
        records = self._united(copies)
        everything = {**copies[1].lines, **copies[0].lines}
        for name, copy in zip(COPIES, copies, strict=True):
            if copy.is_torn or copy.damage or copy.lines.keys() != everything.keys():
                if copy.damage:
                    self._put_aside(name)
                self._write(name, b"".join(everything[number] for number in sorted(everything)))
        return records

    def append(self, record: Record) -> int:
        """Add a record to both copies, wait until it is on the disk, and return its number.

        :raise ConfigError: it cannot be written.
        """
        number, self._next = self._next, self._next + 1
        line = _line(number, record)
        for name in COPIES:
            self._append(name, line)
        self.size += len(line)
        return number

    def replace(self, records: Iterable[Record]) -> dict[int, Record]:
        """Let it hold these and no others; the numbers go on.

        :raise ConfigError: it cannot be written; then it holds what it held.
        """
        numbered = dict(enumerate(records, self._next))
        data = b"".join(_line(number, record) for number, record in numbered.items())
        for name in COPIES:
            self._write(name, data)
        self._next += len(numbered)
        self.size = len(data)
        return numbered

    def _united(self, copies: Sequence[Copy]) -> dict[int, Record]:
        everything = {**copies[1].lines, **copies[0].lines}
        self._next = max(everything, default=0) + 1
        self.size = sum(map(len, everything.values()))
        self.problems = tuple(self._problems(copies, sorted(everything)))
        return {number: json.loads(everything[number])["record"] for number in sorted(everything)}

    def _problems(self, copies: Sequence[Copy], numbers: Sequence[int]) -> Iterable[str]:
        for name, copy in zip(COPIES, copies, strict=True):
            if copy.damage:
                yield f"{self._path(name)}: {copy.damage} damaged lines"
        if any(not copy.is_there for copy in copies) and numbers:
            yield f"{self.directory}: one of the two copies of the ledger is gone"
        if numbers and numbers[-1] - numbers[0] >= len(numbers):
            yield f"{self.directory}: records of the ledger are damaged in both of its copies"

    def _read(self, name: str) -> Copy:
        try:
            data = read_file(self.disk, self._path(name), FILE_LIMIT)
        except (FileNotFoundError, NotADirectoryError):
            return Copy()
        except OSError as why:
            raise home_files.refused(self._path(name), "read", why) from why
        *whole, rest = data.split(b"\n")
        lines: dict[int, bytes] = {}
        for each in whole:
            number = _number(each, self._path(name))
            if number:
                lines[number] = each + b"\n"
        copy = Copy(lines, is_torn=bool(rest), is_there=True)
        return evolve(copy, damage=len(whole) - len(lines))

    def _append(self, name: str, line: bytes) -> None:
        path = self._path(name)
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = self.disk.open(path, flags)
            try:
                check_regular(self.disk, descriptor, path)
                status = self.disk.fstat(descriptor)
                try:
                    write_all(self.disk, descriptor, line)
                    self.disk.sync(descriptor)
                except OSError:
                    with suppress(OSError):  # half a line at the end is passed over anyway
                        self.disk.truncate(descriptor, status.st_size)
                    raise
            finally:
                self.disk.close(descriptor)
            if not status.st_size:
                sync_directory(self.disk, self.directory)
        except OSError as why:
            raise _unwritten(path, why) from why

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        temporary = f"{path}.new"
        try:
            with suppress(FileNotFoundError):
                self.disk.unlink(temporary)
            write_new(self.disk, temporary, data)
            self.disk.rename(temporary, path)
            sync_directory(self.disk, self.directory)
        except OSError as why:
            with suppress(OSError):
                self.disk.unlink(temporary)
            raise _unwritten(path, why) from why

    def _put_aside(self, name: str) -> None:
        """Keep a damaged copy, for whoever wants to look at it."""
        path = self._path(name)
        with suppress(OSError):
            data = read_file(self.disk, path, FILE_LIMIT)
            aside = f"{path}{ASIDE}{digest_of(data)[:SUM_CHARACTERS]}"
            with suppress(FileExistsError):
                self.disk.link(path, aside)
        with suppress(OSError):
            found = [
                os.path.join(self.directory, each)
                for each in self.disk.names(self.directory)
                if ASIDE in each
            ]
            found.sort(key=lambda each: self.disk.stat(each).st_mtime_ns, reverse=True)
            for each in found[ASIDE_FILES:]:
                self.disk.unlink(each)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def _line(number: int, record: Record) -> bytes:
    rest = json.dumps({"v": FORMAT, "n": number, "record": record}, separators=(",", ":"))[1:].encode("ascii")
    return b'%s%s",%s\n' % (HEAD, _sum(rest), rest)


def _sum(rest: bytes) -> bytes:
    return hashlib.sha256(rest).hexdigest()[:SUM_CHARACTERS].encode("ascii")


def _number(line: bytes, file: str) -> int:
    """The number of a line, 0 of one that is damaged.

    :raise ConfigError: a newer release has written it.
    """
    rest = line[SUM_END + 2 :]
    if line[: len(HEAD)] != HEAD or line[len(HEAD) : SUM_END + 2] != _sum(rest) + b'",':
        return 0
    try:
        found = json.loads(line)
        if found["v"] > FORMAT:
            raise ConfigError(
                f"{file}: was written by a newer release of mcpgateway (format {found['v']}, this one knows"
                f" {FORMAT}); use that release, or one newer still. Nothing was changed"
            )
        number = found["n"]
    except (ValueError, KeyError, TypeError):
        return 0
    return number if isinstance(number, int) and "record" in found else 0


def _unwritten(path: str, why: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: cannot be written, so no client's file is changed: {why.strerror or why}",
        "free some space or repair its permissions, and try again",
    )
