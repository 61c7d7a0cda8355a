"""Lead clients' files to the gateway, and give them back: what the commands, the daemon's helper and the timer call."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from attrs import define, evolve, field, frozen

from mcpgateway.config.document import visible
from mcpgateway.config.model import Adopt
from mcpgateway.errors import ConfigError
from mcpgateway.host import approvals, files
from mcpgateway.host.approvals import REPOSITORY_FILE
from mcpgateway.host.disk import DISK
from mcpgateway.host.ledger import Adopted, Changed, Rewritten
from mcpgateway.local.adoption import Adoption, Return
from mcpgateway.local.machine import Machine
from mcpgateway.local.planning import FilePlan, Wanted, adopted_at, for_client, opted_out, plan
from mcpgateway.local.rebuilding import Rebuilding
from mcpgateway.local.reporting import FileReport, Left, Report
from mcpgateway.local.sites import Choice, Site, chosen, recorded_sites, see

DISABLED, STOPPED, AWAY = "disabled", "stopped", "away"
NOBODY = "no gateway answers, so these servers are away until it runs: mcpgateway start"


@frozen
class Adoptable:
    """What a start could lead here.

    :ivar adopt: what the configuration says about that: ``ask``, ``always`` or ``never``.
    :ivar servers: the titles of entries that could be led here, by the file.
    :ivar suspended: the files that have their own entries back for now, and why.
    """

    adopt: str
    servers: Mapping[str, tuple[str, ...]]
    suspended: Mapping[str, str]


def machine_of(home: str, environ: Mapping[str, str]) -> Machine:
    """What is known of this machine before anything is done."""
    return Machine(home, environ)


def apply(machine: Machine, wanted: Wanted) -> Report:
    """Lead files here: all of them, or none.

    :raise ConfigError: what is asked for cannot be done anywhere, and nothing was changed.
    """
    with _alone(machine):
        _take_in(machine, wanted)
        plans = plan(machine, wanted)
        named = [each for each in plans if each.trouble and wanted.choice.is_named]
        if named:
            raise ConfigError(named[0].trouble)
        report = _carried_out(machine, plans, wanted)
        machine.look_again()
    if any(each.adopted or each.renewed for each in report.files) and machine.answer is None:
        return evolve(report, warnings=(*report.warnings, NOBODY))
    return report


def undo(machine: Machine, wanted: Wanted) -> Report:
    """Give files back and forget them; a server that is named stays its clients' own from then on.

    :raise ConfigError: what is asked for cannot be done anywhere, and nothing was changed.
    """
    with _alone(machine):
        if wanted.servers:
            _keep_out(machine, wanted)
        reports = [_returned(machine, site, wanted) for site in _to_be_returned(machine, wanted)]
        machine.look_again()
    return Report(tuple(each for each in reports if each is not None))


def suspend(home: str, environ: Mapping[str, str], why: str) -> Report:
    """Give all files back for now; the ledger remembers what led here, and how.

    :param why: ``disabled``, ``stopped`` or ``away``.  What was disabled stays so when the gateway stops.
    :raise ConfigError: the ledger cannot be used, and nothing was changed.
    """
    machine = machine_of(home, environ)
    if not machine.records.files:
        return Report()
    with _alone(machine):
        reports = []
        for site in recorded_sites(machine.records):
            adopted = adopted_at(machine, site)
            if adopted is not None and adopted.suspended != why and (not adopted.suspended or why == DISABLED):
                reports.append(_given_back(machine, site, Return(machine, site, why=why)))
        return Report(tuple(reports))


def resume(home: str, environ: Mapping[str, str], whys: Collection[str] = (STOPPED, AWAY)) -> Report:
    """Lead the files here again that were given back for now.

    :param whys: for which of the reasons; what was disabled is led here again only by `enable`.
    :raise ConfigError: what is asked for cannot be done, and nothing was changed.
    """
    machine = machine_of(home, environ)
    suspended = [each for each in machine.records.files.values() if each.suspended in whys]
    if not suspended:
        return Report()
    with _alone(machine):
        reports: list[FileReport] = []
        for each in suspended:
            wanted = Wanted(Choice(_clients(each), file=each.path), mode=each.mode)
            if not os.path.lexists(each.path):
                reports.append(_missing(machine, each))
                continue
            plans = [_as_before(one, each) for one in plan(machine, wanted)]
            reports += _carried_out(machine, plans, wanted, is_all_or_none=False).files
            machine.look_again()
        return Report(tuple(reports))


def adoptable(home: str, environ: Mapping[str, str]) -> Adoptable:
    """What a start could lead here, and whether it is to ask.

    :raise ConfigError: the configuration or the ledger cannot be used.
    """
    machine = machine_of(home, environ)
    found = plan(machine, Wanted())
    servers = {
        each.site.path: tuple(one.title for one in each.wishes)
        for each in found
        if each.wishes and not each.trouble and adopted_at(machine, each.site) is None
    }
    suspended = {each.path: each.suspended for each in machine.records.files.values() if each.suspended}
    adopt: Adopt = machine.settings.clients.adopt
    return Adoptable(adopt.value, servers, suspended)


# Leading here


def _carried_out(
    machine: Machine, plans: Sequence[FilePlan], wanted: Wanted, *, is_all_or_none: bool = True
) -> Report:
    done: list[_Done] = []
    reports: list[FileReport] = []
    for each in plans:
        adopted = adopted_at(machine, each.site)
        is_news = each.is_change or (adopted is not None and adopted.suspended)
        if each.trouble or not is_news:
            reports.append(_untouched(each))
            continue
        adoption = Adoption(machine, each.site, each.wishes, each.mode, wanted.helper)
        former = _Done(machine, each.site, adopted, adoption)
        try:
            report = former.carried_out(each)
        except (ConfigError, FileNotFoundError) as why:
            if not is_all_or_none:
                reports.append(evolve(_untouched(each), error=_said(each.site, why)))
                continue
            return _rolled_back(each, done, reports, _said(each.site, why))
        done.append(former)
        reports.append(report)
    for each in plans:
        _approve(machine, each.site)
    return Report(tuple(reports))


@define(eq=False)
class _Done:
    """One file that is led here, and how it is given back if another cannot be."""

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
            in_place=_in_place(changed),
        )

    def _edit(self, text: str, adopted: Adopted | None) -> Rewritten:
        made = self.adoption(text, adopted)
        self._before, self._after = text, made.text
        return made

    def take_back(self) -> None:
        """Let the file be as it was, or where somebody has written since, at least what was led here."""
        self.machine.ledger.change(self.site.path, self._back, lock=self.site.lock)

    def _back(self, text: str, adopted: Adopted | None) -> Rewritten:
        if text == self._after:
            return Rewritten(self._before, self.adopted)
        given = Return(self.machine, self.site, tuple(self.adoption.taken))(text, adopted)
        return Rewritten(given.text, given.adopted)


def _rolled_back(
    failed: FilePlan, done: Sequence[_Done], reports: Sequence[FileReport], why: str
) -> Report:
    errors = {}
    for each in reversed(done):
        try:
            each.take_back()
        except (ConfigError, FileNotFoundError) as trouble:
            errors[each.site.path] = _said(each.site, trouble)
    files_ = [
        evolve(each, changed=bool(errors.get(each.path)), adopted={}, renewed={}, error=errors.get(each.path, ""))
        for each in reports
    ]
    return Report((*files_, evolve(_untouched(failed), error=why)), rolled_back=why)


def _untouched(planned: FilePlan) -> FileReport:
    site = planned.site
    return FileReport(
        site.path, site.dialect.name, site.dialect.title, mode=planned.mode, left=planned.left, error=planned.trouble
    )


def _as_before(planned: FilePlan, adopted: Adopted) -> FilePlan:
    """Of a project's file nothing is led here again but what was; others may have written to it."""
    if not planned.site.project and adopted.is_watched:
        return planned
    known = {(each.replaced.road, each.name) for each in adopted.entries.values()}
    formers = {each.replaced.road: each.replaced.former for each in adopted.entries.values()}
    wishes = [
        each for each in planned.wishes if (each.road, each.name) in known and each.value == formers[each.road]
    ]
    return evolve(planned, wishes=tuple(wishes), after=planned.after)


