"""Attacks that were made on programs like this one; each test names where it is known from.

The page ``docs/explanation/attacks.rst`` is made from the marks in this file and its neighbours.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from mcpgateway.frontends.http.routes import PLACE, ROUTES, Media
from mcpgateway.policy.access import RouteClass
from mcpgateway.shim import locations
from tests.support import forkserver
from tests.support.attacking import (
    FIXTURE,
    HELLO,
    JSON,
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
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import command_line, found_below, open_sockets

pytestmark = pytest.mark.functional

SERVERS = {"fix": server(FIXTURE), "own": server(FIXTURE, share="session")}
GIANT = 2**30


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway that is attacked by all tests; it has to serve everybody to the end."""
    with Gateway(tmp_path_factory.mktemp("attacked"), SERVERS) as running:
        yield running


@pytest.fixture(autouse=True)
def still_serving(request):
    """After every attack the gateway serves others, runs no more than it did, and its log has no traceback."""
    running = request.getfixturevalue("gateway")
    before = len(running.children())
    yield
    assert call(running, "echo", {"text": "after it"}) == "after it"
    assert "Traceback" not in running.log
    eventually(lambda: len(running.children()) <= max(before, 1) + 1, "nothing else was started")


FOREIGN = {
    "host": {"Host": "evil.example"},
    "subdomain": {"Host": "localhost.evil.example:9100"},
    "rebinder": {"Host": "127.0.0.1.nip.io"},
    "dot": {"Host": "evil.example."},
    "origin": {"Origin": "https://evil.example"},
    "null": {"Origin": "null"},
    "port": {"Origin": "http://localhost:1"},
}


