"""Programs made for mcp-session-manager, mcp-gateway with mcp-ctl, or harshal-mcp-proxy go on working, body by body.

The pages of ``docs/howto/migrate`` are made from the marks in this file and its neighbour.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.support.attacking import HELLO, JSON, ask, message, token
from tests.support.gateway import eventually
from tests.support.older import PORTED, Maybe, Older, fits, older
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

MANAGER = "mcp-session-manager"
CTL = "mcp-gateway"
PROXY = "harshal-mcp-proxy"
KLIPIDE = "klipide-mcp-gateway"
DAEMON = {
    "name": "memory",
    "running": bool,
    "pid": Maybe(int),
    "port": Maybe(int),
    "uptime": Maybe(int),
    "lastError": Maybe(str),
}
TOOL = {"name": str, "description": str, "server": str, "input_schema": dict}
SERVER = {
    "name": str,
    "status": str,
    "transport": str,
    "pid": Maybe(int),
    "tools": Maybe([TOOL]),
    "restart_count": int,
    "last_error": Maybe(str),
    "env_keys": [str],
    "header_keys": [str],
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway that is asked by all tests, one after the other."""
    with Older(tmp_path_factory.mktemp("older")) as running:
        yield running


class ManagerTests:
    """The manager of mcp-session-manager; its daemons are the servers whose entries have a ``port``."""

    @older(MANAGER, "GET /ping")
    def test_ping(self, gateway):
        """``{"status": "ok", "message"}``."""
        fits(gateway.get("/ping"), 200, {"status": "ok", "message": str})

    @older(MANAGER, "POST /start", "It answers when the daemon serves.")
    def test_start(self, gateway):
        """The ``name``, ``running``, ``pid``, ``port`` and ``uptime`` of a daemon; started once, however
        often it is asked for.
        """
        first = fits(
            gateway.post("/start", {"name": "memory"}), 200, {**DAEMON, "running": True, "uptime": int}
        )
        again = fits(gateway.post("/start", {"name": "memory"}), 200, DAEMON)
        assert (first["pid"], first["port"]) == (again["pid"], gateway.served)
        self.wrong(gateway, "/start")

    def wrong(self, gateway, path):
        """A missing name is 400, an unknown one 404."""
        fits(gateway.post(path, {}), 400, {"error": "Missing daemon name"})
        fits(gateway.post(path, {"name": "x"}), 404, {"error": "Unknown daemon: x"})

    @older(MANAGER, "POST /stop", "It answers when the daemon has ended.")
    def test_stop(self, gateway):
        """The same with ``running`` false; without a name 400 ``Missing daemon name``, an unknown one 404."""
        gateway.post("/start", {"name": "memory"})
        fits(gateway.post("/stop", {"name": "memory"}), 200, {**DAEMON, "running": False})
        self.wrong(gateway, "/stop")

    @older(MANAGER, "POST /ensure")
    def test_ensure(self, gateway):
        """``{"running": true, "port"}``; where it cannot be started, 500 ``{"running": false, "error"}``."""
        fits(gateway.post("/ensure", {"name": "memory"}), 200, {"running": True, "port": gateway.served})
        self.wrong(gateway, "/ensure")
        lost = {"command": "/no/such/program", "port": free_port()}
        gateway.post("/api/v1/servers", {"name": "lost", "config": lost})
        fits(gateway.post("/ensure", {"name": "lost"}), 500, {"running": False, "error": str})
        gateway.post("/api/v1/servers/lost", method="DELETE")

    @older(
        MANAGER,
        "POST /start-all, /stop-all",
        "Those that are switched off, or have been given up, are not started.",
    )
    def test_all(self, gateway):
        """``{"daemons"}``, each as in ``/status``."""
        fits(gateway.post("/start-all"), 200, {"daemons": [{**DAEMON, "running": True}]})
        fits(gateway.post("/stop-all"), 200, {"daemons": [{**DAEMON, "running": False}]})

    @older(
        MANAGER,
        "GET /status",
        "``uptime`` is in seconds; ``port`` is there whether it runs or not, ``pid`` and ``uptime`` only"
        " where the gateway"
        " has started it. A program that served MCP at the port before is used and never ended: it is ``running`` after"
        " ``/stop``, too.",
    )
    def test_status(self, gateway):
        """``{"daemons": [{"name", "running", "pid", "port", "uptime", "lastError"}]}``."""
        gateway.post("/stop", {"name": "memory"})
        fits(gateway.get("/status"), 200, {"daemons": [{**DAEMON, "running": False}]})
        stranger = subprocess.Popen([sys.executable, PORTED, str(gateway.served)], stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: gateway.get("/status").json["daemons"][0]["running"], "it is seen")
            for path in ("/start", "/stop"):
                found = fits(gateway.post(path, {"name": "memory"}), 200, {**DAEMON, "running": True})
                assert "pid" not in found
            assert stranger.poll() is None
            gateway.post("/start", {"name": "memory"})
        finally:
            stranger.kill()
            stranger.wait()
        # Its end is seen at once, also while it is used, and another one is started in its place.
        fits(gateway.get("/status"), 200, {"daemons": [{**DAEMON, "running": False}]})
        fits(gateway.post("/ensure", {"name": "memory"}), 200, {"running": True, "port": gateway.served})
        fits(gateway.get("/status"), 200, {"daemons": [{**DAEMON, "running": True, "pid": int}]})
        gateway.post("/stop", {"name": "memory"})


