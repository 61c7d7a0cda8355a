"""Requests of the modern era, from the bytes of a client to the line of a child and back (MCP 2026-07-28)."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.wire.revisions import Era
from tests.support.gateway_in_memory import Client, MemoryGateway

PREFIX = "io.modelcontextprotocol/"
REVISION = "2026-07-28"


def meta(**more: Any) -> dict[str, Any]:
    """The envelope of a request."""
    return {
        PREFIX + "protocolVersion": REVISION,
        PREFIX + "clientCapabilities": {},
        PREFIX + "clientInfo": {"name": "c", "version": "1"},
        **more,
    }


def request(
    identifier: Any, method: str, envelope: dict[str, Any] | None = None, **params: Any
) -> dict[str, Any]:
    """A request of the modern era."""
    said = meta() if envelope is None else envelope
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": {**params, "_meta": said}}


def modern(client: Client, body: dict[str, Any]) -> None:
    """Send a request with the headers that repeat parts of it."""
    params = body.get("params", {})
    headers = {"MCP-Protocol-Version": REVISION, "Mcp-Method": body["method"]}
    name = params.get("name", params.get("uri", params.get("taskId")))
    if isinstance(name, str):
        headers["Mcp-Name"] = name
    client.send(body, **headers)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway whose shared server speaks both eras."""
    made = MemoryGateway()
    made.launcher.eras = {"shared": tuple(Era), "own": tuple(Era)}
    return made


class NativeTests:
    """A modern client and a modern child."""

    def test_a_call(self, gateway: MemoryGateway) -> None:
        """It reaches the child under our number, its envelope untouched, and the answer comes back under its id."""
        client = gateway.client()
        modern(client, request("7", "tools/call", name="echo", arguments={"a": 1.0}))
        child = gateway.child
        (tools,) = child.asked("tools/list")
        child.answer(tools, {"tools": [], "resultType": "complete"})
        (call,) = child.asked("tools/call")
        assert call["params"]["_meta"] == meta()
        child.answer(call, {"content": [], "resultType": "complete"})
        assert client.heard is not None
        assert (client.heard.status, client.heard.json["id"]) == (200, "7")
        assert client.heard.json["result"] == {"content": [], "resultType": "complete"}
