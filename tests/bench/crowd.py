"""The purpose of the gateway: many sessions with the same real servers, each starting its own or all sharing one set.

The servers are started as people configure them, by ``npx`` and ``uvx``, or without such a launcher.  The sessions are
those of real clients in several projects: they declare what these declare, and answer for their roots.

``python -m tests.bench.crowd`` measures this alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from tests.bench import tables
from tests.bench.crowd_client import CLAUDE_CODE, VS_CODE, Person, Visit, request
from tests.bench.crowd_programs import OTHERS, OURS, Server, Shared, in_environment
from tests.bench.http1 import BadAnswer
from tests.bench.loads import Loader
from tests.bench.phases import SETTLE_S, Bench, Plan
from tests.bench.procs import MIB, memory_kib, tree
from tests.bench.report import crowd_tables
from tests.bench.results import Results, ServerOfMany, Weight, median
from tests.bench.subjects import Starter, environment
from tests.bench.tools import CACHE, prepare

Ask = Callable[[int, str, dict[str, Any]], dict[str, Any]]
"""Sends a request with a number, a method and parameters; returns its result."""

START_LIMIT_S = 300.0
AT_ONCE = 4
ROOTS_TAKE_S = 0.05  # in which a server uses the answer for its client's roots
ANOTHER_TRY_S = 1.0  # after which a wrong answer is final: roots may come later than the first call
AUTHORITIES = (
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
)  # whom downloads believe
NEEDED_MIB = 160.0  # for each server of each session, with room to spare
PROJECTS = 3
NOT_THEIRS = "/usr"  # the configured directory, which roots replace: no project is in it
PROJECT = "{project}"  # in arguments of a call: the directory of the session's project


class WrongAnswer(BadAnswer):
    """The answer of a tool is not that which the session gets without a gateway."""


THOUGHT = {
    "thought": "First things first.",
    "thoughtNumber": 1,
    "totalThoughts": 2,
    "nextThoughtNeeded": True,
}

SERVERS = (
    Server(
        "context7",
        ("npx", "-y", "@upstash/context7-mcp"),
        "resolve-library-id",
        {"query": "how to begin", "libraryName": "twisted"},
        is_offline=False,
    ),
    Server(
        "tavily",
        ("npx", "-y", "tavily-mcp"),
        "tavily_search",
        {"query": "twisted"},
        {"TAVILY_API_KEY": "tvly-none"},
        is_offline=False,
    ),
    Server(
        "time", ("uvx", "mcp-server-time", "--local-timezone", "UTC"), "get_current_time", {"timezone": "UTC"}
    ),
    Server("memory", ("npx", "-y", "@modelcontextprotocol/server-memory"), "read_graph", {}),
    Server(
        "filesystem",
        ("npx", "-y", "@modelcontextprotocol/server-filesystem", NOT_THEIRS),
        "read_text_file",
        {"path": f"{PROJECT}/README"},
    ),
    Server(
        "everything", ("npx", "-y", "@modelcontextprotocol/server-everything"), "get-sum", {"a": 2, "b": 3}
    ),
    Server(
        "sequential-thinking",
        ("npx", "-y", "@modelcontextprotocol/server-sequential-thinking"),
        "sequentialthinking",
        THOUGHT,
    ),
)


def crowd_of(sessions: int, home: Path) -> list[Person]:
    """Return the clients, in the directories of their projects: two projects of Claude Code, one of VS Code."""
    projects = []
    for number in range(PROJECTS):
        projects.append(project := home / f"project-{number}")
        project.mkdir()
        (project / "README").write_text(f"This is project {number}.", encoding="utf-8")
    kinds = (CLAUDE_CODE, CLAUDE_CODE, VS_CODE)
    return [Person(kinds[each % PROJECTS], str(projects[each % PROJECTS])) for each in range(sessions)]


def use(server: Server, person: Person, ask: Ask) -> None:
    """Do what every client does at first: list the tools, and call one of them; its answer has to be right."""
    ask(1, "tools/list", {})
    said = json.dumps(server.arguments).replace(PROJECT, person.project)
    result = ask(2, "tools/call", {"name": server.tool, "arguments": json.loads(said)})
    if server.is_offline and (result.get("isError") or not is_right(server, person, json.dumps(result))):
        raise WrongAnswer(f"{server.name} of {person.project}: {result}")


def is_right(server: Server, person: Person, result: str) -> bool:
    """True if a result is that of the session's own project and thought."""
    right = {
        "filesystem": f"This is project {person.project[-1]}.",
        "everything": "5",
        "sequential-thinking": 'thoughtHistoryLength\\": 1',
    }
    return right.get(server.name, "") in result


