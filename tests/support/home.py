"""A throw-away home of a gateway, and the installed programs run in it as its user would."""

import json
import os
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from mcpgateway.system.service_files import service_file
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, MARKER, eventually
from tests.support.ports import free_port
from tests.support.processes import bearing, is_alive, is_daemon


class Home:
    """A user's directory with a gateway's home in it.

    :ivar path: the gateway's home.
    :ivar port: what its configuration says.
    """

    def __init__(self, directory: Path, servers=None, *, port=0, limits=None, has_service=True, **environ):
        self.directory = directory
        self.path = directory / "home"
        self.path.mkdir(mode=0o700)
        if has_service:  # clients then get URLs where a test asks for no mode
            service = Path(service_file({"HOME": str(directory)}))
            service.parent.mkdir(parents=True, exist_ok=True)
            service.touch()
        self.port = port or free_port()
        self._marker = secrets.token_hex(8)
        self.environ = {
            "PATH": os.environ["PATH"],
            "EDITOR": "false",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            MARKER: self._marker,
            "MCPGATEWAY_RESTORE_AFTER": "0",
            "MCPGATEWAY_KEEP_AFTER": "86400",
            **environ,
        }
        document = {"gateway": {"http_port": self.port, "limits": limits or {}}, "servers": servers or {}}
        (self.path / "config.json").write_text(json.dumps(document))

    def argv(self, *words):
        """The command line of the program."""
        return [str(BIN / "mcpgateway"), "--home", str(self.path), *map(str, words)]

    def begin(self, *words, **more):
        """Start the program."""
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
            cwd=self.directory,
            **more,
        )

    def run(self, *words, **more):
        """Run the program to its end."""
        if not more:
            argv = self.argv(*words)
            return forkserver.ran(argv, env=self.environ, cwd=self.directory, has_ended=False)
        process = self.begin(*words, **more)
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words):
        """Run a command with --json, which must succeed; return its output.

        The status of a gateway that does not run is an answer, too.
        """
        done = self.run("--json", *words)
        assert done.returncode in ((0, 2) if words[0] == "status" else (0,)), done.stdout + done.stderr
        return json.loads(done.stdout)

    def daemons(self):
        """The gateways that run here."""
        return [pid for pid in bearing(f"{MARKER}={self._marker}") if is_daemon(pid)]

    def processes(self):
        """All that runs here."""
        return [pid for pid in bearing(f"{MARKER}={self._marker}") if is_alive(pid)]

    @property
    def log(self):
        """The text of the gateways' logs."""
        with suppress(FileNotFoundError):
            return (self.path / "logs" / "gateway.log").read_text()
        return ""

    def __enter__(self):
        return self

    def __exit__(self, *why):
        print(self.log)  # for the report of a failure
        for name in ("wanted", "stopped"):  # nothing is to start a gateway again
            with suppress(OSError):
                (self.path / name).unlink()
        end = time.monotonic() + LIMIT_S
        for number in (signal.SIGTERM, signal.SIGKILL):
            limit = time.monotonic() + LIMIT_S / 4
            while self.processes() and time.monotonic() < min(end, limit):
                for pid in self.daemons() or self.processes():
                    with suppress(OSError):
                        os.kill(pid, signal.SIGCONT)
                        os.kill(pid, number)
                time.sleep(0.1)
        eventually(lambda: not self.processes(), "nothing is left running")
