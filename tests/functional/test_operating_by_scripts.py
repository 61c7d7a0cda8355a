"""Scripts that operate a gateway: they wait for servers, look at sessions and end them, ask servers' own
APIs, end it.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mcpgateway.system.control_http import UnixConnection
from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import is_alive

pytestmark = pytest.mark.functional

SERVERS = Path(__file__).parents[1] / "servers"
FIXTURE = (sys.executable, "-I", "-S", str(SERVERS / "fixture.py"))
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "me", "version": "1"},
    },
}


class Service(http.server.BaseHTTPRequestHandler):
    """A server's own API, which tells what it was asked."""

    def do_GET(self):
        if self.path.startswith("/v1/away"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            return
        size = int(self.headers.get("Content-Length") or 0)
        told = {"method": self.command, "path": self.path, "headers": dict(self.headers)}
        body = json.dumps({**told, "body": self.rfile.read(size).decode()}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *words):
        """The service logs nothing."""


@pytest.fixture(scope="module")
def service():
    """A service that runs."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()


@pytest.fixture
def gateway(tmp_path, service):
    """A gateway that runs."""
    port = free_port()
    servers = {
        "fx": server(FIXTURE, rest_url=f"http://127.0.0.1:{service}/v1"),
        "own": server(FIXTURE, share="session"),
        "gone": server(("/nowhere/at/all",)),
        "memory": server((sys.executable, str(SERVERS / "ported.py"), str(port)), port=port),
        "off": server(FIXTURE, enabled=False),
    }
    with Gateway(tmp_path, servers) as running:
        yield running


def over_socket(gateway, path, method="POST", body=None):
    """Ask over the Unix socket as `curl -d` does, without a token; status and JSON."""
    connection = UnixConnection(str(gateway.home / "gateway.sock"), LIMIT_S)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, None if body is None else json.dumps(body), kind)
    answer = connection.getresponse()
    try:
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def ran(gateway, *words):
    """Run a command; its code, and what it said."""
    done = forkserver.ran(
        [BIN / "mcpgateway", "--home", gateway.home, *words],
        env={"PATH": os.environ["PATH"], "HOME": str(gateway.directory), "LANG": "C.UTF-8"},
        has_ended=False,
    )
    return done.returncode, done.stdout, done.stderr


def asked(gateway, path, method="GET", body=None, token="auth"):
    """Ask over TCP; status and JSON."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if token:
        headers["Authorization"] = f"Bearer {(gateway.home / f'{token}.token').read_text().strip()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(gateway.url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read()), refusal.headers


class ReadyTests:
    """Waiting, and looking beforehand."""

    def test_codes(self, gateway):
        """The exit code says what is in the way; waiting starts what can be started, and only that."""
        assert ran(gateway, "preflight", "--need", "fx")[0] == 10
        assert ran(gateway, "preflight", "--need", "fx,off")[0] == 11
        assert ran(gateway, "preflight", "--need", "fx", "--need", "nobody")[0] == 12
        code, out, _ = ran(gateway, "wait", "fx", "own", "--ready", "30s")
        assert (code, out.count("ready")) == (0, 2)
        assert ran(gateway, "preflight", "--need", "fx")[0] == 0
        code, out, _ = ran(gateway, "wait", "gone", "--json")
        assert code == 12
        assert json.loads(out)["servers"][0]["state"] == "failed"

    def test_no_gateway(self, tmp_path):
        """Where no gateway comes in time, that is another code."""
        away = Gateway(tmp_path, {})
        assert ran(away, "wait", "fx", "--ready", "300ms")[0] == 2
        assert ran(away, "preflight", "--need", "fx")[0] == 2

    def test_while_it_starts(self, tmp_path):
        """A command that waits before there is a gateway waits for that, too."""
        coming = Gateway(tmp_path, {"fx": server(FIXTURE)})
        words = [str(BIN / "mcpgateway"), "--home", str(coming.home), "wait", "fx", "--ready", f"{LIMIT_S}s"]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        with subprocess.Popen(
            words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as waiting:
            with coming:
                out, _ = waiting.communicate(timeout=LIMIT_S)
            assert (waiting.returncode, b"ready" in out) == (0, True)


class SessionTests:
    """Sessions."""

    def test_list_and_kill(self, gateway):
        """A session is listed with its client, and ended by what it is called there."""
        status, _, headers = asked(gateway, "/own/mcp", "POST", INITIALIZE, token="")
        assert status == 200
        code, out, _ = ran(gateway, "sessions", "list", "--json")
        (found,) = json.loads(out)["items"]
        assert (code, found["server"], found["client"]["name"]) == (0, "own", "me")
        assert headers["Mcp-Session-Id"] not in out
        assert "me 1" in ran(gateway, "sessions", "list")[1]
        assert ran(gateway, "sessions", "kill", found["id"])[:2] == (
            0,
            "Ended 1 session, and 1 process of their own.\n",
        )
        assert ran(gateway, "sessions", "kill", found["id"])[0] == 1
        assert ran(gateway, "sessions", "kill", "--all")[0] == 1
        info = {"name": "me", "version": "1", "pid": os.getpid()}
        begun = {**INITIALIZE, "params": {**INITIALIZE["params"], "clientInfo": info}}
        assert asked(gateway, "/fx/mcp", "POST", begun, token="")[0] == 200
        assert ran(gateway, "sessions", "kill", "--pid", str(os.getpid()))[0] == 0


class RelayTests:
    """A server's own API."""

    def test_relay(self, gateway):
        """A server's API is asked below the gateway, without the gateway's token; redirects are not followed."""
        path = "/api/v1/servers/fx/rest"
        status, found, headers = asked(gateway, f"{path}/a%20b?c=d", "POST", {"x": 1})
        assert (status, found["method"], found["path"]) == (201, "POST", "/v1/a%20b?c=d")
        assert json.loads(found["body"]) == {"x": 1}
        assert "Authorization" not in found["headers"]
        assert headers["Content-Security-Policy"].startswith("sandbox")
        assert asked(gateway, f"{path}/away")[0] == 502
        assert asked(gateway, f"{path}/a", token="")[0] == 401
        assert asked(gateway, f"{path}/%2e%2e/secret")[0] == 400


class OlderTests:
    """The routes of older gateways, over the Unix socket, where they need no token."""

    def test_daemons(self, gateway):
        """A program with a port is started, told of, and stopped; those who need it are told where it is."""
        status, found = over_socket(gateway, "/ensure", body={"name": "memory"})
        assert (status, found["running"]) == (200, True)
        (daemon,) = over_socket(gateway, "/status", "GET")[1]["daemons"]
        assert (daemon["running"], daemon["port"]) == (True, found["port"])
        pid = daemon["pid"]
        assert is_alive(pid)
        assert over_socket(gateway, "/stop", body={"name": "memory"})[1]["running"] is False
        assert not is_alive(pid)
        assert [each["running"] for each in over_socket(gateway, "/start-all")[1]["daemons"]] == [True]
        assert [each["running"] for each in over_socket(gateway, "/stop-all")[1]["daemons"]] == [False]

    def test_open(self, tmp_path):
        """Where the configuration says so, programs need no token; pages in browsers do, and all after an edit."""
        opened = Gateway(tmp_path, {"fx": server(FIXTURE)})
        text = opened.config.read_text()
        opened.config.write_text(json.dumps({**json.loads(text), "compat": {"open_loopback_admin": True}}))
        with opened:
            path = "/api/servers/fx/reconnect"
            assert asked(opened, path, "POST", {}, token="")[0] == 200
            request = urllib.request.Request(opened.url + path, b"{}", {"Origin": opened.url}, method="POST")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=LIMIT_S)
            opened.config.write_text(text)
            eventually(
                lambda: asked(opened, path, "POST", {}, token="")[0] == 401, "the token is needed again"
            )

    def test_install(self, gateway):
        """A server is tried and written down, and is there at once; one that does not work changes nothing."""
        before = gateway.config.read_text()
        body = {"name": "broken", "command": "/nowhere/at/all"}
        assert over_socket(gateway, "/api/servers/install", body=body)[0] == 502
        assert gateway.config.read_text() == before
        body = {"name": "new", "command": FIXTURE[0], "args": list(FIXTURE[1:])}
        assert asked(gateway, "/api/servers/install", "POST", body)[0] == 401
        status, found = over_socket(gateway, "/api/servers/install", body=body)
        assert (status, found["installed"]) == (200, True)
        assert "echo" in found["tools"]
        assert json.loads(gateway.config.read_text())["servers"]["new"]["command"] == FIXTURE[0]
        assert ran(gateway, "preflight", "--need", "new")[0] in (0, 10)
        assert over_socket(gateway, "/api/servers/new/reconnect")[1] == {"ok": True, "server": "new"}
        assert over_socket(gateway, "/api/servers/new/disable")[1]["enabled"] is False
        assert ran(gateway, "preflight", "--need", "new")[0] == 11
        assert over_socket(gateway, "/api/servers/new/enable")[1]["enabled"] is True


class EndTests:
    """State and end."""

    def test_dump(self, gateway):
        """All that it does is told, with none of its tokens."""
        code, out, _ = ran(gateway, "dump", "--json")
        assert (code, json.loads(out)["gateway"]["pid"]) == (0, gateway.pid)
        assert (gateway.home / "auth.token").read_text().strip() not in out
        assert ran(gateway, "dump")[1].startswith("version")

    def test_shutdown(self, gateway):
        """The gateway ends in order when a script asks for it; over TCP an administrator's token is needed."""
        assert asked(gateway, "/api/v1/shutdown", "POST", {})[0] == 401
        url = ("--url", gateway.url)
        code, _, said = ran(gateway, *url, "shutdown")
        assert (code, "--token-file" in said) == (1, True)
        code, out, _ = ran(gateway, *url, "--token-file", str(gateway.home / "admin.token"), "shutdown")
        assert (code, out) == (0, "Gateway has ended.\n")
        eventually(lambda: not is_alive(gateway.pid), "the process has ended")
        assert "the gateway ends on request" in gateway.log