class CtlTests:
    """The REST API of mcp-gateway."""

    @older(CTL, "GET /api/v1/health", "More numbers; ``backends`` has every server.")
    def test_health(self, gateway):
        """``status``, ``servers``, ``running``, ``auth``, ``started_at``, ``pid``, ``version``,
        ``uptime_seconds``.
        """
        gateway.call("fix", "echo", text="x")
        body = {
            "status": "ok",
            "servers": int,
            "running": int,
            "auth": str,
            "started_at": str,
            "pid": gateway.pid,
            "version": str,
            "uptime_seconds": int,
        }
        for path in ("/api/v1/health", "/health"):
            found = fits(gateway.get(path), 200, body)
            assert found["servers"] > found["running"] > 0

    @older(CTL, "ANY /api/…", "What immorterm-mcp-gateway has there is answered in place.")
    def test_version(self, gateway):
        """Without the version of the API it is led on, as there; ``GET /api/version`` is ``{"version"}`` in
        the end.
        """
        fits(gateway.get("/api/version"), 200, {"version": str})
        assert gateway.get("/api/v1/version").json == gateway.get("/api/version").json

    @older(
        CTL, "GET /api/v1/servers", "More members; ``?tools=false`` leaves the tools out, for who asks often."
    )
    def test_servers(self, gateway):
        """Every server: ``name``, ``status``, ``transport``, ``pid``, ``tools``, ``restart_count``,
        ``last_error``, ``env_keys``, ``header_keys``.
        """
        gateway.call("fix", "echo", text="x")
        assert gateway.get("/api/v1/tools?server=fix").json
        found = {each["name"]: each for each in fits(gateway.get("/api/v1/servers"), 200, [SERVER])}
        assert "echo" in [each["name"] for each in found["fix"]["tools"]]
        assert len(found["fix"]["tools"]) == found["fix"]["tool_count"]
        short = {each["name"]: each for each in gateway.get("/api/v1/servers?tools=false").json}
        assert "tools" not in short["fix"]
        assert short["fix"]["tool_count"] == found["fix"]["tool_count"]

    @older(
        CTL,
        "GET /api/v1/servers/{name}",
        "``config`` has the entry, too, without values of variables and headers.",
    )
    def test_server(self, gateway):
        """A server by its name; an unknown one is 404 ``{"error"}``."""
        found = fits(gateway.get("/api/v1/servers/fix"), 200, {**SERVER, "name": "fix"})
        assert found["env_keys"]
        fits(gateway.get("/api/v1/servers/nobody"), 404, {"error": "Unknown server: nobody"})

    @older(
        CTL,
        "POST, PATCH, DELETE /api/v1/servers…",
        "New entries, and other variables and headers, need the admin token. A removed one is kept in a file.",
    )
    def test_changes(self, gateway):
        """202 ``{"status": "accepted", "hint"}``, or 201 ``added`` where it is disabled; 200 ``updated``,
        ``patched``, ``removed``; 400, 404, 409.
        """
        path, entry = "/api/v1/servers", gateway.entry()
        added = gateway.post(path, {"name": "new", "config": entry})
        fits(added, 202, {"status": "accepted", "hint": str})
        fits(gateway.post(path, {"name": "new", "config": entry}), 409, {"error": str})
        fits(gateway.post(path, {"name": "bad", "config": {"args": []}}), 400, {"error": str})
        off = {"name": "off", "config": {**entry, "disabled": True}}
        fits(gateway.post(path, off), 201, {"status": "added"})
        given = {"add_env": ["A=1"], "remove_env": ["B"]}
        fits(gateway.post(f"{path}/new", given, "PATCH"), 200, {"status": "updated"})
        renamed = {"status": "patched", "old_name": "off", "new_name": "on"}
        fits(gateway.post(f"{path}/off", {"new_name": "on"}, "PATCH"), 200, renamed)
        for name in ("new", "on"):
            fits(gateway.post(f"{path}/{name}", method="DELETE"), 200, {"status": "removed"})
            fits(gateway.post(f"{path}/{name}", method="DELETE"), 404, {"error": str})
        fits(gateway.post(f"{path}/{name}", {"disabled": True}, "PATCH"), 404, {"error": str})

    @older(CTL, "POST /api/v1/servers/{name}/restart, …/reset-circuit")
    def test_restart(self, gateway):
        """``{"status": "restarted"}`` and ``{"status": "circuit reset"}``."""
        fits(gateway.post("/api/v1/servers/fix/restart"), 200, {"status": "restarted"})
        fits(gateway.post("/api/v1/servers/fix/reset-circuit"), 200, {"status": "circuit reset"})

    @older(CTL, "POST /api/v1/servers/{name}/call", "A call that takes too long is 504.")
    def test_call(self, gateway):
        """``{"tool", "arguments"}`` gives the result as the server did; 400 without a tool, 502 where there
        is no answer.
        """
        path = "/api/v1/servers/fix/call"
        result = fits(
            gateway.post(path, {"tool": "echo", "arguments": {"text": "hi"}}), 200, {"content": list}
        )
        assert result["content"][0]["text"] == "hi"
        fits(gateway.post(path, {"arguments": {}}), 400, {"error": str})
        fits(gateway.post("/api/v1/servers/broken/call", {"tool": "x"}), 502, {"error": str})

    @older(CTL, "GET /api/v1/tools")
    def test_tools(self, gateway):
        """Every tool: ``name`` as ``server__tool``, ``description``, ``server``, ``input_schema``."""
        found = fits(gateway.get("/api/v1/tools"), 200, [TOOL])
        assert "fix__echo" in [each["name"] for each in found]

    @older(CTL, "GET /api/v1/metrics")
    def test_metrics(self, gateway):
        """``timestamp``, ``gateway_uptime``, ``servers`` with ``restart_count``, ``mtbf``, ``uptime``, and
        ``tokens``.
        """
        tokens = ("total_tools", "est_schema_tokens", "est_description_tokens", "est_total_tokens")
        life = {"name": str, "restart_count": int, "mtbf": str, "uptime": str, "last_crash_at": Maybe(str)}
        body = {
            "timestamp": str,
            "gateway_uptime": str,
            "servers": [life],
            "tokens": dict.fromkeys(tokens, int),
        }
        gateway.get("/api/v1/tools")
        assert fits(gateway.get("/api/v1/metrics"), 200, body)["tokens"]["total_tools"] > 0

    @older(
        CTL,
        "GET /api/v1/servers/{name}/logs",
        "Events have ids; ``?follow=false`` ends after the lines there are.",
    )
    def test_logs(self, gateway):
        """The lines of a server as server-sent events, former and new ones; an unknown server is 404."""
        gateway.call("fix", "flood_stderr", bytes=200)
        path = "/api/v1/servers/fix/logs?follow=false"
        eventually(lambda: b"data: " in gateway.get(path).body, "lines come")
        assert gateway.get(path).headers["content-type"].startswith("text/event-stream")
        fits(gateway.get("/api/v1/servers/nobody/logs"), 404, {"error": str})

    @older(CTL, "GET /api/v1/debug/dump", "Bounded, and without secrets; its members are others.")
    def test_dump(self, gateway):
        """A JSON object."""
        assert fits(gateway.post("/api/v1/debug/dump", method="GET"), 200, dict)

    @older(CTL, "ANY, refused", "Reads from this machine need no token.")
    def test_refused(self, gateway):
        """401 ``{"error", "hint"}`` with ``WWW-Authenticate: Bearer``, 403 from a page, 413 of a large body:
        all ``{"error"}``.
        """
        refused = ask(gateway, "POST", "/api/v1/servers/fix/restart")
        fits(refused, 401, {"error": str, "hint": str})
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["cache-control"] == "no-store"
        page = {"Sec-Fetch-Site": "cross-site", "Authorization": token(gateway)}
        fits(ask(gateway, "POST", "/api/v1/servers/fix/restart", **page), 403, {"error": str})
        large = {"name": "x", "config": {"command": "x" * 1_100_000}}
        fits(gateway.post("/api/v1/servers", large), 413, {"error": str})

    @older(CTL, "ANY /api/v1/claude-code/…, /sap/…, /pal/…", "Not there.")
    def test_others(self, gateway):
        """404 ``{"error": "Not found"}``."""
        for path in ("/api/v1/claude-code/patch-status", "/sap/systems", "/pal/x"):
            fits(gateway.get(path), 404, {"error": "Not found"})


