"""Attacks on memory: what the greedy hold is bounded in total, and nobody else is hurt by it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.shim import locations
from tests.support.attacking import FIXTURE, JSON, ask, attack, call, message
from tests.support.gateway import LIMIT_S, Gateway, eventually, server

pytestmark = pytest.mark.functional

MIB = 2**20
MEMORY_KIB = 200 * 1024
# A program of its own, as a greedy client is one: it says what it was answered, and keeps its connections open.
GREEDY = r"""
import json, select, socket, sys, time
kind, port, count, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def connected():
    if path.startswith("/"):
        return socket.create_connection(("127.0.0.1", port))
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    return peer
def head(length):
    return (b"POST /fix/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\n\r\n" % length)
def body(size):
    said = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "big", "arguments": {"bytes": size}}}
    return json.dumps(said).encode()
peers, answers = [], {}
for _ in range(count):
    peer = connected()
    try:
        if kind == "bodies":
            peer.settimeout(5)
            peer.sendall(head(3_900_000) + b" " * 3_899_000)
        elif kind == "heads":
            peer.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 60_000)
        else:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(head(len(body(10_000_000))) + body(10_000_000))
    except OSError:
        pass
    peers.append(peer)
print("sent", flush=True)
sys.stdin.readline()
for peer in peers:
    peer.settimeout(0.2)
    try:
        status = peer.recv(15)[9:12].decode() or "closed"
    except TimeoutError:
        status = "nothing"
    except OSError:
        status = "closed"
    answers[status] = answers.get(status, 0) + 1
print(json.dumps(answers), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with one server."""
    with Gateway(tmp_path, {"fix": server(FIXTURE)}) as running:
        assert call(running, "echo", {"text": "before it"}) == "before it"
        yield running


@contextmanager
def greedy(gateway: Gateway, kind: str, count: int, path: str = "/") -> Iterator[subprocess.Popen[str]]:
    """A program that holds as much as it can."""
    argv = [sys.executable, "-c", GREEDY, kind, str(gateway.port), str(count), path]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The program's next line."""
    assert process.stdout is not None
    return process.stdout.readline()


def go_on(process: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@contextmanager
def watched(gateway: Gateway) -> Iterator[list[int]]:
    """Watch the memory that a gateway occupies at most, as long as this lasts."""
    sizes: list[int] = [gateway.resident_kib()]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            sizes.append(gateway.resident_kib())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        is_over.set()
        thread.join(LIMIT_S)


class MemoryTests:
    """Memory that a greedy program holds."""

    @attack("own finding, CVE-2026-67432, CWE-770", "120 requests whose bodies never end")
    def test_bodies(self, gateway: Gateway) -> None:
        """Memory stays below 200 MB; the greedy one is refused with 503, and others are served, large bodies too."""
        with watched(gateway) as sizes, greedy(gateway, "bodies", 120) as attacker:
            assert said(attacker) == "sent\n"
            for _ in range(3):
                body = message("tools/call", {"name": "echo", "arguments": {"text": "x" * 3 * MIB}})
                assert len(ask_whole(gateway, body)) > 3 * MIB
            go_on(attacker)
            answers = json.loads(said(attacker))
        assert answers.get("503", 0) > 60, answers
        assert set(answers) <= {"503", "nothing", "closed"}
        assert max(sizes) < MEMORY_KIB

    @attack("own finding, CWE-770", "40 answers of 10 MB that nobody takes")
    @pytest.mark.parametrize("door", ["tcp", "unix"])
    def test_answers(self, gateway: Gateway, door: str) -> None:
        """Memory stays below 200 MB; the greedy one is refused with 503, and others get answers as large."""
        path = (
            "/"
            if door == "tcp"
            else locations.socket_path(
                {"HOME": str(gateway.directory), "XDG_RUNTIME_DIR": ""}, str(gateway.home)
            )
        )
        with watched(gateway) as sizes, greedy(gateway, "answers", 40, path) as attacker:
            assert said(attacker) == "sent\n"
            body = message("tools/call", {"name": "big", "arguments": {"bytes": 10_000_000}})
            for _ in range(3):
                assert len(ask_whole(gateway, body)) > 10_000_000
            eventually(lambda: gateway.backend("fix")["requests"] >= 44, "all calls have ended")
            go_on(attacker)
            answers = json.loads(said(attacker))
        assert answers.get("503", 0) > 10, answers
        assert set(answers) <= {"200", "503"}
        assert max(sizes) < MEMORY_KIB

    @attack("own finding, CWE-770", "a thousand requests whose heads never end")
    def test_heads(self, gateway: Gateway) -> None:
        """Memory stays below 200 MB, and others are served."""
        with watched(gateway) as sizes, greedy(gateway, "heads", 900) as attacker:
            assert said(attacker) == "sent\n"
            assert call(gateway, "echo", {"text": "during it"}) == "during it"
            assert ask(gateway, "GET", "/health").status == 200
        assert max(sizes) < MEMORY_KIB


def ask_whole(gateway: Gateway, body: bytes) -> bytes:
    """Ask, and read an answer of any size."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=LIMIT_S) as peer:
        names: dict[str, Any] = {
            **JSON,
            "Host": "localhost",
            "Connection": "close",
            "Content-Length": len(body),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in names.items())
        peer.sendall(f"POST /fix/mcp HTTP/1.1\r\n{lines}\r\n".encode() + body)
        found = bytearray()
        while more := peer.recv(MIB):
            found += more
        assert found.startswith(b"HTTP/1.1 200"), bytes(found[:200])
        return bytes(found)
