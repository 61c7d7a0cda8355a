"""HTTP+SSE: one stream, an endpoint that is named on it, and how it is found out that a server speaks it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.backends.http import event_stream
from mcpgateway.backends.http.client import Web
from mcpgateway.backends.legacy_sse import ENDPOINT_S, POST_S, QUEUE_LIMIT, GuessedTransport, SseConnection
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import BackendGone, NeedsAuthorization, Overloaded
from mcpgateway.protocol.versions import Era
from tests.backends.test_streamable import HELLO, SESSION, Far
from tests.support.scripted_http import MemoryNet, Request
from tests.support.talk import Talk

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


class Old(Far):
    """A server of 2024-11-05 on memory ends.

    :ivar stream: its stream, once it has been asked for.
    """

    def __init__(self, *, kind: Any = SseConnection, era: Era = Era.LEGACY, **remote: Any) -> None:
        self.net = MemoryNet()
        self.server = self.net.serve()
        self.web = Web(self.net)
        self.found: list[Any] = []
        self.server.answers = {
            "GET": self.endpoint,
            "initialize": lambda asked: self.say(asked, HELLO),
            "notifications/initialized": lambda asked: asked.reply(202, b"Accepted"),
        }
        self.where = "/messages?session_id=s1"

        def make(launch: Any, remote: Any, receiver: Any) -> Any:
            return kind(self.net, self.web, launch, remote, receiver)

        Talk.__init__(self, make, Remote("http://10.0.0.1/sse?key=secret", **remote), era)

    @property
    def stream(self) -> Request:
        """Return the server's stream."""
        return self.server.asked("GET")[-1]

    def endpoint(self, asked: Request) -> None:
        """Begin the stream, and say where messages go."""
        asked.begin()
        asked.event(text=self.where, event="endpoint")

    def say(self, asked: Request, result: Any) -> None:
        """Take a request, and answer it on the stream."""
        asked.reply(202, b"Accepted")
        self.stream.event({"jsonrpc": "2.0", "id": asked.json["id"], "result": result}, event="message")


