"""Requests of the modern era, from the bytes of a client to the line of a child and back (MCP 2026-07-28)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.policy.access import Reach
from mcpgateway.protocol.versions import UNSUPPORTED, Era
from tests.support.gateway_in_memory import HELLO, Client, MemoryGateway
from tests.support.modern_client import (
    CANCELLED,
    LOG,
    OTHER,
    PREFIX,
    PROGRESS,
    SUBSCRIPTION,
    TASKS,
    call,
    done,
    dual_gateway,
    events,
    hang_up,
    is_empty,
    list_tools,
    listen,
    meta,
    methods,
    note,
    post,
    refusal,
    refuse,
    reply,
    request,
)

DECLARES_TASKS = meta(**{PREFIX + "clientCapabilities": {"extensions": {TASKS: {}}}})


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway whose servers speak both eras; of "m" and "mine" that is known."""
    return dual_gateway()


def pair(gateway: MemoryGateway, server: str = "m") -> tuple[Client, Client]:
    """Two clients of one server."""
    return gateway.client(server), gateway.client(server)


class CallTests:
    """Modern clients and a modern child."""

    def test_a_call(self, gateway: MemoryGateway) -> None:
        """A call reaches the child under our number, its envelope as it was, and the answer returns under its id."""
        client = gateway.client("m")
        envelope = meta(traceparent="00-1", **{"com.example/x": [1.0, {"a": None}]})
        asked = call(gateway, client, "7", envelope=envelope, arguments={"a": 1.0})
        assert asked["params"] == {"name": "t", "arguments": {"a": 1.0}, "_meta": envelope}
        assert isinstance(asked["id"], int)
        done(gateway.child, asked, content=[])
        assert client.heard is not None
        assert (client.heard.status, client.heard.json["id"]) == (200, "7")
        assert client.heard.json["result"] == {"content": [], "resultType": "complete"}
        assert "mcp-session-id" not in client.heard.headers
        assert is_empty(gateway)

    def test_one_child(self, gateway: MemoryGateway) -> None:
        """Everybody's requests go to one child, which hears of no handshake."""
        for client in pair(gateway):
            call(gateway, client)
        (child,) = gateway.launcher.children
        assert not child.asked("initialize")
        assert not child.asked("notifications/initialized")

    @given(st.permutations(range(4)))
    def test_equal_ids_crossed_answers(self, order: list[int]) -> None:
        """However the answers cross, each client gets its own under its own id, of the type that it was."""
        gateway = dual_gateway()
        clients = [gateway.client("m") for _ in range(4)]
        identifiers = [1, "1", 1, "1"]
        asked = [call(gateway, *each) for each in zip(clients, identifiers, strict=True)]
        for number in order:
            done(gateway.child, asked[number], of=number)
        for number, (client, identifier) in enumerate(zip(clients, identifiers, strict=True)):
            assert reply(client)["id"] == identifier
            assert type(reply(client)["id"]) is type(identifier)
            assert reply(client)["result"]["of"] == number

    def test_equal_tokens(self, gateway: MemoryGateway) -> None:
        """Progress reaches the client whose call it is of, under the token that it gave, of the type that it was."""
        clients = pair(gateway)
        asked = [
            call(gateway, client, 1, envelope=meta(progressToken=token))
            for client, token in zip(clients, (0, "0"), strict=True)
        ]
        tokens = [each["params"]["_meta"]["progressToken"] for each in asked]
        assert len(set(tokens)) == 2
        for number in (1, 0):
            gateway.child.say(note(PROGRESS, progressToken=tokens[number], progress=number))
            done(gateway.child, asked[number], of=number)
        for number, (client, token) in enumerate(zip(clients, (0, "0"), strict=True)):
            told, answer = events(client)
            assert told["params"] == {"progressToken": token, "progress": number}
            assert answer["result"]["of"] == number

    def test_progress_that_nobody_asked_for(self, gateway: MemoryGateway) -> None:
        """Progress without a token of ours is nobody's."""
        client = gateway.client("m")
        asked = call(gateway, client)
        gateway.child.say(note(PROGRESS, progressToken=asked["id"], progress=1))
        gateway.child.say(note(PROGRESS, progressToken="t", progress=1))
        done(gateway.child, asked)
        assert client.heard is not None
        assert client.heard.headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        ("code", "status"),
        [(-32601, 404), (-32021, 400), (-32022, 400), (-32020, 400), (-32602, 200), (-32603, 200), (7, 200)],
    )
    def test_errors_of_the_server(self, gateway: MemoryGateway, code: int, status: int) -> None:
        """Some of the server's errors have a status of their own, and all of them the client's id."""
        one, two = pair(gateway)
        asked = [call(gateway, client, 5) for client in (one, two)]
        refuse(gateway.child, asked[1], code)
        assert refusal(two) == (status, code, 5)
        assert one.heard is None

    def test_an_error_after_something_was_said(self, gateway: MemoryGateway) -> None:
        """Once the answer is a stream, an error is an event like any other."""
        client = gateway.client("m")
        asked = call(gateway, client, 5, envelope=meta(progressToken=1))
        gateway.child.say(note(PROGRESS, progressToken=asked["id"], progress=1))
        refuse(gateway.child, asked, -32601)
        assert client.heard is not None
        assert client.heard.status == 200
        assert reply(client)["error"]["code"] == -32601
        assert reply(client)["id"] == 5

    @pytest.mark.parametrize(
        "method",
        [
            "initialize",
            "ping",
            "logging/setLevel",
            "resources/subscribe",
            "resources/unsubscribe",
            "tasks/list",
            "tasks/result",
        ],
    )
    def test_methods_that_are_gone(self, gateway: MemoryGateway, method: str) -> None:
        """A method that was removed with the legacy era is unknown here, whatever the server would answer."""
        client = gateway.client("m")
        post(client, request(3, method))
        assert refusal(client) == (404, -32601, 3)
        assert gateway.launcher.children == []

    def test_any_other_method(self, gateway: MemoryGateway) -> None:
        """A method that we do not know is the server's business."""
        client = gateway.client("m")
        post(client, request(3, "com.example/do", x=1))
        (asked,) = gateway.child.asked("com.example/do")
        assert asked["params"]["x"] == 1
        refuse(gateway.child, asked, -32601)
        assert refusal(client) == (404, -32601, 3)

    def test_a_question_of_the_server(self, gateway: MemoryGateway) -> None:
        """A server has no requests in this era: it is refused, and no client is told."""
        client = gateway.client("m")
        asked = call(gateway, client)
        gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "method": "roots/list"})
        assert gateway.child.received[-1]["error"]["code"] == -32601
        done(gateway.child, asked)
        assert reply(client)["result"] == {"resultType": "complete"}

    def test_a_child_that_ends(self, gateway: MemoryGateway) -> None:
        """The calls of a child that ends get an error, are not sent again, and the next call starts another child."""
        clients = pair(gateway)
        for client in clients:
            call(gateway, client, 4)
        gateway.child.exit(3)
        assert [refusal(client) for client in clients] == [(200, -32603, 4)] * 2
        assert is_empty(gateway)
        call(gateway, clients[0], 5)
        assert len(gateway.launcher.children) == 2
        assert len(gateway.child.asked("tools/call")) == 1

    def test_a_server_that_cannot_be_started(self, gateway: MemoryGateway) -> None:
        """The callers of a server that cannot be started are told, and nothing is left behind."""
        gateway.launcher.refuses = True
        clients = pair(gateway)
        for client in clients:
            post(client, request(4, "tools/list"))
        assert [refusal(client) for client in clients] == [(200, -32603, 4)] * 2
        assert is_empty(gateway)

    def test_while_stopping(self, gateway: MemoryGateway) -> None:
        """A gateway that is stopping takes nothing more."""
        gateway.hub.modern_dispatcher.close()
        client = gateway.client("m")
        post(client, request(4, "tools/list"))
        assert refusal(client) == (200, -32603, 4)


