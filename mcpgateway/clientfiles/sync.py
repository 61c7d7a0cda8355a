"""Enrolled files that clients have changed: what was added is enrolled, too, and what was displaced comes back.

what is seen in a watched file                     what becomes of it
a program that is new                              it is enrolled, unless it is to stay its client's own
an entry of ours has become what it was            it is ours again; the third time within ten minutes it is left
an entry of ours has become another program        it is the user's, and enrolled as what it is now
an entry of ours leads to another port             it is led to the one that the gateway has now
an entry of ours is not there any more             the user has removed it, and it is forgotten
all entries are gone, and their place with them    the file was cut short; it is left, and looked at once more
the file cannot be read                            it is being written; whoever writes it makes it whole

In a project's file nothing is enrolled that its user has not approved of: others may write it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from attrs import define, evolve

from mcpgateway.clientfiles.apply import alone, carried_out
from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment import AWAY, machine_of, resume
from mcpgateway.clientfiles.enrolment_records import Adopted, Enrolled, without
from mcpgateway.clientfiles.files import Seen, Site, recorded_sites, see
from mcpgateway.clientfiles.formats.client_format import FileKind, Listed, Road
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import FilePlan, Left, WantedServer, plan_of
from mcpgateway.clientfiles.report import FileReport, Report
from mcpgateway.config.edit.edits import same
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

SECOND_LOOK_S = 1.0  # a client that replaces its file by a stub writes the rest of it at once
RETURNS = 3
RETURNS_WITHIN_S = 600.0
FILE = "displaced.json"
FILE_LIMIT = 1_048_576


def sync(home: str, environ: Mapping[str, str], disk: Disk = DISK) -> Report:
    """Go through all watched files that use the gateway.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    machine = machine_of(home, environ)
    back = resume(home, environ, (AWAY,))
    machine.look_again()
    if not machine.records.files or not machine.settings.clients.watch:
        return back
    with alone(machine):
        work = _Sync(machine, _Displaced(home, disk), disk)
        done = work.all()
    work.displaced.keep()
    return Report((*back.files, *done))


@define(eq=False)
class _Sync:
    """One going through."""

    machine: Machine
    displaced: _Displaced
    disk: Disk

    def all(self) -> tuple[FileReport, ...]:
        """Go through all files that are watched."""
        reports = []
        for site in recorded_sites(self.machine.records):
            adopted = self.machine.record_of(site.path)
            if adopted is not None and adopted.is_watched and not adopted.suspended:
                reports.append(self._one(site, adopted))
                self.machine.look_again()
        return tuple(reports)

    def _one(self, site: Site, adopted: Adopted) -> FileReport:
        seen = self._seen(site, adopted)
        report = FileReport.of(site, mode=adopted.mode)
        if seen.trouble:
            return evolve(report, left=(Left("", seen.trouble),))
        if self._is_cut_short(seen, adopted):
            return evolve(
                report, left=(Left("", "has lost all its servers at once; it is taken for cut short"),)
            )
        gone = _gone(seen, adopted)
        if gone:
            titles = tuple(each.replaced.title for road, each in adopted.entries.items() if road in gone)
            # A file that its user has emptied is still one that was enrolled: what is added to it does, too.
            self.machine.ledger.put(without(adopted, gone))
            self.machine.look_again()
            report = evolve(report, gone=titles)
        planned = self._planned(seen, adopted)
        if not planned.wishes and not planned.renewed:
            return evolve(report, left=planned.left)
        done = carried_out(
            self.machine, [planned], WantedServer(mode=adopted.mode), is_all_or_none=False
        ).files[0]
        return evolve(done, gone=report.gone)

    def _seen(self, site: Site, adopted: Adopted) -> Seen:
        seen = see(site, self.machine.base)
        if seen.trouble or self._is_cut_short(seen, adopted):
            self.disk.sleep(SECOND_LOOK_S)
            seen = see(site, self.machine.base)
        return seen

    def _is_cut_short(self, seen: Seen, adopted: Adopted) -> bool:
        return bool(adopted.entries) and not seen.listed and not seen.is_table_there

    def _planned(self, seen: Seen, adopted: Adopted) -> FilePlan:
        planned = plan_of(self.machine, WantedServer(mode=adopted.mode), [seen])[0]
        wishes, left = [], list(planned.left)
        for wish in planned.wishes:
            known = adopted.entries.get(wish.road)
            if known is not None and same(known.replaced.former, wish.value):
                if self.displaced.is_to_return(seen.site.path, wish.road):
                    wishes.append(wish)
                else:
                    hint = f"mcpgateway clients apply --server {wish.name} enrols it again"
                    left.append(Left(wish.title, "another program keeps putting it back", hint))
            elif seen.site.project:
                hint = f"mcpgateway clients apply --project {seen.site.project} approves of it"
                left.append(Left(wish.title, "is new in a project's file, which others may write", hint))
            else:
                wishes.append(wish)
        return evolve(planned, wishes=tuple(wishes), left=tuple(left))


def _gone(seen: Seen, adopted: Adopted) -> frozenset[Road]:
    """The entries of ours that the user has removed, or made into something that leads elsewhere."""
    there = {each.road: each for each in seen.listed}
    return frozenset(
        road
        for road, each in adopted.entries.items()
        if each.replaced.ours is not None and _is_gone(there.get(road), each, seen, adopted)
    )


def _is_gone(now: Listed | None, each: Enrolled, seen: Seen, adopted: Adopted) -> bool:
    if now is not None and now.kind in (FileKind.OURS, FileKind.PROGRAM):
        return False
    if now is not None and same(now.value, each.replaced.ours):
        return False  # ours, with a port that the gateway has no more
    # It may have been given another name.
    return not any(
        one.kind is FileKind.OURS and one.served == each.name and one.road not in adopted.entries
        for one in seen.listed
    )


@define(eq=False)
class _Displaced:
    """When entries of ours were put back, since somebody else had put back what was there before."""

    home: str
    disk: Disk
    _times: dict[str, list[float]] | None = None
    _is_changed: bool = False

    def is_to_return(self, path: str, road: Road) -> bool:
        """Whether an entry is to be ours again; it counts as done."""
        key = json.dumps([path, *road])
        now = self.disk.now()
        times = [each for each in self._known().get(key, []) if 0 <= now - each < RETURNS_WITHIN_S]
        if len(times) >= RETURNS:
            return False
        self._known()[key] = [*times, now]
        self._is_changed = True
        return True

    def keep(self) -> None:
        """Write it down for the next time; where that is not possible, counting begins anew."""
        if not self._is_changed:
            return
        now = self.disk.now()
        known = {
            key: [each for each in times if now - each < RETURNS_WITHIN_S]
            for key, times in self._known().items()
        }
        text = json.dumps({key: times for key, times in known.items() if times})
        try:
            home_files.keep(os.path.join(self.home, FILE), text.encode("ascii"), lasting=False)
        except ConfigError:
            return

    def _known(self) -> dict[str, list[float]]:
        if self._times is None:
            self._times = {}
            try:
                found = json.loads(home_files.read_text(os.path.join(self.home, FILE), FILE_LIMIT))
                self._times = {key: [float(each) for each in times] for key, times in found.items()}
            except (OSError, ValueError, TypeError, AttributeError, ConfigError):
                self._times = {}
        return self._times
