"""Clients' files are restored: what the ledger knows, and what can be known without it."""

from __future__ import annotations

import os

from attrs import evolve

from mcpgateway.clientfiles import rebuilt as rebuilt_entries
from mcpgateway.clientfiles.apply import in_place, said
from mcpgateway.clientfiles.change import Return
from mcpgateway.clientfiles.files import Site, chosen, recorded_sites
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import WantedServer, adopted_at
from mcpgateway.clientfiles.reader import read_repository
from mcpgateway.clientfiles.recover import Rebuilding
from mcpgateway.clientfiles.report import FileReport, Left
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals
from mcpgateway.system.approvals import REPOSITORY_FILE

NOT_THERE = "the file is not there any more"


def to_be_returned(machine: Machine, wanted: WantedServer) -> list[Site]:
    """The files that are meant, those among them that are not there any more.

    :raise ConfigError: a client is not known, or what is named is not there.
    """
    choice = wanted.choice
    if choice.file and not os.path.lexists(choice.file):
        real = os.path.realpath(choice.file)
        found = [each for each in recorded_sites(machine.records) if os.path.realpath(each.path) == real]
        if found:
            return found
    sites = chosen(choice, machine.environ, machine.records, with_projects=True)
    recorded = {os.path.realpath(each.path): each for each in recorded_sites(machine.records)}
    # What the ledger says of a file goes before what it looks like.
    return [recorded.get(os.path.realpath(each.path), each) for each in sites]


def returned(machine: Machine, site: Site, wanted: WantedServer) -> FileReport | None:
    """Restore a file for ever; None where nothing of ours is in it."""
    adopted = adopted_at(machine, site)
    if adopted is None:
        return rebuilt(machine, site, wanted)
    if wanted.servers and adopted.suspended:
        return None
    report = given_back(machine, site, Return(machine, site, wanted.servers))
    rest = None if report.error else rebuilt(machine, site, wanted)
    if rest is None:
        return report
    again = {**report.rebuilt, **rest.rebuilt}
    return evolve(report, changed=report.changed or rest.changed, rebuilt=again, left=rest.left)


def given_back(machine: Machine, site: Site, back: Return) -> FileReport:
    """Restore a file as the ledger says."""
    was_approved = _is_approved(machine, site)
    report = FileReport(site.path, site.dialect.name, site.dialect.title)
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


def rebuilt(machine: Machine, site: Site, wanted: WantedServer) -> FileReport | None:
    """Restore what uses the gateway without being in the ledger, as far as what stood there before can be known."""
    work = Rebuilding(machine, site, wanted.servers)
    report = FileReport(site.path, site.dialect.name, site.dialect.title)
    try:
        if not work.is_needed():
            return None
        changed = machine.ledger.change(site.path, work, lock=site.lock)
    except FileNotFoundError:
        return None
    except ConfigError as why:
        return evolve(report, error=said(site, why))
    if work.written:
        rebuilt_entries.remember(machine.home, site.path, work.written)
    return evolve(report, changed=changed is not None, rebuilt=dict(work.sources), left=tuple(work.left))
