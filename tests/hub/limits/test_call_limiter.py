"""Calls of a server whose calls are kept apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from mcpgateway.config.model import (
    UNLIMITED,
    WRITES,
    Bridge,
    Concurrency,
    ServerSpec,
    Share,
)
from mcpgateway.config.reach_settings import Container
from mcpgateway.hub.limits.call_limiter import GRACE_TICKS, QUEUE_LIMIT
from mcpgateway.hub.probes.sharing import SETTLE_S
from mcpgateway.hub.probes.writes import PATIENCE_TICKS
from mcpgateway.policy.concurrency import QUIET_CALLS
from mcpgateway.protocol.versions import Era
from tests.support.agents import agent
from tests.support.gateway_in_memory import HELLO, Client, MemoryChild, MemoryGateway
from tests.support.modern_client import PREFIX, meta, post, request

TOOLS = [
    {"name": "add", "annotations": {"readOnlyHint": False}},
    {"name": "look", "annotations": {"readOnlyHint": True}},
    {"name": "search_things"},
    {"name": "other"},
]


class Disk:
    """Bytes that processes have written, as the test says."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def __call__(self, pids: Collection[int]) -> Mapping[int, int]:
        return {pid: self.bytes.get(pid, 0) for pid in pids}

    def write(self, pid: int) -> None:
        """A process writes something."""
        self.bytes[pid] = self.bytes.get(pid, 0) + 4096


def gateway_of(
    said: Concurrency | None, written: Disk | None = None, *, looks: bool = False, **more: Any
) -> MemoryGateway:
    """A gateway with one server that speaks the legacy era."""
    more = {"share": Share.GLOBAL, "protocol": Era.LEGACY, **more}
    server = ServerSpec("s", ("run",), {}, "/", title="s", concurrency=said, **more)
    return MemoryGateway(more=(server,), bridge=Bridge.ALWAYS, written=written, looks=looks)


def sessions(gateway: MemoryGateway, number: int) -> list[Client]:
    """Clients with a session each."""
    return [gateway.session("s") for _ in range(number)]


def calls(child: MemoryChild) -> list[str]:
    """The tools that a child was sent calls of, in order."""
    return [each["params"]["name"] for each in child.asked("tools/call")]


def answer(child: MemoryChild, nth: int = -1, **result: Any) -> None:
    """Answer a call."""
    child.answer(child.asked("tools/call")[nth], {"content": [], **result})


def list_tools(child: MemoryChild, tools: list[dict[str, Any]] | None = None) -> None:
    """Answer the question for the tools, of which there is one."""
    (asked,) = child.asked("tools/list")
    child.answer(asked, {"tools": TOOLS if tools is None else tools})


def asked_client(gateway: MemoryGateway) -> Client:
    """A client with a session that can be asked something."""
    client = gateway.client("s")
    client.initialize(protocolVersion="2025-06-18", capabilities={"elicitation": {}})
    return client


