"""One server alone: a gateway in a directory of its own that is removed at the end, for ``serve -- COMMAND``.

# Note [Nothing of the user's]
The gateway gets a configuration with one server, and no other file counts: not those of clients, the user's own
configuration, or variables that name files.  So neither the user's gateway nor any client is changed.

# Note [Two processes]
The command prepares the directory, starts the gateway and waits for its end, since only another process can remove the
directory after a gateway that was killed.  The gateway has a process group of its own: a terminal interrupts the
command, which ends the gateway in order; and the kernel ends it when the command is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any, NamedTuple

import click

from mcpgateway.cli.client import TOKEN, TOKEN_LIMIT, GatewayClient
from mcpgateway.cli.console import DONE, FAILED, fail
from mcpgateway.cli.context import Globals
from mcpgateway.cli.start import answers
from mcpgateway.shim import startup
from mcpgateway.system import home_files
from mcpgateway.system.state import read_state

PREFIX = "mcpgateway-"
BEGINS_S, POLL_S = 60.0, 0.02
WAIT_S, MARGIN_S = 20.0, 10.0  # of one request that waits for the server; npx may download for minutes
ENDS_S = 45.0  # as long as mcpgateway stop waits
OPTIONS = {"bind_address": "--host", "public_url": "--public-url", "allowed_origins": "--allow-origin"}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DIES_WITH_PARENT = 1  # prctl(2): PR_SET_PDEATHSIG


class OneServer(NamedTuple):
    """A server that is served alone.

    :ivar entry: its entry, as a configuration has it.
    :ivar settings: the settings of its gateway.
    :ivar log_level: the lowest level of the gateway's log on stderr.
    """

    name: str
    entry: Mapping[str, Any]
    settings: Mapping[str, Any]
    log_level: str


class Signalled(BaseException):
    """A signal asks the command to end."""


class Alone:
    """The gateway of one server.

    :ivar home: its directory.
    """

    def __init__(self, server: OneServer, home: str) -> None:
        self._server = server
        self.home = home
        self._globals = Globals(home, home)
        self._client = GatewayClient(self._globals, is_admin=True)
        self._process = self._started()

    @property
    def port(self) -> int:
        """The port of the gateway."""
        return read_state(self.home).port

    @property
    def token(self) -> str:
        """The token that callers of other machines need."""
        return startup.read_own(f"{self.home}/{TOKEN}", TOKEN_LIMIT).decode().strip()

    def begin(self) -> None:
        """Wait until the gateway answers.

        :raise Trouble: it does not.
        """
        ends = monotonic() + BEGINS_S
        while not answers(self._client):
            if self._process.poll() is not None:
                raise SystemExit(FAILED)  # the gateway has said why
            if monotonic() > ends:
                fail(f"the gateway does not answer after {BEGINS_S:g} s")
            sleep(POLL_S)

    def start(self) -> dict[str, Any]:
        """Start the server, wait for a while until it runs, and return its state."""
        found = self._ask(f"start?wait={WAIT_S:g}s", "POST").get("server")
        return found if isinstance(found, dict) else {}

    def why(self) -> dict[str, Any]:
        """Return the gateway's diagnosis of the server."""
        return self._ask("why")

    def tools(self) -> list[str]:
        """Return the names of the server's tools, as far as they are known."""
        return [str(each["name"]) for each in self._ask("").get("tools") or ()]

    def wait(self) -> int:
        """Wait for the end of the gateway, and return the exit code for a gateway that has ended by itself."""
        return DONE if self._process.wait() == 0 else FAILED

    def end(self) -> None:
        """End the gateway: in order, or by force after a second signal."""
        for each in SIGNALS:
            signal.signal(each, lambda *_: self._process.kill())
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, route: str, method: str = "GET") -> dict[str, Any]:
        path = f"/api/v1/servers/{self._server.name}" + (f"/{route}" if route else "")
        found = self._client.fetch(path, method=method, limit_s=WAIT_S + MARGIN_S)
        return found if isinstance(found, dict) else {}

    def _started(self) -> subprocess.Popen[bytes]:
        from mcpgateway.system.settings import ENV_FILE_VARIABLES

        config, clients = f"{self.home}/config.json", f"{self.home}/clients.json"
        text = {"gateway": self._server.settings, "servers": {self._server.name: self._server.entry}}
        home_files.keep(config, json.dumps(text).encode())
        home_files.keep(clients, b"{}")
        _check(config, clients, self.home)
        options = ["--config", config, "--source", clients, "--no-adopt"]
        options += ["--log-level", self._server.log_level]
        foreign = {*(each.decode() for each in startup.FOREIGN), *ENV_FILE_VARIABLES}
        environ = {key: each for key, each in os.environ.items() if key not in foreign}
        # The log goes to stderr: stdout has the URL, or the messages of the client.
        return subprocess.Popen(
            startup.argv(self.home, options),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            env=environ,
            process_group=0,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no other thread runs yet
        )


@contextmanager
def alone(server: OneServer) -> Iterator[Alone]:
    """Run the gateway of one server, and leave nothing of it behind; SIGINT, SIGTERM and SIGHUP raise `Signalled`."""
    before = {each: signal.signal(each, _signalled) for each in SIGNALS}
    home = tempfile.mkdtemp(prefix=PREFIX)
    gateway: Alone | None = None
    try:
        gateway = Alone(server, home)
        yield gateway
    finally:
        if gateway is not None:
            gateway.end()
        shutil.rmtree(home, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def relayed(gateway: Alone, name: str) -> int:
    """Be the server on stdin and stdout, until the client leaves; return the exit code."""
    from mcpgateway.shim.arguments import read
    from mcpgateway.shim.main import Shim

    if not sys.stdin.isatty():
        # Clients interrupt a whole process group; that must not end a session.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    arguments = read(["connect", name, "--url", f"http://127.0.0.1:{gateway.port}"])
    # Without the mark of a gateway that has started this command: the server is no other than the one of this command.
    shim = Shim(arguments, {"PATH": os.defpath}, ignores_interrupts=False)
    shim.seek()
    return shim.run()


def _signalled(number: int, _frame: object) -> None:
    raise Signalled(number)


def _check(config: str, clients: str, home: str) -> None:
    """Check the values of options, before the gateway refuses the configuration that was made of them.

    :raise click.UsageError: a value cannot be used.
    """
    from mcpgateway.system.settings import LoadOptions, examine

    for each in examine(LoadOptions(config, (clients,), home), os.environ).problems:
        if each.is_error:
            key = each.where.key.rpartition(".")[2]
            told = str(each).removeprefix(f"{each.where}: ")
            raise click.UsageError(f"serve: {OPTIONS.get(key, f'--{key}')}: {told}")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)
