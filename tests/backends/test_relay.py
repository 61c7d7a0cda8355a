"""Requests that are passed on to a server's own REST API."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.relay import BODY_LIMIT, LIMIT_S, Relayed, RestRelay, Sent
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import BackendError, BackendTimeout, InvalidParams, NotThere, Unreachable
from tests.support.scripted_http import MemoryNet

BASE = "http://10.0.0.1/v1"


def spec(reach: Any = None, rest_url: str = BASE) -> ServerSpec:
    """A server with an API of its own."""
    return ServerSpec("pets", ("run",), {}, "/", reach=reach, rest_url=rest_url)


class Asking:
    """A client that asks, and the service."""

    def __init__(self) -> None:
        self.net = MemoryNet()
        self.service = self.net.serve()
        self.web = Web(self.net)
        self.relay = RestRelay(lambda: self.web, self.net)

    def ask(self, server: ServerSpec, method: str = "GET", path: bytes = b"pets", **more: Any) -> list[Any]:
        """Ask; what comes of it."""
        found: list[Any] = []
        done = Deferred.fromCoroutine(self.relay.pass_on(server, Sent(method, path, **more)))
        done.addCallbacks(found.append, lambda why: found.append(why.value))
        return found


class RelayTests:
    """A request and its answer."""

    def test_there_and_back(self) -> None:
        """Method, path, query, body and headers arrive, without what was said to the gateway; the answer comes back."""
        asking = Asking()
        found = asking.ask(
            spec(),
            "PUT",
            b"pets/7",
            query=b"dry=1",
            headers={b"authorization": b"Bearer ours", b"content-type": b"application/json"},
            body=b"{}",
        )
        asked = asking.service.last
        assert (asked.method, asked.target, asked.body) == ("PUT", "/v1/pets/7?dry=1", b"{}")
        assert "authorization" not in asked.headers
        assert asked.headers["content-type"] == "application/json"
        asked.reply(409, {"code": 7}, Set_Cookie="a=b", X_Total="1")
        answer: Relayed = found[0]
        assert (answer.status, answer.body) == (409, b'{"code": 7}')
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Total"] == "1"
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")

    @pytest.mark.parametrize(
        ("server", "token"),
        [
            (spec(Rest(BASE, {"Authorization": "Bearer its"}), ""), "Bearer its"),
            (spec(Remote("http://10.0.0.1:8000/mcp", headers={"Authorization": "Bearer its"})), "Bearer its"),
            (spec(Remote("http://10.0.0.2/mcp", headers={"Authorization": "Bearer its"})), None),
        ],
    )
    def test_what_its_entry_says(self, server: ServerSpec, token: str | None) -> None:
        """The headers of the entry go to the host that they are for, and to no other."""
        asking = Asking()
        asking.ask(server)
        assert asking.service.last.headers.get("authorization") == token

    def test_nothing_known(self) -> None:
        """A server without such an address is told so, with what to do."""
        found = Asking().ask(spec(rest_url=""))
        assert isinstance(found[0], NotThere)
        assert "rest_url" in found[0].hint

    def test_redirect(self) -> None:
        """No redirect is followed, not even one to the same host."""
        asking = Asking()
        found = asking.ask(spec())
        asking.service.last.reply(302, Location="http://10.0.0.1/v1/other")
        assert isinstance(found[0], BackendError)
        assert "redirect" in found[0].message
        assert len(asking.service.requests) == 1

    @pytest.mark.parametrize("path", [b"../x", b"%2e%2e/x", b"//10.0.0.3/x"])
    def test_elsewhere(self, path: bytes) -> None:
        """A path that leads elsewhere is not sent."""
        asking = Asking()
        assert isinstance(asking.ask(spec(), path=path)[0], InvalidParams)
        assert asking.net.dialled == []

    def test_user_in_url(self) -> None:
        """A name and a password do not belong into a URL."""
        asking = Asking()
        assert isinstance(asking.ask(spec(rest_url="http://me:word@10.0.0.1/"))[0], BackendError)
        assert asking.net.dialled == []

    def test_ourselves(self) -> None:
        """The gateway does not ask itself."""
        asking = Asking()
        asking.net.serve(9100, "127.0.0.1")
        asking.web.own_ports = (9100,)
        found = asking.ask(spec(rest_url="http://127.0.0.1:9100/api/v1"))
        assert isinstance(found[0], BackendError)

    def test_nobody_there(self) -> None:
        """A service that is away is told of."""
        assert isinstance(Asking().ask(spec(rest_url="http://10.0.0.1:81"))[0], Unreachable)

    def test_too_late(self) -> None:
        """The service has so long to answer, and no connection is left behind."""
        asking = Asking()
        found = asking.ask(spec())
        asking.service.last.begin()
        asking.net.advance(LIMIT_S)
        assert isinstance(found[0], BackendTimeout)
        assert asking.service.last.wire.is_closed

    def test_too_much(self) -> None:
        """An answer, and a request, may be so long."""
        asking = Asking()
        found = asking.ask(spec())
        asking.service.last.reply(200, b"x" * (BODY_LIMIT + 1))
        assert isinstance(found[0], BackendError)
        assert isinstance(asking.ask(spec(), "POST", body=b"x" * (BODY_LIMIT + 1))[0], InvalidParams)

    def test_of_a_program(self) -> None:
        """The API of a program is sent the headers of its entry."""
        asking = Asking()
        asking.ask(evolve(spec(), rest_headers={"X-Tenant": "t"}), headers={b"x-tenant": b"other"})
        assert asking.service.last.headers["x-tenant"] == "t"

    def test_head(self) -> None:
        """HEAD has no body, whatever its headers say."""
        asking = Asking()
        found = asking.ask(spec(), "HEAD")
        asking.service.last.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\nETag: x\r\n\r\n")
        assert (found[0].status, found[0].body, found[0].headers["Etag"]) == (200, b"", "x")

    def test_methods(self) -> None:
        """A method that opens a tunnel is none of those passed on."""
        assert isinstance(Asking().ask(spec(), "CONNECT")[0], InvalidParams)
