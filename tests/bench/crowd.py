"""The purpose of the gateway: many sessions with the same real servers, each starting its own or all sharing one set.

The servers are started as people configure them, by ``npx`` and ``uvx``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.bench.http1 import BadAnswer
from tests.bench.mcp import INITIALIZED, LIST, Client, call, initialize
from tests.bench.phases import SETTLE_S, Bench
from tests.bench.procs import MIB, memory_kib, tree
from tests.bench.results import Weight
from tests.bench.subjects import STATE, Command, Place, Program, Running, environment
from tests.bench.tools import CACHE

START_LIMIT_S = 120.0
AT_ONCE = 4
AUTHORITIES = (
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
)  # whom downloads believe
NEEDED_MIB = 160.0  # for each server of each session, with room to spare
USE = call(2, "no-such-tool", {})  # any answer will do: the server has to run for it


@frozen
class Server:
    """A real server, as an entry of a configuration names it."""

    name: str
    argv: tuple[str, ...]


SERVERS = (
    Server("everything", ("npx", "-y", "@modelcontextprotocol/server-everything")),
    Server("filesystem", ("npx", "-y", "@modelcontextprotocol/server-filesystem", "/tmp")),
    Server("memory", ("npx", "-y", "@modelcontextprotocol/server-memory")),
    Server("sequential-thinking", ("npx", "-y", "@modelcontextprotocol/server-sequential-thinking")),
    Server("time", ("uvx", "mcp-server-time", "--local-timezone", "UTC")),
    Server("fetch", ("uvx", "mcp-server-fetch")),
    Server("git", ("uvx", "mcp-server-git")),
)


def launchers() -> str:
    """The directory with ``uvx``, installed once."""
    place = CACHE / "uv"
    if not (place / "bin" / "uvx").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"]
        subprocess.run(pip, check=True, timeout=START_LIMIT_S)
    return str(place / "bin")


def variables() -> dict[str, str]:
    """The variables that the servers get in both ways: packages are downloaded once, and found there ever after."""
    return {
        "PATH": f"{launchers()}:{os.environ.get('PATH', os.defpath)}",
        "npm_config_cache": str(CACHE / "npm-cache"),
        "UV_CACHE_DIR": str(CACHE / "uv-cache"),
        "npm_config_update_notifier": "false",
        **{name: os.environ[name] for name in AUTHORITIES if name in os.environ},
    }


@define(eq=False)
class Direct:
    """A server that a client has started for itself, with its handshake done."""

    process: subprocess.Popen[bytes]
    _rest: bytes = field(default=b"", init=False, repr=False)

    def open(self) -> None:
        """Begin a session, as every client does: handshake, list of tools, a call."""
        self._say(initialize(0))
        self._hear(0)
        self._say(INITIALIZED)
        self._say(LIST)
        self._hear(1)
        self._say(USE)
        self._hear(2)

    def stop(self) -> None:
        """End it, with the wrapper that has started it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def _hear(self, number: int) -> None:
        assert self.process.stdout is not None
        until = time.monotonic() + START_LIMIT_S
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                with suppress(ValueError):
                    if json.loads(line).get("id") == number:
                        return
                continue
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                raise BadAnswer("a server that was started directly says nothing")
            self._rest += data


def measure_crowd(bench: Bench, sessions: int) -> None:
    """Weigh all servers of so many sessions, started by each and shared by all."""
    found = bench.results.crowd
    found.sessions, found.servers = sessions, len(SERVERS)
    bench.try_to("the crowd, downloads", partial(_with_direct, 1, list))
    if _free_mib() < NEEDED_MIB * sessions * len(SERVERS):
        bench.results.problems.append(f"the crowd: too little memory is free for {sessions} sessions")
        return
    bench.try_to("the crowd, shared", partial(_shared, bench, sessions))
    bench.try_to("the crowd, directly", partial(_directly, bench, sessions))


def _free_mib() -> float:
    with open("/proc/meminfo", encoding="ascii") as file:
        found = dict(line.split(":", 1) for line in file)
    return int(found["MemAvailable"].split()[0]) / MIB


def _directly(bench: Bench, sessions: int) -> None:
    def weigh(started: Sequence[Direct]) -> None:
        time.sleep(SETTLE_S)
        pids = [pid for each in started for pid in tree(each.process.pid)]
        found = bench.results.crowd.direct = weight(pids)
        bench.say(f"directly: {found.processes} processes, {found.pss_mib:.0f} MB PSS")

    _with_direct(sessions, weigh)


def _with_direct(sessions: int, do: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="mcpgateway-bench-") as home:
        env = environment(Path(home)) | variables()
        started: list[Direct] = []
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                wanted = [server for _ in range(sessions) for server in SERVERS]
                for opened in pool.map(partial(_opened, home=home, env=env, started=started), wanted):
                    assert opened
            do(started)
        finally:
            for each in started:
                each.stop()


def _opened(server: Server, *, home: str, env: dict[str, str], started: list[Direct]) -> bool:
    # No more than a few at once: this many starts at the same moment would only measure their waiting for each other.
    direct = _spawn(server, home, env)
    started.append(direct)
    direct.open()
    return True


def _spawn(server: Server, home: str, env: dict[str, str]) -> Direct:
    return Direct(
        subprocess.Popen(
            server.argv,
            cwd=home,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def _shared(bench: Bench, sessions: int) -> None:
    running = bench.starter.start(Program("mcpgateway-crowd", _gateway))
    try:
        running.wait_until_listening()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wanted = [server for _ in range(sessions) for server in SERVERS]
            clients = list(pool.map(partial(_client, running), wanted))
        time.sleep(SETTLE_S)
        found = bench.results.crowd.shared = weight(tree(running.pid))
        bench.say(f"shared: {found.processes} processes, {found.pss_mib:.0f} MB PSS")
        for client in clients:
            client.close()
    finally:
        bench.starter.stop(running)


def _gateway(place: Place) -> Command:
    env = variables()
    servers = {each.name: {"command": each.argv[0], "args": each.argv[1:], "env": env} for each in SERVERS}
    config = place.write(
        "config.json", json.dumps({"servers": servers, "gateway": {"limits": {"handshake": 120}}})
    )
    source = place.write("source.json", "{}")
    twistd = [str(place.python.parent / "twistd"), "-n", "--pidfile=", "mcpgateway"]
    options = ["--port", str(place.port), "--config", config, "--source", source]
    return Command([*twistd, *options, "--home", str(place.home / STATE)], "/everything/mcp")


def _client(running: Running, server: Server) -> Client:
    client = Client(f"http://127.0.0.1:{running.port}/{server.name}/mcp", START_LIMIT_S)
    session = client.open()
    client.tools(session)
    answer = client.ask(USE, session)
    if answer.status != 200:
        raise BadAnswer(f"{server.name}: {answer.status} {answer.body[:200]!r}")
    return client


def weight(pids: Sequence[int]) -> Weight:
    """Return the memory of so many processes."""
    memory = [memory_kib(pid) for pid in pids]
    alive = [each for each in memory if each["Rss"]]
    return Weight(
        len(alive), sum(each["Rss"] for each in alive) / MIB, sum(each["Pss"] for each in alive) / MIB
    )
