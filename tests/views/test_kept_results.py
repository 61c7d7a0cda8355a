"""Results that were shortened, read whole as resources of views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.hub.results.originals import URI
from mcpgateway.policy.access import AccessPolicy
from mcpgateway.views import kept_results
from tests.support import view_stage
from tests.support.gateway_in_memory import Client
from tests.support.keeping import LONG, keeping
from tests.support.modern_client import done, reply
from tests.support.views import Offer, Stage, tool

VIEWS = ["/mcp", "/mcp/full", "/mcp/search", "/mcp/admin"]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Two servers, one of which has a resource."""
    shared = Offer(tools=[tool("echo")], resources=[{"uri": "a://1", "name": "one"}])
    return Stage(keeping(tmp_path, policy=AccessPolicy()), shared=shared)


def shortened(stage: Stage, client: Client) -> str:
    """The reference of a result that a client is given."""
    stage.list(client)
    client.call(1, "tools/call", name="shared__echo")
    child = stage.child("shared")
    child.answer(child.asked("tools/call")[-1], LONG)
    assert client.heard is not None
    ref: str = client.heard.json["result"]["_ref"]
    return ref


def read(client: Client, uri: str) -> Any:
    """The resource that a client reads, as it is answered."""
    client.call(7, "resources/read", uri=uri)
    assert client.heard is not None
    return client.heard.json


class LegacyTests:
    """Clients with sessions."""

    @pytest.mark.parametrize("path", VIEWS)
    def test_listed_and_read(self, stage: Stage, path: str) -> None:
        """A result is listed on every view behind the resources of servers, and read as it came, byte for byte."""
        ref = shortened(stage, stage.view())
        client = stage.view(path)
        listed = stage.list(client, "resources/list")["resources"]
        servers = [] if path == "/mcp/admin" else [{"uri": "a://1", "name": "one"}]
        assert listed[:-1] == servers
        assert listed[-1]["uri"] == URI + ref
        assert listed[-1]["name"] == "Result of shared__echo"
        (content,) = read(client, URI + ref)["result"]["contents"]
        assert content["uri"] == URI + ref
        assert content["mimeType"] == "application/json"
        assert json.loads(content["text"]) == LONG
        assert len(content["text"]) == listed[-1]["size"]

    @pytest.mark.parametrize("path", VIEWS)
    def test_template(self, stage: Stage, path: str) -> None:
        """Every view lists how a result is asked for, and no result that is not there."""
        client = stage.view(path)
        listed = stage.list(client, "resources/templates/list")["resourceTemplates"]
        assert [each["uriTemplate"] for each in listed] == [URI + "{ref}"]
        assert not [each for each in stage.list(client, "resources/list")["resources"] if URI in each["uri"]]

    def test_unknown(self, stage: Stage) -> None:
        """Of a reference that is none it is said that it is not known, or not any more."""
        client = stage.view()
        stage.list(client, "resources/list")
        client.call(7, "resources/read", uri=URI + "r_none")
        stage.play()
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["code"] == -32002
        assert error["message"].startswith("Result r_none not found or expired")
        assert error["data"]["uri"] == URI + "r_none"

    def test_somebody_elses(self, stage: Stage) -> None:
        """A client of another principal is neither listed a result nor given it."""
        holder = stage.gateway.client()
        holder.path, holder.headers["Authorization"] = "/mcp/full", "Bearer bearer-token"
        holder.initialize(protocolVersion="2025-06-18", capabilities={})
        ref = shortened(stage, holder)
        other = stage.view()
        listed = stage.list(other, "resources/list")["resources"]
        assert [each["uri"] for each in listed] == ["a://1"]
        other.call(7, "resources/read", uri=URI + ref)
        stage.play()
        assert other.heard is not None
        assert "not found or expired" in other.heard.json["error"]["message"]

    def test_too_large(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """A result that is too large for one answer is refused with a word about its pages."""
        client = stage.view()
        ref = shortened(stage, client)
        monkeypatch.setattr(kept_results, "READ_LIMIT", 100)
        error = read(client, URI + ref)["error"]
        assert "too many for one answer" in error["message"]
        assert "gateway_get_result" in json.dumps(error)

    def test_subscribing(self, stage: Stage) -> None:
        """A subscription is taken, though a result never changes."""
        client = stage.view()
        ref = shortened(stage, client)
        client.call(8, "resources/subscribe", uri=URI + ref)
        assert client.heard is not None
        assert client.heard.json["result"] == {}


class ModernTests:
    """Clients without."""

    def test_listed_and_read(self, tmp_path: Path) -> None:
        """A client without a session is listed and reads the result, too, for no cache but the caller's own."""
        stage = view_stage.Stage(view_stage.modern("m"), gateway=keeping(tmp_path), m=[tool("echo")])
        stage.names()
        client = stage.client()
        asked = stage.call(client, "m__echo")
        done(stage.child("m"), asked, **LONG)
        ref = reply(client)["result"]["_ref"]
        listed = stage.ask("resources/list")["result"]
        assert [each["uri"] for each in listed["resources"]] == [URI + ref]
        assert listed["cacheScope"] == "private"
        templates = stage.ask("resources/templates/list")["result"]["resourceTemplates"]
        assert [each["uriTemplate"] for each in templates] == [URI + "{ref}"]
        result = stage.ask("resources/read", uri=URI + ref)["result"]
        assert result["resultType"] == "complete"
        assert result["cacheScope"] == "private"
        whole = json.loads(result["contents"][0]["text"])
        assert whole["content"] == LONG["content"]
        error = stage.ask("resources/read", uri=URI + "r_none")["error"]
        assert error["code"] == -32602
        assert error["message"].startswith("Result r_none not found or expired")
