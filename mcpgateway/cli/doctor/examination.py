"""All checks in their order, their findings, and repairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen

from mcpgateway.cli.doctor import (
    client_files,
    cluster,
    configuration,
    gateway,
    ledger,
    machine,
    namesakes,
    other_gateways,
    own_files,
    tool_names,
)
from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, FindingKind, Severity, page, problem
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli

CHECKS: tuple[Check, ...] = (
    *gateway.FIRST,
    *ledger.FIRST,
    *client_files.FIRST,
    *own_files.FIRST,
    *client_files.SECOND,
    *gateway.CHECKS,
    *own_files.CHECKS,
    *configuration.CHECKS,
    *cluster.CHECKS,
    *ledger.CHECKS,
    *client_files.CHECKS,
    *tool_names.CHECKS,
    *machine.CHECKS,
    *other_gateways.CHECKS,
    *machine.LAST,
    *namesakes.CHECKS,
)
"""Every check, in the order they are made in: first what decides whether anything works at all."""

OF_CLIENTS = frozenset(
    each.name
    for checks in (ledger.FIRST, ledger.CHECKS, client_files.FIRST, client_files.SECOND, client_files.CHECKS)
    for each in checks
)
"""The checks of clients' files, which a node of a cluster has only where one is enrolled."""

BROKEN = problem(
    "doctor.broken",
    "A check could not be made.",
    f"{cli('doctor --json')} shows the rest; please report this",
)


def examine(world: DoctorContext, checks: Iterable[Check] = CHECKS) -> Iterator[DoctorFinding]:
    """Run the checks, one after the other; a check that fails is a finding too."""
    for check in checks:
        try:
            if check.name not in OF_CLIENTS or not world.is_plain_node:
                yield from check.look(world)
        except Exception as why:  # noqa: BLE001 - a failed check must not prevent the others
            yield BROKEN.found(f"{check.title} could not be looked at: {type(why).__name__}: {_text(why)}")


def _text(why: Exception) -> str:
    return str(why).partition("\n")[0][:200]


def kinds() -> tuple[FindingKind, ...]:
    """The kinds of findings, in the order of the checks."""
    return (*(kind for check in CHECKS for kind in check.kinds), BROKEN)


@frozen
class Mended:
    """The outcome of a repair.

    :ivar why: the reason of its failure; empty if it succeeded, or was only listed.
    """

    finding: DoctorFinding
    why: str = ""


def mend(findings: Iterable[DoctorFinding], *, is_dry: bool) -> Iterator[Mended]:
    """Carry out the repairs of findings, or only list them (`is_dry`)."""
    for each in findings:
        if each.repair is None:
            continue
        why = ""
        if not is_dry:
            try:
                each.repair.do()
            except (OSError, ConfigError) as trouble:
                why = str(trouble)
        yield Mended(each, why)


def verdict(findings: Sequence[DoctorFinding]) -> tuple[int, int]:
    """Return the number of checks that passed, and of problems."""
    levels = [each.level for each in findings]
    return levels.count(Severity.OK), levels.count(Severity.PROBLEM)


def as_json(findings: Sequence[DoctorFinding]) -> dict[str, Any]:
    """Return the findings, for programs."""
    passed, issues = verdict(findings)
    return {
        "ok": not issues,
        "passed": passed,
        "issues": issues,
        "findings": [_finding(each) for each in findings],
    }


def _finding(finding: DoctorFinding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "level": finding.level.value,
        "text": finding.text,
        "advice": finding.advice,
        "run": finding.run,
        "fixable": finding.repair is not None,
        "more": list(finding.more),
        "page": page(finding.id),
    }
