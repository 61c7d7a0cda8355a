"""Clients that use the gateway by URL, where a token is needed that no file holds: they get a command that has it.

How each file was enrolled before is written down, so that it can lead so again when no token is needed any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen

from mcpgateway.clientfiles.enrolment import apply
from mcpgateway.clientfiles.enrolment_records import Adopted
from mcpgateway.clientfiles.files import FileChoice
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.machine import CUSTOM, FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.clientfiles.plan import WantedServer
from mcpgateway.clientfiles.report import FileReport, Report
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FILE = "rerouted.json"
FILE_LIMIT = 1_048_576


@frozen
class CutOff:
    """A client's file whose entries cannot reach a gateway that needs a token.

    :ivar servers: the titles of these entries.
    """

    path: str
    client: str
    title: str
    servers: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"path": self.path, "client": self.client, "title": self.title, "servers": list(self.servers)}


def cut_off(machine: Machine) -> tuple[CutOff, ...]:
    """The files that use the gateway by URL.

    :raise ConfigError: the ledger cannot be read.
    """
    found = []
    for each in machine.records.files.values():
        dialect = DIALECTS.get(each.dialect, DIALECTS[CUSTOM])
        if not each.suspended and (servers := _by_url(each)):
            found.append(CutOff(each.path, each.dialect, dialect.title, servers))
    return tuple(found)


def _by_url(adopted: Adopted) -> tuple[str, ...]:
    dialect = DIALECTS.get(adopted.dialect, DIALECTS[CUSTOM])
    leads = {
        each.replaced.title: dialect.leads(road, each.replaced.ours) for road, each in adopted.entries.items()
    }
    return tuple(title for title, words in leads.items() if words and "://" in words[0])


def reroute(machine: Machine) -> Report:
    """Have these files use the gateway by a command, each for itself.

    :raise ConfigError: the ledger, the configuration or the note of how they were enrolled cannot be used.
    """
    found = {each.path: machine.records.files[os.path.realpath(each.path)].mode for each in cut_off(machine)}
    if not found:
        return Report()
    _keep(machine.home, {**_kept(machine.home), **found})
    # Where a token is needed, every way to use the gateway is by a command.
    return _applied(machine, {path: SINGLE if mode == SINGLE else FAIL_OPEN for path, mode in found.items()})


def take_back(machine: Machine) -> Report:
    """Have the files use the gateway as they did before they were rerouted, unless that was changed meanwhile.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    known = _kept(machine.home)
    now = {path: machine.records.files.get(os.path.realpath(path)) for path in known}
    wanted = {
        path: mode
        for path, mode in known.items()
        if (each := now[path]) is not None and not each.suspended and each.mode in (FAIL_OPEN, mode)
    }
    report = _applied(machine, wanted)
    failed = {each.path: known[each.path] for each in report.files if each.error and each.path in known}
    _keep(machine.home, failed)
    return report


def _applied(machine: Machine, modes: Mapping[str, str]) -> Report:
    reports: list[FileReport] = []
    for path, mode in modes.items():
        adopted = machine.records.files[os.path.realpath(path)]
        try:
            reports += apply(machine, WantedServer(FileChoice(file=path), mode=mode)).files
        except ConfigError as why:
            title = DIALECTS.get(adopted.dialect, DIALECTS[CUSTOM]).title
            reports.append(evolve(FileReport(path, adopted.dialect, title), error=str(why)))
    return Report(tuple(reports))


def _kept(home: str) -> dict[str, str]:
    with suppress(OSError, ValueError, ConfigError, AttributeError):
        found = json.loads(home_files.read_text(os.path.join(home, FILE), FILE_LIMIT))
        return {path: mode for path, mode in found.items() if mode in (HTTP, SINGLE)}
    return {}


def _keep(home: str, modes: Mapping[str, str]) -> None:
    path = os.path.join(home, FILE)
    if modes:
        home_files.keep(path, json.dumps(modes).encode("ascii"), lasting=False)
        return
    with suppress(OSError):  # then there is nothing that it would be good for
        home_files.remove(path)
