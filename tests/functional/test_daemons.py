"""Programs that serve at a port of their own: started once, adopted where they run, strangers left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater

from mcpgateway.backends import daemon as module
from mcpgateway.backends import probe
from mcpgateway.backends.daemon import DaemonBackend, Daemons
from mcpgateway.backends.http.client import Web
from mcpgateway.backends.spawn import Launcher
from mcpgateway.config.reach_settings import Daemon
from mcpgateway.errors import BackendGone
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.system.process.processes import bearing
from mcpgateway.system.process.procfs import is_alive, start_time
from mcpgateway.system.process.socket_owners import SocketSearch
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

SERVER = str(Path(__file__).parent.parent / "servers" / "ported.py")
PATIENCE_S = 60.0


class Line:
    """A session that only notes what it is told."""

    pid = heard = 0

    def __init__(self, launch: Launch, receiver: Any) -> None:
        self.launch = launch
        self.receiver = receiver
        self.written: list[bytes] = []
        self.has_ended = False

    def write(self, line: bytes, *, now: bool = False) -> None:
        self.written.append(line)

    def stop(self) -> Deferred[None]:
        self.has_ended = True
        self.receiver.gone(Gone(0))
        return succeed(None)

    def kill(self) -> None:
        self.has_ended = True

    def stderr_tail(self) -> str:
        return ""


class Recorder:
    """Writes down how it ends."""

    def __init__(self) -> None:
        self.ends: list[Gone] = []

    def line_received(self, line: bytes) -> None:
        """Of no interest."""

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Of no interest."""

    def gone(self, why: Gone) -> None:
        """The end."""
        self.ends.append(why)


class Gateway:
    """As much of a gateway as daemons need; several may share a home."""

    def __init__(self, home: Path) -> None:
        self.instance = f"daemons{os.getpid()}x{os.urandom(4).hex()}"
        self.guardian = Guardian(reactor, self.instance)
        self.web = Web(reactor)
        launcher = Launcher(reactor, ChildGuard(ChildRegistry(str(home), self.instance), self.guardian))
        self.locks = DaemonLocks(str(home), str(home / "theirs"), SocketSearch(reactor))
        self.daemons = Daemons(reactor, launcher, self.web, self.locks)
        self.lines: list[Line] = []

    def reach(self, launch: Launch, receiver: Any) -> Line:
        """Begin a session."""
        self.lines.append(Line(launch, receiver))
        return self.lines[-1]

    def begin(self, port: int, *flags: str, **env: str) -> tuple[DaemonBackend, Recorder]:
        """Reach the daemon ``d``."""
        recorder = Recorder()
        argv = (sys.executable, SERVER, str(port), *flags)
        launch = Launch(
            "d", argv, {"PATH": os.environ["PATH"], **env}, "/", Daemon(port, f"http://127.0.0.1:{port}/mcp")
        )
        return DaemonBackend(self.daemons, self.reach, launch, recorder), recorder

    @property
    def processes(self) -> list[int]:
        """The daemons it has started that still run."""
        return [pid for pid in bearing(f"MCPGATEWAY_INSTANCE={self.instance}") if is_alive(pid)]


