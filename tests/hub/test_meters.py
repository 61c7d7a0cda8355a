"""Numbers of calls: each is counted once, whatever road it takes, with its outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.hub import meters
from mcpgateway.hub.meters import BOUNDS, CANCELLED, ERROR, OK, OTHER, Meters, Row, Totals, says_it_failed
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import own_request
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import call, done, dual_gateway, post, request
from tests.support.views import Offer, Stage

TOKEN = {"Authorization": "Bearer bearer-token"}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def row(gateway: MemoryGateway, tool: str = "echo", server: str = "shared") -> Row:
    """The numbers of a tool."""
    found = [each for each in gateway.hub.meters.rows if (each.server, each.tool) == (server, tool)]
    assert len(found) == 1, [(each.server, each.method, each.tool) for each in gateway.hub.meters.rows]
    return found[0]


def numbers(row: Row) -> tuple[int, int, int]:
    """Calls, errors, and those taken back."""
    return row.requests, row.errors, row.cancelled


def answer(gateway: MemoryGateway, **result: Any) -> None:
    """Let the latest child answer its latest call."""
    gateway.child.answer(gateway.child.asked("tools/call")[-1], result or {"content": []})


class RoadTests:
    """Every road is measured, once."""

    def test_a_session(self, gateway: MemoryGateway) -> None:
        """A call lasts from when it came to when its answer came."""
        client = gateway.session()
        client.call(1, name="echo")
        gateway.clock.advance(0.5)
        answer(gateway)
        client.call(2, name="echo")
        gateway.clock.advance(0.25)
        answer(gateway)
        counted = row(gateway)
        assert numbers(counted) == (2, 0, 0)
        assert (counted.total_s, list(counted.recent)) == (0.75, [0.5, 0.25])
        assert counted.last_at == gateway.clock.seconds()

    def test_other_methods(self, gateway: MemoryGateway) -> None:
        """A request that calls no tool is counted by its method, and unknown methods together."""
        client = gateway.session()
        for number, method in enumerate(("prompts/get", "x/one", "x/two")):
            client.call(number, method)
            gateway.child.answer(gateway.child.asked(method)[-1], {})
        counted = {each.method: each.requests for each in gateway.hub.meters.rows}
        assert counted == {"prompts/get": 1, OTHER: 2}

    def test_nothing_to_list(self, gateway: MemoryGateway) -> None:
        """A server that has nothing of a kind and says so with -32601 has not failed; any other error is one."""
        client = gateway.session()
        codes = {"prompts/list": -32601, "resources/list": -32603, "prompts/get": -32601}
        for number, (method, code) in enumerate(codes.items()):
            client.call(number, method, name="x")
            asked = gateway.child.asked(method)[-1]
            error = {"code": code, "message": "no"}
            gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        counted = {each.method: (each.requests, each.errors) for each in gateway.hub.meters.rows}
        assert counted == {"prompts/list": (1, 0), "resources/list": (1, 1), "prompts/get": (1, 1)}
        assert gateway.hub.meters.totals("shared") == Totals(requests=3, calls=0, errors=2, call_errors=0)

    def test_the_wait_for_a_start(self, gateway: MemoryGateway) -> None:
        """A call that waits for a child to start counts the wait."""
        gateway.launcher.hello = None
        client = gateway.client()
        client.call(1, name="echo")
        gateway.clock.advance(2)
        gateway.child.answer(
            gateway.child.asked("initialize")[0], {"protocolVersion": "2025-11-25", "capabilities": {}}
        )
        gateway.clock.advance(1)
        answer(gateway)
        assert list(row(gateway).recent) == [3]

    def test_modern(self) -> None:
        """Calls of the modern era count, at a server of that era and over the bridge."""
        gateway = dual_gateway()
        client = gateway.client("m")
        asked = call(gateway, client, name="echo", arguments={})
        done(gateway.child, asked, content=[])
        assert numbers(row(gateway, server="m")) == (1, 0, 0)
        server = ServerSpec("old", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.LEGACY, title="old")
        bridged = MemoryGateway(more=(server,))
        client = bridged.client("old", **{"X-Mcpgateway-Stdio": "1"})
        post(client, request(1, "tools/call", name="echo", arguments={}))
        answer(bridged)
        assert numbers(row(bridged, server="old")) == (1, 0, 0)

    def test_legacy_over_the_bridge(self) -> None:
        """A call of a session at a server without sessions counts, too."""
        server = ServerSpec("m", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.MODERN, title="m")
        gateway = MemoryGateway(more=(server,))
        gateway.launcher.eras["m"] = (Era.MODERN,)
        client = gateway.session("m")
        client.call(1, name="echo")
        answer(gateway, resultType="complete", content=[])
        assert numbers(row(gateway, server="m")) == (1, 0, 0)

    def test_a_view(self) -> None:
        """On a view a call counts for the server that it is brought to, by the server's own name."""
        stage = Stage()
        client = stage.gateway.view()
        client.call(1, "tools/list")
        stage.play()
        client.call(2, name="shared__echo")
        child = next(each for each in stage.gateway.launcher.children if each.asked("tools/call"))
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert client.heard is not None
        assert numbers(row(stage.gateway)) == (1, 0, 0)

    def test_rest(self, gateway: MemoryGateway) -> None:
        """A call over plain HTTP is one like any other."""
        client = gateway.client(**TOKEN)
        client.send({"tool": "echo", "arguments": {}}, "POST", "/api/v1/servers/shared/call")
        answer(gateway)
        assert numbers(row(gateway)) == (1, 0, 0)

    def test_a_replica(self) -> None:
        """A call that was to go to a replica that does not start is counted once, at the one that answers."""
        server = ServerSpec(
            "r", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.LEGACY, title="r", replicas=2
        )
        gateway = MemoryGateway(more=(server,))
        clients = [gateway.session("r") for _ in range(2)]
        clients[0].call(1, name="echo")
        gateway.launcher.refuses = True
        clients[1].call(2, name="echo")
        for each in gateway.child.asked("tools/call"):
            gateway.child.answer(each, {"content": []})
        assert numbers(row(gateway, server="r")) == (2, 0, 0)


