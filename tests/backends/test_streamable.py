"""Streamable HTTP of the revisions with sessions: what is sent, and what becomes of what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway.backends.concurrency_limit import AT_ONCE, QUEUE_LIMIT
from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.post import RESUMPTIONS
from mcpgateway.backends.streamable import FAREWELL_S, LINGERING, Streamable
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import BackendGone, LaunchFailed, NeedsAuthorization, Overloaded
from mcpgateway.protocol.versions import Era
from tests.support.scripted_http import MemoryNet, Request
from tests.support.talk import Talk

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "far", "version": "1"}}
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {},
    "ttlMs": 0,
    "cacheScope": "private",
}
SESSION = "a-session-of-the-test"


class Far(Talk):
    """A server on memory ends, and the conversation with it.

    :ivar found: what has come of what was asked, in the order it came.
    """

    def __init__(self, *, era: Era = Era.LEGACY, authorizer: Any = None, **remote: Any) -> None:
        self.net = MemoryNet()
        self.server = self.net.serve()
        self.web = Web(self.net)
        self.found: list[Any] = []
        self.server.answers = {
            "initialize": lambda asked: asked.result(HELLO, Mcp_Session_Id=SESSION),
            "notifications/initialized": lambda asked: asked.reply(202),
            "GET": lambda asked: asked.reply(405),
            "DELETE": lambda asked: asked.reply(200),
        }

        def make(launch: Any, remote: Any, receiver: Any) -> Streamable:
            return Streamable(self.net, self.web, launch, remote, receiver, authorizer)

        super().__init__(make, Remote(remote.pop("url", "http://10.0.0.1/mcp?key=secret"), **remote), era)

    def answers(self, name: str, answer: Any) -> Far:
        """Let the server answer something in another way; None leaves it to the test."""
        if answer is None:
            del self.server.answers[name]
        else:
            self.server.answers[name] = answer
        return self

    def met(self) -> Far:
        """Shake hands."""
        greeting = self.meet()
        assert greeting.called
        greeting.addErrback(self.found.append)
        return self

    def begin(self, method: str = "tools/call", **params: Any) -> Request:
        """Ask for something; the request that the server gets."""
        self.send(method, **params)
        return self.server.last

    def send(self, method: str = "tools/call", **params: Any) -> None:
        """Ask for something."""
        asked = Deferred.fromCoroutine(self.ask(method, **params))
        asked.addCallbacks(self.found.append, lambda why: self.found.append(why.value))

    @property
    def end(self) -> str:
        """Return the reason of the only end."""
        assert len(self.ends) == 1, self.ends
        return str(self.ends[0])


class HandshakeTests:
    """The beginning of a session."""

    def test_handshake(self) -> None:
        """The backend sends nothing before the first message; session and revision go with all that follow it."""
        far = Far(headers={"Authorization": "Bearer token"})
        assert far.net.dialled == []
        assert far.backend.pid == 0
        far.met()
        first, second, third = far.server.requests
        assert (first.method, first.target) == ("POST", "/mcp?key=secret")
        assert first.headers["accept"] == "application/json, text/event-stream"
        assert first.headers["content-type"] == "application/json"
        assert "mcp-session-id" not in first.headers
        assert second.json["method"] == "notifications/initialized"
        assert (third.method, third.headers["accept"]) == ("GET", "text/event-stream")
        for each in (second, third):
            assert each.headers["mcp-session-id"] == SESSION
            assert each.headers["mcp-protocol-version"] == "2025-06-18"
        for each in far.server.requests:
            assert each.headers["authorization"] == "Bearer token"
            assert each.headers["user-agent"].startswith("mcpgateway/")
        assert far.found == []

    def test_without_a_session(self) -> None:
        """A server without sessions is spoken with all the same, and left without a word."""
        far = Far().answers("initialize", lambda asked: asked.result(HELLO)).met()
        far.begin().result({})
        assert "mcp-session-id" not in far.server.last.headers
        assert far.found == [{}]
        done = far.backend.stop()
        far.net.advance(0)
        assert done.called
        assert far.server.asked("DELETE") == []

    def test_as_a_stream(self) -> None:
        """The first answer may come as an event, too."""

        def stream(asked: Request) -> None:
            asked.begin(Mcp_Session_Id=SESSION)
            asked.event_result(HELLO)
            asked.finish()

        far = Far().answers("initialize", stream).met()
        assert far.begin().headers["mcp-session-id"] == SESSION

    def test_requests_wait_for_the_handshake(self) -> None:
        """Requests do not overtake the notification that the handshake is over."""
        far = Far().answers("notifications/initialized", None).met()
        far.send("tools/list")
        far.send("tools/call")
        assert len(far.server.requests) == 2
        far.server.last.reply(202)
        assert [each.json["method"] for each in far.server.requests[3:]] == ["tools/list", "tools/call"]

    @pytest.mark.parametrize("answer", [500, 400])
    def test_initialized_is_refused(self, answer: int) -> None:
        """A server that does not like that word is spoken with all the same."""
        far = Far().answers("notifications/initialized", lambda asked: asked.reply(answer)).met()
        far.begin().result({})
        assert far.found == [{}]

    def test_strange_session(self) -> None:
        """A session id that no header can hold is none."""
        far = Far().answers("initialize", lambda asked: asked.result(HELLO, Mcp_Session_Id="a b")).met()
        assert "not visible ASCII" in far.end

    @pytest.mark.parametrize(
        ("status", "end", "is_unreachable"),
        [
            (401, "it wants an authorization that the gateway does not have (HTTP 401)", False),
            (403, "it wants an authorization that the gateway does not have (HTTP 403)", False),
            (429, "it answers with HTTP 429", False),
            (500, "it answers with HTTP 500", False),
            (502, "it answers with HTTP 502", True),
            (503, "it answers with HTTP 503", True),
        ],
    )
    @pytest.mark.parametrize("era", list(Era))
    def test_no_verdict(self, status: int, end: str, era: Era, *, is_unreachable: bool) -> None:
        """A server that is not well, or wants a token, has not said what it speaks: the conversation is over."""
        far = Far(era=era)
        for method in ("initialize", "server/discover"):
            far.answers(method, lambda asked: asked.reply(status, b"<html>secret</html>"))
        far.met()
        assert far.end == end
        assert far.ends[0].is_unreachable is is_unreachable
        assert isinstance(far.ends[0].error, NeedsAuthorization) is (status in {401, 403})

    @pytest.mark.parametrize("era", list(Era))
    def test_refusal(self, era: Era) -> None:
        """Another refusal is an answer; the URL and the page that came are not in it."""
        far = Far(era=era)
        for method in ("initialize", "server/discover"):
            far.answers(method, lambda asked: asked.reply(404, b"<html>secret</html>"))
        far.met()
        assert far.ends == []
        assert "far: it answers with HTTP 404" in str(far.found[0].value)
        assert "secret" not in str(far.found[0].value)

    def test_own_words(self) -> None:
        """A refusal in JSON-RPC is passed on, whatever its id."""
        far = Far().answers("initialize", lambda asked: asked.error(400, -32000, "not you", id=None)).met()
        assert "not you" in str(far.found[0].value)

    def test_unreachable(self) -> None:
        """An unreachable address is named with host and port, and no more of the URL."""
        far = Far(url="http://10.0.0.1:81/mcp?key=secret").met()
        assert far.end == "no connection to 10.0.0.1:81: connection refused"
        assert far.ends[0].is_unreachable

    @pytest.mark.parametrize("url", ["ftp://h/", "http://u:secret@h/", "http://h:x/"])
    def test_bad_url(self, url: str) -> None:
        """A URL that leads nowhere is not even tried."""
        with pytest.raises(LaunchFailed) as caught:
            Far(url=url)
        assert "secret" not in str(caught.value)

    def test_headers_of_the_entry(self) -> None:
        """A header of the entry's is never sent beside one of the same name that is ours."""
        far = Far(headers={"accept": "text/html", "X-Own": "1"}).met()
        sent = far.begin().headers
        assert (sent["x-own"], sent["accept"]) == ("1", "application/json, text/event-stream")

    def test_bad_header(self) -> None:
        """Nor is what cannot be sent."""
        with pytest.raises(LaunchFailed):
            Far(headers={"Authorization": "a\r\nb"})

    def test_redirected(self) -> None:
        """Where a server has sent the first request to, the others go at once."""
        far = Far()

        def elsewhere(asked: Request) -> None:
            if asked.target == "/mcp/":
                asked.result(HELLO, Mcp_Session_Id=SESSION)
            else:
                asked.reply(307, Location="http://10.0.0.1/mcp/")

        far.answers("initialize", elsewhere).met()
        assert [each.target for each in far.server.requests] == ["/mcp?key=secret", *["/mcp/"] * 3]

    def test_sent_away(self) -> None:
        """A redirect to another host is not followed, and the error says where it led."""
        far = Far(headers={"Authorization": "Bearer token"})
        other = far.net.serve(80, "10.0.0.2")
        far.answers("initialize", lambda asked: asked.reply(308, Location="http://10.0.0.2/mcp")).met()
        assert "it redirects (HTTP 308) to http://10.0.0.2:80" in far.end
        assert other.requests == []


