"""The checks of the running gateway: its lock, its state, its health and its port."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import Severity
from mcpgateway.shim import startup
from mcpgateway.system import state
from mcpgateway.system.gateway_health import HealthReply, ask_port, ask_socket
from mcpgateway.system.process.socket_owners import PortHolder
from tests.support.doctoring import answers, found, ids, is_fine, world, written


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


class LockTests:
    """The lock that keeps a second gateway away."""

    def test_free(self, tmp_path: Path) -> None:
        """Without a lock, and with one that nobody holds, no gateway was started."""
        looked_at = world(tmp_path)
        assert ids("lock", looked_at) == ["lock.free"]
        written(looked_at, "daemon.lock", "")
        assert ids("lock", looked_at) == ["lock.free"]

    def test_in_the_foreground(self, tmp_path: Path) -> None:
        """A gateway that runs without a lock is one that somebody else looks after."""
        assert is_fine("lock", world(tmp_path, socket=answers()))

    def test_held(self, tmp_path: Path) -> None:
        """A lock is held by a gateway that answers; one that does not answer is a problem."""
        looked_at = world(tmp_path)
        with written(looked_at, "daemon.lock", "").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert ids("lock", looked_at) == ["lock.mute"]
            assert is_fine("lock", world(tmp_path, socket=answers()))

    def test_a_link(self, tmp_path: Path) -> None:
        """A link in the place of the lock cannot be used."""
        looked_at = world(tmp_path)
        Path(looked_at.in_home("daemon.lock")).symlink_to("/dev/null")
        assert ids("lock", looked_at) == ["lock.unreadable"]


class StateTests:
    """The state on disk."""

    def test_none(self, tmp_path: Path) -> None:
        """Without a state nothing runs, unless a gateway answers."""
        assert ids("state", world(tmp_path)) == ["state.none"]
        assert is_fine("state", world(tmp_path, socket=answers()))

    def test_alive(self, tmp_path: Path) -> None:
        """The state of a living process is in order."""
        looked_at = world(tmp_path)
        written(
            looked_at,
            "state.json",
            json.dumps({"format": 1} | state.myself(9100, "1", 0.0, (), ())._asdict()),
        )
        assert is_fine("state", looked_at)

    def test_crashed(self, tmp_path: Path) -> None:
        """A crash is told for a day."""
        looked_at = world(tmp_path)
        startup.write_crash(looked_at.home, time.time() - 3600)
        assert ids("state", looked_at) == ["state.crashed", "state.none"]
        startup.write_crash(looked_at.home, time.time() - 90_000)
        assert ids("state", looked_at) == ["state.none"]

    def test_stale(self, tmp_path: Path, dead: int) -> None:
        """The state of a process that has ended is stale, and the text names the process."""
        looked_at = world(tmp_path)
        written(
            looked_at,
            "state.json",
            json.dumps({"format": 1} | state.myself(9100, "1", 0.0, (), ())._replace(pid=dead)._asdict()),
        )
        (only,) = found("state", looked_at)
        assert (only.id, str(dead) in only.text) == ("state.stale", True)
        self.repaired(looked_at)

    def repaired(self, looked_at: DoctorContext) -> None:
        """A stale state is removed, but not while a gateway holds the lock."""
        path = Path(looked_at.in_home("state.json"))
        (before,) = found("state", looked_at)
        with written(looked_at, "daemon.lock", "").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert found("state", looked_at)[0].repair is None
            assert before.repair is not None
            before.repair.do()
            assert path.exists()
        before.repair.do()
        assert not path.exists()

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x"}', '{"pid": true}', "{"])
    def test_damaged(self, tmp_path: Path, text: str) -> None:
        """A state of any other form is damaged."""
        looked_at = world(tmp_path)
        written(looked_at, "state.json", text)
        assert ids("state", looked_at) == ["state.damaged"]
        self.repaired(looked_at)


def backend(**more: object) -> dict[str, object]:
    """Return a server's part of the answer of ``/health``."""
    return {"name": "x", "status": "running", "share": "global", "pids": [1, 2], "requests": 3, **more}


