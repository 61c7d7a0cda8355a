"""``config check``: everything that is wrong with a configuration, one line for each."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from mcpgateway.config.problems import Problem
from mcpgateway.host.settings import Examined, LoadOptions, examine


def check(options: LoadOptions, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Say what is wrong; 1 where the configuration cannot be used."""
    found = examine(options, environ)
    sys.stdout.write(_as_json(found) if as_json else _as_text(found))
    return 1 if found.settings is None else 0


def _as_text(found: Examined) -> str:
    lines = [f"{'error' if each.is_error else 'warning'}: {each}" for each in found.problems]
    errors = sum(each.is_error for each in found.problems)
    warnings = len(lines) - errors
    if found.settings is None:
        lines.append(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}")
    else:
        servers = _counted(len(found.settings.servers), "server")
        lines.append(f"no errors, {_counted(warnings, 'warning')}; {servers}")
    return "".join(f"{line}\n" for line in lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _as_json(found: Examined) -> str:
    said = {
        "ok": found.settings is not None,
        "problems": [_problem(each) for each in found.problems],
        "files": list(found.files),
        "servers": [each.name for each in found.settings.servers] if found.settings else None,
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def _problem(problem: Problem) -> dict[str, Any]:
    where = problem.where
    return {
        "severity": "error" if problem.is_error else "warning",
        "file": where.file,
        "line": where.line or None,
        "key": where.key,
        "found": problem.found,
        "allowed": problem.allowed,
        "hint": problem.hint,
        "message": str(problem),
    }
