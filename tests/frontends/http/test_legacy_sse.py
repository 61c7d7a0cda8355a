"""The streams of clients that speak HTTP with SSE, and what becomes of the sessions on them (MCP 2024-11-05)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.frontends.http.streams import HEARTBEAT_TICKS
from mcpgateway.frontends.http.write_buffer import STREAM_BACKLOG_LIMIT
from mcpgateway.hub.sessions import Session
from mcpgateway.policy.progress import SILENT_TICKS
from mcpgateway.policy.reaping import IDLE_TICKS
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY
from mcpgateway.protocol.versions import LEGACY
from tests.support.gateway_in_memory import HELLO, Answer, MemoryChild, MemoryGateway

CHANGED = "notifications/tools/list_changed"
ASKABLE = {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}
SSE = "text/event-stream"
END = b"0\r\n\r\n"  # of a chunked body


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


class Link:
    """A client with its stream.

    :ivar ears: the connection of its stream.
    :ivar mouth: the connection that it posts on.
    """

    def __init__(self, gateway: MemoryGateway, server: str = "shared", **headers: str) -> None:
        self.ears = gateway.client(server, **headers)
        self.ears.send(b"", "GET", f"/{server}/sse", Accept=SSE)
        self.mouth = gateway.client(server, **headers)

    @property
    def text(self) -> str:
        """The text that has come on the stream, without the chunks it came in."""
        assert self.ears.heard is not None
        data, text = self.ears.heard.body, b""
        while data:
            size, _, rest = data.partition(b"\r\n")
            text += rest[: int(size, 16)]
            data = rest[int(size, 16) + 2 :]
        return text.decode()

    @property
    def address(self) -> str:
        """Where the first event says to post."""
        event, data = self.text.split("\n\n", maxsplit=1)[0].split("\n")
        assert event == "event: endpoint"
        return data.removeprefix("data: ")

    @property
    def told(self) -> list[Any]:
        """The messages that have come."""
        assert self.ears.heard is not None
        return self.ears.heard.events

    @property
    def said(self) -> list[Any]:
        """The messages that have come: methods of notifications and questions, results, and codes of errors."""
        return [_gist(each) for each in self.told]

    @property
    def has_ended(self) -> bool:
        """Return whether the stream has ended in order."""
        return self.ears.transport.taken.endswith(END)

    def post(self, body: Any, path: str = "", **headers: str) -> Answer:
        """Post a message."""
        return self.mouth.ask(body, "POST", path or self.address, **headers)

    def ask(self, identifier: Any, method: str = "tools/call", **params: Any) -> None:
        """Post a request that is taken."""
        answer = self.post(request(identifier, method, **params))
        assert (answer.status, answer.body) == (202, b"Accepted")

    def initialize(self, revision: str = "2024-11-05", **capabilities: Any) -> Link:
        """Begin a session."""
        self.ask("hello", "initialize", protocolVersion=revision, capabilities=capabilities)
        assert self.told[-1]["result"]["protocolVersion"] == revision
        return self

    def hang_up(self) -> None:
        """The client disconnects."""
        self.ears.channel.connectionLost(None)  # type: ignore[arg-type]


def request(identifier: Any, method: str = "tools/call", **params: Any) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}


def note(method: str, **params: Any) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def _gist(message: dict[str, Any]) -> Any:
    if "method" in message:
        return message["method"]
    return message["result"] if "result" in message else message["error"]["code"]


def come_from(link: Link, inode: int) -> None:
    """Let the kernel tell the number of the socket at the other end of a stream."""
    exchange: Any = link.ears.channel._exchange
    exchange.caller = replace(exchange.caller, inode=inode)


def shake_hands(gateway: MemoryGateway) -> None:
    """Let a child answer its handshake at last."""
    gateway.child.answer(gateway.child.asked("initialize")[0], HELLO)


def only_session(gateway: MemoryGateway) -> Session:
    """The one session in use."""
    (session,) = gateway.sessions
    return session


def awaiting(child: MemoryChild) -> list[dict[str, Any]]:
    """The calls a child has received."""
    return child.asked("tools/call")


class StreamTests:
    """``GET /{server}/sse``."""

    def test_where_to_post(self, gateway: MemoryGateway) -> None:
        """The first event is a relative address with an id that is never the same."""
        one, two = Link(gateway), Link(gateway)
        heard = one.ears.heard
        assert heard is not None
        assert (heard.status, heard.headers["content-type"]) == (200, SSE)
        assert one.text == f"event: endpoint\ndata: {one.address}\n\n"
        path, _, identifier = one.address.partition("?sessionId=")
        assert path == "/shared/messages"
        assert len(identifier) == 32
        assert one.address != two.address

    def test_a_name_that_has_to_be_escaped(self) -> None:
        """A name that a URL cannot carry goes into the address escaped, and is understood there."""
        odd = ServerSpec("a b?", ("run",), {}, "/", share=Share.GLOBAL, title="odd", source="a test")
        gateway = MemoryGateway(more=(odd,))
        link = Link(gateway, "a%20b%3F")
        assert link.address.startswith("/a%20b%3F/messages?sessionId=")
        link.initialize()

    @pytest.mark.parametrize(
        "accept", ["text/event-stream", "*/*", "text/*", "a/b, TEXT/event-stream;q=1", ""]
    )
    def test_who_takes_events(self, gateway: MemoryGateway, accept: str) -> None:
        """A client that takes events, or does not say what it takes, is served."""
        ears = gateway.client()
        ears.send(b"", "GET", "/shared/sse", Accept=accept)
        assert ears.heard is not None
        assert ears.heard.status == 200

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("GET", "/shared/sse", {"Accept": "application/json"}, 406),
            ("POST", "/shared/sse", {}, 405),
            ("DELETE", "/shared/sse", {}, 405),
            ("HEAD", "/shared/sse", {}, 405),
            ("GET", "/nobody/sse", {"Accept": SSE}, 404),
            ("GET", "/shared/sse", {"Host": "evil.example"}, 403),
            ("GET", "/shared/sse", {"Origin": "https://evil.example"}, 403),
            ("GET", "/shared/messages", {}, 405),
            ("POST", "/nobody/messages", {}, 404),
            ("POST", "/shared/messages", {"Host": "evil.example"}, 403),
        ],
    )
    def test_refusals(
        self, gateway: MemoryGateway, method: str, path: str, headers: Mapping[str, str], status: int
    ) -> None:
        """A refused request gets a JSON-RPC error, as on the other MCP paths."""
        answer = gateway.client().ask(b"", method, path, **headers)
        assert answer.status == status
        if method != "HEAD":
            assert answer.json["error"]["message"]
            assert answer.json["id"] is None
        if status == 404:
            assert answer.json["error"] == {"code": -32601, "message": "Unknown server: nobody"}
        if status == 405:
            assert answer.headers["allow"] == ("get" if path.endswith("sse") else "post")

    def test_a_silent_stream_shows_that_it_lives(self, gateway: MemoryGateway) -> None:
        """A comment comes every fifteen seconds, before and after ``initialize``."""
        link = Link(gateway)
        gateway.tick(HEARTBEAT_TICKS - 1)
        assert ": ping" not in link.text
        gateway.tick()
        assert link.text.endswith("\n\n: ping\n\n")
        link.initialize()
        gateway.tick(2 * HEARTBEAT_TICKS)
        assert link.text.count(": ping\n\n") == 3

    def test_one_line_for_each_message(self, gateway: MemoryGateway) -> None:
        """A message is an event without an id whose data is one line, whatever lines the server broke."""
        link = Link(gateway).initialize("2025-11-25")
        gateway.child._receiver.line_received(
            b'{"jsonrpc":"2.0",\r"method":"%b","params":{"a":\r[1]}}' % CHANGED.encode()
        )
        *_, event, blank = link.text.split("\n\n")
        assert event.startswith("event: message\ndata: {")
        assert event.count("\n") == 1
        assert not blank
        assert link.said[-1] == CHANGED

    def test_no_name_is_hidden_by_these_paths(self) -> None:
        """``/mcp/{server}`` is the server of that name, also where it is called as one of these paths."""
        specs = [
            ServerSpec(name, ("run",), {}, "/", share=Share.GLOBAL, title=name, source="a test")
            for name in ("sse", "messages", "mcp")
        ]
        gateway = MemoryGateway(more=tuple(specs))
        for name in ("sse", "messages"):
            answer = gateway.client().ask(request(1, "ping"), "POST", f"/mcp/{name}")
            assert answer.json == {"jsonrpc": "2.0", "id": 1, "result": {}}


class PostTests:
    """``POST /{server}/messages``."""

    def test_both_spellings_of_the_parameter(self, gateway: MemoryGateway) -> None:
        """The parameter is called as by either SDK, and stands among others."""
        link = Link(gateway)
        path, identifier = link.address.split("?sessionId=")
        for query in (
            f"sessionId={identifier}",
            f"session_id={identifier}",
            f"a=b&session_id={identifier}&c",
        ):
            answer = link.post(request(query, "ping"), f"{path}?{query}")
            assert (answer.status, answer.body) == (202, b"Accepted")
            assert answer.headers["content-type"] == "text/plain"
            assert link.told[-1] == {"jsonrpc": "2.0", "id": query, "result": {}}

    @pytest.mark.parametrize(
        ("body", "headers", "status", "code"),
        [
            (b"{not json", {}, 400, -32700),
            (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', {}, 400, -32600),
            (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', {}, 400, -32600),
            (b"[]", {}, 400, -32600),
            (b"", {}, 400, -32700),
            (b"{}", {"Content-Type": "text/plain"}, 415, -32000),
            (b"{}", {"Content-Type": ""}, 415, -32000),
        ],
    )
    def test_bad_bodies(
        self, gateway: MemoryGateway, body: bytes, headers: Mapping[str, str], status: int, code: int
    ) -> None:
        """A body that cannot be taken is refused in the answer to the POST, and the stream stays silent."""
        link = Link(gateway).initialize()
        before = link.text
        answer = link.post(body, **headers)
        assert answer.status == status
        assert (answer.json["id"], answer.json["error"]["code"]) == (None, code)
        assert link.text == before

    def test_too_big(self) -> None:
        """A body beyond the limit is refused."""
        link = Link(MemoryGateway(limits=Limits(body_bytes=100)))
        assert link.post(request(1, "ping", a="x" * 100)).status == 413

    @pytest.mark.parametrize(
        "query", ["", "?", "?sessionId=", "?other=1", "?" + "a=1&" * 20 + "sessionId=x", "?é"]
    )
    def test_without_an_id(self, gateway: MemoryGateway, query: str) -> None:
        """Without the parameter nobody knows whose message it is."""
        answer = gateway.client().ask(request(1, "ping"), "POST", f"/shared/messages{query}")
        assert answer.status == 400
        if query != "?é":
            assert answer.json["error"]["message"] == "Bad Request: the parameter sessionId is required"

    def test_somebody_elses_id(self, gateway: MemoryGateway) -> None:
        """An id is good for its own server and its own principal only."""
        link, other = Link(gateway), Link(gateway, Authorization="Bearer bearer-token")
        identifier = link.address.partition("?")[2]
        for answer in (
            link.post(request(1, "ping"), "/shared/messages?sessionId=made-up"),
            link.post(request(1, "ping"), f"/own/messages?{identifier}"),
            other.post(request(1, "ping"), f"/shared/messages?{identifier}"),
        ):
            assert answer.status == 404
            assert answer.json["error"] == {"code": -32001, "message": "Session not found"}
        assert (link.told, other.told) == ([], [])

    def test_an_ended_stream(self, gateway: MemoryGateway) -> None:
        """When its stream has ended an id is unknown."""
        link = Link(gateway).initialize()
        link.hang_up()
        assert link.post(request(1, "ping")).status == 404

    def test_it_is_not_the_sessions_id(self, gateway: MemoryGateway) -> None:
        """The id of the stream opens nothing on the other endpoint, and the other's opens nothing here."""
        link = Link(gateway).initialize()
        identifier = link.address.partition("=")[2]
        assert gateway.client().ask(request(1), Mcp_Session_Id=identifier).status == 404
        other = gateway.session().headers["Mcp-Session-Id"]
        assert link.post(request(1), f"/shared/messages?sessionId={other}").status == 404


