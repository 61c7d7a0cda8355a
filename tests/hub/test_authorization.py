"""Tokens of agents use what they are for, and nothing else: in both eras, on views, and through the gateway's tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.policy.agent_tokens import AgentToken, digest_of
from tests.support.gateway_in_memory import Client
from tests.support.view_stage import Stage, legacy, modern, tool

TOKEN = "mcpg_a-token"
ERAS = ["modern", "legacy"]
SERVERS = ["m", "old"]
HARMLESS = {"readOnlyHint": True}


class Limited:
    """Three servers, and an agent whose token is for two of them."""

    def __init__(self, *more: dict[str, Any], **limits: Any) -> None:
        tools = [
            tool("look", annotations=HARMLESS),
            tool("put"),
            tool("drop", annotations={"readOnlyHint": False}),
            *more,
        ]
        offer = {
            "tools/list": tools,
            "prompts/list": [{"name": "greet"}],
            "resources/list": [{"uri": "test://x/text", "name": "text"}],
        }
        offers = {
            name: {**offer, "resources/list": [{"uri": f"test://{name}/text", "name": "text"}]}
            for name in ("m", "old", "secret")
        }
        self.stage = Stage(modern("m"), legacy("old"), modern("secret"), **offers)
        gateway = self.stage.gateway
        self.token = AgentToken("7", "an agent", digest_of(TOKEN.encode()).hex(), 0.0, 0.0, **limits)
        gateway.bearers.admit_agents([self.token])

    def client(self, path: str, era: str = "modern") -> Client:
        """A client with the token; one of the legacy era has a session."""
        client = self.stage.client(path, Authorization=f"Bearer {TOKEN}")
        if era == "legacy":
            client.send(
                {
                    "jsonrpc": "2.0",
                    "id": 0,
                    "method": "initialize",
                    "params": {"protocolVersion": "2025-06-18"},
                }
            )
            self.stage.answer()
            answer = client.heard
            assert answer is not None
            if "mcp-session-id" in answer.headers:
                head = client.transport.taken.split(b"Mcp-Session-Id: ")[1]
                client.headers["Mcp-Session-Id"] = head.split(b"\r\n")[0].decode()
        return client

    def ask(self, client: Client, method: str, **params: Any) -> Any:
        """The answer to a client's request; servers answer for their lists meanwhile."""
        if "Mcp-Session-Id" in client.headers:
            client.call(1, method, **params)
            self.stage.answer()
            self.stage.gateway.clock.advance(0)
            assert client.heard is not None
            return client.heard.events[-1] if client.heard.body.startswith(b"event") else client.heard.json
        return self.stage.ask(method, client, **params)

    def listed(self, client: Client, method: str) -> Any:
        """The list that a client gets, once all servers have answered."""
        self.ask(client, method)
        self.stage.begin()
        return self.ask(client, method)["result"]

    def own(self, client: Client, name: str, **arguments: Any) -> Any:
        """The answer of one of the gateway's own tools."""
        found = self.ask(client, "tools/call", name=f"gateway_{name}", arguments=arguments)
        text = found["result"]["content"][0]["text"] if "result" in found else json.dumps(found["error"])
        return json.loads(text)

    def called(self) -> list[str]:
        """The tools that servers were called for, as they know them."""
        children = self.stage.gateway.launcher.children
        return [each["params"]["name"] for child in children for each in child.asked("tools/call")]

    def started(self) -> set[str]:
        """The servers that were started."""
        children = self.stage.gateway.launcher.children
        return {each.launched.server for each in children if each.launched is not None}


def refused(found: Any) -> bool:
    """Return whether an answer is a refusal, by the protocol or as a failed result."""
    return "error" in found or found["result"].get("isError", False)


