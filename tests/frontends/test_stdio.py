"""The connections of shims: lines both ways, in both eras, and the sessions on them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.frontends.stdio import BEHIND_LIMIT, CALLS_LIMIT
from mcpgateway.policy.progress import SILENT_TICKS
from mcpgateway.protocol.versions import Era
from tests.support.doors import MemoryTransport
from tests.support.gateway_in_memory import HELLO, MemoryGateway

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
PID = 4321


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


class Shim:
    """A client behind a shim.

    :ivar session: what the gateway has told the shim to come back with.
    """

    def __init__(
        self, gateway: MemoryGateway, path: str = "/mcp/shared", early: bytes = b"", **headers: str
    ) -> None:
        self.session = ""
        self.taken: int | None = None
        self.gateway = gateway
        self.transport = MemoryTransport()
        self.channel = gateway.factory.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        given = {"Host": "localhost", "X-Mcpgateway-Stdio": "1", "X-Client-Pid": str(PID), **headers}
        given |= {"Connection": "Upgrade", "Upgrade": "mcp-stdio"}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
        self.channel.dataReceived(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() + early)

    @property
    def status(self) -> int:
        """With what the request was answered."""
        return int(self.transport.taken.split(b" ", 2)[1])

    @property
    def said(self) -> list[Any]:
        """The messages for the client; those for the shim are kept."""
        _, _, text = self.transport.taken.partition(b"\r\n\r\n")
        found = []
        for line in text.splitlines():
            if line.startswith(b"#session "):
                self.session = line[9:].decode()
            elif line.startswith(b"#closing "):
                self.taken = int(line[9:])
            else:
                found.append(json.loads(line))
        return found

    @property
    def last(self) -> Any:
        """The latest message for the client."""
        return self.said[-1]

    def say(self, *messages: Any) -> None:
        """Say messages at once; bytes as they are."""
        lines = (each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in messages)
        self.channel.dataReceived(b"".join(lines))

    def ask(self, number: Any, method: str, **params: Any) -> None:
        """Say a request."""
        self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def notify(self, method: str, **params: Any) -> None:
        """Say a notification."""
        self.say({"jsonrpc": "2.0", "method": method, "params": params})

    def open(self, version: str = "2025-11-25", **capabilities: Any) -> None:
        """Begin a session."""
        self.ask(0, "initialize", protocolVersion=version, capabilities=capabilities)
        self.notify("notifications/initialized")

    def leave(self, *, in_order: bool = True) -> None:
        """End the connection."""
        self.channel.connectionLost(Failure(ConnectionDone() if in_order else ConnectionLost()))


@pytest.fixture
def shim(gateway: MemoryGateway) -> Shim:
    """A client with a session."""
    made = Shim(gateway)
    made.open()
    return made


class OpeningTests:
    """The opening of a connection for lines."""

    def test_it_is_upgraded(self, gateway: MemoryGateway) -> None:
        """The protocol is agreed on, and how long a line may be is said."""
        made = Shim(gateway)
        head = made.transport.taken.lower()
        assert made.status == 101
        assert b"upgrade: mcp-stdio\r\n" in head
        assert b"x-mcpgateway-line-limit: %d\r\n" % Limits().body_bytes in head

    @pytest.mark.parametrize("path", ["/mcp", "/mcp/full", "/shared/mcp"])
    def test_each_endpoint(self, gateway: MemoryGateway, path: str) -> None:
        """Views and the other spellings of a server's endpoint can be spoken to in lines."""
        assert Shim(gateway, path).status == 101

    def test_an_unknown_server(self, gateway: MemoryGateway) -> None:
        """A server that is not known is refused as for any request."""
        assert Shim(gateway, "/mcp/nobody").status == 404

    def test_an_unknown_session(self, gateway: MemoryGateway) -> None:
        """A session that is not known is refused, in words of JSON-RPC."""
        made = Shim(gateway, Mcp_Session_Id="nothing")
        assert made.status == 404
        assert made.last["error"]["code"] == -32001

    def test_a_wrong_token(self, gateway: MemoryGateway) -> None:
        """The guard judges this request as any other."""
        assert Shim(gateway, Authorization="Bearer wrong").status == 401

    def test_early_lines(self, gateway: MemoryGateway) -> None:
        """A line behind the head, before that is answered, is the first line."""
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode() + b"\n"
        assert Shim(gateway, early=line).last == {"jsonrpc": "2.0", "id": 1, "result": {}}


