"""Checks of the ledger of clients' files: its integrity, and its agreement with the files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, Repair, fine, note, problem, some
from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.files import FileContents
from mcpgateway.clientfiles.formats.client_format import ClientEntry, EntryKind
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.clientfiles.replacement import leftovers
from mcpgateway.config.document import visible
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system.paths import HOME_VARIABLE

SYNC_S = 120.0

NONE = note("ledger.none", "No entry of any client's file was ever enrolled by it.")
UNREADABLE = problem(
    "ledger.unreadable",
    "The ledger cannot be read, so nothing can be restored from it.",
    "look at the owner and the mode of the files in <home>/ledger, or use the release that wrote it",
)
DAMAGED = problem(
    "ledger.damaged",
    "The ledger or its backup, or both, are missing or have damaged records.",
    f"{cli('doctor --fix')} restores one from the other",
    undo="the damaged copy is kept beside the ledger, with .damaged- in its name",
)
UNSETTLED = problem(
    "ledger.unsettled",
    "A program was killed while it changed a client's file, and has left the change without an outcome, or files beside"
    " the client's.",
    f"{cli('doctor --fix')} finds out by the file's digest what became of it, and clears up",
    undo="the former versions of the client's file are kept in the ledger's directory",
)


def ledger(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check the integrity of the ledger."""
    held = Ledger(world.home)
    repair = Repair(
        "settle the ledger, and restore it from its backup or the backup from it",
        partial(_recover, world.home),
    )
    try:
        records = held.read()
    except (ConfigError, OSError) as why:
        yield UNREADABLE.found(f"the ledger cannot be read: {why}")
        return
    unsettled = records.unsettled
    for each in records.problems:
        yield DAMAGED.found(f"the ledger: {each}", repair=repair)
    left = [each.path for path in records.files for each in leftovers(held.disk, path)]
    if unsettled:
        yield UNSETTLED.found(f"changes without an outcome: {some(map(visible, unsettled))}", repair=repair)
    if left:
        yield UNSETTLED.found(f"left behind: {some(map(visible, left))}", repair=repair)
    if not records.files and not records.problems and not unsettled:
        yield NONE.found("the ledger is empty: no client's entry was replaced")
    elif not records.problems and not unsettled and not left:
        entries = sum(len(each.entries) for each in records.files.values())
        lines = [f"◆ {visible(path)}: {_summary(each)}" for path, each in records.files.items()]
        yield fine(
            "ledger",
            f"the ledger is whole ({entries} entries of {len(records.files)} files, with a backup)",
            lines,
        )


def _summary(adopted: FileRecord) -> str:
    names = some(sorted({each.name or "all" for each in adopted.entries.values()}))
    return f"{names} ({adopted.suspended or adopted.mode})"


def _recover(home: str) -> None:
    Ledger(home).recover()


REVERTED = problem(
    "entries.reverted",
    "An entry that was enrolled is the client's own again, as after another program wrote an old version.",
    f"{cli('doctor --fix')}, or {cli('clients apply')}, enrols it again",
    undo=f"{cli('clients undo --server NAME')} makes the entry the client's own again",
)
REMOVED = note("entries.removed", "An entry that was enrolled was removed by the user; it stays removed.")
GONE = note(
    "entries.file",
    "A file with entries that were enrolled is not there any more.",
    f"{cli('clients undo')} forgets it",
)
LEFT = problem(
    "entries.suspended",
    "The clients' files are restored for now, and an entry in a file still uses the gateway.",
    f"{cli('clients undo')}, or {cli('start')}",
)
UNKNOWN = note(
    "entries.unknown",
    "An entry uses the gateway, and the ledger does not know what stood there before.",
    f"nothing, if you wrote it yourself; else {cli('start')} finds out from what it remembers of its launches",
)


def entries(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the ledger agrees with the files."""
    if world.records is None:
        return
    by_path = {os.path.realpath(each.site.path): each for each in world.seen}
    found: list[DoctorFinding] = []
    number = 0
    for path, adopted in world.records.files.items():
        seen = by_path.pop(path, None)
        if seen is None and world.clients:
            continue
        number += len(adopted.entries)
        found += _disagreements(world, path, adopted, seen)
    for seen in by_path.values():
        found += _unknown(seen, {})
    yield from found or [fine("entries", f"the ledger agrees with the files ({number} entries)")]


def _disagreements(
    world: DoctorContext, path: str, adopted: FileRecord, seen: FileContents | None
) -> Iterator[DoctorFinding]:
    if seen is None or not os.path.lexists(path):
        yield GONE.found(f"{visible(path)} is not there any more")
        return
    if seen.trouble:
        return  # another check has reported it
    listed = {each.key_path: each for each in seen.listed}
    if adopted.suspended:
        ours = [each.title for each in listed.values() if each.kind is EntryKind.ENROLLED]
        if ours:
            text = f"{visible(path)}: {some(map(visible, ours))} still use the gateway"
            yield LEFT.found(f"{text}, which is {adopted.suspended}")
        return
    reverted, removed = _changed(adopted, listed)
    if reverted:
        repair = Repair(f"enrol the entries of {path} again", partial(_sync, world.home))
        text = f"{visible(path)}: {some(map(visible, reverted))} no longer use the gateway"
        yield REVERTED.found(text, repair=repair)
    if removed:
        yield REMOVED.found(f"{visible(path)}: {some(map(visible, removed))} were removed")
    yield from _unknown(seen, adopted.entries)


def _changed(
    adopted: FileRecord, listed: Mapping[tuple[str, ...], ClientEntry]
) -> tuple[list[str], list[str]]:
    """Return the titles of entries that are the client's own again, and of those that are missing."""
    served = {each.served for each in listed.values() if each.kind is EntryKind.ENROLLED}
    reverted, removed = [], []
    for key_path, enrolled in adopted.entries.items():
        if enrolled.replaced.ours is None:
            continue  # one of the originals that the one entry for all servers replaces
        now = listed.get(key_path)
        if now is None and enrolled.name not in served:
            removed.append(enrolled.replaced.title)
        elif now is not None and now.kind is EntryKind.PROGRAM:
            reverted.append(enrolled.replaced.title)
    return reverted, removed


def _unknown(seen: FileContents, known: Mapping[tuple[str, ...], object]) -> Iterator[DoctorFinding]:
    served = {getattr(each, "name", "") for each in known.values()}
    ours = [each for each in seen.listed if each.kind is EntryKind.ENROLLED]
    strange = [each.title for each in ours if each.key_path not in known and each.served not in served]
    if strange:
        yield UNKNOWN.found(f"{visible(seen.site.path)}: {some(map(visible, strange))} of unknown origin")


def _sync(home: str) -> None:
    """Run the program that makes the files agree with the ledger, as the gateway itself does.

    :raise ConfigError: it has failed.
    """
    environ = {**os.environ, HOME_VARIABLE: home}
    argv = [sys.executable, "-P", "-m", "mcpgateway.cli.local", "clients", "sync"]
    try:
        done = subprocess.run(argv, env=environ, capture_output=True, timeout=SYNC_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as why:
        raise ConfigError(f"clients sync: {type(why).__name__}") from why
    if done.returncode:
        raise ConfigError(f"clients sync: {done.stderr.decode(errors='replace').strip()[-500:]}")


FIRST = (Check("ledger", "the ledger", ledger, (NONE, UNREADABLE, DAMAGED, UNSETTLED)),)
CHECKS = (Check("entries", "ledger and files", entries, (REVERTED, REMOVED, GONE, LEFT, UNKNOWN)),)
