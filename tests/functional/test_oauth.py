"""Letting the gateway in at a remote server, with the official SDK's authorization server at the other end."""

from __future__ import annotations

import json
import os
import re
import stat
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
from twisted.internet.threads import deferToThread

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.response import WebAnswer
from mcpgateway.backends.oauth.flow import Accounts
from mcpgateway.backends.streamable import Streamable
from mcpgateway.config.reach_settings import OAuth, Remote
from mcpgateway.errors import BackendError, GatewayError, InvalidParams, NeedsAuthorization, NeedsLogin
from mcpgateway.interfaces import OwnAddress
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from tests.support.gateway import Gateway
from tests.support.protected import Protected, agreed, brought, several
from tests.support.talk import Talk

pytestmark = pytest.mark.functional

CALLBACK = "http://127.0.0.1:9100/oauth/callback"
PATIENCE_S = 60.0
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


Start = Callable[..., Protected]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts protected servers; what they were told before is forgotten."""
    with several() as begin:
        yield begin


@pytest.fixture
def protected(start: Start) -> Callable[..., Remote]:
    """Start a protected server; return how the gateway reaches it."""

    def remote(*options: str, kind: str = "sdk", settings: OAuth | None = None) -> Remote:
        return Remote(start(kind, *options).url, oauth=settings)

    return remote


class World:
    """A gateway's accounts, in a home of their own."""

    def __init__(self, home: Path, callback: str = CALLBACK) -> None:
        self.home = home
        self.web = Web(reactor)
        self.accounts = Accounts(
            reactor, lambda: self.web, OAuthTokenFiles(str(home)), lambda: OwnAddress(callback)
        )

    async def post(self, remote: Remote, headers: Mapping[str, str]) -> WebAnswer:
        """Begin a session at a server."""
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return await self.web.request(
            "POST", remote.url, {**usual, **headers}, json.dumps(HELLO).encode(), timeout_s=PATIENCE_S
        )

    async def refused(self, remote: Remote) -> str:
        """Be refused by a server; where its user is to let the gateway in."""
        answer = await self.post(remote, {})
        assert answer.status == 401
        said = answer.headers[b"www-authenticate"].decode()
        with pytest.raises(NeedsLogin) as caught:
            await self.accounts.refused(self.accounts.of("s", remote), 401, said, {})
        assert caught.value.data is not None
        return str(caught.value.data["url"])

    async def agree(self, url: str) -> dict[str, str]:
        """Be the user and the browser: say yes; what the browser brings back."""
        answer = await self.web.request("GET", url, {}, timeout_s=PATIENCE_S)
        assert answer.status in (302, 307)
        location = answer.headers[b"location"].decode()
        assert location.startswith(CALLBACK)
        return brought(location)

    async def let_in(self, remote: Remote) -> None:
        """The whole way."""
        query = await self.agree(await self.refused(remote))
        assert (await self.accounts.answered(query)).account.name == "s"

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
        world, remote = World(tmp_path), protected()
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        assert account.grant is not None
        first = account.grant = evolve(account.grant, renew_at=1.0)
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


PRM = "/.well-known/oauth-protected-resource/mcp"
METADATA = "/.well-known/oauth-authorization-server"