class HangUpTests:
    """A client that disconnects takes its request back."""

    def test_sent(self, gateway: MemoryGateway) -> None:
        """The server is told; its late answer reaches nobody, and other calls go on."""
        one, two = pair(gateway)
        asked = [call(gateway, client, 1) for client in (one, two)]
        hang_up(one)
        (told,) = gateway.child.asked(CANCELLED)
        assert told["params"]["requestId"] == asked[0]["id"]
        done(gateway.child, asked[0])
        assert two.heard is None
        done(gateway.child, asked[1], of=2)
        assert reply(two)["result"]["of"] == 2
        assert is_empty(gateway)

    def test_streaming(self, gateway: MemoryGateway) -> None:
        """The same once something was said."""
        client = gateway.client("m")
        asked = call(gateway, client, 1, envelope=meta(progressToken=1))
        gateway.child.say(note(PROGRESS, progressToken=asked["id"], progress=1))
        before = client.transport.taken
        hang_up(client)
        gateway.child.say(note(PROGRESS, progressToken=asked["id"], progress=2))
        done(gateway.child, asked)
        assert client.transport.taken == before
        assert len(gateway.child.asked(CANCELLED)) == 1
        assert is_empty(gateway)

    def test_before_the_child_is_warm(self, gateway: MemoryGateway) -> None:
        """A request that waits for the child to start is not sent."""
        gateway.launcher.hello = None
        one, two = pair(gateway)
        for client in (one, two):
            post(client, request(1, "prompts/list"))
        hang_up(one)
        child = gateway.child
        child.answer(child.asked("server/discover")[0], {"resultType": "complete", **_DISCOVERED})
        assert len(child.asked("prompts/list")) == 1
        assert not child.asked(CANCELLED)
        done(child, child.asked("prompts/list")[0])
        assert reply(two)["result"] == {"resultType": "complete"}
        assert is_empty(gateway)

    def test_while_probing(self, gateway: MemoryGateway) -> None:
        """A request that waits to learn the server's eras is not sent."""
        gateway.launcher.hello = None
        one, two = pair(gateway, "shared")
        for client in (one, two):
            post(client, request(1, "prompts/list"))
        probe = gateway.child
        hang_up(one)
        gateway.launcher.hello = dict(HELLO)
        probe.answer(probe.asked("server/discover")[0], {"resultType": "complete", **_DISCOVERED})
        assert gateway.child is not probe
        assert len(gateway.child.asked("prompts/list")) == 1

    def test_while_the_tools_are_listed(self, gateway: MemoryGateway) -> None:
        """A call that waits to learn which headers matter is not sent."""
        one, two = pair(gateway)
        for client in (one, two):
            post(client, request(1, "tools/call", name="t"))
        hang_up(one)
        list_tools(gateway.child)
        assert len(gateway.child.asked("tools/call")) == 1
        done(gateway.child, gateway.child.asked("tools/call")[0])
        assert is_empty(gateway)

    def test_after_the_answer(self, gateway: MemoryGateway) -> None:
        """A request that is answered has nothing to take back."""
        client = gateway.client("m")
        asked = call(gateway, client)
        done(gateway.child, asked)
        hang_up(client)
        assert not gateway.child.asked(CANCELLED)
        assert is_empty(gateway)

    def test_after_a_new_child(self, gateway: MemoryGateway) -> None:
        """A hang-up takes nothing back of another child that has the same number."""
        one, two = pair(gateway)
        call(gateway, one, 1)
        gateway.child.exit(1)
        call(gateway, two, 1)
        hang_up(one)
        assert not gateway.child.asked(CANCELLED)
        assert len(gateway.dispatcher.calls) == 1

    def test_in_time(self) -> None:
        """A call that takes too long is taken back, and its client told."""
        server = ServerSpec(
            "q", ("run",), {}, "/", share=Share.GLOBAL, timeout_s=2.0, protocol=Era.MODERN, title="q"
        )
        gateway = MemoryGateway(more=(server,))
        gateway.launcher.eras = {"q": (Era.MODERN,)}
        client = gateway.client("q")
        call(gateway, client, 1)
        ears = gateway.client("q")
        listen(ears, toolsListChanged=True)
        gateway.tick(4)
        assert refusal(client) == (200, -32001, 1)
        assert len(gateway.child.asked(CANCELLED)) == 1
        assert ears.heard is None


