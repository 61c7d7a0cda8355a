"""Carry out plans for clients' files, all of them or none, and restore enrolled files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from attrs import define, evolve, field

from mcpgateway.clientfiles import recover
from mcpgateway.clientfiles.additions import with_present
from mcpgateway.clientfiles.disk import DISK
from mcpgateway.clientfiles.enrol_edit import ChangedEntry, EnrolEdit
from mcpgateway.clientfiles.enrolment_records import EnrolledEntry, FileRecord, KeyPath, unwound
from mcpgateway.clientfiles.files import FileLocation
from mcpgateway.clientfiles.formats import rewrite
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest, FilePlan, UntouchedEntry
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.clientfiles.report import FileReport, Report, in_place, reason
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals, files
from mcpgateway.system.approvals import REPOSITORY_FILE

NOTHING = "{}\n"  # in JSON
NOT_THERE = "the file is not there any more"


@contextmanager
def ledger_locked(machine: Machine) -> Iterator[None]:
    """Lock clients' files and the ledger against other programs; settle the changes of killed programs first.

    :raise ConfigError: another program has the ledger for too long, or the ledger cannot be used.
    """
    with machine.ledger.locked():
        machine.ledger.recover()
        machine.look_again()
        yield


def carry_out(
    machine: Machine, plans: Sequence[FilePlan], wanted: EnrolRequest, *, is_all_or_none: bool = True
) -> Report:
    """Change the files; where one cannot be changed, restore those before it.

    :param is_all_or_none: false to keep the other files changed where one cannot be.
    """
    done: list[FileChange] = []
    reports: list[FileReport] = []
    for each in plans:
        record = machine.record_of(each.site.path)
        is_news = each.is_change or (record is not None and record.suspended)
        if each.trouble or not is_news:
            reports.append(untouched(each))
            continue
        adoption = EnrolEdit(machine, each.site, each.to_enrol, each.mode, wanted.helper)
        former = FileChange(machine, each.site, record, adoption)
        try:
            report = former.carry_out(each)
        except (ConfigError, FileNotFoundError) as why:
            if not is_all_or_none:
                reports.append(evolve(untouched(each), error=reason(each.site, why)))
                continue
            return _rolled_back(each, done, reports, reason(each.site, why))
        done.append(former)
        reports.append(report)
    for each in plans:
        approve(machine, each.site)
    return Report(tuple(reports))


@define(eq=False, repr=False)
class FileChange:
    """The change that enrols one file, and that restores it if another file cannot be changed.

    :ivar record: its record before.
    :ivar create: the file is made where it does not exist.
    """

    machine: Machine
    site: FileLocation
    record: FileRecord | None
    adoption: EnrolEdit
    create: bool = False
    _before: str = field(default="", repr=False)
    _after: str | None = field(default=None, repr=False)

    def carry_out(self, planned: FilePlan) -> FileReport:
        """Change the file.

        :raise FileNotFoundError: the file does not exist, and is not to be made.
        :raise ConfigError: the file cannot be changed, and is unchanged.
        """
        changed = self.machine.ledger.change(
            self.site.path, self._edit, lock=self.site.lock, create=self.create
        )
        return FileReport.of(
            self.site,
            changed=changed is not None,
            mode=self.adoption.mode,
            adopted=dict(self.adoption.taken),
            renewed=dict(self.adoption.renewed),
            changes=tuple(self.adoption.changes),
            left=planned.left,
            uncommented=self.adoption.uncommented,
            in_place=in_place(changed),
        )

    def _edit(self, text: str, record: FileRecord | None) -> EditResult:
        made = self.adoption(text, record)
        self._before, self._after = text, made.text
        return made

    def take_back(self) -> None:
        """Restore the file as it was; where another program has written it since, restore the enrolled entries."""
        self.machine.ledger.change(self.site.path, self._back, lock=self.site.lock)

    def _back(self, text: str, record: FileRecord | None) -> EditResult:
        if text == self._after:
            return EditResult(self._before, self.record)
        given = RestoreEdit(self.machine, self.site, tuple(self.adoption.taken.values()))(text, record)
        return EditResult(given.text, given.record)


def _rolled_back(
    failed: FilePlan, done: Sequence[FileChange], reports: Sequence[FileReport], why: str
) -> Report:
    errors = {}
    for each in reversed(done):
        try:
            each.take_back()
        except (ConfigError, FileNotFoundError) as trouble:
            errors[each.site.path] = reason(each.site, trouble)
    files_ = [
        evolve(
            each,
            changed=bool(errors.get(each.path)),
            adopted={},
            renewed={},
            changes=(),
            error=errors.get(each.path, ""),
        )
        for each in reports
    ]
    return Report((*files_, evolve(untouched(failed), error=why)), rolled_back=why)


def untouched(planned: FilePlan) -> FileReport:
    """Return the report on a file that stays as it is."""
    return FileReport.of(
        planned.site,
        mode=planned.mode,
        left=planned.left,
        error=planned.trouble,
    )


def approve(machine: Machine, site: FileLocation) -> None:
    """Approve a repository's file that its user has enrolled."""
    if not site.project or os.path.basename(site.path) != REPOSITORY_FILE:
        return
    path = approvals.target(site.path)
    digest = read_repository(path, machine.home).digest  # of the file without enrolled entries
    if approvals.read(machine.home).get(path) != digest:
        files.make_home(machine.home)
        approvals.approve(machine.home, path, digest, DISK.now())


# Restoring