class DiscoveryTests:
    """A first place that is wrong is not the last one that is tried."""

    @pytest.mark.parametrize(
        ("metadata", "pages"), [("/nothing/here", []), ("/page", ["/page"]), ("", [PRM]), ("", [METADATA])]
    )
    @pytest_twisted.ensureDeferred
    async def test_wrong_places(self, start: Start, tmp_path: Path, metadata: str, pages: list[str]) -> None:
        """The search does not end at a 404 or a page in HTML, where the refusal says so or at a usual place."""
        world, server = World(tmp_path), start()
        server.tell(metadata=server.origin + metadata if metadata else "", html=pages)
        await world.let_in(Remote(server.url))
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_server_that_describes_nothing(self, start: Start, tmp_path: Path) -> None:
        """A server of 2025-03-26 is its own authorization server, at the places that the revision names."""
        world, server = World(tmp_path), start("sdk", "--undescribed")
        await world.let_in(Remote(server.url))
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_server_that_is_not_well(self, start: Start, tmp_path: Path) -> None:
        """Where its metadata cannot be had now, nothing is guessed in its place, and nobody is sent anywhere."""
        world, server = World(tmp_path), start()
        server.tell(fail={PRM: [503] * 9, "/.well-known/oauth-protected-resource": [503] * 9})
        account = world.accounts.of("s", Remote(server.url))
        with pytest.raises(BackendError, match="503") as caught:
            await world.accounts.refused(account, 401, "Bearer", {})
        assert not isinstance(caught.value, NeedsAuthorization)
        assert server.asked("POST /register") == 0
        server.tell(fail={})
        await world.let_in(Remote(server.url))
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_server_without_one(self, start: Start, tmp_path: Path) -> None:
        """A server that wants a token and says nowhere whose is no place to sign in at; the hint says what helps."""
        world, server = World(tmp_path), start("sdk", "--undescribed")
        server.tell(gone=["/register", "/authorize", "/token"])
        account = world.accounts.of("s", Remote(server.url))
        with pytest.raises(NeedsAuthorization, match="nothing says where") as caught:
            await world.accounts.refused(account, 401, "Bearer", {})
        assert not isinstance(caught.value, NeedsLogin)
        assert "Authorization" in caught.value.hint
        await world.close()