class KlipideTests:
    """Hints that agents get from Klipide's gateway."""

    @older(
        KLIPIDE,
        "tools/call, failed",
        "Their names begin with ``gateway_``; ``/mcp/admin`` lists them, and a search finds them everywhere.",
    )
    def test_hints(self, gateway):
        """``{"error", "hint"}``: every one of the gateway's own tools tells an agent what to do next."""
        listed = self.ask(gateway, "tools/list")["result"]["tools"]
        names = [each["name"] for each in listed if each["name"].startswith("gateway_")]
        assert {"gateway_list_servers", "gateway_install_server", "gateway_docs"} <= set(names)
        failed = 0
        for name in names:
            for arguments in (
                {},
                {"server": "nobody", "id": "nobody__x", "jobId": "x", "search": "zzz", "ref": "r0"},
            ):
                result = self.ask(gateway, "tools/call", {"name": name, "arguments": arguments})["result"]
                if result.get("isError"):
                    said = json.loads(result["content"][0]["text"])
                    assert said["error"], name
                    assert said["hint"], (name, said)
                    failed += 1
        assert failed > len(names) / 2

    def ask(self, gateway, method, params=None):
        """The answer of the view of administrators."""
        return ask(gateway, "POST", "/mcp/admin", message(method, params), **JSON).json


