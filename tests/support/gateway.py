"""A real gateway process for a test, with a home of its own, and everything that can be seen of it from outside."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any, Self

from mcpgateway.shim import startup
from tests.support import forkserver
from tests.support.processes import bearing, children_of, is_alive, open_files, resident_kib

BIN = Path(sys.executable).parent
MARKER = "MCPGATEWAY_TEST_RUN"
"""The environment variable by which a test finds the children of its own gateway, however they got away."""

LIMIT_S = 60.0  # no step of a test takes as long
RUNNERS = {
    "twistd": (str(BIN / "twistd"), "-n", "--pidfile=", "mcpgateway"),
    "twist": (str(BIN / "twist"), "mcpgateway"),
    "start": tuple(startup.argv(None, [])),
}
IS_SOAK = os.environ.get("MCPGATEWAY_SOAK") == "1"
# For all gateways that tests start, below what each of them wants itself.
SETTINGS: dict[str, Any] = json.loads(os.environ.get("MCPGATEWAY_TEST_SETTINGS", "{}"))


def pause_s(waited_s: float) -> float:
    """Return the pause before the next look: most looks are requests, which take time from the awaited work."""
    return min(0.02 + waited_s / 10, 0.1)


def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    began = time.monotonic()
    while not holds():
        waited_s = time.monotonic() - began
        if waited_s > LIMIT_S:
            raise AssertionError(f"never: {what}")
        time.sleep(pause_s(waited_s))


def server(argv: Sequence[str], **more: Any) -> dict[str, Any]:
    """The entry of a server in a configuration."""
    return {"command": argv[0], "args": list(argv[1:]), **more}


class Gateway:
    """A gateway process.

    :ivar home: its home directory.
    :ivar port: its main TCP port.
    :ivar pid: its process id.
    :param is_forked: it may come from a process that has imported everything already.
    """

    def __init__(
        self,
        directory: Path,
        servers: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        options: Sequence[str] = (),
        runner: str = "twistd",
        environ: Mapping[str, str] | None = None,
        is_forked: bool = True,
    ) -> None:
        self.directory = directory
        self._is_forked = is_forked
        self.home = directory / "home"
        self.port = 0
        self.pid = 0
        self._marker = secrets.token_hex(8)
        self._log = directory / "gateway.log"
        self._runner = RUNNERS[runner]
        self._options = options
        self._environ = environ or {}
        self._process: Popen[bytes] | forkserver.Forked | None = None
        self._config = directory / "config.json"
        self._source = directory / "claude.json"
        self._config.write_text(self.configured(servers or {}, settings))
        self._source.write_text("{}")

    @property
    def config(self) -> Path:
        """The gateway's configuration file."""
        return self._config

    @property
    def source(self) -> Path:
        """The client's file it reads."""
        return self._source

    def configured(
        self, servers: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any] | None = None
    ) -> str:
        """The text of a configuration of its, with these servers."""
        entries = {name: self._marked(each) for name, each in servers.items()}
        return json.dumps({"gateway": {**SETTINGS, **(settings or {})}, "servers": entries})

    def _marked(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**entry, "env": {**entry.get("env", {}), MARKER: self._marker}}

    @property
    def argv(self) -> list[str]:
        """The command line; once it has had a port it keeps it."""
        usual = ["--port", str(self.port), "--home", str(self.home)]
        usual += ["--config", str(self._config), "--source", str(self._source)]
        return [*self._runner, *usual, *self._options]

    @property
    def url(self) -> str:
        """The URL of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """The text of its log."""
        return self._log.read_text(errors="replace")

    def start(self) -> Self:
        """Start it and wait until it answers."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"}
        environ |= {"MCPGATEWAY_RESTORE_AFTER": "0", "MCPGATEWAY_KEEP_AFTER": "86400", **self._environ}
        with self._log.open("ab") as log:
            at = log.tell()
            if self._is_forked and forkserver.can_fork(self.argv, environ):
                with Path(os.devnull).open("rb") as nothing:
                    streams = [nothing.fileno(), log.fileno(), log.fileno()]
                    self._process = forkserver.server().start(self.argv, environ, self.directory, streams)
            else:
                self._process = Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environ,
                    cwd=self.directory,
                )
        self.pid = self._process.pid
        eventually(lambda: self._has_begun(at), "the gateway answers")
        return self

    def _has_begun(self, at: int) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self._process.returncode}:\n{self.log[at:]}")
        found = re.search(r"starting on (\d+)", self.log[at:])
        if found is None:
            return False
        self.port = int(found[1])
        try:
            return bool(self.health()["status"] != "stopping")  # it may begin with something that is wrong
        except urllib.error.HTTPError as refusal:
            return refusal.code == 401  # it answers, if only those who have its token
        except OSError:
            return False

    def health(self, query: str = "") -> dict[str, Any]:
        """The body of ``GET /health``."""
        with urllib.request.urlopen(f"{self.url}/health{query}", timeout=LIMIT_S) as answer:
            body: dict[str, Any] = json.load(answer)
        return body

    def backend(self, name: str) -> dict[str, Any]:
        """Return the numbers of one server in ``GET /health``."""
        found: dict[str, Any] = next(each for each in self.health()["backends"] if each["name"] == name)
        return found

    def children(self) -> list[int]:
        """The processes that bear the mark of this gateway's servers, children and grandchildren alike."""
        return bearing(f"{MARKER}={self._marker}")

    def helpers(self) -> list[int]:
        """The gateway's own processes beside it: its direct children that are no servers."""
        return [pid for pid in children_of(self.pid) if pid not in self.children()]

    def descriptors(self) -> int:
        """Return the number of its open files."""
        return len(open_files(self.pid))

    def resident_kib(self) -> int:
        """Return its resident memory."""
        return resident_kib(self.pid)

    @property
    def has_ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """KILL it, as no program deserves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT_S)
        self._process = None

    def terminate(self) -> None:
        """End it with SIGTERM, and see that it ended in order."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(LIMIT_S)
        self._process = None
        assert code == 0, self.log
        assert "Main loop terminated." in self.log, self.log
        assert "Traceback" not in self.log, self.log

    def stop(self) -> None:
        """End it in order, and see that nothing of it is left."""
        if self._process is None:
            return
        helpers = self.helpers()
        self.terminate()
        assert self.children() == []
        eventually(lambda: not any(map(is_alive, helpers)), "the helpers end too")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *why: object) -> None:
        try:
            if why[0] is None:
                self.stop()
        finally:
            if self._process is not None:
                self.kill()
            for pid in self.children():
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def ran(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that is to end by itself."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    return forkserver.ran(argv, env=environ, cwd=cwd, has_ended=False)
