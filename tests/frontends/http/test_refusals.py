"""Refusals of MCP endpoints are JSON-RPC errors, whichever part of the gateway refuses and however early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.frontends.http import channel as channel_module
from mcpgateway.frontends.http.phases import BODY_TICKS, HEAD_TICKS
from mcpgateway.policy.access import AccessPolicy
from tests.support.doors import MemoryTransport, read_answers
from tests.support.gateway_in_memory import MemoryGateway

ENDPOINTS = [b"/shared/mcp", b"/mcp/shared", b"/mcp", b"/mcp/full", b"/sse", b"/shared/messages", b"/"]
HOST = b"Host: localhost:9100\r\n"
JSON = b"Content-Type: application/json\r\n"
PING = b'{"jsonrpc":"2.0","id":7,"method":"ping"}'


def head(*lines: bytes, to: bytes = b"/mcp/full", method: bytes = b"POST", host: bytes = HOST) -> bytes:
    """A request's head, with a blank line at its end."""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, to, host, b"".join(each + b"\r\n" for each in lines))


class Wired:
    """A connection to a gateway whose bodies may have 1000 bytes."""

    def __init__(self, gateway: MemoryGateway | None = None) -> None:
        self.gateway = gateway or MemoryGateway(limits=Limits(body_bytes=1000))
        self.transport = MemoryTransport()
        self.channel = self.gateway.factory.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def said(self, *chunks: bytes, ticks: int = 0) -> tuple[int, dict[bytes, bytes], Any]:
        """The status, headers and body of what is answered to these bytes."""
        for each in chunks:
            self.channel.dataReceived(each)
        for _ in range(ticks):
            self.gateway.factory.sweep()
        answer = read_answers(self.transport.taken)[-1]
        return answer.status, answer.headers, json.loads(answer.body)


def check(said: tuple[int, dict[bytes, bytes], Any], status: int) -> None:
    """The answer is a JSON-RPC error of that status for a request whose id was not read."""
    found, headers, body = said
    assert found == status
    assert headers[b"content-type"] == b"application/json"
    assert (body["jsonrpc"], body["id"]) == ("2.0", None)
    assert isinstance(body["error"]["code"], int)
    assert body["error"]["message"]


REFUSED = {
    "a body that is announced as too long": (413, [head(b"Content-Length: 1001")]),
    "a body that is too long": (413, [head(JSON.strip(), b"Content-Length: 1001") + b" " * 1001]),
    "a chunked body that is too long": (
        413,
        [head(b"Transfer-Encoding: chunked"), b"3e9\r\n" + b" " * 1001 + b"\r\n"],
    ),
    "a length of many digits": (400, [head(b"Content-Length: 99999999999999999999")]),
    "a malformed chunk": (400, [head(b"Transfer-Encoding: chunked"), b"x\r\n"]),
    "two lengths": (400, [head(b"Content-Length: 1", b"Content-Length: 2")]),
    "no host": (400, [head(host=b"")]),
    "a header that is none": (400, [head(b"no colon")]),
    "another host": (403, [head(host=b"Host: evil.example\r\n")]),
    "a strange page": (403, [head(b"Origin: http://evil.example")]),
    "a method of the web": (405, [head(method=b"PUT")]),
    "a method of nobody": (405, [head(method=b"TRACE")]),
    "a tunnel": (405, [head(method=b"CONNECT")]),
    "another type": (415, [head(b"Content-Type: text/plain", b"Content-Length: 2") + b"{}"]),
    "a compressed body": (415, [head(b"Content-Encoding: gzip", b"Content-Length: 1")]),
    "an answer that is an image": (
        406,
        [head(JSON.strip(), b"Accept: image/png", b"Content-Length: 2") + b"{}"],
    ),
    "another expectation": (417, [head(b"Expect: tea", b"Content-Length: 1")]),
    "a long query": (414, [head(to=b"/mcp/full?" + b"a" * 70_000)]),
    "long headers": (431, [head(b"X: " + b"a" * 70_000)]),
    "long headers in pieces": (431, [head(b"X: " + b"a" * 70_000)[:100], b"a" * 70_000]),
    "a body that is no JSON": (400, [head(JSON.strip(), b"Content-Length: 1") + b"x"]),
    "an empty body": (400, [head(JSON.strip(), b"Content-Length: 0")]),
    "an unknown profile": (404, [head(JSON.strip(), b"Content-Length: 2", to=b"/mcp/p/nobody") + b"{}"]),
    "an unknown server": (404, [head(JSON.strip(), b"Content-Length: 2", to=b"/nobody/mcp") + b"{}"]),
    "a slash too many": (404, [head(JSON.strip(), b"Content-Length: 2", to=b"/shared/mcp/") + b"{}"]),
    "a path below the views": (404, [head(JSON.strip(), b"Content-Length: 2", to=b"/mcp/a/b") + b"{}"]),
}


class RefusalTests:
    """Refusals of a `POST` to an MCP endpoint."""

    @pytest.mark.parametrize("name", REFUSED)
    def test_in_json_rpc(self, name: str) -> None:
        """The client of a faulty request gets a JSON-RPC error, whichever part of the gateway notices the fault."""
        status, chunks = REFUSED[name]
        check(Wired().said(*chunks), status)

    @pytest.mark.parametrize("path", ENDPOINTS)
    def test_everywhere(self, path: bytes) -> None:
        """Every endpoint that takes messages says so in the same way, the bare address and the old transport too."""
        check(Wired().said(head(b"Content-Length: 1001", to=path)), 413)
        check(Wired().said(head(b"Content-Length: 1", b"Content-Length: 2", to=path)), 400)

    @pytest.mark.parametrize("sent", [head()[:-10], head(b"Content-Length: 3") + b"{"])
    def test_too_slow(self, sent: bytes) -> None:
        """A request that takes too long to arrive."""
        check(Wired().said(sent, ticks=HEAD_TICKS + BODY_TICKS), 408)

    def test_broken(self) -> None:
        """A fault of the gateway's own has a number, which the log has too."""
        wired = Wired()
        wired.gateway.root._mcp = None  # type: ignore[assignment]  # whatever it is that breaks
        wired.gateway.root.handle = None  # type: ignore[assignment, method-assign]
        said = wired.said(head(JSON.strip(), b"Content-Length: %d" % len(PING)) + PING)
        check(said, 500)
        assert said[2]["error"]["data"]["incident"]

    def test_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the bound a connection is told before anybody knows what it is for."""
        monkeypatch.setattr(channel_module, "CONNECTIONS_LIMIT", 0)
        check(Wired().said(), 503)

    def test_disabled(self) -> None:
        """A gateway that is switched off."""
        wired = Wired()
        wired.gateway.root.switch(True)
        check(wired.said(head(JSON.strip(), b"Content-Length: %d" % len(PING)) + PING), 503)

    def test_without_a_token(self) -> None:
        """Where a token is needed."""
        gateway = MemoryGateway(policy=AccessPolicy(bearer_required=True))
        check(Wired(gateway).said(head(b"Content-Length: 2") + b"{}"), 401)

    def test_not_elsewhere(self) -> None:
        """The control plane keeps its own way to say it."""
        status, _, body = Wired().said(
            head(b"Content-Length: 9999999", b"Authorization: Bearer admin-token", to=b"/start")
        )
        assert (status, type(body["error"])) == (413, str)
        status, _, body = Wired().said(head(to=b"/nothing/here"))
        assert (status, type(body["error"])) == (404, str)