@pytest.mark.parametrize("era", ERAS)
class ServerTests:
    """Servers that a token is not for."""

    def test_endpoint(self, era: str) -> None:
        """The endpoint of another server says what is the matter, and the server is not even started."""
        limited = Limited(servers=("m", "old"))
        client = limited.client("/secret/mcp", era)
        if era == "modern":
            found = limited.ask(client, "tools/list")
        else:
            assert client.heard is not None
            found = client.heard.json
        assert "this token may not use secret" in found["error"]["message"]
        assert limited.started() == set()

    def test_view(self, era: str) -> None:
        """A view is one of the token's own servers: tools, prompts and resources of others are not there."""
        limited = Limited(servers=("m", "old"))
        client = limited.client("/mcp/full", era)
        tools = [each["name"] for each in limited.listed(client, "tools/list")["tools"]]
        assert {each.partition("__")[0] for each in tools if "gateway" not in each} == set(SERVERS)
        prompts = limited.listed(client, "prompts/list")["prompts"]
        assert sorted(each["name"] for each in prompts) == ["m__greet", "old__greet"]
        uris = [each["uri"] for each in limited.listed(client, "resources/list")["resources"]]
        assert sorted(uris) == ["test://m/text", "test://old/text"]
        assert "secret" not in limited.started()

    def test_reaching_out(self, era: str) -> None:
        """The tools of other servers cannot be reached by their names either, in whatever way they are named."""
        limited = Limited(servers=("m", "old"))
        # It is known to the gateway, as others have it listed.
        limited.stage.listed("tools/list")
        limited.stage.listed("resources/list")
        client = limited.client("/mcp/full", era)
        for name in ("secret__look", "secret::look", "secret/look"):
            assert refused(limited.ask(client, "tools/call", name=name, arguments={}))
        assert refused(limited.ask(client, "prompts/get", name="secret__greet"))
        limited.stage.send(
            client, "resources/read", uri="test://secret/text"
        ) if era == "modern" else client.call(1, "resources/read", uri="test://secret/text")
        limited.stage.answer()
        assert not limited.stage.child("secret").asked("resources/read")
        client = limited.client("/mcp/full", era)
        for given in ({"id": "secret__look"}, {"server": "secret", "tool": "look"}):
            assert "error" in limited.own(client, "invoke", **given)
            assert "error" in limited.own(client, "invoke_async", **given)
        assert "error" in limited.own(client, "describe", id="secret__look")
        assert "error" in limited.own(client, "list_tools", server="secret")
        assert limited.called() == []

    def test_search(self, era: str) -> None:
        """Search finds nothing of others, and neither lists of servers nor hints name them."""
        limited = Limited(servers=("m",))
        limited.stage.listed("tools/list")
        client = limited.client("/mcp/full", era)
        found = limited.own(client, "search", query="look", limit=50)
        assert {each["id"].partition("_")[0] for each in found["results"]} <= {"m", "gateway"}
        assert any(each["id"].startswith("m__") for each in found["results"])
        for name, given in (
            ("search", {"query": ""}),
            ("search", {"query": "look", "server": "secret"}),
            ("list_servers", {}),
            ("list_tools", {}),
            ("describe", {"id": "sekret__look"}),
        ):
            said = json.dumps(limited.own(client, name, **given)).replace("Unknown server: secret", "")
            assert "secret__" not in said
            assert '"secret"' not in said

    def test_directories(self, era: str, tmp_path: Path) -> None:
        """An agent cannot choose whose workspace it works in, by naming a directory in a call."""
        limited = Limited()
        limited.stage.listed("tools/list")
        client = limited.client("/mcp/full", era)
        found = limited.own(client, "call", server="m", tool="look", cwd=str(tmp_path))
        assert "chooses no directory" in json.dumps(found)
        assert limited.called() == []

    def test_management(self, era: str) -> None:
        """The token of a client does not manage the gateway, by any of its own tools and by any way."""
        limited = Limited()
        client = limited.client("/mcp/admin", era)
        tools = [each["name"] for each in limited.listed(client, "tools/list")["tools"]]
        assert "gateway_search" in tools
        assert not {"gateway_install_server", "gateway_manage_config"} & set(tools)
        for name in ("get_health", "list_all_servers", "get_server_config", "manage_config"):
            assert refused(limited.ask(client, "tools/call", name=f"gateway_{name}", arguments={}))
            found = limited.ask(
                client, "tools/call", name="gateway_invoke", arguments={"id": f"gateway_{name}"}
            )
            assert refused(found)