@define(eq=False, repr=False)
class RestoreEdit:
    """The edit that restores the entries of a file.

    :param servers: titles or names of the entries to restore; none means all.
    :param why: the reason for which the file is restored for now, and is to be enrolled again later; "" for good.
    :param to: the text and the record to which the file returns, whatever it holds now; None to restore its entries.
    :ivar given: the restored text, and the fate of each entry.
    :ivar is_exact: the file is as it was before it was enrolled, to the byte.
    :ivar again: the restored entries that had been rebuilt, with the source of each.
    :ivar restored: the restored entries; those of one title in two projects are two.  The single entry for all servers
        is none.
    :ivar removed: the titles of those of them that the file did not have before.
    :ivar changes: the entries that use the gateway in the version to which the file returns.
    """

    machine: Machine
    site: FileLocation
    servers: Collection[str] = ()
    why: str = ""
    to: EditResult | None = None
    given: rewrite.RestoredText = field(factory=lambda: rewrite.RestoredText(""), repr=False)
    is_exact: bool = False
    again: dict[str, str] = field(factory=dict)
    restored: tuple[ChangedEntry, ...] = ()
    removed: tuple[str, ...] = ()
    changes: tuple[ChangedEntry, ...] = ()

    def __call__(self, text: str, record: FileRecord | None) -> EditResult:
        """Return the edited text for a text and the record of its file.

        :raise ConfigError: the text is malformed, or cannot be changed.
        """
        self.given, self.is_exact, self.again, self.restored = rewrite.RestoredText(text), False, {}, ()
        if self.to is not None:
            return self._returned(self.to, record)
        if record is None:
            return EditResult(text, None)
        if record.suspended:
            return EditResult(text, self._suspended(record))
        chosen = {key_path: each for key_path, each in record.entries.items() if self._is_meant(each)}
        rest = {key_path: each for key_path, each in record.entries.items() if key_path not in chosen}
        if not any(each.name for each in rest.values()):
            chosen, rest = dict(record.entries), {}  # the single entry for all has no original
        exact = None if rest else unwound(record, text)
        if exact is not None:
            titles = dict.fromkeys(each.replaced.title for each in chosen.values())
            # A file that was made for the gateway's entries stays, and a client can read it.
            is_made = not exact and self.site.path.endswith(".json")
            self.given = rewrite.RestoredText(
                NOTHING if is_made else exact, tuple(titles), key_paths=tuple(chosen)
            )
            self.is_exact = not is_made
        else:
            replaced = [each.replaced for each in chosen.values()]
            self.given = rewrite.give_back(
                text, self.site.path, self.site.dialect, self.machine.base, replaced
            )
        self.again = self._again([each.replaced for each in chosen.values()])
        self.is_exact = self.is_exact and not self.again
        self.restored = self._changed(
            {
                key_path: each
                for key_path, each in chosen.items()
                if key_path in self.given.key_paths and each.replaced.title not in self.again
            }
        )
        paths = self.given.key_paths
        self.removed = tuple(
            each.replaced.title
            for key_path, each in chosen.items()
            if each.name and key_path in paths and each.replaced.former is None
        )
        if self.why:
            kept = with_present(self.machine, self.site, text, record)
            return EditResult(self.given.text, self._suspended(kept))
        return EditResult(self.given.text, evolve(record, entries=rest) if rest else None)

    def _returned(self, to: EditResult, record: FileRecord | None) -> EditResult:
        before, after = (each.entries if each is not None else {} for each in (record, to.record))
        self.given, self.is_exact = rewrite.RestoredText(to.text), to.record is None
        self.restored = self._changed({path: each for path, each in before.items() if path not in after})
        self.changes = self._changed(after)
        return to

    def _changed(self, entries: Mapping[KeyPath, EnrolledEntry]) -> tuple[ChangedEntry, ...]:
        project_of = self.site.dialect.project_of
        return tuple(
            ChangedEntry(each.replaced.title, each.name, project_of(key_path))
            for key_path, each in entries.items()
            if each.name
        )

    def _again(self, given: Sequence[ReplacedEntry]) -> dict[str, str]:
        home, path = self.machine.home, self.site.path
        found = {each.title: recover.source_of(home, path, each.key_path, each.former) for each in given}
        return {title: source for title, source in found.items() if source and title in self.given.restored}

    def _suspended(self, record: FileRecord) -> FileRecord | None:
        return evolve(record, suspended=self.why) if self.why else None

    def _is_meant(self, each: EnrolledEntry) -> bool:
        return not self.servers or each.name in self.servers or each.replaced.title in self.servers


def restore_file(machine: Machine, site: FileLocation, back: RestoreEdit) -> FileReport:
    """Restore a file by its record in the ledger."""
    was_approved = is_approved(machine, site)
    report = FileReport.of(site)
    try:
        changed = machine.ledger.change(site.path, back, lock=site.lock)
    except FileNotFoundError:
        if not back.why:
            machine.ledger.forget(site.path)
        return evolve(report, left=(UntouchedEntry("", NOT_THERE),))
    except ConfigError as why:
        return evolve(report, error=reason(site, why))
    if was_approved and not back.why and not back.servers and not back.changes:
        approvals.revoke(machine.home, approvals.target(site.path))
    given = back.given
    return evolve(
        report,
        changed=changed is not None,
        changes=back.changes,
        restored=tuple(dict.fromkeys(each.title for each in back.restored)),
        restored_entries=back.restored,
        removed=back.removed,
        rebuilt=back.again,
        gone=given.gone,
        kept=given.modified,
        uncommented=given.uncommented,
        exact=back.is_exact,
        in_place=in_place(changed),
    )


def is_approved(machine: Machine, site: FileLocation) -> bool:
    """True if the user has approved a repository's file as it is now."""
    if not site.project or os.path.basename(site.path) != REPOSITORY_FILE:
        return False
    path = approvals.target(site.path)
    try:
        return approvals.read(machine.home).get(path) == read_repository(path, machine.home).digest
    except (FileNotFoundError, ConfigError):
        return False