def _approve(machine: Machine, site: Site) -> None:
    """A repository's file that its user has led here may run."""
    if not site.project or os.path.basename(site.path) != REPOSITORY_FILE:
        return
    path = approvals.target(site.path)
    digest = approvals.digest_of(path)
    if approvals.read(machine.home).get(path) != digest:
        files.make_home(machine.home)
        approvals.approve(machine.home, path, digest, DISK.now())


# Giving back


def _to_be_returned(machine: Machine, wanted: Wanted) -> list[Site]:
    choice = wanted.choice
    if choice.file and not os.path.lexists(choice.file):
        real = os.path.realpath(choice.file)
        found = [each for each in recorded_sites(machine.records) if os.path.realpath(each.path) == real]
        if found:
            return found
    sites = chosen(choice, machine.environ, machine.records)
    recorded = {os.path.realpath(each.path): each for each in recorded_sites(machine.records)}
    # What the ledger says of a file goes before what it looks like.
    return [recorded.get(os.path.realpath(each.path), each) for each in sites]


def _returned(machine: Machine, site: Site, wanted: Wanted) -> FileReport | None:
    adopted = adopted_at(machine, site)
    if adopted is None:
        return _rebuilt(machine, site, wanted)
    if wanted.servers and adopted.suspended:
        return None
    report = _given_back(machine, site, Return(machine, site, wanted.servers))
    rest = None if report.error else _rebuilt(machine, site, wanted)
    if rest is None:
        return report
    return evolve(report, changed=report.changed or rest.changed, rebuilt=rest.rebuilt, left=rest.left)


