"""A second chance for few failed tests, each alone on a quiet machine.

As a plugin of pytest it keeps the ids of the failed tests of a target of the Makefile.  As a program,
``defer TARGET STATUS`` leaves few of them for later, and ``run TARGET...`` runs them one by one, and fails if one of
them fails again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A failed fixture takes the tests of its file with it; more than these are no accident of a busy machine.
MOST = 20
KEPT = Path("build", "again")
MODULE = "tests.support.again"


class Outcomes:
    """A plugin of pytest that records which tests passed, from their setup to their teardown, and which failed.

    :ivar failed: the ids of those that failed, be it only once, and of files that could not be collected.
    """

    def __init__(self) -> None:
        self._called: set[str] = set()
        self.failed: set[str] = set()

    @property
    def passed(self) -> set[str]:
        """The ids of these tests."""
        return self._called - self.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record one stage of a test, or the end of the worker that ran it."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.passed and report.when == "call":
            self._called.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file that could not be collected."""
        if report.failed:
            self.failed.add(report.nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the name of the target."""
    parser.addoption("--target", help="the target of the Makefile whose failed tests are kept")


def pytest_configure(config: pytest.Config) -> None:
    """Record the outcomes of a run, except in the workers of pytest-xdist, whose reports arrive at one process."""
    if config.getoption("target") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(), "again")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the ids of the failed tests."""
    outcomes = session.config.pluginmanager.get_plugin("again")
    if outcomes is not None:
        keep(session.config.getoption("target"), sorted(outcomes.failed))


def keep(target: str, tests: list[str]) -> None:
    """Keep the ids of the tests that failed."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / target).write_text(json.dumps(tests))


def failed(target: str) -> list[str]:
    """Return the ids of the tests that failed when a target last ran."""
    path = KEPT / target
    found: list[str] = json.loads(path.read_text()) if path.exists() else []
    return found


def defer(target: str, status: int) -> int:
    """Return 0 where the failed tests of a target are run again later, else the status of its pytest."""
    tests = failed(target)
    # One without :: is a file that could not be collected.
    are_tests = all("::" in each for each in tests)
    if status != pytest.ExitCode.TESTS_FAILED or not 0 < len(tests) <= MOST or not are_tests:
        return status
    print(f"{target}: {len(tests)} failed; they are run again at the end", file=sys.stderr)
    return 0


def again(target: str) -> bool:
    """Run the failed tests of a target; whether all of them passed."""
    tests = failed(target)
    outcomes = Outcomes()
    status = pytest.main(["--quiet", *tests], plugins=[outcomes])
    for each in tests:
        said = "passed when run again" if each in outcomes.passed else "did not pass when run again"
        print(f"{said}: {each}", flush=True)
    return status == pytest.ExitCode.OK and outcomes.passed == set(tests)


def run(targets: list[str]) -> int:
    """Run the failed tests of each target in a process of its own; 1 if one of them did not pass."""
    statuses = [
        subprocess.run([sys.executable, "-m", MODULE, "one", each], check=False).returncode
        for each in targets
        if failed(each)
    ]
    return int(any(statuses))


def main(command: str, *arguments: str) -> int:
    """Run one of the commands; its exit status."""
    if command == "defer":
        target, status = arguments
        return defer(target, int(status))
    if command == "one":
        return int(not again(*arguments))
    return run(list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
