"""Every key of the configuration, edited while the gateway runs: when it counts, and that it does.

A key that is added has no answer here, so it fails until there is one: a proof below, or another ``counts`` where the
key is declared.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.address import IPv4Address

from mcpgateway.config.reference import counts_of, known_keys
from mcpgateway.config.section import Counts, Section
from mcpgateway.config.surface import SemanticMode
from mcpgateway.hub.results.originals import Vault
from mcpgateway.manage.install_plans import InstallPlanner, InstallWorkspaces
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.policy.idling import OwnWork
from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.system.process.peers import Peer
from mcpgateway.system.result_files import ResultFiles
from mcpgateway.views.registry import ViewRegistry
from mcpgateway.views.specs import ViewStorage, view_specs
from tests.support.doors import MemoryTransport
from tests.support.edited import Edited
from tests.support.gateway_in_memory import Answer, Client, MemoryChild
from tests.support.views import Offer, Stage, tool

KEYS = {
    ".".join(each.key_path): each
    for each in known_keys()
    if not (each.key.alias or isinstance(each.key.kind, Section))
}
PROOFS: dict[str, Callable[[Edited], None]] = {}
EntryEdit = tuple[dict[str, Any], dict[str, Any]]


def proves(*key_paths: str) -> Callable[[Callable[[Edited], None]], Callable[[Edited], None]]:
    """Say that a function shows of some keys that an edit of them counts at once."""

    def register(proof: Callable[[Edited], None]) -> Callable[[Edited], None]:
        PROOFS.update(dict.fromkeys(key_paths, proof))
        return proof

    return register


def counting(counts: Counts) -> list[str]:
    """The roads of all keys that count then."""
    return [key_path for key_path, known in KEYS.items() if counts_of(known.key_path) is counts]


def running(home: Path, **said: Any) -> Edited:
    """A gateway with two servers, one of which everybody shares."""
    servers = {"a": {"command": "run", "share": "global"}, "b": {"command": "run", "share": "session"}}

    class Keeping(Edited):
        storage = ViewStorage(
            vault=lambda limits: Vault(
                ResultFiles(f"{home}/results"), limits.keep, limits.keep_bytes, lambda: 0.0
            )
        )

    return Keeping(home, {"gateway": {}, "servers": servers, **said})


# The gateway


def caller(gateway: Edited, server: str = "a", **headers: str) -> Client:
    """A new connection, with these headers."""
    return gateway.client(server, **{name.replace("_", "-"): value for name, value in headers.items()})


def answer(gateway: Edited, path: str = "/a/mcp", body: Any = None, **headers: str) -> Answer:
    """The answer that a request gets at once."""
    body = body if body is not None else {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    return caller(gateway, **headers).ask(body, path=path)


def from_afar(gateway: Edited, **headers: str) -> int:
    """The status that somebody on another machine is answered with."""

    class Far(MemoryTransport):
        def getPeer(self) -> IPv4Address:
            return IPv4Address("TCP", "192.0.2.9", 40000)

    client = caller(gateway, **headers)
    client.transport = Far()
    client.channel.makeConnection(client.transport)
    return client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status


@proves("gateway.allow_remote", "settings.security.auth.enabled", "settings.security.auth.trusted_ips")
def _remote(gateway: Edited) -> None:
    assert from_afar(gateway, Authorization="Bearer bearer-token") == 403
    gateway.put("gateway.allow_remote", True)
    assert from_afar(gateway, Authorization="Bearer bearer-token") == 200
    gateway.said["settings"] = {"security": {"auth": {"enabled": True, "trusted_ips": ["192.0.2.0/24"]}}}
    assert from_afar(gateway) == 401
    gateway.save()
    assert from_afar(gateway) == 200


@proves("settings.security.auth.api_keys", "settings.security.auth.project_tokens")
def _keys(gateway: Edited) -> None:
    gateway.put("gateway.auth_mcp_transport", "bearer-required")
    assert answer(gateway, X_API_Key="k" * 32).status == 401
    gateway.put("settings.security.auth", {"enabled": True, "api_keys": ["k" * 32]})
    assert answer(gateway, X_API_Key="k" * 32).status == 200
    gateway.put("settings.security.auth", {"enabled": True, "project_tokens": {"p" * 32: "shop"}})
    assert answer(gateway, X_API_Key="k" * 32).status == 401
    assert answer(gateway, Authorization=f"Bearer {'p' * 32}").status == 200


@proves(*(f"settings.security.oauth.{each}" for each in ("issuer", "audience", "jwks_url", "scopes")))
def _issuer(gateway: Edited) -> None:
    said = {"issuer": "https://as.example", "audience": ["https://us.example"], "scopes": ["mcp"]}
    gateway.put("settings.security.oauth", said)
    gateway.put("settings.security.oauth.jwks_url", "https://as.example/keys")
    former, latter = gateway.trusted[-2:]
    assert (latter.issuer, latter.audience, latter.scopes) == (
        "https://as.example",
        ("https://us.example",),
        ("mcp",),
    )
    assert (former.jwks_url, latter.jwks_url) == ("", "https://as.example/keys")


@proves(*(f"settings.security.oauth.dashboard.{each}" for each in ("client_id", "client_secret", "scopes")))
def _dashboard_client(gateway: Edited) -> None:
    said = {"issuer": "https://as.example", "audience": ["https://us.example"]}
    gateway.put("settings.security.oauth", said)
    client = {"client_id": "us", "client_secret": "very secret", "scopes": ["openid"]}
    gateway.put("settings.security.oauth.dashboard", client)
    former, latter = (each.dashboard for each in gateway.trusted[-2:])
    assert former.client_id == ""
    assert (latter.client_id, latter.client_secret, latter.scopes) == ("us", "very secret", ("openid",))


@proves("gateway.remote_commands")
def _remote_commands(gateway: Edited) -> None:
    parts = gateway.parts
    assert not parts().reload.settings.gateway.remote_commands
    gateway.put("gateway.remote_commands", True)
    assert parts().reload.settings.gateway.remote_commands


@proves("gateway.trust_other_users")
def _other_users(gateway: Edited) -> None:
    gateway.callers._peer_of = lambda *_: Peer(uid=4711, inode=1)
    gateway.factory.shared.introduce = gateway.callers
    assert answer(gateway).status == 403
    gateway.put("gateway.trust_other_users", True)
    assert answer(gateway).status == 200


@proves("gateway.bridge")
def _bridge(gateway: Edited) -> None:
    server = gateway.dispatcher.server("a")
    gateway.put("gateway.bridge", "off")
    assert gateway.dispatcher.eras.bridge(server).value == "off"
    gateway.put("gateway.bridge", "always")
    assert gateway.dispatcher.eras.bridge(server).value == "always"


@proves("gateway.auth_mcp_transport")
def _transport(gateway: Edited) -> None:
    gateway.put("gateway.auth_mcp_transport", "bearer-required")
    assert answer(gateway).status == 401
    gateway.put("gateway.auth_mcp_transport", "")
    assert answer(gateway).status == 200


@proves("gateway.allowed_hosts")
def _hosts(gateway: Edited) -> None:
    assert answer(gateway, Host="box.example").status == 403
    gateway.put("gateway.allowed_hosts", ["box.example"])
    assert answer(gateway, Host="box.example").status == 200


@proves("gateway.public_url")
def _public_url(gateway: Edited) -> None:
    assert answer(gateway, Host="box.example").status == 403
    gateway.put("gateway.public_url", "https://box.example")
    assert answer(gateway, Host="box.example").status == 200
    assert answer(gateway, Host="box.example", Origin="https://box.example").status == 200


@proves("gateway.registry_url")
def _registry(gateway: Edited) -> None:
    plans = InstallPlanner(gateway.reload, InstallWorkspaces(gateway.dispatcher.scopes), gateway.home)
    for url, says in (("", "the catalogue has no server"), ("http://127.0.0.1:1", "127.0.0.1:1/")):
        gateway.put("gateway.registry_url", url)
        asked: list[Any] = []
        plans.look_up("io.example/notes").addErrback(asked.append)
        assert says in str(asked[0].value)


@proves("gateway.groups", "gateway.presets")
def _groups(gateway: Edited) -> None:
    def group() -> tuple[str, str]:
        shown = gateway.census.server(gateway.dispatcher.server("a"))
        return shown["group"], shown["group_title"]

    assert group() == ("", "")
    gateway.put("gateway.groups", [{"match": "(?P<letter>.)", "key": "letter {letter}", "title": "Letters"}])
    assert group() == ("letter a", "Letters")
    gateway.put("gateway.groups", [])
    gateway.put("gateway.presets", ["sap"])
    assert [rule.title for rule in gateway.hub.views_config.gateway.groups.rules] == ["SAP systems"] * 2


@proves("gateway.ui")
def _dashboard(gateway: Edited) -> None:
    admin = {"Authorization": "Bearer admin-token"}
    for is_on, status in ((True, 201), (False, 404), (True, 201)):
        gateway.put("gateway.ui", is_on)
        assert gateway.client("x", **admin).ask(b"", "POST", "/api/v1/ui/codes").status == status


@proves("gateway.allowed_origins")
def _origins(gateway: Edited) -> None:
    assert answer(gateway, Origin="https://page.example").status == 403
    gateway.put("gateway.allowed_origins", ["https://page.example"])
    assert answer(gateway, Origin="https://page.example").status == 200


@proves("gateway.ping_interval")
def _pings(gateway: Edited) -> None:
    gateway.put("gateway.ping_interval", "1h")
    gateway.session("a")
    gateway.beat(100)
    assert gateway.child.asked("ping") == []
    gateway.put("gateway.ping_interval", "10s")
    gateway.beat(10)
    assert len(gateway.child.asked("ping")) == 1


@proves("gateway.log_level")
def _log_level(gateway: Edited) -> None:
    for level in ("error", "debug"):
        gateway.put("gateway.log_level", level)
        assert gateway.observation.level == level


def crash(gateway: Edited, times: int) -> None:
    """Let the shared server's child end again and again, each time after it has worked."""
    client = gateway.client("a")
    for _ in range(times):
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
        gateway.child.exit(1)