_DISCOVERED: dict[str, Any] = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {},
    "ttlMs": 0,
    "cacheScope": "private",
}


class LogTests:
    """notifications/message."""

    def test_only_who_asked(self, gateway: MemoryGateway) -> None:
        """The one call in flight that asked for messages hears them, from its level on; others hear none."""
        one, two = pair(gateway)
        call(gateway, one, 1)
        call(gateway, two, 1, envelope=meta(**{PREFIX + "logLevel": "warning"}))
        for level in ("info", "warning", "alert"):
            gateway.child.say(note(LOG, level=level, data=level))
        assert [each["params"]["data"] for each in events(two)] == ["warning", "alert"]
        assert one.heard is None

    def test_two_who_asked(self, gateway: MemoryGateway) -> None:
        """Where two have asked nothing says whose message it is: nobody hears it."""
        clients = pair(gateway)
        for client in clients:
            call(gateway, client, 1, envelope=meta(**{PREFIX + "logLevel": "debug"}))
        gateway.child.say(note(LOG, level="alert", data=1))
        assert [client.heard for client in clients] == [None, None]

    @pytest.mark.parametrize("level", [None, 7, {}])
    def test_no_level(self, gateway: MemoryGateway, level: Any) -> None:
        """A client that names no level asks for no log messages."""
        client = gateway.client("m")
        call(gateway, client, 1, envelope=meta(**{PREFIX + "logLevel": level}))
        gateway.child.say(note(LOG, level="alert", data=1))
        assert client.heard is None

    def test_after_the_call(self, gateway: MemoryGateway) -> None:
        """A message after the answer is nobody's."""
        one, two = pair(gateway)
        asked = call(gateway, one, 1, envelope=meta(**{PREFIX + "logLevel": "debug"}))
        done(gateway.child, asked)
        call(gateway, two, 1)
        gateway.child.say(note(LOG, level="alert", data=1))
        assert two.heard is None