class AnswerTests:
    """Messages that come back for a request."""

    def test_json(self) -> None:
        """A JSON answer is one object, alone or among others in an array, with or without line breaks."""
        far = Far().met()
        far.begin().result({"a": 1})
        asked = far.begin()
        asked.reply(
            200,
            json.dumps({"jsonrpc": "2.0", "id": asked.json["id"], "result": {"b": 2}}, indent=1).encode(),
            Content_Type="application/json; charset=utf-8",
        )
        asked = far.begin()
        notice = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": 1}}
        asked.reply(200, [notice, {"jsonrpc": "2.0", "id": asked.json["id"], "result": {"c": 3}}])
        assert far.found == [{"a": 1}, {"b": 2}, {"c": 3}]
        assert far.heard == [("notifications/message", {"data": 1})]

    def test_stream(self) -> None:
        """Messages before the answer are heard before it, in their order; the stream is read to its end."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        for number in range(3):
            asked.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": number}})
        assert far.found == []
        asked.event_result({"a": 1})
        asked.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": 3}})
        asked.finish()
        assert far.found == [{"a": 1}]
        assert [params["n"] for _, params in far.heard] == [0, 1, 2, 3]
        far.begin().result({})
        assert len(far.server.wires) == 1

    def test_question(self) -> None:
        """A question of the server on a request's stream is answered with a POST of its own."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        asked.event({"jsonrpc": "2.0", "id": "q1", "method": "roots/list"})
        assert far.server.last.json == {"jsonrpc": "2.0", "id": "q1", "result": {"roots": []}}
        far.server.last.reply(202)

    def test_empty_events(self) -> None:
        """Events without text, comments and events of other kinds are nobody's."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        asked.event(text="", event="message")
        asked.event(text="hello", event="ping")
        asked.event_result({})
        assert (far.found, far.heard, far.lines.strays) == ([{}], [], 0)

    @pytest.mark.parametrize("era", list(Era))
    def test_error_status(self, era: Era) -> None:
        """A JSON-RPC error with an HTTP status is the answer; without an id it is that of the request."""
        far = Far(era=era)
        for identifier in (None, "another", 0):
            far.begin().error(400, -32602, "what", id=identifier)
        assert [each["message"] for each in far.found] == ["what"] * 3

    @pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
    def test_bare_status(self, status: int) -> None:
        """A status alone is said as an error, without the page that came with it."""
        far = Far().answers("initialize", lambda asked: asked.result(HELLO)).met()
        far.begin().reply(status, b"<html>secret</html>", Content_Type="text/html")
        assert far.found[0]["code"] == -32603
        assert far.found[0]["message"] == f"far: it answers with HTTP {status}"

    @pytest.mark.parametrize("status", [200, 202, 204])
    @pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"jsonrpc":"2.0","id":99,"result":{}}', b"[]"])
    def test_no_answer(self, status: int, body: bytes) -> None:
        """A good status without an answer is a bad answer, and no caller waits for ever."""
        far = Far().met()
        asked = far.begin()
        if status == 204:
            asked.wire.say(b"HTTP/1.1 204 No\r\n\r\n")
        else:
            asked.reply(status, body, Content_Type="application/json")
        assert "no answer to the request" in far.found[0]["message"]

    def test_error_without_id(self) -> None:
        """An error that names no request is that of the request it came for."""
        far = Far().met()
        far.send("tools/call")
        far.begin().reply(200, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no"}})
        assert far.found == [{"code": -32700, "message": "no"}]

    def test_compressed(self) -> None:
        """The backend asks for answers without compression, so that it can read them."""
        assert Far().met().server.last.headers["accept-encoding"] == "identity"

    def test_compressed_all_the_same(self) -> None:
        """A compressed answer is an error that says so."""
        far = Far().met()
        far.begin().reply(200, b"\x1f\x8b", Content_Type="application/json", Content_Encoding="gzip")
        assert "compressed" in far.found[0]["message"]

    def test_too_large(self) -> None:
        """An event that does not end fails its request, and nothing else."""
        far = Far().met()
        far.send("tools/list")
        asked = far.begin()
        asked.begin()
        piece = b"x" * 2**20
        for _ in range(33):
            asked.wire.say(b"%x\r\n%b\r\n" % (len(piece), piece)) if not asked.wire.is_closed else None
        assert "an event has more than 33554432 bytes" in far.found[0]["message"]
        far.server.requests[-2].result({})
        assert far.found[1:] == [{}]


class TraceTests:
    """Requests that belong to a trace."""

    @pytest.mark.parametrize("era", list(Era))
    def test_headers(self, era: Era) -> None:
        """The trace in a request's body stands in its headers too, and in those of no other."""
        far = Far(era=era)
        if era is Era.LEGACY:
            far.met()
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        asked = far.begin(name="echo", _meta={"traceparent": parent, "tracestate": "a=1"})
        assert (asked.headers["traceparent"], asked.headers["tracestate"]) == (parent, "a=1")
        assert "traceparent" not in far.begin(name="echo", arguments={"traceparent": parent}).headers
        assert "traceparent" not in far.begin(name="echo").headers


