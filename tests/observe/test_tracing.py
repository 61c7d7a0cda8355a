"""Traced calls: their ids, their traces, and the records of them."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from mcpgateway.errors import BackendTimeout, Overloaded
from mcpgateway.observe.activity import AT_ONCE, WAITING, ActivityLog, failure_of
from mcpgateway.observe.activity_filter import ActivityFilter, place_of
from mcpgateway.observe.tracing import Tracer
from mcpgateway.protocol.trace_context import read
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.lines import MemoryLines
from tests.support.modern_client import call as modern_call
from tests.support.modern_client import done, dual_gateway
from tests.support.views import Stage

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


@define
class MemorySpans:
    """Takes spans to nowhere."""

    names: list[str] = field(factory=list)

    def ended(self, call: Any, row: Any, spent_s: float, outcome: str, said: Any) -> None:
        self.names.append(f"{row.method} {row.tool} {outcome}")

    def tick(self) -> None:
        pass


class Followed:
    """A gateway whose calls are followed.

    :ivar house: the gateway.
    """

    def __init__(self, followed: MemoryGateway | None = None, **more: Any) -> None:
        self.house = followed or MemoryGateway()
        numbers = count(1)
        self.lines = MemoryLines()
        self.tracer = Tracer(lambda size: f"{next(numbers):0{size * 2}x}", **more)
        self.tracer.activity = ActivityLog(
            self.lines, self.house.clock.seconds, self.tracer.new_id, lambda text: text.replace("hush", "•")
        )
        self.house.hub.meters.on_begin = self.tracer.begun
        self.house.hub.meters.on_end = self.tracer.ended

    @property
    def child(self) -> MemoryChild:
        """The latest child."""
        return self.house.child

    def session(self) -> Client:
        """A client of a shared server."""
        return self.house.session()

    def records(self) -> list[dict[str, Any]]:
        """Return the records of calls of tools."""
        self.tracer.tick()
        found = [json.loads(each) for each in self.lines.kept]
        return [each for each in found if each.get("method") == "tools/call"]

    def meta(self) -> dict[str, Any]:
        """Return the metadata that the server got with its latest call."""
        found: dict[str, Any] = self.child.asked("tools/call")[-1].get("params", {}).get("_meta", {})
        return found


def called(gateway: Followed, client: Client, result: dict[str, Any] | None = None, **more: Any) -> None:
    """Make a call that is answered."""
    client.call(7, name="echo", arguments={"secret of": "the client"}, **more)
    gateway.child.answer(gateway.child.asked("tools/call")[-1], result or {"content": []})


def found(activity: ActivityLog, **wanted: Any) -> list[dict[str, Any]]:
    """Return the records that a filter takes."""
    return now(activity.find(wanted=ActivityFilter(**wanted)))


def now(done: Deferred[Any]) -> Any:
    """Return what a Deferred has fired with already."""
    fired: list[Any] = []
    done.addCallback(fired.append)
    return fired[0]


class TraceTests:
    """Where a call stands in its client's trace."""

    def test_untraced(self) -> None:
        """A call without a trace gets none."""
        gateway = Followed()
        called(gateway, gateway.session())
        assert gateway.meta() == {}
        assert "trace" not in gateway.records()[0]

    def test_in_the_body(self) -> None:
        """A trace in the body is passed on unchanged, with its state."""
        gateway = Followed()
        called(gateway, gateway.session(), _meta={"traceparent": PARENT, "tracestate": "a=1", "own": 5})
        assert gateway.meta() == {"traceparent": PARENT, "tracestate": "a=1", "own": 5}
        record = gateway.records()[0]
        assert (record["trace"], record["parent"]) == (TRACE, SPAN)
        assert len(record["id"]) == 16

    def test_in_the_headers(self) -> None:
        """A trace in the headers is put into the body, in either era; one in the body outranks it."""
        gateway = Followed()
        client = gateway.session()
        client.headers |= {"traceparent": PARENT, "tracestate": "a=1"}
        called(gateway, client)
        assert gateway.meta() == {"traceparent": PARENT, "tracestate": "a=1"}
        called(gateway, client, _meta={"traceparent": UNSAMPLED})
        assert gateway.meta() == {"traceparent": UNSAMPLED}

    def test_the_modern_era(self) -> None:
        """A request of the modern era is followed by its headers, too, and is its principal's."""
        gateway = Followed(followed=dual_gateway())
        client = gateway.house.client("m", traceparent=PARENT)
        asked = modern_call(gateway.house, client)
        assert asked["params"]["_meta"]["traceparent"] == PARENT
        done(gateway.house.child, asked, content=[])
        assert [(each["trace"], each["principal"]) for each in gateway.records()] == [(TRACE, "local")]

    @pytest.mark.parametrize("said", ["nonsense", f"00-{'0' * 32}-{SPAN}-01"])
    def test_nonsense(self, said: str) -> None:
        """A malformed trace is passed on in a body, as everything there, and left out of a header."""
        gateway = Followed()
        client = gateway.session()
        called(gateway, client, _meta={"traceparent": said})
        assert gateway.meta() == {"traceparent": said}
        client.headers["traceparent"] = said
        called(gateway, client)
        assert gateway.meta() == {}
        assert all("trace" not in each for each in gateway.records())

    def test_begun_here(self) -> None:
        """Where that is wanted a trace begins here, also of a request without parameters."""
        gateway = Followed(begins=True)
        client = gateway.session()
        called(gateway, client)
        context = read(gateway.meta()["traceparent"])
        record = gateway.records()[0]
        assert context is not None
        assert (record["trace"], record["id"]) == (context.trace, context.span)
        assert "parent" not in record
        client.send({"jsonrpc": "2.0", "id": 1, "method": "ping"})

    def test_exported(self) -> None:
        """Where spans are exported the gateway's own stands between client and server; what is not sampled does not."""
        spans = MemorySpans()
        gateway = Followed(spans=spans)
        client = gateway.session()
        called(gateway, client, _meta={"traceparent": PARENT})
        context = read(gateway.meta()["traceparent"])
        assert context is not None
        assert (context.trace, context.span) == (TRACE, gateway.records()[0]["id"])
        called(gateway, client, _meta={"traceparent": UNSAMPLED})
        assert gateway.meta()["traceparent"] == UNSAMPLED
        assert [each for each in spans.names if "echo" in each] == ["tools/call echo ok"]

    def test_on_a_view(self) -> None:
        """A call on an endpoint for all servers is followed to the server that answers it."""
        gateway = Followed()
        stage = Stage(gateway.house)
        client = stage.view()
        stage.names(client)
        client.headers["traceparent"] = PARENT
        client.call(7, name="shared__echo", arguments={})
        stage.play()
        asked = stage.child("shared").asked("tools/call")[-1]
        assert asked["params"]["_meta"]["traceparent"] == PARENT
        stage.child("shared").answer(asked, {"content": []})
        (record,) = gateway.records()
        assert (record["server"], record["tool"], record["trace"]) == ("shared", "echo", TRACE)


