"""``config check``: print every problem of a configuration, on one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpgateway.cli.console import spinner
from mcpgateway.cli.local.broken import with_excerpt
from mcpgateway.config.document import visible
from mcpgateway.config.environment import FULL, LISTED
from mcpgateway.config.file_format import FileReading
from mcpgateway.config.problems import Problem
from mcpgateway.hints import cli
from mcpgateway.system import printing
from mcpgateway.system.settings import ExaminedSettings, LoadOptions, examine


def check(options: LoadOptions, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print the problems; return 1 if the configuration cannot be used."""
    with spinner("checking the configuration"):
        found = examine(options, environ)
    if as_json:
        printing.put_json(_as_json(found))
    else:
        printing.put(*_lines(found))
    return 1 if found.settings is None else 0


def _lines(found: ExaminedSettings) -> list[str]:
    lines = []
    for each in found.problems:
        lines.append(f"{'error' if each.is_error else 'warning'}: {each}")
        lines += [f"  {line}" for line in with_excerpt(str(each)).splitlines()[1:]]
    lines += [_words_of(each) for each in found.readings]
    errors = sum(each.is_error for each in found.problems)
    warnings = len(found.problems) - errors
    if found.settings is None:
        lines.append(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}")
    else:
        servers = _counted(len(found.settings.servers), "server")
        lines.append(f"no errors, {_counted(warnings, 'warning')}; {servers}")
    return lines


ENVIRONMENTS = {FULL: "the whole login environment", LISTED: "the environment of the allow-list"}


def _words_of(read: FileReading) -> str:
    policy = read.env_policy
    env = ENVIRONMENTS.get(policy) or f"the environment of the policy {visible(str(policy))}"
    form = f"was written for {read.reading.dialect.value}, since {read.reading.why}"
    return f"{visible(read.file)}: {form}. Its servers get {env}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _as_json(found: ExaminedSettings) -> dict[str, Any]:
    return {
        "ok": found.settings is not None,
        "problems": [_problem(each) for each in found.problems],
        "files": list(found.files),
        "read_as": [
            {
                "file": each.file,
                "dialect": each.reading.dialect.value,
                "why": each.reading.why,
                "env_policy": str(each.env_policy),
            }
            for each in found.readings
        ],
        "servers": [each.name for each in found.settings.servers] if found.settings else None,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    where = problem.where
    return {
        "severity": "error" if problem.is_error else "warning",
        "file": where.file,
        "line": where.line or None,
        "column": where.column or None,
        "key": where.key,
        "found": problem.found,
        "allowed": problem.allowed,
        "hint": problem.hint or f"{cli('config explain KEY')} says what a key is for, and what it takes",
        "message": str(problem),
    }