class RegistrationTests:
    """The gateway as a client of an authorization server."""

    @pytest_twisted.ensureDeferred
    async def test_forgotten_before_a_sign_in(self, start: Start, tmp_path: Path) -> None:
        """A registration that is known no more is made anew, once, before a user is sent anywhere."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        first = await world.refused(remote)
        await world.close()
        server.tell(forget=True)
        later = World(tmp_path)
        url = await later.refused(remote)
        assert brought(url)["client_id"] != brought(first)["client_id"]
        assert len(server.clients()) == 1
        assert (await later.accounts.answered(await later.agree(url))).account.name == "s"
        await later.close()

    @pytest_twisted.ensureDeferred
    async def test_kept(self, start: Start, tmp_path: Path) -> None:
        """A registration that is known is used again, by another gateway too, while browsers come back to the
        same place.
        """
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        first = await world.refused(remote)
        await world.close()
        later = World(tmp_path)
        again = await later.refused(remote)
        assert brought(again)["client_id"] == brought(first)["client_id"]
        assert brought(again)["state"] != brought(first)["state"]
        await later.close()
        elsewhere = World(tmp_path, "http://127.0.0.1:9999/oauth/callback")
        await elsewhere.refused(remote)
        assert {each["redirect"] for each in server.clients()} == {
            CALLBACK,
            "http://127.0.0.1:9999/oauth/callback",
        }
        await elsewhere.close()

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    @pytest_twisted.ensureDeferred
    async def test_forgotten_before_a_renewal(self, start: Start, tmp_path: Path, kind: str) -> None:
        """Where a token cannot be renewed because the client is known no more, its user signs in with a new one."""
        world, server = World(tmp_path), start(kind)
        remote = Remote(server.url)
        await world.let_in(remote)
        (former,) = server.clients()
        server.tell(forget=True)
        account = world.accounts.of("s", remote)
        used = await world.accounts.headers(account)
        with pytest.raises(NeedsLogin) as caught:
            await world.accounts.refused(account, 401, "Bearer", used)
        (made,) = server.clients()
        assert made["id"] != former["id"]
        assert caught.value.data is not None
        await world.accounts.answered(await world.agree(str(caught.value.data["url"])))
        assert (await world.post(remote, await world.accounts.headers(account))).status == 200
        await world.close()

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    @pytest_twisted.ensureDeferred
    async def test_scopes(self, start: Start, tmp_path: Path, kind: str) -> None:
        """The registration names the scopes that will be asked for, those of refresh tokens among them."""
        world, server = World(tmp_path), start(kind)
        url = await world.refused(Remote(server.url))
        (made,) = server.clients()
        assert set(brought(url)["scope"].split()) <= set(made["scope"].split())
        assert ("offline_access" in made["scope"].split()) is (kind == "authlib")
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_stepping_up(self, start: Start, tmp_path: Path) -> None:
        """A scope that the registration does not have is registered anew, and granted on top of what was."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        used = await world.accounts.headers(account)
        said = 'Bearer error="insufficient_scope", scope="more"'
        with pytest.raises(NeedsLogin) as caught:
            await world.accounts.refused(account, 403, said, used)
        assert caught.value.data is not None
        url = str(caught.value.data["url"])
        assert brought(url)["scope"] == "tools more"
        assert "tools more" in [each["scope"] for each in server.clients()]
        await world.accounts.answered(await world.agree(url))
        assert account.grant is not None
        assert account.grant.scope == "tools more"
        # What was granted and is refused all the same cannot be had by signing in.
        with pytest.raises(NeedsAuthorization, match="refuses the scope more") as refused:
            await world.accounts.refused(account, 403, said, await world.accounts.headers(account))
        assert not isinstance(refused.value, NeedsLogin)
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_not_beyond_its_entry(self, start: Start, tmp_path: Path) -> None:
        """A scope that the entry does not name is not asked for; the hint says where to add it."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url, oauth=OAuth(scopes=("tools",)))
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        used = await world.accounts.headers(account)
        with pytest.raises(NeedsAuthorization, match="more") as caught:
            await world.accounts.refused(
                account, 403, 'Bearer error="insufficient_scope", scope="more"', used
            )
        assert not isinstance(caught.value, NeedsLogin)
        assert "oauth.scopes" in caught.value.hint
        await world.close()


class RenewalTests:
    """A token is renewed when that is needed, and kept while it cannot be."""

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    @pytest_twisted.ensureDeferred
    async def test_a_token_endpoint_that_is_not_well(self, start: Start, tmp_path: Path, kind: str) -> None:
        """The token endpoint is asked again, and no user has to sign in because of it."""
        world, server = World(tmp_path), start(kind)
        remote = Remote(server.url)
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        used = await world.accounts.headers(account)
        server.tell(fail={"/token": [503]})
        headers = await world.accounts.refused(account, 401, "Bearer", used)
        assert headers != used
        assert (await world.post(remote, headers)).status == 200
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_token_endpoint_that_stays_away(self, start: Start, tmp_path: Path) -> None:
        """The refresh token is kept for later, and the endpoint is left alone for a while."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        used, given = await world.accounts.headers(account), account.grant
        server.tell(fail={"/token": [503] * 50})
        with pytest.raises(BackendError, match="503") as caught:
            await world.accounts.refused(account, 401, "Bearer", used)
        assert not isinstance(caught.value, NeedsAuthorization)
        asked = server.asked("POST /token")
        with pytest.raises(BackendError, match="503"):
            await world.accounts.refused(account, 401, "Bearer", used)
        assert server.asked("POST /token") == asked
        assert account.grant == given
        server.tell(fail={})
        account.rests_until = 0.0
        assert await world.accounts.refused(account, 401, "Bearer", used) != used
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_a_code_that_meets_it(self, start: Start, tmp_path: Path) -> None:
        """A code is brought again while the endpoint is not well; its user does not begin anew."""
        world, server = World(tmp_path), start()
        query = await world.agree(await world.refused(Remote(server.url)))
        server.tell(fail={"/token": [503, 502]})
        assert (await world.accounts.answered(query)).account.name == "s"
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_short_lives(self, start: Start, tmp_path: Path) -> None:
        """A token that lasts for a minute or less is used for most of that, and not renewed before each request."""
        world, server = World(tmp_path), start("sdk", "--seconds", "30")
        remote = Remote(server.url)
        await world.let_in(remote)
        before = server.asked("POST /token")
        for _ in range(5):
            headers = await world.accounts.headers(world.accounts.of("s", remote))
            assert (await world.post(remote, headers)).status == 200
        assert server.asked("POST /token") == before
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_beside_the_gateway(self, start: Start, tmp_path: Path) -> None:
        """A program that renews a token takes it from nobody: the gateway goes on with what it finds on disk."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        await world.let_in(remote)
        beside = World(tmp_path)
        theirs, ours = beside.accounts.of("s", remote), world.accounts.of("s", remote)
        used = await beside.accounts.headers(theirs)
        assert await beside.accounts.refused(theirs, 401, "Bearer", used) != used
        found = await world.accounts.refused(ours, 401, "Bearer", used)
        assert found == await beside.accounts.headers(theirs)
        assert (await world.post(remote, found)).status == 200
        await gatherResults([world.close(), beside.close()])

    @pytest_twisted.ensureDeferred
    async def test_a_new_token_that_is_refused(self, start: Start, tmp_path: Path) -> None:
        """A server that refuses the token in the place of a refused one wants its user, not the next token."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        await world.let_in(remote)
        account = world.accounts.of("s", remote)
        used = await world.accounts.headers(account)
        with pytest.raises(NeedsLogin):
            await world.accounts.refused(account, 401, "Bearer", used, again=True)
        assert server.asked("POST /token") == 1
        await world.close()