class CacheTests:
    """Results that their server lets be kept."""

    def read(self, gateway: MemoryGateway, client: Client, **result: Any) -> int:
        """Ask for the prompts; how often the server was asked until now."""
        post(client, request(1, "prompts/list"))
        asked = gateway.child.asked("prompts/list")
        if client.heard is None:
            done(gateway.child, asked[-1], **result)
        return len(asked)

    @pytest.mark.parametrize(("scope", "times"), [("public", 1), ("private", 2), ("strange", 2)])
    def test_for_whom(self, gateway: MemoryGateway, scope: str, times: int) -> None:
        """A public result serves every principal, all others their own only."""
        one, two = pair(gateway)
        other = gateway.client("m", **OTHER)
        said = {"ttlMs": 60_000, "cacheScope": scope}
        assert self.read(gateway, one, **said) == 1
        assert self.read(gateway, two, **said) == 1
        assert self.read(gateway, other, **said) == times
        assert reply(two)["id"] == 1

    def test_for_how_long(self, gateway: MemoryGateway) -> None:
        """A kept result says for how much longer it is good, and is asked for again afterwards."""
        client = gateway.client("m")
        self.read(gateway, client, ttlMs=5000)
        gateway.tick(2)
        self.read(gateway, client)
        assert reply(client)["result"]["ttlMs"] == 3000
        gateway.tick(4)
        assert self.read(gateway, client) == 2

    @pytest.mark.parametrize("ttl", [0, -1, None, "60000"])
    def test_not_at_all(self, gateway: MemoryGateway, ttl: Any) -> None:
        """Without a time it is asked for each time."""
        client = gateway.client("m")
        self.read(gateway, client, ttlMs=ttl)
        assert self.read(gateway, client, ttlMs=ttl) == 2

    def test_changed(self, gateway: MemoryGateway) -> None:
        """A change that the server tells of ends what was kept of that list, and of no other."""
        one, two = pair(gateway)
        listen(two, toolsListChanged=True, promptsListChanged=True)
        said = {"ttlMs": 60_000}
        self.read(gateway, one, **said)
        gateway.child.say(note("notifications/tools/list_changed"))
        assert self.read(gateway, one, **said) == 1
        gateway.child.say(note("notifications/prompts/list_changed"))
        assert self.read(gateway, one, **said) == 2

    def test_changed_before_the_answer(self, gateway: MemoryGateway) -> None:
        """An answer that may be from before a change is not kept."""
        one, two = pair(gateway)
        for client in (one, two):
            post(client, request(1, "prompts/list"))
        first, second = gateway.child.asked("prompts/list")
        gateway.child.say(note("notifications/prompts/list_changed"))
        for asked in (first, second):
            done(gateway.child, asked, ttlMs=60_000)
        assert self.read(gateway, one, ttlMs=60_000) == 3

    def test_updated(self, gateway: MemoryGateway) -> None:
        """A resource that has changed is read again, others are not."""
        one, two = pair(gateway)
        listen(two, resourceSubscriptions=["a:1"])
        for uri in ("a:1", "a:2"):
            post(one, request(1, "resources/read", uri=uri))
            done(gateway.child, gateway.child.asked("resources/read")[-1], ttlMs=60_000)
        gateway.child.say(note("notifications/resources/updated", uri="a:1"))
        for uri in ("a:1", "a:2"):
            post(one, request(1, "resources/read", uri=uri))
        assert [each["params"]["uri"] for each in gateway.child.asked("resources/read")] == [
            "a:1",
            "a:2",
            "a:1",
        ]

    def test_another_child(self, gateway: MemoryGateway) -> None:
        """A result of one child is not taken for the word of the next."""
        client = gateway.client("m")
        self.read(gateway, client, ttlMs=60_000)
        gateway.child.exit(1)
        assert self.read(gateway, client, ttlMs=60_000) == 1
        assert len(gateway.launcher.children) == 2

    def test_an_error(self, gateway: MemoryGateway) -> None:
        """Errors are not kept."""
        client = gateway.client("m")
        for times in (1, 2):
            post(client, request(1, "prompts/list"))
            assert len(gateway.child.asked("prompts/list")) == times
            refuse(gateway.child, gateway.child.asked("prompts/list")[-1])


