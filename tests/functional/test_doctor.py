"""The doctor on real machines: gateways that run, homes that are broken, and what it can put right."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()", "a-server-of-this-test"]
CLOCK = [sys.executable, "-P", "-m", "mcpgateway.demo.clock"]


class Patient:
    """A user's machine, with a gateway and clients' files."""

    def __init__(self, directory: Path) -> None:
        self.gateway = Gateway(directory, {"clock": server(CLOCK), "idle": server(SLEEPER)})
        self.directory = directory

    @property
    def home(self) -> Path:
        """The gateway's home."""
        return self.gateway.home

    def run(self, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
        """Run our program as the user."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"}
        environ["MCPGATEWAY_CONFIG"] = str(self.gateway.config)
        argv = [str(BIN / "mcpgateway"), "--home", str(self.home), *words]
        if before:
            argv = ["sh", "-c", f'{before}; exec "$@"', "sh", *argv]
        return forkserver.ran(argv, env=environ, cwd=self.directory, has_ended=False)

    def doctor(self, *words: str, before: str = "") -> dict[str, Any]:
        """The doctor's answer to a program; its exit code agrees with it."""
        done = self.run("doctor", "--json", *words, before=before)
        told: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if told["ok"] else 1)
        return told

    def ids(self, *words: str, before: str = "") -> set[str]:
        """The ids of what it finds."""
        return {each["id"] for each in self.doctor(*words, before=before)["findings"]}

    def claude(self, **entries: Any) -> Path:
        """Write Claude Code's file."""
        path = self.directory / ".claude.json"
        path.write_text(json.dumps({"mcpServers": entries}))
        path.chmod(0o600)
        return path


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Patient]:
    """A machine whose gateway runs."""
    made = Patient(tmp_path)
    with made.gateway:
        yield made


class HealthyTests:
    """A machine on which all is well."""

    def test_nothing_is_wrong(self, patient: Patient) -> None:
        """No check finds a problem, each server has its line, and the port is the gateway's."""
        patient.claude(clock={"type": "http", "url": f"http://localhost:{patient.gateway.port}/clock/mcp"})
        told = patient.doctor()
        assert [each for each in told["findings"] if each["level"] == "problem"] == []
        by_id = {each["id"]: each for each in told["findings"]}
        assert {line.split()[1] for line in by_id["health"]["more"]} == {"clock", "idle"}
        assert {"ports", "permissions", "commands", "wiring", "clock", "limits", "disk"} <= set(by_id)
        assert "doctor.broken" not in by_id

    def test_in_words(self, patient: Patient) -> None:
        """A pipe gets plain text, with the sum at its end."""
        done = patient.run("doctor")
        assert done.returncode == 0
        assert "passed, 0 issues" in done.stdout
        assert "\x1b" not in done.stdout


