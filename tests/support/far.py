"""Servers behind ports, and a gateway in front of them, for functional tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually
from tests.support.ports import free_port
from tests.support.real_servers import ROOT

OVER_HTTP = ROOT / "tests" / "servers" / "over_http.py"
TAC = ROOT / "tests" / "servers" / "gateway_of_remotes.tac"
EVERYTHING = ROOT / "tests/servers/npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"


def answers(port: int) -> bool:
    """Return whether a program listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Server:
    """A program that serves at a port.

    :ivar port: which; it keeps it when it is started again.
    """

    def __init__(self, argv: Sequence[str], **env: str) -> None:
        self.port = free_port()
        self._argv = [each.replace("PORT", str(self.port)) for each in argv]
        self._env = {"PATH": os.environ["PATH"], "PORT": str(self.port), **env}
        self._process: subprocess.Popen[bytes] | forkserver.Forked | None = None

    @classmethod
    def everything(cls, kind: str) -> Self:
        """The reference server of npm: ``streamableHttp`` or ``sse``."""
        return cls(["node", str(EVERYTHING), kind])

    @classmethod
    def python(cls, *options: str) -> Self:
        """A server on the Python SDK."""
        return cls([str(OVER_HTTP), "PORT", *options])

    @property
    def url(self) -> str:
        """The URL of its endpoint."""
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> Self:
        """Start it, and wait until it listens."""
        if self._argv[0] == str(OVER_HTTP):
            self._process = forkserver.script(self._argv, self._env)
        else:
            nothing = subprocess.DEVNULL
            self._process = subprocess.Popen(self._argv, env=self._env, stdout=nothing, stderr=nothing)
        eventually(lambda: answers(self.port), "the server listens")
        return self

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process = None

    def hold(self) -> None:
        """Stop its process (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue its process (SIGCONT)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *why: object) -> None:
        self.kill()


class GatewayOfRemotes(Gateway):
    """A gateway whose servers are remote."""

    def __init__(self, directory: Path, remotes: Mapping[str, Mapping[str, Any]], **limits: Any) -> None:
        super().__init__(directory, remotes, settings=limits)

    @property
    def argv(self) -> list[str]:
        """The command line of the server."""
        (self.directory / "port.json").write_text(json.dumps(self.port))
        return [str(BIN / "twistd"), "-n", "--pidfile=", "-y", str(TAC)]


class Pipe:
    """A way to a server that can be cut: everything that comes is passed on.

    :ivar port: where it is entered.
    :ivar seen: all that has passed.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen = b""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self.seen += data
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Reset every connection."""
        cut, self._open = self._open, []
        for each in cut:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                each.shutdown(socket.SHUT_RDWR)
                each.close()

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self.cut()


@contextlib.contextmanager
def raw(answer: bytes | None, *, certificate: str = "") -> Iterator[int]:
    """A server that gives every request the same bytes, and closes; None: nothing at all. Its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if context is not None:
        context.load_cert_chain(certificate)
    held: list[Any] = []

    def serve() -> None:
        while True:
            try:
                connection: Any = listener.accept()[0]
            except OSError:
                return
            held.append(connection)
            threading.Thread(target=say, args=(connection,), daemon=True).start()

    def say(connection: Any) -> None:
        with contextlib.suppress(OSError):
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            connection.recv(65536)
            if answer is not None:
                connection.sendall(answer)
                time.sleep(0.05)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for each in held:
            each.close()