@proves(
    "gateway.circuit.restarts", "gateway.circuit.window", "gateway.circuit.open", "gateway.circuit.auto_reset"
)
def _circuit(gateway: Edited) -> None:
    crash(gateway, 2)  # with the usual numbers, this is nothing
    gateway.put("gateway.circuit", {"restarts": 1, "window": "1h"})
    crash(gateway, 1)
    (server,) = gateway.get("/health").json["backends"][:1]
    assert (server["status"], server["next_try_s"]) == ("disabled", 300)
    gateway.put("gateway.circuit.auto_reset", False)
    assert gateway.get("/health").json["backends"][0]["next_try_s"] is None
    gateway.put("gateway.circuit", {"restarts": 1, "window": "1h", "open": "10s"})
    assert gateway.get("/health").json["backends"][0]["next_try_s"] == 10
    gateway.put("gateway.circuit.restarts", 0)
    gateway.beat()
    assert gateway.get("/health").json["backends"][0]["status"] != "disabled"
    gateway.put("gateway.circuit", {"restarts": 5, "window": "1s"})
    for _ in range(8):
        crash(gateway, 1)
        gateway.beat(2)
    assert gateway.get("/health").json["backends"][0]["status"] != "disabled"


@proves("gateway.limits.body_bytes", "gateway.limits.rest_body_bytes")
def _bodies(gateway: Edited) -> None:
    large = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x" * 2000}}
    assert answer(gateway, body=large).status == 200
    gateway.put("gateway.limits", {"body_bytes": 1024, "rest_body_bytes": 1024})
    assert answer(gateway, body=large).status == 413
    token = {"Authorization": "Bearer admin-token"}
    assert answer(gateway, "/api/v1/servers", large, **token).status == 413


