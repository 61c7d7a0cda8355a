"""``mcpgateway service`` as its user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.main import run
from mcpgateway.system.service_files import SYSTEMD
from tests.support.service_managers import Systemctl

CODE = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"


class Shell:
    """A shell of a user of systemd."""

    def __init__(self, directory: Path) -> None:
        self.systemctl = Systemctl(directory / "bin")
        self.user = directory
        self.units = directory / ".config" / "systemd" / "user"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command with these words."""
        argv = [sys.executable, "-c", CODE, "service", *words]
        environ = self.systemctl.environ(self.user)
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def told(self, *words: str, code: int = 0) -> str:
        """The output of the command."""
        done = self.run(*words)
        assert done.returncode == code, done
        return done.stdout

    def answered(self, *words: str, code: int = 0) -> Any:
        """The JSON output of the command."""
        return json.loads(self.told(*words, "--json", code=code))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell."""
    return Shell(tmp_path)


class ServiceTests:
    """The three verbs."""

    def test_in_words(self, shell: Shell) -> None:
        """A verb prints the change that it has made, or the present state."""
        assert "no service is installed" in shell.told("status", code=1)
        installed = shell.told("install", "--no-start")
        assert [line for line in installed.splitlines() if line.startswith("wrote ")] == [
            f"wrote {shell.units / name}" for name in SYSTEMD
        ]
        assert "as it is" in installed
        status = shell.told("status", code=1)
        assert "enabled    yes  starts when you log in" in status
        assert "active     no   inactive/dead" in status
        (shell.units / SYSTEMD[2]).write_text("mine")
        assert f"{SYSTEMD[2]}: changed" in shell.told("status", code=1)
        assert f"would remove {shell.units / SYSTEMD[0]}" in shell.told("uninstall", "--dry-run")
        assert len(list(shell.units.iterdir())) == 3

    def test_for_programs(self, shell: Shell) -> None:
        """The same as JSON."""
        found = shell.answered("install", "--dry-run")
        assert [Path(unit["path"]).name for unit in found["units"]] == list(SYSTEMD)
        assert not shell.units.exists()
        shell.told("install", "--no-start")
        found = shell.answered("status", code=1)
        assert (found["installed"], found["enabled"], found["active"], found["pid"]) == (
            True,
            True,
            False,
            None,
        )
        for name in SYSTEMD[::2]:
            (shell.systemctl.directory / "active" / name).touch()
        found = shell.answered("status")
        assert (found["active"], found["pid"], found["says"]) == (True, 4711, "2 servers")
        assert found["deadman"]

    def test_the_files_are_printed(self, shell: Shell) -> None:
        """A dry run prints what would be written, with the home that was named."""
        printed = shell.told("install", "--dry-run", "--home", str(shell.user / "elsewhere"))
        assert f"mcpgateway --home {shell.user}/elsewhere\n" in printed
        assert "Type=notify" in printed
        assert "OnCalendar=minutely" in printed

    def test_a_failure(self, shell: Shell) -> None:
        """A failure is reported on stderr, with a remedy; the exit code is 1."""
        shell.systemctl.breaks("show-environment", "Failed to connect to bus: No medium found")
        done = shell.run("install")
        assert done.returncode == 1
        problem, hint = done.stderr.splitlines()
        assert problem.endswith("Failed to connect to bus: No medium found")
        assert "mcpgateway start" in hint

    def test_needless(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Options for talking to a gateway are a mistake."""
        assert run(["--url", "x", "service", "status"]) == 64
        assert "service: --url" in capsys.readouterr().err
