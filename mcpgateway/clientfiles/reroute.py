"""Clients that use the gateway by URL where a token is needed: their entries become a command, which has the token.

The ledger keeps the former mode of each file, so that the file has it again when no token is needed any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen

from mcpgateway.clientfiles.enrolment import apply
from mcpgateway.clientfiles.enrolment_records import FileRecord
from mcpgateway.clientfiles.files import FileChoice
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.machine import CUSTOM, FAIL_OPEN, HTTP, SINGLE, Machine
from mcpgateway.clientfiles.plan import EnrolRequest
from mcpgateway.clientfiles.report import FileReport, Report
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

FORMER_NOTE = "rerouted.json"  # of earlier releases
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
        """Return the file for programs."""
        return {"path": self.path, "client": self.client, "title": self.title, "servers": list(self.servers)}


def cut_off(machine: Machine) -> tuple[CutOff, ...]:
    """Return the files that use the gateway by URL.

    :raise ConfigError: the ledger cannot be read.
    """
    found = []
    for each in machine.records.files.values():
        dialect = DIALECTS.get(each.dialect, DIALECTS[CUSTOM])
        if not each.suspended and (servers := _by_url(each)):
            found.append(CutOff(each.path, each.dialect, dialect.title, servers))
    return tuple(found)


def _by_url(record: FileRecord) -> tuple[str, ...]:
    dialect = DIALECTS.get(record.dialect, DIALECTS[CUSTOM])
    target = {
        each.replaced.title: dialect.target_of(key_path, each.replaced.ours)
        for key_path, each in record.entries.items()
    }
    return tuple(title for title, words in target.items() if words and "://" in words[0])


def reroute(machine: Machine) -> Report:
    """Make these files use the gateway by a command, each independently of the others.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    _take_over_note(machine)
    modes = {each.path: _mode(machine, each.path) for each in cut_off(machine)}
    for path, mode in modes.items():
        _record(machine, path, mode)
    # Where a token is needed, every mode uses the gateway by a command.
    return _applied(machine, {path: SINGLE if mode == SINGLE else FAIL_OPEN for path, mode in modes.items()})


def take_back(machine: Machine) -> Report:
    """Restore the modes that files had before they were rerouted, unless they were changed meanwhile.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    _take_over_note(machine)
    rerouted = [each for each in machine.records.files.values() if each.rerouted]
    wanted = {
        each.path: each.rerouted
        for each in rerouted
        if not each.suspended and each.mode in (FAIL_OPEN, each.rerouted)
    }
    report = _applied(machine, wanted)
    failed = {each.path for each in report.files if each.error}
    for each in rerouted:
        if each.path not in failed:
            _record(machine, each.path, "")
    return report


def _mode(machine: Machine, path: str) -> str:
    record = machine.record_of(path)
    return record.mode if record is not None else ""


def _record(machine: Machine, path: str, rerouted: str) -> None:
    """Record the mode of a file before it was rerouted."""
    record = machine.record_of(path)
    if record is not None:
        machine.ledger.put(evolve(record, rerouted=rerouted))
        machine.look_again()


def _take_over_note(machine: Machine) -> None:
    """Take over the file in which earlier releases kept the modes of files, once."""
    path = os.path.join(machine.home, FORMER_NOTE)
    if not os.path.lexists(path):
        return
    with suppress(OSError, ValueError, ConfigError, AttributeError):
        for file, mode in json.loads(home_files.read_text(path, FILE_LIMIT)).items():
            if mode in (HTTP, SINGLE):
                _record(machine, file, mode)
    with suppress(OSError):
        home_files.remove(path)


def _applied(machine: Machine, modes: Mapping[str, str]) -> Report:
    reports: list[FileReport] = []
    for path, mode in modes.items():
        record = machine.records.files[os.path.realpath(path)]
        try:
            reports += apply(machine, EnrolRequest(FileChoice(file=path), mode=mode)).files
        except ConfigError as why:
            title = DIALECTS.get(record.dialect, DIALECTS[CUSTOM]).title
            reports.append(evolve(FileReport(path, record.dialect, title), error=str(why)))
    return Report(tuple(reports))