@proves("gateway.limits.list_bytes")
def _list_bytes(gateway: Edited) -> None:
    client = gateway.client("a")
    client.call(0, "initialize", protocolVersion="2025-06-18")
    limit = gateway.hub.dispatcher.list_limit
    for most, is_kept in ((1024, False), (4096, True)):
        gateway.put("gateway.limits.list_bytes", most)
        assert limit.admits(2000, 1) is is_kept


@proves("gateway.limits.spawns")
def _spawns(gateway: Edited) -> None:
    gateway.put("gateway.limits.spawns", 1)
    gateway.launcher.hello = None
    gateway.client("a").call(1)
    gateway.client("b").call(0, "initialize", protocolVersion="2025-06-18")
    assert len(gateway.launcher.children) == 1
    gateway.put("gateway.limits.spawns", 2)
    assert len(gateway.launcher.children) == 2


@proves("gateway.limits.servers")
def _servers_limit(gateway: Edited) -> None:
    gateway.said["gateway"]["limits"] = {"servers": 1}
    gateway.path.write_text(json.dumps(gateway.said))
    gateway.following.read()
    (problem,) = gateway.following.state.problems
    assert "gateway.limits.servers allows 1" in str(problem)
    gateway.put("gateway.limits.servers", 2)


@proves("gateway.limits.sessions")
def _sessions_limit(gateway: Edited) -> None:
    gateway.put("gateway.limits.sessions", 1)
    gateway.session("a")
    gateway.session("a")
    assert len(gateway.sessions) == 1


@proves("gateway.limits.drain")
def _drain(gateway: Edited) -> None:
    gateway.put("gateway.limits.drain", "0s")
    gateway.session("a").call(1)
    with pytest.raises(StopIteration):  # it does not wait for the call
        gateway.service._drained().send(None)


@proves("gateway.limits.handshake")
def _handshake(gateway: Edited) -> None:
    gateway.put("gateway.limits.handshake", "2s")
    gateway.launcher.hello = None
    client = gateway.client("a")
    client.call(1)
    gateway.beat(3)
    assert client.heard is not None
    assert "did not answer the handshake within 2 s" in client.heard.body.decode()


@proves("gateway.limits.stuck")
def _stuck(gateway: Edited) -> None:
    gateway.session("a").call(1)
    gateway.world.activities[gateway.child.pid] = ProcessActivity(is_stopped=True, cpu_s=0)
    gateway.beat(20)
    assert len(gateway.launcher.children) == 1
    gateway.put("gateway.limits.stuck", "10s")
    gateway.beat(10)
    assert len(gateway.launcher.children) == 2


def asleep(gateway: Edited) -> MemoryChild:
    """The child of a server that nobody has used for long."""
    gateway.put("gateway.ping_interval", "0s")
    gateway.session("a")
    gateway.world.work[gateway.child.pid] = OwnWork(0.0, "")
    gateway.beat(700)
    return gateway.child


@proves("gateway.sleep.freeze", "servers.NAME.freeze")
def _freeze(gateway: Edited) -> None:
    child = asleep(gateway)
    assert child.is_asleep
    gateway.put("gateway.sleep.freeze", "off")
    gateway.beat(1)
    assert not child.is_asleep
    gateway.put("servers.a.freeze", "always")
    gateway.beat(700)
    assert child.is_asleep


@proves("gateway.sleep.after")
def _freeze_after(gateway: Edited) -> None:
    gateway.put("gateway.sleep.after", "1h")
    child = asleep(gateway)
    assert not child.is_asleep
    gateway.put("gateway.sleep.after", "11m")
    gateway.beat(2)
    assert child.is_asleep


@proves("gateway.sleep.relief", "gateway.sleep.pressure_file")
def _relief(gateway: Edited) -> None:
    child = asleep(gateway)
    gateway.world.shortage["/of/a/cgroup"] = "there is hardly any"
    gateway.beat(10)
    assert child.naps == [1, 0]
    gateway.put("gateway.sleep.pressure_file", "/of/a/cgroup")
    gateway.beat(10)
    assert child.naps == [1, 1]
    assert not child.is_stopping
    gateway.put("gateway.sleep.relief", "asleep")
    gateway.beat(10)
    assert child.is_stopping


@proves("gateway.limits.idle_exit")
def _idle_exit(gateway: Edited) -> None:
    gateway.clock.stop = lambda: gateway.stops.append(True)  # type: ignore[attr-defined]
    gateway.beat(20)
    gateway.put("gateway.limits.idle_exit", "10s")
    gateway.beat(12)
    assert gateway.stops


@proves("gateway.limits.reap")
def _reap(gateway: Edited) -> None:
    gateway.put("gateway.limits.reap", "1s")
    client = caller(gateway, X_Client_Pid="4711")
    client.initialize(protocolVersion="2025-06-18")
    gateway.beat()
    gateway.processes.dead.add(4711)
    gateway.beat(2)
    assert len(gateway.sessions) == 0


@proves("gateway.limits.session_idle")
def _session_idle(gateway: Edited) -> None:
    gateway.put("gateway.limits.reap", "1s")
    gateway.session("b")
    gateway.beat(20)
    assert not gateway.child.is_stopping
    gateway.put("gateway.limits.session_idle", "10s")
    gateway.beat(2)
    assert gateway.child.is_stopping


@proves(*(f"gateway.limits.{each}" for each in ("concurrent", "backlog", "wait")))
def _turns(gateway: Edited) -> None:
    limits = gateway.parts().limits
    gateway.put("gateway.limits", {"concurrent": 1, "backlog": 2, "wait": "3s"})
    assert (limits().concurrent, limits().backlog, limits().wait_s) == (1, 2, 3.0)


@proves("gateway.limits.log_streams")
def _log_streams(gateway: Edited) -> None:
    limits = gateway.parts().limits
    gateway.put("gateway.limits.log_streams", 1)
    assert limits().log_streams == 1


@proves("gateway.env_file")
def _env_file(gateway: Edited) -> None:
    gateway.put("servers.a.env", {"X": "${VALUE:-none}"})
    (gateway.path.parent / "other.env").write_text("VALUE=brought\n")
    gateway.put("gateway.env_file", str(gateway.path.parent / "other.env"))
    assert gateway.dispatcher.server("a").env["X"] == "brought"


