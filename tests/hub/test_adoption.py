"""Other servers in place of those that are served, while clients use them."""

import pytest
from attrs import evolve
from twisted.logger import capturedLogs

from mcpgateway.config.gateway_settings import GatewaySettings, Limits
from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.config.surface import Level
from mcpgateway.hub.children.start_limiter import StartLimiter
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.modern_client import (
    acknowledge,
    call,
    done,
    dual_gateway,
    listen,
    methods,
    post,
    reply,
    request,
)

TOOLS_CHANGED = "notifications/tools/list_changed"


def server(gateway, name):
    """The definition in force of a server."""
    return gateway.dispatcher.servers[name]


def without(gateway, name):
    """All servers but one."""
    return [each for each in gateway.settings.servers if each.name != name]


class SameTests:
    """Servers that did not change."""

    def test_they_go_on(self):
        """The sessions, children and calls of a server are left alone when another comes, changes or goes."""
        gateway = MemoryGateway()
        client = gateway.session()
        child = gateway.child
        client.call(1)
        more = ServerSpec("more", ("run",), {}, "/", share=Share.GLOBAL)
        gateway.serve(*gateway.settings.servers, more)
        gateway.edit("own", command=("other",))
        gateway.serve(*without(gateway, "more"))
        child.answer(child.asked("tools/call")[0], {"x": 1})
        assert client.heard.json["result"] == {"x": 1}
        client.call(2)
        assert len(child.asked("tools/call")) == 2
        assert not child.is_stopping


class SwitchedTests:
    """Servers that are switched off and on."""

    def test_said(self):
        """The log says that this is why a session is put aside, and not how the server is shared."""
        gateway = MemoryGateway()
        gateway.session()
        with capturedLogs() as logs:
            gateway.edit("shared", enabled=False)
            gateway.edit("shared", share=Share.SESSION)
        (why,) = (each["why"] for each in logs if each.get("event") == "session.parked")
        assert why == "its server is switched off"


class RemovedTests:
    """Servers that are no more."""

    @pytest.mark.parametrize("name", ["shared", "own"])
    def test_a_session(self, name):
        """The calls of a removed server are answered, its child is stopped, and its endpoint is unknown."""
        gateway = MemoryGateway()
        client = gateway.session(name)
        child = gateway.child
        client.call(1)
        gateway.serve(*without(gateway, name))
        assert client.heard.json["error"]["message"] == "Session has ended"
        assert child.is_stopping
        assert len(gateway.sessions) == 0
        assert list(gateway.dispatcher.pool) == []
        client.call(2)
        assert client.heard.status == 404
        assert len(gateway.launcher.children) == 1

    def test_requests_without_a_session(self):
        """A call under way without a session is answered when the child has ended."""
        gateway = MemoryGateway()
        client = gateway.client()
        client.call(1)
        gateway.serve(*without(gateway, "shared"))
        assert "error" in client.heard.json

    def test_it_comes_back(self):
        """A server of the same name is another one: nothing of the former is used."""
        gateway = MemoryGateway()
        old = server(gateway, "shared")
        gateway.session()
        gateway.serve(*without(gateway, "shared"))
        gateway.serve(*gateway.settings.servers, evolve(old, command=("other",)))
        gateway.session()
        (slot,) = gateway.dispatcher.pool
        assert slot.server.command == ("other",)

    def test_a_body_on_its_way(self):
        """A request whose head came before the edit is served by the definition in force, or by none."""
        gateway = MemoryGateway()
        client = gateway.session()
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}'
        head = (
            f"POST /shared/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Mcp-Session-Id: {client.headers['Mcp-Session-Id']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.transport.taken = b""
        client.channel.dataReceived(head.encode())
        gateway.edit("shared", command=("other",))
        client.channel.dataReceived(body)
        assert len(gateway.child.asked("tools/call")) == 1
        client.transport.taken = b""
        client.channel.dataReceived(head.encode())
        gateway.serve(*without(gateway, "shared"))
        client.channel.dataReceived(body)
        assert client.heard.status == 404

    def test_what_waits_for_it(self):
        """A client that waits for a removed server to start is told, and so is one that begins a session
        meanwhile.
        """
        gateway = MemoryGateway()
        gateway.launcher.hello = None
        client = gateway.client()
        client.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}})
        gateway.serve(*without(gateway, "shared"))
        assert "error" in client.heard.json
        assert len(gateway.sessions) == 0

    def test_the_modern_era(self):
        """A client that listens there hears the end of its stream."""
        gateway = dual_gateway()
        client = gateway.client("m")
        listen(client, toolsListChanged=True)
        acknowledge(gateway.child)
        gateway.serve(*without(gateway, "m"))
        assert reply(client)["result"]["resultType"] == "complete"
        assert gateway.child.is_stopping


