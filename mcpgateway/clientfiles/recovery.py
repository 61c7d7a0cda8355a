"""The outcome of a change of a file by a program that was killed before it could record it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from itertools import zip_longest
from typing import Any

from attrs import evolve, field, frozen

from mcpgateway.clientfiles.backups import Backups, digest_of, read_file, sync_directory
from mcpgateway.clientfiles.disk import Disk
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, Intent, KeyPath
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.replacement import leftovers, overwrite, sweep
from mcpgateway.config.edit.edits import at, same
from mcpgateway.errors import ConfigError

BLOCK_BYTES = 4096  # a page: the system writes these one by one


class ChangeOutcome(Enum):
    """The outcome of a change."""

    DONE = "it was changed"
    UNDONE = "it was not changed"
    TAKEN_BACK = "it was changed over another program's edit, and has that edit again"
    REPAIRED = "it was half-written, and is as it was"
    BY_VALUE = "another program has changed it since"
    UNKNOWN = "it cannot be read"


@frozen
class SettledChange:
    """A change whose outcome is known.

    :ivar record: the record of the file from now on.
    """

    path: str
    outcome: ChangeOutcome
    record: FileRecord | None = field(repr=False)


def judged(disk: Disk, former: FileRecord | None, intents: Sequence[Intent]) -> SettledChange:
    """Return the outcome of the changes of one file, by reading it only.

    :param former: its record before them.
    :param intents: the intents, at least one, in order.
    """
    path = intents[-1].path
    try:
        data = read_file(disk, path)
    except FileNotFoundError:
        data = b""
    except OSError:
        return SettledChange(path, ChangeOutcome.UNKNOWN, _by_value(None, former, intents[-1].record))
    digest = digest_of(data)
    for each in reversed(intents):
        if each.after == digest:
            return SettledChange(path, ChangeOutcome.DONE, each.record)
    if any(each.before == digest for each in intents):
        return SettledChange(path, ChangeOutcome.UNDONE, former)
    return SettledChange(
        path, ChangeOutcome.BY_VALUE, _by_value(_held(data, path), former, intents[-1].record)
    )


def settled(backups: Backups, former: FileRecord | None, intents: Sequence[Intent]) -> SettledChange:
    """Finish or undo the unfinished changes of a file, and return their outcome; every displaced version is kept.

    :raise OSError: the file cannot be repaired.
    """
    found = judged(backups.disk, former, intents)
    if found.outcome is ChangeOutcome.DONE and _is_taken_back(backups, intents, found.path):
        found = SettledChange(found.path, ChangeOutcome.TAKEN_BACK, former)
    if found.outcome is ChangeOutcome.BY_VALUE and _is_repaired(backups, intents[-1]):
        found = SettledChange(found.path, ChangeOutcome.REPAIRED, former)
    sweep(backups, found.path)
    return found


def _is_taken_back(backups: Backups, intents: Sequence[Intent], path: str) -> bool:
    """Undo an exchange that has displaced another program's edit, as the killed program was about to do."""
    disk = backups.disk
    landed = digest_of(read_file(disk, path))
    before = {each.before for each in intents if each.after == landed}
    for each in leftovers(disk, path):
        if not each.is_whole or not landed.startswith(each.mark):
            continue
        displaced = digest_of(read_file(disk, each.path))
        if displaced in before or displaced.startswith(each.mark):
            continue
        with suppress(OSError):
            disk.exchange(each.path, path)
            if digest_of(read_file(disk, each.path)) != landed:
                disk.exchange(each.path, path)  # another program has just written it
                return False
            sync_directory(disk, os.path.dirname(path))
            return True
    return False


def _is_repaired(backups: Backups, intent: Intent) -> bool:
    """Restore a file whose writing in place was cut short; both its versions are kept only for such a writing."""
    before, after = backups.get(intent.before), backups.get(intent.after)
    if before is None or after is None:
        return False
    data = read_file(backups.disk, intent.path)
    if not is_mixture(data, before, after):
        return False
    backups.put(data)
    overwrite(backups.disk, intent.path, before)
    return True


def is_mixture(data: bytes, one: bytes, other: bytes) -> bool:
    """True if each byte of the data is from one of two versions."""
    if not min(len(one), len(other)) <= len(data) <= max(len(one), len(other)):
        return False
    blocks = range(0, len(data), BLOCK_BYTES)
    return all(
        _is_mixed(*(each[start : start + BLOCK_BYTES] for each in (data, one, other))) for start in blocks
    )


def _is_mixed(part: bytes, mine: bytes, theirs: bytes) -> bool:
    if part in (mine[: len(part)], theirs[: len(part)]):
        return True
    return all(each in pair for each, *pair in zip_longest(part, mine[: len(part)], theirs[: len(part)]))


def _held(data: bytes, path: str) -> Any:
    """Return the content of a file; None where it is malformed."""
    try:
        return syntax.read(syntax.decoded(data, path), path)
    except ConfigError:
        return None


def _by_value(held: Any, former: FileRecord | None, latter: FileRecord | None) -> FileRecord | None:
    """Return the record of a file that has neither the version before nor the one after a change.

    A superfluous original in the record does no harm, since only enrolled entries are ever restored.  So an entry is
    dropped only where its original stands in the file.
    """
    standing = [each for each in (latter, former) if each is not None and each.is_standing]
    entries: dict[KeyPath, EnrolledEntry] = {}
    for key_path in dict.fromkeys(key_path for each in standing for key_path in each.entries):
        choices = [each.entries[key_path] for each in standing if key_path in each.entries]
        value = at(held, key_path)
        if held is None or not same(value, choices[0].replaced.former):
            entries[key_path] = next(
                (each for each in choices if same(value, each.replaced.ours)), choices[0]
            )
    if standing and entries:
        return evolve(standing[0], entries=entries, chain=())
    # The file has no enrolled entry, so it counts as restored.
    resting = [each for each in (latter, former) if each is not None and each.suspended]
    return resting[0] if resting else None
