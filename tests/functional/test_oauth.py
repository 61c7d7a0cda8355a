"""Letting the gateway in at a remote server, with the official SDK's authorization server at the other end."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from mcpgateway.backends.oauth import Accounts
from mcpgateway.backends.streamable import Streamable
from mcpgateway.backends.web import Web
from mcpgateway.backends.webanswer import WebAnswer
from mcpgateway.config.model import OAuth, Remote
from mcpgateway.errors import BackendError, GatewayError, NeedsAuthorization
from mcpgateway.host.grants import Grants
from tests.support.gateway import Gateway
from tests.support.talk import Talk

pytestmark = pytest.mark.functional

SERVER = Path(__file__).parent.parent / "servers" / "protected.py"
CALLBACK = "http://127.0.0.1:9100/oauth/callback"
PATIENCE_S = 30.0
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture
def protected() -> Iterator[Callable[..., Remote]]:
    """Starts protected servers; all are stopped in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, settings: OAuth | None = None) -> Remote:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started.append(subprocess.Popen([sys.executable, str(SERVER), str(port), *options]))
        return Remote(f"http://127.0.0.1:{port}/mcp", oauth=settings)

    yield start
    for each in started:
        each.kill()
        each.wait()


class World:
    """A gateway's accounts, in a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.web = Web(reactor)
        self.accounts = Accounts(reactor, lambda: self.web, Grants(str(home)), lambda: CALLBACK)

    async def post(self, remote: Remote, headers: Mapping[str, str]) -> WebAnswer:
        """Begin a session at a server, once it is up."""
        end = reactor.seconds() + PATIENCE_S
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        while True:
            try:
                return await self.web.request(
                    "POST",
                    remote.url,
                    {**usual, **headers},
                    json.dumps(HELLO).encode(),
                    timeout_s=PATIENCE_S,
                )
            except BackendError:
                assert reactor.seconds() < end, "the server did not come up"
                await deferLater(reactor, 0.1)

    async def refused(self, remote: Remote) -> str:
        """Be refused by a server; where its user is to let the gateway in."""
        answer = await self.post(remote, {})
        assert answer.status == 401
        said = answer.headers[b"www-authenticate"].decode()
        with pytest.raises(NeedsAuthorization) as caught:
            await self.accounts.refused(self.accounts.of("s", remote), 401, said, {})
        assert caught.value.data is not None
        return str(caught.value.data["url"])

    async def agree(self, url: str) -> dict[str, str]:
        """Be the user and the browser: say yes; what the browser brings back."""
        answer = await self.web.request("GET", url, {}, timeout_s=PATIENCE_S)
        assert answer.status in (302, 307)
        location = answer.headers[b"location"].decode()
        assert location.startswith(CALLBACK)
        return dict(parse_qsl(urlsplit(location).query))

    async def let_in(self, remote: Remote) -> None:
        """The whole way."""
        query = await self.agree(await self.refused(remote))
        assert await self.accounts.answered(query) == "s"

    def close(self) -> Any:
        """Let go of the connections."""
        return self.web.close()


class WayTests:
    """From the first refusal to a token, and to the next one."""

    @pytest_twisted.ensureDeferred
    async def test_the_whole_way(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """Discovery, registration, the user's yes and the code lead to a token that the server takes."""
        world, remote = World(tmp_path), protected()
        await world.let_in(remote)
        headers = await world.accounts.headers(world.accounts.of("s", remote))
        assert (await world.post(remote, headers)).status == 200
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_backend(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A backend that is refused tells its callers where to let it in; the next one is let in, and used."""
        world, remote = World(tmp_path), protected()
        await world.post(remote, {})

        def make(launch: Any, remote: Remote, receiver: Any) -> Streamable:
            authorizer = world.accounts.authorizer("s", remote)
            return Streamable(reactor, world.web, launch, remote, receiver, authorizer)

        refused = Talk(make, remote)
        with pytest.raises(GatewayError):
            await refused.meet()
        error = refused.ends[0].error
        assert isinstance(error, NeedsAuthorization)
        assert error.data is not None
        await world.accounts.answered(await world.agree(str(error.data["url"])))
        let_in = Talk(make, remote)
        await let_in.meet()
        result = await let_in.call("greet", name="you")
        assert result["content"][0]["text"] == "hello you"
        await let_in.backend.stop()
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_after_a_restart(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """The token is kept where only its user can read it, and another gateway goes on with it."""
        world, remote = World(tmp_path), protected()
        await world.let_in(remote)
        await world.close()
        (kept,) = (tmp_path / "grants").iterdir()
        assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
        later = World(tmp_path)
        headers = await later.accounts.headers(later.accounts.of("s", remote))
        assert (await later.post(remote, headers)).status == 200
        elsewhere = evolve(remote, url=remote.url.replace("/mcp", "/other"))
        assert await later.accounts.headers(later.accounts.of("s", elsewhere)) == {}
        assert await later.accounts.headers(later.accounts.of("another", remote)) == {}
        await later.close()

    @pytest_twisted.ensureDeferred
    async def test_renewing(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A token that is about to end is renewed once, however many want it."""
        world, remote = World(tmp_path), protected("--seconds", "30")  # less than it is renewed early
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        first = account.grant
        many = await gatherResults([world.accounts.headers(account) for _ in range(10)])
        assert all(each == many[0] for each in many)
        assert account.grant is not None
        assert first is not None
        assert account.grant.access_token != first.access_token
        assert (await world.post(remote, many[0])).status == 200
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_refused_with_a_token(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A refusal of a token that seemed good leads to a new one without the user."""
        world, remote = World(tmp_path), protected()
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        used = await world.accounts.headers(account)
        headers = await world.accounts.refused(account, 401, 'Bearer error="invalid_token"', used)
        assert headers != used
        assert (await world.post(remote, headers)).status == 200
        # Whoever was refused with the old one meanwhile takes the new one.
        assert await world.accounts.refused(account, 401, "Bearer", used) == headers
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_renewing_refused(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """Where the token cannot be renewed the user is asked again."""
        world, remote = World(tmp_path), protected()
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        assert account.grant is not None
        account.grant = evolve(account.grant, refresh_token="forged", access_token="forged")
        with pytest.raises(NeedsAuthorization):
            await world.accounts.refused(account, 401, "Bearer", await world.accounts.headers(account))
        assert account.grant is None
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_another_authorization_server(
        self, protected: Callable[..., Remote], tmp_path: Path
    ) -> None:
        """A refresh token is shown to nobody but who gave it, whomever the server names later; the user is asked."""
        settings = OAuth(client_id="static", client_secret="static-secret")
        world, remote = World(tmp_path), protected(settings=settings)
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        given = account.grant
        assert given is not None
        assert given.issuer.rstrip("/") == remote.url.removesuffix("/mcp")
        account.grant = evolve(given, issuer="https://before.example")
        used = await world.accounts.headers(account)
        with pytest.raises(NeedsAuthorization):
            await world.accounts.refused(account, 401, "Bearer", used)
        # It is good once, and still is.
        account.grant = given
        assert await world.accounts.refused(account, 401, "Bearer", used) != used
        kept = [json.loads(each.read_text()) for each in (tmp_path / "grants").iterdir()]
        assert [each["grant"]["issuer"] for each in kept] == [given.issuer]
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_client_of_the_entry(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A client id and secret of the entry are used where nobody is registered; without them the error says so."""
        settings = OAuth(client_id="static", client_secret="static-secret", scopes=("tools",))
        world, remote = World(tmp_path), protected("--without-registration", settings=settings)
        await world.let_in(remote)
        headers = await world.accounts.headers(world.accounts.of("s", remote))
        assert (await world.post(remote, headers)).status == 200
        nobody = evolve(remote, oauth=None)
        with pytest.raises(BackendError, match=r"oauth\.client_id"):
            await world.accounts.refused(world.accounts.of("s", nobody), 401, "Bearer", {})
        assert "static-secret" not in repr(world.accounts.of("s", remote)) + repr(remote)
        await world.close()


class AnswerTests:
    """What comes back with the user's browser is believed once, and only if it was asked for."""

    @pytest_twisted.ensureDeferred
    async def test_strangers(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A state that nobody asked with, a code that was used, and another issuer are refused."""
        world, remote = World(tmp_path), protected()
        url = await world.refused(remote)
        assert await world.refused(remote) == url  # one question, however often it is asked
        assert world.accounts.question("s") == url
        query = await world.agree(url)
        with pytest.raises(NeedsAuthorization, match="no question"):
            await world.accounts.answered({**query, "state": "of nobody"})
        assert await world.accounts.answered(query) == "s"
        with pytest.raises(NeedsAuthorization, match="no question"):
            await world.accounts.answered(query)
        assert world.accounts.question("s") == ""
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_another_issuer(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """An answer that names another authorization server is refused."""
        world, remote = World(tmp_path), protected()
        query = await world.agree(await world.refused(remote))
        with pytest.raises(NeedsAuthorization, match="another authorization server"):
            await world.accounts.answered({**query, "iss": "https://evil.example"})
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_the_user_says_no(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A refusal of the user is told, and the next call asks anew."""
        world, remote = World(tmp_path), protected()
        first = await world.refused(remote)
        state = dict(parse_qsl(urlsplit(first).query))["state"]
        with pytest.raises(NeedsAuthorization, match="access_denied"):
            await world.accounts.answered({"state": state, "error": "access_denied<script>"})
        assert await world.refused(remote) != first
        await world.close()


class GatewayTests:
    """A whole gateway in front of a protected server."""

    @pytest_twisted.ensureDeferred
    async def test_the_whole_way(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A client is told where its user lets the gateway in; once that is done its next try is served."""
        remote = protected()
        await World(tmp_path).post(remote, {})  # it is up
        gateway = Gateway(tmp_path, {"remote": {"url": remote.url}})
        with gateway:
            refusal = await deferToThread(ask, gateway, HELLO)
            told = refusal["error"]["message"]
            assert told.startswith("remote")
            url = re.search(r"http://\S+", told)[0]
            assert refusal["error"]["data"]["url"] == url
            page = await deferToThread(visited, url)
            assert "may use remote now" in page
            for _ in range(10):
                assert "result" in await deferToThread(ask, gateway, HELLO)
            call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
            greeted = await deferToThread(
                ask, gateway, {**call, "params": {"name": "greet", "arguments": {"name": "you"}}}
            )
            assert greeted["result"]["content"][0]["text"] == "hello you"
            (kept,) = (gateway.home / "grants").iterdir()
            token = json.loads(kept.read_text())["grant"]["access_token"]
            assert token not in gateway.log + json.dumps(gateway.health())


def ask(gateway: Gateway, message: Any) -> Any:
    """Send a message to the remote server's endpoint."""
    body = json.dumps(message).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(f"{gateway.url}/remote/mcp", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def visited(url: str) -> str:
    """Be the user and the browser: say yes, and go wherever that leads; the last page."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())
