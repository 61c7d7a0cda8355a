"""Programs that are measured: how each is started, and one running instance of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.bench.http1 import BadAnswer
from tests.bench.mcp import Client, Session
from tests.bench.procs import Account, account, identify, tree
from tests.bench.tools import HERE, Tools
from tests.support.ports import free_port

LISTENING_LIMIT_S = 30.0
CALL_LIMIT_S = 45.0
STOP_AFTER_S, KILL_AFTER_S = 4.0, 2.0
STATE = "state"  # our own files, in the home folder
CHILD_OPTIONS = ("--tools", "50", "--schema", "900")  # a list of 46 KB
TAC = """\
from twisted.application.internet import TCPServer
from twisted.application.service import Application
from twisted.internet.protocol import Factory
application = Application("empty")
TCPServer({port}, Factory(), interface="127.0.0.1").setServiceParent(application)
"""


class NotServing(Exception):
    """A program did not come up, or did not answer."""


@frozen
class Command:
    """The command that starts a program, and the address where it answers."""

    argv: list[str]
    path: str = "/mcp"


@frozen
class Place:
    """The place that a program runs in: a port, a home folder of its own and a child to serve."""

    port: int
    home: Path
    child: list[str]
    python: Path
    npm: Path

    def write(self, name: str, text: str) -> str:
        """Put a file into the home folder."""
        file = self.home / name
        file.write_text(text, encoding="utf-8")
        return str(file)


@frozen
class Program:
    """Something to measure.

    :ivar is_floor: it is a limit, not a gateway: it knows no sessions and no protocol.
    """

    name: str
    command: Callable[[Place], Command]
    is_floor: bool = False
    needs_npm: bool = False


def gateway(servers: int = 1) -> Callable[[Place], Command]:
    """Our own command line, with so many servers configured."""

    def command(place: Place) -> Command:
        names = ["echo", *(f"echo-{number}" for number in range(1, servers))]
        return _serving(place, dict.fromkeys(names, _entry(place)))

    return command


def _entry(place: Place, *options: str, **more: str) -> dict[str, Any]:
    return {"command": place.child[0], "args": [*place.child[1:], *options], **more}


def _serving(place: Place, servers: dict[str, Any]) -> Command:
    limits = {"servers": max(len(servers), 100)}
    config = place.write("config.json", json.dumps({"gateway": {"limits": limits}, "servers": servers}))
    source = place.write("source.json", "{}")
    twistd = [str(place.python.parent / "twistd"), "-n", "--pidfile=", "mcpgateway"]
    options = ["--port", str(place.port), "--config", config, "--source", source]
    return Command([*twistd, *options, "--home", str(place.home / STATE)], "/echo/mcp")


def _both_eras(place: Place) -> Command:
    servers = {
        "echo": _entry(place),
        "kept": _entry(place, "--ttl", "3600000"),
        "legacy": _entry(place, protocol="legacy"),
        "modern": _entry(place, protocol="modern"),
    }
    return _serving(place, servers)


def _empty_twistd(place: Place) -> Command:
    tac = place.write("empty.tac", TAC.format(port=place.port))
    return Command([str(place.python.parent / "twistd"), "-n", "--pidfile=", "-oy", tac])


def _floor(mode: str) -> Callable[[Place], Command]:
    def command(place: Place) -> Command:
        child = [] if mode == "raw" else place.child
        return Command([str(place.python), str(HERE / "floors.py"), mode, str(place.port), *child])

    return command


def _immorterm(place: Place) -> Command:
    entry = {"type": "stdio", "command": place.child[0], "args": place.child[1:]}
    place.write(".claude.json", json.dumps({"mcpServers": {"echo": entry}}))
    script = place.npm / "node_modules" / "immorterm-mcp-gateway" / "dist" / "index.js"
    return Command(["node", str(script), "start", "--foreground", "--port", str(place.port)], "/echo/mcp")


def _supergateway(*options: str) -> Callable[[Place], Command]:
    def command(place: Place) -> Command:
        script = place.npm / "node_modules" / "supergateway" / "dist" / "index.js"
        argv = [
            "node",
            str(script),
            "--stdio",
            shlex.join(place.child),
            "--outputTransport",
            "streamableHttp",
        ]
        return Command([*argv, "--port", str(place.port), "--logLevel", "none", *options])

    return command


OURS = Program("mcpgateway", gateway())
BOTH_ERAS = Program("mcpgateway-eras", _both_eras)
CROWDED = Program("mcpgateway-200", gateway(200))
EMPTY = Program("empty-twistd", _empty_twistd, is_floor=True)
RAW = Program("floor-raw", _floor("raw"), is_floor=True)
PIPE = Program("floor-pipe", _floor("pipe"), is_floor=True)
COPY = Program("floor-copy", _floor("copy"), is_floor=True)
RIVALS = (
    Program("immorterm-mcp-gateway", _immorterm, needs_npm=True),
    Program("supergateway-stateful", _supergateway("--stateful"), needs_npm=True),
    Program("supergateway-stateless", _supergateway(), needs_npm=True),
)
PROGRAMS = (OURS, *RIVALS, PIPE, COPY, RAW, EMPTY)


@define(eq=False)
class Running:
    """A started program, in a home folder and a process group of its own."""

    program: Program
    url: str
    child: str
    began: float
    _process: subprocess.Popen[bytes] = field(repr=False)
    used_home: tempfile.TemporaryDirectory[str] = field(repr=False)
    sessions: list[Session] = field(factory=list, repr=False)

    @property
    def home(self) -> Path:
        """The home folder of the program."""
        return Path(self.used_home.name)

    @property
    def state(self) -> Path:
        """Our own gateway's files."""
        return self.home / STATE

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def pid(self) -> int:
        """The first process of the program."""
        return self._process.pid

    def account(self) -> Account:
        """The use of the program so far."""
        return account(self._process.pid, self.child)

    def wait_until_listening(self, limit_s: float = LISTENING_LIMIT_S) -> float:
        """Milliseconds from exec until the port accepts."""
        while time.perf_counter() - self.began < limit_s:
            if self._process.poll() is not None:
                raise NotServing(f"{self.program.name} exited: {self.last_words()}")
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self._since_ms()
            time.sleep(0.002)
        raise NotServing(f"{self.program.name} never listened: {self.last_words()}")

    def wait_until_called(self) -> float:
        """Milliseconds from exec until a tool call is answered."""
        why: Exception | None = None
        while time.perf_counter() - self.began < CALL_LIMIT_S and self._process.poll() is None:
            client = Client(self.url)
            try:
                client.echo(client.open(), "first")
                return self._since_ms()
            except (OSError, ValueError, BadAnswer) as problem:
                why = problem
                time.sleep(0.02)
            finally:
                client.close()
        raise NotServing(f"{self.program.name} answers no call: {why}; {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it logged."""
        return (self.home / "log").read_text(encoding="utf-8", errors="replace")[-600:]

    def stop(self) -> None:
        """End it and every process it started, and remove its home."""
        self.end()
        self.used_home.cleanup()

    def end(self) -> None:
        """End it and every process it started."""
        family = identify(tree(self._process.pid)) if self._process.poll() is None else []
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_AFTER_S)
        for each in family:
            if each.is_alive():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_AFTER_S)

    def _since_ms(self) -> float:
        return (time.perf_counter() - self.began) * 1e3


