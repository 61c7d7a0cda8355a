"""The routes of mcp-session-manager's manager."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Daemon
from mcpgateway.policy.access import AccessPolicy
from tests.support.gateway_in_memory import HELLO, Answer, MemoryGateway

TOKEN = {"Authorization": "Bearer bearer-token"}


def daemon(name: str, port: int) -> ServerSpec:
    """A server with a port of its own."""
    return ServerSpec(
        name, ("run",), {}, "/", share=Share.GLOBAL, reach=Daemon(port, f"http://127.0.0.1:{port}/mcp")
    )


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with two daemons among its servers."""
    made = MemoryGateway(more=(daemon("memory", 3100), daemon("index", 3101)))
    made.launcher.hello = {**HELLO, "capabilities": {}}
    return made


def ask(gateway: MemoryGateway, path: str, body: Any = None, method: str = "POST", **headers: str) -> Answer:
    """Ask with the token."""
    return gateway.client().ask(b"" if body is None else body, method, path, **{**TOKEN, **headers})


class StatusTests:
    """States of daemons."""

    def test_ping(self, gateway: MemoryGateway) -> None:
        """A caller on this machine may see that a manager is there, and which daemons there are."""
        client = gateway.client()
        assert client.ask(b"", "GET", "/ping").json["status"] == "ok"
        assert client.ask(b"", "GET", "/status").json == {
            "daemons": [
                {"name": "memory", "running": False, "port": 3100},
                {"name": "index", "running": False, "port": 3101},
            ]
        }


class OperationTests:
    """Starting and stopping."""

    def test_start_and_stop(self, gateway: MemoryGateway) -> None:
        """The start and the stop of a daemon answer with its state, and the same the second time."""
        for _ in range(2):
            found = ask(gateway, "/start", {"name": "memory"}).json
            assert found == {
                "name": "memory",
                "running": True,
                "pid": gateway.child.pid,
                "uptime": 0,
                "port": 3100,
            }
        assert len(gateway.launcher.children) == 1
        for _ in range(2):
            assert ask(gateway, "/stop", {"name": "memory"}).json["running"] is False
        assert gateway.child.is_stopping

    def test_it_comes_back(self, gateway: MemoryGateway) -> None:
        """A daemon that was started here and ends is started again, though no client uses it, until it is stopped."""
        ask(gateway, "/start-all")
        first, _ = gateway.launcher.children
        first.exit(-9)
        gateway.tick(10)
        assert len(gateway.launcher.children) == 3
        assert ask(gateway, "/status", None, "GET").json["daemons"][0]["running"]
        ask(gateway, "/stop", {"name": "memory"})
        gateway.tick(1000)
        assert len(gateway.launcher.children) == 3

    def test_ensure(self, gateway: MemoryGateway) -> None:
        """A client that needs a server is told its port, or why it has none."""
        assert ask(gateway, "/ensure", {"name": "memory"}).json == {"running": True, "port": 3100}
        gateway.launcher.refuses = True
        refused = ask(gateway, "/ensure", {"name": "index"})
        assert (refused.status, refused.json["running"]) == (500, False)
        assert "not found" in refused.json["error"]
        assert ask(gateway, "/start", {"name": "index"}).status == 500
        assert "lastError" in ask(gateway, "/status", None, "GET").json["daemons"][1]

    def test_all(self, gateway: MemoryGateway) -> None:
        """All daemons, and no other servers, are started and stopped."""
        assert [each["running"] for each in ask(gateway, "/start-all").json["daemons"]] == [True, True]
        assert len(gateway.launcher.children) == 2
        assert [each["running"] for each in ask(gateway, "/stop-all").json["daemons"]] == [False, False]

    @pytest.mark.parametrize("path", ["/start", "/stop", "/ensure"])
    def test_wrong(self, gateway: MemoryGateway, path: str) -> None:
        """A missing or unknown name is refused in that manager's words; a server without a port is no daemon."""
        for body in (None, {}, {"name": ""}, {"name": 1}):
            refused = ask(gateway, path, body)
            assert (refused.status, refused.json["error"]) == (400, "Missing daemon name")
        refused = ask(gateway, path, {"name": "shared"})
        assert (refused.status, refused.json["error"]) == (404, "Unknown daemon: shared")

    def test_token(self, gateway: MemoryGateway) -> None:
        """A request for a change needs the token, unlike in the other manager."""
        for path in ("/start", "/stop", "/ensure", "/start-all", "/stop-all"):
            assert ask(gateway, path, {"name": "memory"}, Authorization="").status == 401

    def test_open(self) -> None:
        """Unless the settings say otherwise; a page in a browser needs it even then."""
        gateway = MemoryGateway(more=(daemon("memory", 3100),), policy=AccessPolicy(open_loopback=True))
        asked = {"name": "memory"}
        form = "application/x-www-form-urlencoded"
        assert ask(gateway, "/stop", asked, Authorization="", Content_Type=form).status == 200
        for browser in ({"Origin": "http://localhost:9100"}, {"Sec_Fetch_Site": "same-origin"}):
            assert ask(gateway, "/stop", asked, Authorization="", **browser).status == 401

    def test_curl(self, gateway: MemoryGateway) -> None:
        """The form type that curl sends is taken for what it is."""
        found = ask(gateway, "/stop", {"name": "memory"}, Content_Type="application/x-www-form-urlencoded")
        assert found.status == 200