class DiscoverTests:
    """server/discover."""

    def discover(self, gateway: MemoryGateway, client: Client, envelope: Any = None) -> Any:
        """Ask which revisions there are; what came of it."""
        post(client, request("d", "server/discover", envelope))
        if client.heard is None:
            done(gateway.child, gateway.child.asked("server/discover")[-1], **_DISCOVERED)
        assert client.heard is not None
        return client.heard

    def test_native(self, gateway: MemoryGateway) -> None:
        """The server's own answer; of what it speaks only what is served here too."""
        client = gateway.client("m")
        post(client, request("d", "server/discover"))
        said = {**_DISCOVERED, "ttlMs": 9000, "supportedVersions": ["2026-07-28", "2099-01-01"]}
        if client.heard is None:
            done(gateway.child, gateway.child.asked("server/discover")[-1], **said)
        assert reply(client)["result"]["supportedVersions"] == ["2026-07-28"]
        post(client, request("d", "server/discover"))
        assert reply(client)["result"]["supportedVersions"] == ["2026-07-28"]

    def test_a_server_of_the_other_era(self, gateway: MemoryGateway) -> None:
        """The refusal names the legacy revisions, in the words that make clients of both eras fall back."""
        gateway.launcher.eras = {}
        client = gateway.client()
        answer = self.discover(gateway, client)
        assert (answer.status, answer.json["id"]) == (400, "d")
        assert answer.json["error"] == {"code": -32000, "message": UNSUPPORTED}
        assert gateway.child.is_killed or gateway.child.is_stopping

    @pytest.mark.parametrize("info", [{"name": "c", "version": "1"}, {}, None])
    @pytest.mark.parametrize("sessions", [1, 3])
    def test_beside_a_legacy_child(self, gateway: MemoryGateway, sessions: int, info: Any) -> None:
        """The eras of the server are offered to a client that asks, at once and each time, whatever runs already."""
        for _ in range(sessions):
            gateway.session()
        client = gateway.client()
        for _ in range(3):
            envelope = meta(**{PREFIX + "clientInfo": info}) if info is not None else meta()
            answer = self.discover(gateway, client, envelope)
            assert (answer.status, answer.json["result"]["supportedVersions"]) == (200, ["2026-07-28"])
        living = [each for each in gateway.launcher.children if not each.is_stopping]
        assert [bool(each.asked("initialize")) for each in living] == [True, False]

    def test_without_asking(self, gateway: MemoryGateway) -> None:
        """A client need not ask first: one that simply calls is served in the same way."""
        gateway.session()
        call(gateway, gateway.client())
        assert len(gateway.child.asked("tools/call")) == 1


