"""How it came about, over plain HTTP."""

from __future__ import annotations

from tests.support.gateway_in_memory import MemoryGateway


class WhyTests:
    """``GET /api/v1/servers/{name}/why``."""

    def test_story(self) -> None:
        """Whoever may read is told why a server is as it is."""
        gateway = MemoryGateway()
        gateway.launcher.refuses = True
        gateway.client().call(1)
        answer = gateway.client().ask(b"", "GET", "/api/v1/servers/shared/why")
        assert answer.status == 200
        assert answer.json["ok"] is False
        assert answer.json["advice"][0]["cause"] == "command-not-found"

    def test_unknown(self) -> None:
        """A server that nobody knows is not found, and the nearest name is told."""
        answer = MemoryGateway().client().ask(b"", "GET", "/api/v1/servers/ovn/why")
        assert answer.status == 404
        assert answer.json["hint"] == "did you mean own?"


class RecordTests:
    """``GET /api/v1/servers/{name}/record``."""

    def test_export(self) -> None:
        """An administrator is given what was said; so many lines as are wanted."""
        gateway = MemoryGateway()
        gateway.session()
        client = gateway.client(Authorization="Bearer admin-token")
        answer = client.ask(b"", "GET", "/api/v1/servers/shared/record")
        assert answer.status == 200
        assert answer.json["lines"][-1]["message"]["method"] == "notifications/initialized"
        assert len(client.ask(b"", "GET", "/api/v1/servers/shared/record?limit=1").json["lines"]) == 1
        assert client.ask(b"", "GET", "/api/v1/servers/own/record").json["lines"] == []

    def test_refusals(self) -> None:
        """Nobody else is given it; a server that is not there is not found, nor is a number what is none."""
        gateway = MemoryGateway()
        for headers in ({}, {"Authorization": "Bearer bearer-token"}):
            assert gateway.client(**headers).ask(b"", "GET", "/api/v1/servers/shared/record").status == 401
        client = gateway.client(Authorization="Bearer admin-token")
        assert client.ask(b"", "GET", "/api/v1/servers/none/record").status == 404
        assert client.ask(b"", "GET", "/api/v1/servers/shared/record?limit=x").status == 400