@pytest.mark.parametrize("era", ERAS)
class ToolTests:
    """Tools that a token is not for."""

    @pytest.mark.parametrize("path", ["/m/mcp", "/old/mcp"])
    def test_endpoint(self, era: str, path: str) -> None:
        """A server's own endpoint lists, and calls, what the token is for."""
        if era == "modern" and path == "/old/mcp":
            pytest.skip("its clients fall back to the legacy era")
        limited = Limited(tools=("look", "dr*"))
        client = limited.client(path, era)
        tools = limited.listed(client, "tools/list")["tools"]
        assert [each["name"] for each in tools] == ["look", "drop"]
        assert tools[0]["annotations"] == HARMLESS
        found = limited.ask(client, "tools/call", name="put", arguments={})
        assert "this token may not call put" in found["error"]["message"]
        assert limited.called() == []

    def test_read_only(self, era: str) -> None:
        """A token that only reads uses tools whose server says that they change nothing; before it has said
        so, none.
        """
        limited = Limited(read_only=True)
        client = limited.client("/m/mcp", era)
        assert refused(limited.ask(client, "tools/call", name="put", arguments={}))
        tools = limited.listed(client, "tools/list")["tools"]
        assert [each["name"] for each in tools] == ["look"]
        assert refused(limited.ask(client, "tools/call", name="drop", arguments={}))
        assert limited.called() == []
        client.call(1, "tools/call", name="look", arguments={}) if era == "legacy" else limited.stage.send(
            client, "tools/call", name="look", arguments={}
        )
        limited.stage.answer()
        assert limited.called() == ["look"]

    def test_unknown_methods(self, era: str) -> None:
        """Of requests that nobody knows it is not known what they do."""
        limited = Limited(read_only=True)
        client = limited.client("/m/mcp", era)
        found = limited.ask(client, "admin/wipe")
        assert "may not ask for admin/wipe" in found["error"]["message"]

    def test_view(self, era: str) -> None:
        """On views, and through the gateway's own tools, it is the same."""
        limited = Limited(tools=("old__look", "m__p*"))
        limited.stage.listed("tools/list")
        client = limited.client("/mcp/full", era)
        tools = [each["name"] for each in limited.listed(client, "tools/list")["tools"]]
        assert [each for each in tools if "gateway" not in each] == ["m__put", "old__look"]
        assert refused(limited.ask(client, "tools/call", name="m__look", arguments={}))
        assert "error" in limited.own(client, "invoke", id="m__look")
        assert "error" in limited.own(client, "invoke", server="old", tool="put")
        assert "error" in limited.own(client, "describe", id="old__drop")
        listed = limited.own(client, "list_tools", server="m")
        assert [each["name"] for each in listed["m"]] == ["put"]
        found = limited.own(client, "search", query="look put drop", limit=50)["results"]
        assert sorted(each["id"] for each in found if not each["id"].startswith("gateway_")) == [
            "m__put",
            "old__look",
        ]
        assert limited.called() == []

    @pytest.mark.parametrize(("tier", "left"), [("read", ["look"]), ("write", ["look", "write"])])
    def test_a_tier(self, era: str, tier: str, left: list[str]) -> None:
        """A token of a tier is shown no tool above it, and refused it with the tier's name on every road."""
        limited = Limited(tool("write", annotations={"destructiveHint": False}), tier=tier)
        limited.stage.listed("tools/list")
        for path, prefix in (("/old/mcp", ""), ("/mcp/full", "old__")):
            client = limited.client(path, era)
            tools = [each["name"] for each in limited.listed(client, "tools/list")["tools"]]
            own = [each for each in tools if "gateway" not in each and each.startswith(prefix)]
            assert own == [prefix + each for each in left]
            refusal = limited.ask(client, "tools/call", name=f"{prefix}drop", arguments={})
            assert "its tier is destructive, and " + tier in refusal["error"]["message"]
        asked = {
            "invoke": {"id": "old__drop"},
            "invoke_async": {"id": "old__drop"},
            "describe": {"id": "old__drop"},
        }
        for name, arguments in asked.items():
            assert f"{tier} is the highest allowed" in limited.own(client, name, **arguments)["error"]
        found = limited.own(client, "search", query="look write drop", limit=50)["results"]
        assert sorted(each["id"] for each in found if each["id"].startswith("old")) == [
            f"old__{each}" for each in left
        ]
        assert limited.called() == []

    def test_others_see_everything(self, era: str) -> None:
        """A tool that one token is not shown does not go from the lists of others."""
        limited = Limited(tools=("look",))
        client = limited.client("/mcp/full", era)
        limited.ask(client, "tools/list")
        limited.own(client, "search", query="put")
        assert len(limited.stage.names()) == 9


