"""A slot: one child and all the sessions that use it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mcpgateway.backends.conversation import Conversation
from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import Unreachable
from mcpgateway.hub.children.child_start import PERMIT_S
from mcpgateway.interfaces import Gone
from mcpgateway.protocol.jsonrpc import BATCH_LIMIT
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import HELLO, Client, MemoryGateway

SET_LEVEL = "logging/setLevel"


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def said(gateway: MemoryGateway) -> list[str]:
    """The levels the latest child was asked for."""
    return [each["params"]["level"] for each in gateway.child.asked(SET_LEVEL)]


def wish(gateway: MemoryGateway, client: Client, level: str) -> Any:
    """The answer to a client that asks for a level, by a server that agrees to everything."""
    before = len(said(gateway))
    client.call(1, SET_LEVEL, level=level)
    for request in gateway.child.asked(SET_LEVEL)[before:]:
        gateway.child.answer(request, {})
    assert client.heard is not None
    return client.heard.json.get("result", client.heard.json.get("error"))


class LevelTests:
    """The one log level of a child that several sessions share."""

    def test_nobody_is_silenced(self, gateway: MemoryGateway) -> None:
        """A client that wants to hear little does not keep messages from others that have set no level."""
        one, two = gateway.session(), gateway.session()
        assert wish(gateway, one, "emergency") == {}
        assert said(gateway) == ["debug"]
        assert wish(gateway, two, "error") == {}
        assert said(gateway) == ["debug", "error"]
        gateway.session()
        assert said(gateway) == ["debug", "error", "debug"]
        gateway.session()
        assert said(gateway)[3:] == []

    def test_nobody_is_silenced_by_one_who_has_gone(self, gateway: MemoryGateway) -> None:
        """A level that the only session wished for does not outlive it."""
        one = gateway.session()
        wish(gateway, one, "emergency")
        one.ask(b"", "DELETE")
        assert said(gateway) == ["emergency"]
        gateway.session()
        assert said(gateway) == ["emergency", "debug"]

    def test_the_silent_leave(self, gateway: MemoryGateway) -> None:
        """When all who are left have said what they want to hear, the server need not say more."""
        one, silent, other = (gateway.session() for _ in range(3))
        wish(gateway, one, "error")
        silent.ask(b"", "DELETE")
        assert said(gateway) == ["debug"]
        other.ask(b"", "DELETE")
        assert said(gateway) == ["debug", "error"]

    def test_nobody_has_wished(self, gateway: MemoryGateway) -> None:
        """The server is left alone as long as nobody has asked for any level, after a respawn too."""
        one, two = gateway.session(), gateway.session()
        two.ask(b"", "DELETE")
        gateway.child.exit(1)
        one.call(1)
        assert said(gateway) == []

    def test_after_a_respawn(self, gateway: MemoryGateway) -> None:
        """The new child is set to what those who are there now want, not to what its forerunner was set to."""
        one, two = gateway.session(), gateway.session()
        wish(gateway, one, "error")
        wish(gateway, two, "warning")
        gateway.child.exit(1)
        two.ask(b"", "DELETE")
        one.call(2)
        assert said(gateway) == ["error"]
        gateway.client(**one.headers).ask(b"", "DELETE")
        gateway.child.exit(1)
        gateway.session()
        assert said(gateway) == []

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """A request without a session id decides for nobody else."""
        one, nobody = gateway.session(), gateway.client()
        wish(gateway, one, "error")
        for level in ("emergency", "debug"):
            assert wish(gateway, nobody, level) == {}
        assert said(gateway) == ["error"]

    def test_a_server_that_refuses(self, gateway: MemoryGateway) -> None:
        """A client that asks for a level that the server refused is refused it, also while it is still being asked."""
        clients = [gateway.session() for _ in range(3)]
        for client in clients[:2]:
            client.call(1, SET_LEVEL, level="error")
        for request in gateway.child.asked(SET_LEVEL):
            gateway.child.say(
                {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "no"}}
            )
        clients[2].call(1, SET_LEVEL, level="error")
        request = gateway.child.asked(SET_LEVEL)[-1]
        gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "no"}})
        for client in clients:
            assert client.heard is not None
            assert client.heard.json["error"]["message"] == "no"

    def test_a_server_that_refuses_the_gateway(self, gateway: MemoryGateway) -> None:
        """A level that is refused to the gateway itself is not asked for again at each coming and going."""
        one = gateway.session()
        wish(gateway, one, "error")
        gateway.session()
        request = gateway.child.asked(SET_LEVEL)[-1]
        gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "no"}})
        for _ in range(3):
            gateway.session()
        assert said(gateway) == ["error", "debug"]
        assert wish(gateway, one, "debug") == {}
        assert said(gateway) == ["error", "debug", "debug"]

    def test_a_wish_that_waited(self) -> None:
        """A wish that waited for the child does not silence what a session that came back meanwhile wants to hear."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        quiet, curious = before.session(), before.session()
        curious.call(1, SET_LEVEL, level="info")
        after = MemoryGateway(store=store)
        after.launcher.hello = None
        after.client(**quiet.headers).call(1, SET_LEVEL, level="error")
        after.client(**curious.headers).call(2, "ping")
        (handshake,) = after.child.asked("initialize")
        after.child.answer(handshake, HELLO)
        assert {each["params"]["level"] for each in after.child.asked(SET_LEVEL)} == {"info"}