def listed(gateway: Edited, path: str = "/mcp", **offers: list[str]) -> list[str]:
    """The names of the tools that a new client of a view is listed."""
    stage = Stage(
        gateway, **{name: Offer(tools=[tool(each) for each in tools]) for name, tools in offers.items()}
    )
    return [each["name"] for each in stage.list(stage.view(path))["tools"]]


TOOLS = {"a": ["x", "y", "z"], "b": ["w"]}


@proves("gateway.expose")
def _expose(gateway: Edited) -> None:
    gateway.put("gateway.expose", "search")
    assert not any("__" in each for each in listed(gateway, **TOOLS))
    gateway.put("gateway.expose", "full")
    assert "a__x" in listed(gateway, **TOOLS)


@proves("gateway.compress_schemas")
def _compress(gateway: Edited) -> None:
    offers = {"a": Offer(tools=[tool("x", description="First. Second.")]), "b": Offer(tools=[])}

    def said() -> str:
        stage = Stage(gateway, **offers)
        tools = stage.list(stage.view())["tools"]
        return str(next(each["description"] for each in tools if each["name"] == "a__x"))

    assert "Second" in said()
    gateway.put("gateway.compress_schemas", True)
    assert "Second" not in said()


@proves("gateway.search_format")
def _search_format(gateway: Edited) -> None:
    def said() -> str:
        stage = Stage(gateway, a=Offer(tools=[tool("x")]), b=Offer(tools=[]))
        client = stage.view()
        stage.list(client)
        client.call(7, "tools/call", name="gateway_search", arguments={"query": "x"})
        assert client.heard is not None
        return str(client.heard.json["result"]["content"][0]["text"])

    assert "displayName" not in said()
    gateway.put("gateway.search_format", "full")
    assert "displayName" in said()


@proves("gateway.semantic_search")
def _semantic_search(gateway: Edited) -> None:
    def is_on() -> bool:
        stage = Stage(gateway, a=Offer(tools=[tool("x")]), b=Offer(tools=[]))
        client = stage.view()
        stage.list(client)
        exposure = gateway.dispatcher.view_sessions.views_config.gateway.views
        return exposure.semantic_search is SemanticMode.AUTO

    assert is_on()
    gateway.put("gateway.semantic_search", "off")
    assert not is_on()


@proves(*(f"gateway.tool_filter.{each}" for each in ("mode", "include_servers", "exclude_servers")))
def _filter(gateway: Edited) -> None:
    gateway.put("gateway.tool_filter", {"mode": "allowlist", "include_servers": ["a"]})
    names = listed(gateway, "/mcp/full", **TOOLS)
    assert ("a__x" in names, "b__w" in names) == (True, False)
    gateway.put("gateway.tool_filter", {"mode": "blocklist", "exclude_servers": ["a"]})
    names = listed(gateway, "/mcp/full", **TOOLS)
    assert ("a__x" in names, "b__w" in names) == (False, True)


@proves(
    *(
        f"gateway.tool_filter.{each}"
        for each in ("tool_budget", "per_server_budget", "consolidate_excess", "budget_order", "pinned")
    )
)
def _budgets(gateway: Edited) -> None:
    def names() -> list[str]:
        return [each for each in listed(gateway, "/mcp/full", **TOOLS) if "__" in each]

    own = len(listed(gateway, "/mcp/full", **TOOLS)) - len(names())
    gateway.put("gateway.tool_filter", {"budget_order": "backend", "per_server_budget": 1})
    assert names() == ["a__x", "b__w"]
    gateway.put("gateway.tool_filter.consolidate_excess", True)
    assert "a__more_tools" in names()
    gateway.put("gateway.tool_filter", {"budget_order": "backend", "tool_budget": own + 1})
    assert names() == ["a__x"]
    gateway.put("gateway.tool_filter", {"budget_order": "usage", "tool_budget": own + 1, "pinned": ["b__w"]})
    assert names() == ["b__w"]


def shown_of(gateway: Edited, text: str) -> str:
    """The text of a tool's answer as a client of a view sees it."""
    stage = Stage(gateway, a=Offer(tools=[tool("x")]), b=Offer(tools=[]))
    client = stage.view()
    stage.list(client)
    client.call(7, "tools/call", name="a__x")
    child = stage.child("a")
    child.answer(child.asked("tools/call")[-1], {"content": [{"type": "text", "text": text}]})
    gateway.clock.advance(0)
    assert client.heard is not None
    return str(client.heard.json["result"]["content"][0]["text"])


@proves(
    *(
        f"gateway.shield.{each}"
        for each in ("level", "array_items", "string_chars", "field_bytes", "total_bytes")
    )
)
def _shield(gateway: Edited) -> None:
    many = json.dumps([f"item {number}" for number in range(100)])
    wide = json.dumps([{"name": "x", "blob": "y" * 400}] * 10)
    gateway.put("gateway.shield.level", "off")
    assert shown_of(gateway, many) == many
    gateway.put("gateway.shield.level", "bounded")
    assert "item 49" in shown_of(gateway, many)
    gateway.put("gateway.shield.array_items", 10)
    assert "item 49" not in shown_of(gateway, many)
    assert len(shown_of(gateway, "z" * 5000)) >= 5000
    gateway.put("gateway.shield.string_chars", 100)
    assert len(shown_of(gateway, "z" * 5000)) < 1000
    assert "yyy" not in shown_of(gateway, wide)
    gateway.put("gateway.shield", {"string_chars": 5000, "field_bytes": 4096})
    assert "yyy" in shown_of(gateway, wide)
    gateway.put("gateway.shield", {"string_chars": 100_000, "total_bytes": 1024})
    assert len(shown_of(gateway, "z" * 50_000)) < 10_000


@proves("gateway.shield.keep", "gateway.shield.keep_bytes")
def _keep(gateway: Edited) -> None:
    results = gateway.path.parent / "results"

    def kept() -> int:
        shown_of(gateway, secrets.token_hex(50_000))
        return len([each for each in results.rglob("*") if each.is_file()])

    assert [kept() for _ in range(4)] == [1, 2, 3, 4]
    gateway.put("gateway.shield.keep", 2)
    assert kept() == 2
    gateway.put("gateway.shield", {"keep": 100, "keep_bytes": 10_000})
    assert kept() == 0