class HintTests:
    """Refusals of the control plane."""

    REFUSED = (
        ("GET", "/nothing", b""),
        ("PUT", "/ping", b""),
        ("GET", "/api/v1/servers/nobody", b""),
        ("POST", "/api/v1/servers", b"no JSON"),
        ("POST", "/api/v1/servers", b"{}"),
        ("POST", "/api/v1/servers/fix/call", b"{}"),
        ("POST", "/api/v1/servers/nobody/call", b'{"tool":"x"}'),
        ("POST", "/api/v1/servers/broken/call", b'{"tool":"x"}'),
        ("POST", "/api/v1/tools/nobody__x/call", b"{}"),
        ("GET", "/api/v1/tools/nobody__x", b""),
        ("GET", "/api/v1/results/r0", b""),
        ("GET", "/api/v1/servers/nobody/why", b""),
        ("POST", "/api/v1/servers/fix/start?wait=x", b""),
        ("DELETE", "/api/v1/sessions", b""),
        ("DELETE", "/api/v1/tokens/nobody", b""),
        ("POST", "/api/sessions/x/kill", b""),
        ("POST", "/api/servers/nobody/enable", b""),
        ("POST", "/projects/register", b"{}"),
        ("POST", "/clients/register", b"{}"),
        ("POST", "/ensure", b"{}"),
        ("GET", "/api/v1/servers/fix/rest/x", b""),
    )

    @pytest.mark.parametrize(("method", "path", "body"), REFUSED, ids=lambda each: str(each)[:40])
    def test_refused(self, gateway, method, path, body):
        """A refusal of the control plane has a hint."""
        answer = ask(gateway, method, path, body, Authorization=token(gateway, "admin.token"))
        assert answer.status >= 400
        assert {"error", "hint"} <= answer.json.keys(), answer.body
        assert answer.json["hint"]

    @pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {}])
    def test_not_let_in(self, gateway, headers):
        """A caller that is not let in is told what to do, too."""
        answer = ask(gateway, "POST", "/api/v1/servers/fix/restart", **headers)
        assert answer.status in (401, 403)
        assert answer.json["hint"]


