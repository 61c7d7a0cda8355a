"""Sign-ins to the dashboard at an authorization server: how long they are open, and how often it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from mcpgateway.backends.http.client import Web
from mcpgateway.config.security import DashboardClient
from mcpgateway.config.security import Issuer as Trusted
from mcpgateway.errors import BackendError, NotEntitled
from mcpgateway.manage.access_tokens import AccessTokens
from mcpgateway.manage.dashboard_sign_ins import AGAIN_S, FRESH_S, OPEN_S, DashboardSignIns
from tests.support.issuer import Issuer
from tests.support.scripted_http import MemoryNet, Request, ScriptedServer

BASE = "http://localhost:9100"


class World:
    """An authorization server, and the gateway's sign-ins there."""

    def __init__(self) -> None:
        self.net = MemoryNet()
        self.issuer = Issuer("http://127.0.0.1:3000")
        self.server: ScriptedServer = self.net.serve(3000, "127.0.0.1")
        self.server.answers["GET"] = self.describe
        self.server.answers["POST"] = lambda request: request.reply(400, {"error": "invalid_grant"})
        client = DashboardClient(client_id="dashboard")
        trusted = Trusted(issuer=self.issuer.url, audience=("https://mcp.example",), dashboard=client)
        tokens = AccessTokens(
            trusted, lambda *_: fail(BackendError("away")), self.net.seconds, lambda _: None
        )
        web = Web(self.net)
        self.sign_ins = DashboardSignIns(self.net, lambda: web, lambda: tokens)

    def describe(self, request: Request) -> None:
        """Answer with the metadata, unless the server is away."""
        found = self.issuer.document(self.issuer.url + request.target)
        request.reply(404 if found is None else 200, b"" if found is None else found)

    def result(self, coroutine: Any) -> Any:
        """The result of a coroutine, or its error."""
        found: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(found.append)
        return getattr(found[0], "value", found[0])

    def begun(self) -> Any:
        """A new sign-in, or the error."""
        return self.result(self.sign_ins.begin(BASE))

    def why(self, state: str, base: str = BASE) -> str:
        """Why an answer is refused."""
        refused = self.result(self.sign_ins.finish(base, {"state": state, "code": "c"}))
        assert isinstance(refused, NotEntitled)
        return refused.message


@pytest.fixture
def world() -> World:
    """An authorization server, and the gateway's sign-ins there."""
    return World()


class TimeTests:
    """Nothing lasts for ever."""

    def test_an_open_sign_in(self, world: World) -> None:
        """An answer is taken within ten minutes, at the address where the sign-in has begun."""
        state = world.begun()["state"]
        world.net.advance(OPEN_S - 1)
        assert "invalid_grant" in world.why(state)  # the authorization server was asked
        assert "no open sign-in" in world.why(state, "https://gateway.example")
        world.net.advance(1)
        assert "came too late" in world.why(state)

    def test_metadata(self, world: World) -> None:
        """The metadata is fetched once in five minutes, for any number of callers; a failure is remembered shortly."""
        for _ in range(20):
            world.begun()
        assert len(world.server.requests) == 1
        world.issuer.is_away = True
        world.net.advance(FRESH_S)
        for _ in range(20):
            assert isinstance(world.begun(), BackendError)
        asked = len(world.server.requests)
        assert asked <= 4  # each possible place of the metadata once
        world.issuer.is_away = False
        assert isinstance(world.begun(), BackendError)
        world.net.advance(AGAIN_S)
        assert world.begun()["issuer"] == world.issuer.url

    def test_a_password(self, world: World) -> None:
        """A user who confirms is asked for the password by the authorization server."""
        again = world.result(world.sign_ins.begin(BASE, again=True))
        assert again["url"].endswith("&prompt=login")
        assert "prompt" not in world.begun()["url"]
