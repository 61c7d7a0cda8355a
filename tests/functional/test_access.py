"""Access to a real gateway on real addresses: from here, from elsewhere, over TLS, and by the command line."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.gateway import BIN, Gateway, eventually, ran, server

NOTEBOOK = [sys.executable, "-m", "mcpgateway.demo.notebook"]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    },
}


def outward() -> str:
    """An address of this machine that others would reach it by; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        found = str(probe.getsockname()[0])
    return "" if found.startswith("127.") else found


ADDRESS = outward()
elsewhere = pytest.mark.skipif(not ADDRESS, reason="this machine has no address but its own")


def ask(
    where: tuple[str, int],
    method: str = "GET",
    path: str = "/health",
    body: object = None,
    context: ssl.SSLContext | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], Any]:
    """Send a request on a connection of its own; return the status, the headers and the body of its answer."""
    data = json.dumps(body).encode() if body is not None else b""
    given = {"Host": "localhost", "Content-Type": "application/json", "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    with socket.create_connection(where, timeout=60) as plain:
        wire = context.wrap_socket(plain, server_hostname="localhost") if context is not None else plain
        wire.sendall(
            f"{method} {path} HTTP/1.1\r\n{lines}Content-Length: {len(data)}\r\n\r\n".encode() + data
        )
        whole = b""
        while piece := wire.recv(65536):
            whole += piece
        if context is not None:
            wire.close()
    head, _, rest = whole.partition(b"\r\n\r\n")
    first, *more = head.decode().split("\r\n")
    found = (line.split(": ", 1) for line in more)
    said = {name.lower(): value for name, value in found}
    return int(first.split(" ")[1]), said, json.loads(rest) if rest else None


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def command(gateway: Gateway, *words: str) -> Any:
    """Run a command against a gateway; what it says, as JSON."""
    done = ran(str(BIN / "mcpgateway"), "--home", str(gateway.home), "--json", *words, cwd=gateway.directory)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def configure(gateway: Gateway, settings: dict[str, Any], auth: dict[str, Any] | None = None) -> None:
    """Have a gateway begin with these settings."""
    whole = json.loads(gateway.configured({"notes": server(NOTEBOOK), "secret": server(NOTEBOOK)}, settings))
    whole["settings"] = {"security": {"auth": auth or {}}}
    gateway.config.write_text(json.dumps(whole))


class CommandTests:
    """The life of tokens on the command line."""

    def test_tokens(self, tmp_path: Path) -> None:
        """An agent's token is made, used, listed and revoked; the gateway's own are shown and replaced."""
        with Gateway(tmp_path, {"notes": server(NOTEBOOK), "secret": server(NOTEBOOK)}) as gateway:
            here = ("127.0.0.1", gateway.port)
            made = command(gateway, "token", "create", "reviewer", "--server", "notes", "--expires", "1h")
            token = made["token"]
            assert token not in (gateway.home / "tokens.json").read_text()
            assert token not in json.dumps(command(gateway, "token", "list"))
            assert ask(here, "POST", "/notes/mcp", INITIALIZE, **bearer(token))[0] == 200
            refused = ask(here, "POST", "/secret/mcp", INITIALIZE, **bearer(token))[2]
            assert "this token may not use secret" in refused["error"]["message"]
            assert ask(here, "POST", "/secret/mcp", INITIALIZE)[0] == 200
            assert command(gateway, "token", "revoke", "reviewer")["name"] == "reviewer"
            assert ask(here, "POST", "/notes/mcp", INITIALIZE, **bearer(token))[0] == 401
            former = command(gateway, "token", "show")["token"]
            assert command(gateway, "token", "rotate", "--all")["rotated"] == ["admin", "auth"]
            assert command(gateway, "token", "show")["token"] != former
            assert (gateway.home / "auth.token").stat().st_mode & 0o777 == 0o600
            assert token not in gateway.log
            assert former not in gateway.log

    def test_views(self, tmp_path: Path) -> None:
        """On the view of all servers, and over REST, an agent has what its token is for."""
        with Gateway(tmp_path, {"notes": server(NOTEBOOK), "secret": server(NOTEBOOK)}) as gateway:
            here = ("127.0.0.1", gateway.port)
            made = command(gateway, "token", "create", "a", "--server", "notes", "--tool", "list_notes")
            agent = bearer(made["token"])
            headers = ask(here, "POST", "/mcp/full", INITIALIZE, **agent)[1]
            session = {**agent, "Mcp-Session-Id": headers["mcp-session-id"], "Accept": "application/json"}

            def call(method: str, **params: Any) -> Any:
                request = {"jsonrpc": "2.0", "id": 2, "method": method, "params": params}
                return ask(here, "POST", "/mcp/full", request, **session)[2]

            def listed() -> list[str]:
                tools = [each["name"] for each in call("tools/list")["result"]["tools"]]
                return [each for each in tools if "gateway" not in each]

            eventually(listed, "the server has said what it has")
            assert listed() == ["notes__list_notes"]
            assert "result" in call("tools/call", name="notes__list_notes", arguments={})
            for name in ("notes__add_note", "secret__list_notes"):
                assert "error" in call("tools/call", name=name, arguments={"text": "x"})
            status, _, listed = ask(here, "GET", "/api/v1/tools", **agent)
            assert (status, [each["name"] for each in listed]) == (200, ["notes__list_notes"])
            for path in ("/api/v1/servers", "/health", "/api/v1/tokens"):
                assert ask(here, "GET", path, **agent)[0] == 403
            assert ask(here, "POST", "/api/v1/tools/notes__clear/call", {}, **agent)[0] in (403, 404)

    def test_required(self, tmp_path: Path) -> None:
        """Clients here can be made to need a token, at once and for good."""
        with Gateway(tmp_path, {"notes": server(NOTEBOOK)}) as gateway:
            here = ("127.0.0.1", gateway.port)
            token = command(gateway, "token", "show")["token"]
            cursor = tmp_path / ".cursor" / "mcp.json"
            cursor.parent.mkdir()
            cursor.write_text(json.dumps({"mcpServers": {"own": server(NOTEBOOK)}}))
            command(gateway, "clients", "apply", "--http", "--yes")
            led = cursor.read_text()
            assert f"http://localhost:{gateway.port}/own/mcp" in led
            told = command(gateway, "token", "enable")
            assert told["required"] is True
            assert [(each["client"], each["servers"]) for each in told["cut_off"]] == [
                ("cursor", ["own", "notes"])
            ]
            assert cursor.read_text() == led
            assert command(gateway, "token", "enable", "--reroute")["cut_off"] == []
            assert json.loads(cursor.read_text())["mcpServers"]["own"]["args"][2:4] == ["connect", "own"]
            assert (
                json.loads(gateway.config.read_text())["gateway"]["auth_mcp_transport"] == "bearer-required"
            )
            assert ask(here, "POST", "/notes/mcp", INITIALIZE)[0] == 401
            assert ask(here, "POST", "/notes/mcp", INITIALIZE, **bearer(token))[0] == 200
            assert command(gateway, "token", "disable")["required"] is False
            assert cursor.read_text() == led
            assert ask(here, "POST", "/notes/mcp", INITIALIZE)[0] == 200

    def test_without_a_gateway(self, tmp_path: Path) -> None:
        """The gateway's own tokens are shown and replaced while none runs."""
        gateway = Gateway(tmp_path, {"notes": server(NOTEBOOK)})
        with gateway:
            former = command(gateway, "token", "show")["token"]
        assert command(gateway, "token", "rotate") == {"rotated": ["auth"], "running": False}
        latter = command(gateway, "token", "show")["token"]
        assert latter != former
        with gateway:
            here = ("127.0.0.1", gateway.port)
            disable = ("POST", "/api/gateway/enable")
            assert ask(here, *disable, **bearer(former))[0] == 401
            assert ask(here, *disable, **bearer(latter))[0] == 200


class RefusedStartTests:
    """Faults that keep a gateway from starting."""

    @pytest.mark.parametrize("text", ["", "{}", '{"format":1,"tokens":[{"id":"a"}]}'])
    def test_corrupt_tokens(self, tmp_path: Path, text: str) -> None:
        """A file of tokens that is not whole."""
        gateway = Gateway(tmp_path, {"notes": server(NOTEBOOK)})
        gateway.home.mkdir(mode=0o700)
        (gateway.home / "tokens.json").write_text(text)
        (gateway.home / "tokens.json").chmod(0o600)
        done = ran(*gateway.argv, cwd=tmp_path)
        assert done.returncode == 1
        assert "tokens.json: it cannot be read; put it right, or remove it" in done.stderr + done.stdout

    def test_half_a_pair(self, tmp_path: Path) -> None:
        """A certificate without its key, a key that is another's, and files that are not there."""
        authority = Authority(tmp_path)
        one, other = authority.issue("localhost"), authority.issue("other.example")
        for settings, why in (
            ({"tls_cert_path": one}, "one of tls_cert_path and tls_key_path is missing"),
            ({"tls_key_path": one}, "one of tls_cert_path and tls_key_path is missing"),
            ({"tls_cert_path": one, "tls_key_path": other}, "is not the key of the certificate"),
            ({"tls_cert_path": one, "tls_key_path": "/nowhere"}, "there is no file /nowhere"),
            ({"tls_cert_path": authority.file, "tls_key_path": authority.file}, "holds no key"),
            ({"tls_cert_path": sys.executable, "tls_key_path": one}, "tls_cert_path"),
        ):
            gateway = Gateway(tmp_path, {"notes": server(NOTEBOOK)}, settings=settings)
            done = ran(*gateway.argv, cwd=tmp_path)
            assert done.returncode == 1
            assert why in done.stderr + done.stdout

    def test_a_missing_variable(self, tmp_path: Path) -> None:
        """A key that is made of a variable that nobody has set."""
        gateway = Gateway(tmp_path)
        configure(gateway, {}, {"enabled": True, "api_keys": ["${NOBODY_HAS_SET_THIS}"]})
        done = ran(*gateway.argv, cwd=tmp_path)
        assert done.returncode == 1
        assert "made of a variable that is not set" in done.stderr + done.stdout


class ProxyTests:
    """Requests through a proxy on this machine."""

    def test_remote(self, tmp_path: Path) -> None:
        """Requests through a proxy are refused like others from elsewhere, on TCP and on the Unix socket."""
        with Gateway(tmp_path, {"notes": server(NOTEBOOK)}) as gateway:
            here = ("127.0.0.1", gateway.port)
            assert ask(here)[0] == 200
            for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
                assert ask(here, "POST", "/notes/mcp", INITIALIZE, **{header: "127.0.0.1"})[0] == 403
            with socket.socket(socket.AF_UNIX) as wire:
                wire.connect(str(gateway.home / "gateway.sock"))
                wire.sendall(
                    b"GET /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n"
                )
                assert wire.recv(65536).startswith(b"HTTP/1.1 403 ")


@elsewhere
class RemoteTests:
    """Clients on other machines."""

    def test_keys(self, tmp_path: Path) -> None:
        """Keys, tokens of projects, and trusted addresses let clients in, and none of them manages anything."""
        gateway = Gateway(tmp_path)
        reachable = {"allow_remote": True, "bind_address": "0.0.0.0", "allowed_hosts": [ADDRESS]}
        auth = {
            "enabled": True,
            "api_keys": ["the key of a client's"],
            "project_tokens": {"the token of a project's": str(tmp_path)},
        }
        configure(gateway, reachable, auth)
        with gateway:
            there = (ADDRESS, gateway.port)
            assert ask(there)[0] == 401
            assert ask(there, "POST", "/notes/mcp", INITIALIZE)[0] == 401
            for token in ("the key of a client's", "the token of a project's"):
                status, headers, _ = ask(there, "POST", "/notes/mcp", INITIALIZE, **bearer(token))
                assert status == 200
                # A session is of no use with another credential.
                for other in ("the key of a client's", "the token of a project's", own(gateway)):
                    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
                    more = {**bearer(other), "Mcp-Session-Id": headers["mcp-session-id"]}
                    found = ask(there, "POST", "/notes/mcp", ping, **more)[0]
                    assert found == (200 if other == token else 404)
                assert ask(there, "POST", "/api/gateway/disable", **bearer(token))[0] == 403
            configure(gateway, reachable, {**auth, "trusted_ips": [f"{ADDRESS}/32"]})
            eventually(lambda: ask(there)[0] == 200, "the address is trusted")
            assert ask(there, x_forwarded_for="8.8.8.8")[0] == 401
            assert ask(there, "POST", "/api/gateway/disable")[0] == 403
            configure(gateway, reachable, {**auth, "enabled": False})
            eventually(lambda: ask(there)[0] == 401, "it is trusted no more")
            assert ask(there, **bearer("the key of a client's"))[0] == 401

    def test_wrong_tokens(self, tmp_path: Path) -> None:
        """A caller that guesses tokens is not heard for a while, and those on this machine notice nothing."""
        settings = {"allow_remote": True, "bind_address": "0.0.0.0"}
        with Gateway(tmp_path, {"notes": server(NOTEBOOK)}, settings=settings) as gateway:
            there, here = (ADDRESS, gateway.port), ("127.0.0.1", gateway.port)
            statuses = [ask(there, **bearer(f"guess{n}"))[0] for n in range(11)]
            assert statuses == [401] * 10 + [429]
            status, headers, _ = ask(there, **bearer(own(gateway)))
            assert (status, 0 < int(headers["retry-after"]) <= 60) == (429, True)
            assert ask(here)[0] == ask(here, **bearer(own(gateway)))[0] == 200
            assert [ask(here, **bearer("guess"))[0] for _ in range(12)] == [401] * 12

    def test_tls(self, tmp_path: Path) -> None:
        """From elsewhere only https is spoken, from here both; sessions and streams work over it."""
        authority = Authority(tmp_path)
        pair = authority.issue("localhost")
        settings = {
            "allow_remote": True,
            "bind_address": "0.0.0.0",
            "tls_cert_path": pair,
            "tls_key_path": pair,
        }
        context = ssl.create_default_context(cafile=authority.file)
        with Gateway(tmp_path, {"notes": server(NOTEBOOK)}, settings=settings) as gateway:
            there, here = (ADDRESS, gateway.port), ("127.0.0.1", gateway.port)
            token = bearer(own(gateway))
            status, _, said = ask(there, **token)
            assert (status, said["error"]) == (400, "from other machines this port speaks https")
            assert ask(there, context=context)[0] == 401
            assert ask(there, context=context, **token)[0] == 200
            assert ask(there, "POST", "/notes/mcp", INITIALIZE, context, **token)[0] == 200
            assert ask(here)[0] == 200
            assert ask(here, context=context)[0] == 200
            assert ask(here, "POST", "/notes/mcp", INITIALIZE)[0] == 200
            assert command(gateway, "status")
            # Whoever breaks off in the middle of a handshake breaks nothing else.
            for piece in (b"\x16", b"\x16\x03\x01\x00", b"\x16garbage that is no handshake"):
                with socket.create_connection(there, timeout=60) as wire:
                    wire.sendall(piece)
            assert ask(there, context=context, **token)[0] == 200


def own(gateway: Gateway) -> str:
    """The token of a gateway's user."""
    return (gateway.home / "auth.token").read_text().strip()
