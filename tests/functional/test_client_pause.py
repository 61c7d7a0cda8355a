"""The state of clients' files in status: not enrolled, enrolled, and paused by their user."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.support.gateway import BIN, eventually
from tests.support.user import User

pytestmark = pytest.mark.functional

CLOCK = {"command": sys.executable, "args": ["-m", "mcpgateway.demo.clock"]}
UNUSED = "mcpgateway clients apply enrols them"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user of a client whose file is not enrolled."""
    with User(tmp_path_factory.mktemp("pause") / "h") as made:
        made.write(".claude.json", json.dumps({"mcpServers": {"clock": CLOCK}}))
        made.mcpgateway("start")
        yield made


def status(user: User) -> str:
    """The words of the status."""
    return " ".join(user.mcpgateway("status").split())


def test_a_round(user: User) -> None:
    """The status names the command that changes the state of the clients; a pause that its user wants is no fault."""
    assert UNUSED in status(user)
    assert "New sessions of these clients" in user.mcpgateway("clients", "apply", "--yes")
    said = status(user)
    assert "Everything works" in said
    assert UNUSED not in said
    assert "mcpgateway clients resume enrols the files again" in user.mcpgateway("clients", "pause")
    said = status(user)
    assert "Clients are paused" in said
    assert "the gateway refuses their requests; mcpgateway clients resume ends the pause" in said
    assert "needs you" not in said
    assert user.told("status")["ok"] is True
    user.mcpgateway("clients", "resume")
    assert "Everything works" in status(user)


def test_a_length_of_time(user: User) -> None:
    """A pause with a length says when it ends, and ends by itself, by the next gateway where none runs then."""
    done = user.ran(str(BIN / "mcpgateway"), "clients", "pause", "4h")
    assert done.returncode == 64
    assert "mcpgateway clients pause --for 4h" in " ".join(done.stderr.split())
    before = (user.home / ".claude.json").read_text()
    assert "Clients are paused until " in user.mcpgateway("clients", "pause", "--for", "4h")
    until = user.told("status")["paused_until"]
    assert 0 < datetime.fromisoformat(until).timestamp() - time.time() <= 14_400
    assert "refuses their requests until " in status(user)
    assert "by the pause until " in " ".join(user.mcpgateway("clients", "list").split())
    assert user.told("clients", "list")["paused_until"] == until
    user.mcpgateway("clients", "pause")
    assert user.told("status")["paused_until"] is None
    user.mcpgateway("clients", "pause", "--for", "1s")
    eventually(lambda: "Everything works" in status(user), "the pause ends")
    assert (user.home / ".claude.json").read_text() == before
    user.mcpgateway("clients", "pause", "--for", "4h")
    user.mcpgateway("stop")
    said = user.mcpgateway("status", code=2)
    assert "Pause:   until " in said
    (user.gateway_home / "paused-until").write_text("1700000000\n")
    user.mcpgateway("start")
    eventually(lambda: "Everything works" in status(user), "the pause ends at the start")
    assert (user.home / ".claude.json").read_text() == before
    assert not (user.gateway_home / "paused-until").exists()


def test_nothing_to_pause(user: User) -> None:
    """Without a gateway and enrolled files there is nothing to pause, and the next start enrols them as before."""
    assert user.mcpgateway("clients", "resume").strip() == "Clients are not paused."
    before = (user.home / ".claude.json").read_text()
    user.mcpgateway("stop")
    done = user.ran(str(BIN / "mcpgateway"), "clients", "pause")
    assert (done.returncode, "Clients use their own servers already" in done.stdout) == (0, True)
    user.mcpgateway("start")
    assert (user.home / ".claude.json").read_text() == before