class AnswerTests:
    """The answer that comes with the user's browser is believed once, and only if it was asked for."""

    @pytest_twisted.ensureDeferred
    async def test_strangers(self, protected: Callable[..., Remote], tmp_path: Path) -> None:
        """A state that nobody asked with, a code that was used, and another issuer are refused."""
        world, remote = World(tmp_path), protected()
        url = await world.refused(remote)
        assert await world.refused(remote) == url  # one question, however often it is asked
        account = world.accounts.of("s", remote)
        asked = world.accounts.question(account)
        assert asked is not None
        assert asked.data is not None
        assert asked.data["url"] == url
        query = await world.agree(url)
        with pytest.raises(NeedsAuthorization, match="no question"):
            await world.accounts.answered({**query, "state": "of nobody"})
        assert (await world.accounts.answered(query)).account.name == "s"
        with pytest.raises(NeedsAuthorization, match="no question"):
            await world.accounts.answered(query)
        assert world.accounts.question(account) is None
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


class PrincipalTests:
    """Grants belong to whoever signed in, and nobody finishes what another has begun."""

    async def begun(self, world: World, remote: Remote, owner: str) -> str:
        """Begin somebody's sign-in; where."""
        with pytest.raises(NeedsLogin) as caught:
            await world.accounts.refused(world.accounts.of("s", remote, owner), 401, "Bearer", {})
        return caught.value.url

    async def signed_in(self, world: World, remote: Remote, owner: str, user: str) -> dict[str, str]:
        """Sign a user in; the headers that its requests carry then."""
        location = agreed(await self.begun(world, remote, owner), user)
        held = await world.accounts.answered(brought(location))
        await world.accounts.agreed(held.key)
        return dict(await world.accounts.headers(world.accounts.of("s", remote, owner)))

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    @pytest_twisted.ensureDeferred
    async def test_apart(self, start: Start, tmp_path: Path, kind: str) -> None:
        """Each has a token of its own, kept in a file of its own; the gateway registers once for all of them."""
        world, server = World(tmp_path), start(kind)
        remote = Remote(server.url)
        ann = await self.signed_in(world, remote, "agent ann", "ann")
        bob = await self.signed_in(world, remote, "agent bob", "bob")
        assert ann != bob
        assert await world.accounts.headers(world.accounts.of("s", remote)) == {}
        assert await world.accounts.headers(world.accounts.of("s", remote, "agent eve")) == {}
        assert len(server.clients()) == 1
        assert len(list((tmp_path / "grants").iterdir())) == 3
        await world.close()
        later = World(tmp_path)
        assert await later.accounts.headers(later.accounts.of("s", remote, "agent bob")) == bob
        await later.close()

    @pytest_twisted.ensureDeferred
    async def test_another_client(self, start: Start, tmp_path: Path) -> None:
        """A token is renewed as the client that it was given to, whatever another has had registered since."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        used = await self.signed_in(world, remote, "agent ann", "ann")
        bob = world.accounts.of("s", remote, "agent bob")
        said = 'Bearer error="insufficient_scope", scope="more"'
        with pytest.raises(NeedsLogin):  # which registers anew
            await world.accounts.refused(bob, 401, said, {})
        assert len(server.clients()) == 2
        ann = world.accounts.of("s", remote, "agent ann")
        assert await world.accounts.refused(ann, 401, "Bearer", used) != used
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_finished_by_another(self, start: Start, tmp_path: Path) -> None:
        """A browser that comes back is asked first for whom that is; nothing is granted until its user agrees."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        url = await self.begun(world, remote, "agent ann")
        held = await world.accounts.answered(brought(agreed(url, "victim")))
        assert (held.account.owner, bool(held.key)) == ("agent ann", True)
        assert await world.accounts.headers(world.accounts.of("s", remote, "agent ann")) == {}
        assert server.asked("POST /token") == 0
        for key in ("", "guessed", brought(url)["state"]):
            with pytest.raises(NeedsAuthorization, match="no question"):
                await world.accounts.agreed(key)
        await world.accounts.agreed(held.key)
        with pytest.raises(NeedsAuthorization, match="no question"):
            await world.accounts.agreed(held.key)
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_pasted_by_another(self, start: Start, tmp_path: Path) -> None:
        """The answer to one user is of no use to another, neither whole nor the code alone."""
        world, server = World(tmp_path), start()
        remote = Remote(server.url)
        location = agreed(await self.begun(world, remote, "agent ann"), "ann")
        await self.begun(world, remote, "agent bob")
        bob = world.accounts.of("s", remote, "agent bob")
        with pytest.raises(InvalidParams, match="another sign-in"):
            await world.accounts.pasted(bob, location)
        with pytest.raises(BackendError, match="invalid_grant"):  # the code is bound to ann's verifier
            await world.accounts.pasted(bob, brought(location)["code"])
        assert bob.grant is None
        with pytest.raises(NeedsAuthorization, match="no sign-in is open"):
            await world.accounts.pasted(world.accounts.of("s", remote, "agent eve"), location)
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_at_another_server(self, start: Start, tmp_path: Path) -> None:
        """An answer of one authorization server is not taken to another, though one principal asked both."""
        world, one, two = World(tmp_path), start("sdk"), start("authlib")
        first, second = Remote(one.url), Remote(two.url)
        url = await self.begun(world, first, "")
        account = world.accounts.of("t", second)
        with pytest.raises(NeedsLogin) as caught:
            await world.accounts.refused(account, 401, "Bearer", {})
        other = brought(agreed(caught.value.url))
        mixed = {**other, "state": brought(url)["state"]}
        with pytest.raises(NeedsAuthorization, match="another authorization server"):
            await world.accounts.answered(mixed)
        assert one.asked("POST /token") == 0
        await world.close()

    @pytest_twisted.ensureDeferred
    async def test_signing_out(self, start: Start, tmp_path: Path) -> None:
        """A user who signs out does so alone."""
        world, server = World(tmp_path), start("authlib")
        remote = Remote(server.url)
        await self.signed_in(world, remote, "agent ann", "ann")
        bob = await self.signed_in(world, remote, "agent bob", "bob")
        ann = world.accounts.of("s", remote, "agent ann")
        done = await world.accounts.forget(ann, registration=False)
        assert (done.was_granted, done.revoked) == (True, True)
        assert await world.accounts.headers(ann) == {}
        assert (await world.post(remote, bob)).status == 200
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
            refusal = await deferToThread(ask, gateway, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
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
