"""Callers on this machine that may come in, and the owners of sessions, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux tells who is at the other end"
    ),
]

SERVERS = {"own": server(fixture(), share="session")}

# Begins a session, has its server run, says its id, and waits: a client that says nothing of itself. As whom it runs is
# its first argument.
CLIENT = """
import encodings.idna, http.client, json, os, sys
user, port, token = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
if token:
    headers["Authorization"] = "Bearer " + token
params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
connection.request("POST", "/own/mcp", body, headers)
answer = connection.getresponse()
said = answer.read().decode()
session = answer.getheader("Mcp-Session-Id")
if session:
    body = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "pid"}})
    connection.request("POST", "/own/mcp", body, {**headers, "Mcp-Session-Id": session})
    assert connection.getresponse().read()
print(answer.status, session or said, flush=True)
sys.stdin.readline()
"""
# Begins a session, lives on for so many seconds, and ends.
GREETER = """
import encodings.idna, http.client, json, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
connection.request("POST", "/own/mcp", body, {"Content-Type": "application/json"})
assert connection.getresponse().read()
time.sleep(int(sys.argv[2]))
"""
NOBODY = 65534


class Client:
    """A process with a session."""

    def __init__(self, gateway: Gateway, user: int = 0, token: str = "") -> None:
        argv = [sys.executable, "-I", "-S", "-c", CLIENT, str(user), str(gateway.port), token]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        status, _, self.said = self.process.stdout.readline().strip().partition(" ")
        self.status = int(status)

    def kill(self) -> None:
        """Let it end as a crashed client ends."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def gateway(tmp_path: Any) -> Iterator[Gateway]:
    """A gateway that looks around once an hour, so that only the kernel can tell it anything sooner."""
    with Gateway(tmp_path, SERVERS, settings={"limits": {"reap": "1h"}}) as running:
        yield running


class OwnerTests:
    """The process at the other end of a connection."""

    def test_it_owns_its_session(self, gateway: Gateway) -> None:
        """When it is killed its child goes at once, without having been told whose session it was."""
        one, two = Client(gateway), Client(gateway)
        try:
            assert (one.status, two.status) == (200, 200)
            eventually(lambda: gateway.backend("own")["sessions"] == 2, "both sessions are there")
            eventually(lambda: len(gateway.children()) == 2, "both children are there")
            before = gateway.health()["uptime"]
            eventually(lambda: gateway.health()["uptime"] > before + 2, "the owners are known")
            one.kill()
            eventually(lambda: len(gateway.children()) == 1, "the child of the dead one goes")
            assert gateway.backend("own")["sessions"] == 1
        finally:
            one.kill()
            two.kill()
        eventually(lambda: not gateway.children(), "the other one goes too")


class BriefTests:
    """Programs that look at what there is, and end."""

    def test_nothing_stays(self, tmp_path: Any) -> None:
        """A process that was started for the session of one ends soon after it, found or not."""
        with Gateway(tmp_path, SERVERS, settings={"limits": {"reap": "1s"}}) as gateway:
            for linger_s in ("0", "2"):
                argv = [sys.executable, "-I", "-S", "-c", GREETER, str(gateway.port), linger_s]
                subprocess.run(argv, check=True, timeout=60)
            eventually(lambda: gateway.children() == [], "nothing of them is left")
            eventually(lambda: gateway.log.count("a session of own is put aside") == 2, "both have ended")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
class OtherUserTests:
    """Another user of the machine."""

    def test_refused_without_a_token(self, gateway: Gateway) -> None:
        """A process of another user gets 403 and learns why; with the token it is let in."""
        stranger = Client(gateway, NOBODY)
        guest = Client(gateway, NOBODY, (gateway.home / "auth.token").read_text().strip())
        try:
            assert stranger.status == 403
            assert "trust_other_users" in stranger.said
            assert guest.status == 200
        finally:
            stranger.kill()
            guest.kill()

    def test_trusted(self, tmp_path: Any) -> None:
        """``trust_other_users`` lets it in."""
        with Gateway(tmp_path, SERVERS, settings={"trust_other_users": True}) as gateway:
            guest = Client(gateway, NOBODY)
            guest.kill()
            assert guest.status == 200
