"""A home for tests of the doctor, on a machine whose other properties the test sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.examination import CHECKS
from mcpgateway.cli.doctor.finding import DoctorFinding, Severity
from mcpgateway.system.gateway_health import HealthReply

NOW = 1_800_000_000.0
AWAY = HealthReply(why="connection refused")


def world(tmp_path: Path, **parts: Any) -> DoctorContext:
    """A world whose home and user's home are in a directory of the test's; no gateway answers unless it is said."""
    home = tmp_path / "user" / ".mcp-gateway"
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    environ = {"HOME": str(tmp_path / "user"), "PATH": os.environ["PATH"]}
    made = DoctorContext(
        str(home), environ, parts.pop("now", NOW), parts.pop("clients", ()), parts.pop("proc", "/proc")
    )
    # What is worked out once is put in its place before anybody has asked for it.
    vars(made).update({"socket": AWAY, "health": AWAY, "programs": ()} | parts)
    return made


def answers(**body: Any) -> HealthReply:
    """A gateway that answers."""
    return HealthReply(
        200, {"status": "ok", "pid": os.getpid(), "port": 9100, "backends": [], "memory_mb": 40, **body}
    )


def found(name: str, looked_at: DoctorContext) -> list[DoctorFinding]:
    """Return the findings of one check."""
    return list(next(each for each in CHECKS if each.name == name).look(looked_at))


def ids(name: str, looked_at: DoctorContext) -> list[str]:
    """The ids of what one check finds."""
    return [each.id for each in found(name, looked_at)]


def is_fine(name: str, looked_at: DoctorContext) -> bool:
    """Return whether one check passes, without any other finding."""
    (only,) = found(name, looked_at)
    return only.id == name and only.level is Severity.OK


def written(looked_at: DoctorContext, name: str, text: str, mode: int = 0o600) -> Path:
    """A file in the home."""
    path = Path(looked_at.in_home(name))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(mode)
    return path