@define(eq=False)
class Starter:
    """Starts programs, and stops whatever is left at the end."""

    tools: Tools
    python: Path
    _running: list[Running] = field(factory=list)

    def start(self, program: Program) -> Running:
        """Start one instance on a free port, with a new home."""
        home = tempfile.TemporaryDirectory(prefix="mcpgateway-bench-", ignore_cleanup_errors=True)
        return self._start(program, home)

    def start_again(self, running: Running) -> Running:
        """End one, and start it on the home that it has used."""
        self._running.remove(running)
        running.end()
        return self._start(running.program, running.used_home)

    def _start(self, program: Program, home: tempfile.TemporaryDirectory[str]) -> Running:
        child = [str(self.tools.child), *CHILD_OPTIONS]
        npm = self.tools.npm if isinstance(self.tools.npm, Path) else Path()
        place = Place(free_port(), Path(home.name), child, self.python, npm)
        command = program.command(place)
        with open(place.home / "log", "wb") as log:
            began = time.perf_counter()
            process = subprocess.Popen(
                command.argv,
                cwd=place.home,
                env=environment(place.home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{place.port}{command.path}"
        running = Running(program, url, child[0], began, process, home)
        self._running.append(running)
        return running

    def stop(self, running: Running) -> None:
        """Stop one."""
        self._running.remove(running)
        running.stop()

    def stop_all(self) -> None:
        """Stop the rest."""
        while self._running:
            self._running.pop().stop()


def environment(home: Path) -> dict[str, str]:
    """The environment of a program."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "DO_NOT_TRACK": "1",
    }
