from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcpgateway.frontends.http.web_request import WebChannel, render
from tests.support.doors import MemoryTransport, Wire


@implementer(IPushProducer)
class Pusher:
    """Writes when it is resumed."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class Page(Resource):
    """Answers each path in another way."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.ends: list[Any] = []

    def render_GET(self, request: Any) -> Any:
        self.requests.append(request)
        finished: Deferred[None] = request.notifyFinish()
        finished.addBoth(self.ends.append)
        if request.path == b"/whole":
            return b"whole"
        if request.path == b"/parts":
            request.write(b"one ")
            request.write(b"two")
            request.finish()
        if request.path == b"/broken":
            raise ZeroDivisionError
        if request.path == b"/nothing":
            request.setResponseCode(204)
            return b""
        return NOT_DONE_YET

    def render_POST(self, request: Any) -> bytes:
        self.requests.append(request)
        return b"%r %b" % (request.args, request.content.read())


class WebDoor:
    """Hands everything to a site."""

    def __init__(self) -> None:
        self.page = Page()
        self.site = Site(self.page, parsePOSTFormSubmission=False)

    def opened(self, exchange: Any) -> int:
        return 1000

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        return why.encode()

    def handle(self, exchange: Any) -> None:
        render(exchange, self.site)


def web_wire(*, reads: bool = True) -> Wire:
    return Wire(WebDoor(), MemoryTransport(reads=reads))


def get(path: bytes, *, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"%b %b HTTP/%b\r\nHost: localhost:9100\r\nCookie: a=b\r\n\r\n" % (method, path, version)


class WebRequestTests:
    def test_is_answered(self) -> None:
        """A resource sees a real request, and its answer reaches the client."""
        wire = web_wire()
        wire.send(get(b"/whole?a=b&a=c"))
        request = wire.door.page.requests[0]
        assert wire.answers[0].body == b"whole"
        assert b"server" not in wire.answers[0].headers
        assert request.uri == b"/whole?a=b&a=c"
        assert request.args == {b"a": [b"b", b"c"]}
        assert request.getCookie(b"a") == b"b"
        assert request.getRequestHostname() == b"localhost"
        assert request.getClientAddress() == wire.transport.getPeer()
        assert request.getHost() == wire.transport.getHost()
        assert not request.isSecure()
        assert wire.door.page.ends == [None]

    def test_keeps_the_connection_and_the_order(self) -> None:
        """Pipelined requests are answered one after the other on one connection."""
        wire = web_wire()
        wire.send(get(b"/later") + get(b"/parts") + get(b"/nothing") + get(b"/whole"))
        assert len(wire.door.page.requests) == 1
        wire.door.page.requests[0].write(b"late")
        wire.door.page.requests[0].finish()
        assert [(each.status, each.body) for each in wire.answers] == [
            (200, b"late"),
            (200, b"one two"),
            (204, b""),
            (200, b"whole"),
        ]
        assert not wire.transport.is_closing

    def test_writes_chunks(self) -> None:
        """An answer of unknown length is chunked in HTTP/1.1 and ends the connection in HTTP/1.0."""
        for version, framing in ((b"1.1", b"transfer-encoding"), (b"1.0", b"connection")):
            wire = web_wire()
            wire.send(get(b"/parts", version=version))
            assert wire.answers[0].body == b"one two"
            assert framing in wire.answers[0].headers
            assert wire.transport.is_closing is (version == b"1.0")

    def test_answers_head(self) -> None:
        """HEAD gets the head of what GET would get, and the connection goes on."""
        wire = web_wire()
        wire.send(get(b"/whole", method=b"HEAD"))
        assert wire.transport.taken.endswith(b"\r\n\r\n")
        assert b"Content-Length: 5\r\n" in wire.transport.taken
        before = len(wire.transport.taken)
        wire.send(get(b"/whole"))
        assert wire.transport.taken[before:].endswith(b"whole")

    def test_never_parses_a_form(self) -> None:
        """A form is a body like any other, and is read by who wants it."""
        wire = web_wire()
        form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nx=y"
        wire.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + form)
        assert wire.answers[0].body == b"{} x=y"

    def test_tells_of_a_disconnect(self) -> None:
        """A request hears that its client has gone, and may then say what it likes."""
        wire = web_wire()
        wire.send(get(b"/later"))
        wire.hang_up()
        assert wire.door.page.ends[0].check(ConnectionDone)
        wire.door.page.requests[0].write(b"too late")
        assert wire.transport.taken == b""

    def test_hides_a_broken_resource(self) -> None:
        """A resource that raises is answered with 500, without its traceback."""
        wire = web_wire()
        wire.send(get(b"/broken") + get(b"/whole"))
        assert wire.statuses == [500, 200]
        assert b"ZeroDivision" not in wire.transport.taken

    def test_closes_when_asked(self) -> None:
        """A request may ask for the end of the connection, or cut it."""
        wire = web_wire()
        wire.send(get(b"/later"))
        wire.door.page.requests[0].loseConnection()
        wire.door.page.requests[0].finish()
        assert wire.transport.is_closing
        wire = web_wire()
        wire.send(get(b"/later"))
        wire.door.page.requests[0].channel.abortConnection()
        assert wire.transport.is_aborted