def variables() -> dict[str, str]:
    """The variables that the servers get in all ways: packages are downloaded once, and found there ever after."""
    return {
        "PATH": f"{in_environment('uv')}:{os.environ.get('PATH', os.defpath)}",
        "npm_config_cache": str(CACHE / "npm-cache"),
        "UV_CACHE_DIR": str(CACHE / "uv-cache"),
        "npm_config_update_notifier": "false",
        **{name: os.environ[name] for name in AUTHORITIES if name in os.environ},
    }


@define(eq=False)
class Direct:
    """A server that a client has started for itself."""

    process: subprocess.Popen[bytes]
    person: Person
    _rest: bytes = field(default=b"", init=False, repr=False)

    def open(self, server: Server) -> None:
        """Begin a session, as every client does: handshake, list of tools, a call."""
        self.begin()
        if server.name == "filesystem":
            self._hear(lambda message: message.get("method") == "roots/list")
            time.sleep(ROOTS_TAKE_S)
        use(server, self.person, self.ask)

    def begin(self) -> None:
        """Do the handshake."""
        self.ask(0, "initialize", self.person.initialize())
        self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def stop(self) -> None:
        """End it, with the wrapper that has started it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def ask(self, number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request; return its result."""
        self._say(request(number, method, params))
        answer = self._hear(lambda message: message.get("id") == number and "method" not in message)
        result: dict[str, Any] = answer["result"]
        return result

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _hear(self, is_meant: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        assert self.process.stdout is not None
        until = time.monotonic() + START_LIMIT_S
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                message: dict[str, Any] = {}
                with suppress(ValueError):
                    message = json.loads(line)
                if "method" in message and "id" in message:
                    self._say(self.person.reply(message))
                if is_meant(message):
                    return message
                continue
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                raise BadAnswer("a server that was started directly says nothing")
            self._rest += data


def measure_crowd(bench: Bench, sessions: int) -> None:
    """Weigh all servers of so many sessions: started by each, with a launcher and without, and shared by all."""
    found = bench.results.crowd
    found.sessions, found.servers = sessions, len(SERVERS)
    bench.try_to("the crowd, downloads", partial(_with_direct, 1, SERVERS, lambda _: None))
    if _free_mib() < NEEDED_MIB * sessions * len(SERVERS):
        bench.results.problems.append(f"the crowd: too little memory is free for {sessions} sessions")
        return
    _share(bench, sessions, (OURS, *OTHERS))
    for label, servers in (("launched", SERVERS), ("direct", unwrapped())):
        bench.try_to(f"the crowd, {label}", partial(_directly, bench, sessions, label, servers))


def unwrapped() -> tuple[Server, ...]:
    """Return the servers with the programs behind ``npx`` and ``uvx``, as these have started them."""
    found: list[tuple[str, ...]] = []

    def look(started: Sequence[Direct]) -> None:
        found.extend(_program(each.process.pid) for each in started)

    _with_direct(1, SERVERS, look)
    return tuple(evolve(server, argv=argv) for server, argv in zip(SERVERS, found, strict=True))


def _program(pid: int) -> tuple[str, ...]:
    last = next(each for each in reversed(tree(pid)) if memory_kib(each)["Rss"])
    return tuple(Path(f"/proc/{last}/cmdline").read_bytes().decode().split("\0")[:-1])


def _free_mib() -> float:
    with open("/proc/meminfo", encoding="ascii") as file:
        found = dict(line.split(":", 1) for line in file)
    return int(found["MemAvailable"].split()[0]) / MIB


def _directly(bench: Bench, sessions: int, label: str, servers: Sequence[Server]) -> None:
    def weigh(started: Sequence[Direct]) -> None:
        time.sleep(SETTLE_S)
        found = weight([pid for each in started for pid in tree(each.process.pid)])
        setattr(bench.results.crowd, label, found)
        bench.say(f"{label}: {found.processes} processes, {found.pss_mib:.0f} MB PSS")

    _with_direct(sessions, servers, weigh)


def _with_direct(sessions: int, servers: Sequence[Server], do: Callable[[Sequence[Direct]], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="mcpgateway-bench-") as home:
        env = environment(Path(home)) | variables()
        people = crowd_of(sessions, Path(home))
        started: list[Direct] = []

        def open_one(wanted: tuple[Person, Server]) -> None:
            person, server = wanted
            started.append(direct := _spawn(server, person, env | server.env))
            direct.open(server)

        try:
            _a_few_at_once(open_one, people, servers)
            do(started)
        finally:
            for each in started:
                each.stop()


def _a_few_at_once(
    do: Callable[[tuple[Person, Server]], Any], people: Sequence[Person], servers: Sequence[Server]
) -> None:
    # This many starts at the same moment would only measure their waiting for each other.
    with ThreadPoolExecutor(AT_ONCE if len(people) > 1 else 1) as pool:
        list(pool.map(do, [(person, server) for person in people for server in servers]))


def _spawn(server: Server, person: Person, env: dict[str, str]) -> Direct:
    return Direct(
        subprocess.Popen(
            server.argv,
            cwd=person.project,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ),
        person,
    )


def _share(bench: Bench, sessions: int, programs: Sequence[Shared]) -> None:
    for program in programs:
        if program.needs_npm and isinstance(bench.starter.tools.npm, str):
            bench.results.problems.append(f"{program.name}: {bench.starter.tools.npm}")
            continue
        bench.try_to(f"the crowd, {program.name}", partial(_shared, bench, sessions, program))


def _shared(bench: Bench, sessions: int, shared: Shared) -> None:
    programs = shared.programs(SERVERS, variables())
    with tempfile.TemporaryDirectory(prefix="mcpgateway-bench-") as home:
        running = {program: bench.starter.start(program) for program in dict.fromkeys(programs.values())}
        urls = {
            name: f"{running[program].url}{shared.path.format(name)}" for name, program in programs.items()
        }
        visits: list[Visit] = []
        took: dict[str, list[float]] = {each.name: [] for each in SERVERS}
        wrong = dict.fromkeys(took, 0)

        def visit(wanted: tuple[Person, Server]) -> None:
            person, server = wanted
            visits.append(one := Visit(urls[server.name], person, START_LIMIT_S))
            begun = time.monotonic()
            try:
                one.begin()
                _use_twice(server, person, one.ask)
                took[server.name].append(time.monotonic() - begun)
            except (OSError, ValueError, BadAnswer, HTTPException):
                wrong[server.name] += 1

        try:
            for each in running.values():
                each.wait_until_listening(START_LIMIT_S)
            _a_few_at_once(visit, crowd_of(sessions, Path(home)), SERVERS)
            time.sleep(SETTLE_S)
            fronts = {each.pid for each in running.values()}
            pids = [pid for front in fronts for pid in tree(front)]
            found = bench.results.crowd.shared[shared.name] = weight(pids)
            bench.say(
                f"{shared.name}: {found.processes} processes, {found.pss_mib:.0f} MB PSS, wrong: {wrong}"
            )
            behind = [pid for pid in pids if pid not in fronts]
            bench.results.crowd.by_server[shared.name] = _by_server(behind, took, wrong)
        finally:
            for one in visits:
                one.end()
            for each in running.values():
                bench.starter.stop(each)


def _use_twice(server: Server, person: Person, ask: Ask) -> None:
    try:
        use(server, person, ask)
    except WrongAnswer:
        time.sleep(ANOTHER_TRY_S)
        use(server, person, ask)


def _by_server(
    pids: Sequence[int], took: Mapping[str, Sequence[float]], wrong: Mapping[str, int]
) -> dict[str, ServerOfMany]:
    found: dict[str, ServerOfMany] = {}
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}").exists()}
    for server in SERVERS:
        own = [pid for pid, line in lines.items() if _package(server).encode() in line]
        first = median(took[server.name])
        found[server.name] = ServerOfMany(len(own), weight(own).pss_mib, first, wrong[server.name])
    return found


def _package(server: Server) -> str:
    return server.argv[2 if server.argv[0] == "npx" else 1].rpartition("/")[2]


def weight(pids: Sequence[int]) -> Weight:
    """Return the memory of so many processes."""
    memory = [memory_kib(pid) for pid in pids]
    alive = [each for each in memory if each["Rss"]]
    return Weight(
        len(alive), sum(each["Rss"] for each in alive) / MIB, sum(each["Pss"] for each in alive) / MIB
    )


def main() -> None:
    """Measure the crowd alone, and print its table."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__.split("\n")[0])
    options.add_argument("--sessions", type=int, default=20)
    options.add_argument("--python", default=sys.executable, help="of the environment to measure")
    names = {each.name: each for each in (OURS, *OTHERS)}
    options.add_argument("--through", choices=names, nargs="+", help="only through these programs")
    chosen = options.parse_args()
    tools = prepare(with_npm=True)
    starter, results = Starter(tools, Path(os.path.abspath(chosen.python))), Results("", "", "")
    bench = Bench(Plan(1.0, 1, 1, 1, 1, math.inf), starter, Loader(tools.wrk, 1.0), results, [], print)
    try:
        if chosen.through:
            results.crowd.sessions, results.crowd.servers = chosen.sessions, len(SERVERS)
            _share(bench, chosen.sessions, [names[each] for each in chosen.through])
        else:
            measure_crowd(bench, chosen.sessions)
    finally:
        starter.stop_all()
    print(*map(tables.text, crowd_tables(results)), *results.problems, sep="\n")


if __name__ == "__main__":
    main()