class ActivityTests:
    """The record of a call."""

    def test_a_call(self) -> None:
        """The record has the caller, the tool, the times and the outcome; no arguments, no answers and no session
        id.
        """
        gateway = Followed()
        client = gateway.session()
        called(gateway, client)
        (record,) = gateway.records()
        assert {
            name: record[name]
            for name in ("kind", "server", "method", "tool", "outcome", "principal", "request")
        } == {
            "kind": "call",
            "server": "shared",
            "method": "tools/call",
            "tool": "echo",
            "outcome": "ok",
            "principal": "local",
            "request": "7",
        }
        assert record["at"] == "2023-11-14T22:13:20.000000Z"
        assert record["number"] == gateway.child.asked("tools/call")[0]["id"]
        assert len(record["session"]) == 12
        text = "".join(gateway.lines.kept)
        assert "the client" not in text
        assert client.headers["Mcp-Session-Id"] not in text

    def test_failures(self) -> None:
        """An error is written down with its code and its words, without secrets; a tool's own words are not."""
        gateway = Followed()
        client = gateway.session()
        called(gateway, client, {"content": [{"type": "text", "text": "private"}], "isError": True})
        client.call(8, name="echo")
        call = gateway.child.asked("tools/call")[-1]
        gateway.child.say(
            {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -5, "message": "hush " * 100}}
        )
        client.call(9, name="echo")
        gateway.child.exit(3)
        tool, said, gone = gateway.records()
        assert (tool["outcome"], tool["error"]) == ("error", "the tool says that it has failed")
        assert (said["code"], said["error"][:4], len(said["error"])) == (-5, "• • ", 200)
        assert "exit code 3" in gone["error"]
        assert "private" not in "".join(gateway.lines.kept)

    def test_reasons(self) -> None:
        """Every end of a call is recorded with a reason in words."""
        assert failure_of(BackendTimeout("too slow")) == (-32001, "too slow")
        assert failure_of("timed out") == (None, "timed out")

    def test_many(self) -> None:
        """Lines are written together: each second, or when many wait."""
        gateway = Followed()
        client = gateway.session()
        gateway.tracer.tick()
        before = gateway.lines.writes
        for _ in range(AT_ONCE):
            called(gateway, client)
        assert gateway.lines.writes == before + 1
        gateway.tracer.tick()
        assert gateway.lines.writes == before + 1

    def test_a_full_disk(self) -> None:
        """Where nothing can be written lines are counted and dropped, and calls go on."""
        gateway = Followed()
        client = gateway.session()
        gateway.tracer.tick()
        gateway.lines.is_full = True
        called(gateway, client)
        called(gateway, client)
        assert gateway.records() == []
        assert gateway.tracer.activity is not None
        assert gateway.tracer.activity.dropped == 2
        gateway.lines.is_full = False
        called(gateway, client)
        assert len(gateway.records()) == 1

    def test_find(self) -> None:
        """Lines are found by what they are about: an id of a call, of a trace or a session, a server, an outcome."""
        gateway = Followed()
        client = gateway.session()
        called(gateway, client, _meta={"traceparent": PARENT})
        gateway.house.clock.advance(1)
        called(gateway, client, {"content": [], "isError": True})
        activity = gateway.tracer.activity
        assert activity is not None
        gateway.lines.kept.append("half a li")
        first, second = found(activity, members={"method": "tools/call"})
        assert found(activity, identifier=first["id"]) == found(activity, identifier=TRACE) == [first]
        assert found(activity, members={"outcome": "error"}) == found(activity, is_failed=True) == [second]
        assert now(activity.find(1)) == [second]
        assert now(activity.find(0)) == []
        assert found(activity, members={"server": "none"}) == []
        assert first in found(activity, identifier=first["session"])
        assert found(activity, before=place_of(second)) == now(activity.find())[:-1]
        assert found(activity, after=place_of(first)) == [second]
        assert found(activity, since=second["at"]) == [second]
        assert found(activity, slower_ms=0.001) == []
        assert second not in found(activity, until=first["at"])

    def test_readers(self) -> None:
        """The file is read in a thread, by one reader at a time; a stream lacks nothing that comes meanwhile."""
        gateway = Followed()
        client = gateway.session()
        called(gateway, client)
        activity = gateway.tracer.activity
        assert activity is not None
        reading: list[tuple[Any, Deferred[Any]]] = []

        def in_thread(work: Any) -> Deferred[Any]:
            """Begin to read."""
            reading.append((work(), Deferred()))
            return reading[-1][1]

        activity.in_thread = in_thread
        stream = ensureDeferred(activity.entries(10, ActivityFilter(members={"kind": "call"})))
        called(gateway, client)
        others = [activity.find() for _ in range(WAITING + 1)]
        assert len(reading) == 1
        refused: list[Failure] = []
        others[-1].addErrback(refused.append)
        assert refused[0].check(Overloaded)
        while reading:
            found, done = reading.pop()
            done.callback(found)
        calls = [each for each in now(others[0]) if each["kind"] == "call"]
        assert [each.identifier for each in now(stream)] == [place_of(each) for each in calls]
        assert len(calls) == 2

    def test_management(self) -> None:
        """Calls of the gateway's own tools are recorded, too."""
        gateway = Followed()
        activity = gateway.tracer.activity
        assert activity is not None
        identifier = activity.managed("servers.remove", "DELETE /api/v1/servers/{name}", 200, "token", "x")
        (record,) = found(activity, identifier=identifier)
        assert (record["kind"], record["operation"]) == ("management", "servers.remove")
        assert (record["status"], record["server"]) == (200, "x")