class ChangedTests:
    """Servers that are defined otherwise."""

    @pytest.mark.parametrize("name", ["shared", "own"])
    def test_a_session(self, name):
        """A session goes on with another child, and its client is told to look again."""
        gateway = MemoryGateway()
        client = gateway.session(name)
        ears = gateway.listen(client)
        child = gateway.child
        gateway.edit(name, env={"A": "b"})
        assert child.is_stopping
        assert methods(ears)[-1] == TOOLS_CHANGED
        assert len(gateway.sessions) == 1
        client.call(1)
        assert gateway.child is not child
        assert len(gateway.child.asked("tools/call")) == 1
        (slot,) = gateway.dispatcher.pool
        assert slot.server.env == {"A": "b"}

    def test_a_call_under_way(self):
        """A call under way is answered when the former child ends."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(1)
        gateway.edit("shared", cwd="/tmp")
        assert "error" in client.heard.json

    def test_a_child_that_does_not_run(self):
        """A child that does not run is started by its new definition."""
        gateway = MemoryGateway()
        client = gateway.session()
        gateway.child.exit()
        gateway.edit("shared", command=("other",))
        assert len(gateway.launcher.children) == 1
        client.call(1)
        assert len(gateway.launcher.children) == 2

    def test_subscriptions(self):
        """Where somebody is subscribed the next child is started at once, and subscribed to the same."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(1, "resources/subscribe", uri="x:1")
        gateway.child.answer(gateway.child.asked("resources/subscribe")[0], {})
        gateway.edit("shared", command=("other",))
        assert len(gateway.launcher.children) == 2
        assert gateway.child.asked("resources/subscribe")[0]["params"] == {"uri": "x:1"}

    def test_only_a_limit(self):
        """A limit is kept by the child that runs."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(1)
        gateway.edit("shared", timeout_s=2.0)
        assert not gateway.child.is_stopping
        gateway.tick(4)
        assert "within 2 s" in client.heard.json["error"]["message"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"prefix": ""},
            {"expose_tools": False},
            {"pinned": ("x",)},
            {"shield": Level.LEAN, "shield_tools": {"x": Level.OFF}},
        ],
    )
    def test_only_how_it_is_shown(self, fields):
        """An edit of a server's face in views ends no call, no child and no session."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(1)
        gateway.edit("shared", **fields)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {"x": 1})
        assert client.heard.json["result"] == {"x": 1}
        client.call(2)
        assert len(gateway.child.asked("tools/call")) == 2
        assert (len(gateway.launcher.children), len(gateway.sessions)) == (1, 1)
        assert not gateway.child.is_stopping

    def test_shared_otherwise(self):
        """Sessions that are not to share any more go on by their ids, each with a child of its own."""
        gateway = MemoryGateway()
        one, two = gateway.session(), gateway.session()
        gateway.edit("shared", share=Share.SESSION)
        assert len(gateway.sessions) == 0
        one.call(1)
        two.call(1)
        assert len(gateway.launcher.children) == 3
        assert all(len(each.asked("tools/call")) == 1 for each in gateway.launcher.children[1:])

    def test_what_was_found_out_is_forgotten(self):
        """The era of a server, and the reason why it is not shared, are found out anew."""
        gateway = MemoryGateway(more=(ServerSpec("auto", ("run",), {}, "/"),))
        auto = server(gateway, "auto")
        gateway.dispatcher.pool.move(auto, "it asked")
        gateway.dispatcher.eras.learn(auto, Era.LEGACY, speaks=True)
        gateway.edit("auto", command=("other",))
        auto = server(gateway, "auto")
        assert gateway.dispatcher.pool.reason(auto) == ""
        assert gateway.dispatcher.eras.known(auto).legacy is None

    def test_while_it_is_found_out(self):
        """A throw-away child of the former definition is stopped, and says nothing of the next."""
        gateway = MemoryGateway(more=(ServerSpec("auto", ("run",), {}, "/"),))
        gateway.launcher.hello = None
        client = gateway.client("auto")
        client.send(
            {
                "jsonrpc": "2.0",
                "id": 0,
                "method": "initialize",
                "params": {"capabilities": {"sampling": {}}},
            }
        )
        former = list(gateway.launcher.children)
        gateway.edit("auto", command=("other",))
        assert all(each.is_stopping for each in former)
        gateway.tick(1)
        assert gateway.dispatcher.pool.reason(server(gateway, "auto")) == ""

    def test_the_modern_era(self):
        """Requests go to the next child, and who listens is told that everything may be another."""
        gateway = dual_gateway()
        client, ears = gateway.client("m"), gateway.client("m")
        listen(ears, toolsListChanged=True)
        acknowledge(gateway.child)
        former = gateway.child
        gateway.edit("m", command=("other",))
        assert former.is_stopping
        assert gateway.child is not former
        assert TOOLS_CHANGED in methods(ears)
        asked = call(gateway, client)
        done(gateway.child, asked, content=[])
        assert reply(client)["result"]["content"] == []

    def test_what_was_kept(self):
        """An answer of the former child is not given again."""
        gateway = dual_gateway()
        client = gateway.client("m")
        for _ in range(2):
            post(client, request(1, "tools/list"))
            asked = gateway.child.asked("tools/list")[-1]
            done(gateway.child, asked, tools=[], ttlMs=60_000, cacheScope="public")
            gateway.edit("m", command=(f"other{_}",))
        assert len(gateway.launcher.children) == 2

    def test_across_the_eras(self):
        """A modern client of a legacy server with state goes on with the next child of that server."""
        own = ServerSpec("asks", ("run",), {}, "/", share=Share.GLOBAL, interactive=True, protocol=Era.LEGACY)
        gateway = MemoryGateway(more=(own,), bridge=Bridge.ALWAYS)
        client = gateway.client("asks", X_Client_Pid="4711")
        envelope = request(1, "tools/call", name="t")["params"]["_meta"]
        envelope["io.modelcontextprotocol/clientCapabilities"] = {"sampling": {}}
        post(client, request(1, "tools/call", envelope, name="t"))
        former = gateway.child
        gateway.edit("asks", command=("other",))
        assert former.is_stopping
        post(client, request(2, "tools/call", envelope, name="t"))
        assert gateway.child is not former
        assert {slot.server.command for slot in gateway.dispatcher.pool} == {("other",)}
        gateway.serve(*without(gateway, "asks"))
        assert list(gateway.dispatcher.pool) == []


class SettingsTests:
    """The gateway's own settings."""

    def test_limits(self):
        """Limits and the bridge count from the next moment on."""
        gateway = MemoryGateway()
        limits = Limits(sessions=1, spawns=1, handshake_s=3)
        assert gateway.dispatcher.eras.path(server(gateway, "shared"), Era.MODERN) is None
        gateway.apply(evolve(gateway.settings, gateway=GatewaySettings(limits=limits, bridge=Bridge.OFF)))
        gateway.session()
        gateway.session()
        assert len(gateway.sessions) == 1
        assert gateway.dispatcher.eras.bridge(server(gateway, "shared")) is Bridge.OFF

    def test_the_gate(self):
        """A gate that is made wider lets in those that wait; one that is made narrower lets those inside be."""
        entered = []
        gate = StartLimiter(1)
        for number in range(4):
            gate.enter(lambda number=number: entered.append(number))
        gate.set_limit(3)
        assert entered == [0, 1, 2]
        gate.set_limit(1)
        gate.leave()
        gate.leave()
        assert entered == [0, 1, 2]
        gate.leave()
        assert entered == [0, 1, 2, 3]
