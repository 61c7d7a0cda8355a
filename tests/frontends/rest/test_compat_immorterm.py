"""The routes of immorterm-mcp-gateway that change servers."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from mcpgateway.config.gateway_settings import ClientSettings
from mcpgateway.config.model import ClientFile
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.policy.access import AccessPolicy, Reach
from tests.support.gateway_in_memory import HELLO, Answer, MemoryGateway

TOKEN = {"Authorization": "Bearer bearer-token"}
FILE = ClientFile("cursor", "Cursor", "/home/me/.cursor/mcp.json", "http", servers=("shared",))


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    made = MemoryGateway()
    made.launcher.hello = {**HELLO, "capabilities": {}}
    return made


def ask(gateway: MemoryGateway, path: str, body: Any = b"", **headers: str) -> Answer:
    """Ask with the token."""
    return gateway.client().ask(body, "POST", path, **{**TOKEN, **headers})


class ReconnectTests:
    """Having a server begin anew."""

    def test_reconnect(self, gateway: MemoryGateway) -> None:
        """The child of the server is replaced, and the next call works: the entry has stayed."""
        client = gateway.session("shared")
        assert ask(gateway, "/api/servers/shared/reconnect").json == {"ok": True, "server": "shared"}
        assert len(gateway.launcher.children) == 2
        client.call(1, name="x")
        assert gateway.child.asked("tools/call")

    def test_nobody(self, gateway: MemoryGateway) -> None:
        """An unknown server is told so."""
        for verb in ("reconnect", "disable", "enable"):
            assert ask(gateway, f"/api/servers/nobody/{verb}").status == 404

    def test_token(self, gateway: MemoryGateway) -> None:
        """All of it needs the token, and installing that of an administrator."""
        for path in ("shared/reconnect", "shared/disable", "shared/enable"):
            assert ask(gateway, f"/api/servers/{path}", Authorization="").status == 401
        assert ask(gateway, "/api/servers/install", {"name": "a", "command": "b"}).status == 401

    def test_another_machine(self) -> None:
        """A program to run cannot be named from another machine, even with the admin token."""
        gateway = MemoryGateway(policy=AccessPolicy(allow_remote=True))
        gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), Reach.REMOTE)
        body = {"name": "a", "command": "b"}
        answer = ask(gateway, "/api/servers/install", body, Authorization="Bearer admin-token")
        assert (answer.status, "remote_commands" in answer.json["error"]) == (403, True)
        assert gateway.launcher.children == []


class SwitchTests:
    """Giving a server to its clients, and taking it in again."""

    def test_not_led_here(self, gateway: MemoryGateway) -> None:
        """Where no client's file leads here for it, it is switched off, and on; nobody's file is touched."""
        assert ask(gateway, "/api/servers/shared/disable").json == {
            "ok": True,
            "server": "shared",
            "enabled": False,
        }
        client = gateway.client()
        client.call(1)
        assert client.heard is not None
        assert "disabled" in client.heard.json["error"]["message"]
        assert ask(gateway, "/api/servers/shared/enable").json["enabled"] is True
        assert gateway.session("shared").call(1) is None
        assert gateway.helper_runs == []

    def test_led_here(self, gateway: MemoryGateway) -> None:
        """Clients whose entries lead here get their own back, and are led here again, those and no others."""
        out = ("cursor:shared",)

        def helper(*words: str) -> Deferred[Any]:
            opted = out if words[0] == "undo" else ()
            gateway.settings = evolve(gateway.settings, clients=ClientSettings(opt_out=opted))
            return succeed({"files": []})

        gateway.answers_for_helper = helper
        gateway.settings = evolve(gateway.settings, adopted=(FILE,))
        assert ask(gateway, "/api/servers/shared/disable").json["enabled"] is False
        assert ask(gateway, "/api/servers/shared/enable").json["enabled"] is True
        assert gateway.helper_runs == [
            ("undo", "--server=shared", "--client=cursor"),
            ("apply", "--yes", "--server=shared", "--client=cursor"),
        ]

    def test_the_only_one(self, gateway: MemoryGateway) -> None:
        """A client that was led here for nothing else is led here again all the same."""
        gateway.settings = evolve(gateway.settings, clients=ClientSettings(opt_out=("cursor:gone",)))
        gateway.answers_for_helper = lambda *_: succeed({"files": []})
        assert ask(gateway, "/api/servers/gone/enable").status == 500  # the ledger says that it still is
        assert gateway.helper_runs == [("apply", "--yes", "--server=gone", "--client=cursor")]
        config = gateway.client().ask(b"", "GET", "/api/gateway/config").json
        assert config["optedOut"] == ["gone"]

    def test_cannot(self, gateway: MemoryGateway) -> None:
        """A failure of the helper is told."""
        gateway.settings = evolve(gateway.settings, adopted=(FILE,))
        assert ask(gateway, "/api/servers/shared/disable").status == 500


class InstallTests:
    """Installing one."""

    @pytest.mark.parametrize(
        "body", [{}, {"name": "a"}, {"command": "b"}, {"name": 1, "command": "b"}, b"[]"]
    )
    def test_missing(self, gateway: MemoryGateway, body: Any) -> None:
        """A missing field is named, with an example."""
        refused = ask(gateway, "/api/servers/install", body, Authorization="Bearer admin-token")
        assert refused.status == 400
        assert "notes-mcp" in refused.json["hint"]