def call_streamed(client: Client, **params: Any) -> None:
    """Call a tool, and take what comes before the answer."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    client.send(message, Accept="application/json, text/event-stream")


class LimitTests:
    """So many at once."""

    def test_one(self) -> None:
        """With 1, every call waits for the one before it, whosever it is."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(1, name="look")
        second.call(1, name="look")
        assert len(calls(gateway.child)) == 1
        assert second.heard is None
        answer(gateway.child)
        assert first.heard is not None
        assert len(calls(gateway.child)) == 2
        answer(gateway.child)
        assert second.heard is not None

    def test_number(self) -> None:
        """A number lets through so many."""
        gateway = gateway_of(Concurrency(3))
        for each in sessions(gateway, 5):
            each.call(1, name="look")
        assert len(calls(gateway.child)) == 3
        answer(gateway.child, 1)
        assert len(calls(gateway.child)) == 4

    def test_none(self) -> None:
        """An entry without a limit lets all calls through."""
        gateway = gateway_of(UNLIMITED, Disk())
        for each in sessions(gateway, 5):
            each.call(1, name="add")
        assert len(calls(gateway.child)) == 5

    def test_other_requests(self) -> None:
        """Only calls of tools are counted."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(1, name="look")
        second.call(1, "resources/list")
        assert gateway.child.asked("resources/list")

    def test_turns(self) -> None:
        """Sessions take turns, however many calls one of them has sent."""
        gateway = gateway_of(Concurrency(1))
        greedy, modest = gateway.session("s"), gateway.session("s")
        for number in range(4):
            again = gateway.client("s", **greedy.headers)
            again.call(number, name=f"greedy{number}")
        modest.call(1, name="modest")
        for _ in range(5):
            answer(gateway.child)
        assert calls(gateway.child) == ["greedy0", "greedy1", "modest", "greedy2", "greedy3"]

    def test_bounded(self) -> None:
        """A session whose queue is full is told so."""
        gateway = gateway_of(Concurrency(1))
        client = gateway.session("s")
        for number in range(QUEUE_LIMIT + 2):
            last = gateway.client("s", **client.headers)
            last.call(number, name="look")
        assert last.heard is not None
        assert "wait for their turn" in last.heard.json["error"]["message"]

    def test_hot(self) -> None:
        """Waiting calls go at once when the entry lets them."""
        gateway = gateway_of(Concurrency(1))
        for each in sessions(gateway, 3):
            each.call(1, name="look")
        gateway.edit("s", concurrency=UNLIMITED)
        assert len(calls(gateway.child)) == 3


class WritesTests:
    """Only those that may change something."""

    def test_readers_are_free(self) -> None:
        """Twenty sessions' searches do not wait while one writes; a second that writes does."""
        gateway = gateway_of(WRITES)
        writer, another, *readers = sessions(gateway, 22)
        writer.call(1, name="add")
        list_tools(gateway.child)
        another.call(1, name="add")
        for each in readers:
            each.call(1, name="look")
        assert calls(gateway.child) == ["add", *["look"] * 20]
        answer(gateway.child, 0)
        assert calls(gateway.child)[-1] == "add"

    def test_unknown_tools(self) -> None:
        """Before the server has said what tools it has, each may be one that writes."""
        gateway = gateway_of(WRITES)
        first, second = sessions(gateway, 2)
        first.call(1, name="look")
        second.call(1, name="look")
        assert len(calls(gateway.child)) == 1
        list_tools(gateway.child)
        assert len(calls(gateway.child)) == 2

    def test_names_do_not_count(self) -> None:
        """Where the entry asks for it, a name that says that a tool reads is not enough."""
        gateway = gateway_of(WRITES)
        for each in sessions(gateway, 2):
            each.call(1, name="search_things")
        list_tools(gateway.child)
        assert len(calls(gateway.child)) == 1

    def test_changed_tools(self) -> None:
        """When the server says that its tools have changed, it is asked again."""
        gateway = gateway_of(WRITES)
        first, second = sessions(gateway, 2)
        first.call(1, name="look")
        list_tools(gateway.child)
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        second.call(1, name="look")
        assert len(gateway.child.asked("tools/list")) == 2


class EndTests:
    """Ends of a turn."""

    def test_child_ends(self) -> None:
        """A child that ends takes the call under way with it; what waits starts the next one."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(1, name="look")
        second.call(1, name="look")
        gateway.child.exit(1)
        assert first.heard is not None
        assert len(gateway.launcher.children) == 2
        assert len(calls(gateway.child)) == 1

    def test_taken_back_while_waiting(self) -> None:
        """A call that waits and is taken back is never sent."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(1, name="look")
        second.call(7, name="never")
        again = gateway.client("s", **second.headers)
        again.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
        answer(gateway.child)
        assert calls(gateway.child) == ["look"]

    def test_taken_back_while_under_way(self) -> None:
        """A call that was sent may still be at it, so the next one waits a little longer."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(7, name="first")
        second.call(1, name="second")
        again = gateway.client("s", **first.headers)
        again.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
        assert calls(gateway.child) == ["first"]
        gateway.tick(GRACE_TICKS)
        assert calls(gateway.child) == ["first", "second"]

    def test_session_ends(self) -> None:
        """The calls of a session that ends go with it."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(1, name="first")
        second.call(1, name="second")
        gateway.client("s", **second.headers).ask(b"", "DELETE")
        answer(gateway.child)
        assert calls(gateway.child) == ["first"]

    def test_limit_of_time(self) -> None:
        """Time under way counts from when a call is sent; one that waited for as long is told that it never was."""
        gateway = gateway_of(Concurrency(1), timeout_s=4.0)
        first, second = sessions(gateway, 2)
        first.call(1, name="first")
        gateway.tick(3)
        second.call(1, name="second")
        answer(gateway.child)
        gateway.tick(3)
        assert second.heard is None
        third = gateway.session("s")
        third.call(1, name="third")
        answer(gateway.child)
        fourth = gateway.session("s")
        fourth.call(1, name="fourth")
        gateway.tick(6)
        assert fourth.heard is not None
        assert "was never sent" in fourth.heard.json["error"]["message"]


