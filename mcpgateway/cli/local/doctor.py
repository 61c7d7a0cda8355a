"""``doctor`` for the daemon: its findings, and the repair of those of one kind, as JSON."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from typing import Any

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.examination import as_json, examine, mend
from mcpgateway.system import paths, printing


def main(argv: list[str]) -> int:
    """Print the findings; with ``--fix ID`` carry out the repairs of that kind first. Returns 0."""
    parser = ArgumentParser(prog="mcpgateway.cli.local doctor", allow_abbrev=False, add_help=False)
    parser.add_argument("--home", default="")
    parser.add_argument("--fix", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    home = paths.gateway_home(os.environ, options.home or None)
    repairs: list[dict[str, str]] = []
    if options.fix:
        wanted = [each for each in examine(_world(home)) if each.id == options.fix]
        repairs = [
            {"id": each.finding.id, "what": each.finding.repair.what, "why": each.why}
            for each in mend(wanted, is_dry=False)
            if each.finding.repair is not None
        ]
    printing.put_json({**_findings(home), "repairs": repairs}, indent=None)
    return 0


def _world(home: str) -> DoctorContext:
    return DoctorContext(home, os.environ, time.time())


def _findings(home: str) -> dict[str, Any]:
    findings = list(examine(_world(home)))
    shown = as_json(findings)
    for each, value in zip(findings, shown["findings"], strict=True):
        value["repair"] = each.repair.what if each.repair is not None else ""
    return shown
