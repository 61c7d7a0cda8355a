"""A server's own REST API, below the gateway."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from mcpgateway.backends.relay import BODY_LIMIT
from mcpgateway.config.model import ServerSpec, Share
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.scripted_http import ScriptedServer

TOKEN = {"Authorization": "Bearer bearer-token"}
PETS = ServerSpec("pets", ("run",), {}, "/", share=Share.GLOBAL, rest_url="http://10.0.0.1/v1")
GONE = Failure(ConnectionDone())
REST = "/api/v1/servers/pets/rest"


class Stage:
    """A gateway, and the service of one of its servers."""

    def __init__(self) -> None:
        self.gateway = MemoryGateway(more=(PETS,))
        self.service: ScriptedServer = self.gateway.net.serve()

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Client:
        """Ask; the connection that it is answered on."""
        client = self.gateway.client()
        client.send(body, method, path, **{**TOKEN, **headers})
        return client


@pytest.fixture
def stage() -> Stage:
    """A gateway, and a service."""
    return Stage()


class RelayTests:
    """Requests that are passed on."""

    @pytest.mark.parametrize("query", ["", "?a=b"])
    def test_its_root(self, stage: Stage, query: str) -> None:
        """Without a path it is the address of the entry itself."""
        client = stage.ask(f"{REST}/{query}")
        assert stage.service.last.target == f"/v1{query}"
        stage.service.last.reply(200, b"root")
        assert client.heard is not None
        assert client.heard.body == b"root"

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_there_and_back(self, stage: Stage, method: str) -> None:
        """An encoded path stays so, the gateway's token stays here, and the service's own answer comes back."""
        client = stage.ask(
            f"{REST}/a%20b/c?d=%2Fe&f", method, b"body" if method != "GET" else b"", X_Tenant="t"
        )
        asked = stage.service.last
        assert (asked.method, asked.target) == (method, "/v1/a%20b/c?d=%2Fe&f")
        assert "authorization" not in asked.headers
        assert asked.headers["x-tenant"] == "t"
        asked.reply(418, b"<p>", Content_Type="text/html", X_Total="3")
        assert client.heard is not None
        assert (client.heard.status, client.heard.body) == (418, b"<p>")
        assert client.heard.headers["content-type"] == "text/html"
        assert client.heard.headers["x-total"] == "3"
        assert client.heard.headers["content-security-policy"].startswith("sandbox")
        assert client.heard.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("length", ["5", None])
    def test_head(self, stage: Stage, length: str | None) -> None:
        """HEAD is passed on as what it is, and tells the length of what GET would bring, if that is known."""
        client = stage.ask(f"{REST}/a", "HEAD")
        assert stage.service.last.method == "HEAD"
        told = f"Content-Length: {length}\r\n" if length else ""
        stage.service.last.wire.say(f"HTTP/1.1 200 OK\r\n{told}\r\n".encode())
        assert client.heard is not None
        assert (client.heard.status, client.heard.body) == (200, b"")
        assert client.heard.headers.get("content-length") == length

    @pytest.mark.parametrize("status", [204, 304])
    def test_without_a_body(self, stage: Stage, status: int) -> None:
        """An answer that has no body has none here, and the connection goes on."""
        client = stage.ask(f"{REST}/a", If_None_Match='"1"')
        assert stage.service.last.headers["if-none-match"] == '"1"'
        stage.service.last.wire.say(b'HTTP/1.1 %d No\r\nETag: "1"\r\n\r\n' % status)
        assert client.heard is not None
        assert (client.heard.status, client.heard.body, client.heard.headers["etag"]) == (status, b"", '"1"')
        assert client.ask(b"", "GET", "/healthz").status == 200

    def test_a_large_answer(self, stage: Stage) -> None:
        """An answer that is too long is not passed on by halves."""
        client = stage.ask(f"{REST}/a")
        stage.service.last.reply(200, b"x" * (BODY_LIMIT + 1))
        assert client.heard is not None
        assert client.heard.status == 502

    def test_hanging_up(self, stage: Stage) -> None:
        """A client that hangs up takes the request back."""
        client = stage.ask(f"{REST}/a")
        client.channel.connectionLost(GONE)
        assert stage.service.last.wire.is_closed

    def test_needs_the_token(self, stage: Stage) -> None:
        """A caller of the service can do whatever it lets the gateway do, and so needs the token."""
        assert stage.gateway.client().ask(b"", "GET", f"{REST}/a").status == 401
        assert stage.service.requests == []

    @pytest.mark.parametrize(
        "path",
        [
            "..",
            "../x",
            "a/../../x",
            "%2e%2e/x",
            "a/%2e%2e%2fx",
            "%252e%252e/x",
            "a//b",
            "a/%5c..",
            "a%00",
            "a%0d%0ab",
        ],
    )
    def test_elsewhere(self, stage: Stage, path: str) -> None:
        """No spelling of a way up, or out of the line, gets anywhere."""
        client = stage.ask(f"{REST}/{path}")
        assert client.heard is not None
        assert 400 <= client.heard.status < 500
        assert stage.service.requests == []

    def test_nobody(self, stage: Stage) -> None:
        """A server that is not there, one without such an API, and a service that is away are told apart."""
        answers = [stage.ask(f"/api/v1/servers/{name}/rest/a").heard for name in ("nobody", "shared")]
        assert [each.status for each in answers if each is not None] == [404, 404]
        del stage.gateway.net.servers["10.0.0.1", 80]
        gone = stage.ask(f"{REST}/a").heard
        assert gone is not None
        assert gone.status == 502

    def test_redirect(self, stage: Stage) -> None:
        """No redirect is followed, or handed on: it would lead into the gateway's own paths."""
        client = stage.ask(f"{REST}/a")
        stage.service.last.reply(307, Location="/b")
        assert client.heard is not None
        assert client.heard.status == 502
        assert "location" not in client.heard.headers