class EndTests:
    """The end of a gateway."""

    @older(CTL, "POST /api/v1/shutdown")
    def test_shutdown(self, tmp_path):
        """202 ``{"status": "shutting_down"}``, with the admin token only."""
        with Older(tmp_path) as gateway:
            assert gateway.post("/api/v1/shutdown", Authorization=token(gateway)).status == 401
            fits(gateway.post("/api/v1/shutdown"), 202, {"status": "shutting_down"})
            eventually(lambda: gateway.has_ended, "it ends")


class ProxyTests:
    """The HTTP daemon of harshal-mcp-proxy."""

    @older(
        PROXY,
        "POST /mcp, POST /",
        "Sessions, streams and revisions as MCP has them, a notification is 202; the tools are listed as"
        " ``gateway_search``, with dots under ``?names=dotted``, and called by either name. There are more"
        " than six unless"
        " ``gateway.expose`` is ``search``. A search has that program's members where its own file is the"
        " configuration, with ``gateway.search_format: full``, and with ``format``.",
    )
    def test_mcp(self, gateway):
        """Requests without a session are answered 200 as JSON: ``initialize``, ``ping``, ``tools/list``,
        ``tools/call``.
        """
        for path in ("/mcp", "/"):
            said = self.ask(gateway, path, "initialize", HELLO)["result"]
            assert said["protocolVersion"] == HELLO["protocolVersion"]
            assert self.ask(gateway, path, "ping")["result"] == {}
            called = self.ask(
                gateway,
                path,
                "tools/call",
                {"name": "gateway.search", "arguments": {"query": "echo", "format": "full"}},
            )
            found = json.loads(called["result"]["content"][0]["text"])
            assert {"query", "found", "results"} <= found.keys()
            assert self.ask(gateway, path, "no/such")["error"]["code"] == -32601
        listed = self.ask(gateway, "/mcp/search?names=dotted", "tools/list")["result"]["tools"]
        ours = ("search", "describe", "invoke", "invoke_async", "invoke_status", "get_result")
        assert {each["name"] for each in listed} == {f"gateway.{each}" for each in ours}
        assert len(listed) == len(ours)

    def ask(self, gateway, path, method, params=None):
        """The answer to a request without a session."""
        answer = ask(gateway, "POST", path, message(method, params), **{"Content-Type": JSON["Content-Type"]})
        assert answer.status == 200, answer.body
        return answer.json

    @older(PROXY, "POST /mcp, refused")
    def test_refused(self, gateway):
        """A body that is no JSON is 400 with -32700, one that is no request 400 with -32600; other paths are
        404 ``{"error"}``.
        """
        for body, code in ((b"no JSON", -32700), (b"{}", -32600)):
            answer = ask(gateway, "POST", "/mcp", body, **JSON)
            assert (answer.status, answer.json["error"]["code"]) == (400, code)
        fits(gateway.get("/other"), 404, {"error": "Not found"})

    @older(PROXY, "GET /health", "Asked with ``?shape=harshal``; without, ``servers`` counts all of them.")
    def test_health(self, gateway):
        """``{"status": "ok", "servers", "tools", "uptime", "timestamp"}``: ``servers`` that are connected,
        and milliseconds.
        """
        gateway.call("fix", "echo", text="x")
        gateway.get("/api/v1/tools")
        body = {"status": "ok", "servers": int, "tools": int, "uptime": int, "timestamp": int}
        found = fits(gateway.get("/health?shape=harshal"), 200, body)
        shown = gateway.get("/api/v1/servers").json
        assert found["servers"] == sum(each["status"] == "running" for each in shown)
        assert found["tools"] == sum(each["tool_count"] or 0 for each in shown) > 0
        assert abs(found["timestamp"] / 1000 - time.time()) < 3600

    @older(
        PROXY,
        "OPTIONS /mcp",
        "There is no ``Access-Control-Allow-Origin: *``: name the origin of your page in ``gateway.allowed_origins``.",
    )
    def test_options(self, gateway):
        """A page of another origin is allowed no request."""
        answer = ask(gateway, "OPTIONS", "/mcp", Origin="https://example.com")
        assert answer.status >= 400
        assert "access-control-allow-origin" not in answer.headers