def _given_back(machine: Machine, site: Site, back: Return) -> FileReport:
    was_approved = _approved_digest(machine, site)
    report = FileReport(site.path, site.dialect.name, site.dialect.title)
    try:
        changed = machine.ledger.change(site.path, back, lock=site.lock)
    except FileNotFoundError:
        if not back.why:
            machine.ledger.forget(site.path)
        return evolve(report, left=(Left("", "the file is not there any more"),))
    except ConfigError as why:
        return evolve(report, error=_said(site, why))
    if was_approved and not back.why and not back.servers:
        approvals.revoke(machine.home, approvals.target(site.path))
    given = back.given
    return evolve(
        report,
        changed=changed is not None,
        restored=given.restored,
        gone=given.gone,
        kept=given.kept,
        exact=back.is_exact,
        in_place=_in_place(changed),
    )


def _approved_digest(machine: Machine, site: Site) -> bool:
    if not site.project or os.path.basename(site.path) != REPOSITORY_FILE:
        return False
    path = approvals.target(site.path)
    try:
        return approvals.read(machine.home).get(path) == approvals.digest_of(path)
    except (FileNotFoundError, ConfigError):
        return False


def _rebuilt(machine: Machine, site: Site, wanted: Wanted) -> FileReport | None:
    """Give back what leads here without being in the ledger, as far as what stood there before can be known."""
    work = Rebuilding(machine, site, wanted.servers)
    report = FileReport(site.path, site.dialect.name, site.dialect.title)
    try:
        if not work.is_needed():
            return None
        changed = machine.ledger.change(site.path, work, lock=site.lock)
    except FileNotFoundError:
        return None
    except ConfigError as why:
        return evolve(report, error=_said(site, why))
    return evolve(report, changed=changed is not None, rebuilt=dict(work.sources), left=tuple(work.left))


# The rest


def _take_in(machine: Machine, wanted: Wanted) -> None:
    """A server that is named stays its client's own no more."""
    out = machine.records.opted_out
    now = frozenset(each for each in out if each.rpartition(":")[2] not in wanted.servers)
    if now != out:
        machine.ledger.opt_out(now)
        machine.look_again()
    listed = set(machine.settings.clients.opt_out) & set(wanted.servers)
    if listed:
        name = visible(min(listed))
        raise ConfigError(f"gateway.clients.opt_out lists {name}; take it out of the configuration first")


def _keep_out(machine: Machine, wanted: Wanted) -> None:
    clients = wanted.choice.clients
    names = {f"{client}:{each}" for client in clients for each in wanted.servers} or set(wanted.servers)
    machine.ledger.opt_out(machine.records.opted_out | names)


def _alone(machine: Machine) -> _Alone:
    return _Alone(machine)


class _Alone:
    """Nobody else changes clients' files or the ledger meanwhile, and what killed programs have left is settled."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lock = machine.ledger.locked()

    def __enter__(self) -> None:
        self._lock.__enter__()
        self._machine.ledger.recover()
        self._machine.look_again()

    def __exit__(self, *why: object) -> None:
        self._lock.__exit__(None, None, None)


def _clients(adopted: Adopted) -> tuple[str, ...]:
    return (adopted.dialect,)


def _missing(machine: Machine, adopted: Adopted) -> FileReport:
    site = next(each for each in recorded_sites(machine.records) if each.path == adopted.path)
    return FileReport(
        site.path, site.dialect.name, site.dialect.title, left=(Left("", "the file is not there any more"),)
    )


def _said(site: Site, why: Exception) -> str:
    return f"{visible(site.path)}: there is no such file" if isinstance(why, FileNotFoundError) else str(why)


def _in_place(changed: Changed | None) -> str:
    return changed.in_place if changed is not None else ""