class PageTests:
    """Attacks of a page in a browser on this machine."""

    @attack("CVE-2025-64443, CVE-2025-66414, CVE-2025-66416, CVE-2026-42559, CVE-2026-35568", "DNS rebinding")
    @pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
    def test_foreign_names(self, gateway, headers):
        """A foreign Host or Origin is refused at every route, with the best of tokens."""
        for route in (*ROUTES, *MCP):
            for more in ({}, {"Authorization": token(gateway, "admin.token")}):
                answer = ask(gateway, route.method, path_of(route), **headers, **more)
                assert answer.status == 403, name_of(route)

    @attack("CVE-2025-49596, CVE-2025-58444", "a page that has a local proxy run a program")
    @pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
    def test_no_program_for_pages(self, gateway, origin, tmp_path):
        """Adding a server takes the token, whoever asks, and what was asked for is not run."""
        made = tmp_path / "made"
        body = json.dumps({"name": "x", "config": {"command": "touch", "args": [str(made)]}}).encode()
        headers = {**JSON, **({"Origin": origin} if origin else {})}
        for path in ("/api/v1/servers", "/api/servers/install", "/api/v1/servers/fix"):
            for method in ("POST", "PUT", "PATCH"):
                assert ask(gateway, method, path, body, **headers).status in {401, 403, 404, 405}
        assert not made.exists()

    @attack("CVE-2026-33252", "a cross-site request that needs no preflight")
    @pytest.mark.parametrize(
        "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
    )
    def test_simple_requests(self, gateway, kind):
        """A request that a page may send unasked is no MCP message."""
        text = b"POST /fix/mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        text += f"Content-Type: {kind}\r\n".encode() if kind else b""
        body = message("tools/call", {"name": "echo", "arguments": {"text": "x"}})
        found = raw(gateway, text + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert found.startswith(b"HTTP/1.1 415 ")

    @attack("CVE-2026-33252", "a cross-site request that a browser tells of")
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_cross_site(self, gateway, site):
        """A page of another site changes no server and no setting, with the best of tokens."""
        for route in routes(RouteClass.MUTATE, RouteClass.ADMIN, RouteClass.END_SESSION):
            headers = {"Sec-Fetch-Site": site, "Authorization": token(gateway, "admin.token")}
            assert ask(gateway, route.method, path_of(route), b"{}", **JSON, **headers).status == 403

    @attack("S000, CVE-2025-58444", "answers that any page may read")
    def test_no_permission(self, gateway):
        """No answer lets pages of others read it."""
        for route in (*routes(RouteClass.READ, RouteClass.RETURN), *MCP):
            if route.media is not Media.EVENTS and route.path != "/fix/sse":
                for method in (route.method, "OPTIONS"):
                    answer = ask(gateway, method, path_of(route))
                    assert not [each for each in answer.headers if each.startswith("access-control-")]

    @attack("own finding, CWE-346", "an answer that a page names as its script")
    @pytest.mark.parametrize("door", ["tcp", "unix"])
    def test_no_script(self, gateway, door):
        """Every answer of every door says that it is neither a script nor for other origins, refusals included."""
        asked = [(each.method, path_of(each)) for each in (*ROUTES, *MCP)]
        asked += [(method, path) for _, path in asked for method in ("HEAD", "OPTIONS", "PATCH")]
        asked += [
            ("GET", path)
            for path in ("/none", "/static/none", "/fix/none", "/mcp/none", "/%00", "/favicon.ico")
        ]
        heads = [
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream, application/json\r\n{more}\r\n"
            for method, path in dict.fromkeys(asked)
            for more in ("", "Content-Length: 99999999\r\n", "Sec-Fetch-Site: cross-site\r\n")
            if more or door == "tcp" or method in ("GET", "HEAD")  # who comes by the socket may do anything
        ]
        heads += ["BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"]
        heads += [f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 70_000}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"]
        for head in heads:
            answer = first_head(gateway, door, head.encode()).lower()
            assert b"x-content-type-options: nosniff\r\n" in answer, (head[:200], answer)
            assert b"cross-origin-resource-policy: same-origin\r\n" in answer, (head[:200], answer)
            assert answer.count(b"x-content-type-options") == 1

    @attack("own finding, CWE-346", "a stream of events that a page of another site opens")
    def test_no_stream(self, gateway):
        """A page of another site opens no stream and reads no answer, by whatever door."""
        for route in (*ROUTES, *MCP):
            if getattr(route, "access", None) not in (RouteClass.PUBLIC, RouteClass.RETURN):
                head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
                for site in ("cross-site", "same-site"):
                    answer = first_head(gateway, "tcp", f"{head}Sec-Fetch-Site: {site}\r\n\r\n".encode())
                    assert answer.startswith(b"HTTP/1.1 403 "), (name_of(route), answer)


def first_head(gateway, door: str, data: bytes) -> bytes:
    """The head of what is answered."""
    place = locations.socket_path({"HOME": str(gateway.directory)}, str(gateway.home))
    with socket.socket(socket.AF_UNIX if door == "unix" else socket.AF_INET) as peer:
        peer.settimeout(LIMIT_S)
        peer.connect(place if door == "unix" else ("127.0.0.1", gateway.port))
        peer.sendall(data)
        found = b""
        while b"\r\n\r\n" not in found and (more := peer.recv(65536)):
            found += more
        return found.partition(b"\r\n\r\n")[0] + b"\r\n"


class DoorTests:
    """Doors, and the callers that they let in."""

    @attack("own finding, CWE-287", "a wrong credential, from where none is needed")
    @pytest.mark.parametrize("door", ["tcp", "unix"])
    @pytest.mark.parametrize(
        "wrong",
        [
            "Authorization: Bearer wrong",
            "Authorization: Basic eDp5",
            "Authorization: Bearer",
            "X-API-Key: wrong",
        ],
    )
    def test_wrong_credential(self, gateway, door, wrong):
        """A wrong credential is 401 at every route of every door, streams included, and never taken for none."""
        for route in (*ROUTES, *MCP):
            access = getattr(route, "access", RouteClass.MCP)
            for query in ("", "?access_token=wrong"):
                head = f"{route.method} {path_of(route)}{query} HTTP/1.1\r\nHost: localhost\r\n"
                more = f"{wrong}\r\n" if not query else ""
                answer = first_head(gateway, door, f"{head}Accept: text/event-stream\r\n{more}\r\n".encode())
                if access is not RouteClass.PUBLIC:
                    assert answer.startswith(b"HTTP/1.1 401 "), (name_of(route), answer)

    @attack(
        "CVE-2026-33032, CVE-2026-66012, CVE-2026-14537, GHSA-5j8j-256g-vvp5", "a route that nobody guards"
    )
    @pytest.mark.parametrize("route", routes(RouteClass.MUTATE, RouteClass.ADMIN), ids=name_of)
    def test_every_route(self, gateway, route):
        """A route that changes something needs a token, and one for administrators theirs, before its body is read."""
        answer = ask(gateway, route.method, path_of(route), b"{", **JSON)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        if route.access is RouteClass.ADMIN:
            assert ask(
                gateway, route.method, path_of(route), b"{", **JSON, Authorization=token(gateway)
            ).status in {
                401,
                403,
            }

    @attack("CVE-2026-63732", "headers that say one is near")
    @pytest.mark.parametrize(
        "name",
        ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "X-Remote-User"],
    )
    def test_said_to_be_near(self, gateway, name):
        """The connection tells whether a caller is near; a header opens no door."""
        for value in ("127.0.0.1", "for=127.0.0.1", "admin"):
            answer = ask(gateway, "POST", "/api/gateway/disable", b"{}", **{**JSON, name: value})
            assert answer.status in {401, 403}

    @attack("CVE-2026-23744, CVE-2026-9680", "listening to everybody by default")
    def test_loopback_only(self, gateway):
        """The gateway listens on loopback only, unless the settings ask for more."""
        inodes = open_sockets(gateway.pid)
        heard = []
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                parts = line.split()
                if parts[3] == "0A" and parts[9] in inodes:
                    heard.append(parts[1].split(":")[0])
        assert heard
        assert set(heard) <= {"0100007F", "00000000000000000000000001000000"}

    @attack("CVE-2026-23744, CVE-2026-42208", "listening to everybody without a credential")
    @pytest.mark.usefixtures("gateway")
    def test_refuses_to_listen(self, tmp_path):
        """An address that others reach is listened at only where that is allowed in so many words."""
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"gateway": {"bind_address": "0.0.0.0"}, "servers": {}}))
        usual = ["-n", "--pidfile=", "mcpgateway", "--home", tmp_path / "home", "--config", config]
        ran = forkserver.ran(
            [BIN / "twistd", *usual, "--port", str(free_port())],
            has_ended=False,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        assert ran.returncode == 1
        assert "allow_remote" in ran.stderr + ran.stdout

    @attack("GHSA-g53w-w6mj-hrpp, CWE-214", "secrets in command lines")
    def test_ps(self, gateway):
        """No process of the gateway's has a token in its command line."""
        call(gateway, "echo", {"text": "x"})
        secrets = [(gateway.home / name).read_text().strip() for name in ("auth.token", "admin.token")]
        for pid in [gateway.pid, *gateway.children(), *gateway.helpers()]:
            line = command_line(pid).decode()
            assert not [each for each in secrets if each in line]

    @attack("CVE-2026-31431, OWASP MCP01", "secrets in files that others may read")
    def test_files(self, gateway):
        """The files of the home are private to their owner."""
        for path, status in found_below(gateway.home).items():
            assert status.st_mode & 0o077 == 0 or stat.S_ISLNK(status.st_mode), path

    @attack("CWE-208", "guessing a token letter by letter")
    def test_nearly_right(self, gateway):
        """A token that is right but for its end, or its beginning, is as wrong as any."""
        right = token(gateway)
        for wrong in (
            right[:-1],
            right + "x",
            right[:-1] + "\u00e9",
            right.replace("Bearer ", "Bearer x"),
            "Basic x",
        ):
            answer = ask(gateway, "POST", "/api/gateway/disable", b"{}", **JSON, Authorization=wrong)
            assert answer.status in {401, 429}


class SessionTests:
    """Sessions and ids of other clients."""

    @attack("CVE-2026-33946, CVE-2026-67431, CVE-2026-52869, CVE-2026-16496", "the session of somebody else")
    def test_bound_to_its_principal(self, gateway):
        """A session that was begun with a token is not there for who has none, and goes on undisturbed."""
        session = begun(gateway, Authorization=token(gateway))
        theirs = {"Mcp-Session-Id": session}
        assert ask(gateway, "POST", "/own/mcp", message("tools/list"), **JSON, **theirs).status == 404
        events = {"Accept": "text/event-stream"}
        assert ask(gateway, "GET", "/own/mcp", **events, **theirs).status == 404
        resumed = {**events, **theirs, "Last-Event-ID": "1"}
        assert ask(gateway, "GET", "/own/mcp", **resumed).status == 404
        assert ask(gateway, "DELETE", "/own/mcp", **theirs).status == 404
        mine = {**JSON, **theirs, "Authorization": token(gateway)}
        assert ask(gateway, "POST", "/own/mcp", message("tools/list"), **mine).status == 200

    @attack("CVE-2025-6515", "session ids that can be guessed, or chosen")
    def test_ids(self, gateway):
        """Ids are long, all different and never the client's choice."""
        found = [begun(gateway, "fix", **{"Mcp-Session-Id": "chosen"}) for _ in range(200)]
        assert len(set(found)) == 200
        assert all(len(each) >= 32 and each.isascii() and each.isprintable() for each in found)
        assert ask(
            gateway, "POST", "/fix/mcp", message("tools/list"), **JSON, **{"Mcp-Session-Id": "chosen"}
        ).status in {
            400,
            404,
        }
        heads = [each[:12] for each in found]
        assert len({each[-8:] for each in found}) == len(heads)

    @attack("CVE-2026-25536", "the same request ids from several clients on one transport")
    def test_colliding_ids(self, gateway):
        """A client gets the answer to its own call, whatever id that has."""
        import threading

        wrong: list[Any] = []

        def client(number: int) -> None:
            for identifier in (0, 1, "1", 2**53):
                text = f"{number}/{identifier!r}"
                body = message("tools/call", {"name": "echo", "arguments": {"text": text}}, identifier)
                answer = ask(gateway, "POST", "/fix/mcp", body, **JSON).json
                if answer["id"] != identifier or answer["result"]["content"][0]["text"] != text:
                    wrong.append(answer)

        clients = [threading.Thread(target=client, args=(each,)) for each in range(50)]
        for each in clients:
            each.start()
        for each in clients:
            each.join(LIMIT_S)
        assert wrong == []

    @attack("CVE-2026-67430, CVE-2026-63128", "sessions without end")
    def test_flood(self, gateway):
        """Thousands of clients that say hello and leave cost little, and others are served."""
        call(gateway, "echo", {"text": "x"})
        body = message("initialize", HELLO)
        head = b"POST /fix/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Accept: application/json, text/event-stream\r\n"
        one = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for _ in range(5):
            raw(gateway, one * 20 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        before = gateway.resident_kib()
        for _ in range(95):
            raw(gateway, one * 20 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        assert gateway.resident_kib() - before < 2000 * 20


class BodyTests:
    """Bodies that cost much, or mean more than they say."""

    @attack(
        "CVE-2026-67432, CVE-2026-14539, CVE-2026-63658",
        "a body without end, read before anybody asks who it is",
    )
    @pytest.mark.parametrize("path", ["/fix/mcp", "/mcp", "/api/gateway/disable", "/clients/register"])
    def test_giant(self, gateway, path):
        """A body that is said to be too long is refused before it comes, and one that goes on is cut off."""
        before = gateway.resident_kib()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
        found = raw(gateway, head + b"Content-Length: %d\r\n\r\n" % GIANT)
        assert found.split(b" ")[1] in {b"401", b"413"}
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        found = raw(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 16)
        assert found == b"" or found.split(b" ")[1] in {b"401", b"413"}
        assert gateway.resident_kib() - before < 32 * 1024

    @attack("JSON bombs (CWE-674, CWE-400)", "JSON that is very deep, or very wide")
    @pytest.mark.parametrize(
        "params",
        [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"[" * 1_000_000],
        ids=["lists", "objects", "open"],
    )
    def test_deep(self, gateway, params):
        """A deep body is refused, or passed on as it is, and no other caller notices."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + b"}"
        answer = ask(gateway, "POST", "/fix/mcp", body, **JSON)
        assert answer.status in {200, 400}
        assert "error" in answer.json
        for path in ("/api/v1/servers/fix/call", "/clients/register"):
            answer = ask(gateway, "POST", path, params, **JSON, Authorization=token(gateway, "admin.token"))
            assert answer.status == 400

    @attack("CVE-2026-27896, GHSA-q382-vc8q-7jhj", "members that two parsers read differently")
    @pytest.mark.parametrize(
        "text",
        [
            b'{"jsonrpc":"2.0","id":1,"Method":"tools/list"}',
            b'{"jsonrpc":"2.0","id":1,"method\\u0000":"tools/list"}',
            b'{"JSONRPC":"2.0","ID":1,"METHOD":"tools/list"}',
        ],
    )
    def test_other_spellings(self, gateway, text):
        """A body that is not spelled as it has to be is not read."""
        answer = ask(gateway, "POST", "/fix/mcp", text, **JSON)
        assert answer.status in {400, 202} or "error" in answer.json
        assert b'"tools"' not in answer.body

    @attack("own finding", "a second message smuggled to a shared server within the parameters of the first")
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    def test_forged_line(self, gateway, line_end):
        """Parameters with line ends reach the server as one line, and whatever stands in them is data."""
        forged = '{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"die"}}'
        body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo",' + line_end
        body += '"arguments":' + line_end + '{"text":' + json.dumps(line_end + forged + line_end) + "}}}"
        answer = ask(gateway, "POST", "/fix/mcp", body.encode(), **JSON).json
        assert answer["result"]["content"][0]["text"] == line_end + forged + line_end

    @attack("CVE-2025-53365, CVE-2025-53366, CVE-2026-47427", "a request that ends the server")
    @pytest.mark.parametrize(
        "params", [None, [], 1, "x", {"name": None}, {"name": 1, "arguments": []}, {"uri": {}}]
    )
    def test_wrong_parameters(self, gateway, params):
        """A request with wrong parameters is refused; nothing breaks, and no server ends."""
        methods = (
            "initialize ping tools/list tools/call resources/read resources/subscribe prompts/get".split()
        )
        methods += "completion/complete logging/setLevel tasks/get server/discover nothing/known".split()
        for method in methods:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
            for path in ("/fix/mcp", "/mcp/full"):
                assert ask(gateway, "POST", path, body, **JSON).status in {200, 400, 404}

    @attack("CVE-2025-53366, modelcontextprotocol/python-sdk#2328", "bytes that are no text")
    @pytest.mark.parametrize("junk", [b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\x80abc"])
    def test_no_text(self, gateway, junk):
        """Bodies that are no text are refused, and never reach a server."""
        body = message("tools/call", {"name": "echo", "arguments": {"text": "JUNK"}}).replace(b"JUNK", junk)
        answer = ask(gateway, "POST", "/fix/mcp", body, **JSON)
        assert answer.status == 400
        assert answer.json["error"]["code"] == -32700

    @attack("CWE-409", "a body that is small only while it is packed")
    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
    def test_packed(self, gateway, coding):
        """Packed bodies are not taken."""
        answer = ask(gateway, "POST", "/fix/mcp", b"\x1f\x8b\x08", **JSON, **{"Content-Encoding": coding})
        assert answer.status == 415


HEAD = "POST /fix/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
SECOND = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLED = {
    "length and chunks": f"{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}",
    "chunks and length": f"{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{SECOND}",
    "two lengths": f"{HEAD}Content-Length: {len(BODY)}\r\nContent-Length: 5\r\n\r\n{BODY}{SECOND}",
    "lengths in a list": f"{HEAD}Content-Length: {len(BODY)}, {len(BODY)}\r\n\r\n{BODY}",
    "a signed length": f"{HEAD}Content-Length: +{len(BODY)}\r\n\r\n{BODY}",
    "a negative length": f"{HEAD}Content-Length: -1\r\n\r\n{BODY}",
    "a length in hex": f"{HEAD}Content-Length: 0x28\r\n\r\n{BODY}",
    "a length of 20 digits": f"{HEAD}Content-Length: {'9' * 20}\r\n\r\n{BODY}",
    "a length of 5000 digits": f"{HEAD}Content-Length: {'9' * 5000}\r\n\r\n{BODY}",
    "a space before the colon": f"{HEAD}Content-Length : {len(BODY)}\r\n\r\n{BODY}",
    "a folded header": f"{HEAD}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{SECOND}",
    "folded chunks": f"{HEAD}X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": f"{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": f"{HEAD}Transfer-Encoding: identity\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "xchunked": f"{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": f"{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a vertical tab": f"{HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": f"{HEAD.replace('1.1', '1.0')}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size with a sign": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "a chunk size with 0x": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk size too long": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{'f' * 20}\r\nhello\r\n0\r\n\r\n",
    "a chunk without its end": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "a bare LF": f"{HEAD}X: y\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "a bare CR": f"{HEAD}X: y\rContent-Length: 5\r\n\r\n{BODY}",
    "a NUL": f"{HEAD}X: a\0b\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "no Host": f"{HEAD.replace('Host: localhost', 'X: y')}Content-Length: {len(BODY)}\r\n\r\n{BODY}",
    "two Hosts": f"{HEAD}Host: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "an absolute URI": f"{HEAD.replace('/fix', 'http://evil.example/fix')}Content-Length: {len(BODY)}\r\n\r\n{BODY}",
    "no name of a header": f"{HEAD}: y\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "a header without colon": f"{HEAD}nothing\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "HTTP/1.2": f"{HEAD.replace('HTTP/1.1', 'HTTP/1.2')}Content-Length: {len(BODY)}\r\n\r\n{BODY}",
    "HTTP/9.9": f"{HEAD.replace('HTTP/1.1', 'HTTP/9.9')}Content-Length: {len(BODY)}\r\n\r\n{BODY}",
    "another protocol": f"{HEAD.replace('HTTP/1.1', 'RTSP/1.0')}Content-Length: {len(BODY)}\r\n\r\n{BODY}",
    "a long header": f"{HEAD}X: {'y' * 100_000}\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
    "many headers": f"{HEAD}{''.join(f'X{n}: y' + chr(13) + chr(10) for n in range(5000))}\r\n{BODY}",
    "a long URI": f"{HEAD.replace('/fix', '/' + 'x' * 100_000)}Content-Length: {len(BODY)}\r\n\r\n{BODY}",
    "TRACE": "TRACE /fix/mcp HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


class HttpTests:
    """Requests that two programs on the way take apart differently."""

    @attack("CVE-2022-24801, CVE-2020-10108, CVE-2020-10109, defparam/smuggler", "request smuggling")
    @pytest.mark.parametrize("text", SMUGGLED.values(), ids=SMUGGLED)
    def test_smuggled(self, gateway, text):
        """A smuggled request is refused and the connection closed, so that its rest is not taken for a request."""
        sent = text.encode("latin-1").replace(b"\r\nHost", b"\r\nConnection: close\r\nHost", 1)
        found = raw(gateway, sent)
        assert re.match(rb"HTTP/1\.1 (400|403|405|413|414|415|431|501|505) ", found), found[:200]
        assert found.count(b"HTTP/1.1 ") == 1
        assert b'"status":"ok"' not in found

    @attack("CVE-2024-41671, CVE-2023-46137", "pipelined requests answered out of their order")
    def test_pipelined(self, gateway):
        """Answers come in the order of their requests, whichever is ready first."""
        text = b""
        for number in range(20):
            arguments = {"ms": 200, "text": "x"} if number % 5 == 0 else {"text": str(number)}
            body = message(
                "tools/call", {"name": "sleep" if number % 5 == 0 else "echo", "arguments": arguments}, number
            )
            last = b"Connection: close\r\n" if number == 19 else b""
            text += HEAD.encode() + last + b"Content-Length: %d\r\n\r\n" % len(body) + body
        found = raw(gateway, text)
        assert re.findall(rb'"id":(\d+)', found) == [b"%d" % number for number in range(20)]

    @attack("CVE-2007-6750 (slowloris)", "requests that never get finished")
    def test_slow(self, gateway):
        """Hundreds of connections that say next to nothing keep nobody from being served."""
        slow = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(300)]
        try:
            for number, each in enumerate(slow):
                each.sendall(
                    b"POST /fix/mcp HT" if number % 2 else HEAD.encode() + b"Content-Length: 99\r\n\r\n{"
                )
            began = time.monotonic()
            for _ in range(20):
                assert call(gateway, "echo", {"text": "x"}) == "x"
            assert time.monotonic() - began < LIMIT_S
        finally:
            for each in slow:
                each.close()

    @attack(
        "CVE-2019-12387, CVE-2024-41810, CVE-2022-39348",
        "text of the request in the answer, as a header or as HTML",
    )
    def test_reflected(self, gateway):
        """A path that is asked for comes back in JSON, or in the text of a page that runs no script."""
        answer = ask(
            gateway, "GET", "/oauth/callback?state=%3Cscript%3E&error=%0d%0aSet-Cookie:x%3Cscript%3E"
        )
        assert b"<script>" not in answer.body
        assert "set-cookie" not in answer.headers
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for path in ("/%3Cscript%3E/mcp", "/api/%0d%0aSet-Cookie:%20x=y"):
            answer = ask(gateway, "GET", path)
            assert "set-cookie" not in answer.headers
            assert answer.status in {400, 404, 405}
            assert b"<script>" not in answer.body or answer.headers["content-type"] == "application/json"


STRANGE = [
    "..",
    "%2e%2e",
    "a%2fb",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "-rf",
    "%C3%A9",
    "a;b",
    "~",
    "*",
    "fix%00",
    "FIX",
]


class NameTests:
    """Names that lead elsewhere than they seem to."""

    @attack(
        "CVE-2026-77243, CVE-2026-46519, GHSA-wf8q-wvv8-p8jf",
        "an odd name that is taken for everything, or for another",
    )
    @pytest.mark.parametrize("name", STRANGE)
    def test_servers(self, gateway, name):
        """A name that no server has is not there; it is never all of them, nor a file."""
        for path in (f"/{name}/mcp", f"/mcp/{name}"):
            found = raw(
                gateway,
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
                + f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode(),
            )
            assert re.match(rb"HTTP/1\.1 (400|404|405) ", found), found[:100]  # fmt: skip
        for route in ROUTES:
            if "{name}" in route.path and route.media is Media.JSON:
                path = route.path.replace("{name}", name)
                headers = {**JSON, "Authorization": token(gateway, "admin.token")}
                answer = ask(gateway, route.method, PLACE.sub("1", path), b"{}", **headers)
                assert answer.status in {307, 400, 404, 405, 409}, (name_of(route), answer.body)
                assert answer.headers.get("location", "/api/v1/").startswith("/api/v1/")
                assert b"root:" not in answer.body

    @attack("CVE-2021-29492", "an encoded slash that is judged as a name and leads elsewhere")
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v1/servers/fix%2Frecord"),
            ("GET", "/api/v1/servers/fix%2Frest%2Fx"),
            ("GET", "/api/v1/servers/fix%2flogs"),
            ("POST", "/api/v1/servers/fix%2Frest%2Fx/call"),
        ],
    )
    def test_encoded_slashes(self, gateway, method, path):
        """The route that is judged is the one that answers: none is reached with the class of another."""
        headers = {**JSON, "Authorization": token(gateway, "auth.token")}
        answer = ask(gateway, method, path, b"{}" if method == "POST" else b"", **headers)
        assert answer.status in {404, 405}, answer.body

    @attack("CVE-2025-53109, CVE-2025-53110, CVE-2026-27825", "paths that leave their directory")
    @pytest.mark.parametrize(
        "name", ["../auth.token", "..%2fauth.token", "%2e%2e%2fauth.token", "/etc/passwd"]
    )
    def test_paths(self, gateway, name):
        """No file is read because of its name in a request."""
        secret = (gateway.home / "auth.token").read_bytes().strip()
        for path in (
            f"/api/v1/results/{name}",
            f"/{name}",
            f"/static/{name}",
            f"/api/v1/servers/{name}/logs",
        ):
            found = raw(
                gateway, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            assert re.match(rb"HTTP/1\.1 (307|400|401|404|405) ", found), found[:100]
            assert secret not in found


@frozen
class Door:
    """A way in for MCP, which stands in no table."""

    method: str
    path: str
    media: Media = Media.JSON


MCP = (Door("POST", "/fix/mcp"), Door("GET", "/fix/mcp"), Door("POST", "/mcp"), Door("GET", "/fix/sse"))
MCP += (Door("POST", "/mcp/fix"), Door("DELETE", "/fix/mcp"), Door("GET", "/mcp"), Door("POST", "/"))