Start = Callable[[], Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Makes gateways of one home; what they have started is killed in the end."""
    made: list[Gateway] = []

    def make() -> Gateway:
        made.append(Gateway(tmp_path))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(each.web.close())
        each.guardian.stop()
        for pid in each.processes:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def port() -> int:
    """A port where nobody listens."""
    return free_port()


@pytest.fixture
def stranger(port: int) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts programs at the port that are nobody's."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*flags: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, SERVER, str(port), *flags]
        started.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        end = time.monotonic() + PATIENCE_S
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < end
            time.sleep(0.05)
        return started[-1]

    yield run
    for each in started:
        each.kill()
        each.wait()


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never became true"
        await deferLater(reactor, 0.02)


def lock_of(home: Path) -> dict[str, Any]:
    """The contents of the lock."""
    found: dict[str, Any] = json.loads((home / "daemons" / "d.lock").read_text())
    return found


class StartTests:
    """A daemon that does not run is started."""

    @pytest_twisted.ensureDeferred
    async def test_life(self, start: Start, port: int, tmp_path: Path) -> None:
        """A daemon is started, locked, reached once its port answers, and stopped with its lock."""
        gateway = start()
        backend, recorder = gateway.begin(port, "--late", "0.5")
        backend.write(b"early\n")
        await until(lambda: gateway.lines)
        (line,) = gateway.lines
        assert line.written == [b"early\n"]
        assert line.launch.reach.url == f"http://127.0.0.1:{port}/mcp"
        assert (lock_of(tmp_path)["pid"], lock_of(tmp_path)["port"]) == (backend.pid, port)
        assert backend.stderr_tail() == "starting\nand complaining"
        await backend.stop()
        assert line.has_ended
        assert len(recorder.ends) == 1
        assert not gateway.processes
        assert not (tmp_path / "daemons" / "d.lock").exists()
        with pytest.raises(BackendGone):
            backend.write(b"late\n")

    @pytest_twisted.ensureDeferred
    async def test_several_users(self, start: Start, port: int) -> None:
        """Several sessions share one daemon, which ends with the last of them."""
        gateway = start()
        (one, _), (other, _) = gateway.begin(port), gateway.begin(port)
        await until(lambda: len(gateway.lines) == 2)
        assert one.pid == other.pid
        await one.stop()
        assert gateway.processes == [other.pid]
        other.kill()
        await until(lambda: not gateway.processes)

    @pytest_twisted.ensureDeferred
    async def test_another_environment(
        self, start: Start, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An entry with other variables does not get the daemon of another; its own is started once that has gone."""
        gateway = start()
        first, _ = gateway.begin(port, TOKEN="one")
        await until(lambda: len(gateway.lines) == 1)
        monkeypatch.setattr(module, "CONNECT_S", 0.2)
        _, ends = gateway.begin(port, TOKEN="two")
        await until(lambda: ends.ends)
        assert "another command or environment" in ends.ends[0].fault
        assert "two" not in ends.ends[0].fault
        assert len(gateway.lines) == 1
        assert (tmp_path / "daemons" / "d.lock").exists()
        monkeypatch.undo()
        second, _ = gateway.begin(port, TOKEN="two")
        old = gateway.processes
        await first.stop()
        await until(lambda: len(gateway.lines) == 2)
        assert gateway.processes != old
        await second.stop()
        assert gateway.processes == []

    @pytest_twisted.ensureDeferred
    async def test_two_gateways(self, start: Start, port: int) -> None:
        """Two gateways that want it at once start one; the other adopts it, and leaves it alone."""
        first, second = start(), start()
        mine, _ = first.begin(port, "--late", "0.5")
        theirs, _ = second.begin(port)
        await until(lambda: first.lines and second.lines)
        assert len(first.processes + second.processes) == 1
        assert {mine.pid, theirs.pid} == {0, *first.processes, *second.processes}
        owner, guest = (mine, theirs) if mine.pid else (theirs, mine)
        await guest.stop()
        assert is_alive(owner.pid)
        await owner.stop()
        assert not first.processes + second.processes

    @pytest_twisted.ensureDeferred
    async def test_its_end(self, start: Start, port: int, tmp_path: Path) -> None:
        """The end of a daemon is the end of every session at it; the next one starts another."""
        gateway = start()
        (one, first), (_, second) = gateway.begin(port), gateway.begin(port)
        await until(lambda: len(gateway.lines) == 2)
        pid = one.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: first.ends and second.ends)
        assert [first.ends[0].signal, second.ends[0].signal] == [signal.SIGKILL] * 2
        again, _ = gateway.begin(port)
        await until(lambda: len(gateway.lines) == 3)
        assert again.pid not in (0, pid)
        assert lock_of(tmp_path)["pid"] == again.pid
        await again.stop()

    @pytest_twisted.ensureDeferred
    async def test_a_lost_session(self, start: Start, port: int) -> None:
        """A session that is lost takes along a daemon that nobody else speaks with, so that it is started anew."""
        gateway = start()
        _, recorder = gateway.begin(port)
        await until(lambda: gateway.lines)
        gateway.lines[0].receiver.gone(Gone(fault="it hung up"))
        assert recorder.ends[0].fault == "it hung up"
        await until(lambda: not gateway.processes)
        again, _ = gateway.begin(port)
        await until(lambda: len(gateway.lines) == 2)
        await again.stop()

    @pytest_twisted.ensureDeferred
    async def test_failures(self, start: Start, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A daemon that ends, or never serves its port, is told with its last words, and nothing of it is left."""
        monkeypatch.setattr(module, "CONNECT_S", 1.5)
        gateway = start()
        for flags, words in (
            (("--exit", "3"), f"d ended before it served port {port} (exit code 3)"),
            (("--late", "600", "--stubborn"), f"d did not serve port {port} within 1.5 s"),
        ):
            _, recorder = gateway.begin(port, *flags)
            await until(lambda recorder=recorder: recorder.ends)
            assert recorder.ends[0].fault == words
            assert recorder.ends[0].last_words == "starting\nand complaining"
            await until(lambda: not gateway.processes)
        assert not gateway.lines

    @pytest.mark.parametrize("how", ["stop", "kill"])
    @pytest_twisted.ensureDeferred
    async def test_called_off(self, start: Start, port: int, how: str, tmp_path: Path) -> None:
        """A daemon can be called off while it is being started."""
        gateway = start()
        backend, recorder = gateway.begin(port, "--late", "600")
        await until(lambda: gateway.processes)
        if how == "stop":
            await backend.stop()
        else:
            backend.kill()
        await until(lambda: recorder.ends and not gateway.processes)
        assert len(recorder.ends) == 1
        await until(lambda: not (tmp_path / "daemons" / "d.lock").exists())


class AdoptionTests:
    """Programs that run at the port already, which are asked, and never ended."""

    @pytest_twisted.ensureDeferred
    async def test_adoption(self, start: Start, port: int, stranger: Any) -> None:
        """A stranger that speaks MCP is used, and goes on when we are done."""
        other = stranger()
        gateway = start()
        backend, recorder = gateway.begin(port)
        await until(lambda: gateway.lines)
        assert backend.pid == 0
        assert not gateway.processes
        await backend.stop()
        assert len(recorder.ends) == 1
        assert other.poll() is None

    @pytest_twisted.ensureDeferred
    async def test_a_stranger(self, start: Start, port: int, stranger: Any) -> None:
        """A stranger at the port that speaks something else is named, and left alone."""
        other = stranger("--strange")
        gateway = start()
        _, recorder = gateway.begin(port)
        await until(lambda: recorder.ends)
        assert f"port {port} is taken by python" in recorder.ends[0].fault
        assert f"(pid {other.pid}), which does not speak MCP" in recorder.ends[0].fault
        assert other.poll() is None
        assert not gateway.lines

    @pytest_twisted.ensureDeferred
    async def test_a_mute_stranger(
        self, start: Start, port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A stranger at the port that says nothing is not waited for long."""
        monkeypatch.setattr(probe, "PROBE_S", 0.3)
        with socket.create_server(("127.0.0.1", port)):
            gateway = start()
            _, recorder = gateway.begin(port)
            await until(lambda: recorder.ends)
            assert "does not speak MCP" in recorder.ends[0].fault

    @pytest_twisted.ensureDeferred
    async def test_stale_locks(self, start: Start, port: int, tmp_path: Path) -> None:
        """A lock that is none, of a process that has gone, or whose number is another's by now, is no lock."""
        (tmp_path / "daemons").mkdir()
        lock = tmp_path / "daemons" / "d.lock"
        gone = subprocess.Popen(["true"])  # noqa: ASYNC220 - it is over at once
        gone.wait()
        own = os.getpid()
        stale = [
            "{",
            json.dumps({"pid": gone.pid, "port": port, "transport": "http", "startedAt": 1}),
            json.dumps({"pid": own, "port": port, "transport": "http", "startTime": start_time(own) + 1}),
        ]
        gateway = start()
        for text in stale:
            lock.write_text(text)
            backend, _ = gateway.begin(port)
            before = len(gateway.lines)
            await until(lambda before=before: len(gateway.lines) > before)
            assert lock_of(tmp_path)["pid"] == backend.pid != 0
            await backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_locks_of_others(
        self, start: Start, port: int, tmp_path: Path, stranger: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lock of mcp-session-manager is believed while its process runs, waited for, and never touched."""
        monkeypatch.setattr(module, "CONNECT_S", 1.0)
        (tmp_path / "theirs").mkdir()
        lock = tmp_path / "theirs" / "d.lock"
        text = json.dumps({"pid": os.getpid(), "port": port, "startedAt": "x", "transport": "http"})
        lock.write_text(text)
        gateway = start()
        _, recorder = gateway.begin(port)
        await until(lambda: recorder.ends)
        assert f"process {os.getpid()} serves port {port}" in recorder.ends[0].fault
        assert recorder.ends[0].is_unreachable
        stranger("--strange")
        backend, _ = gateway.begin(port)
        await until(lambda: gateway.lines)
        await backend.stop()
        assert lock.read_text() == text
        assert not gateway.processes