class OwnToolTests:
    """The gateway's own tools are counted as those of a server of its name."""

    def test_answers(self) -> None:
        """Calls of them that succeed and that fail are counted, in either spelling."""
        gateway = MemoryGateway()
        client = gateway.view()
        client.call(1, name="gateway_list_servers", arguments={})
        client.call(2, name="gateway.list_servers", arguments={})
        client.call(3, name="gateway_describe", arguments={"id": "nowhere__nothing"})
        assert numbers(row(gateway, "list_servers", "gateway")) == (2, 0, 0)
        assert numbers(row(gateway, "describe", "gateway")) == (1, 1, 0)

    def test_modern(self) -> None:
        """In the modern era too."""
        gateway = dual_gateway()
        client = gateway.client("m")
        client.path = "/mcp/full"
        post(client, request(1, "tools/call", name="gateway_list_servers", arguments={}))
        assert numbers(row(gateway, "list_servers", "gateway")) == (1, 0, 0)

    def test_one_that_calls_another(self) -> None:
        """A call that becomes that of a server's tool counts for the server alone."""
        stage = Stage()
        client = stage.view()
        stage.list(client)
        client.call(2, name="gateway_invoke", arguments={"id": "shared__echo", "args": {}})
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert numbers(row(stage.gateway)) == (1, 0, 0)
        assert numbers(row(stage.gateway, "invoke", "gateway")) == (0, 0, 0)

    def test_parts_of_another(self) -> None:
        """A call of a script counts, and the requests that the gateway makes for it do not."""
        stage = Stage()
        client = stage.gateway.client(**TOKEN)
        client.send({"arguments": {}}, "POST", "/api/v1/tools/shared__echo/call")
        stage.play()
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert client.heard is not None
        counted = {
            (each.server, each.tool): each.requests for each in stage.gateway.hub.meters.rows if each.tool
        }
        assert counted == {("shared", "echo"): 1}

    def test_taken_back(self) -> None:
        """A call that its client takes back has not failed."""
        stage = Stage(shared=Offer())
        client = stage.view()
        client.call(2, name="gateway_list_tools", arguments={"server": "shared"})
        cancel(stage.gateway, client, 2)
        assert numbers(row(stage.gateway, "list_tools", "gateway")) == (1, 0, 1)