class HealthTests:
    """The check of the gateway's health."""

    def test_away(self, tmp_path: Path) -> None:
        """A gateway that does not answer is reported as away, which is no problem."""
        assert ids("health", world(tmp_path)) == ["health.away"]

    def test_of_another_home(self, tmp_path: Path, dead: int) -> None:
        """A gateway that answers at the port is not ours because it answers."""
        assert ids("health", world(tmp_path, health=answers())) == ["health.other"]
        both = world(tmp_path, health=answers(pid=dead), socket=answers())
        assert ids("health", both) == ["health.other", "health"]

    def test_without_its_socket(self, tmp_path: Path) -> None:
        """A gateway without a socket is ours by its state, or by the lock."""
        looked_at = world(tmp_path, health=answers())
        with written(looked_at, "daemon.lock", "").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert is_fine("health", looked_at)
        state.write(looked_at.home, state.myself(9100, "1", 0.0, (), ()))
        assert is_fine("health", looked_at)

    def test_a_line_for_each_server(self, tmp_path: Path) -> None:
        """Each server has a line with its mark, its children and its requests."""
        servers = [
            backend(),
            backend(name="y", share="session", pids=[7]),
            backend(name="z", pids=[], status="idle"),
        ]
        told = answers(backends=servers)
        (only,) = found("health", world(tmp_path, socket=told, health=told))
        assert only.text == "the gateway answers: 3 servers, 3 children, 40 MB"
        assert only.more == (
            "○ x (global, 2 children, 3 requests)",
            "◆ y (session, 1 child, 3 requests)",
            "○ z (global, idle, 3 requests)",
        )

    def test_sick(self, tmp_path: Path) -> None:
        """A server that fails is a problem, with the reason it gave; one that is switched off is none."""
        servers = [backend(status="error", last_error="exit code 3"), backend(status="disabled")]
        told = answers(backends=servers)
        _, sick = found("health", world(tmp_path, socket=told, health=told))
        assert (sick.id, sick.text) == ("health.server", "x does not work: exit code 3")

    @pytest.mark.parametrize(("state", "level"), [("missing", Severity.OK), ("failed", Severity.NOTE)])
    def test_search(self, tmp_path: Path, state: str, level: Severity) -> None:
        """Why tools are searched by words alone is told, and is a finding of its own if that should work."""
        told = answers(search={"state": state, "reason": "no memory"})
        _, search = found("health", world(tmp_path, socket=told, health=told))
        assert (search.id, search.level) == ("health.search", level)
        assert search.text == "gateway_search ranks by words alone: no memory"

    def test_somebody_has_to_sign_in(self, tmp_path: Path) -> None:
        """A server that waits for its user is told with the command that helps, and its name once."""
        servers = [backend(status="needs login", last_error="x: it wants its user to sign in")]
        told = answers(backends=servers)
        _, waiting = found("health", world(tmp_path, socket=told, health=told))
        assert (waiting.id, waiting.text) == ("health.login", "x wants its user to sign in")
        assert "mcpgateway servers login" in waiting.advice

    def test_a_port_that_is_mute(self, tmp_path: Path) -> None:
        """A gateway that answers at its socket only is of no use to its clients."""
        assert "health.port" in ids("health", world(tmp_path, socket=answers()))

    def test_stopping(self, tmp_path: Path) -> None:
        """A gateway that is about to end says so."""
        assert "health.stopping" in ids("health", world(tmp_path, socket=answers(status="stopping")))

    @pytest.mark.parametrize(
        "told", [HealthReply(401, {"error": "x"}), HealthReply(200, {}), HealthReply(500)]
    )
    def test_refused(self, tmp_path: Path, told: HealthReply) -> None:
        """An answer other than the gateway's health is a problem."""
        assert ids("health", world(tmp_path, socket=told)) == ["health.refused"]


class PortTests:
    """The check of the listener at the port."""

    def listened(self, tmp_path: Path, *holders: PortHolder, **parts: object) -> list[str]:
        """The ids for a port that these processes hold."""
        return ids("ports", world(tmp_path, holders=lambda _: holders, **parts))

    def test_free(self, tmp_path: Path) -> None:
        """A free port has no listener."""
        assert self.listened(tmp_path) == ["ports.closed"]

    def test_ours(self, tmp_path: Path) -> None:
        """The gateway of this home listens."""
        assert self.listened(tmp_path, PortHolder(os.getpid(), "twistd", 0), socket=answers()) == ["ports"]

    @pytest.mark.parametrize("is_up", [True, False])
    def test_foreign(self, tmp_path: Path, *, is_up: bool) -> None:
        """Another program at the port is a problem, whether our gateway runs or not; other users' programs have no
        name.
        """
        parts = {"socket": answers()} if is_up else {}
        assert self.listened(tmp_path, PortHolder(1, "nginx", 0), **parts) == ["ports.foreign"]
        assert self.listened(tmp_path, PortHolder(0, "", 7), **parts) == ["ports.foreign"]
        # The finding of its health names a gateway there.
        assert self.listened(tmp_path, PortHolder(9, "twistd", 0), health=answers()) == []


class AskingTests:
    """Asking what really listens."""

    @pytest.fixture
    def listener(self) -> Iterator[socket.socket]:
        """A socket that listens, and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener

    def test_nobody(self, tmp_path: Path, listener: socket.socket) -> None:
        """Where nobody listens the answer says why."""
        port = listener.getsockname()[1]
        listener.close()
        assert ask_port(port) == HealthReply(why="connection refused")
        assert ask_socket(str(tmp_path / "none")) == HealthReply(why="no such file or directory")

    def test_no_http(self, listener: socket.socket) -> None:
        """A peer that speaks another protocol is no HTTP server."""
        port = listener.getsockname()[1]

        def answer() -> None:
            with listener.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"220 mail\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        told = ask_port(port)
        thread.join(60)
        assert told == HealthReply(why="what answers is no HTTP server")