class ProducerTests:
    def test_pushes_at_the_speed_of_the_client(self) -> None:
        """A push producer is paused while the client does not read."""
        wire = web_wire(reads=False)
        wire.send(get(b"/later"))
        request = wire.door.page.requests[0]
        pusher = Pusher(request)
        request.registerProducer(pusher, True)
        request.write(b"x" * 100_000)
        assert pusher.calls == ["pause"]
        wire.transport.read()
        assert pusher.calls == ["pause", "resume"]
        request.unregisterProducer()
        request.finish()
        wire.transport.read()
        assert wire.answers[0].body == b"x" * 100_000

    def test_a_second_producer_is_a_mistake(self) -> None:
        """A request has one producer at a time."""
        wire = web_wire()
        wire.send(get(b"/later"))
        channel = wire.door.page.requests[0].channel
        channel.registerProducer(Pusher(None), True)
        with pytest.raises(RuntimeError):
            channel.registerProducer(Pusher(None), True)

    def test_stops_when_the_client_goes(self) -> None:
        """A producer of an answer that nobody gets is stopped."""
        wire = web_wire()
        wire.send(get(b"/later"))
        pusher = Pusher(wire.door.page.requests[0])
        wire.door.page.requests[0].registerProducer(pusher, True)
        wire.hang_up()
        assert pusher.calls == ["stop"]


class ContractTests:
    def test_provides_the_interfaces(self) -> None:
        """The adapter is a transport and a consumer, as HTTPChannel is."""
        wire = web_wire()
        wire.send(get(b"/later"))
        channel = wire.door.page.requests[0].channel
        assert isinstance(channel, WebChannel)
        verifyObject(ITransport, channel)
        verifyObject(IConsumer, channel)

    def test_has_what_a_request_asks_of_its_channel(self) -> None:
        """Every member of its channel that twisted.web's request uses is there."""
        import inspect
        import re

        from twisted.web import http, server

        used = set()
        for kind in (http.Request, server.Request):
            used |= set(re.findall(r"self\.channel\.(\w+)", inspect.getsource(kind)))
        used |= set(re.findall(r"(?<!self\.)\bchannel\.(\w+)", inspect.getsource(http.Request)))
        assert "writeHeaders" in used
        assert used - set(dir(WebChannel)) - {"site", "transport"} == set()

    def test_answers_what_twisted_web_calls_bad(self) -> None:
        """A request that twisted.web gives up on is answered with 400, and the connection ends."""
        wire = web_wire()
        wire.send(get(b"/later"))
        wire.door.page.requests[0].channel._respondToBadRequestAndDisconnect()
        assert wire.statuses == [400]
        assert wire.transport.is_closing

    def test_loads_twisted_web_late(self) -> None:
        """A gateway whose clients speak MCP only does not load twisted.web."""
        code = "import sys, mcpgateway.frontends.http.channel as c; sys.exit('twisted.web' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
