"""Plans for clients' files are carried out: all of them, or none.  What was enrolled is restored."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from attrs import define, evolve, field

from mcpgateway.clientfiles import recover
from mcpgateway.clientfiles.disk import DISK
from mcpgateway.clientfiles.enrolment_records import Adopted, Enrolled, unwound
from mcpgateway.clientfiles.files import Site
from mcpgateway.clientfiles.formats import rewrite
from mcpgateway.clientfiles.formats.rewrite import Replaced
from mcpgateway.clientfiles.ledger import Rewritten
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import Adoption, FilePlan, Left, WantedServer
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.clientfiles.report import FileReport, Report, in_place, said
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals, files
from mcpgateway.system.approvals import REPOSITORY_FILE

NOTHING = "{}\n"  # in JSON
NOT_THERE = "the file is not there any more"


@contextmanager
def alone(machine: Machine) -> Iterator[None]:
    """Nobody else changes clients' files or the ledger meanwhile, and what killed programs have left is settled.

    :raise ConfigError: another program has the ledger for too long, or it cannot be used.
    """
    with machine.ledger.locked():
        machine.ledger.recover()
        machine.look_again()
        yield


def carried_out(
    machine: Machine, plans: Sequence[FilePlan], wanted: WantedServer, *, is_all_or_none: bool = True
) -> Report:
    """Change the files; where one cannot be, those that were changed before it are restored.

    :param is_all_or_none: false where each file is for itself.
    """
    done: list[FileChange] = []
    reports: list[FileReport] = []
    for each in plans:
        adopted = machine.record_of(each.site.path)
        is_news = each.is_change or (adopted is not None and adopted.suspended)
        if each.trouble or not is_news:
            reports.append(untouched(each))
            continue
        adoption = Adoption(machine, each.site, each.wishes, each.mode, wanted.helper)
        former = FileChange(machine, each.site, adopted, adoption)
        try:
            report = former.carried_out(each)
        except (ConfigError, FileNotFoundError) as why:
            if not is_all_or_none:
                reports.append(evolve(untouched(each), error=said(each.site, why)))
                continue
            return _rolled_back(each, done, reports, said(each.site, why))
        done.append(former)
        reports.append(report)
    for each in plans:
        _approve(machine, each.site)
    return Report(tuple(reports))


@define(eq=False)
class FileChange:
    """One file that is enrolled, and how it is restored if another cannot be.

    :ivar adopted: its record before.
    :ivar create: whether the file is made where there is none.
    """

    machine: Machine
    site: Site
    adopted: Adopted | None
    adoption: Adoption
    create: bool = False
    _before: str = field(default="", repr=False)
    _after: str | None = field(default=None, repr=False)

    def carried_out(self, planned: FilePlan) -> FileReport:
        """Change the file.

        :raise FileNotFoundError: there is no such file, and none is to be made.
        :raise ConfigError: it cannot be changed, and is as it was.
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
            left=planned.left,
            in_place=in_place(changed),
        )

    def _edit(self, text: str, adopted: Adopted | None) -> Rewritten:
        made = self.adoption(text, adopted)
        self._before, self._after = text, made.text
        return made

    def take_back(self) -> None:
        """Let the file be as it was, or where somebody has written since, at least what was enrolled."""
        self.machine.ledger.change(self.site.path, self._back, lock=self.site.lock)

    def _back(self, text: str, adopted: Adopted | None) -> Rewritten:
        if text == self._after:
            return Rewritten(self._before, self.adopted)
        given = Return(self.machine, self.site, tuple(self.adoption.taken))(text, adopted)
        return Rewritten(given.text, given.adopted)


def _rolled_back(
    failed: FilePlan, done: Sequence[FileChange], reports: Sequence[FileReport], why: str
) -> Report:
    errors = {}
    for each in reversed(done):
        try:
            each.take_back()
        except (ConfigError, FileNotFoundError) as trouble:
            errors[each.site.path] = said(each.site, trouble)
    files_ = [
        evolve(
            each, changed=bool(errors.get(each.path)), adopted={}, renewed={}, error=errors.get(each.path, "")
        )
        for each in reports
    ]
    return Report((*files_, evolve(untouched(failed), error=why)), rolled_back=why)


def untouched(planned: FilePlan) -> FileReport:
    """What is said of a file that stays as it is."""
    return FileReport.of(
        planned.site,
        mode=planned.mode,
        left=planned.left,
        error=planned.trouble,
    )


