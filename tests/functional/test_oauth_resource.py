"""The gateway as a resource of an authorization server: with real keys, over real sockets, and the official client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.test_access import INITIALIZE, NOTEBOOK, ask, bearer
from tests.support.gateway import LIMIT_S, Gateway, eventually, ran, server
from tests.support.issuer import Keys, LiveIssuer

CLIENT = """
import asyncio, sys
from urllib.parse import parse_qsl, urlsplit
import httpx2 as httpx
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

class Storage(TokenStorage):
    tokens = client = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return self.client
    async def set_client_info(self, info): self.client = info

seen = {}
async def redirect(url):
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(url)
    seen.update(parse_qsl(urlsplit(answer.headers["location"]).query))
async def callback():
    return AuthorizationCodeResult(code=seen["code"], state=seen["state"])

async def main(url):
    metadata = OAuthClientMetadata(client_name="c", redirect_uris=["http://127.0.0.1:1/callback"], scope="mcp")
    auth = OAuthClientProvider(url, metadata, Storage(), redirect, callback)
    async with httpx.AsyncClient(auth=auth, timeout=60) as http:
        async with streamable_http_client(url, http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await session.initialize()
                print(sorted(each.name for each in (await session.list_tools()).tools))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def issuer() -> Iterator[LiveIssuer]:
    """An authorization server."""
    with LiveIssuer() as live:
        yield live


def gateway_of(tmp_path: Path, oauth: dict[str, Any]) -> Gateway:
    """A gateway that every client needs a token for."""
    made = Gateway(tmp_path)
    whole = json.loads(
        made.configured({"notes": server(NOTEBOOK)}, {"auth_mcp_transport": "bearer-required"})
    )
    whole["settings"] = {"security": {"oauth": oauth}}
    made.config.write_text(json.dumps(whole))
    return made


class ResourceTests:
    """The gateway as clients see it."""

    def test_tokens(self, tmp_path: Path, issuer: LiveIssuer) -> None:
        """A client is told where to go, and let in with what it gets there; and nothing else is good."""
        oauth = {"issuer": issuer.url, "audience": ["https://mcp.example"], "scopes": ["mcp"]}
        with gateway_of(tmp_path, oauth) as gateway:
            here = ("127.0.0.1", gateway.port)
            host = f"localhost:{gateway.port}"
            status, headers, _ = ask(here, "POST", "/notes/mcp", INITIALIZE, Host=host)
            assert status == 401
            place = f"http://{host}/.well-known/oauth-protected-resource/notes/mcp"
            assert f'resource_metadata="{place}"' in headers["www-authenticate"]
            status, _, found = ask(here, "GET", "/.well-known/oauth-protected-resource/notes/mcp", Host=host)
            assert status == 200
            assert found["resource"] == f"http://{host}/notes/mcp"
            assert found["authorization_servers"] == [issuer.url]
            assert ask(here, "GET", "/.well-known/oauth-authorization-server")[0] == 404
            now = time.time()
            status, headers, _ = ask(here, "POST", "/notes/mcp", INITIALIZE, **bearer(issuer.token(now)))
            assert status == 200
            session = {"Mcp-Session-Id": headers["mcp-session-id"]}
            ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
            again = bearer(issuer.token(now, jti="another"))
            assert ask(here, "POST", "/notes/mcp", ping, **again, **session)[0] == 200
            other = bearer(issuer.token(now, sub="bob"))
            assert ask(here, "POST", "/notes/mcp", ping, **other, **session)[0] == 404
            for token, status, error in (
                (issuer.token(now, aud="https://other.example"), 401, "invalid_token"),
                (issuer.token(now, exp=int(now) - 120), 401, "invalid_token"),
                (Keys("one").sign(issuer.claims(now)), 401, "invalid_token"),
                (issuer.token(now, scope="other"), 403, "insufficient_scope"),
            ):
                refused = ask(here, "POST", "/notes/mcp", INITIALIZE, **bearer(token))
                assert refused[0] == status
                assert f'error="{error}"' in refused[1]["www-authenticate"]
            # Clients use servers, and do not manage.
            assert ask(here, "POST", "/api/gateway/disable", **bearer(issuer.token(now)))[0] == 403
            assert issuer.token(now)[:40] not in gateway.log

    def test_official_client(self, tmp_path: Path, issuer: LiveIssuer) -> None:
        """The official SDK's client finds the authorization server by itself, gets a token there, and is let in."""
        oauth = {"issuer": issuer.url, "audience": ["http://localhost"]}
        program = tmp_path / "client.py"
        program.write_text(CLIENT)
        gateway = gateway_of(tmp_path, oauth)
        with gateway:
            whole = json.loads(gateway.config.read_text())
            whole["settings"]["security"]["oauth"]["audience"] = [f"http://localhost:{gateway.port}"]
            gateway.config.write_text(json.dumps(whole))
            place = f"http://localhost:{gateway.port}/notes/mcp"

            def is_read() -> bool:
                token = issuer.token(time.time(), aud=place)
                return (
                    ask(("127.0.0.1", gateway.port), "POST", "/notes/mcp", INITIALIZE, **bearer(token))[0]
                    == 200
                )

            eventually(is_read, "the audience has changed")
            done = subprocess.run(
                [sys.executable, str(program), place],
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert "add_note" in done.stdout

    def test_away(self, tmp_path: Path, issuer: LiveIssuer) -> None:
        """While the authorization server cannot be asked tokens are refused for now; others are let in as ever."""
        issuer.is_away = True
        oauth = {"issuer": issuer.url, "audience": ["https://mcp.example"]}
        with gateway_of(tmp_path, oauth) as gateway:
            here = ("127.0.0.1", gateway.port)
            token = bearer(issuer.token(time.time()))
            status, headers, _ = ask(here, "POST", "/notes/mcp", INITIALIZE, **token)
            assert status == 503
            assert int(headers["retry-after"]) > 0
            own = (gateway.home / "auth.token").read_text().strip()
            assert ask(here, "POST", "/notes/mcp", INITIALIZE, **bearer(own))[0] == 200

    def test_no_audience(self, tmp_path: Path, issuer: LiveIssuer) -> None:
        """Without an audience the gateway does not start."""
        gateway = gateway_of(tmp_path, {"issuer": issuer.url})
        done = ran(*gateway.argv, cwd=tmp_path)
        assert done.returncode == 1
        assert "has an issuer and no audience" in done.stderr + done.stdout

    def test_nothing_without_an_issuer(self, tmp_path: Path) -> None:
        """Without an issuer nobody is sent looking for one."""
        with gateway_of(tmp_path, {}) as gateway:
            here = ("127.0.0.1", gateway.port)
            headers = ask(here, "POST", "/notes/mcp", INITIALIZE)[1]
            assert headers["www-authenticate"] == 'Bearer realm="mcpgateway"'
            for path in (
                "oauth-protected-resource",
                "oauth-protected-resource/notes/mcp",
                "openid-configuration",
            ):
                assert ask(here, "GET", f"/.well-known/{path}")[0] == 404