class SessionTests:
    """``initialize``, and what comes before it."""

    @pytest.mark.parametrize("revision", LEGACY)
    def test_every_revision(self, gateway: MemoryGateway, revision: str) -> None:
        """Any revision with a handshake can be spoken, and in none of them has an event an id."""
        link = Link(gateway).initialize(revision)
        gateway.child.say(note(CHANGED))
        assert link.said[1:] == [CHANGED]
        assert "id: " not in link.text
        assert "retry: " not in link.text

    def test_another_revision(self, gateway: MemoryGateway) -> None:
        """A revision that is not known is answered with the latest that has a handshake."""
        link = Link(gateway)
        link.ask(1, "initialize", protocolVersion="2026-07-28", capabilities={})
        assert link.told[0]["result"]["protocolVersion"] == LEGACY[-1]

    @pytest.mark.parametrize("server", ["shared", "own"])
    @pytest.mark.parametrize("method", ["server/discover", "tools/list", "initialize"])
    @pytest.mark.parametrize("is_begun", [False, True])
    def test_a_modern_request(
        self, gateway: MemoryGateway, server: str, method: str, *, is_begun: bool
    ) -> None:
        """A request in the envelope of 2026-07-28 is told which revisions are spoken."""
        link = Link(gateway, server)
        if is_begun:
            link.initialize()
        link.ask(1, method, _meta={PROTOCOL_VERSION_KEY: "2026-07-28"})
        assert link.told[-1]["id"] == 1
        assert link.told[-1]["error"]["code"] == -32000
        assert "supported versions: 2024-10-07" in link.told[-1]["error"]["message"]

    @pytest.mark.parametrize(
        ("method", "headers"),
        [("server/discover", {}), ("tools/list", {"MCP-Protocol-Version": "2026-07-28"})],
    )
    def test_a_modern_request_without_its_envelope(
        self, gateway: MemoryGateway, method: str, headers: Mapping[str, str]
    ) -> None:
        """A request that only the later era knows, or that a header counts to it, is refused too; none
        reaches a child.
        """
        link = Link(gateway)
        assert link.post(request(1, method), **headers).status == 202
        assert (link.told[-1]["id"], link.told[-1]["error"]["code"]) == (1, -32000)
        assert gateway.launcher.children == []

    def test_before_it_on_a_shared_server(self, gateway: MemoryGateway) -> None:
        """A request without a session is served as an anonymous one, also where others use the same id."""
        one, two = Link(gateway), Link(gateway)
        one.ask(1, name="one")
        two.ask(1, name="two")
        first, second = awaiting(gateway.child)
        gateway.child.answer(second, {"for": "two"})
        gateway.child.answer(first, {"for": "one"})
        assert (one.said, two.said) == ([{"for": "one"}], [{"for": "two"}])

    def test_before_it_on_a_stateful_server(self, gateway: MemoryGateway) -> None:
        """A request without a session is refused where there is state in it; a notification means nothing."""
        link = Link(gateway, "own")
        link.ask(1)
        assert link.told == [
            {
                "jsonrpc": "2.0",
                "id": 1,
                "error": {
                    "code": -32000,
                    "message": "Bad Request: own keeps state per session: send initialize first",
                },
            }
        ]
        assert link.post(note("notifications/initialized")).status == 202
        assert len(link.told) == 1
        assert gateway.launcher.children == []

    def test_a_second_one(self, gateway: MemoryGateway) -> None:
        """A second ``initialize`` begins another session in the place of the first, on the same stream."""
        link = Link(gateway, "own").initialize()
        former, child = only_session(gateway), gateway.child
        link.ask(1)
        link.initialize("2025-06-18")
        assert link.said[1] == -32001
        assert only_session(gateway) is not former
        assert child.is_stopping
        assert not link.has_ended
        link.ask(1)
        gateway.child.answer(awaiting(gateway.child)[0], {"by": "another"})
        assert link.said[-1] == {"by": "another"}
        gateway.child.say(note(CHANGED))
        assert link.said[-1] == CHANGED

    def test_a_second_one_too_early(self, gateway: MemoryGateway) -> None:
        """While one is under way another is refused."""
        gateway.launcher.hello = None
        link = Link(gateway)
        link.ask(1, "initialize", protocolVersion="2024-11-05", capabilities={})
        link.ask(2, "initialize", protocolVersion="2024-11-05", capabilities={})
        assert [(each["id"], each["error"]["code"]) for each in link.told] == [(2, -32600)]
        shake_hands(gateway)
        assert link.told[-1]["id"] == 1
        assert len(gateway.sessions) == 1

    def test_a_server_that_does_not_start(self, gateway: MemoryGateway) -> None:
        """A failure is told on the stream, which stays open for another try."""
        gateway.launcher.refuses = True
        link = Link(gateway)
        link.ask(1, "initialize", protocolVersion="2024-11-05", capabilities={})
        assert link.told[0]["error"]["message"] == "shared: the program was not found"
        assert len(gateway.sessions) == 0
        gateway.launcher.refuses = False
        link.initialize()

    def test_one_that_breaks(self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fault of the gateway's own is told without its details."""
        link = Link(gateway)
        monkeypatch.setattr(gateway.dispatcher, "initialize", lambda *_: 1 / 0)
        link.ask(1, "initialize", protocolVersion="2024-11-05")
        assert link.told[0]["error"]["message"] == "Internal error: the session could not be begun"

    def test_a_client_that_does_not_wait(self, gateway: MemoryGateway) -> None:
        """A client that has gone before its session had begun leaves nothing behind."""
        gateway.launcher.hello = None
        link = Link(gateway, "own")
        link.ask(1, "initialize", protocolVersion="2024-11-05", capabilities={})
        link.hang_up()
        shake_hands(gateway)
        assert len(gateway.sessions) == 0
        assert gateway.child.is_stopping

    def test_nothing_is_on_record(self, gateway: MemoryGateway) -> None:
        """The record has neither the session's beginning nor its level, its subscriptions, its owner or its end."""
        gateway.processes.sockets[7] = 4711
        link = Link(gateway)
        come_from(link, 7)
        link.initialize()
        session = only_session(gateway)
        serial = gateway.sessions._ids.read(session.id).serial  # type: ignore[union-attr]
        link.ask(1, "logging/setLevel", level="error")
        link.ask(2, "resources/subscribe", uri="a:b")
        gateway.child.answer(gateway.child.asked("resources/subscribe")[0], {})
        gateway.tick()
        assert session.owner == 4711
        assert gateway.store.find(serial) is None
        link.hang_up()
        assert gateway.store.find(serial) is None

    def test_what_the_client_offers_is_known(self, gateway: MemoryGateway) -> None:
        """A shared server's question about a task is asked, as what its client offers is known without a record."""
        link = Link(gateway).initialize("2025-11-25", **ASKABLE)
        link.ask(1, task={})
        gateway.child.answer(awaiting(gateway.child)[0], {"task": {"taskId": "t", "status": "working"}})
        meta = {"io.modelcontextprotocol/related-task": {"taskId": "t"}}
        gateway.child.say(request("q", "elicitation/create", mode="form", message="?", _meta=meta))
        assert link.said[-1] == "elicitation/create"


class AnswerTests:
    """Messages that come on the stream."""

    def test_equal_ids_of_several_clients(self, gateway: MemoryGateway) -> None:
        """Each answer goes to the stream of its request, under the id as it was sent, whatever its order."""
        links = [Link(gateway).initialize() for _ in range(3)]
        for link, identifier in zip(links, (1, "1", 1), strict=True):
            link.ask(identifier)
        for nth, call in reversed(list(enumerate(awaiting(gateway.child)))):
            gateway.child.answer(call, {"nth": nth})
        for nth, (link, identifier) in enumerate(zip(links, (1, "1", 1), strict=True)):
            assert link.told[1:] == [{"jsonrpc": "2.0", "id": identifier, "result": {"nth": nth}}]

    def test_errors(self, gateway: MemoryGateway) -> None:
        """A server's error and one of the gateway's own come on the stream too."""
        link = Link(gateway).initialize()
        link.ask(1)
        asked = awaiting(gateway.child)[0]["id"]
        gateway.child.say({"jsonrpc": "2.0", "id": asked, "error": {"code": -32603, "message": "no"}})
        link.ask(2, "logging/setLevel", level="loud")
        link.ask(3, _meta={"progressToken": {}})
        link.ask(4)
        gateway.child.exit(3)
        assert [(each["id"], each["error"]["code"]) for each in link.told[1:]] == [
            (1, -32603),
            (2, -32602),
            (3, -32602),
            (4, -32603),
        ]

    @pytest.mark.parametrize("again", ["7", '"a"', r'"\u0061"'])
    def test_an_id_that_is_under_way(self, gateway: MemoryGateway, again: str) -> None:
        """A second request with the id of one under way is refused, however it is written; afterwards it is free."""
        link = Link(gateway).initialize()
        link.ask(json.loads(again))
        body = b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{}}' % again.encode()
        assert link.post(body).status == 202
        assert (link.told[-1]["id"], link.told[-1]["error"]["code"]) == (json.loads(again), -32600)
        (call,) = awaiting(gateway.child)
        gateway.child.answer(call, {"the": "first"})
        assert link.said[-1] == {"the": "first"}
        link.post(body)
        gateway.child.answer(awaiting(gateway.child)[1], {"the": "second"})
        assert link.said[-1] == {"the": "second"}

    def test_an_id_that_is_not_unicode(self, gateway: MemoryGateway) -> None:
        """Half a surrogate in an id is given back as it came."""
        link = Link(gateway).initialize()
        body = rb'{"jsonrpc":"2.0","id":"\ud800","method":"tools/call","params":{}}'
        link.post(body)
        gateway.child.answer(awaiting(gateway.child)[0], {})
        assert link.told[-1]["id"] == "\ud800"

    def test_seven_and_its_text(self, gateway: MemoryGateway) -> None:
        """7 and "7" are two ids."""
        link = Link(gateway).initialize()
        link.ask(7)
        link.ask("7")
        for nth, call in enumerate(awaiting(gateway.child)):
            gateway.child.answer(call, {"nth": nth})
        assert [(each["id"], each["result"]) for each in link.told[1:]] == [
            (7, {"nth": 0}),
            ("7", {"nth": 1}),
        ]

    def test_progress_and_logs(self, gateway: MemoryGateway) -> None:
        """A message before an answer comes on the same stream, to the client it is meant for, under its own token."""
        one, two = Link(gateway).initialize(), Link(gateway).initialize()
        one.ask(1, _meta={"progressToken": "p"})
        two.ask(1, _meta={"progressToken": "p"})
        first = awaiting(gateway.child)[0]["params"]["_meta"]["progressToken"]
        gateway.child.say(note("notifications/progress", progressToken=first, progress=1))
        assert one.told[-1]["params"] == {"progressToken": "p", "progress": 1}
        assert two.said[1:] == []
        gateway.child.say(note("notifications/message", level="error", data="x"))
        assert one.said[-1] == two.said[-1] == "notifications/message"

    def test_a_silent_call_is_shown_to_live(self, gateway: MemoryGateway) -> None:
        """Progress of the gateway's own comes for a call whose client asked for it, and for no other."""
        link = Link(gateway).initialize()
        link.ask(1, _meta={"progressToken": "p"})
        link.ask(2)
        gateway.tick(SILENT_TICKS)
        (sign,) = [each for each in link.told if each.get("method") == "notifications/progress"]
        assert sign["params"]["progressToken"] == "p"
        for call in awaiting(gateway.child):
            gateway.child.answer(call, {})
        gateway.tick(2 * SILENT_TICKS)
        assert link.said.count("notifications/progress") == 1

    def test_resource_updates(self, gateway: MemoryGateway) -> None:
        """A client that is subscribed hears of the change."""
        one, two = Link(gateway).initialize(), Link(gateway).initialize()
        one.ask(1, "resources/subscribe", uri="a:b")
        gateway.child.answer(gateway.child.asked("resources/subscribe")[0], {})
        gateway.child.say(note("notifications/resources/updated", uri="a:b"))
        assert one.said[-1] == "notifications/resources/updated"
        assert len(two.told) == 1

    def test_another_child(self, gateway: MemoryGateway) -> None:
        """When a lost child is replaced, the client is told that its lists may have changed."""
        link = Link(gateway).initialize()
        gateway.child.exit(1)
        link.ask(1)
        assert link.said[-1] == CHANGED

    @pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list"])
    @pytest.mark.parametrize("is_busy", [True, False])
    def test_questions(self, gateway: MemoryGateway, method: str, *, is_busy: bool) -> None:
        """A question of the session's own child comes on the stream; the answer is posted, and only its own counts."""
        link = Link(gateway, "own").initialize("2025-11-25", **ASKABLE)
        child = gateway.child
        other = Link(gateway, "own").initialize("2025-11-25", **ASKABLE)
        if is_busy:
            link.ask(1)
        child.say(request("q", method, mode="form", message="?"))
        asked = link.told[-1]
        assert asked["method"] == method
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}}
        assert other.post(answer).status == 202
        assert child.received[-1].get("id") != "q"
        assert link.post(answer).status == 202
        assert child.received[-1] == {"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}

    def test_notifications(self, gateway: MemoryGateway) -> None:
        """A notification reaches a child of the session's own."""
        link = Link(gateway, "own").initialize()
        assert link.post(note("notifications/roots/list_changed")).status == 202
        assert gateway.child.asked("notifications/roots/list_changed")

    def test_cancelling(self, gateway: MemoryGateway) -> None:
        """A cancelled request is taken back from the server and has no answer; its id is free."""
        link = Link(gateway).initialize()
        link.ask(1)
        link.post(note("notifications/cancelled", requestId=1))
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["requestId"] == awaiting(gateway.child)[0]["id"]
        assert len(link.told) == 1
        link.ask(1)
        gateway.child.answer(awaiting(gateway.child)[1], {"again": True})
        assert link.said[-1] == {"again": True}


class BatchTests:
    """Several messages in one POST."""

    def test_where_the_revision_has_them(self, gateway: MemoryGateway) -> None:
        """Each member is served, and each answer comes by itself; what is no message is told so."""
        link = Link(gateway).initialize("2025-03-26")
        batch = [
            request(1),
            note("notifications/initialized"),
            request(2, "ping"),
            {"jsonrpc": "2.0", "id": 3, "method": 4},
            request(1),
        ]
        answer = link.post(batch)
        assert (answer.status, answer.body) == (202, b"Accepted")
        gateway.child.answer(awaiting(gateway.child)[0], {"of": 1})
        assert [each["id"] for each in link.told[1:]] == [2, 3, 1, 1]
        assert link.said[1:] == [{}, -32600, -32600, {"of": 1}]

    @pytest.mark.parametrize("revision", ["", "2024-11-05", "2025-06-18", "2025-11-25"])
    def test_where_it_has_none(self, gateway: MemoryGateway, revision: str) -> None:
        """In other revisions, and before one is agreed upon, an array is no message."""
        link = Link(gateway)
        if revision:
            link.initialize(revision)
        answer = link.post([request(1, "ping")])
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)

    @pytest.mark.parametrize("batch", [[], [request(1, "ping")] * 101, [request(1, "initialize")]])
    def test_bad_ones(self, gateway: MemoryGateway, batch: list[Any]) -> None:
        """An empty one, a very large one and one that begins a session are refused."""
        answer = Link(gateway).initialize("2025-03-26").post(batch)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)


