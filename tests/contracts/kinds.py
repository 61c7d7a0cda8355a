"""The kinds of backends, each with a real server: how it is started, reached, ended and treated badly.

A kind that is new is one entry in `KINDS`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from mcpgateway.config.reach_settings import Container, Daemon, Reach, Remote, Rest, Transport
from mcpgateway.interfaces import IBackend, Launch
from tests.support import engines, real_servers
from tests.support.ports import free_port

LIMIT_S = 60.0
SERVERS = real_servers.ROOT / "tests" / "servers"


@frozen
class Does:
    """The requests that a server can be sent; empty where it cannot.

    :ivar echo: a tool that answers with its argument, the name of that, and what it puts in front.
    :ivar slow: a tool that takes very long, with its arguments.
    :ivar steps: a tool that tells of its progress five times.
    :ivar asks: a tool that asks its client, with its arguments, and the method.
    :ivar lists: further methods that list something.
    """

    echo: tuple[str, str, str] = ("", "", "")
    slow: tuple[str, Mapping[str, Any]] = ("", {})
    steps: tuple[str, Mapping[str, Any]] = ("", {})
    asks: tuple[str, Mapping[str, Any], str] = ("", {}, "")
    lists: tuple[str, ...] = ()


EVERYTHING = Does(
    echo=("echo", "message", "Echo: "),
    slow=("trigger-long-running-operation", {"duration": 600, "steps": 2}),
    steps=("trigger-long-running-operation", {"duration": 1, "steps": 5}),
    asks=(
        "trigger-sampling-request",
        {"prompt": "Well?", "maxTokens": 9},
        "sampling/createMessage",
    ),
    lists=("prompts/list", "resources/list", "resources/templates/list"),
)
FAST = Does(
    echo=("echo", "text", ""),
    slow=("slow", {"ms": 600_000}),
    steps=("steps", {"count": 5}),
    asks=("ask", {}, "elicitation/create"),
    lists=("prompts/list", "resources/list"),
)
FIXTURE = Does(
    echo=("echo", "text", ""),
    slow=("mute", {}),
    asks=("ask", {"method": "roots/list", "params": "{}"}, "roots/list"),
)
TIME = Does()
PETS = Does(echo=("echo", "text", ""), slow=("slow", {"ms": 600_000, "text": "x"}))
CAPABILITIES = ("sampling", "elicitation", "roots")
REPLIES = {
    "sampling/createMessage": {
        "role": "assistant",
        "content": {"type": "text", "text": "so it goes"},
        "model": "m",
        "stopReason": "endTurn",
    },
    "elicitation/create": {"action": "accept", "content": {"value": "so it goes"}},
    "roots/list": {"roots": [{"uri": "file:///tmp", "name": "tmp"}]},
}


@define
class Place:
    """The place where servers of a kind are started for one test.

    :ivar directory: an empty one.
    """

    directory: Path
    _started: list[subprocess.Popen[bytes]] = field(factory=list)

    def launch(self, argv: Sequence[str] = (), reach: Reach | None = None, **env: str) -> Launch:
        """Return the launch of a server in this place."""
        usual = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        return Launch("s", tuple(argv), {**usual, **env}, str(self.directory), reach)

    def start(self, argv: Sequence[str], *, reads_port: bool = False, **env: str) -> subprocess.Popen[bytes]:
        """Start a program that serves somewhere else; it is killed in the end."""
        process = subprocess.Popen(
            argv,
            env={**os.environ, **env},
            cwd=self.directory,
            stdout=subprocess.PIPE if reads_port else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def end_servers(self) -> None:
        """KILL every server that runs somewhere else."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._started.clear()


@frozen
class Kind:
    """A kind of backend.

    :ivar does: what its server can do.
    :ivar good: starts a server and says how it is reached.
    :ivar mute: one that never answers, or None.
    :ivar garbage: one that answers with garbage, or None.
    :ivar nowhere: one that cannot be reached, or None.
    :ivar is_absent: why it cannot be tried here, or "".
    """

    does: Does
    good: Callable[[Place], Launch]
    mute: Callable[[Place], Launch] | None = None
    garbage: Callable[[Place], Launch] | None = None
    nowhere: Callable[[Place], Launch] | None = None
    is_absent: Callable[[], str] = lambda: ""

    def end_server(self, place: Place, backend: IBackend) -> None:
        """KILL the server, wherever it runs."""
        if place._started:
            place.end_servers()
        else:
            os.kill(backend.pid, signal.SIGKILL)


def wait_for(port: int) -> None:
    """Wait until somebody listens at a port."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end, f"nobody listens at port {port}"
            time.sleep(0.05)
        else:
            return


def program(*argv: str) -> Callable[[Place], Launch]:
    """A program spoken with on its stdin and stdout."""
    return lambda place: place.launch(argv, PATH=os.environ["PATH"])


def elsewhere(
    argv: Callable[[int], Sequence[str]], path: str, transport: Transport
) -> Callable[[Place], Launch]:
    """A program that serves at a port, reached by URL."""

    def start(place: Place) -> Launch:
        port = free_port()
        place.start(argv(port), PORT=str(port))
        wait_for(port)
        return place.launch(reach=remote(port, path, transport))

    return start


def remote(port: int, path: str, transport: Transport) -> Remote:
    """A URL on this machine."""
    scheme = "ws" if transport is Transport.WEBSOCKET else "http"
    return Remote(f"{scheme}://127.0.0.1:{port}{path}", transport)


def printed_port(process: subprocess.Popen[bytes]) -> int:
    """The port that a program prints."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def web_socket(place: Place) -> Launch:
    """The fixture behind a WebSocket."""
    process = place.start([sys.executable, str(SERVERS / "websocket.py")], reads_port=True)
    return place.launch(reach=remote(printed_port(process), "/", Transport.WEBSOCKET))


