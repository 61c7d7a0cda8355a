"""Plans for clients' files are carried out: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, evolve, field

from mcpgateway.clientfiles.change import Adoption, Return
from mcpgateway.clientfiles.disk import DISK
from mcpgateway.clientfiles.enrolment_records import Adopted
from mcpgateway.clientfiles.files import Site
from mcpgateway.clientfiles.ledger import Changed, Rewritten
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import FilePlan, WantedServer, adopted_at
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.clientfiles.report import FileReport, Report
from mcpgateway.config.document import visible
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals, files
from mcpgateway.system.approvals import REPOSITORY_FILE


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
    done: list[_Done] = []
    reports: list[FileReport] = []
    for each in plans:
        adopted = adopted_at(machine, each.site)
        is_news = each.is_change or (adopted is not None and adopted.suspended)
        if each.trouble or not is_news:
            reports.append(untouched(each))
            continue
        adoption = Adoption(machine, each.site, each.wishes, each.mode, wanted.helper)
        former = _Done(machine, each.site, adopted, adoption)
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
class _Done:
    """One file that is enrolled, and how it is restored if another cannot be."""

    machine: Machine
    site: Site
    adopted: Adopted | None
    adoption: Adoption
    _before: str = field(default="", repr=False)
    _after: str | None = field(default=None, repr=False)

    def carried_out(self, planned: FilePlan) -> FileReport:
        changed = self.machine.ledger.change(self.site.path, self._edit, lock=self.site.lock)
        return FileReport(
            self.site.path,
            self.site.dialect.name,
            self.site.dialect.title,
            changed is not None,
            self.adoption.mode,
            dict(self.adoption.taken),
            dict(self.adoption.renewed),
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


def _rolled_back(failed: FilePlan, done: Sequence[_Done], reports: Sequence[FileReport], why: str) -> Report:
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
    site = planned.site
    return FileReport(
        site.path,
        site.dialect.name,
        site.dialect.title,
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


def said(site: Site, why: Exception) -> str:
    """Why a file could not be changed."""
    return f"{visible(site.path)}: there is no such file" if isinstance(why, FileNotFoundError) else str(why)


def in_place(changed: Changed | None) -> str:
    """Why a reader may have seen half of a file."""
    return changed.in_place if changed is not None else ""
