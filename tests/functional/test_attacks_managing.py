"""Attacks by way of what can be managed: definitions of servers, addresses, logs, files and tokens."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.frontends.http.routes import ROUTES, Media
from mcpgateway.policy.access import RouteClass
from tests.support import forkserver
from tests.support.attacking import (
    FIXTURE,
    HELLO,
    JSON,
    Answer,
    ask,
    attack,
    begun,
    call,
    message,
    name_of,
    path_of,
    raw,
    routes,
    token,
)
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import texts_below

pytestmark = pytest.mark.functional

SECRET = "a-secret-of-the-environment"
LOUD = r"""
import json, sys
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m"
FORGED = "\r\n2030-01-01T00:00:00+0000 [forged#info] nothing to see\n\ndata: forged\nevent: forged\nid: 9\n\n"
for text in (ESCAPES, FORGED, "[red]markup[/red]", "before\rafter", "\u202egnp.exe \u2028 \u0085 \x00", "said"):
    sys.stderr.write(text + "\n")
sys.stderr.buffer.write(b"\xff\xfe\xc3(\n")
sys.stderr.flush()
for line in sys.stdin:
    asked = json.loads(line)
    result = {"tools": []}
    if asked.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}, "logging": {}},
                  "serverInfo": {"name": ESCAPES + FORGED, "version": "1"}}
        note = {"level": "error", "logger": FORGED, "data": ESCAPES + FORGED}
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": note}), flush=True)
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""
FORGED = (
    "\r\n2030-01-01T00:00:00+0000 [forged#info] x\n\nevent: forged\ndata: forged\n\n\x1b[2J\x9b31m\u2028\x07"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


class Other(BaseHTTPRequestHandler):
    """A place that is asked what it should not be; it redirects, and keeps what has come."""

    def do_GET(self) -> None:
        """Send elsewhere whoever comes."""
        length = int(self.headers.get("Content-Length") or 0)
        self.server.came.append((self.path, dict(self.headers), self.rfile.read(length)))  # type: ignore[attr-defined]
        status, location = self.server.to  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Place:
    """A place of its own port.

    :ivar came: what has been asked there: path, headers and body.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        self._server.came = self.came  # type: ignore[attr-defined]
        self.sends(200, "")
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def sends(self, status: int, location: str) -> None:
        """Answer so from now on."""
        self._server.to = (status, location)  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Be there no more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def places():
    """Two places: one that sends elsewhere, and one that nobody should come to."""
    made = Place(), Place()
    yield made
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, places):
    """A gateway that is attacked by all tests; it has to serve everybody to the end."""
    directory = tmp_path_factory.mktemp("managed")
    program = directory / "loud.py"
    program.write_text(LOUD)
    servers = {
        "fix": server(FIXTURE),
        "own": server(FIXTURE, share="session"),
        "hidden": server(FIXTURE),
        "loud": server([sys.executable, "-I", "-S", str(program)]),
        "bent": {"url": f"{places[0].url}/mcp", "headers": {"X-Secret": "${THE_SECRET}"}},
        "service": server(FIXTURE, rest_url=f"{places[0].url}/api"),
    }
    with Gateway(directory, servers, environ={"THE_SECRET": SECRET}) as running:
        yield running


@pytest.fixture(autouse=True)
def still_serving(request):
    """After every attack the gateway serves others, and its log has no traceback and nothing that was forged."""
    running = request.getfixturevalue("gateway")
    yield
    assert call(running, "echo", {"text": "after it"}) == "after it"
    assert "Traceback" not in running.log
    assert not re.search(r"^(2030|event: forged|data: forged)", running.log, re.MULTILINE)
    assert not CONTROLS.search(running.log)


def manage(gateway, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Ask with the best of tokens."""
    data = b"" if body is None else json.dumps(body).encode()
    return ask(
        gateway, method, path, data, **{**JSON, "Authorization": token(gateway, "admin.token"), **headers}
    )


def tried(gateway, config: dict[str, Any], name: str = "new") -> list[Answer]:
    """Have a server be defined so, in both ways; what is made of it is taken out again."""
    answers = [
        manage(gateway, "POST", "/api/v1/servers?wait=5s", {"name": name, "config": config}),
        manage(gateway, "PUT", f"/api/v1/servers/{name}?wait=5s", {"config": config}),
    ]
    if any(each.status < 300 for each in answers):
        manage(gateway, "DELETE", f"/api/v1/servers/{name}")
    return answers


def names_of(gateway) -> set[str]:
    """The servers that there are."""
    return {each["name"] for each in manage(gateway, "GET", "/api/v1/servers").json}


DANGEROUS = (
    "LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES NODE_OPTIONS NODE_PATH PYTHONPATH PYTHONSTARTUP PYTHONHOME"
    " PYTHONUSERBASE BASH_ENV BASH_FUNC_ls%% ENV PATH SHELLOPTS BASHOPTS PS4 GIT_SSH_COMMAND GIT_CONFIG_COUNT"
    " GIT_EXTERNAL_DIFF npm_config_script_shell NPM_CONFIG_REGISTRY UV_INDEX UV_INDEX_URL PIP_CONFIG_FILE PIP_INDEX_URL"
    " PERL5OPT RUBYOPT JAVA_TOOL_OPTIONS DOTNET_STARTUP_HOOKS HOME ld_preload"
    " OPENSSL_CONF BUN_CONFIG_REGISTRY"
).split()
NO_NAMES = ["", "A=B", "A\0B", "A\nB", "A\rB", "\0", "LD_PRELOAD\0", "\nLD_PRELOAD"]


class DefinitionTests:
    """Definitions of servers that an attacker sends."""

    @attack("CVE-2026-12940", "variables that make a harmless program run other code")
    @pytest.mark.parametrize("name", DANGEROUS)
    def test_variables(self, gateway, name):
        """Dangerous variables are refused, with the best of tokens, in whatever form, and no program is run."""
        for env in ({name: "/tmp/x"}, [f"{name}=/tmp/x"]):
            if isinstance(env, dict):
                assert [each.status for each in tried(gateway, server(FIXTURE, env=env))] == [400, 400]
            answer = manage(gateway, "PATCH", "/api/v1/servers/fix", {"add_env": env})
            assert answer.status == 400
            assert b"/tmp/x" not in answer.body
        assert "new" not in names_of(gateway)

    @attack("CVE-2026-12940, CWE-158", "names and values of variables that hold more than one, or end early")
    @pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
    def test_names_of_variables(self, gateway, name):
        """A name that no variable can have is refused, and so is a value with a NUL."""
        for env in ({name: "x"}, {"GOOD": f"x\0{name}=y"}):
            assert {each.status for each in tried(gateway, server(FIXTURE, env=env))} == {400}
            assert manage(gateway, "PATCH", "/api/v1/servers/fix", {"add_env": env}).status == 400

    @attack("CWE-113, CVE-2022-21716", "line ends in headers that are sent to a server")
    @pytest.mark.parametrize("value", ["x\r\nEvil: y", "x\nEvil: y", "x\0", "\r"], ids=ascii)
    def test_headers(self, gateway, places, value):
        """Headers with control characters are refused, as values and as names."""
        for headers in ({"X-Good": value}, {f"X-Good{value}": "x"}):
            config = {"url": places[1].url, "headers": headers}
            assert {each.status for each in tried(gateway, config)} == {400}
            assert manage(gateway, "PATCH", "/api/v1/servers/bent", {"add_headers": headers}).status == 400

    @attack("CVE-2026-75603, CVE-2026-85986, CVE-2025-68143", "names that are taken for options")
    @pytest.mark.parametrize(
        "name", ["-rf", "--config", "-", "--", "-e/bin/sh", "a b", "a\nb", "a/../b", "..", "", "\x1b"]
    )
    def test_names_of_servers(self, gateway, name):
        """A server cannot be called so, neither from the beginning nor later."""
        before = names_of(gateway)
        answer = manage(gateway, "POST", "/api/v1/servers", {"name": name, "config": server(FIXTURE)})
        assert answer.status == 400
        assert manage(gateway, "PATCH", "/api/v1/servers/hidden", {"new_name": name}).status == 400
        assert names_of(gateway) == before

    @attack(
        "CVE-2026-30623, CVE-2026-30617, CVE-2026-40933, CVE-2026-30615", "a command in the words of a shell"
    )
    @pytest.mark.parametrize(
        "command",
        ["true; touch MADE", "$(touch MADE)", "`touch MADE`", "touch MADE", "|touch MADE", "-c touch MADE"],
    )
    def test_shells(self, gateway, tmp_path, command):
        """No shell reads it: it is refused where it is the program, and only text where it is an argument."""
        made = tmp_path / "made"
        said = command.replace("MADE", str(made))
        assert {each.status for each in tried(gateway, {"command": said})} == {400}
        tried(gateway, {"command": "echo", "args": [said, ";", "touch", str(made)]})
        assert not made.exists()

    @attack("CVE-2026-75603, CWE-88", "options of a container engine in place of an image")
    @pytest.mark.parametrize("image", ["--privileged", "-v/:/host", "--rm", "a b", "a;b"])
    def test_images(self, gateway, image):
        """A name that no image can have is refused."""
        for said in (image, {"image": image}):
            for each in tried(gateway, {"command": "true", "container": said}):
                assert each.status == 400

    @attack("CVE-2025-49596", "being told what to run by whoever has the usual token")
    def test_usual_token(self, gateway, tmp_path):
        """Definitions and variables take the admin token; the usual one, which clients have, does not do."""
        made = tmp_path / "made"
        usual = {"Authorization": token(gateway)}
        config = {"command": "touch", "args": [str(made)]}
        body = {"name": "new", "config": config}
        assert manage(gateway, "POST", "/api/v1/servers", body, **usual).status == 401
        assert manage(gateway, "PUT", "/api/v1/servers/fix", {"config": config}, **usual).status == 401
        assert (
            manage(gateway, "POST", "/api/servers/install", {"name": "new", **config}, **usual).status == 401
        )
        for patch in ({"add_env": {"A": "b"}}, {"add_headers": {"A": "b"}}):
            assert manage(gateway, "PATCH", "/api/v1/servers/fix", patch, **usual).status == 403
        assert not made.exists()


METADATA = (
    "http://169.254.169.254/latest http://2852039166/ http://0xa9fea9fe/ http://0251.0376.0251.0376/"
    " http://169.254.43518/ http://[::ffff:169.254.169.254]/ http://[::ffff:a9fe:a9fe]/ http://[64:ff9b::a9fe:a9fe]/"
    " http://[2002:a9fe:a9fe::]/ http://169.254.169.254./ http://[fd00:ec2::254]/ http://100.100.100.200/"
    " http://0.0.0.0:1/ http://[::]:1/ http://[fe80::1]/ http://0/ http://127.1:1/ http://0x7f.1:1/ http://2130706433:1/"
).split()
NO_URLS = (
    "file:///etc/passwd gopher://127.0.0.1:6379/_x dict://127.0.0.1:11211/ ftp://127.0.0.1/ javascript:alert(1)"
    " http:// http://user@127.0.0.1/ http://a\\@b/ //127.0.0.1/ data:text/plain,x http://[::1%25lo]/ http://x:99999/"
).split()


class AddressTests:
    """Requests that the gateway is to make for somebody else."""

    @attack(
        "CVE-2026-44284, CVE-2026-26118, CVE-2026-14540",
        "a server at the address where a cloud keeps its keys",
    )
    @pytest.mark.parametrize("url", METADATA)
    def test_metadata(self, gateway, url):
        """The address of a cloud's metadata is refused in every spelling, with the best of tokens."""
        assert {each.status for each in tried(gateway, {"url": url})} == {400}

    @attack("CVE-2026-39885, CVE-2025-6514", "a server at something that is no address of one")
    @pytest.mark.parametrize("url", NO_URLS)
    def test_no_urls(self, gateway, url):
        """An address that is no URL is refused."""
        assert {each.status for each in tried(gateway, {"url": url})} == {400}

    @attack("CVE-2026-44284, CVE-2022-21712", "a server that sends the gateway elsewhere")
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects(self, gateway, places, status):
        """A redirect is followed to no other place, neither by MCP nor by a server's own API, and no secret
        goes there.
        """
        bent, canary = places
        del bent.came[:], canary.came[:]
        for there in (
            canary.url,
            "http://169.254.169.254/latest",
            f"{gateway.url}/api/gateway/disable",
            "file:///etc/passwd",
        ):
            bent.sends(status, there)
            answer = ask(gateway, "POST", "/bent/mcp", message("tools/list"), **JSON)
            assert "error" in answer.json
            assert SECRET.encode() not in answer.body
            answer = manage(gateway, "GET", "/api/v1/servers/service/rest/x")
            assert answer.status in {status, 502}
            assert "location" not in answer.headers
        assert bent.came
        assert canary.came == []
        assert SECRET not in gateway.log

    @attack("CVE-2026-73497, CVE-2026-44284", "a path of the proxy that leads to another place")
    @pytest.mark.parametrize(
        "way",
        [
            "//CANARY/x",
            "http://CANARY/x",
            "@CANARY/x",
            "..",
            "%2e%2e/x",
            "%252e%252e/x",
            "..%2fx",
            "..;/x",
            "\\x",
            "x%00",
            "x%0d%0aEvil:y",
        ],
    )
    def test_proxy(self, gateway, places, way):
        """A request to a server's API goes to the address in the entry, below its own path, or nowhere."""
        service, canary = places
        del service.came[:], canary.came[:]
        service.sends(200, "")
        way = way.replace("CANARY", canary.url.removeprefix("http://"))
        text = f"GET /api/v1/servers/service/rest/{way} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        found = raw(gateway, f"{text}Authorization: {token(gateway)}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.1 (200|400|404) ", found), found[:200]
        assert canary.came == []
        assert all(path.startswith("/api/") and ".." not in path for path, _, _ in service.came)

    @attack("CVE-2026-67425", "credentials of the gateway's that are passed on")
    def test_own_credentials(self, gateway, places):
        """A caller's own credential stays here."""
        service, _ = places
        del service.came[:]
        service.sends(200, "")
        more = {"Cookie": "a=b", "X-API-Key": token(gateway).removeprefix("Bearer ")}
        answer = manage(gateway, "POST", "/api/v1/servers/service/rest/x", {}, **more)
        assert answer.status == 200
        ((_, headers, _),) = service.came
        names = {each.lower() for each in headers}
        assert names & {"authorization", "cookie", "x-api-key", "origin"} == set()
        ask(gateway, "POST", "/bent/mcp", message("tools/list"), **JSON, Authorization=token(gateway))
        sent = "".join(map(str, service.came))
        assert token(gateway).removeprefix("Bearer ") not in sent

    @attack("CVE-2026-67425", "a secret that is brought to an address of the caller's choice")
    def test_chosen_address(self, gateway, places):
        """The usual token can neither name an address nor a header; nothing of a secret is in any answer."""
        usual = {"Authorization": token(gateway)}
        config = {"url": places[1].url, "headers": {"X-Secret": "${THE_SECRET}"}}
        assert manage(gateway, "PUT", "/api/v1/servers/bent", {"config": config}, **usual).status == 401
        for route in ROUTES:
            if (
                route.method == "GET"
                and route.media in {Media.JSON, Media.METRICS}
                and "{id" not in route.path
            ):
                path = route.path.replace("{name}", "bent")
                if "{" not in path:
                    assert SECRET.encode() not in manage(gateway, "GET", path).body, path

    @attack("CWE-674 (a gateway that is its own server)", "a server that is the gateway itself")
    def test_itself(self, gateway):
        """A gateway as its own server is refused where it connects, and does not go round in a circle."""
        assert manage(
            gateway,
            "POST",
            "/api/v1/servers?wait=5s",
            {"name": "me", "config": {"url": f"{gateway.url}/me/mcp"}},
        )
        answer = ask(gateway, "POST", "/me/mcp", message("tools/list"), **JSON)
        assert answer.status in {400, 404} or "error" in answer.json
        manage(gateway, "DELETE", "/api/v1/servers/me")


class LogTests:
    """Text of others in what people and programs read."""

    @attack("CWE-117, CVE-2021-25743", "forged lines and orders to a terminal, said by a client")
    def test_clients(self, gateway):
        """In the log, and in the list of sessions, they are text on one line."""
        body = message(
            "initialize", {**HELLO, "clientInfo": {"name": FORGED, "title": FORGED, "version": FORGED}}
        )
        answer = ask(gateway, "POST", "/own/mcp", body, **JSON)
        session = {"Mcp-Session-Id": answer.headers["mcp-session-id"]}
        for method in ("tools/call", FORGED):
            ask(gateway, "POST", "/own/mcp", message(method, {"name": FORGED}), **JSON, **session)
        raw(
            gateway,
            b"GET /%0d%0a2030%1b[2J/mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"User-Agent: \x1b[2J\r\n\r\n",
        )
        ask(gateway, "DELETE", "/own/mcp", **session)
        found = ask(gateway, "GET", "/api/v1/events?follow=false&after=0")
        assert not re.search(rb"^(event|data): forged", found.body, re.MULTILINE)
        assert not CONTROLS.search(found.body.decode())

    @attack("CWE-117, CWE-150", "forged lines and orders to a terminal, said by a server")
    def test_servers(self, gateway):
        """In its log, in its file, and on the terminal of whoever reads it, they are text on one line."""
        ask(gateway, "POST", "/loud/mcp", message("tools/list"), **JSON)
        path = gateway.home / "logs" / "loud.log"
        eventually(lambda: path.exists() and "said" in path.read_text(), "it has been heard")
        stream = ask(gateway, "GET", "/api/v1/servers/loud/logs?follow=false").body.decode()
        assert not re.search(r"^(event: forged|data: forged|id: 9$|2030)", stream, re.MULTILINE)
        assert not CONTROLS.search(stream)
        assert not CONTROLS.search(path.read_text())
        for more in ([], ["--json"]):
            ran = forkserver.ran(
                [BIN / "mcpgateway", "--home", gateway.home, *more, "logs", "loud", "--no-follow"],
                env={"PATH": os.environ["PATH"], "HOME": str(gateway.directory), "LANG": "C.UTF-8"},
            )
            shown = ran.stdout
            assert "said" in shown
            assert not CONTROLS.search(shown)
            assert not re.search(r"^(2030|data: forged|event: forged)", shown, re.MULTILINE)
            assert more or "[red]markup[/red]" in shown

    @attack("CWE-532, OWASP MCP01", "secrets in logs, by whatever way")
    def test_secrets(self, gateway):
        """A token that somebody sends where it does not belong is in no log."""
        mine = token(gateway).removeprefix("Bearer ")
        for path in (f"/{mine}/mcp", f"/api/v1/servers/{mine}", f"/fix/mcp?token={mine}"):
            ask(gateway, "POST", path, message("tools/call", {"name": mine}), **JSON)
        call(gateway, "echo", {"text": mine})
        manage(
            gateway,
            "POST",
            "/api/v1/servers",
            {"name": "new", "config": {"command": mine, "env": {"A": mine}}},
        )
        manage(gateway, "DELETE", "/api/v1/servers/new")
        assert mine not in gateway.log
        events = ask(gateway, "GET", "/api/v1/events?follow=false&after=0").body
        assert mine.encode() not in events
        for path in ("/metrics", "/api/health/stats", "/api/v1/metrics"):
            assert mine.encode() not in ask(gateway, "GET", path).body, path
        assert mine not in texts_below(gateway.home / "logs")


def refused_start(directory: Path, prepare: Any) -> str:
    """Start a gateway in a home that somebody has prepared; what it says as it refuses."""
    home = directory / "home"
    home.mkdir(mode=0o700)
    prepare(home)
    config = directory / "config.json"
    config.write_text(json.dumps({"servers": {}}))
    usual = ["-n", "--pidfile=", "mcpgateway", "--home", home, "--config", config]
    ran = forkserver.ran(
        [BIN / "twistd", *usual, "--port", str(free_port())],
        has_ended=False,
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


class FileTests:
    """Files that are not what they seem."""

    @attack("CVE-2026-25724, CWE-59", "a link where a token should be")
    @pytest.mark.parametrize("name", ["auth.token", "admin.token", "tokens.json"])
    def test_linked_tokens(self, tmp_path, name):
        """The gateway does not start, and what the link leads to is as it was."""
        victim = tmp_path / "victim"
        victim.write_text("x" * 43)
        victim.chmod(0o644)
        said = refused_start(tmp_path, lambda home: (home / name).symlink_to(victim))
        assert name in said
        assert victim.read_text() == "x" * 43
        assert victim.stat().st_mode & 0o777 == 0o644

    @attack("CVE-2026-16584", "a file of tokens that cannot be read, so that nobody is limited any more")
    @pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', "null", "\0"], ids=ascii)
    def test_broken_tokens(self, tmp_path, text):
        """The gateway does not start; it is never open because it does not know whom to keep out."""
        said = refused_start(tmp_path, lambda home: (home / "tokens.json").write_text(text))
        assert "tokens.json" in said

    @attack("CVE-2026-25724, CWE-59, CWE-367", "a link where a log should be")
    def test_linked_logs(self, gateway, tmp_path):
        """A log that is a link is not written through, and not read."""
        victim = tmp_path / "victim"
        victim.write_text("mine\n")
        logs = gateway.home / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        for name in ("hidden.log", "hidden.log.1"):
            (logs / name).unlink(missing_ok=True)
            (logs / name).symlink_to(victim)
        assert call(gateway, "echo", {"text": "x"}, server="hidden") == "x"
        call(gateway, "flood_stderr", {"bytes": 10_000}, server="hidden")
        found = ask(gateway, "GET", "/api/v1/servers/hidden/logs?follow=false")
        assert b"mine" not in found.body
        assert victim.read_text() == "mine\n"
        for name in ("hidden.log", "hidden.log.1"):
            (logs / name).unlink()

    @attack("CVE-2026-25724, CWE-59, CWE-367", "a link put in a token's place while the gateway runs")
    def test_linked_later(self, tmp_path):
        """A file that is kept replaces the link, and the target of the link is as it was."""
        victim = tmp_path / "victim"
        victim.write_text("mine")
        with Gateway(tmp_path, {}) as other:
            admin = token(other, "admin.token")
            for name in ("auth.token", "tokens.json"):
                (other.home / name).unlink(missing_ok=True)
                (other.home / name).symlink_to(victim)
            headers = {**JSON, "Authorization": admin}
            ask(other, "POST", "/api/v1/tokens", json.dumps({"name": "x"}).encode(), **headers)
            ask(other, "POST", "/api/v1/tokens/rotate", json.dumps({"which": ["auth"]}).encode(), **headers)
            assert victim.read_text() == "mine"


@pytest.fixture(scope="module")
def agent(gateway):
    """A token that is for one server, and only for reading there."""
    said = {"name": "agent", "servers": ["fix"], "tools": ["echo"]}
    answer = manage(gateway, "POST", "/api/v1/tokens", said)
    assert answer.status == 201
    return {"Authorization": f"Bearer {answer.json['token']}"}


class ScopeTests:
    """A token that is for little."""

    @attack("CVE-2026-77243, CVE-2026-46519", "calling what a token is not for, which no list shows")
    def test_calls(self, gateway, agent):
        """A tool that is hidden from a list cannot be called, by whatever name or way."""
        body = message("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        assert (
            ask(gateway, "POST", "/fix/mcp", body, **JSON, **agent).json["result"]["content"][0]["text"]
            == "x"
        )
        count = message("tools/call", {"name": "count", "arguments": {}})
        assert "error" in ask(gateway, "POST", "/fix/mcp", count, **JSON, **agent).json
        for path in (
            "/hidden/mcp",
            "/own/mcp",
            "/mcp/hidden",
            "/HIDDEN/mcp",
            "/fix%2f..%2fhidden/mcp",
            "/hidden%00/mcp",
        ):
            answer = ask(gateway, "POST", path, body, **JSON, **agent)
            assert answer.status in {400, 403, 404} or "error" in answer.json, path
        for name in (
            "hidden__echo",
            "own__count",
            "fix__count",
            "Fix__echo",
            "fix__echo\0",
            "hidden/echo",
            "../hidden__echo",
        ):
            for path in ("/mcp", "/mcp/full"):
                call_of_it = message("tools/call", {"name": name, "arguments": {"text": "x"}})
                assert "error" in ask(gateway, "POST", path, call_of_it, **JSON, **agent).json
        for path in ("/api/v1/servers/hidden/call", "/api/v1/servers/fix/call"):
            said = json.dumps({"tool": "count", "arguments": {}}).encode()
            assert ask(gateway, "POST", path, said, **JSON, **agent).status in {403, 404}
        assert b"hidden" not in ask(gateway, "GET", "/api/v1/tools", **agent).body

    @attack(
        "own finding, CWE-117, CWE-150", "a line of the audit log that was never true, by the name of a tool"
    )
    def test_forged_activity(self, gateway, tmp_path):
        """A token that allows nothing makes no line of its own and speaks to no terminal; JSON is exact, in escapes."""
        said = {"name": "nothing", "servers": ["fix"], "tools": ["none"]}
        headers = {"Authorization": f"Bearer {manage(gateway, 'POST', '/api/v1/tokens', said).json['token']}"}
        line = "11-22 11:59:59 9f good tools/call rm -rf / token 1.0 ms ok"
        name = f"x\n{line}\x1b]52;c;eA==\x07\r\x9b2J\u2028\u202e\x7f"
        asked = message("tools/call", {"name": name, "arguments": {}}, identifier=f"1{name}")
        assert "error" in ask(gateway, "POST", "/fix/mcp", asked, **JSON, **headers).json

        def shown(*words: str) -> str:
            environ = {"PATH": os.environ["PATH"], "HOME": str(gateway.directory), "LANG": "C.UTF-8"}
            return forkserver.ran([BIN / "mcpgateway", "--home", gateway.home, *words], env=environ).stdout

        eventually(lambda: "rm -rf" in shown("activity"), "it is written down")
        text = shown("activity")
        assert not CONTROLS.search(text)
        assert not re.search(f"^{line}", text, re.MULTILINE)
        records = shown("--json", "activity")
        assert not CONTROLS.search(records)
        assert name in [each.get("tool") for each in json.loads(records)]
        assert not CONTROLS.search((gateway.home / "logs" / "activity.jsonl").read_text())
        raw = ask(
            gateway, "GET", "/api/v1/activity", Authorization=token(gateway, "admin.token")
        ).body.decode()
        assert "rm -rf" in raw
        assert not CONTROLS.search(raw)

    @attack(
        "CVE-2026-33946, CVE-2026-67431, CVE-2026-52869, CVE-2026-16496", "the session of another principal"
    )
    def test_sessions(self, gateway, agent):
        """An agent's token reaches no session but its own, whatever id it sends."""
        theirs = {"Mcp-Session-Id": begun(gateway, "fix", Authorization=token(gateway))}
        assert (
            ask(gateway, "POST", "/fix/mcp", message("tools/list"), **JSON, **theirs, **agent).status == 404
        )
        events = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
        assert ask(gateway, "GET", "/fix/mcp", **events, **theirs, **agent).status == 404
        assert ask(gateway, "DELETE", "/fix/mcp", **theirs, **agent).status in {403, 404}
        mine = {**JSON, **theirs, "Authorization": token(gateway)}
        assert ask(gateway, "POST", "/fix/mcp", message("tools/list"), **mine).status == 200

    @attack("GHSA-wf8q-wvv8-p8jf", "being somebody because a path or a header says so")
    @pytest.mark.parametrize("more", ["X-MCP-Project", "X-Remote-User", "X-Forwarded-User", "X-MCP-User"])
    def test_names(self, gateway, agent, more):
        """A token is who it is, whatever else is said."""
        for who in ("admin", "local", "agent", "token"):
            answer = ask(
                gateway, "POST", "/hidden/mcp", message("tools/list"), **JSON, **agent, **{more: who}
            )
            assert answer.status in {400, 401, 403, 404} or "error" in answer.json

    @attack("CVE-2026-33032, OWASP MCP02", "managing the gateway with a token that is for using it")
    @pytest.mark.parametrize("route", routes(RouteClass.MUTATE, RouteClass.ADMIN), ids=name_of)
    def test_managing(self, gateway, agent, route):
        """A request with an agent's token is refused at every route, before anything is looked at."""
        answer = ask(gateway, route.method, path_of(route), b"{}", **JSON, **agent)
        assert answer.status == 403

    @attack("CWE-613", "a token that was taken back")
    def test_revoked(self, gateway):
        """A revoked token is good no more, at once, and neither is the session that was begun with it."""
        made = manage(gateway, "POST", "/api/v1/tokens", {"name": "short"}).json
        headers = {"Authorization": f"Bearer {made['token']}"}
        session = {"Mcp-Session-Id": begun(gateway, "fix", **headers)}
        assert manage(gateway, "DELETE", f"/api/v1/tokens/{made['id']}").status == 200
        assert (
            ask(gateway, "POST", "/fix/mcp", message("tools/list"), **JSON, **session, **headers).status
            == 401
        )
        assert ask(gateway, "POST", "/fix/mcp", message("tools/list"), **JSON, **session).status == 404
        assert made["token"] not in (gateway.home / "tokens.json").read_text()


class GuessingTests:
    """Callers that try one token after the other."""

    @attack("CWE-307", "guessing tokens from another machine")
    def test_guessing(self, tmp_path):
        """After ten wrong ones nothing more is heard from there, right or wrong, while others are."""
        settings = {"allow_remote": True}
        with Gateway(tmp_path, {"fix": server(FIXTURE)}, settings=settings) as other:
            far, further = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}
            found = [
                ask(other, "GET", "/api/v1/servers", **far, Authorization=f"Bearer wrong{n}")
                for n in range(12)
            ]
            assert [each.status for each in found] == [401] * 10 + [429] * 2
            assert 0 < int(found[-1].headers["retry-after"]) <= 60
            assert ask(other, "GET", "/api/v1/servers", **far, Authorization=token(other)).status == 429
            assert ask(other, "GET", "/api/v1/servers", **further, Authorization=token(other)).status == 200
            assert ask(other, "GET", "/api/v1/servers", Authorization=token(other)).status == 200
            assert call(other, "echo", {"text": "x"}) == "x"
