"""A user of this machine: a home that is thrown away, the commands run in it, and the gateway that they start."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from attrs import Factory, define

from mcpgateway.system.service_files import service_file
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, MARKER, eventually
from tests.support.ports import free_port
from tests.support.processes import bearing, is_alive

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
WORK = "work"


@define
class User:
    """A user who runs commands.

    :ivar home: the home directory; the gateway's own files are in it where they always are.
    :ivar port: where this user's gateway listens, as its configuration says.
    :ivar has_service: whether the gateway is installed as a service, as far as files tell; clients then get URLs.
    """

    home: Path
    port: int = Factory(free_port)
    has_service: bool = True
    _mark: str = Factory(lambda: secrets.token_hex(8))

    @property
    def work(self) -> Path:
        """The working directory of commands."""
        return self.home / WORK

    @property
    def gateway_home(self) -> Path:
        """The gateway's own directory."""
        return self.home / ".mcp-gateway"

    @property
    def url(self) -> str:
        """The gateway's URL in clients' files."""
        return f"http://localhost:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every command, made from nothing."""
        usual = {"PATH": f"{BIN}:{SYSTEM_PATH}", "HOME": str(self.home), "TMPDIR": str(self.home / "tmp")}
        return {**usual, "LANG": "C.UTF-8", MARKER: self._mark}

    def write(self, name: str, text: str) -> Path:
        """Write a file in the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def ran(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program that is to end by itself; what it starts in the background may go on."""
        return forkserver.ran(argv, env={**self.environ, **more}, cwd=self.work, has_ended=False)

    def mcpgateway(self, *words: str, code: int = 0) -> str:
        """Run one of the gateway's commands; what it says on stdout.

        :raise AssertionError: it ended with another exit code.
        """
        done = self.ran(str(BIN / "mcpgateway"), *words)
        assert done.returncode == code, (
            f"mcpgateway {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.log}"
        )
        return done.stdout

    def told(self, *words: str) -> Any:
        """Run one of the gateway's commands with --json; return its output."""
        return json.loads(self.mcpgateway("--json", *words))

    def health(self) -> dict[str, Any]:
        """The body of ``GET /health``."""
        with urllib.request.urlopen(f"{self.url}/health", timeout=LIMIT_S) as answer:
            body: dict[str, Any] = json.load(answer)
        return body

    def answers(self) -> bool:
        """Return whether the gateway answers."""
        try:
            return bool(self.health()["status"] == "ok")
        except OSError:
            return False

    def backend(self, name: str) -> dict[str, Any]:
        """Return the numbers of one server in ``GET /health``."""
        found: dict[str, Any] = next(each for each in self.health()["backends"] if each["name"] == name)
        return found

    def serves(self, name: str) -> bool:
        """Return whether the gateway has a server of that name."""
        return any(each["name"] == name for each in self.health()["backends"])

    @property
    def gateway_pid(self) -> int:
        """The process of the gateway."""
        return int(json.loads((self.gateway_home / "state.json").read_text())["pid"])

    def kill_gateway(self) -> None:
        """KILL the gateway, as a lack of memory does."""
        pid = self.gateway_pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), "the gateway is gone")

    @property
    def log(self) -> str:
        """The text of the gateway's log."""
        found = sorted((self.gateway_home / "logs").glob("*.log"))
        return "".join(each.read_text(errors="replace")[-3000:] for each in found)

    def __enter__(self) -> Self:
        self.work.mkdir(parents=True, exist_ok=True)
        (self.home / "tmp").mkdir(exist_ok=True)
        if self.has_service:
            self.write(os.path.relpath(service_file({"HOME": str(self.home)}), self.home), "")
        if not (self.gateway_home / "config.yaml").exists():
            self.gateway_home.mkdir(mode=0o700, exist_ok=True)
            self.write(".mcp-gateway/config.yaml", f"gateway:\n  http_port: {self.port}\n")
        return self

    def __exit__(self, *why: object) -> None:
        self.kill_all()

    def kill_all(self) -> None:
        """KILL all that the user's commands have started, as a loss of power does."""
        # Those that start others go first, or they would start them again.
        while left := bearing(f"{MARKER}={self._mark}"):
            for pid in left:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            eventually(lambda: not any(map(is_alive, left)), "what was killed is gone")