class EndTests:
    """Ends of calls."""

    def test_errors(self, gateway: MemoryGateway) -> None:
        """A JSON-RPC error is one, and so is a result that says it is."""
        client = gateway.session()
        client.call(1, name="echo")
        request = gateway.child.asked("tools/call")[-1]
        gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "no"}})
        client.call(2, name="echo")
        answer(gateway, content=[], isError=True)
        client.call(3, name="echo")
        answer(gateway, content=[], isError=False)
        assert numbers(row(gateway)) == (3, 2, 0)

    def test_a_start_that_fails(self, gateway: MemoryGateway) -> None:
        """A call whose server does not start has failed."""
        gateway.launcher.refuses = True
        gateway.client().call(1, name="echo")
        assert numbers(row(gateway)) == (1, 1, 0)

    def test_a_refused_handshake(self, gateway: MemoryGateway) -> None:
        """A call whose server refuses the handshake in both eras has failed once."""
        gateway.launcher.eras["shared"] = ()
        client = gateway.client()
        client.call(1, name="echo")
        assert client.heard is not None
        assert numbers(row(gateway)) == (1, 1, 0)

    def test_the_other_era(self, gateway: MemoryGateway) -> None:
        """A call whose server turns out to speak the other era is counted where it ends."""
        gateway.launcher.eras["shared"] = (Era.MODERN,)
        gateway.client().call(1, name="echo")
        answer(gateway, resultType="complete", content=[])
        assert numbers(row(gateway)) == (1, 0, 0)

    def test_a_crash(self, gateway: MemoryGateway) -> None:
        """Calls that were under way when their child ended have failed."""
        client = gateway.session()
        client.call(1, name="echo")
        gateway.child.exit(1)
        assert numbers(row(gateway)) == (1, 1, 0)

    def test_taken_back(self, gateway: MemoryGateway) -> None:
        """A call that its client takes back has not failed."""
        client = gateway.session()
        client.call(1, name="echo")
        cancel(gateway, client, 1)
        assert numbers(row(gateway)) == (1, 0, 1)

    def test_taken_back_before_the_start(self, gateway: MemoryGateway) -> None:
        """Nor has one that still waits for its server."""
        client = gateway.session()
        gateway.child.exit(0)
        gateway.launcher.hello = None
        client.call(1, name="echo")
        cancel(gateway, client, 1)
        assert numbers(row(gateway)) == (1, 0, 1)

    def test_time_is_up(self) -> None:
        """A call that has had its time has failed."""
        gateway = MemoryGateway(timeout_s=3)
        gateway.session().call(1, name="echo")
        gateway.tick(5)
        assert numbers(row(gateway)) == (1, 1, 0)

    def test_a_garbled_answer(self, gateway: MemoryGateway) -> None:
        """A call whose answer cannot be read has failed."""
        client = gateway.session()
        client.call(1, name="echo")
        number = gateway.child.asked("tools/call")[-1]["id"]
        gateway.child._receiver.line_received(b'{"jsonrpc":"2.0","id":%d,"result":{' % number)
        assert numbers(row(gateway)) == (1, 1, 0)


def cancel(gateway: MemoryGateway, client: Client, identifier: int) -> None:
    """Take a call back, as its client would."""
    other = gateway.client(**client.headers)
    other.path = client.path
    other.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": identifier}})


class HookTests:
    """Observers of calls are told of each."""

    def test_told(self, gateway: MemoryGateway) -> None:
        """Once when a call begins, and once when it ends, with how it did."""
        told: list[Any] = []

        def ended(call: Request, row: Row, spent: float, outcome: str, said: Any) -> None:
            """Note it."""
            told.append((call.id, row.server, row.tool, spent, outcome))

        gateway.hub.meters.on_begin = lambda call, row: told.append((call.id, row.tool))
        gateway.hub.meters.on_end = ended
        client = gateway.session()
        client.call(1, name="echo")
        gateway.clock.advance(1)
        answer(gateway)
        client.call(2, name="echo")
        cancel(gateway, client, 2)
        client.call(3, name="echo")
        gateway.child.exit(1)
        assert told == [
            (b"1", "echo"),
            (b"1", "shared", "echo", 1, OK),
            (b"2", "echo"),
            (b"2", "shared", "echo", 0, CANCELLED),
            (b"3", "echo"),
            (b"3", "shared", "echo", 0, ERROR),
        ]