@proves("gateway.shield.mask_secrets")
def _mask(gateway: Edited) -> None:
    secret = "ghp_" + "a1B2" * 9
    assert secret in shown_of(gateway, secret)
    gateway.put("gateway.shield.mask_secrets", True)
    assert secret not in shown_of(gateway, secret)


# Files, workspaces, profiles


@proves("include", "servers")
def _more_servers(gateway: Edited) -> None:
    (gateway.path.parent / "more.yaml").write_text("servers: {c: {command: run}}\n")
    gateway.put("include", ["more.yaml"])
    assert answer(gateway, "/c/mcp").status == 200
    del gateway.said["include"]
    gateway.put("servers.d", {"command": "run"})
    assert [answer(gateway, f"/{each}/mcp").status for each in "cd"] == [404, 200]


@proves(
    "profiles",
    "profiles.NAME.servers",
    *(f"profiles.NAME.capabilities{each}" for each in ("", ".include", ".exclude")),
)
def _profiles(gateway: Edited) -> None:
    for capabilities in (["docs"], {"include": ["c"], "exclude": []}):
        gateway.put(
            "profiles", {"base": {"servers": {"c": {"command": "run"}}, "capabilities": capabilities}}
        )
        assert answer(gateway, "/mcp/p/base").status == 200
        assert answer(gateway, "/base-c/mcp").status == 200 or answer(gateway, "/c/mcp").status == 200
        gateway.put("profiles", {})
        assert answer(gateway, "/mcp/p/base").status == 404


@proves("profiles.NAME.include", "profiles.NAME.tools_off", "profiles.NAME.tier", "profiles.NAME.budget")
def _profiles_of_others(gateway: Edited) -> None:
    gateway.put("servers.c", {"command": "run"})
    registry = cast(ViewRegistry, gateway.dispatcher.view_sessions)
    for include, off, tier, budget in ((["c"], [], "read", 7), ([], ["clear"], "write", 0)):
        profile = {"include": include, "tools_off": off, "tier": tier, "budget": budget}
        gateway.put("profiles", {"base": profile})
        (view,) = (each for each in view_specs(registry.views_config) if each.name == "mcp/p/base")
        assert [each.name for each in registry.members(view)] == include
        assert (registry.current(view).tools_off, registry.current(view).tier) == (tuple(off), tier)
        assert registry.current(view).budget == budget


def served_with(gateway: Edited, **headers: str) -> str:
    """The value of the variable X of the process that takes the next call."""
    before = [len(each.asked("tools/call")) for each in gateway.launcher.children]
    caller(gateway, **headers).call(1)
    after = [len(each.asked("tools/call")) for each in gateway.launcher.children]
    changed = [new != old for new, old in zip(after, [*before, 0], strict=False)]
    launched = gateway.launcher.children[changed.index(True)].launched
    assert launched is not None
    return launched.env["X"]


@proves(
    *("workspaces", "workspaces.NAME.path", "workspaces.NAME.profiles"),
    *("projects", "projects.NAME.path", "projects.NAME.profiles", "projects.NAME.servers"),
    *("projects.path", "projects.profiles", "projects.servers", "projects.name"),
)
def _workspaces(gateway: Edited) -> None:
    shop = gateway.path.parent / "shop"
    shop.mkdir()
    gateway.put("profiles", {"base": {"env": {"VALUE": "theirs"}}})
    gateway.put("servers.a", {"command": "run", "share": "workspace", "env": {"X": "${VALUE:-none}"}})

    def value() -> str:
        return served_with(gateway, Mcp_Project_Path=str(shop))

    assert value() == "none"
    place = {"path": str(shop), "profiles": ["base"]}
    for section, said in (
        ("workspaces", {"shop": place}),
        ("projects", {"shop": {**place, "servers": {"p": {"command": "run"}}}}),
        ("projects", [{**place, "name": "shop", "servers": {"p": {"command": "run"}}}]),
    ):
        gateway.put(section, said)
        assert value() == "theirs"
        gateway.put(section, {} if isinstance(said, dict) else [])
        assert value() == "none"


@proves("secrets.allow_cmd")
def _commands(gateway: Edited) -> None:
    gateway.said["servers"]["a"]["env"] = {"X": "${cmd:echo said}"}
    gateway.path.write_text(json.dumps(gateway.said))
    gateway.following.read()
    assert "allow_cmd" in " ".join(map(str, gateway.following.state.problems))
    gateway.said["secrets"] = {"allow_cmd": True}
    gateway.path.write_text(json.dumps(gateway.said))
    gateway.following.read()
    assert "allow_cmd" not in " ".join(map(str, gateway.following.state.problems))


@proves("manhole.socket", "manhole.ssh_port", "manhole.authorized_keys")
def _manhole(gateway: Edited) -> None:
    given = []

    class Door:
        configure = given.append

    gateway.service._manhole = Door()  # type: ignore[assignment]
    gateway.put("manhole", {"socket": True, "ssh_port": 4222, "authorized_keys": "/keys"})
    (settings,) = given
    assert (settings.socket, settings.ssh_port, settings.authorized_keys) == (True, 4222, "/keys")


@proves("clients.adopt", "clients.watch", "clients.opt_out")
def _clients(gateway: Edited) -> None:
    seen = []
    gateway.service.enrolment.look = lambda settings: seen.append(settings.clients)  # type: ignore[method-assign]
    gateway.put("clients", {"adopt": "never", "watch": False, "opt_out": ["a"]})
    assert (seen[-1].adopt.value, seen[-1].watch, seen[-1].opt_out) == ("never", False, ("a",))


@proves("compat.open_loopback_admin")
def _open(gateway: Edited) -> None:
    body = {"name": "c", "config": {"command": "run"}}
    assert answer(gateway, "/api/v1/servers/a/reset-circuit", body).status == 401
    gateway.put("compat.open_loopback_admin", True)
    assert gateway.guard.judge is not None
    client = gateway.client()
    client.send({}, path="/api/v1/servers/a/reset-circuit")
    assert client.heard is None or client.heard.status != 401