class EndTests:
    """The end of the stream is the end of the session, and the other way round."""

    def test_the_client_disconnects(self, gateway: MemoryGateway) -> None:
        """The session is over, its calls are cancelled upstream, and its subscriptions given up."""
        link, other = Link(gateway).initialize(), Link(gateway).initialize()
        link.ask(1, "resources/subscribe", uri="a:b")
        gateway.child.answer(gateway.child.asked("resources/subscribe")[0], {})
        link.ask(2)
        other.ask(2)
        first, second = awaiting(gateway.child)
        link.hang_up()
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["requestId"] == first["id"]
        assert gateway.child.asked("resources/unsubscribe")
        assert len(gateway.sessions) == 1
        gateway.child.answer(first, {"late": True})
        gateway.child.answer(second, {"for": "the other"})
        assert other.said[-1] == {"for": "the other"}
        assert len(gateway.door.streams) == 1
        gateway.tick(HEARTBEAT_TICKS)

    def test_a_child_of_its_own(self, gateway: MemoryGateway) -> None:
        """A child of the session's own is stopped."""
        link = Link(gateway, "own").initialize()
        link.hang_up()
        assert gateway.child.is_stopping
        assert len(gateway.sessions) == 0
        assert list(gateway.dispatcher.pool) == []

    def test_an_open_question(self, gateway: MemoryGateway) -> None:
        """A question that is before the client is answered in its place."""
        link = Link(gateway, "own").initialize("2025-06-18", **ASKABLE)
        child = gateway.child
        child.say(request("q", "elicitation/create", mode="form", message="?"))
        link.hang_up()
        assert {"jsonrpc": "2.0", "id": "q", "result": {"action": "cancel"}} in child.received

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """The calls of a client that never said ``initialize`` are cancelled too, and only those."""
        link, other = Link(gateway), Link(gateway)
        link.ask(1)
        other.ask(1)
        first, second = awaiting(gateway.child)
        link.hang_up()
        (cancelled,) = gateway.child.asked("notifications/cancelled")
        assert cancelled["params"]["requestId"] == first["id"]
        gateway.child.answer(second, {"ok": True})
        assert other.said == [{"ok": True}]

    def test_while_the_child_starts(self, gateway: MemoryGateway) -> None:
        """Calls that wait for the child are taken back, so that they are never sent."""
        gateway.launcher.hello = None
        link = Link(gateway)
        link.ask(1)
        link.hang_up()
        shake_hands(gateway)
        assert awaiting(gateway.child) == []

    def test_a_slow_reader(self, gateway: MemoryGateway) -> None:
        """A client that reads nothing is cut off when too much waits for it, which ends its session."""
        link = Link(gateway).initialize()
        link.ears.transport.reads = False
        data = "x" * 100_000
        for _ in range(2 * STREAM_BACKLOG_LIMIT // len(data)):
            gateway.child.say(note("notifications/message", level="error", data=data))
        assert link.ears.transport.is_aborted
        link.hang_up()
        assert len(gateway.sessions) == 0

    def test_deleted_by_somebody(self, gateway: MemoryGateway) -> None:
        """When the session is ended from outside its calls are told, and the stream ends in order."""
        link = Link(gateway, "own").initialize()
        link.ask(1)
        assert gateway.dispatcher.end_named(only_session(gateway).id)
        assert link.said[-1] == -32001
        assert link.has_ended
        assert link.post(request(2, "ping")).status == 404

    def test_deleted_while_an_anonymous_call_runs(self, gateway: MemoryGateway) -> None:
        """A stream whose session was ended from outside waits for nothing, and takes back what is under way."""
        link = Link(gateway)
        link.ask(1)
        link.initialize()
        gateway.dispatcher.end_named(only_session(gateway).id)
        assert link.has_ended
        assert len(gateway.child.asked("notifications/cancelled")) == 1

    def test_its_owner_exits(self, gateway: MemoryGateway) -> None:
        """When the process that it belongs to ends, the session is given up and the stream closed."""
        link = Link(gateway, "own")
        link.post(request(1, "initialize", protocolVersion="2024-11-05"), X_Client_Pid="4711")
        session = only_session(gateway)
        assert session.owner == 4711
        gateway.processes.exit(4711)
        assert link.has_ended
        assert gateway.child.is_stopping
        assert len(gateway.sessions) == 0
        assert not gateway.sessions.store.find(gateway.sessions._ids.read(session.id).serial)  # type: ignore[union-attr]

    def test_who_is_at_the_other_end(self, gateway: MemoryGateway) -> None:
        """An owner that is not said is found by the connection of the stream, as that is the one that lasts."""
        gateway.processes.sockets[7] = 4711
        link = Link(gateway)
        come_from(link, 7)
        link.initialize()
        gateway.tick()
        assert only_session(gateway).owner == 4711

    def test_silence(self, gateway: MemoryGateway) -> None:
        """A session is never idle while its stream is open."""
        link = Link(gateway, "own").initialize()
        gateway.sessions.now += 2 * IDLE_TICKS
        assert gateway.reaper.look_around() == 0
        assert not link.has_ended

    def test_the_gateway_stops(self, gateway: MemoryGateway) -> None:
        """Streams end in order: idle ones at once, one with a call under way after its answer."""
        idle, fresh, busy = Link(gateway).initialize(), Link(gateway), Link(gateway).initialize()
        busy.ask(1)
        gateway.dispatcher.is_open = False
        gateway.door.streams.close()
        assert (idle.has_ended, fresh.has_ended, busy.has_ended) == (True, True, False)
        gateway.child.answer(awaiting(gateway.child)[0], {"in": "time"})
        assert busy.said[-1] == {"in": "time"}
        assert busy.has_ended
        assert len(gateway.sessions) == 0
        assert len(gateway.door.streams) == 0

    def test_the_gateway_stops_and_an_answer_never_comes(self, gateway: MemoryGateway) -> None:
        """A call that is cut off is told so before its stream ends."""
        link = Link(gateway).initialize()
        link.ask(1)
        gateway.dispatcher.is_open = False
        gateway.door.streams.close()
        link.ask(2)
        assert link.told[-1]["error"]["message"] == "the gateway is stopping"
        gateway.dispatcher.close()
        assert [each["id"] for each in link.told[1:]] == [2, 1]
        assert link.has_ended

    def test_the_gateway_stops_while_a_session_begins(self, gateway: MemoryGateway) -> None:
        """A session that begins at last is told to its client, and ends with the stream."""
        gateway.launcher.hello = None
        link = Link(gateway)
        link.ask(1, "initialize", protocolVersion="2024-11-05")
        gateway.door.streams.close()
        assert not link.has_ended
        shake_hands(gateway)
        assert link.told[-1]["result"]["protocolVersion"] == "2024-11-05"
        assert link.has_ended
        assert len(gateway.sessions) == 0

    def test_the_client_goes_while_the_gateway_stops(self, gateway: MemoryGateway) -> None:
        """A client that does not wait for its answer is gone once."""
        link = Link(gateway).initialize()
        link.ask(1)
        gateway.door.streams.close()
        link.hang_up()
        assert len(gateway.child.asked("notifications/cancelled")) == 1
        assert len(gateway.sessions) == 0

    def test_no_session_while_the_gateway_stops(self, gateway: MemoryGateway) -> None:
        """A session is not begun any more."""
        link = Link(gateway)
        gateway.dispatcher.is_open = False
        link.ask(1, "initialize", protocolVersion="2024-11-05")
        assert link.told[0]["error"]["message"] == "the gateway is stopping"

    def test_room_for_others(self) -> None:
        """A stream whose session had to make room for another ends."""
        gateway = MemoryGateway(limits=Limits(sessions=1))
        link = Link(gateway).initialize()
        other = Link(gateway).initialize()
        assert link.has_ended
        assert not other.has_ended

    def test_put_aside_while_it_begins(self) -> None:
        """A session that had to make room before it had begun is told so."""
        gateway = MemoryGateway(limits=Limits(sessions=1))
        gateway.launcher.hello = None
        link, other = Link(gateway), Link(gateway)
        for each in (link, other):
            each.ask(1, "initialize", protocolVersion="2024-11-05")
        shake_hands(gateway)
        assert link.told[-1]["error"]["message"] == "Session has ended"
        assert other.told[-1]["result"]["protocolVersion"] == "2024-11-05"
        assert len(gateway.sessions) == 1