class ProgressTests:
    """Progress that a client hears while its call waits."""

    def test_says_so(self) -> None:
        """A client that gave a token is told what its call waits for, in values that those of the server exceed."""
        gateway = gateway_of(Concurrency(1))
        first, second = sessions(gateway, 2)
        first.call(1, name="first")
        second.send(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "second", "_meta": {"progressToken": "t"}},
            },
            Accept="application/json, text/event-stream",
        )
        gateway.tick(12)
        answer(gateway.child)
        number = gateway.child.asked("tools/call")[-1]["params"]["_meta"]["progressToken"]
        gateway.child.say(
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": number, "progress": 0},
            }
        )
        answer(gateway.child)
        assert second.heard is not None
        *told, result = second.heard.events
        assert "result" in result
        values = [each["params"]["progress"] for each in told]
        assert len(values) >= 3
        assert values == sorted(set(values))
        assert values[0] == 0
        assert values[-1] < 1e-12
        assert all(each["params"]["progressToken"] == "t" for each in told)
        assert "waits for its turn at s: 1 under way, 0 before it" in told[0]["params"]["message"]


class EvidenceTests:
    """A server of which nothing is known."""

    def begin(self, disk: Disk, number: int, **more: Any) -> tuple[MemoryGateway, list[Client]]:
        """A gateway whose server is up and has said what tools it has."""
        gateway = gateway_of(None, disk, **more)
        clients = sessions(gateway, number)
        clients[0].call(0, name="other")
        list_tools(gateway.child)
        answer(gateway.child)
        return gateway, clients

    def test_writer(self) -> None:
        """A server that is seen to write is a writer from then on, for good, and after a restart of the gateway."""
        disk = Disk()
        gateway, (first, second) = self.begin(disk, 2)
        spec = gateway.dispatcher.servers["s"]
        for number in range(2):
            first.call(number, name="add")
            disk.write(gateway.child.pid)
            answer(gateway.child)
        assert gateway.dispatcher.pool.is_single(spec)
        assert "add wrote 4,096 bytes" in (gateway.dispatcher.pool.traits.writes(spec) or "")
        for each in (first, second):
            each.call(9, name="other")
        assert calls(gateway.child)[-2:] == ["add", "other"]
        after = MemoryGateway(more=(spec,), store=gateway.store, written=Disk())
        assert after.dispatcher.pool.is_single(spec)

    def test_quiet(self) -> None:
        """A server that wrote nothing is free."""
        gateway, clients = self.begin(Disk(), 4)
        for number in range(QUIET_CALLS):
            for each in clients[:2]:
                each.call(number, name="other")
            answer(gateway.child)
            if number < QUIET_CALLS - 1:
                answer(gateway.child)
        spec = gateway.dispatcher.servers["s"]
        assert gateway.dispatcher.pool.traits.writes(spec) == ""
        before = len(calls(gateway.child))
        for each in clients[2:]:
            each.call(99, name="other")
        assert len(calls(gateway.child)) == before + 2

    def test_names_count(self) -> None:
        """A tool whose name says that it reads is never kept waiting."""
        gateway, clients = self.begin(Disk(), 5)
        for each in clients:
            each.call(1, name="search_things")
        assert calls(gateway.child)[1:] == ["search_things"] * 5

    def test_only_readers(self) -> None:
        """A server all of whose tools only read is free as soon as that is known."""
        gateway = gateway_of(None, Disk())
        client = gateway.session("s")
        client.call(1, name="search_things")
        list_tools(gateway.child, TOOLS[1:3])
        assert gateway.dispatcher.pool.traits.writes(gateway.dispatcher.servers["s"]) == ""

    def test_slow(self) -> None:
        """A watched call that takes long and writes nothing keeps the others waiting for a while only."""
        gateway, (first, second) = self.begin(Disk(), 2)
        first.call(1, name="other")
        second.call(1, name="other")
        gateway.tick(PATIENCE_TICKS - 1)
        assert len(calls(gateway.child)) == 2
        gateway.tick(2)
        assert len(calls(gateway.child)) == 3

    def test_slow_writer(self) -> None:
        """A slow call that has written goes on alone."""
        disk = Disk()
        gateway, (first, second) = self.begin(disk, 2)
        first.call(1, name="other")
        second.call(1, name="other")
        disk.write(gateway.child.pid)
        gateway.tick(PATIENCE_TICKS + 5)
        assert len(calls(gateway.child)) == 2

    def test_slow_is_over(self) -> None:
        """Calls that kept others waiting are looked at again when they end as others do."""
        gateway, (first, second) = self.begin(Disk(), 2)
        first.call(1, name="other")
        gateway.tick(PATIENCE_TICKS + 1)
        answer(gateway.child)
        for number in range(QUIET_CALLS):
            second.call(number, name="other")
            answer(gateway.child)
        assert gateway.dispatcher.pool.traits.writes(gateway.dispatcher.servers["s"]) == ""

    @pytest.mark.parametrize(
        ("has_written", "sent"), [(False, ["other", "other", "add"]), (True, ["other"] * 2)]
    )
    def test_asks(self, *, has_written: bool, sent: list[str]) -> None:
        """A watched call that asks its client keeps only its like waiting, which would ask as well."""
        disk = Disk()
        gateway = gateway_of(None, disk)
        asked, like, plain = (asked_client(gateway) for _ in range(3))
        call_streamed(asked, name="other")
        list_tools(gateway.child)
        answer(gateway.child)
        for client, name in ((asked, "other"), (like, "other"), (plain, "add")):
            call_streamed(client, name=name)
        if has_written:
            disk.write(gateway.child.pid)
        gateway.child.say({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": {}})
        assert calls(gateway.child)[1:] == sent[1:]
        for number in (1, 2):
            answer(gateway.child, number)
        assert sorted(calls(gateway.child)) == ["add", "other", "other", "other"]

    def test_asks_before(self) -> None:
        """A call that has asked its client keeps later calls of its like waiting, and no others."""
        gateway = gateway_of(None, Disk())
        asked, like, plain = (asked_client(gateway) for _ in range(3))
        call_streamed(asked, name="other")
        list_tools(gateway.child)
        gateway.child.say({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": {}})
        call_streamed(like, name="other")
        call_streamed(plain, name="add")
        assert calls(gateway.child) == ["other", "add"]

    def test_looked_at_again(self) -> None:
        """A free server that has written after all is watched again."""
        disk = Disk()
        gateway, (first, second) = self.begin(disk, 2)
        for number in range(QUIET_CALLS):
            first.call(number, name="other")
            answer(gateway.child)
        spec = gateway.dispatcher.servers["s"]
        traits = gateway.dispatcher.pool.traits
        assert traits.writes(spec) == ""
        gateway.tick(10)
        first.call(50, name="other")
        disk.write(gateway.child.pid)
        answer(gateway.child)
        gateway.tick(10)
        assert traits.writes(spec) is None
        for each in (first, second):
            each.call(60, name="other")
        assert len(calls(gateway.child)) == QUIET_CALLS + 3

    @pytest.mark.parametrize(
        "more", [{"reach": Container("some/image")}, {"command": ("docker", "run", "-i", "some/image")}]
    )
    def test_container(self, more: dict[str, Any]) -> None:
        """A server in a container cannot be watched, and is taken for one that writes."""
        command = more.pop("command", ("run",))
        server = ServerSpec("s", command, {}, "/", share=Share.GLOBAL, protocol=Era.LEGACY, title="s", **more)
        gateway = MemoryGateway(more=(server,), written=Disk())
        assert gateway.dispatcher.pool.is_single(server)
        assert "container" in (gateway.dispatcher.pool.traits.writes(server) or "")

    def test_no_sight(self) -> None:
        """Where the system does not tell what programs write, each may be one that does."""
        server = ServerSpec("s", ("run",), {}, "/", share=Share.GLOBAL, protocol=Era.LEGACY, title="s")
        gateway = MemoryGateway(more=(server,), written=lambda _: {})
        assert gateway.dispatcher.pool.is_single(server)
        first, second = sessions(gateway, 2)
        for each in (first, second):
            each.call(1, name="other")
        assert calls(gateway.child) == ["other"]

    def test_probed(self) -> None:
        """A probe of a server's era changes nothing of what is known of its tools."""
        gateway = gateway_of(None, Disk(), protocol=None)
        first, modern, second = gateway.session("s"), gateway.client("s"), gateway.session("s")
        shared = gateway.child
        post(modern, request(1, "tools/list"))
        assert len(gateway.launcher.children) > 1
        first.call(1, name="other")
        second.call(1, name="other")
        for asked in shared.asked("tools/list"):
            shared.answer(asked, {"tools": TOOLS})
        assert calls(shared) == ["other"]
        answer(shared)
        assert calls(shared) == ["other", "other"]

    def test_limit_of_time(self) -> None:
        """A watched call that has had its time, and has written nothing, keeps nobody waiting."""
        gateway, (first, second) = self.begin(Disk(), 2, timeout_s=2.0)
        first.call(1, name="other")
        gateway.tick(4)
        second.call(1, name="other")
        assert len(calls(gateway.child)) == 3

    def test_cold(self) -> None:
        """A call that came before its child ran says nothing of what is written."""
        gateway = gateway_of(None, Disk())
        for number in range(QUIET_CALLS):
            gateway.client("s").call(number, name="other")  # nothing runs before it
            if number == 0:
                list_tools(gateway.child)
            answer(gateway.child)
            gateway.child.exit()
        assert gateway.dispatcher.pool.traits.writes(gateway.dispatcher.servers["s"]) is None

    def test_own_children(self) -> None:
        """Where each session has a child of its own, nobody's calls wait for another's."""
        gateway = gateway_of(None, Disk(), share=Share.SESSION)
        for each in sessions(gateway, 2):
            each.call(1, name="add")
        assert [calls(each) for each in gateway.launcher.children] == [["add"], ["add"]]


class ManyChildrenTests:
    """The limit is the server's, not a child's."""

    def test_own_children(self) -> None:
        """Where the entry says it, calls of sessions with a child each are kept apart, too."""
        gateway = gateway_of(Concurrency(1), share=Share.SESSION)
        first, second = sessions(gateway, 2)
        first.call(1, name="add")
        second.call(1, name="add")
        one = gateway.launcher.children[0]
        assert [calls(each) for each in gateway.launcher.children] == [["add"], []]
        answer(one)
        assert [calls(each) for each in gateway.launcher.children] == [["add"], ["add"]]

    def test_both_eras(self) -> None:
        """A client of the other era is brought to the child that runs, over the bridge, and waits its turn."""
        gateway = gateway_of(Concurrency(1), protocol=None)
        gateway.launcher.eras["s"] = tuple(Era)
        legacy, modern = gateway.session("s"), gateway.client("s")
        legacy.call(1, name="add")
        post(modern, request(1, "tools/call", name="add"))
        child = gateway.launcher.children[0]
        for asked in child.asked("tools/list"):
            child.answer(asked, {"tools": TOOLS})
        assert calls(child) == ["add"]
        answer(child)
        assert calls(child) == ["add", "add"]
        running = [each for each in gateway.launcher.children if each.asked("tools/call")]
        assert running == [child]

    def test_second_child_ends(self) -> None:
        """When it turns out that a server writes, and it has a child in each era by then, one of them is kept."""
        disk = Disk()
        gateway = gateway_of(None, disk, protocol=None)
        gateway.launcher.eras["s"] = tuple(Era)
        legacy, modern = gateway.session("s"), gateway.client("s")
        post(modern, request(1, "tools/list"))
        for child in gateway.launcher.children:
            for asked in child.asked("tools/list"):
                child.answer(asked, {"resultType": "complete", "tools": TOOLS})
        kept = gateway.launcher.children[0]
        assert len([each for each in gateway.launcher.children if not each.is_stopping]) == 2
        for number in range(2):
            legacy.call(number, name="add")
            for asked in kept.asked("tools/list")[-1:]:
                kept.answer(asked, {"tools": TOOLS})
            disk.write(kept.pid)
            answer(kept)
        gateway.tick(2)
        assert [each for each in gateway.launcher.children if not each.is_stopping] == [kept]
        post(modern, request(2, "tools/call", name="add"))
        for asked in kept.asked("tools/list")[-1:]:
            kept.answer(asked, {"tools": TOOLS})
        assert calls(kept) == ["add"] * 3

    def come(self, gateway: MemoryGateway, offers: dict[str, Any], **headers: str) -> Client:
        """A client that begins a session, and can be asked something."""
        client = gateway.client("s", **headers)
        client.initialize(protocolVersion="2025-11-25", capabilities=offers)
        return client

    def running(self, gateway: MemoryGateway) -> list[MemoryChild]:
        """The children that have not been told to end."""
        return [each for each in gateway.launcher.children if not each.is_stopping]

    def test_kinds_of_clients(self) -> None:
        """When a server is seen writing, those who offer something else go on with the child that has written."""
        disk = Disk()
        gateway = gateway_of(None, disk)
        one, two = self.come(gateway, {"roots": {}}), self.come(gateway, {"sampling": {}})
        kept, beside = gateway.launcher.children
        one.call(1, name="add")
        list_tools(kept)
        two.call(1, name="add")
        assert [calls(kept), calls(beside)] == [["add"], []]
        disk.write(kept.pid)
        answer(kept)
        assert [calls(kept), calls(beside)] == [["add", "add"], []]
        assert self.running(gateway) == [kept]
        answer(kept)
        assert two.heard is not None
        assert "result" in two.heard.json
        self.come(gateway, {"elicitation": {}}).call(1, name="look")
        assert calls(kept) == ["add", "add", "look"]

    def test_what_is_under_way(self) -> None:
        """A child beside the kept one answers its calls before it ends, and its questions are still heard."""
        disk = Disk()
        gateway = gateway_of(None, disk)
        one, two = self.come(gateway, {"roots": {}}), self.come(gateway, {"sampling": {}})
        kept, beside = gateway.launcher.children
        one.call(1, name="add")
        list_tools(kept)
        two.call(1, name="look")
        assert calls(beside) == ["look"]
        disk.write(kept.pid)
        answer(kept)
        assert self.running(gateway) == [kept, beside]
        answer(beside)
        assert two.heard is not None
        assert "result" in two.heard.json
        gateway.tick()
        assert self.running(gateway) == [kept]

    def test_principals(self) -> None:
        """A server that writes, and may keep something else, has a child for each principal; their calls take turns."""
        disk = Disk()
        gateway = gateway_of(None, disk, share=Share.AUTO)
        one, two = self.come(gateway, {}), self.come(gateway, {}, **agent(gateway, "one"))
        first = gateway.launcher.children[0]
        for each in gateway.launcher.children:
            for asked in each.asked("tools/list"):
                each.answer(asked, {"tools": TOOLS})
        one.call(1, name="add")
        two.call(1, name="add")
        disk.write(first.pid)
        answer(first)
        first, second = self.running(gateway)
        assert [calls(first), calls(second)] == [["add"], ["add"]]
        one.call(2, name="add")
        assert calls(first) == ["add"]
        answer(second)
        assert calls(first) == ["add", "add"]

    def test_known_by_its_name(self) -> None:
        """A server's own name can show that it may have one child only, when several have been started."""
        gateway = gateway_of(None, Disk(), share=Share.AUTO, looks=True)
        gateway.launcher.hello = None
        one, two = gateway.client("s"), gateway.client("s")
        for client, offers in ((one, {"roots": {}}), (two, {"sampling": {}})):
            said = {"protocolVersion": "2025-11-25", "capabilities": offers, "clientInfo": {"name": "c"}}
            client.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": said})
        for each in gateway.launcher.children:
            hello = HELLO | {"serverInfo": {"name": "memory-server", "version": "1"}}
            each.answer(each.asked("initialize")[0], hello)
        for each in gateway.launcher.children:
            for asked in each.asked("tools/list"):
                each.answer(asked, {"tools": TOOLS})
            gateway.clock.advance(SETTLE_S)
        gateway.tick()
        (kept,) = self.running(gateway)
        for number, each in enumerate((one, two)):
            issued = each.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0].decode()
            gateway.client("s", **{"Mcp-Session-Id": issued}).call(number, name="look")
        assert calls(kept) == ["look", "look"]

    def test_that_asks(self) -> None:
        """Children that sessions have because their server asks something take turns as one that they share."""
        disk = Disk()
        gateway = gateway_of(None, disk, share=Share.AUTO)
        before = sessions(gateway, 1)[0]
        pool = gateway.dispatcher.pool
        pool.move(gateway.dispatcher.servers["s"], "it asked something")
        after = sessions(gateway, 2)
        shared, one, two = gateway.launcher.children
        before.call(1, name="add")
        list_tools(shared)
        for each in after:
            each.call(1, name="add")
        assert [calls(each) for each in (shared, one, two)] == [["add"], [], []]
        disk.write(shared.pid)
        answer(shared)
        assert [calls(each) for each in (one, two)] == [["add"], []]
        answer(one)
        assert calls(two) == ["add"]
        assert pool.limiters is not None
        assert str(pool.limiters.told(gateway.dispatcher.servers["s"])["limit"]) == "writes"

    def test_beside_lanes(self) -> None:
        """A call in a lane waits for those on the child that others share, and they for it."""
        gateway = gateway_of(None, Disk(), share=Share.AUTO)
        gateway.dispatcher.pool.saw_asking(gateway.dispatcher.servers["s"], "elicitation/create")
        (legacy,) = sessions(gateway, 1)
        shared = gateway.child
        legacy.call(1, name="add")
        list_tools(shared)
        can = meta(**{PREFIX + "clientCapabilities": {"elicitation": {}}})
        post(gateway.client("s"), request(1, "tools/call", can, name="add"))
        exclusive_child = gateway.launcher.children[-1]
        for asked in exclusive_child.asked("tools/list"):
            exclusive_child.answer(asked, {"tools": TOOLS})
        assert exclusive_child is not shared
        assert [calls(shared), calls(exclusive_child)] == [["add"], []]
        answer(shared)
        assert calls(exclusive_child) == ["add"]

    def test_asked_among_many(self) -> None:
        """A question to one of many clients lets no call of another go before its turn."""
        gateway = gateway_of(Concurrency(1))
        can = meta(**{PREFIX + "clientCapabilities": {"elicitation": {}}})
        one, two = gateway.client("s"), gateway.client("s")
        post(one, request(1, "tools/call", can, name="ask"))
        child = gateway.child
        for asked in child.asked("tools/list"):
            child.answer(asked, {"tools": TOOLS})
        schema = {"type": "object", "properties": {}}
        params = {"message": "?", "requestedSchema": schema}
        child.say({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create", "params": params})
        post(two, request(1, "tools/call", can, name="add"))
        assert calls(child) == ["ask"]
        answer(child)
        assert calls(child) == ["ask", "add"]

    def test_asked_meanwhile(self) -> None:
        """A client that is asked something in its call may call another tool to answer: it does not wait for itself."""
        gateway = gateway_of(Concurrency(1), share=Share.SESSION, interactive=True)
        client = gateway.client("s")
        client.initialize(protocolVersion="2025-06-18", capabilities={"sampling": {}})
        client.send(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add"}},
            Accept="application/json, text/event-stream",
        )
        question = {"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": {}}
        gateway.child.say(question)
        again = gateway.client("s", **client.headers)
        again.call(2, name="add")
        assert calls(gateway.child) == ["add", "add"]