# Servers


@proves("servers.NAME.rest_url", "servers.NAME.health_endpoint")
def _health_check(gateway: Edited) -> None:
    gateway.session("a")
    gateway.beat(5)
    gateway.said["servers"]["a"]["rest_url"] = "http://127.0.0.1:9"
    gateway.put("servers.a.health_endpoint", "/well")
    gateway.world.status = 503
    gateway.beat(2)
    assert gateway.world.fetched == ["http://127.0.0.1:9/well"]
    assert len(gateway.launcher.children) == 1
    assert gateway.get("/health").json["backends"][0]["status"] == "degraded"
    gateway.put("servers.a.health_endpoint", "/better")
    gateway.world.status = 200
    gateway.beat(2)
    assert gateway.world.fetched[1:] == ["http://127.0.0.1:9/better"]
    assert gateway.get("/health").json["backends"][0]["status"] == "running"
    del gateway.said["servers"]["a"]["health_endpoint"]
    gateway.world.status = 503
    gateway.save()
    gateway.beat(100)
    assert len(gateway.world.fetched) == 2


@proves("servers.NAME.timeout")
def _timeout(gateway: Edited) -> None:
    client = gateway.session("a")
    client.call(1)
    gateway.put("servers.a.timeout", "3s")
    gateway.beat(5)
    assert client.heard is not None
    assert "within 3 s" in client.heard.body.decode()
    assert len(gateway.launcher.children) == 1


@proves("servers.NAME.bridge")
def _server_bridge(gateway: Edited) -> None:
    gateway.put("servers.a.bridge", "off")
    assert gateway.dispatcher.eras.bridge(gateway.dispatcher.server("a")).value == "off"


@proves(
    "servers.NAME.lazy",
    "servers.NAME.lazy.enabled",
    "servers.NAME.lazy.prewarm",
    "servers.NAME.lazy.idleTimeoutMs",
)
def _lazy(gateway: Edited) -> None:
    gateway.put("servers.a.lazy", {"enabled": False})
    assert len(gateway.launcher.children) == 1
    gateway.put("servers.a.lazy", {"enabled": False, "idleTimeoutMs": 10_000})
    gateway.beat(60)
    assert not gateway.child.is_stopping  # it is kept up
    gateway.put("servers.a.lazy", {"enabled": True, "idleTimeoutMs": 10_000})
    gateway.beat(60)
    assert gateway.child.is_stopping
    gateway.put("servers.b", {"command": "run", "share": "global", "lazy": {"prewarm": True}})
    assert gateway.child.launched is not None
    assert gateway.child.launched.server == "b"
    gateway.put("servers.a.lazy", False)
    assert gateway.child.launched.server == "a"


@proves("servers.NAME.lazy.connectTimeoutMs")
def _connect(gateway: Edited) -> None:
    gateway.launcher.hello = None
    gateway.put("servers.a.lazy", {"connectTimeoutMs": 2000})
    client = gateway.client("a")
    client.call(1)
    gateway.beat(4)
    assert client.heard is not None
    assert "within 2 s" in client.heard.body.decode()


@proves("servers.NAME.lazy.maxRamMb", "servers.NAME.lazy.maxUptimeMs")
def _excess(gateway: Edited) -> None:
    gateway.session("a")
    first = gateway.child
    gateway.world.sizes[first.pid] = 50 * 2**20
    gateway.beat(30)
    gateway.put("servers.a.lazy", {"maxRamMb": 10})
    gateway.beat(15)
    assert first.is_stopping
    second = gateway.child
    gateway.put("servers.a.lazy", {"maxUptimeMs": 60_000})
    gateway.beat(61)
    assert second.is_stopping


@proves("servers.NAME.concurrency")
def _concurrency(gateway: Edited) -> None:
    server = gateway.dispatcher.server
    assert not gateway.dispatcher.pool.is_single(server("a"))
    gateway.put("servers.a.concurrency", 1)
    assert gateway.dispatcher.pool.is_single(server("a"))


@proves("servers.NAME.inject_args")
def _inject(gateway: Edited) -> None:
    gateway.put("servers.a.inject_args", {"place": "here"})
    client = gateway.session("a")
    client.call(1, name="x", arguments={})
    gateway.put("servers.a.inject_args", {"place": "there"})
    assert len(gateway.launcher.children) == 1
    assert dict(gateway.dispatcher.server("a").inject) == {"place": "there"}


@proves("servers.NAME.prefix", "servers.NAME.expose_tools", "servers.NAME.pinned")
def _shown_as(gateway: Edited) -> None:
    gateway.put("servers.a.prefix", "other")
    assert "other__x" in listed(gateway, "/mcp/full", **TOOLS)
    gateway.put("servers.a.expose_tools", False)
    assert not any("other__" in each for each in listed(gateway, "/mcp/full", **TOOLS))
    gateway.put("servers.a", {"command": "run", "share": "global", "pinned": ["z"]})
    names = [each for each in listed(gateway, "/mcp/full", **TOOLS) if "__" in each]
    own = len(listed(gateway, "/mcp/full", **TOOLS)) - len(names)
    gateway.put("gateway.tool_filter", {"tool_budget": own + 1})
    assert [each for each in listed(gateway, "/mcp/full", **TOOLS) if "__" in each] == ["a__z"]


@proves("servers.NAME.tools_off")
def _tools_off(gateway: Edited) -> None:
    client = gateway.session("a")
    mailbox = gateway.sessions.named(client.headers["Mcp-Session-Id"].encode()).mailbox
    news = "notifications/tools/list_changed"
    gateway.put("servers.a.timeout", 7)
    assert news not in mailbox
    gateway.put("servers.a.tools_off", ["x", "y*"])
    assert [each for each in listed(gateway, "/mcp/full", **TOOLS) if "__" in each] == ["a__z", "b__w"]
    assert news in mailbox
    gateway.put("servers.a.tools_off", [])
    assert "a__x" in listed(gateway, "/mcp/full", **TOOLS)


