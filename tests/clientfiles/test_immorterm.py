"""Clients that a crashed immorterm-mcp-gateway has left at a dead port get their own servers back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.other_gateways import of_immorterm
from mcpgateway.cli.main import run
from mcpgateway.clientfiles import immorterm
from mcpgateway.clientfiles.enrolment import adoptable, apply, undo
from mcpgateway.clientfiles.plan import EnrolRequest
from tests.support.clients import House

ECHO = {"type": "stdio", "command": "/bin/echo", "args": ["one"], "env": {"TOKEN": "a-secret-value"}}
REMOTE = {"type": "http", "url": "https://far.example/mcp"}


class Left(House):
    """A user's home in which it has run, as it is when it was killed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.its = root / ".immorterm" / "mcp-gateway"
        self.its.mkdir(parents=True)
        for name in ("config-backup.json", "config-backup.shadow.json"):
            self.keep(name, echo=ECHO)
        self.state(2**22 - 1)
        self.write(self.claude, {"echo": self.led("echo"), "far": REMOTE}, _mcp_gateway_ts=1795219573732)

    def keep(self, name: str, **servers: Any) -> None:
        """Write the other gateway's backup of a file."""
        (self.its / name).write_text(json.dumps({"backedAt": 1, "servers": servers}, indent=2))

    def state(self, pid: int, **more: Any) -> None:
        """Write the other gateway's state."""
        said = {"pid": pid, "port": 9177, "startedAt": 1, "servers": ["echo"], **more}
        (self.its / "state.json").write_text(json.dumps(said))

    @staticmethod
    def led(name: str, port: int = 9177) -> dict[str, str]:
        """An entry that leads to it."""
        return {"type": "http", "url": f"http://localhost:{port}/{name}/mcp"}

    def found(self) -> list[str]:
        """Return the doctor's findings."""
        return [each.id for each in of_immorterm(DoctorContext(str(self.home), self.environ, 0.0))]


@pytest.fixture
def house(tmp_path: Path) -> Left:
    """A home that the other gateway has left."""
    return Left(tmp_path)


class CrashedTests:
    def test_led_here(self, house: Left) -> None:
        """The clients of a crashed tool are enrolled with their original entries, and undo restores these."""
        assert house.found() == ["immorterm.left"]
        assert adoptable(str(house.home), house.environ).servers == {str(house.claude): ("echo",)}
        report = apply(house.machine, EnrolRequest())
        assert not report.errors
        assert house.servers(house.claude)["echo"]["url"] == "http://localhost:9100/echo/mcp"
        assert "_mcp_gateway_ts" not in house.claude.read_text()
        assert house.found() == ["immorterm"]
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == {"echo": ECHO, "far": REMOTE}

    def test_planned(
        self, house: Left, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The plan is shown and nothing is done unasked; while the other gateway runs, nothing is planned."""
        for name, value in house.environ.items():
            monkeypatch.setenv(name, value)
        before = house.claude.read_text()
        assert run(["--home", str(house.home), "clients", "plan"]) == 0
        said = capsys.readouterr().out
        assert "~/.claude.json: echo is restored" in said
        assert "echo stays" not in said
        assert "nothing would change" not in said
        assert run(["--home", str(house.home), "clients", "apply", "--check"]) == 3
        assert run(["--home", str(house.home), "clients", "apply"]) == 1
        assert "there is no terminal to ask at" in capsys.readouterr().err
        assert house.claude.read_text() == before
        with subprocess.Popen([sys.executable, "-c", "input()", "mcp-gateway"], stdin=subprocess.PIPE) as its:
            house.state(its.pid)
            assert run(["--home", str(house.home), "clients", "apply", "--check"]) == 0

    def test_given_back(self, house: Left) -> None:
        """Undo alone restores the clients' own servers."""
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == {"echo": ECHO, "far": REMOTE}
        assert immorterm.in_words(house.machine) == []

    def test_at_our_port(self, house: Left) -> None:
        """The tool's usual port is the gateway's as well."""
        house.write(house.claude, {"echo": house.led("echo", 9100)})
        apply(house.machine, EnrolRequest())
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude) == {"echo": ECHO}

    @pytest.mark.parametrize("text", ["", "{", '{"servers": {}}'])
    def test_the_shadow(self, house: Left, text: str) -> None:
        """The other gateway's second copy counts where its backup is damaged."""
        (house.its / "config-backup.json").write_text(text)
        undo(house.machine, EnrolRequest())
        assert house.servers(house.claude)["echo"] == ECHO

    def test_others(self, house: Left) -> None:
        """Other clients and projects get their own servers back, wherever their files are."""
        cursor, shop = house.root / "elsewhere" / "mcp.json", house.root / "shop" / ".mcp.json"
        for path in (cursor, house.place("windsurf"), shop):
            house.write(path, {"echo": house.led("echo")})
        house.keep("config-backup-cursor.json", echo=ECHO)
        house.keep("config-backup-windsurf.json", echo=ECHO)
        house.state(2**22 - 1, clients=[{"tool": "cursor", "configPath": str(cursor), "serverCount": 1}])
        (house.its / "project-backups").mkdir()
        kept = {"configPath": str(shop), "projectHash": "x", "backedAt": 1, "servers": {"echo": ECHO}}
        (house.its / "project-backups" / "x.json").write_text(json.dumps(kept))
        undo(house.machine, EnrolRequest())
        for path in (house.claude, cursor, house.place("windsurf"), shop):
            assert house.servers(path)["echo"] == ECHO

    def test_what_it_does_not_know(self, house: Left) -> None:
        """Other entries at such a URL are left alone."""
        house.write(house.claude, {"other": house.led("other"), "echo": house.led("renamed")})
        before = house.claude.read_text()
        undo(house.machine, EnrolRequest())
        assert house.claude.read_text() == before
        assert house.found() == ["immorterm"]


class RunningTests:
    def test_left_alone(self, house: Left) -> None:
        """A running gateway would undo every change: it is named, with the command that ends it."""
        argv = [
            sys.executable,
            "-c",
            "import sys; print(flush=True); sys.stdin.read()",
            "immorterm-mcp-gateway",
        ]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as it:
            assert it.stdout is not None
            it.stdout.readline()
            house.state(it.pid)
            before = house.claude.read_text()
            apply(house.machine, EnrolRequest())
            assert house.claude.read_text() == before
            assert house.found() == ["immorterm.leads"]
            assert immorterm.as_json(house.machine)["pid"] == it.pid
            assert f"which runs (pid {it.pid})" in immorterm.in_words(house.machine)[0]
            assert "immorterm-mcp-gateway stop" in immorterm.in_words(house.machine)[-1]
            it.kill()