def conversation(gateway: MemoryGateway) -> Conversation:
    """The conversation with the shared child."""
    speaking = gateway.dispatcher.pool.shared(gateway.dispatcher.server("shared")).speaking
    assert speaking is not None
    return speaking


def result(request: dict[str, Any], value: Any) -> dict[str, Any]:
    """The answer to a request."""
    return {"jsonrpc": "2.0", "id": request["id"], "result": value}


class ArrayTests:
    """Arrays of messages from a child."""

    @pytest.fixture
    def gateway(self) -> MemoryGateway:
        """A gateway whose servers speak the one revision that has batches."""
        gateway = MemoryGateway()
        gateway.launcher.hello = {**HELLO, "protocolVersion": "2025-03-26"}
        return gateway

    def test_each_by_itself(self, gateway: MemoryGateway) -> None:
        """Answers, notifications and questions in one array go where each would go alone, in their order."""
        one, two = gateway.session(), gateway.session()
        for client in (one, two):
            client.call(1, _meta={"progressToken": "t"})
        first, second = gateway.child.asked("tools/call")
        progress = {"progressToken": first["params"]["_meta"]["progressToken"], "progress": 1}
        gateway.child.say(
            [
                {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress},
                result(second, {"big": 1.50}),
                {"jsonrpc": "2.0", "id": "p", "method": "ping"},
                result(first, {}),
            ]
        )
        assert one.heard is not None
        assert [each.get("method", "answer") for each in one.heard.events] == [
            "notifications/progress",
            "answer",
        ]
        assert two.heard is not None
        assert two.heard.json == {"jsonrpc": "2.0", "id": 1, "result": {"big": 1.5}}
        assert {"jsonrpc": "2.0", "id": "p", "result": {}} in gateway.child.received

    def test_nonsense(self, gateway: MemoryGateway) -> None:
        """An element that is no message is counted, and the others are heard."""
        client = gateway.session()
        client.call(1)
        (request,) = gateway.child.asked("tools/call")
        gateway.child.say([7, [result(request, {"wrong": True})], None, {}, result(request, {})])
        assert client.heard is not None
        assert client.heard.json["result"] == {}
        assert conversation(gateway).strays == 4

    @pytest.mark.parametrize("size", [0, BATCH_LIMIT + 1])
    def test_bounds(self, gateway: MemoryGateway, size: int) -> None:
        """An array without messages, or with too many, is one stray line."""
        gateway.session()
        gateway.child.say([{"jsonrpc": "2.0", "id": 1, "method": "ping"}] * size)
        assert conversation(gateway).strays == 1
        assert not any("result" in each for each in gateway.child.received)

    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-06-18", "2025-11-25"])
    def test_other_revisions(self, gateway: MemoryGateway, revision: str) -> None:
        """Revisions other than 2025-03-26 have no arrays."""
        gateway.launcher.hello = {**HELLO, "protocolVersion": revision}
        client = gateway.session()
        client.call(1)
        (request,) = gateway.child.asked("tools/call")
        gateway.child.say([result(request, {})])
        assert client.heard is None
        assert conversation(gateway).strays == 1


