"""Faults of the gateway as a whole, as its health shows them."""

from __future__ import annotations

from msgspec.structs import replace

from mcpgateway.hub.health.faults import Faults
from tests.support.gateway_in_memory import MemoryGateway


def faults(lack: str = "", *problems: str, refusal: str = "", is_disabled: bool = False) -> Faults:
    """Some faults of a gateway."""
    return Faults(lambda: lack, lambda: problems, lambda: refusal, lambda: is_disabled)


class FaultTests:
    """Faults that are found."""

    def test_none(self) -> None:
        """Where all is well, health says so in the words that older gateways have for it."""
        census = replace(MemoryGateway().census, faults=faults())
        assert census.alive() == {"status": "ok"}
        body = census.health()
        assert (body["status"], body["problems"]) == ("ok", [])

    def test_all(self) -> None:
        """Each has a code, a sentence that names the place, and what helps; the worst comes first."""
        census = replace(
            MemoryGateway().census,
            faults=faults(
                "/h: full",
                "c.yaml: gone",
                "d.yaml: gone",
                refusal="12:00 UTC: no such module",
                is_disabled=True,
            ),
        )
        codes = ["disk", "configuration", "restart", "disabled"]
        assert census.alive() == {"status": "degraded", "problems": codes}
        body = census.health()
        assert body["status"] == "degraded"
        disk, configuration, restart, disabled = body["problems"]
        assert "/h: full" in disk["message"]
        assert "c.yaml: gone (and 1 more)" in configuration["message"]
        assert "config check" in configuration["hint"]
        assert "on 12:00 UTC: no such module" in restart["message"]
        assert "mcpgateway restart" in restart["hint"]
        assert "mcpgateway clients resume" in disabled["hint"]

    def test_stopping(self) -> None:
        """A gateway that ends says that, whatever is wrong."""
        gateway = MemoryGateway()
        gateway.dispatcher.is_open = False
        assert replace(gateway.census, faults=faults("full")).alive()["status"] == "stopping"