class RevokedTests:
    """A token that is taken back."""

    @pytest.mark.parametrize("path", ["/m/mcp", "/mcp/full"])
    def test_nothing_more(self, path: str) -> None:
        """The bearer of a revoked token is refused, and its open sessions may use nothing more."""
        limited = Limited()
        client = limited.client(path, "legacy") if path != "/m/mcp" else limited.client(path)
        limited.stage.gateway.bearers.admit_agents([])
        answer = client.ask({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
        assert answer.status == 401

    def test_expired(self) -> None:
        """A token whose time is over is refused, from this machine too, and says so to no one else."""
        limited = Limited()
        bearers, clock = limited.stage.gateway.bearers, limited.stage.gateway.clock
        digest = digest_of(TOKEN.encode()).hex()
        bearers.admit_agents([AgentToken("7", "x", digest, 0.0, clock.seconds() + 10)])
        client = limited.client("/m/mcp")
        assert "result" in limited.ask(client, "tools/list")
        clock.advance(10)
        assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).status == 401


class LegacySseTests:
    """The transport of 2024-11-05 has no road of its own."""

    def test_other_server(self) -> None:
        """The handshake with a server that the token is not for is refused, and starts nothing; others are reached."""
        limited = Limited(servers=("old",))
        for name, is_there in (("secret", False), ("old", True)):
            ears = limited.client(f"/{name}/sse")
            ears.send(b"", "GET", Accept="text/event-stream")
            said = ears.transport.taken
            assert b"event: endpoint" in said
            path = said.split(b"data: ")[1].split(b"\n")[0].strip().decode()
            mouth = limited.client(path)
            mouth.send(
                {
                    "jsonrpc": "2.0",
                    "id": 0,
                    "method": "initialize",
                    "params": {"protocolVersion": "2024-11-05"},
                }
            )
            limited.stage.answer()
            assert (b"this token may not use" in ears.transport.taken) is not is_there
            assert (name in limited.started()) is is_there


class SessionTests:
    """Sessions belong to whoever has begun them."""

    def test_bound(self) -> None:
        """The id of a session is of no use with another token, or with none."""
        limited = Limited()
        client = limited.client("/mcp/full", "legacy")
        for header in ("", "Bearer bearer-token", "Bearer admin-token"):
            thief = limited.stage.client("/mcp/full", **client.headers)
            thief.headers["Authorization"] = header
            for method, body in (("POST", {"jsonrpc": "2.0", "id": 1, "method": "ping"}), ("DELETE", b"")):
                assert thief.ask(body, method).status == 404
            assert thief.ask(b"", "GET", Accept="text/event-stream").status == 404
        assert "result" in limited.ask(client, "ping")


class RestTests:
    """The control plane, as an agent has it."""

    def test_routes(self) -> None:
        """An agent may look at and call the servers of its token, and is shown nothing else of the gateway."""
        limited = Limited(servers=("m",))
        client = limited.client("/")
        for method, path in (
            ("GET", "/health"),
            ("GET", "/clients"),
            ("POST", "/api/gateway/disable"),
            ("DELETE", "/sessions/by-pid/1"),
        ):
            assert client.ask(b"", method, path).status == 403

    def test_tools(self) -> None:
        """Tools of others are neither listed, described nor called."""
        limited = Limited(servers=("m",))
        limited.stage.listed("tools/list")
        client = limited.client("/")

        def ask(method: str, path: str, body: bytes = b"{}") -> Any:
            client.send(body, method, path)
            limited.stage.answer()
            limited.stage.gateway.clock.advance(0)
            assert client.heard is not None
            return client.heard

        assert {each["server"] for each in ask("GET", "/api/v1/tools").json} == {"m"}
        assert ask("GET", "/api/v1/tools?server=secret").status in (403, 404)
        assert ask("GET", "/api/v1/tools/secret__look").status == 404
        assert ask("POST", "/api/v1/tools/secret__look/call").status == 404
        found = ask("POST", "/api/v1/servers/secret/call", b'{"tool":"look"}')
        assert found.status in (403, 404)
        assert limited.called() == []