class HandshakeTests:
    """Messages of a child before its answer to initialize."""

    @pytest.mark.parametrize("server", ["own", "shared", "asks"])
    def test_a_question(self, server: str) -> None:
        """A question is refused at once, since its client can answer nothing yet; a ping is answered."""
        gateway = MemoryGateway(more=(ServerSpec("asks", ("run",), {}, "/", interactive=True),))
        gateway.launcher.hello = None
        client = gateway.client(server)
        client.call(0, "initialize", protocolVersion="2025-06-18", capabilities={"roots": {}})
        gateway.child.say({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})
        gateway.child.say({"jsonrpc": "2.0", "id": "p", "method": "ping"})
        handshake, refusal, pong = gateway.child.received
        assert (refusal["id"], refusal["error"]["code"]) == ("q", -32601)
        assert (pong["id"], pong["result"]) == ("p", {})
        gateway.child.answer(handshake, HELLO)
        assert client.heard is not None
        assert client.heard.status == 200
        assert len(gateway.dispatcher.questions) == 0

    def test_right_after_it(self) -> None:
        """A question right after the handshake is its client's to answer."""
        gateway = MemoryGateway()
        client = gateway.client("own")
        client.initialize(protocolVersion="2025-06-18", capabilities={"roots": {}})
        gateway.child.say({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})
        assert len(gateway.dispatcher.questions) == 1

    def test_one_whose_entry_changes_meanwhile(self) -> None:
        """A session that begins with it begins with the child of the new definition."""
        gateway = MemoryGateway()
        gateway.launcher.hello = None
        client = gateway.client("shared")
        client.call(0, "initialize", protocolVersion="2025-06-18")
        former = gateway.child
        former.lingers = Deferred()
        for number in range(3):
            gateway.edit("shared", env={"N": str(number)})
        former.exit(0)
        former.lingers.callback(None)
        assert client.heard is None
        gateway.child.answer(gateway.child.asked("initialize")[0], HELLO)
        assert client.heard is not None
        assert client.heard.status == 200
        assert len(gateway.launcher.children) == 2

    def test_one_that_is_stopped_meanwhile(self) -> None:
        """A child that is stopped in its handshake ends in its own time, and that is no failure of the server's."""
        gateway = MemoryGateway()
        gateway.launcher.hello = None
        server = gateway.dispatcher.server("shared")
        slot = gateway.dispatcher.pool.probe(server, Era.LEGACY)
        slot.want()
        child = gateway.child
        child.lingers = Deferred()
        with capturedLogs() as events:
            slot.close()
            child.answer(child.asked("initialize")[0], HELLO)
            assert not child.is_killed
            child.exit(0)
            child.lingers.callback(None)
        assert "child.start_failed" not in [each.get("event") for each in events]
        assert gateway.health.record(server).last_error == ""
        assert gateway.health.record(server).breaker.is_closed


class PermitTests:
    """Children that start at once."""

    MANY = tuple(ServerSpec(f"s{number}", ("run",), {}, "/", share=Share.GLOBAL) for number in range(12))

    def wants(self, gateway: MemoryGateway, number: int) -> Client:
        """A client that begins a session with one of many servers."""
        client = gateway.client(f"s{number}")
        client.call(0, "initialize", protocolVersion="2025-06-18")
        return client

    def test_those_that_hang(self) -> None:
        """Children that do not answer their handshake keep others from starting for moments, not for minutes."""
        gateway = MemoryGateway(more=self.MANY, limits=Limits(spawns=5))
        gateway.launcher.hello = None
        for number in range(10):
            self.wants(gateway, number)
        healthy = self.wants(gateway, 10)
        assert len(gateway.launcher.children) == 5
        gateway.tick(int(PERMIT_S))
        assert len(gateway.launcher.children) == 10
        gateway.launcher.hello = dict(HELLO)
        gateway.tick(int(PERMIT_S))
        assert healthy.heard is not None
        assert healthy.heard.status == 200

    def test_one_permit_each(self) -> None:
        """A permit that a child gave back after a while is not given back again when its handshake ends."""
        gateway = MemoryGateway(more=self.MANY, limits=Limits(spawns=1))
        gateway.launcher.hello = None
        self.wants(gateway, 0)
        gateway.tick(int(PERMIT_S))
        self.wants(gateway, 1)
        first, second = gateway.launcher.children
        first.answer(first.asked("initialize")[0], HELLO)
        self.wants(gateway, 2)
        assert len(gateway.launcher.children) == 2
        second.exit(1)
        assert len(gateway.launcher.children) == 3
        gateway.tick(int(PERMIT_S) - 1)
        self.wants(gateway, 3)
        assert len(gateway.launcher.children) == 3
        gateway.tick()
        assert len(gateway.launcher.children) == 4


class LossTests:
    """A child that ends before it has begun."""

    def test_known_reason(self, gateway: MemoryGateway) -> None:
        """Where it is known better than that it has ended, that is what those are told who wait for it."""
        gateway.launcher.hello = None
        client = gateway.client()
        client.send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}})
        why = Unreachable("far: no connection to 10.0.0.1:80", "look after it")
        gateway.child._receiver.gone(Gone(fault=why.message, is_unreachable=True, error=why))
        assert client.heard is not None
        error = client.heard.json["error"]
        assert error["message"] == why.message
        assert error["data"]["hint"] == "look after it"
