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
