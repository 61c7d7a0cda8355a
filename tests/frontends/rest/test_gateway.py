"""The gateway as a whole, over REST: sessions, readiness, state and end."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway import __version__
from mcpgateway.hub.sessions import handle
from tests.support.gateway_in_memory import Answer, MemoryGateway

TOKEN = {"Authorization": "Bearer bearer-token"}
ADMIN = {"Authorization": "Bearer admin-token"}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def ask(gateway: MemoryGateway, path: str, method: str = "GET", body: Any = b"", **headers: str) -> Answer:
    """Ask on a connection of its own."""
    return gateway.client().ask(body, method, path, **headers)


class HealthTests:
    """The health of the gateway."""

    def test_health(self, gateway: MemoryGateway) -> None:
        """The numbers stand below the version of the API too, and nobody needs a token for them."""
        assert ask(gateway, "/api/v1/health").json["servers"] == 2
        assert ask(gateway, "/api/v1/version").json == {"version": __version__}
        assert ask(gateway, "/api/version").status == 307


class SessionsTests:
    """The sessions."""

    def test_list_and_kill(self, gateway: MemoryGateway) -> None:
        """A listed session can be ended by its name there; with the token only."""
        client = gateway.session("own")
        identifier = client.headers["Mcp-Session-Id"]
        listed = ask(gateway, "/api/v1/sessions")
        (found,) = listed.json["sessions"]
        assert found["id"] == handle(identifier.encode())
        assert identifier.encode() not in listed.body
        path = f"/api/v1/sessions/{found['id']}"
        assert ask(gateway, path, "DELETE").status == 401
        assert ask(gateway, path, "DELETE", **TOKEN).json == {"ok": True, "killed": 1, "sessions": 1}
        assert ask(gateway, path, "DELETE", **TOKEN).status == 404
        assert ask(gateway, "/api/v1/sessions").json == {"sessions": [], "count": 0, "without": []}

    def test_kill_some(self, gateway: MemoryGateway) -> None:
        """All are ended only where somebody says so."""
        gateway.session("own")
        gateway.session("shared")
        path = "/api/v1/sessions"
        assert ask(gateway, path, "DELETE", **TOKEN).status == 400
        assert ask(gateway, f"{path}?pid=x", "DELETE", **TOKEN).status == 400
        assert ask(gateway, f"{path}?pid=1", "DELETE", **TOKEN).json["sessions"] == 0
        assert ask(gateway, f"{path}?all=true", "DELETE", **TOKEN).json["sessions"] == 2

    def test_older(self, gateway: MemoryGateway) -> None:
        """Where immorterm-mcp-gateway has them, they are answered in place, in its words."""
        one, _ = gateway.session("own"), gateway.session("own")
        identifier = one.headers["Mcp-Session-Id"]
        path = f"/api/sessions/{identifier}/kill"
        assert ask(gateway, path, "POST").status == 401
        found = ask(gateway, path, "POST", **TOKEN).json
        assert found == {"ok": True, "sessionId": identifier, "killed": 1, "sessions": 1}
        assert ask(gateway, path, "POST", **TOKEN).status == 404
        assert ask(gateway, "/api/sessions/kill-all", "POST", **TOKEN).json == {
            "ok": True,
            "killed": 1,
            "sessions": 1,
        }


class ReadinessTests:
    """Readiness of servers."""

    def test_preflight(self, gateway: MemoryGateway) -> None:
        """The preflight only looks; the worst code is that of all."""
        gateway.session("shared")
        found = ask(gateway, "/api/v1/preflight?need=shared,own").json
        assert (found["code"], found["ready"]) == (10, False)
        assert [each["code"] for each in found["servers"]] == [0, 10]
        assert ask(gateway, "/api/v1/preflight?need=shared&need=own").json == found
        assert ask(gateway, "/api/v1/preflight").status == 400

    def test_wait(self, gateway: MemoryGateway) -> None:
        """Waiting starts them, so it needs the token."""
        body = {"servers": ["shared"], "timeout_ms": 5000}
        assert ask(gateway, "/api/v1/wait", "POST", body).status == 401
        assert ask(gateway, "/api/v1/wait", "POST", body, **TOKEN).json["ready"] is True
        assert len(gateway.launcher.children) == 1

    def test_wait_too_long(self, gateway: MemoryGateway) -> None:
        """A server that does not get ready in time is no error of the gateway's."""
        gateway.launcher.hello = None
        client = gateway.client()
        client.send({"servers": ["shared"], "timeout_ms": 5000}, "POST", "/api/v1/wait", **TOKEN)
        assert client.heard is None
        gateway.tick(6)
        assert client.heard is not None
        assert (client.heard.status, client.heard.json["code"]) == (200, 10)

    def test_wait_for_ever(self, gateway: MemoryGateway) -> None:
        """However long it is to wait, it is a number."""
        body = {"servers": ["nobody"], "timeout_ms": 10**400}
        assert ask(gateway, "/api/v1/wait", "POST", body, **TOKEN).status == 200

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", {}, {"servers": "shared"}, {"servers": [1]}, {"servers": []}]
        + [{"servers": ["a"], "timeout_ms": each} for each in (0, -1, "1", True, None)],
    )
    def test_wrong(self, gateway: MemoryGateway, body: Any) -> None:
        """A wrong request is refused with an example."""
        assert ask(gateway, "/api/v1/wait", "POST", body, **TOKEN).status == 400


class StateTests:
    """State and end of the gateway."""

    def test_dump(self, gateway: MemoryGateway) -> None:
        """The dump needs the token, and has no session's id in it."""
        identifier = gateway.session("own").headers["Mcp-Session-Id"]
        assert ask(gateway, "/api/v1/debug/dump").status == 401
        found = ask(gateway, "/api/v1/debug/dump", **TOKEN)
        assert found.json["slots"]["count"] == 1
        assert found.json["control"] == {"running": 1, "waiting": 0, "readers": 0}
        assert identifier.encode() not in found.body

    def test_no_token(self, gateway: MemoryGateway) -> None:
        """A refused caller is told which token the route takes, and where that is."""
        found = ask(gateway, "/api/v1/debug/dump").json
        assert found["hint"].startswith("send Authorization: Bearer TOKEN (mcpgateway token show prints it)")
        found = ask(gateway, "/api/v1/shutdown", "POST", **TOKEN).json
        assert "mcpgateway token show --admin" in found["hint"]

    def test_shutdown(self, gateway: MemoryGateway) -> None:
        """An administrator alone ends the gateway; the second who asks is told that it ends already."""
        path = "/api/v1/shutdown"
        assert [ask(gateway, path, "POST", **each).status for each in ({}, TOKEN)] == [401, 401]
        answers = [ask(gateway, path, "POST", **ADMIN) for _ in range(2)]
        assert [each.status for each in answers] == [202, 202]
        assert [each.json["status"] for each in answers] == ["shutting_down", "already_shutting_down"]
        assert gateway.stops == []
        gateway.clock.advance(1)
        assert gateway.stops == [True]