def pets(place: Place) -> Launch:
    """The service without MCP, by its description."""
    process = place.start([sys.executable, str(SERVERS / "pets.py")], reads_port=True)
    return place.launch(reach=Rest("", openapi=f"http://127.0.0.1:{printed_port(process)}/openapi.json"))


def daemon(
    argv: Callable[[int], Sequence[str]], path: str, transport: Transport
) -> Callable[[Place], Launch]:
    """A program that the gateway starts and reaches by URL."""

    def start(place: Place) -> Launch:
        port = free_port()
        reach = Daemon(port, f"http://127.0.0.1:{port}{path}", transport)
        return place.launch(argv(port), reach, PORT=str(port))

    return start


def contained(*flags: str) -> Callable[[Place], Launch]:
    """The fixture in a container."""

    def start(place: Place) -> Launch:
        engine = engines.real()
        assert engine is not None
        argv, options = engine.server(SERVERS / "fixture_server.py", *flags)
        return place.launch(argv, Container(engine.image, engine.program, options), **engine.env)

    return start


def listener(behaviour: str) -> Callable[[Place], int]:
    """A port where somebody accepts connections, and says nothing or garbage."""
    text = (
        "import os, socket, threading\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "def serve(c):\n"
        "    while c.recv(65536):\n"
        f"        {behaviour}\n"
        "while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()\n"
    )
    return lambda place: printed_port(place.start([sys.executable, "-c", text], reads_port=True))


MUTE = listener("pass")
NOISE = listener("c.sendall(os.urandom(4096) + b'\\n'); c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n{]')")


def badly(port_of: Callable[[Place], int], reach: Callable[[int], Reach]) -> Callable[[Place], Launch]:
    """A server that behaves badly at a port."""
    return lambda place: place.launch(reach=reach(port_of(place)))


def at(path: str, transport: Transport) -> dict[str, Callable[[Place], Launch]]:
    """The bad servers of a kind that is reached by URL."""

    def reach(port: int) -> Reach:
        return remote(port, path, transport)

    return {
        "mute": badly(MUTE, reach),
        "garbage": badly(NOISE, reach),
        "nowhere": badly(lambda _: free_port(), reach),
    }


def described(port: int) -> Reach:
    """A service whose description is at a port."""
    return Rest("", openapi=f"http://127.0.0.1:{port}/openapi.json")


def everything(transport: str) -> Callable[[int], Sequence[str]]:
    """The reference server of npm, at a port."""
    return lambda _: [*real_servers.everything(), transport]


def fast(port: int) -> Sequence[str]:
    """The FastMCP server of PyPI, at a port."""
    return [str(real_servers.PYPI_BIN / "python"), str(SERVERS / "fast.py"), str(port)]


def silent(_: int) -> Sequence[str]:
    """A program that never serves."""
    return ["sleep", "600"]


def no_engine() -> str:
    """Return the reason why no container can be run here."""
    return "" if engines.real() else "no engine runs containers here"


HTTP, SSE, SOCKET = Transport.STREAMABLE_HTTP, Transport.SSE, Transport.WEBSOCKET

STDIO_BAD: dict[str, Callable[[Place], Launch]] = {
    "mute": program(*real_servers.fixture("--mute-handshake")),
    "garbage": program("sh", "-c", "head -c 100000 /dev/urandom; exec cat"),
}

KINDS: dict[str, Kind] = {
    "stdio": Kind(FIXTURE, program(*real_servers.fixture()), **STDIO_BAD),
    "stdio-npm": Kind(EVERYTHING, program(*real_servers.everything()), **STDIO_BAD),
    "stdio-pypi": Kind(TIME, program(*real_servers.time()), **STDIO_BAD),
    "websocket": Kind(FIXTURE, web_socket, **at("/", SOCKET)),
    "rest": Kind(
        PETS,
        pets,
        mute=badly(MUTE, described),
        garbage=badly(NOISE, described),
        nowhere=badly(lambda _: free_port(), described),
    ),
    "container": Kind(FIXTURE, contained(), mute=contained("--mute-handshake"), is_absent=no_engine),
    "http-npm": Kind(EVERYTHING, elsewhere(everything("streamableHttp"), "/mcp", HTTP), **at("/mcp", HTTP)),
    "http-pypi": Kind(FAST, elsewhere(fast, "/mcp", HTTP), **at("/mcp", HTTP)),
    "sse-npm": Kind(EVERYTHING, elsewhere(everything("sse"), "/sse", SSE), **at("/sse", SSE)),
    "daemon": Kind(
        EVERYTHING, daemon(everything("streamableHttp"), "/mcp", HTTP), mute=daemon(silent, "/mcp", HTTP)
    ),
    "daemon-sse": Kind(EVERYTHING, daemon(everything("sse"), "/sse", SSE), mute=daemon(silent, "/sse", SSE)),
}
