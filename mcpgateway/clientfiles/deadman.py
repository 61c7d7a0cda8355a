"""Restore clients' files when the gateway stays away; run every minute by a timer of the user.

The time since the gateway went away is in ``<home>/away.json``.  A check that comes much later than the one before says
nothing of the time between: the machine may have slept, or the timer been off, so the waiting begins anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import frozen

from mcpgateway.clientfiles.disk import DISK, Disk
from mcpgateway.clientfiles.enrolment import AWAY, machine_of, resume, suspend
from mcpgateway.clientfiles.report import Report
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files

AFTER_S = 120.0
GAP_S = 180.0  # three checks
FILE = "away.json"
FILE_LIMIT = 4096


@frozen
class DeadmanState:
    """The outcome of one check.

    :ivar is_there: the gateway answers.
    :ivar away_s: the seconds for which it has not answered, as far as known.
    :ivar report: the outcome for the files; None where none had to be changed.
    """

    is_there: bool
    away_s: float = 0.0
    report: Report | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome for programs."""
        report = self.report.as_json() if self.report is not None else None
        return {"is_there": self.is_there, "away_s": self.away_s, "report": report}


def deadman(
    home: str, environ: Mapping[str, str], after_s: float = AFTER_S, disk: Disk = DISK
) -> DeadmanState:
    """Check once whether the gateway answers, and restore or enrol files accordingly.

    :raise ConfigError: the ledger cannot be used, or the home cannot be written to.
    """
    machine = machine_of(home, environ)
    known = machine.records.files.values()
    if not any(each.suspended in ("", AWAY) for each in known):
        _forget(home)
        return DeadmanState(is_there=False)
    if machine.answer is not None:
        _forget(home)
        is_back = any(each.suspended == AWAY for each in known)
        return DeadmanState(is_there=True, report=resume(home, environ, (AWAY,)) if is_back else None)
    now = disk.now()
    since = _since(home, now)
    _keep(home, since, now)
    away_s = now - since
    if away_s < after_s or not any(not each.suspended for each in known):
        return DeadmanState(is_there=False, away_s=away_s)
    return DeadmanState(is_there=False, away_s=away_s, report=suspend(home, environ, AWAY))


def _since(home: str, now: float) -> float:
    try:
        found = json.loads(home_files.read_text(os.path.join(home, FILE), FILE_LIMIT))
        since, looked = float(found["since"]), float(found["looked"])
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return now
    return since if since <= looked <= now <= looked + GAP_S else now


def _keep(home: str, since: float, now: float) -> None:
    text = json.dumps({"since": since, "looked": now})
    home_files.keep(os.path.join(home, FILE), text.encode("ascii"), lasting=False)


def _forget(home: str) -> None:
    with suppress(OSError):
        os.unlink(os.path.join(home, FILE))
