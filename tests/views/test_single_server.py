"""The shield at the endpoints of single servers, whose entries ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.surface import Level
from mcpgateway.hub.results.originals import URI
from tests.support import view_stage
from tests.support.gateway_in_memory import Client
from tests.support.keeping import LONG, keeping
from tests.support.modern_client import done, post, reply, request
from tests.support.views import Offer, Stage, tool

ROWS = [f"item {each}" for each in range(500)]
STRUCTURED = {"content": [{"type": "text", "text": "see there"}], "structuredContent": {"rows": ROWS}}
SCHEMA = {"type": "object", "properties": {"rows": {"type": "array", "minItems": 500}}}


def server(**more: Any) -> ServerSpec:
    """A server that everybody shares."""
    return ServerSpec("s", ("run",), {}, "/", share=Share.GLOBAL, title="s", source="a test", **more)


def stage_of(home: Path, **more: Any) -> Stage:
    """A gateway with that server."""
    return Stage(keeping(home, more=(server(**more),)), s=Offer(tools=[tool("echo")]))


def client_of(stage: Stage, path: str = "/s/mcp") -> Client:
    """A session at the server's own endpoint."""
    client = stage.gateway.client("s")
    client.path = path
    client.initialize(protocolVersion="2025-06-18", capabilities={})
    return client


def called(stage: Stage, client: Client, result: dict[str, Any], name: str = "echo") -> Any:
    """A tool's result as a client gets it."""
    client.call(1, "tools/call", name=name)
    child = stage.child("s")
    child.answer(child.asked("tools/call")[-1], result)
    assert client.heard is not None
    return client.heard.json["result"]


class LegacyTests:
    """Clients with sessions."""

    @pytest.mark.parametrize("path", ["/s/mcp", "/mcp/s"])
    def test_asked_for(self, tmp_path: Path, path: str) -> None:
        """A long result is shortened at both paths; its note says where all of it is, and there it is."""
        stage = stage_of(tmp_path, shield=Level.BOUNDED)
        client = client_of(stage, path)
        shown = called(stage, client, LONG)
        assert len(json.loads(shown["content"][0]["text"])) == 51
        uri = URI + shown["_ref"]
        assert f"the resource {uri} has all of it" in shown["_note"]
        assert "gateway_get_result at /mcp" in shown["_note"]
        client.call(2, "resources/read", uri=uri)
        assert client.heard is not None
        assert json.loads(client.heard.json["result"]["contents"][0]["text"]) == LONG
        assert not stage.child("s").asked("resources/read")

    def test_not_asked_for(self, tmp_path: Path) -> None:
        """Without a word in its entry a server's answers pass whole, and nothing is built that could shorten them."""
        stage = stage_of(tmp_path)
        assert called(stage, client_of(stage), LONG) == LONG
        assert stage.gateway.dispatcher._view_sessions is None

    def test_single_tools(self, tmp_path: Path) -> None:
        """The level of a tool goes before that of its server."""
        stage = stage_of(tmp_path, shield_tools={"echo": Level.LEAN})
        client = client_of(stage)
        assert len(json.loads(called(stage, client, LONG)["content"][0]["text"])) == 21
        assert called(stage, client, LONG, "other") == LONG
        stage = stage_of(tmp_path, shield=Level.BOUNDED, shield_tools={"echo": Level.OFF})
        assert called(stage, client_of(stage), LONG) == LONG

    def test_schema_unknown(self, tmp_path: Path) -> None:
        """Structured content stays whole where nobody knows its schema."""
        stage = stage_of(tmp_path, shield=Level.BOUNDED)
        assert called(stage, client_of(stage), STRUCTURED)["structuredContent"] == {"rows": ROWS}

    def test_schema_known(self, tmp_path: Path) -> None:
        """Once the tools are known, structured content is cut as on views: as far as its schema allows."""
        stage = stage_of(tmp_path, shield=Level.BOUNDED)
        stage.list(stage.view())
        assert "rows" in str(called(stage, client_of(stage), STRUCTURED)["structuredContent"])
        assert called(stage, client_of(stage), STRUCTURED)["structuredContent"] != {"rows": ROWS}
        stage = stage_of(tmp_path, shield=Level.BOUNDED)
        stage.offers["s"] = Offer(tools=[tool("echo", outputSchema=SCHEMA)])
        stage.list(stage.view())
        assert called(stage, client_of(stage), STRUCTURED) == STRUCTURED

    def test_views(self, tmp_path: Path) -> None:
        """On a view the same result is shortened once, and its note names the view's own tool."""
        stage = stage_of(tmp_path, shield=Level.BOUNDED)
        client = stage.view()
        stage.list(client)
        shown = called(stage, client, LONG, "s__echo")
        assert shown["_note"].startswith("Shortened: gateway_get_result with ref")

    def test_other_resources(self, tmp_path: Path) -> None:
        """A resource that is not kept here is the server's to answer for."""
        stage = stage_of(tmp_path, shield=Level.BOUNDED)
        client = client_of(stage)
        for uri in ("a://1", URI + "r_none"):
            client.call(2, "resources/read", uri=uri)
            asked = stage.child("s").asked("resources/read")[-1]
            assert asked["params"] == {"uri": uri}
            stage.child("s").answer(asked, {"contents": []})

    def test_edited(self, tmp_path: Path) -> None:
        """The level can be changed while a client is there, and its child goes on."""
        stage = stage_of(tmp_path)
        client = client_of(stage)
        assert called(stage, client, LONG) == LONG
        child = stage.child("s")
        stage.gateway.edit("s", shield=Level.BOUNDED)
        assert "_ref" in called(stage, client, LONG)
        assert stage.child("s") is child


class ModernTests:
    """Clients without."""

    def test_asked_for(self, tmp_path: Path) -> None:
        """A client without a session is given the result shortened, and reads the original, too."""
        spec = evolve(view_stage.modern("m"), shield=Level.BOUNDED)
        stage = view_stage.Stage(spec, gateway=keeping(tmp_path), m=[tool("echo")])
        client = stage.client("/m/mcp")
        stage.send(client, "tools/call", name="echo")
        done(stage.child("m"), stage.child("m").asked("tools/call")[-1], **LONG)
        shown = reply(client)["result"]
        uri = URI + shown["_ref"]
        assert uri in shown["_note"]
        post(client, request(2, "resources/read", uri=uri))
        result = reply(client)["result"]
        assert result["resultType"] == "complete"
        assert json.loads(result["contents"][0]["text"])["content"] == LONG["content"]

    def test_not_asked_for(self, tmp_path: Path) -> None:
        """Without a word in the entry all of it is passed on."""
        stage = view_stage.Stage(view_stage.modern("m"), gateway=keeping(tmp_path), m=[tool("echo")])
        client = stage.client("/m/mcp")
        stage.send(client, "tools/call", name="echo")
        done(stage.child("m"), stage.child("m").asked("tools/call")[-1], **LONG)
        assert reply(client)["result"]["content"] == LONG["content"]
        assert stage.gateway.dispatcher._view_sessions is None
