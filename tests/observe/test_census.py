"""The servers in the answer on the gateway's health."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Daemon, Remote, Rest, Transport
from mcpgateway.observe.census import Census
from tests.support.gateway_in_memory import MemoryGateway


def backend(gateway: MemoryGateway, name: str) -> dict[str, Any]:
    """Return the row of one server."""
    census = Census(
        gateway.dispatcher,
        gateway.health,
        gateway.hub.meters,
        0.0,
        lambda: 9100,
        auth=lambda: "loopback-trusted",
    )
    told = census.health()
    found: dict[str, Any] = next(each for each in told["backends"] if each["name"] == name)
    return found


class TransportTests:
    """The transport of servers."""

    @pytest.mark.parametrize(
        ("reach", "transport"),
        [
            (None, "stdio"),
            (Remote("https://h/mcp?key=secret"), "streamable-http"),
            (Remote("https://h/sse", Transport.SSE), "sse"),
            (Remote("wss://h/ws", Transport.WEBSOCKET), "websocket"),
            (Daemon(3000, "http://localhost:3000/sse", Transport.SSE), "sse"),
            (Container("image"), "docker"),
            (Rest("https://h/api"), "rest"),
        ],
    )
    def test_transport(self, reach: Any, transport: str) -> None:
        """The transport of every kind has its word, and shows no secret."""
        spec = ServerSpec("far", ("run",), {}, "/", reach=reach)
        told = backend(MemoryGateway(more=(spec,)), "far")
        assert told["transport"] == transport
        assert "secret" not in str(told)

    def test_running_elsewhere(self) -> None:
        """A server that is no process of ours runs, and has no process id."""
        gateway = MemoryGateway(more=(ServerSpec("far", (), {}, "/", reach=Remote("http://h/mcp")),))
        assert backend(gateway, "far")["status"] == "stopped"
        gateway.session("far")
        gateway.child.pid = 0
        told = backend(gateway, "far")
        assert (told["status"], told["pids"], told["running_eras"]) == ("running", [], ["legacy"])