class TaskTests:
    """Tasks (io.modelcontextprotocol/tasks)."""

    def begin(self, gateway: MemoryGateway, client: Client, identifier: str = "k") -> None:
        """Begin a task."""
        asked = call(gateway, client, 1, envelope=DECLARES_TASKS)
        gateway.child.answer(asked, {"resultType": "task", "taskId": identifier, "status": "working"})
        assert reply(client)["result"]["taskId"] == identifier

    @pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
    def test_whose(self, gateway: MemoryGateway, method: str) -> None:
        """A task is known to whoever began it, on any connection, and to no other principal."""
        one, two = pair(gateway)
        other = gateway.client("m", **OTHER)
        self.begin(gateway, one)
        for client in (two, other):
            post(client, request(2, method, DECLARES_TASKS, taskId="k"))
        (asked,) = gateway.child.asked(method)
        done(gateway.child, asked, taskId="k")
        assert reply(two)["result"]["taskId"] == "k"
        assert refusal(other) == (200, -32602, 2)

    @pytest.mark.parametrize("params", [{}, {"taskId": "strange"}])
    def test_strange(self, gateway: MemoryGateway, params: dict[str, Any]) -> None:
        """A task that nobody began is not asked for."""
        client = gateway.client("m")
        post(
            client, request(2, "tasks/get", DECLARES_TASKS, **params), Mcp_Name=str(params.get("taskId", ""))
        )
        assert refusal(client) == (200, -32602, 2)
        assert not gateway.launcher.children or not gateway.child.asked("tasks/get")

    @pytest.mark.parametrize(
        "capabilities", [{}, {"extensions": None}, {"extensions": 5}, {"extensions": TASKS}, {"x": TASKS}]
    )
    def test_undeclared(self, gateway: MemoryGateway, capabilities: dict[str, Any]) -> None:
        """A client that does not declare tasks is told which capability it lacks, and begins none."""
        client = gateway.client("m")
        envelope = meta(**{PREFIX + "clientCapabilities": capabilities})
        post(client, request(2, "tasks/get", envelope, taskId="k"))
        assert refusal(client) == (400, -32021, 2)
        assert client.heard is not None
        needed = client.heard.json["error"]["data"]["requiredCapabilities"]
        assert needed == {"extensions": {TASKS: {}}}
        call(gateway, client, 3, envelope=envelope)