def called(meters: Meters, server: str, name: Any) -> Row:
    """Let a call of a tool begin and be answered."""
    text = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + bytes(jsonrpc.raw(name)) + b"}"
    message = jsonrpc.read_client(text)
    call = Request(None, message, None, None)
    meters.of(server).begin(call)
    row: Row = call.meter
    row.answered(call, {"result": Raw(b"{}")}, b'{"result":{}}')
    return row


class BoundTests:
    """Clients make up names."""

    def test_a_name_with_a_secret(self):
        """A tool that is asked for by a secret is counted among the others, and shown nowhere."""
        made = Meters(lambda: 0.0, lambda text: text.replace("s3cret", "***"))
        assert made.of("a").tool("my s3cret").tool == OTHER
        assert made.of("a").tool("echo").tool == "echo"
        assert all("s3cret" not in each.tool for each in made.rows)

    def test_of_a_server(self) -> None:
        """Calls of one server beyond the bound are counted together, and other servers' tools are not."""
        made = Meters(lambda: 0.0)
        for number in range(meters.ROWS_OF_SERVER + 50):
            called(made, "a", {"name": f"tool{number}"})
        assert len(made.of("a")) == meters.ROWS_OF_SERVER + 1
        assert made.of("a").tool(OTHER).requests == 50
        assert called(made, "b", {"name": "one"}).tool == "one"

    def test_of_all(self) -> None:
        """All servers together have a bound, beyond which each has one row more."""
        made = Meters(lambda: 0.0)
        for number in range(20):
            for nth in range(meters.ROWS_OF_SERVER):
                called(made, f"s{number}", {"name": f"tool{nth}"})
        assert len(made.rows) <= meters.ROWS_LIMIT + 20
        assert sum(each.requests for each in made.rows) == 20 * meters.ROWS_OF_SERVER

    def test_of_servers(self) -> None:
        """There may be servers without end too."""
        made = Meters(lambda: 0.0)
        for number in range(meters.SERVERS_LIMIT + 5):
            called(made, f"s{number}", {"name": "x"})
        assert len(list(made)) == meters.SERVERS_LIMIT + 1
        assert sum(each.requests for each in made.of(OTHER)) == 5

    def test_one_tool_in_many_spellings(self) -> None:
        """A name may be written in many ways, and is one; what is no name at all is counted too."""
        made = Meters(lambda: 0.0)
        assert called(made, "a", {"name": "é"}) is called(made, "a", {"name": Raw(b'"\\u00e9"')})
        for odd in ({}, {"name": 5}, {"name": "x" * 1000}, {"name": None}):
            assert called(made, "a", odd).tool == OTHER

    def test_the_latest(self) -> None:
        """Of each row the latest durations are kept, oldest overwritten first."""
        now = 0.0
        made = Meters(lambda: now)
        meter = made.of("a")
        for number in range(250):
            call = Request(None, own_request("ping"), None, None)
            meter.begin(call)
            now += number
            call.meter.answered(call, {"result": Raw(b"{}")}, b"{}")
        (counted,) = made.rows
        assert sorted(counted.recent) == list(range(150, 250))
        assert sum(meter.ranges) == 250
        assert len(meter.ranges) == len(BOUNDS) + 1


class FailureTests:
    """A result may say that it is a failure."""

    @given(
        st.sampled_from(["", " ", "\n "]),
        st.booleans(),
        st.text(max_size=20),
        st.integers(0, 2000),
        st.booleans(),
    )
    def test_said(self, space: str, said: bool, text: str, size: int, is_first: bool) -> None:  # noqa: FBT001
        """However it is written, and whatever else the tool says."""
        flag = f'"isError"{space}:{space}{"true" if said else "false"}'
        content = '"content":' + bytes(jsonrpc.raw([{"type": "text", "text": text * size}])).decode()
        result = ",".join((flag, content) if is_first else (content, flag))
        line = f'{{"jsonrpc":"2.0","id":1,"result":{{{result}}}}}'.encode()
        assert says_it_failed(jsonrpc.decode(line), line) is said

    @pytest.mark.parametrize(
        "result",
        [
            b'{"content":[{"type":"text","text":"\\"isError\\":true"}]}',
            b'{"structuredContent":{"isError":true}}',
            b'{"content":[],"isError":"true"}',
            b"[]",
        ],
    )
    def test_not_said(self, result: bytes) -> None:
        """A tool that speaks of another failure has none of its own."""
        line = b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}"
        assert not says_it_failed(jsonrpc.decode(line), line)
