"""The ledger of earlier releases: a journal in two copies, which is read, taken over, and never written.

A line is ``{"sum":"<16 hexadecimal digits>","v":1,"n":<number>,"record":{…}}``, where the sum is of the text that
follows it.  A last line without a line end was cut short.  A record that one copy lacks is in the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mcpgateway.clientfiles import enrolment_records
from mcpgateway.clientfiles.backups import read_file
from mcpgateway.clientfiles.disk import Disk
from mcpgateway.clientfiles.enrolment_records import FileRecord, Intent, LedgerContents
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

COPIES = ("shadow.jsonl", "journal.jsonl")  # the second counts where both have a record
FORMAT = 1
FILE_LIMIT = 128 * 1_048_576
SUM_CHARACTERS = 16
HEAD = b'{"sum":"'
SUM_END = len(HEAD) + SUM_CHARACTERS


def read(directory: str, disk: Disk) -> LedgerContents:
    """Read every record that is whole in either copy; the revision is 0 where there is none.

    :raise ConfigError: the journal cannot be read, or is malformed.
    """
    records: dict[int, Mapping[str, Any]] = {}
    for name in COPIES:
        records |= _records(os.path.join(directory, name), disk)
    contents = LedgerContents(revision=1 if records else 0)
    for number in sorted(records):
        try:
            _take(contents, records[number])
        except (KeyError, TypeError, ValueError) as why:
            raise ConfigError(
                f"{directory}: record {number} of the ledger is not as a release wrote it"
            ) from why
    return contents


def remove(directory: str, disk: Disk) -> None:
    """Remove the journal, which holds secrets, once the database has all of its records."""
    for name in COPIES:
        with suppress(OSError):
            disk.unlink(os.path.join(directory, name))


def _records(path: str, disk: Disk) -> dict[int, Mapping[str, Any]]:
    try:
        lines = read_file(disk, path, FILE_LIMIT).split(b"\n")[:-1]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as why:
        raise home_files.refused(path, "read", why) from why
    found: dict[int, Mapping[str, Any]] = {}
    for line in lines:
        rest = line[SUM_END + 2 :]
        if line[: SUM_END + 2] != HEAD + _sum(rest) + b'",':
            continue
        row = json.loads(line)
        if row["v"] > FORMAT:
            raise ConfigError(
                f"{path}: was written by another release of mcpgateway (format {row['v']}, this one knows {FORMAT});"
                " use that release, or a later one. Nothing was changed"
            )
        found[row["n"]] = row["record"]
    return found


def _sum(rest: bytes) -> bytes:
    return hashlib.sha256(rest).hexdigest()[:SUM_CHARACTERS].encode("ascii")


def _take(contents: LedgerContents, record: Mapping[str, Any]) -> None:
    match record:
        case {"kind": "intent", "path": path, "before": before, "after": after, "adopted": adopted}:
            contents.begin(Intent(path, before, after, _adopted(adopted)))
        case {"kind": "done", "path": path}:
            # An intent that is damaged in both copies is unknown, and the former record stays.
            if intents := contents.pending.get(path):
                contents.say(path, intents[-1].record)
        case {"kind": "says", "path": path, "adopted": adopted}:
            contents.say(path, _adopted(adopted))
        case {"kind": "opted-out", "names": names}:
            contents.opted_out = frozenset(names)


def _adopted(record: Mapping[str, Any] | None) -> FileRecord | None:
    return None if record is None else enrolment_records.read(record)
