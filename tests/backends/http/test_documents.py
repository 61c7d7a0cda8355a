"""Documents, tokens and the like: whole answers through treq, over the gateway's own connections."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.documents import fetch
from mcpgateway.errors import BackendError, BackendTimeout, Unreachable
from tests.support.scripted_http import MemoryNet, ScriptedServer

URL = "http://10.0.0.1/token?key=a%20b&secret=%2F"


class Asking:
    """A client and a server."""

    def __init__(self) -> None:
        self.net = MemoryNet()
        self.server: ScriptedServer = self.net.serve()
        self.web = Web(self.net)
        self.found: list[Any] = []

    def fetch(self, method: str = "GET", url: str = URL, **more: Any) -> Deferred[Any]:
        """Send a request; `found` has what comes of it."""
        sent = fetch(
            self.web, method, url, more.pop("headers", {}), more.pop("body", b""), timeout_s=10.0, **more
        )
        sent.addCallbacks(self.found.append, lambda why: self.found.append(why.value))
        return sent

    @property
    def outcome(self) -> Any:
        """The answer, or the error."""
        assert len(self.found) == 1
        return self.found[0]


class SentTests:
    """A request as its server sees it."""

    def test_get(self) -> None:
        """The target is the URL's, byte by byte; nothing is said of compression, and nothing but the given headers."""
        asking = Asking()
        asking.fetch(headers={"Accept": "application/json"})
        asked = asking.server.last
        assert (asked.method, asked.target, asked.body) == ("GET", "/token?key=a%20b&secret=%2F", b"")
        assert asked.headers == {"host": "10.0.0.1", "accept": "application/json"}

    def test_form(self) -> None:
        """A mapping is a form."""
        asking = Asking()
        asking.fetch("POST", body={"grant_type": "a b", "resource": "https://x/?y=1&z"})
        asked = asking.server.last
        assert asked.body == b"grant_type=a+b&resource=https%3A%2F%2Fx%2F%3Fy%3D1%26z"
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert asked.headers["content-length"] == str(len(asked.body))

    def test_bytes(self) -> None:
        """Bytes are sent as they are, with the type that is given."""
        asking = Asking()
        asking.fetch("POST", body=b"{}", headers={"Content-Type": "application/json"})
        asked = asking.server.last
        assert (asked.body, asked.headers["content-type"]) == (b"{}", "application/json")

    def test_no_cookie(self) -> None:
        """A cookie that a server sets is not sent with the next request."""
        asking = Asking()
        for _ in range(2):
            asking.fetch()
            asking.server.last.reply(200, b"{}", Set_Cookie="a=b")
        assert "cookie" not in asking.server.last.headers

    def test_one_connection(self) -> None:
        """Requests that follow each other use one connection, whatever asks."""
        asking = Asking()
        asking.fetch()
        asking.server.last.reply(200, b"{}")
        asking.fetch()
        asking.server.last.reply(200, b"{}")
        assert len(asking.server.wires) == 1

    @pytest.mark.parametrize("value", ["b\r\nC: d", "b\nC: d"])
    def test_header_with_a_break(self, value: str) -> None:
        """A header is never two."""
        asking = Asking()
        asking.fetch(headers={"A": value})
        assert "c" not in asking.server.last.headers


class AnsweredTests:
    """The answer."""

    def test_whole(self) -> None:
        """Status, headers by their names in lower case, repeated ones joined, and the body."""
        asking = Asking()
        asking.fetch()
        asking.server.last.wire.say(
            b"HTTP/1.1 404 No\r\nX-One: 1\r\nx-one: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        answer = asking.outcome
        assert (answer.status, answer.headers[b"x-one"], answer.body) == (404, b"1, 2", b"abcde")

    def test_redirect(self) -> None:
        """A redirect is an answer like others."""
        asking = Asking()
        asking.fetch()
        asking.server.last.reply(302, b"", Location="http://10.0.0.1/elsewhere")
        assert asking.outcome.status == 302
        assert len(asking.server.requests) == 1

    def test_compressed_unasked(self) -> None:
        """A body that is compressed though that was not asked for is not unpacked, however large it would be."""
        asking = Asking()
        asking.fetch()
        packed = gzip.compress(bytes(1_000_000))
        asking.server.last.reply(200, packed, Content_Encoding="gzip")
        assert asking.outcome.body == packed

    def test_too_large(self) -> None:
        """A body beyond the limit ends the connection."""
        asking = Asking()
        asking.fetch(limit=10)
        asking.server.last.reply(200, b"x" * 11)
        assert "larger than 10 bytes" in str(asking.outcome)

    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
    def test_too_late(self, begun: bytes) -> None:
        """An answer that is not whole in time is given up, with its connection."""
        asking = Asking()
        asking.fetch()
        wire = asking.server.last.wire
        if begun:
            wire.say(begun)
        asking.net.advance(10.0)
        assert isinstance(asking.outcome, BackendTimeout)
        assert wire.is_aborted
        assert not [each for each in asking.net.getDelayedCalls() if each.getTime() > 12.0]

    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
    def test_cancelled(self, begun: bytes) -> None:
        """A request that is given up ends its connection."""
        asking = Asking()
        sent = asking.fetch()
        wire = asking.server.last.wire
        if begun:
            wire.say(begun)
        sent.cancel()
        assert isinstance(asking.outcome, CancelledError)
        assert wire.is_aborted

    def test_cut(self) -> None:
        """An answer that is not whole is none; the error names the server and no more of the URL."""
        asking = Asking()
        asking.fetch()
        asking.server.last.wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        asking.server.last.wire.close()
        assert isinstance(asking.outcome, BackendError)
        assert "the connection to 10.0.0.1:80 broke" in str(asking.outcome)
        assert "secret" not in str(asking.outcome)

    @pytest.mark.parametrize(
        ("url", "kind"),
        [
            ("http://10.0.0.1:81/", Unreachable),
            ("ftp://10.0.0.1/", BackendError),
            ("http://", BackendError),
            ("http://[::1/", BackendError),
            ("http://10.0.0.1/a b", BackendError),
        ],
    )
    def test_nowhere(self, url: str, kind: type[BackendError]) -> None:
        """A URL that leads nowhere fails as it does for MCP."""
        asking = Asking()
        asking.fetch(url=url)
        assert isinstance(asking.outcome, kind)
        assert asking.server.requests == []

    def test_named_by_a_public_server(self) -> None:
        """A public server does not send the gateway into the user's network."""
        asking = Asking()
        asking.fetch(named_by="https://93.184.216.34/mcp")
        assert isinstance(asking.outcome, BackendError)
        assert asking.server.requests == []