class BrokenTests:
    """Machines on which something is wrong."""

    def test_a_broken_home(self, patient: Patient) -> None:
        """Faults that can be put right safely are, once the user asks for it, and not before."""
        child = subprocess.Popen(["true"])
        child.wait()
        (patient.home / "daemons").mkdir(mode=0o700, exist_ok=True)
        (patient.home / "daemons" / "x.lock").write_text(json.dumps({"pid": child.pid, "port": 1}))
        left = patient.home / f".x.{child.pid}.0123456789ab"
        left.write_text("")
        os.utime(left, (time.time() - 7200, time.time() - 7200))
        (patient.home / "catalogs").mkdir(mode=0o700, exist_ok=True)
        (patient.home / "catalogs" / "clock.json").write_text("{")
        file = patient.claude()
        file.chmod(0o666)
        patient.home.chmod(0o755)
        lock = patient.directory / ".claude.json.lock"
        lock.mkdir()
        os.utime(lock, (time.time() - 120, time.time() - 120))
        wrong = {
            *("permissions.open", "locks.stale", "leftovers.temporary", "catalogs.damaged"),
            *("clients.writable", "claude.lock"),
        }
        assert wrong <= patient.ids()
        assert wrong <= patient.ids("--fix", "--dry-run")
        assert left.exists()
        told = patient.doctor("--fix")
        assert {each["id"] for each in told["repairs"]} >= wrong
        assert {each["result"] for each in told["repairs"]} == {"done"}
        assert told["ok"]
        assert not wrong & patient.ids()
        assert (file.stat().st_mode & 0o777, patient.home.stat().st_mode & 0o777) == (0o664, 0o700)
        assert patient.gateway.health()["status"] == "ok"

    def test_killed(self, patient: Patient) -> None:
        """After a crash the state is stale, and entries lead to a port where nobody answers."""
        patient.claude(clock={"type": "http", "url": f"http://localhost:{patient.gateway.port}/clock/mcp"})
        patient.gateway.kill()
        found = patient.ids()
        assert {"state.stale", "health.away", "ports.closed", "wiring.dead"} <= found

    def test_a_taken_port(self, tmp_path: Path) -> None:
        """A port that another program holds is told of with that program."""
        patient = Patient(tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            config = json.loads(patient.gateway.config.read_text())
            config["gateway"]["http_port"] = taken.getsockname()[1]
            patient.gateway.config.write_text(json.dumps(config))
            (foreign,) = [each for each in patient.doctor()["findings"] if each["id"] == "ports.foreign"]
        assert f"(pid {os.getpid()})" in foreign["text"]

    def test_few_files(self, tmp_path: Path) -> None:
        """A shell's limits are those of the gateway that it starts."""
        assert "limits.files" in Patient(tmp_path).ids(before="ulimit -n 512")
        assert "limits.files" not in Patient(tmp_path).ids(before="ulimit -n 4096 || true")

    def test_a_server_that_runs_twice(self, patient: Patient) -> None:
        """A server that somebody started outside the gateway is told of; one of the gateway's own is not."""
        assert "duplicates.running" not in patient.ids()
        with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as child:
            (twice,) = [each for each in patient.doctor()["findings"] if each["id"] == "duplicates.running"]
            assert f"pid {child.pid}" in twice["text"]
            child.communicate(timeout=LIMIT_S)

    def test_two_gateways(self, patient: Patient, tmp_path: Path) -> None:
        """The gateway of another home is told of with its home and its process."""
        directory = tmp_path / "other"
        directory.mkdir()
        other = Gateway(directory, is_forked=False).start()  # doctor reads command lines
        try:
            texts = [
                each["text"] for each in patient.doctor()["findings"] if each["id"] == "gateways.another"
            ]
            assert any(f"{other.home} runs (pid {other.pid})" in each for each in texts)
        finally:
            other.stop()

    def test_an_entry_that_was_written_over(self, patient: Patient) -> None:
        """An entry that another program has put back is led to the gateway again, and is given back in the end."""
        own = {"command": CLOCK[0], "args": CLOCK[1:], "env": {"A": "1"}}
        file = patient.claude(mine=own)
        done = patient.run("clients", "apply", "--client", "claude-code", "--http", "--yes")
        assert done.returncode == 0, done.stderr
        assert "url" in json.loads(file.read_text())["mcpServers"]["mine"]
        assert "entries.reverted" not in patient.ids()
        file.write_text(json.dumps({"numStartups": 2, "mcpServers": {"mine": own}}))
        eventually(
            lambda: patient.run("doctor", "--fix").returncode == 0, "the entry leads to the gateway again"
        )
        assert "url" in json.loads(file.read_text())["mcpServers"]["mine"]
        assert patient.run("clients", "undo").returncode == 0
        assert json.loads(file.read_text()) == {"numStartups": 2, "mcpServers": {"mine": own}}


class PasteTests:
    """Generated entries work."""

    def test_an_entry_that_was_generated(self, patient: Patient) -> None:
        """A generated entry is one that a client can start: it answers, as the server."""
        entry = json.loads(patient.run("generate-config", "--server", "clock").stdout)["mcpServers"]["clock"]
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        argv = [entry["command"], *entry["args"]]
        done = subprocess.run(
            argv, input=json.dumps(hello) + "\n", capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert json.loads(done.stdout)["result"]["serverInfo"]["name"]