class SpeakingTests:
    """A session."""

    def test_session(self) -> None:
        """The backend sends nothing before the first message, which waits for the endpoint; answers come on
        the stream.
        """
        old = Old(headers={"Authorization": "Bearer token"})
        assert old.net.dialled == []
        old.met()
        first, second, third = old.server.requests
        assert (first.method, first.target, first.headers["accept"]) == (
            "GET",
            "/sse?key=secret",
            "text/event-stream",
        )
        assert (second.method, second.target) == ("POST", "/messages?session_id=s1")
        assert third.json["method"] == "notifications/initialized"
        assert {each.headers["authorization"] for each in old.server.requests} == {"Bearer token"}
        old.say(old.begin(), {"a": 1})
        old.stream.event({"jsonrpc": "2.0", "method": "notifications/x"})
        old.stream.event({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
        assert old.found == [{"a": 1}]
        assert old.methods() == ["notifications/x", "roots/list"]
        assert old.server.last.json["result"] == {"roots": []}

    @pytest.mark.parametrize(
        ("where", "target"),
        [
            ("http://10.0.0.1/m?s=1", "/m?s=1"),
            ("http://10.0.0.1:80/m", "/m"),
            ("m/2", "/m/2"),
            ("?session=3", "/sse?session=3"),
        ],
    )
    def test_endpoints(self, where: str, target: str) -> None:
        """The endpoint is absolute, or relative to the stream's URL."""
        old = Old()
        old.where = where
        old.met()
        assert old.server.requests[1].target == target

    @pytest.mark.parametrize(
        "where", ["http://10.0.0.2/m", "https://10.0.0.1/m", "//evil/m", "http://10.0.0.1:81/"]
    )
    def test_endpoint_elsewhere(self, where: str) -> None:
        """An endpoint at another origin is refused: the gateway's credentials would go there."""
        old = Old()
        old.where = where
        old.met()
        assert old.end.startswith("its endpoint leads to ")
        assert "which is not http://10.0.0.1:80" in old.end
        assert len(old.server.requests) == 1

    def test_only_one_endpoint(self) -> None:
        """Where messages go is said once."""
        old = Old().met()
        old.stream.event(text="/elsewhere", event="endpoint")
        assert old.begin().target == "/messages?session_id=s1"

    def test_answer_in_place(self) -> None:
        """Some servers answer a POST itself; that is taken too, and other words are not."""
        old = Old().met()
        old.begin().result({"a": 1})
        asked = old.begin()
        asked.reply(200, b'{"status":"accepted"}')
        old.stream.event({"jsonrpc": "2.0", "id": asked.json["id"], "result": {"b": 2}})
        assert old.found == [{"a": 1}, {"b": 2}]
        assert old.lines.strays == 0

    @pytest.mark.parametrize(
        "answer",
        [
            '{{"jsonrpc": "2.0", "id": {}, "result": {{"a": "{}"}}}}',
            '{{"result": {{"a": "{1}"}}, "jsonrpc": "2.0", "id": {0}}}',
        ],
    )
    def test_an_answer_that_is_too_long(self, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer that is too long fails its own call, and the calls of others go on."""
        monkeypatch.setattr(event_stream, "EVENT_LIMIT", 10_000)
        old = Old().met()
        long, other = old.begin(), old.begin()
        for asked in (long, other):
            asked.reply(202, b"Accepted")
        event = f"data: {answer.format(long.json['id'], 'x' * 20_000)}\n\n".encode()
        for piece in (event[:15_000], event[15_000:]):
            old.stream.wire.say(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert "sent an answer of more than" in str(old.found[0])
        old.stream.event({"jsonrpc": "2.0", "id": other.json["id"], "result": {"b": 2}})
        assert old.found[1:] == [{"b": 2}]
        assert old.ends == []

    def test_something_else_that_is_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nobody can say whose it is the session is lost."""
        monkeypatch.setattr(event_stream, "EVENT_LIMIT", 10_000)
        old = Old().met()
        for piece in (b'data: {"x":"' + b"x" * 20_000, b'"}\n\n'):
            old.stream.wire.say(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert "an event has more than" in old.end

    def test_modern(self) -> None:
        """The transport has no revision of the modern era, and the server need not be asked for that."""
        old = Old(era=Era.MODERN)
        greeting = old.meet()
        greeting.addErrback(old.found.append)
        old.net.advance(0)
        assert "Method not found" in str(old.found[0].value)
        assert old.net.dialled == []


class LossTests:
    """Losses of streams, sessions and requests."""

    @pytest.mark.parametrize("is_cut", [False, True])
    def test_stream_lost(self, *, is_cut: bool) -> None:
        """With the stream the session is lost, and every call under way."""
        old = Old().met()
        old.begin().reply(202)
        if is_cut:
            old.stream.cut()
        else:
            old.stream.finish()
        assert isinstance(old.found[0], BackendGone)
        assert len(old.ends) == 1
        with pytest.raises(BackendGone):
            old.backend.write(INITIALIZED)

    def test_forgotten(self) -> None:
        """A POST that finds no session means that there is none."""
        old = Old().met()
        old.begin().reply(404)
        assert old.end == "the server does not know its session any more"

    @pytest.mark.parametrize("status", [400, 413, 500])
    def test_refused(self, status: int) -> None:
        """A request that is not taken is answered in its place."""
        old = Old().met()
        old.begin().reply(status, b"<html>secret</html>")
        assert old.found[0]["message"] == f"far: it answers with HTTP {status}"
        assert old.ends == []

    def test_locked_out(self) -> None:
        """A request that is refused with 401 is answered, and the connection ends: the server needs a login."""
        old = Old().met()
        old.begin().reply(401)
        assert "it wants an authorization" in old.found[0]["message"]
        assert isinstance(old.ends[0].error, NeedsAuthorization)

    def test_not_sent(self) -> None:
        """A request that does not get through, or is not taken in time, is answered in its place, too."""
        old = Old().met()
        old.begin().cut()
        old.send()
        old.net.advance(POST_S)
        assert [each["code"] for each in old.found] == [-32603, -32001]
        assert old.ends == []

    @pytest.mark.parametrize(
        ("status", "end", "is_unreachable"),
        [
            (200, "it does not answer with an event stream", False),
            (404, "it answers with HTTP 404", False),
            (401, "it wants an authorization that the gateway does not have (HTTP 401)", False),
            (503, "it answers with HTTP 503", True),
        ],
    )
    def test_no_stream(self, status: int, end: str, *, is_unreachable: bool) -> None:
        """Without a stream there is nothing."""
        old = Old().answers("GET", lambda asked: asked.reply(status, b"hello")).met()
        assert old.end == end
        assert old.ends[0].is_unreachable is is_unreachable
        assert isinstance(old.ends[0].error, NeedsAuthorization) is (status == 401)

    def test_unreachable(self) -> None:
        """An address where no server listens is called unreachable."""
        old = Old()
        old.net.servers.clear()
        old.met()
        assert old.end == "no connection to 10.0.0.1:80: connection refused"
        assert old.ends[0].is_unreachable

    def test_no_endpoint(self) -> None:
        """A stream that does not say where messages go is given up; what waits for that is bounded."""
        old = Old().answers("GET", lambda asked: asked.begin())
        old.meet().addErrback(old.found.append)
        with pytest.raises(Overloaded):
            old.backend.write(b'{"x":"' + b"x" * QUEUE_LIMIT + b'"}\n')
        old.net.advance(ENDPOINT_S)
        assert "does not say within 10 s where to send messages" in old.end
        assert old.stream.wire.is_aborted


class EndTests:
    """The end of a session."""

    @pytest.mark.parametrize("way", ["stop", "kill"])
    @pytest.mark.parametrize("is_met", [False, True])
    def test_left(self, way: str, *, is_met: bool) -> None:
        """The stream is closed, and nothing left behind."""
        old = Old()
        if is_met:
            old.met()
            old.send()
        else:
            old.answers("GET", None)
            old.meet().addErrback(lambda _: None)
        done = getattr(old.backend, way)()
        old.net.advance(0)
        assert len(old.ends) == 1
        assert done is None or done.called
        assert old.backend.stop().called
        old.web.close()
        assert all(wire.is_closed for wire in old.server.wires)
        assert old.net.getDelayedCalls() == []


class GuessTests:
    """A server of which only the URL is known."""

    @pytest.mark.parametrize("status", [400, 404, 405])
    def test_old_server(self, status: int) -> None:
        """A server that knows no such POST is asked for its stream."""
        old = Old(kind=GuessedTransport, is_guess=True)

        def answer(asked: Request) -> None:
            if asked.target.startswith("/sse"):
                asked.reply(status)
            else:
                old.say(asked, HELLO)

        old.answers("initialize", answer).met()
        assert [each.method for each in old.server.requests] == ["POST", "GET", "POST", "POST"]
        old.say(old.begin(), {})
        assert old.found == [{}]
        assert old.ends == []
        old.backend.stop()
        old.net.advance(0)
        assert len(old.ends) == 1

    def test_newer_server(self) -> None:
        """A server that takes the POST is spoken with as it likes."""
        old = Old(kind=GuessedTransport, is_guess=True)
        old.answers("GET", lambda asked: asked.reply(405))
        old.answers("initialize", lambda asked: asked.result(HELLO, Mcp_Session_Id=SESSION)).met()
        assert old.begin().headers["mcp-session-id"] == SESSION

    def test_modern_server(self) -> None:
        """A server that says that it is of the modern era is taken at its word."""
        old = Old(kind=GuessedTransport, is_guess=True)
        old.answers("initialize", lambda asked: asked.error(400, -32022, "only 2026-07-28")).met()
        assert "only 2026-07-28" in str(old.found[0].value)
        assert len(old.server.requests) == 1

    def test_neither(self) -> None:
        """A server that knows neither says so for both."""
        old = Old(kind=GuessedTransport, is_guess=True)
        old.answers("initialize", lambda asked: asked.reply(404))
        old.answers("GET", lambda asked: asked.reply(404)).met()
        assert old.end == "HTTP 404 to POST, and then it answers with HTTP 404"

    def test_no_fall_back(self) -> None:
        """Where the transport was written, it is that."""
        far = Far().answers("initialize", lambda asked: asked.reply(404)).met()
        assert len(far.server.requests) == 1