class StatefulTests:
    """Servers that keep state for each client: a child for each process that calls."""

    def come_from(
        self, gateway: MemoryGateway, pid: int = 0, inode: int = 0, *, socket: bool = False
    ) -> None:
        """Say where the connections come from that follow."""
        address = UNIXAddress(b"") if socket else IPv4Address("TCP", "127.0.0.1", inode or 1)
        reach = Reach.SOCKET if socket else Reach.LOOPBACK
        gateway.factory.shared.introduce = lambda _: HttpPeer(address, reach, pid, inode)

    def children(self, gateway: MemoryGateway) -> list[int]:
        """Return the number of calls that each living child has got."""
        living = [each for each in gateway.launcher.children if not each.is_stopping]
        return [len(each.asked("prompts/list")) for each in living]

    def ask(self, gateway: MemoryGateway, **headers: str) -> Client:
        """Ask for something on a new connection."""
        client = gateway.client("mine", **headers)
        post(client, request(1, "prompts/list"))
        return client

    def test_a_unix_socket(self, gateway: MemoryGateway) -> None:
        """The kernel says which process it is; its connections share a child, another's have another."""
        for pid in (11, 11, 12):
            self.come_from(gateway, pid=pid, socket=True)
            self.ask(gateway)
        assert self.children(gateway) == [2, 1]
        assert gateway.processes.searches == []

    def test_a_loopback_socket(self, gateway: MemoryGateway) -> None:
        """The process at the other end of a connection is looked for, once for each connection."""
        gateway.processes.sockets = {101: 11, 102: 11, 103: 12}
        for inode in (101, 102, 103):
            self.come_from(gateway, inode=inode)
            client = self.ask(gateway)
            done(gateway.child, gateway.child.asked("prompts/list")[-1])
            post(client, request(2, "prompts/list"))
        assert self.children(gateway) == [4, 2]
        assert gateway.processes.searches == [{101}, {102}, {103}]

    def test_what_it_says(self, gateway: MemoryGateway) -> None:
        """A relay says which process each request is of."""
        for pid in ("11", "12", "11"):
            self.ask(gateway, **{"X-Client-Pid": pid})
        assert self.children(gateway) == [2, 1]

    def test_between_principals(self, gateway: MemoryGateway) -> None:
        """A process that comes as two principals has two children."""
        self.ask(gateway, **{"X-Client-Pid": "11"})
        self.ask(gateway, **{"X-Client-Pid": "11"}, **OTHER)
        assert self.children(gateway) == [1, 1]

    def test_nobody_knows(self, gateway: MemoryGateway) -> None:
        """Where nothing says which process it is, a client is told in the words that make it fall back."""
        self.come_from(gateway, inode=404)
        client = self.ask(gateway)
        assert refusal(client) == (400, -32000, 1)
        assert client.heard is not None
        assert client.heard.json["error"]["message"] == UNSUPPORTED
        gateway.factory.shared.introduce = lambda _: HttpPeer(
            IPv4Address("TCP", "10.0.0.1", 1), Reach.LOOPBACK
        )
        assert refusal(self.ask(gateway)) == (400, -32000, 1)
        assert gateway.launcher.children == []

    def test_the_process_ends(self, gateway: MemoryGateway) -> None:
        """The child of a process that ends is stopped and its calls are over; others' go on, and its number
        may come again.
        """
        mine = self.ask(gateway, **{"X-Client-Pid": "11"})
        self.ask(gateway, **{"X-Client-Pid": "12"})
        gateway.processes.exit(11)
        assert self.children(gateway) == [1]
        assert reply(mine)["error"]["code"] == -32603
        gateway.processes.dead.clear()
        self.ask(gateway, **{"X-Client-Pid": "11"})
        assert self.children(gateway) == [1, 1]
        assert len(gateway.hub.modern_dispatcher._of_peers) == 2

    def test_the_process_of_a_listener_ends(self, gateway: MemoryGateway) -> None:
        """A client that listens to the child of such a process is told that this is over."""
        client = gateway.client("mine", **{"X-Client-Pid": "11"})
        listen(client, "l", toolsListChanged=True)
        gateway.processes.exit(11)
        assert reply(client)["result"] == {"resultType": "complete", "_meta": {SUBSCRIPTION: "l"}}
        assert is_empty(gateway)

    def test_a_listener_is_no_idler(self, gateway: MemoryGateway) -> None:
        """A child that somebody listens to is kept, however long nothing is said."""
        client = gateway.client("mine", **{"X-Client-Pid": "11"})
        listen(client, "l", toolsListChanged=True)
        gateway.sessions.now += 10**6
        assert gateway.reaper.look_around() == 0
        hang_up(client)
        gateway.sessions.now += 10**6
        assert gateway.reaper.look_around() == 1
        assert self.children(gateway) == []

    def test_its_tasks(self, gateway: MemoryGateway) -> None:
        """A task of one process is none of another's."""
        one, two = (gateway.client("mine", **{"X-Client-Pid": pid}) for pid in ("11", "12"))
        asked = call(gateway, one, 1, envelope=DECLARES_TASKS)
        gateway.child.answer(asked, {"resultType": "task", "taskId": "k", "status": "working"})
        post(two, request(2, "tasks/get", DECLARES_TASKS, taskId="k"))
        assert refusal(two) == (200, -32602, 2)


