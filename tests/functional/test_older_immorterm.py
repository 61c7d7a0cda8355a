"""Programs made for immorterm-mcp-gateway go on working: each of its routes, body by body.

The pages of ``docs/howto/migrate`` are made from the marks in this file and its neighbour.
"""

from __future__ import annotations

import json
import time

import pytest

from tests.support.attacking import JSON, ask, message
from tests.support.older import Maybe, Older, fits, older

pytestmark = pytest.mark.functional

SEED = "immorterm-mcp-gateway"
CLIENT = {"tool": str, "configPath": str, "registeredAt": int, "serverCount": int}
SERVER = {"name": str, "mode": str, "activeChildren": int, "totalRequests": int}
OK = {"ok": True}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway that is asked by all tests, one after the other."""
    with Older(tmp_path_factory.mktemp("older")) as running:
        yield running


class McpTests:
    """``/{server}/mcp``."""

    @older(
        SEED,
        "POST /{server}/mcp",
        "Revisions, streams and questions as MCP has them: the session's id is told with the answer to"
        " ``initialize``, a"
        " notification is 202 without a body, a server that fails is answered as JSON-RPC does.",
    )
    def test_post(self, gateway):
        """A request is answered 200 as JSON; an unknown server is 404 with -32601, what is no JSON 400 with
        -32700.
        """
        answer = gateway.call("fix", "echo", text="hi")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json["result"]["content"][0]["text"] == "hi"
        assert gateway.session("own")
        unknown = ask(gateway, "POST", "/nobody/mcp", b"no JSON at all", **JSON)
        error = {"code": -32601, "message": "Unknown server: nobody"}
        assert (unknown.status, unknown.json) == (404, {"jsonrpc": "2.0", "id": None, "error": error})
        odd = ask(gateway, "POST", "/fix/mcp", b"no JSON at all", **JSON)
        assert (odd.status, odd.json["id"], odd.json["error"]["code"]) == (400, None, -32700)
        notification = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        noticed = ask(gateway, "POST", "/fix/mcp", notification, **JSON)
        assert (noticed.status, noticed.body) == (202, b"")
        failed = gateway.call("broken", "x")
        assert failed.json["error"]["code"] == -32603

    @older(
        SEED,
        "DELETE /{server}/mcp",
        "A session that is named has to be there, and so has the server: it is 404 after its end, as MCP says.",
    )
    def test_delete(self, gateway):
        """``{"ok": true}``: its own child of a stateful server is stopped; without a session nothing is."""
        for headers in ({}, {"Mcp-Session-Id": gateway.session("own")}):
            assert ask(gateway, "DELETE", "/own/mcp", **headers).json == OK
        assert ask(gateway, "DELETE", "/own/mcp", **headers).status == 404
        assert ask(gateway, "DELETE", "/nobody/mcp").status == 404

    @older(SEED, "DELETE /sessions/{id}")
    def test_sessions(self, gateway):
        """``{"ok", "killed"}``: how many children were stopped; an unknown session is no error."""
        session = gateway.session("own")
        gateway.call("own", "echo", session=session, text="x")
        for killed in (1, 0):
            fits(ask(gateway, "DELETE", f"/sessions/{session}"), 200, {"ok": True, "killed": killed})

    @older(SEED, "DELETE /sessions/by-pid/{pid}")
    def test_by_pid(self, gateway):
        """``{"ok", "killed", "sessions"}``; what is no process id is 400 ``{"error": "Invalid PID"}``."""
        found = ask(gateway, "DELETE", "/sessions/by-pid/2999999")
        fits(found, 200, {"ok": True, "killed": 0, "sessions": 0})
        fits(ask(gateway, "DELETE", "/sessions/by-pid/abc"), 400, {"error": "Invalid PID"})

    @older(SEED, "POST /api/sessions/{id}/kill", "``sessions`` is there, too; ``{id}`` may be a handle.")
    def test_kill(self, gateway):
        """``{"ok", "sessionId", "killed"}``; an unknown one is 404 ``{"error": "Session not found: …"}``."""
        session = gateway.session("own")
        gateway.call("own", "echo", session=session, text="x")
        path = f"/api/sessions/{session}/kill"
        fits(gateway.post(path), 200, {"ok": True, "sessionId": session, "killed": 1, "sessions": 1})
        fits(gateway.post(path), 404, {"error": f"Session not found: {session}"})
        fits(gateway.post("/api/sessions/x/kill"), 404, {"error": "Session not found: x"})
        handle = self.handle(gateway)
        fits(gateway.post(f"/api/sessions/{handle}/kill"), 200, {"sessionId": handle})

    def handle(self, gateway):
        """The handle by which the list calls a session that has just begun."""
        gateway.session("own")
        return gateway.get("/api/v1/sessions?server=own").json["sessions"][0]["id"]

    @older(SEED, "POST /api/sessions/kill-all")
    def test_kill_all(self, gateway):
        """``{"ok", "sessions", "killed"}``."""
        gateway.session("own")
        found = fits(
            gateway.post("/api/sessions/kill-all"), 200, {"ok": True, "sessions": int, "killed": int}
        )
        assert found["sessions"] >= 1


class NumbersTests:
    """Numbers of immorterm-mcp-gateway."""

    @older(SEED, "GET /health", "Asked with ``?shape=immorterm``; ``version`` is the gateway's own.")
    def test_health(self, gateway):
        """``status``, ``version``, ``uptime``, ``port``, ``servers``, ``totalChildren``, ``memoryMB``;
        ``clients`` if any.
        """
        gateway.call("fix", "echo", text="x")
        body = {
            "status": "ok",
            "version": str,
            "uptime": int,
            "port": gateway.port,
            "servers": [SERVER],
            "totalChildren": int,
            "memoryMB": int,
        }
        found = fits(gateway.get("/health?shape=immorterm"), 200, body)
        modes = {each["name"]: each["mode"] for each in found["servers"]}
        assert (modes["fix"], modes["own"]) == ("stateless", "stateful")
        assert found["totalChildren"] == sum(each["activeChildren"] for each in found["servers"])

    @older(
        SEED, "GET /api/health/stats", "``sessionId`` is a handle; ``memoryServiceHealthy`` is always false."
    )
    def test_stats(self, gateway):
        """All of its members, down to those of ``toolStats``, ``servers``, ``sessions`` and ``timeline``."""
        gateway.call("fix", "echo", text="x")
        gateway.call("own", "echo", session=gateway.session("own"), text="x")
        tool = {"calls": int, "errors": int, "lastCalledAt": int, "server": str}
        numbers = ("totalMs", "avgMs", "p99Ms", "errorRate")
        body = {
            "uptimeSeconds": int,
            "totalRequests": int,
            "totalErrors": int,
            "toolStats": dict,
            "activeConnections": int,
            "memoryServiceHealthy": False,
            "servers": [
                {
                    **SERVER,
                    "status": str,
                    "enabled": bool,
                    "command": str,
                    "lastActivityAt": int,
                    "source": str,
                    "configPath": str,
                }
            ],
            "sessions": [
                {
                    "sessionId": str,
                    "clientPid": Maybe(object),
                    "servers": [str],
                    "lastActivityAt": int,
                    "childCount": int,
                }
            ],
            "clients": [CLIENT],
            "timeline": [{"minuteTs": int, "requests": int, "errors": int, "perServer": dict}],
            "gatewayEnabled": True,
            "memoryMB": int,
        }
        found = fits(gateway.get("/api/health/stats"), 200, body)
        assert len(found["timeline"]) == 60
        assert found["sessions"]
        for each in found["toolStats"].values():
            assert not [name for name in numbers if not isinstance(each[name], int | float)], each
            fits_tool = {name: type(each[name]) for name in tool}
            assert fits_tool == tool

    @older(SEED, "GET /dashboard", "Not there.")
    def test_dashboard(self, gateway):
        """A page at ``/dashboard``; 404 ``{"error": "Not found"}`` of every path that leads nowhere."""
        assert gateway.get("/dashboard").status in (200, 503)  # 503 where the pages are not built
        fits(gateway.get("/nothing"), 404, {"error": "Not found"})


class ServersTests:
    """Routes of immorterm-mcp-gateway that change servers."""

    @older(SEED, "POST /api/servers/{name}/reconnect", "The entry stays, so the next call works.")
    def test_reconnect(self, gateway):
        """``{"ok", "server"}``; an unknown server is 404 ``{"error": "Unknown server: …"}``."""
        fits(gateway.post("/api/servers/fix/reconnect"), 200, {"ok": True, "server": "fix"})
        assert gateway.call("fix", "echo", text="x").status == 200
        fits(gateway.post("/api/servers/nobody/reconnect"), 404, {"error": "Unknown server: nobody"})

    @older(
        SEED,
        "POST /api/servers/{name}/disable, …/enable",
        "Where no client's file leads here for the server, it is switched off, and on again, for as long as the gateway"
        " runs.",
    )
    def test_switch(self, gateway):
        """``{"ok", "server", "enabled"}``; a client whose file leads here gets its own entry back until
        ``enable``.
        """
        gateway.post("/clients/register", {"tool": "cursor"})
        for name in ("theirs", "fix"):
            off = {"ok": True, "server": name, "enabled": False}
            fits(gateway.post(f"/api/servers/{name}/disable"), 200, off)
            listed = json.loads(gateway.cursor.read_text())["mcpServers"]["theirs"]
            assert ("url" in listed) is (name != "theirs")
            fits(gateway.post(f"/api/servers/{name}/enable"), 200, {**off, "enabled": True})
        fits(gateway.post("/api/servers/nobody/enable"), 404, {"error": str})

    @older(
        SEED,
        "POST /api/servers/install",
        "Needs the admin token. The server is tried before it is written into the configuration; ``tools`` says what it"
        " offers. Variables that make programs run other code are refused.",
    )
    def test_install(self, gateway):
        """``{"ok", "server", "installed"}``; 400 where ``name`` or ``command`` is missing."""
        fits(gateway.post("/api/servers/install", {"name": "more"}), 400, {"error": str})
        entry = {"name": "more", **gateway.entry()}
        assert ask(gateway, "POST", "/api/servers/install", json.dumps(entry).encode()).status == 401
        done = fits(
            gateway.post("/api/servers/install", entry),
            200,
            {"ok": True, "server": "more", "installed": True},
        )
        assert "echo" in done["tools"]
        assert "more" in json.loads(gateway.config.read_text())["servers"]
        bad = {**entry, "name": "bad", "env": {"LD_PRELOAD": "/x"}}
        fits(gateway.post("/api/servers/install", bad), 400, {"error": str})


class ClientsTests:
    """Routes of immorterm-mcp-gateway about clients and projects."""

    @older(
        SEED,
        "POST /clients/register",
        "Needs the admin token: the servers in such a file are run by the gateway.",
    )
    def test_register(self, gateway):
        """``{"tool", "registered", "configPath"}``; 400 for an unknown ``tool``."""
        body = {"tool": "claude", "registered": ["mine"], "configPath": str(gateway.claude)}
        fits(gateway.post("/clients/register", {"tool": "claude"}), 200, body)
        for wrong in ({}, {"tool": "custom"}):
            fits(gateway.post("/clients/register", wrong), 400, {"error": str})
        assert ask(gateway, "POST", "/clients/register", b'{"tool":"cursor"}').status == 401

    @older(SEED, "GET /clients", "Claude Code is one of them; there are more members.")
    def test_clients(self, gateway):
        """``{"clients": [{"tool", "configPath", "registeredAt", "serverCount"}]}``, and the same in its
        ``/health``.
        """
        before = time.time() - 3600
        for tool in ("claude", "cursor"):
            gateway.post("/clients/register", {"tool": tool})
        found = fits(gateway.get("/clients"), 200, {"clients": [CLIENT]})["clients"]
        named = {each["tool"]: each for each in found}
        assert named["cursor"]["configPath"] == str(gateway.cursor)
        assert named["claude"]["serverCount"] == 1
        assert before < named["claude"]["registeredAt"] / 1000 <= time.time()
        health = gateway.get("/health?shape=immorterm").json["clients"]
        stats = gateway.get("/api/health/stats").json["clients"]
        assert [health, stats] == [[{key: each[key] for key in CLIENT} for each in found]] * 2

    @older(SEED, "GET /clients/detect", "There are more members, and clients that it does not know.")
    def test_detect(self, gateway):
        """``{"detected": [{"tool", "configPath"}]}``, with its names: ``claude`` is Claude Code."""
        found = fits(gateway.get("/clients/detect"), 200, {"detected": [{"tool": str, "configPath": str}]})
        paths = {each["tool"]: each["configPath"] for each in found["detected"]}
        assert (paths["claude"], paths["cursor"]) == (str(gateway.claude), str(gateway.cursor))

    @older(SEED, "POST /projects/register", "Needs the admin token.")
    def test_projects(self, gateway):
        """``{"registered", "passthrough"}``; 400 without ``configPath``."""
        path = gateway.directory / "shop" / ".mcp.json"
        path.parent.mkdir()
        there = {"type": "http", "url": "http://example.com/mcp"}
        path.write_text(json.dumps({"mcpServers": {"pj": gateway.entry(), "there": there}}))
        said = {"configPath": str(path)}
        fits(gateway.post("/projects/register", said), 200, {"registered": ["pj"], "passthrough": 1})
        fits(gateway.post("/projects/register", {}), 400, {"error": str})
        assert ask(gateway, "POST", "/projects/register", json.dumps(said).encode()).status == 401

    @older(SEED, "GET /api/gateway/config")
    def test_config(self, gateway):
        """``{"port", "optedOut", "disabled", "managedServers"}``."""
        body = {"port": gateway.port, "optedOut": [str], "disabled": False, "managedServers": [str]}
        fits(gateway.get("/api/gateway/config"), 200, body)

    @older(SEED, "POST /api/gateway/disable, …/enable", "The switch outlives a restart.")
    def test_gateway(self, gateway):
        """``{"ok", "status"}``; meanwhile clients have their own entries, and requests are 503 ``Gateway is
        disabled``.
        """
        gateway.post("/clients/register", {"tool": "cursor"})
        fits(gateway.post("/api/gateway/disable"), 200, {"ok": True, "status": "disabled"})
        assert "command" in json.loads(gateway.cursor.read_text())["mcpServers"]["theirs"]
        refused = ask(gateway, "POST", "/fix/mcp", message("ping"), **JSON)
        error = {"code": -32603, "message": "Gateway is disabled"}
        assert (refused.status, refused.json) == (503, {"jsonrpc": "2.0", "id": None, "error": error})
        fits(gateway.post("/api/gateway/enable"), 200, {"ok": True, "status": "enabled"})
        assert gateway.call("fix", "echo", text="x").status == 200