def _approve(machine: Machine, site: Site) -> None:
    """A repository's file that its user has enrolled may run."""
    if not site.project or os.path.basename(site.path) != REPOSITORY_FILE:
        return
    path = approvals.target(site.path)
    digest = read_repository(path, machine.home).digest  # of what it is without us
    if approvals.read(machine.home).get(path) != digest:
        files.make_home(machine.home)
        approvals.approve(machine.home, path, digest, DISK.now())


# Restoring


@define(eq=False)
class Return:
    """Entries of ours give way to what stood there before.

    :param wanted: whether an entry is to come back, by its title and name.
    :param why: the file is restored for now, for this reason, and is to use the gateway again later; "" for ever.
    :ivar given: what has become of each entry.
    :ivar is_exact: the file is what it was before us, to the byte.
    :ivar again: of what is restored, what had been put together again, and from where.
    """

    machine: Machine
    site: Site
    servers: Collection[str] = ()
    why: str = ""
    given: rewrite.Given = field(factory=lambda: rewrite.Given(""), repr=False)
    is_exact: bool = False
    again: dict[str, str] = field(factory=dict)

    def __call__(self, text: str, adopted: Adopted | None) -> Rewritten:
        """Work it out for a text and what is known of the file.

        :raise ConfigError: the text is not of its form, or cannot be changed.
        """
        self.given, self.is_exact, self.again = rewrite.Given(text), False, {}
        if adopted is None:
            return Rewritten(text, None)
        if adopted.suspended:
            return Rewritten(text, self._suspended(adopted))
        chosen = {road: each for road, each in adopted.entries.items() if self._is_meant(each)}
        rest = {road: each for road, each in adopted.entries.items() if road not in chosen}
        if not any(each.name for each in rest.values()):
            chosen, rest = dict(adopted.entries), {}  # the one entry for all has nothing left behind it
        exact = None if rest else unwound(adopted, text)
        if exact is not None:
            titles = dict.fromkeys(each.replaced.title for each in chosen.values())
            # A file that was made for our entries stays, and a client can read it.
            is_made = not exact and self.site.path.endswith(".json")
            self.given = rewrite.Given(NOTHING if is_made else exact, tuple(titles))
            self.is_exact = not is_made
        else:
            replaced = [each.replaced for each in chosen.values()]
            self.given = rewrite.give_back(
                text, self.site.path, self.site.dialect, self.machine.base, replaced
            )
        self.again = self._again([each.replaced for each in chosen.values()])
        self.is_exact = self.is_exact and not self.again
        if self.why:
            return Rewritten(self.given.text, self._suspended(adopted))
        return Rewritten(self.given.text, evolve(adopted, entries=rest) if rest else None)

    def _again(self, given: Sequence[Replaced]) -> dict[str, str]:
        home, path = self.machine.home, self.site.path
        found = {each.title: recover.source_of(home, path, each.road, each.former) for each in given}
        return {title: source for title, source in found.items() if source and title in self.given.restored}

    def _suspended(self, adopted: Adopted) -> Adopted | None:
        return evolve(adopted, suspended=self.why) if self.why else None

    def _is_meant(self, each: Enrolled) -> bool:
        return not self.servers or each.name in self.servers or each.replaced.title in self.servers


def given_back(machine: Machine, site: Site, back: Return) -> FileReport:
    """Restore a file as the ledger says."""
    was_approved = _is_approved(machine, site)
    report = FileReport.of(site)
    try:
        changed = machine.ledger.change(site.path, back, lock=site.lock)
    except FileNotFoundError:
        if not back.why:
            machine.ledger.forget(site.path)
        return evolve(report, left=(Left("", NOT_THERE),))
    except ConfigError as why:
        return evolve(report, error=said(site, why))
    if was_approved and not back.why and not back.servers:
        approvals.revoke(machine.home, approvals.target(site.path))
    given = back.given
    return evolve(
        report,
        changed=changed is not None,
        restored=tuple(each for each in given.restored if each not in back.again),
        rebuilt=back.again,
        gone=given.gone,
        kept=given.kept,
        exact=back.is_exact,
        in_place=in_place(changed),
    )


def _is_approved(machine: Machine, site: Site) -> bool:
    if not site.project or os.path.basename(site.path) != REPOSITORY_FILE:
        return False
    path = approvals.target(site.path)
    try:
        return approvals.read(machine.home).get(path) == read_repository(path, machine.home).digest
    except (FileNotFoundError, ConfigError):
        return False
