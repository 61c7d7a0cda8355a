"""Which clients there are, which of their files use the gateway, and whether these are as they were left: as values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcpgateway.clientfiles.diff import diff, vocabulary
from mcpgateway.clientfiles.enrolment_records import Adopted, unwound
from mcpgateway.clientfiles.files import detect, recorded_sites, see
from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import FileKind
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import FilePlan
from mcpgateway.clientfiles.report import Left
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import MISSING, same
from mcpgateway.errors import ConfigError

if TYPE_CHECKING:
    from mcpgateway.clientfiles.immorterm import Stranded

AS_LEFT, EDITED, GONE, BROKEN, DRIFTED, GIVEN_BACK = (
    "as left",
    "edited",
    "not there",
    "not readable",
    "not as left",
    "restored",
)
"""What has become of a file: nothing; others have changed something else in it; it has gone; it is not valid; entries
of ours are not there any more; its own entries are back for now."""


def detected(machine: Machine) -> list[dict[str, Any]]:
    """The clients that are on this machine, their files, and how many servers of each kind are in them."""
    found = []
    for each in detect(machine.environ):
        files = []
        for site in each.sites:
            seen = see(site, machine.base)
            files.append({"path": site.path, "servers": seen.counts(), "error": seen.trouble})
        paths = [site.path for site in each.sites] or [each.expected]
        found.append(
            {
                "tool": each.dialect.name,
                "title": each.dialect.title,
                "configPath": paths[0],
                "files": files,
                "expected": each.expected,
            }
        )
    return found


def listed(machine: Machine) -> dict[str, Any]:
    """The files that use the gateway, or will again; nothing in it is secret."""
    records = machine.records
    files = []
    for site in recorded_sites(records):
        adopted = records.files[os.path.realpath(site.path)] if _is_known(machine, site.path) else None
        if adopted is None:
            continue
        state, why = _state(machine, adopted)
        files.append(
            {
                "path": site.path,
                "client": site.dialect.name,
                "title": site.dialect.title,
                "mode": adopted.mode,
                "project": adopted.project,
                "servers": {each.replaced.title: each.name for each in adopted.entries.values() if each.name},
                "suspended": adopted.suspended,
                "watched": adopted.is_watched,
                "state": state,
                "why": why,
            }
        )
    return {"files": files, "opted_out": sorted(records.opted_out), "problems": list(records.problems)}


def planned(plans: Sequence[FilePlan], behind: Sequence[Stranded] = ()) -> dict[str, Any]:
    """What files would be, for programs.

    :param behind: what another gateway has left, which gets its own entries back before it is enrolled.
    """
    return {
        "changed": bool(behind) or any(each.is_change for each in plans),
        "given_back": {each.site.path: list(each.titles) for each in behind},
        "files": [
            {
                "path": each.site.path,
                "client": each.site.dialect.name,
                "title": each.site.dialect.title,
                "mode": each.mode,
                "changed": each.is_change,
                "adopted": {wish.title: wish.name for wish in each.wishes},
                "renewed": list(each.renewed),
                "left": [_left(one) for one in each.left],
                "diff": difference(each),
                "error": each.trouble,
            }
            for each in plans
        ],
    }


def _left(left: Left) -> dict[str, str]:
    return {"title": left.title, "why": left.why, **({"hint": left.hint} if left.hint else {})}


def difference(each: FilePlan) -> list[str]:
    """The lines of a diff of a file, without secrets."""
    if not each.is_change:
        return []
    return list(diff(each.site.path, each.before, each.after, vocabulary(each.values)))


def _is_known(machine: Machine, path: str) -> bool:
    return os.path.realpath(path) in machine.records.files


def _state(machine: Machine, adopted: Adopted) -> tuple[str, str]:
    if adopted.suspended:
        return GIVEN_BACK, adopted.suspended
    site = next(each for each in recorded_sites(machine.records) if each.path == adopted.path)
    if not os.path.lexists(site.path):
        return GONE, ""
    seen = see(site, machine.base)
    if seen.trouble:
        return BROKEN, seen.trouble
    if unwound(adopted, seen.text) is not None:
        return AS_LEFT, ""
    try:
        values = syntax.read(seen.text, site.path, site.dialect)
    except ConfigError as why:
        return BROKEN, str(why)
    served = {each.served for each in seen.listed if each.kind is FileKind.OURS}
    missing = [
        each.replaced.title
        for road, each in adopted.entries.items()
        if each.replaced.ours is not None
        and not _stands(edits.at(values, road), each.replaced.ours)
        and each.name not in served
    ]
    return (DRIFTED, f"not ours any more: {', '.join(missing)}") if missing else (EDITED, "")


def _stands(now: Any, ours: Any) -> bool:
    return now is not MISSING and same(now, ours)