class LossTests:
    """Answers that do not come."""

    @pytest.mark.parametrize("is_begun", [False, True])
    def test_broken(self, *, is_begun: bool) -> None:
        """A request whose connection breaks is answered in its place, and not sent again."""
        far = Far().met()
        asked = far.begin()
        if is_begun:
            asked.begin()
        asked.cut()
        far.net.pump([1] * 60)
        assert far.found[0]["code"] == -32603
        assert "broke" in far.found[0]["message"]
        assert len(far.server.asked("tools/call")) == 1

    def test_ended_early(self) -> None:
        """A request whose stream is ended in order without its answer is answered in its place, too."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        asked.finish()
        assert far.found[0]["message"] == "far: it ended the stream before the answer"

    @pytest.mark.parametrize("is_cut", [False, True])
    def test_resumed(self, *, is_cut: bool) -> None:
        """The rest of a stream whose events had ids is fetched, as soon as the server has said."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        asked.event(id="e1", retry=300)
        if is_cut:
            asked.cut()
        else:
            asked.finish()
        far.answers("GET", None)
        far.net.advance(0.2)
        assert far.server.last is asked
        far.net.advance(0.1)
        rest = far.server.last
        assert (rest.method, rest.headers["last-event-id"]) == ("GET", "e1")
        assert rest.headers["mcp-session-id"] == SESSION
        rest.begin()
        rest.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}, id="e2")
        rest.finish()
        far.net.advance(1)
        rest = far.server.last
        assert rest.headers["last-event-id"] == "e2"
        rest.begin()
        rest.event({"jsonrpc": "2.0", "id": asked.json["id"], "result": {"late": True}})
        rest.finish()
        assert far.found == [{"late": True}]
        assert far.methods() == ["notifications/message"]

    def test_not_resumed(self) -> None:
        """Where the rest cannot be fetched, that is the answer."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        asked.event(id="e1")
        asked.cut()
        far.net.advance(1)
        assert "which cannot be fetched" in far.found[0]["message"]

    def test_resuming_ends(self) -> None:
        """A server that has gone is asked for the rest a few times, ever more slowly."""
        far = Far().answers("GET", lambda asked: asked.reply(500)).met()
        far.backend._standing.close()
        asked = far.begin()
        asked.begin()
        asked.event(id="e1")
        asked.cut()
        before = len(far.server.asked("GET"))
        far.net.pump([1] * 100)
        assert len(far.server.asked("GET")) - before == RESUMPTIONS
        assert "since then it answered with HTTP 500" in far.found[0]["message"]

    @pytest.mark.parametrize(
        "answer",
        [
            lambda asked: asked.reply(404),
            lambda asked: asked.error(404, -32001, "Session not found"),
            lambda asked: asked.error(400, -32000, "Bad Request: No valid session ID provided"),
        ],
    )
    def test_forgotten(self, answer: Any) -> None:
        """A server that does not know the session is met anew: nothing of the old one is left, nothing is repeated."""
        far = Far().met()
        far.send("tools/list")
        answer(far.begin())
        assert far.end == "the server does not know its session any more"
        assert not far.ends[0].is_unreachable
        assert all(isinstance(each, BackendGone) for each in far.found)
        assert len(far.found) == 2
        assert far.server.asked("DELETE") == []
        with pytest.raises(BackendGone):
            far.backend.write(b'{"jsonrpc":"2.0","method":"notifications/x"}\n')

    def test_not_forgotten(self) -> None:
        """Other refusals say nothing about the session."""
        far = Far().met()
        far.begin().error(400, -32602, "no such thing")
        far.begin().reply(400)
        assert far.ends == []

    def test_forgotten_by_notification(self) -> None:
        """A lost session is noticed with whatever message is sent."""
        far = Far().met()
        far.backend.write(b'{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}\n')
        far.server.last.reply(404)
        assert "does not know its session" in far.end

    def test_unreachable_later(self) -> None:
        """Where nothing is connected and nothing answers, the server is lost; its callers are told first."""
        far = Far().met()
        del far.net.servers["10.0.0.1", 80]
        far.server.wires[0].close()
        far.send()
        assert far.found[0]["message"] == "far: no connection to 10.0.0.1:80: connection refused"
        assert far.ends[0].is_unreachable

    def test_unreachable_beside(self) -> None:
        """While something is connected, only the request that did not get through fails."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        del far.net.servers["10.0.0.1", 80]
        far.send()
        assert "connection refused" in far.found[0]["message"]
        assert far.ends == []
        asked.event_result({})
        assert far.found[1] == {}


