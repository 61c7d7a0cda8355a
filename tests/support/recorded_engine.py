"""The engine of Docker, played from a record: its answers are those of a real one, its container is a process here.

The record was made between the command line of Docker 28 and an engine that speaks version 1.41 of Docker's API.  What
is played is as much of it as ``docker run``, ``rm``, ``pull`` and ``image inspect`` ask for.
"""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support import real_servers

VERSION = "1.41"
ID = "384d9f25cac9ed47a04c6dea83426ebf790f32338d7f0c8ebaeb71f38a5fceb4"
STDOUT, STDERR = 1, 2
LIMIT_S = 60


class RecordedEngine:
    """An engine on a Unix socket, with one container at most.

    :ivar created: what the container was created with.
    :ivar had_image: its image was there by then.
    :ivar name: what it is called.
    :ivar removed: the names that were to be removed.
    :ivar pulled: the images that were fetched.
    """

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.created: dict[str, Any] = {}
        self.had_image = False
        self.name = ""
        self.removed: list[str] = []
        self.pulled: list[str] = []
        self.images = {"there:1"}
        self.process: subprocess.Popen[bytes] | None = None
        self.attached: socket.socket | None = None
        self.has_started = threading.Event()
        self.has_gone = threading.Event()
        self._server = _Server(path, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop answering, and end what runs."""
        self._server.shutdown()
        self._server.server_close()
        self.kill()

    def start(self) -> None:
        """Start the container."""
        pipe = subprocess.PIPE
        argv = real_servers.fixture()
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        for number, stream in ((STDOUT, self.process.stdout), (STDERR, self.process.stderr)):
            threading.Thread(target=self._pass_on, args=(number, stream), daemon=True).start()
        threading.Thread(target=self._wait, daemon=True).start()
        self.has_started.set()

    def _pass_on(self, number: int, stream: Any) -> None:
        # Each piece has a header: which stream it is of, and how long it is.
        while data := stream.read1(65536):
            attached = self.attached
            if attached is not None:
                with suppress(OSError):
                    attached.sendall(struct.pack(">BxxxI", number, len(data)) + data)

    def _wait(self) -> None:
        assert self.process is not None
        self.process.wait(LIMIT_S)
        self.has_gone.set()

    def kill(self) -> None:
        """KILL the container."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class _Server(socketserver.ThreadingUnixStreamServer):
    """Takes connections."""

    daemon_threads = True

    def __init__(self, path: Path, engine: RecordedEngine) -> None:
        self.engine = engine
        super().__init__(str(path), _Connection)

    def handle_error(self, *_: Any) -> None:
        """A command line that was killed is no error."""


class _Connection(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """The engine logs nothing."""

    def do_HEAD(self) -> None:
        """``/_ping``."""
        self.answer(200)

    def do_GET(self) -> None:
        """``/images/<name>/json``, and how the engine is."""
        path = self.route()
        image = path.removeprefix("/images/").removesuffix("/json")
        if path.startswith("/images/") and image in self.server.engine.images:
            self.answer(200, {"Id": f"sha256:{ID}", "RepoTags": [image]})
        elif path.startswith("/images/"):
            self.answer(404, {"message": f"failed to find image {image}: No such image"})
        else:
            self.answer(200, {"Version": "25", "ApiVersion": VERSION, "OSType": "linux"})

    def do_POST(self) -> None:
        """The requests that change state."""
        engine, path = self.server.engine, self.route()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if path == "/containers/create":
            engine.name, engine.created = query["name"], json.loads(body)
            engine.had_image = engine.created["Image"] in engine.images
            self.answer(201, {"Id": ID, "Warnings": []})
        elif path == f"/containers/{ID}/attach":
            self.attach()
        elif path == f"/containers/{ID}/wait":
            self.wait()
        elif path == f"/containers/{ID}/start":
            engine.start()
            self.answer(204)
        elif path == f"/containers/{ID}/kill":
            assert engine.process is not None
            engine.process.terminate()
            self.answer(204)
        elif path == "/images/create":
            image = f"{query['fromImage'].removeprefix('docker.io/library/')}:{query['tag']}"
            engine.pulled.append(image)
            engine.images.add(image)
            self.answer(200, {"status": f"Status: Downloaded newer image for {image}"})
        else:
            self.answer(404, {"message": f"page not found: {path}"})

    def do_DELETE(self) -> None:
        """``/containers/<name>``."""
        engine, name = self.server.engine, self.route().removeprefix("/containers/")
        was_there = engine.process is not None and not engine.has_gone.is_set()
        engine.removed.append(name)
        engine.kill()
        if was_there:
            self.answer(204)
        else:
            self.answer(404, {"message": f'no container with name or ID "{name}" found: no such container'})

    def attach(self) -> None:
        """The connection becomes the container's stdin, stdout and stderr."""
        engine = self.server.engine
        self.send_response(101, "UPGRADED")
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "tcp")
        self.end_headers()
        self.wfile.flush()
        engine.attached = self.connection
        self.close_connection = True
        if not engine.has_started.wait(LIMIT_S):
            return
        assert engine.process is not None
        assert engine.process.stdin is not None
        with suppress(OSError):
            while data := self.rfile.read1(65536):
                engine.process.stdin.write(data)
                engine.process.stdin.flush()
        with suppress(OSError):
            engine.process.stdin.close()  # StdinOnce: it ends with the first who was attached
        engine.has_gone.wait(LIMIT_S)

    def wait(self) -> None:
        """The end of the container, which is told in the body of an answer that has begun long before."""
        engine = self.server.engine
        self.send_response(200)
        self.send_header("Api-Version", VERSION)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if engine.has_gone.wait(LIMIT_S):
            body = b'{"StatusCode":0,"Error":null}\n'
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    def route(self) -> str:
        """The path without the version in front."""
        path = urlsplit(self.path).path
        return path.removeprefix(f"/v{VERSION}")

    def answer(self, status: int, content: Any = None) -> None:
        """Answer."""
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Api-Version", VERSION)
        self.send_header("Docker-Experimental", "true")
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