@proves(
    *("gateway.quarantine", "servers.NAME.quarantine"),
    *("gateway.auto_upgrade", "servers.NAME.auto_upgrade", "gateway.upgrade_checks"),
)
def _versions(gateway: Edited) -> None:
    # They are looked up at each list, call and version; `tests.functional.test_server_versions` has these.
    caller(gateway).call(1)
    children = len(gateway.launcher.children)
    gateway.put("gateway.quarantine", "changed")
    gateway.put("gateway.upgrade_checks", False)
    for mode in ("any", "patch", "off"):
        gateway.put("gateway.auto_upgrade", mode)
        gateway.put("servers.a.auto_upgrade", mode)
        assert gateway.dispatcher.servers["a"].auto_upgrade == mode
        assert gateway.following.settings.gateway.auto_upgrade == mode
    settings = gateway.hub.views_config.gateway
    assert (settings.quarantine, settings.upgrade_checks) == (True, False)
    gateway.put("servers.a.quarantine", "off")
    assert gateway.dispatcher.servers["a"].quarantine is False
    assert len(gateway.launcher.children) == children


@proves("gateway.free_memory_by_restart")
def _memory(gateway: Edited) -> None:
    # It is looked up when memory is; `tests.manage.test_memory` has that.
    gateway.put("gateway.free_memory_by_restart", True)
    assert gateway.following.settings.gateway.free_memory_by_restart is True


@proves("servers.NAME.shield", "servers.NAME.shield.level", "servers.NAME.shield.tools")
def _server_shield(gateway: Edited) -> None:
    many = json.dumps([f"item {number}" for number in range(100)])
    assert shown_of(gateway, many) != many
    for said in ("off", {"level": "off"}, {"tools": {"x": "off"}}):
        gateway.put("servers.a.shield", said)
        assert shown_of(gateway, many) == many


# What does not count at once


def entry(**said: Any) -> dict[str, Any]:
    """An entry of a server that everybody shares."""
    return {"command": "run", "share": "global", **said}


REMOTE = {"url": "http://127.0.0.1:9/mcp", "share": "global"}
DOCKER = {"docker": {"image": "i"}, "share": "global"}
REST = {"rest_url": "http://127.0.0.1:9", "share": "global", "tools": [{"name": "t", "path": "/t"}]}
PROJECTS = [{"name": "p", "path": "/p"}, {"name": "q", "path": "/q"}]
# How an entry with such a key may read before an edit, and after it.
REPLACING: dict[str, EntryEdit] = {
    "command": (entry(), entry(command="walk")),
    "args": (entry(), entry(args=["-v"])),
    "env": (entry(), entry(env={"A": "b"})),
    "env_policy": (entry(), entry(env_policy="full")),
    "cwd": (entry(), entry(cwd="/tmp")),
    "url": (REMOTE, {**REMOTE, "url": "http://127.0.0.1:8/mcp"}),
    "headers": (REMOTE, {**REMOTE, "headers": {"X-A": "b"}}),
    "auth": (REMOTE, {**REMOTE, "auth": {"token": "x" * 20}}),
    "oauth": (REMOTE, {**REMOTE, "oauth": {"client_id": "c"}}),
    "ca_file": (REMOTE, {**REMOTE, "ca_file": "/ca.pem"}),
    "proxy": (REMOTE, {**REMOTE, "proxy": "http://127.0.0.1:3128"}),
    "insecure": (REMOTE, {**REMOTE, "insecure": True}),
    "tls_verify": (REMOTE, {**REMOTE, "tls_verify": False}),
    "type": ({**REMOTE, "type": "http"}, {**REMOTE, "type": "sse"}),
    "transport": ({**REMOTE, "transport": "http"}, {**REMOTE, "transport": "sse"}),
    "port": (entry(port=1234), entry(port=1235)),
    "path": (entry(port=1234), entry(port=1234, path="/other")),
    "docker": (DOCKER, {**DOCKER, "docker": {"image": "j"}}),
    "openapi": (REST, {"openapi": "http://127.0.0.1:9/o.json", "share": "global"}),
    "operations": (REST, {**REST, "operations": {"tags": ["a"]}}),
    "credentials": (REST, {**REST, "credentials": {"key": "x" * 20}}),
    "tools": (REST, {**REST, "tools": [{"name": "u", "path": "/u"}]}),
    "share": (entry(), entry(share="workspace")),
    "scope": ({"command": "run", "scope": "global"}, {"command": "run", "scope": "workspace"}),
    "protocol": (entry(), entry(protocol="legacy")),
    "interactive": (entry(), entry(interactive=False)),
    "enabled": (entry(), entry(enabled=False)),
    "disabled": (entry(), entry(disabled=True)),
    "replicas": (entry(), entry(replicas=2)),
    "instances": (entry(), entry(instances="one")),
    "on": (entry(), entry(on=["gpu"])),
    "resolve": (entry(), entry(resolve=False)),
    "prefork": (entry(), entry(prefork="off")),
    "overlay": (entry(), entry(overlay=True)),
    "projects": (entry(), entry(projects=[{"name": "p", "path": "/p"}])),
    "defaultProject": (
        entry(projects=PROJECTS),
        entry(projects=PROJECTS, defaultProject="q"),
    ),
}
NOTED = {"tags": ["t"], "description": "d", "name": "n"}
AT_START = {
    "gateway.http_port": 9105,
    "gateway.bind_address": "127.0.0.2",
    "gateway.prefork": "auto",
    "gateway.listen": ["tcp:0:interface=127.0.0.1"],
    "gateway.tls_cert_path": "/c.pem",
    "gateway.tls_key_path": "/k.pem",
    "gateway.trace.record_lines": 7,
    "gateway.trace.activity": False,
    "gateway.trace.begin": True,
    "gateway.trace.otlp": "http://127.0.0.1:4318",
    "gateway.trace.otlp_headers": {"X-A": "b"},
    "compat.ports": [8765],
    "gateway.cluster.store": "postgresql://127.0.0.1/other",
    "gateway.cluster.node": "b",
    "gateway.cluster.listen": "127.0.0.1:9102",
    "gateway.cluster.address": "127.0.0.1:9103",
    "gateway.cluster.labels": ["gpu"],
    "gateway.cluster.key_file": "/run/key",
    "gateway.cluster.tls.ca_file": "/ca.pem",
    "gateway.cluster.tls.cert_file": "/c.pem",
    "gateway.cluster.tls.key_file": "/k.pem",
    "gateway.cluster.insecure": True,
    "gateway.cluster.config": "files",
    "gateway.cluster.store_lost": "1m",
    "gateway.cluster.lease": "20s",
    "gateway.cluster.drain": "1m",
    "gateway.cluster.limits.sessions": 5,
    "gateway.cluster.limits.calls": 5,
    "gateway.cluster.limits.children": 5,
}
"""What each may be edited to."""