class StandingTests:
    """The standing stream."""

    def open(self) -> tuple[Far, Request]:
        """A session with one."""
        far = Far().answers("GET", None).met()
        far.server.last.begin()
        return far, far.server.last

    def test_heard(self) -> None:
        """Messages on the standing stream are heard, and questions are answered."""
        far, stream = self.open()
        stream.event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        stream.event({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
        assert far.methods() == ["notifications/tools/list_changed", "roots/list"]
        assert far.server.last.json["result"] == {"roots": []}

    @pytest.mark.parametrize("status", [405, 404, 400, 401])
    def test_none(self, status: int) -> None:
        """A server without one is not asked again."""
        far = Far().answers("GET", lambda asked: asked.reply(status)).met()
        far.net.pump([1] * 100)
        assert len(far.server.asked("GET")) == 1
        assert far.ends == []

    def test_comes_back(self) -> None:
        """A lost stream is opened again behind its last event, at first soon and then ever more slowly."""
        far, stream = self.open()
        stream.event({"jsonrpc": "2.0", "method": "notifications/x"}, id="e7")
        stream.cut()
        far.answers("GET", lambda asked: asked.reply(503))
        times = []
        for second in range(100):
            before = len(far.server.asked("GET"))
            far.net.advance(1)
            times += [second + 1] * (len(far.server.asked("GET")) - before)
        assert times == [1, 3, 7, 15, 31, 61, 91]
        assert far.server.last.headers["last-event-id"] == "e7"
        far.answers("GET", None)
        far.net.pump([1] * 30)
        far.server.last.begin()
        far.server.last.event({"jsonrpc": "2.0", "method": "notifications/y"})
        assert far.methods() == ["notifications/x", "notifications/y"]

    def test_server_says_when(self) -> None:
        """The server says how long to wait."""
        far, stream = self.open()
        stream.event(retry=5000)
        far.net.advance(10)
        stream.finish()
        far.net.advance(4.9)
        assert far.server.last is stream
        far.net.advance(0.1)
        assert far.server.last is not stream

    def test_useless(self) -> None:
        """A stream that is ended as soon as it is opened is given up in the end."""
        far = Far()

        def useless(asked: Request) -> None:
            asked.begin()
            asked.finish()

        far.answers("GET", useless).met()
        far.net.pump([1] * 1000)
        assert len(far.server.asked("GET")) == 11
        assert far.ends == []

    def test_unreachable(self) -> None:
        """Where nothing answers any more, the server is lost."""
        far, stream = self.open()
        stream.event({"jsonrpc": "2.0", "method": "notifications/x"})
        far.net.servers.clear()
        for wire in far.server.wires:
            wire.close()
        far.net.pump([1] * 10)
        assert "connection refused" in far.end
        assert far.ends[0].is_unreachable

    def test_forgotten(self) -> None:
        """Where the stream is not given back because the session is unknown, it is lost."""
        far, stream = self.open()
        stream.event({"jsonrpc": "2.0", "method": "notifications/x"})
        far.answers("GET", lambda asked: asked.reply(404))
        stream.cut()
        far.net.advance(1)
        assert "does not know its session" in far.end


class LimitTests:
    """Bounds."""

    def test_so_many_at_once(self) -> None:
        """A backend has so many requests under way at once; the others have their turn as those are answered."""
        far = Far().met()
        for _ in range(AT_ONCE + 3):
            far.send()
        assert len(far.server.asked("tools/call")) == AT_ONCE
        far.backend.write(b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
        assert "result" in far.server.last.json  # what the server waits for does not wait
        for number in range(AT_ONCE + 3):
            asked = far.server.asked("tools/call")
            assert len(asked) == min(AT_ONCE + number, AT_ONCE + 3)
            asked[number].result({})
        assert len(far.found) == AT_ONCE + 3

    def test_queue(self) -> None:
        """The queue of waiting requests is bounded."""
        far = Far().met()
        for _ in range(AT_ONCE):
            far.send()
        far.send(big="x" * (QUEUE_LIMIT - 1000))
        far.send(big="x" * 2000)
        assert [type(each) for each in far.found] == [Overloaded]

    def test_lingering(self) -> None:
        """Streams that a server does not end behind the answer are ended by us, the oldest first."""
        far = Far().met()
        for _ in range(LINGERING + 1):
            asked = far.begin()
            asked.begin()
            asked.event_result({})
        assert len(far.found) == LINGERING + 1
        assert sum(wire.is_aborted for wire in far.server.wires) == 1

    def test_notifications(self) -> None:
        """A notification that nobody takes is given up in time."""
        far = Far().met()
        far.backend.write(b'{"jsonrpc":"2.0","method":"notifications/x"}\n')
        wire = far.server.last.wire
        far.net.advance(30)
        assert wire.is_aborted
        assert far.ends == []


class CancelTests:
    """Calls that are taken back."""

    def test_under_way(self) -> None:
        """The server is told, the stream dropped, and nothing comes of it."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        call = far.lines.pending[asked.json["id"]]
        assert far.lines.cancel(call, "no more")
        assert asked.wire.is_aborted
        told = far.server.last
        assert told.json["method"] == "notifications/cancelled"
        assert told.json["params"]["requestId"] == asked.json["id"]

    def test_waiting(self) -> None:
        """A call that is taken back before it was sent never is, and the server does not hear of it."""
        far = Far().met()
        for _ in range(AT_ONCE + 1):
            far.send()
        last = list(far.lines.pending.values())[-1]
        before = len(far.server.requests)
        far.lines.cancel(last, "no more")
        far.server.asked("tools/call")[0].result({})
        assert len(far.server.requests) == before


class EndTests:
    """The end of a session."""

    def test_stopped(self) -> None:
        """The session is deleted; what the server answers to that is its own affair."""
        for status in (200, 405, 500):
            far = Far().answers("DELETE", lambda asked, status=status: asked.reply(status)).met()
            asked = far.begin()
            done = far.backend.stop()
            assert far.server.last.method == "DELETE"
            assert far.server.last.headers["mcp-session-id"] == SESSION
            assert asked.wire.is_aborted
            assert done.called
            assert far.end == "it was stopped"
            assert far.backend.stop().called
            far.web.close()
            assert far.net.getDelayedCalls() == []

    def test_silent_end(self) -> None:
        """A server that says nothing to it is not waited for."""
        far = Far().answers("DELETE", None).met()
        done = far.backend.stop()
        with pytest.raises(BackendGone):
            far.backend.write(b'{"jsonrpc":"2.0","method":"notifications/x"}\n')
        far.net.advance(FAREWELL_S)
        assert done.called
        assert far.end == "it was stopped"

    @pytest.mark.parametrize("is_met", [False, True])
    def test_killed(self, *, is_met: bool) -> None:
        """Every connection is dropped, and that is all."""
        far = Far().answers("GET", None)
        if is_met:
            far.met()
            far.server.last.begin()
            far.send()
        else:
            far.answers("initialize", None)
            far.meet().addErrback(lambda _: None)
        far.backend.kill()
        far.net.advance(0)
        far.backend.kill()
        far.net.advance(0)
        assert far.end == "its connections were dropped"
        far.web.close()
        assert all(wire.is_closed for wire in far.server.wires)
        assert far.net.getDelayedCalls() == []
        assert far.server.asked("DELETE") == []

    def test_killed_while_it_speaks(self) -> None:
        """A server that speaks nonsense without end is dropped in the middle of it."""
        far = Far().met()
        asked = far.begin()
        asked.begin()
        for _ in range(10_000):
            asked.event(text="nonsense") if not asked.wire.is_closed else None
        far.net.advance(0)
        assert "not JSON-RPC" in far.end


class Doorman:
    """Has tokens, or not."""

    trust = None

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[tuple[int, str, Any]] = []

    def headers(self) -> Deferred[Any]:
        return succeed({})

    def refused(self, status: int, said: str, used: Any, *, again: bool, asks: bool) -> Deferred[Any]:
        self.asked.append((status, said, used))
        if not self.tokens:
            return fail(NeedsAuthorization("far wants you", "open it", {"url": "http://there"}))
        return succeed({"Authorization": f"Bearer {self.tokens.pop(0)}"})


class LockedOutTests:
    """A token that the server accepts no more, in the middle of a session."""

    @pytest.mark.parametrize(
        "body", [b"", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"expired"}}']
    )
    @pytest.mark.parametrize("era", list(Era))
    def test_unauthorized(self, body: bytes, era: Era) -> None:
        """A call that is answered with 401 ends the session, so that the next call tries the token anew."""
        far = Far(era=era).answers("server/discover", lambda asked: asked.result(DISCOVERED)).met()
        far.begin().reply(401, body, Content_Type="application/json")
        assert far.found[0]["message"].startswith(
            "far: it wants an authorization that the gateway does not have (HTTP 401)"
        )
        assert far.found[0]["data"]["hint"].endswith(": mcpgateway servers set-header far Authorization")
        assert isinstance(far.ends[0].error, NeedsAuthorization)

    def test_other_calls(self) -> None:
        """Calls under way, which the server may still answer, go on."""
        far = Far().met()
        first, second = far.begin(), far.begin()
        second.reply(401)
        assert far.ends == []
        first.result({})
        assert far.found[1:] == [{}]
        far.begin().reply(401)
        assert isinstance(far.ends[0].error, NeedsAuthorization)

    @pytest.mark.parametrize(("answer", "ends"), [(200, 0), (403, 1)])
    def test_forbidden(self, answer: int, ends: int) -> None:
        """A tool that a token does not suffice for ends no session; a token that suffices for nothing does."""
        far = Far().answers("ping", lambda asked: asked.reply(answer)).met()
        far.begin().reply(403)
        assert "HTTP 403" in far.found[0]["message"]
        assert [isinstance(each.error, NeedsAuthorization) for each in far.ends] == [True] * ends

    def test_stopped_meanwhile(self) -> None:
        """A session that is ended while its token is looked at ends once."""
        far = Far().met()
        far.begin().reply(403)
        assert far.server.last.json["method"] == "ping"
        far.backend.kill()
        far.net.advance(0)
        assert len(far.ends) == 1


class AuthorizationTests:
    """Servers that want a token."""

    def test_tried_once_more(self) -> None:
        """A refused request is sent once more with what has been granted."""
        doorman = Doorman("t1")
        far = Far(authorizer=doorman)

        def guarded(asked: Request) -> None:
            if asked.headers.get("authorization") == "Bearer t1":
                asked.result(HELLO)
            else:
                asked.reply(401, WWW_Authenticate='Bearer resource_metadata="http://x"')

        far.answers("initialize", guarded).met()
        assert far.found == []
        assert doorman.asked == [(401, 'Bearer resource_metadata="http://x"', {})]

    def test_only_twice(self) -> None:
        """A new token that is refused, too, is asked about once more; then that is no way in."""
        doorman = Doorman("t1", "t2", "t3")
        far = Far(authorizer=doorman).answers("initialize", lambda asked: asked.reply(401)).met()
        assert len(far.server.requests) == 3
        assert doorman.tokens == ["t3"]
        assert "wants an authorization" in far.end

    def test_the_user_is_asked(self) -> None:
        """Where the user has to do something, every caller is told where."""
        far = Far(authorizer=Doorman()).answers("initialize", lambda asked: asked.reply(401)).met()
        error = far.ends[0].error
        assert isinstance(error, NeedsAuthorization)
        assert error.data == {"url": "http://there"}

    def test_later(self) -> None:
        """Also in the middle of a session, which goes on."""
        far = Far(authorizer=Doorman()).met()
        far.begin().reply(401)
        assert far.found[0]["data"]["url"] == "http://there"
        assert far.ends == []

    def test_forbidden(self) -> None:
        """A plain 403 is the server's last word; one for a larger scope is not."""
        doorman = Doorman("t1")
        far = Far(authorizer=doorman).met()
        far.begin().reply(403)
        assert doorman.asked == []
        far.begin().reply(403, WWW_Authenticate='Bearer error="insufficient_scope"')
        far.server.last.result({})
        assert far.found[1:] == [{}]
