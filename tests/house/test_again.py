"""The second chance of few failed tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import again

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pathlib, pytest

def test_of_a_busy_machine():
    path = pathlib.Path("ran")
    assert path.exists(), path.touch()

@pytest.mark.parametrize("text", ["", "a b[c]::d/e"])
def test_of_a_mistake(text):
    assert text
"""


class AgainTests:
    """A target with failures, and its end."""

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("test_it.py").write_text(TESTS)

    def ran(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run Python as a target does."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", *argv], env=environ, capture_output=True, text=True, check=False
        )

    def test_only_a_test_that_passes_is_excused(self) -> None:
        """A test that passes the second time is named, and one that fails again fails the run."""
        first = self.ran("pytest", "-q", "-p", again.MODULE, "--target=unit", "test_it.py")
        assert (first.returncode, len(again.failed("unit"))) == (1, 2)
        assert again.defer("unit", first.returncode) == 0
        second = self.ran(again.MODULE, "run", "other", "unit")
        assert second.returncode == 1
        assert "\npassed when run again: test_it.py::test_of_a_busy_machine\n" in second.stdout
        assert "\ndid not pass when run again: test_it.py::test_of_a_mistake[]\n" in second.stdout

    @pytest.mark.parametrize(
        ("status", "failed"),
        [
            (1, []),
            (1, ["test_it.py"]),
            (2, ["test_it.py::test_of_a_mistake[]"]),
            (1, [f"test_it.py::test_{each}" for each in range(again.MOST + 1)]),
        ],
        ids=["none", "not collected", "interrupted", "many"],
    )
    def test_others_fail_at_once(self, status: int, failed: list[str]) -> None:
        """A target that failed in another way has no second chance."""
        again.keep("unit", failed)
        assert again.defer("unit", status) == status