class CompletenessTests:
    """Completeness of the keys."""

    def test_all_have_an_answer(self) -> None:
        """Each key that counts at once has a proof, and no proof is of a key that there is not."""
        assert sorted(set(counting(Counts.AT_ONCE)) - set(PROOFS)) == []
        assert sorted(set(PROOFS) - set(counting(Counts.AT_ONCE))) == []

    def test_what_is_below(self) -> None:
        """A key below another counts as that does."""
        assert counts_of(("servers", "NAME", "docker", "image")) is Counts.NEW_PROCESS


@pytest.mark.parametrize("key_path", sorted(PROOFS))
def test_at_once(key_path: str, tmp_path: Path) -> None:
    """An edit of it is seen in a gateway that runs."""
    PROOFS[key_path](running(tmp_path))


@pytest.mark.parametrize("key_path", sorted(counting(Counts.AT_START)))
def test_at_start(key_path: str, tmp_path: Path) -> None:
    """An edit of it is said to wait for the next start, and nothing else is done."""
    gateway = running(tmp_path)
    gateway.session("a")
    if key_path.startswith("gateway.tls_"):  # the one is nothing without the other
        gateway.said["gateway"] = {"tls_cert_path": "/other.pem", "tls_key_path": "/other.pem"}
    if key_path == "gateway.cluster.store":  # else it would be refused in a file that all nodes have
        gateway.said["gateway"] = {"cluster": {"config": "files"}}
    gateway.put(key_path, AT_START[key_path])
    assert key_path.split(".")[1] in gateway.following.state.restart
    assert len(gateway.launcher.children) == 1
    assert not gateway.child.is_stopping


def replacing() -> list[str]:
    """The keys of a server that its process is replaced for, those below others left out."""
    found = (key_path.split(".") for key_path in counting(Counts.NEW_PROCESS))
    return sorted({key_path[2] for key_path in found if key_path[:2] == ["servers", "NAME"]})


@pytest.mark.parametrize("key", replacing())
def test_new_process(key: str, tmp_path: Path) -> None:
    """An edit of it stops the process that runs; others notice nothing."""
    before, after = REPLACING[key]
    gateway = running(tmp_path)
    gateway.put("servers.a", before)
    gateway.session("b")
    gateway.session("a")
    other, child = gateway.launcher.children
    gateway.put("servers.a", after)
    assert child.is_stopping
    assert not other.is_stopping


@pytest.mark.parametrize(
    "key_path", ["gateway.env_policy", "env_policy", "profiles.NAME.env", "projects.NAME.env"]
)
def test_new_environments(key_path: str, tmp_path: Path) -> None:
    """An edit elsewhere that gives a server other values stops its process, too; another takes the next call."""
    gateway = running(tmp_path)
    gateway.environ["VALUE"] = "usual"
    gateway.put("servers.a", {"command": "run", "share": "workspace", "env": {"X": "${VALUE:-none}"}})
    here: dict[str, Any] = {"path": str(tmp_path), "profiles": ["NAME"]}
    gateway.said["profiles"] = {"NAME": {"env": {}}}
    gateway.put("workspaces", {"NAME": here} if "profiles" in key_path else {})
    assert served_with(gateway, Mcp_Project_Path=str(tmp_path)) == "none"
    match key_path:
        case "profiles.NAME.env":
            gateway.put("profiles.NAME.env", {"VALUE": "theirs"})
        case "projects.NAME.env":
            gateway.put("projects", {"NAME": {"path": str(tmp_path), "env": {"VALUE": "theirs"}}})
        case _:
            gateway.put(key_path, "full")
    expected = "usual" if key_path.endswith("env_policy") else "theirs"
    assert served_with(gateway, Mcp_Project_Path=str(tmp_path)) == expected


def test_others_stay_stopped(tmp_path: Path) -> None:
    """A server that is started with the gateway, and was stopped, is not started for the edit of another."""
    gateway = running(tmp_path)
    gateway.put("servers.a.lazy", {"prewarm": True})
    operating = ServerOperations(gateway.dispatcher, gateway.health, gateway.clock)
    operating.stop("a")
    gateway.put("servers.b.timeout", "5s")
    assert len(gateway.launcher.children) == 1


@pytest.mark.parametrize("key_path", sorted(counting(Counts.NEVER)))
def test_never(key_path: str, tmp_path: Path) -> None:
    """An edit of it changes nothing."""
    gateway = running(tmp_path, profiles={"NAME": {}}, workspaces={"NAME": {"path": str(tmp_path)}})
    gateway.said["servers"]["NAME"] = {"command": "run", "share": "global"}
    gateway.said["projects"] = {"NAME": {"path": str(tmp_path)}}
    gateway.save()
    gateway.session("NAME")
    before, servers = gateway.settings, dict(gateway.dispatcher.servers)
    key_path = key_path.replace("projects.description", "projects.NAME.description")
    gateway.put(
        key_path, NOTED.get(key_path.rpartition(".")[2], "mcp" if key_path.endswith("errors") else ["note"])
    )
    assert gateway.settings.gateway == before.gateway
    assert gateway.dispatcher.servers == servers
    assert not gateway.child.is_stopping