class BothErasTests:
    """Clients of both eras at one server that speaks both."""

    def test_two_children(self, gateway: MemoryGateway) -> None:
        """Each era has its child; equal ids, tokens and messages of one never reach the clients of the other."""
        old, new = gateway.session(), gateway.client()
        old.call(1, "tools/call", name="t", _meta={"progressToken": 1})
        call(gateway, new, 1, envelope=meta(progressToken=1))
        legacy, probe, modern = gateway.launcher.children
        assert probe.is_stopping
        assert legacy.asked("initialize")
        assert not modern.asked("initialize")
        for child, of in ((legacy, "old"), (modern, "new")):
            asked = child.asked("tools/call")[0]
            child.say(note(PROGRESS, progressToken=asked["id"], progress=1, message=of))
            child.answer(asked, {"of": of})
        for client, of in ((old, "old"), (new, "new")):
            assert events(client)[0]["params"]["message"] == of
            assert reply(client)["result"]["of"] == of

    def test_one_of_them_ends(self, gateway: MemoryGateway) -> None:
        """A modern child that ends does not touch the legacy one, nor its clients."""
        old, new = gateway.session(), gateway.client()
        ears = gateway.listen(old)
        old.call(1)
        call(gateway, new, 1)
        legacy, _, modern = gateway.launcher.children
        modern.exit(1)
        assert refusal(new) == (200, -32603, 1)
        assert old.heard is None
        assert methods(ears) == []
        legacy.answer(legacy.asked("tools/call")[0], {})
        assert reply(old)["result"] == {}

    def test_lists_change(self, gateway: MemoryGateway) -> None:
        """The clients of one era hear which lists the child of their era calls changed."""
        old, new = gateway.session(), gateway.client()
        ears = gateway.listen(old)
        listen(new, toolsListChanged=True)
        legacy, _, modern = gateway.launcher.children
        modern.say(note("notifications/tools/list_changed"))
        assert methods(ears) == []
        legacy.say(note("notifications/tools/list_changed"))
        assert methods(ears) == ["notifications/tools/list_changed"]
        assert events(new) == []