class LegacyTests:
    """The era of sessions."""

    def test_a_session(self, gateway: MemoryGateway, shim: Shim) -> None:
        """The answer to an initialize has no header: the id is told to the shim alone."""
        assert shim.said[0]["result"]["serverInfo"]["name"] == "m"
        assert shim.session
        assert len(gateway.sessions) == 1

    def test_a_call(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A request is answered under its client's id, however its line was cut."""
        line = (
            json.dumps({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "x"}}) + "\n"
        )
        for each in line.encode():
            shim.say(bytes((each,)))
        gateway.child.answer(gateway.child.received[-1], {"ok": True})
        assert shim.last == {"jsonrpc": "2.0", "id": "a", "result": {"ok": True}}

    def test_what_comes_behind_an_initialize(self, gateway: MemoryGateway) -> None:
        """Lines wait until the session has begun."""
        gateway.launcher.hello = None
        made = Shim(gateway)
        made.open()
        made.ask(1, "tools/list")
        assert made.said == []
        child = gateway.child
        child.answer(child.received[0], HELLO)
        assert child.received[-1]["method"] == "tools/list"

    def test_news(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A notification that belongs to no call comes on the same connection."""
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        assert shim.last["method"] == "notifications/tools/list_changed"

    def test_progress_and_signs(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A call that its server says nothing about is shown to live."""
        shim.ask(1, "tools/call", name="x", _meta={"progressToken": "p"})
        gateway.tick(SILENT_TICKS)
        assert shim.last["params"]["progressToken"] == "p"

    def test_cancel(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A request that is called off is not answered."""
        shim.ask(1, "tools/call", name="x")
        before = len(shim.said)
        shim.notify("notifications/cancelled", requestId=1)
        assert gateway.child.received[-1]["method"] == "notifications/cancelled"
        assert len(shim.said) == before

    @pytest.mark.parametrize(
        ("line", "identifier", "code"),
        [
            (b"{broken\n", None, -32700),
            (b'{"jsonrpc":"1.0","id":5,"method":"x"}\n', 5, -32600),
            (b"[]\n", None, -32600),
        ],
    )
    def test_no_messages(self, shim: Shim, line: bytes, identifier: Any, code: int) -> None:
        """A line that is no message gets an error, under its id where it has one."""
        shim.say(line)
        assert (shim.last["id"], shim.last["error"]["code"]) == (identifier, code)

    def test_an_id_twice(self, shim: Shim) -> None:
        """A request may not have the id of one that is under way, however that is spelled."""
        shim.ask("a", "tools/call", name="x")
        shim.say(b'{"jsonrpc":"2.0","id":"\\u0061","method":"tools/call","params":{"name":"x"}}\n')
        assert shim.last["error"]["code"] == -32600

    def test_a_batch(self, gateway: MemoryGateway) -> None:
        """A batch of 2025-03-26 is answered in one line."""
        made = Shim(gateway)
        made.open("2025-03-26")
        made.say([{"jsonrpc": "2.0", "id": each, "method": "ping"} for each in (1, 2)])
        assert [each["id"] for each in made.last] == [1, 2]

    def test_another_beginning(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A client that begins a session has left its former one."""
        former = shim.session
        shim.open()
        assert shim.said
        assert len(gateway.sessions) == 1
        assert shim.session != former

    def test_disabled(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A gateway that is switched off says so."""
        gateway.root.switch(True)
        shim.ask(1, "tools/call", name="x")
        assert shim.last["error"]["message"] == "Gateway is disabled"


class ModernTests:
    """The era without sessions."""

    @pytest.fixture
    def modern(self) -> MemoryGateway:
        """A gateway whose shared server speaks that era only."""
        made = MemoryGateway()
        made.launcher.eras["shared"] = (Era.MODERN,)
        return made

    def test_a_call(self, modern: MemoryGateway) -> None:
        """A request is answered without any beginning."""
        made = Shim(modern)
        made.ask(1, "tools/call", name="x", _meta=MODERN)
        sent = modern.child.received[-1]
        modern.child.answer(sent, {"content": [], "resultType": "complete"})
        assert made.last["id"] == 1
        assert "result" in made.last

    def test_cancel(self, modern: MemoryGateway) -> None:
        """A request is called off by its notification."""
        made = Shim(modern)
        made.ask(1, "tools/call", name="x", _meta=MODERN)
        assert len(modern.dispatcher.calls) == 1
        made.notify("notifications/cancelled", requestId=1)
        assert len(modern.dispatcher.calls) == 0

    def test_a_shim_that_leaves(self, modern: MemoryGateway) -> None:
        """The end of a connection takes its requests back."""
        made = Shim(modern)
        made.ask(1, "tools/call", name="x", _meta=MODERN)
        made.leave()
        assert len(modern.dispatcher.calls) == 0

    def test_both_eras(self, modern: MemoryGateway) -> None:
        """A client that has spoken the modern era may begin a session afterwards."""
        made = Shim(modern)
        made.ask(1, "initialize", _meta=MODERN)
        made.ask(2, "initialize", protocolVersion="2025-11-25", capabilities={})
        assert [each["id"] for each in made.said] == [1, 2]
        assert made.said[0]["error"]["code"] == -32601


class EndTests:
    """Ends of connections and sessions."""

    def test_a_shim_that_leaves(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A shim that closes its connection ends its session, and the calls of it."""
        shim.ask(1, "tools/call", name="x")
        shim.leave()
        assert len(gateway.sessions) == 0
        assert len(gateway.dispatcher.calls) == 0

    def test_a_connection_that_breaks(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A broken connection leaves the session, which another connection goes on with."""
        assert shim.said
        shim.leave(in_order=False)
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        again = Shim(gateway, Mcp_Session_Id=shim.session)
        assert again.status == 101
        assert again.last["method"] == "notifications/tools/list_changed"
        again.ask(1, "ping")
        assert again.last["id"] == 1
        assert len(gateway.sessions) == 1

    def test_its_process_ends(self, gateway: MemoryGateway, shim: Shim) -> None:
        """The session belongs to the shim's process."""
        shim.leave(in_order=False)
        gateway.processes.exit(PID)
        assert len(gateway.sessions) == 0

    def test_a_session_that_is_ended(self, gateway: MemoryGateway, shim: Shim) -> None:
        """When somebody else ends the session the connection ends, so that its shim begins another."""
        assert shim.said
        gateway.dispatcher.end_named(shim.session.encode())
        assert shim.said
        assert shim.taken == 2
        assert shim.transport.is_closing
        assert Shim(gateway, Mcp_Session_Id=shim.session).status == 404

    def test_a_line_for_a_session_that_is_ended(self, gateway: MemoryGateway) -> None:
        """A line for a session that has ended is not taken: it can be sent again."""
        made = Shim(gateway)
        made.ask(0, "initialize", protocolVersion="2025-11-25", capabilities={})
        assert made.said
        gateway.dispatcher.end_named(made.session.encode())
        made.ask(1, "ping")
        assert len(made.said) == 1
        assert made.taken == 1

    def test_a_server_that_is_removed(self, gateway: MemoryGateway) -> None:
        """A server that is not defined any more takes nothing, in either era."""
        made = Shim(gateway)
        gateway.serve(*(each for each in gateway.settings.servers if each.name != "shared"))
        made.ask(1, "tools/list", _meta=MODERN)
        assert made.said == []
        assert made.taken == 0
        assert made.transport.is_closing

    def test_the_gateway_stops(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A gateway that stops answers what is under way, takes nothing more, and says how much it took."""
        shim.ask(1, "tools/call", name="x")
        call = gateway.child.received[-1]
        gateway.door.streams.close()
        shim.ask(2, "ping")
        gateway.child.answer(call, {"ok": True})
        assert shim.last["id"] == 1
        assert shim.taken == 3
        assert shim.transport.is_closing
        assert len(gateway.sessions) == 1


class PressureTests:
    """More than fits."""

    def test_a_line_that_is_too_long(self) -> None:
        """A line beyond the limit is refused, and the next one is served."""
        gateway = MemoryGateway(limits=evolve(Limits(), body_bytes=1024))
        made = Shim(gateway)
        for _ in range(3):
            made.say(b"x" * 1000)
        made.say(b"\n")
        made.ask(1, "ping")
        assert [each["id"] for each in made.said] == [None, 1]

    def test_a_message_that_is_too_long(self) -> None:
        """A message beyond the limit that came at once is refused under its id."""
        gateway = MemoryGateway(limits=evolve(Limits(), body_bytes=1024))
        made = Shim(gateway)
        made.ask(7, "ping", text="x" * 1100)
        assert (made.last["id"], made.last["error"]["code"]) == (7, -32000)

    def test_a_client_that_does_not_read(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A client that does not read is not read either; it misses notifications, and no answer."""
        shim.transport.reads = False
        for number in range(3):
            shim.ask(number + 1, "tools/call", name="x")
        calls = gateway.child.received[-3:]
        gateway.child.answer(calls[0], {"text": "x" * 2 * BEHIND_LIMIT})
        assert not shim.transport.is_producing
        gateway.child.answer(calls[1], {"text": "x" * 2 * BEHIND_LIMIT})
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/message"})
        gateway.child.answer(calls[2], {})
        shim.ask(9, "ping")
        shim.transport.reads = True
        shim.transport.read()
        assert [each.get("id") for each in shim.said[-4:]] == [1, 2, 3, 9]
        assert shim.transport.is_producing

    def test_many_calls(self, gateway: MemoryGateway, shim: Shim) -> None:
        """A shim has so many requests under way, and the others wait in it."""
        for number in range(CALLS_LIMIT):
            shim.ask(number + 1, "tools/call", name="x")
        assert not shim.transport.is_producing
        gateway.child.answer(gateway.child.received[-1], {})
        assert shim.transport.is_producing
