"""Children that hang with calls under way, and what becomes of those who wait for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import Concurrency, Lazy, ServerSpec, Share
from mcpgateway.config.reach_settings import Daemon
from mcpgateway.hub.children.retired import LIMIT
from mcpgateway.hub.sessions import handle
from mcpgateway.observe.why import Diagnoser
from mcpgateway.policy.stuck_calls import ProcessActivity
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.instruments import MemoryWorld

STUCK_S = 60
WHILE = 30  # longer than a child is not looked at, shorter than it is called stuck


def spec(name: str, **more: Any) -> ServerSpec:
    """A server that everybody shares."""
    return ServerSpec(name, ("run",), {}, "/", share=Share.GLOBAL, **more)


MORE = (
    spec("one-call", concurrency=Concurrency(1)),
    spec("single", reach=Daemon(9999, "http://127.0.0.1:9999/mcp")),
    spec("modern", protocol=Era.MODERN),
    spec("limited", timeout_s=200),
    spec("replicated", replicas=2),
)


class Hall:
    """A gateway, and the world it looks at."""

    def __init__(self, *, ping_s: float = 30.0, stuck_s: float = STUCK_S) -> None:
        self.world = MemoryWorld()
        self.knows_pings = True
        self.gateway = MemoryGateway(
            ping_s=ping_s, limits=Limits(stuck_s=stuck_s), more=MORE, instruments=self.world.instruments
        )
        self.gateway.launcher.eras["modern"] = (Era.MODERN,)

    def stuck(self, name: str = "shared") -> tuple[Client, MemoryChild]:
        """A session, one of whose calls is with a child that has hung since."""
        client = self.gateway.session(name)
        return client, self.hang(client)

    def hang(self, client: Client) -> MemoryChild:
        """Let a call of a session be the last thing that its child takes note of."""
        client.call(1, name="hang")
        child = self.gateway.child
        child.hangs = True
        self.pass_time(STUCK_S + WHILE)
        return child

    def pass_time(self, seconds: int, *, working: MemoryChild | None = None) -> None:
        """Let time pass, in which all children answer pings that do not hang; of those, one computes."""
        for _ in range(seconds):
            self.gateway.tick()
            for child in self.gateway.launcher.children if self.knows_pings else ():
                self.answer_pings(child)
            if working is not None:
                cpu_s = self.world.activities.get(
                    working.pid, ProcessActivity(is_stopped=False, cpu_s=0)
                ).cpu_s
                self.world.activities[working.pid] = ProcessActivity(is_stopped=False, cpu_s=cpu_s + 0.5)

    def answer_pings(self, child: MemoryChild) -> None:
        """Let a child answer what it was asked since, unless it hangs."""
        for each in child.asked("ping"):
            if not (child.hangs or child.is_stopping):
                child.received.remove(each)
                child.answer(each, {})

    def shown(self, name: str = "shared") -> dict[str, Any]:
        """The server in the answer to ``GET /health``."""
        backends = json.loads(json.dumps(self.gateway.census.health()))["backends"]
        found: dict[str, Any] = next(each for each in backends if each["name"] == name)
        return found

    def why(self, name: str = "shared") -> dict[str, Any]:
        """The diagnosis of a server."""
        why = Diagnoser(self.gateway.dispatcher, self.gateway.health, self.gateway.hub.tapes, tuple)
        found: dict[str, Any] = json.loads(json.dumps(why.tell(name)))
        return found


@pytest.fixture
def hall() -> Hall:
    """A gateway that pings, and in which a child is stuck after a minute."""
    return Hall()


def answered(client: Client) -> Any:
    """The answer to a client's last call; None while there is none."""
    if client.heard is None:
        return None
    if client.heard.headers.get("content-type") == "application/json":
        return client.heard.json
    return next(iter(client.heard.events), None)


def tool_answer(gateway: MemoryGateway, child: MemoryChild, client: Client) -> Any:
    """The result of a client's call of a tool, by a child that answers."""
    client.call(77, name="works")
    child.answer(child.asked("tools/call")[-1], {"content": []})
    return answered(client)["result"]


class StoppedTests:
    """A process that was stopped, as by SIGSTOP."""

    @pytest.mark.parametrize("name", ["shared", "own", "modern"])
    def test_another_takes_the_calls(self, hall: Hall, name: str) -> None:
        """After a minute the next calls go to another process, also where there are no pings."""
        client = hall.gateway.session(name)
        client.call(1, name="hang")
        child = hall.gateway.child
        child.hangs = True
        hall.world.activities[child.pid] = ProcessActivity(is_stopped=True, cpu_s=1.0)
        hall.pass_time(STUCK_S - 1)
        assert len(hall.gateway.launcher.children) == 1
        hall.pass_time(10)
        assert hall.gateway.child is not child
        other = hall.gateway.client(name, **client.headers)
        assert tool_answer(hall.gateway, hall.gateway.child, other)["content"] == []
        assert not child.is_stopping

    def test_without_pings(self) -> None:
        """A stopped process is seen where nothing is pinged, too."""
        hall = Hall(ping_s=0)
        hall.gateway.session().call(1)
        hall.world.activities[hall.gateway.child.pid] = ProcessActivity(is_stopped=True, cpu_s=1.0)
        hall.pass_time(STUCK_S + WHILE)
        assert len(hall.gateway.launcher.children) == 2


class SilentTests:
    """A process that runs, and does nothing."""

    def test_another_takes_the_calls(self, hall: Hall) -> None:
        """Sessions that were there, and those that come, have their calls answered by another process."""
        other = hall.gateway.session()
        _, child = hall.stuck()
        assert hall.gateway.child is not child
        for each in (other, hall.gateway.session(), hall.gateway.client()):
            assert tool_answer(hall.gateway, hall.gateway.child, each)["content"] == []
        assert hall.shown()["status"] == "running"

    def test_the_call_goes_on(self, hall: Hall) -> None:
        """The call that it hangs with is answered if the answer comes after all, and then the process is stopped."""
        client, child = hall.stuck()
        hall.pass_time(1000)
        assert answered(client) is None
        assert not child.is_stopping
        child.answer(child.asked("tools/call")[0], {"content": ["late"]})
        assert answered(client)["result"]["content"] == ["late"]
        hall.pass_time(1)
        assert child.is_stopping
        assert hall.shown()["pids"] == [hall.gateway.child.pid]

    def test_the_call_is_taken_back(self, hall: Hall) -> None:
        """The client that gives up on it is heard, and then the process is stopped."""
        client, child = hall.stuck()
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        hall.gateway.client(**client.headers).send(cancel)
        assert child.asked("notifications/cancelled")
        hall.pass_time(1)
        assert child.is_stopping

    def test_the_calls_own_limit(self, hall: Hall) -> None:
        """The time limit of a call holds, whichever child has it."""
        client, child = hall.stuck("limited")
        assert answered(client) is None
        hall.pass_time(200)
        assert "did not answer within 3 min 20 s" in answered(client)["error"]["message"]
        assert child.is_stopping

    def test_its_session_ends(self, hall: Hall) -> None:
        """With the session that it belongs to, the call is over."""
        client, child = hall.stuck()
        hall.gateway.client(**client.headers).ask(b"", "DELETE")
        hall.pass_time(1)
        assert child.is_stopping

    def test_it_is_never_asked_again(self, hall: Hall) -> None:
        """No call is sent twice."""
        hall.stuck()
        assert hall.gateway.child.asked("tools/call") == []

    def test_calls_that_it_does_not_know_of(self, hall: Hall) -> None:
        """Calls that wait for other calls of their session go to the next process."""
        client = hall.gateway.session()
        for number in range(70):
            hall.gateway.client(**client.headers).call(number)
        assert len(hall.gateway.child.asked("tools/call")) == 64
        hall.gateway.child.hangs = True
        hall.pass_time(STUCK_S + WHILE)
        assert len(hall.gateway.child.asked("tools/call")) == 6

    def test_what_it_still_says(self, hall: Hall) -> None:
        """Progress of the call reaches its client; what it asks is refused, since nobody knows it any more."""
        client = hall.gateway.session()
        client.call(1, name="hang", _meta={"progressToken": "t"})
        child = hall.gateway.child
        child.hangs = True
        hall.pass_time(STUCK_S + WHILE)
        number = child.asked("tools/call")[0]["params"]["_meta"]["progressToken"]
        child.say(
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": number, "progress": 1},
            }
        )
        assert answered(client)["params"] == {"progressToken": "t", "progress": 1}
        child.say({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})
        assert child.received[-1]["error"]["code"] == -32601

    def test_told_and_shown(self, hall: Hall) -> None:
        """A stuck child is in the log, in the server's history and numbers, and both processes are shown."""
        with capturedLogs() as logs:
            _, child = hall.stuck()
        (event,) = [each for each in logs if each.get("event") == "server.stuck"]
        assert (event["server"], event["pid"], event["calls"]) == ("shared", child.pid, 1)
        body = hall.shown()
        assert body["pids"] == [hall.gateway.child.pid, child.pid]
        assert (body["restart_count"], body["calls"]) == (1, 1)
        happenings = [each.event for each in hall.gateway.health.histories.of("shared").happenings()]
        assert "server.stuck" in happenings

    def test_subscriptions(self, hall: Hall) -> None:
        """The next process is asked for the resources that its sessions are subscribed to."""
        client = hall.gateway.session()
        client.call(5, "resources/subscribe", uri="a://b")
        hall.gateway.child.answer(hall.gateway.child.asked("resources/subscribe")[0], {})
        hall.hang(hall.gateway.client(**client.headers))
        hall.pass_time(2)
        assert [each["params"]["uri"] for each in hall.gateway.child.asked("resources/subscribe")] == [
            "a://b"
        ]

    def test_a_replica(self, hall: Hall) -> None:
        """A child among several that share the calls is replaced like any."""
        first, second = hall.gateway.session("replicated"), hall.gateway.session("replicated")
        first.call(1)
        second.call(2)
        assert len(hall.gateway.launcher.children) == 2
        for each in hall.gateway.launcher.children:
            each.hangs = True
        hall.pass_time(STUCK_S + WHILE)
        third = hall.gateway.session("replicated")
        third.call(3)
        fresh = hall.gateway.launcher.children[2:]
        assert any(each.asked("tools/call") for each in fresh)

    def test_nobody_else_is_there(self, hall: Hall) -> None:
        """Where only requests without a session came, no process is started before the next of them."""
        hall.hang(hall.gateway.client())
        assert len(hall.gateway.launcher.children) == 1
        hall.gateway.client().call(2)
        assert len(hall.gateway.launcher.children) == 2


class WorkingTests:
    """Processes that are not stuck, however long it takes."""

    def test_output(self, hall: Hall) -> None:
        """The output of a child is a sign of life: a line on stderr as well."""
        hall.gateway.session().call(1)
        for _ in range(20):
            hall.gateway.child.hangs = True
            hall.pass_time(STUCK_S - 1)
            hall.gateway.child.heard += 1
        assert len(hall.gateway.launcher.children) == 1

    def test_cpu_time(self, hall: Hall) -> None:
        """A server whose processes compute is at work."""
        hall.gateway.session().call(1)
        hall.gateway.child.hangs = True
        hall.pass_time(600, working=hall.gateway.child)
        assert len(hall.gateway.launcher.children) == 1

    def test_it_answers_pings(self, hall: Hall) -> None:
        """A child that waits for something and answers pings is free for other calls."""
        hall.gateway.session().call(1)
        hall.pass_time(600)
        assert len(hall.gateway.launcher.children) == 1

    def test_the_modern_era(self, hall: Hall) -> None:
        """A modern server has no ping: a child that answers ``server/discover`` is there."""
        hall.gateway.session("modern").call(1)
        hall.pass_time(600)
        assert hall.world.looks
        assert len(hall.gateway.launcher.children) == 1

    def test_its_client_has_to_answer(self, hall: Hall) -> None:
        """A child that has asked its client something waits for that."""
        client = hall.gateway.client("own")
        client.initialize(protocolVersion="2025-06-18", capabilities={"elicitation": {}})
        client.call(1)
        hall.gateway.child.hangs = True
        question = {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create"}
        hall.gateway.child.say(question | {"params": {"message": "?", "requestedSchema": {"type": "object"}}})
        hall.pass_time(600)
        assert len(hall.gateway.launcher.children) == 1

    def test_nothing_to_do(self, hall: Hall) -> None:
        """The gateway does not look at processes that have no calls, or have just answered."""
        client = hall.gateway.session()
        for number in range(10):
            client.call(number)
            hall.gateway.child.answer(hall.gateway.child.asked("tools/call")[-1], {})
            hall.pass_time(10)
        assert hall.world.looks == []

    def test_never(self) -> None:
        """The limit can be taken away."""
        hall = Hall(stuck_s=0)
        hall.stuck()
        assert len(hall.gateway.launcher.children) == 1
        assert hall.world.looks == []

    def test_a_server_that_knows_no_pings(self, hall: Hall) -> None:
        """A server that has never answered a ping is replaced once, and then believed to be at work."""
        hall.knows_pings = False
        hall.stuck()
        assert len(hall.gateway.launcher.children) == 2
        hall.hang(hall.gateway.session())
        hall.pass_time(1000)
        assert len(hall.gateway.launcher.children) == 2


class SingleTests:
    """Servers that may have one process only."""

    @pytest.mark.parametrize("name", ["single", "one-call"])
    def test_it_is_said(self, hall: Hall, name: str) -> None:
        """No other is started beside it; its state and its history say it, until it shows a sign of life."""
        with capturedLogs() as logs:
            _, child = hall.stuck(name)
        assert [each["event"] for each in logs].count("server.stuck") == 1
        assert len(hall.gateway.launcher.children) == 1
        body = hall.shown(name)
        assert body["status"] == "degraded"
        assert body["last_error"].startswith("it is stuck: it says nothing")
        child.answer(child.asked("tools/call")[0], {})
        hall.pass_time(2)
        body = hall.shown(name)
        assert (body["status"], body["last_error"]) == ("running", "")

    def test_a_restart_helps(self, hall: Hall) -> None:
        """A restart answers the call with an error, and puts another process there."""
        client, child = hall.stuck("single")
        hall.gateway.health.instances("single")[0].stop("an operator wants another", again=True)
        assert child.is_stopping
        assert "ended before it answered" in answered(client)["error"]["message"]
        assert len(hall.gateway.launcher.children) == 2


class ManyTests:
    """Processes that hang, one after another."""

    def test_a_bound(self, hall: Hall) -> None:
        """The gateway keeps only so many stuck children; then the one that has hung for longest ends, its
        call answered.
        """
        clients = []
        hall.gateway.session()
        for _ in range(LIMIT + 1):
            clients.append(hall.gateway.client())
            hall.hang(clients[-1])
        first, *others = hall.gateway.launcher.children
        assert first.is_killed
        first.exit(-9)
        assert "it was stuck, and so were others after it" in answered(clients[0])["error"]["message"]
        assert not any(each.is_killed or each.is_stopping for each in others)
        assert len(hall.shown()["pids"]) == LIMIT + 1


class LongCallTests:
    """Calls that take long, stuck or not."""

    def test_named(self, hall: Hall) -> None:
        """After five minutes each is named once in the log and in the history, and shown for as long as it lasts."""
        client = hall.gateway.session()
        client.call(1, name="dig")
        with capturedLogs() as logs:
            hall.pass_time(299)
            assert hall.shown()["long_calls"] == []
            hall.pass_time(61)
        (event,) = [each for each in logs if each.get("event") == "call.long"]
        assert (event["server"], event["what"], event["minutes"]) == ("shared", "dig", 5)
        identifier = client.headers["Mcp-Session-Id"]
        (call,) = hall.shown()["long_calls"]
        assert call == {"what": "dig", "seconds": 360, "session": handle(identifier.encode())}
        (advice,) = hall.why()["advice"]
        assert (advice["cause"], advice["trouble"]) == ("long-call", False)
        assert "a call of dig has been under way for 6 min" in advice["says"]
        assert "call.long" in [each["event"] for each in hall.why()["history"]]
        hall.gateway.child.answer(hall.gateway.child.asked("tools/call")[0], {})
        assert hall.shown()["long_calls"] == []

    def test_of_a_stuck_process(self, hall: Hall) -> None:
        """The calls of a stuck process are named like others, and the process is named itself."""
        _, child = hall.stuck()
        hall.pass_time(600)
        assert [each["what"] for each in hall.shown()["long_calls"]] == ["hang"]
        (retired,) = hall.shown()["retired"]
        assert (retired["pid"], retired["calls"]) == (child.pid, 1)
        assert [each["cause"] for each in hall.why()["advice"]] == ["replaced", "long-call"]
        assert hall.why()["ok"]

    def test_why_it_may_have_one_process(self, hall: Hall) -> None:
        """A stuck child is the first cause in the diagnosis of such a server, with a remedy."""
        hall.stuck("single")
        first = hall.why("single")["advice"][0]
        assert (first["cause"], first["trouble"]) == ("stuck", True)
        assert first["do"].endswith("mcpgateway servers restart single")

    def test_what_never_ends(self, hall: Hall) -> None:
        """A request that listens is no call that takes long."""
        hall.gateway.session("modern")
        hall.pass_time(600)
        assert hall.shown("modern")["long_calls"] == []


class EndTests:
    """The end of those that get no new calls."""

    def test_an_operator_stops_the_server(self, hall: Hall) -> None:
        """All of its processes are stopped."""
        _, child = hall.stuck()
        hall.gateway.health.disable("shared")
        assert all(each.is_stopping for each in (child, hall.gateway.child))

    def test_another_definition(self, hall: Hall) -> None:
        """No child of the former definition is left."""
        _, child = hall.stuck()
        hall.gateway.edit("shared", command=("other",))
        assert child.is_stopping

    def test_the_gateway_stops(self, hall: Hall) -> None:
        """The gateway waits until no stuck child is left."""
        _, child = hall.stuck()
        child.lingers = Deferred()
        closed = hall.gateway.dispatcher.close()
        assert not closed.called
        child.lingers.callback(None)
        assert closed.called

    def test_it_ends_by_itself(self, hall: Hall) -> None:
        """A caller of a stuck child hears of its end, and the process in its place goes on."""
        client, child = hall.stuck()
        child.exit(1)
        assert "shared ended before it answered (exit code 1)" in answered(client)["error"]["message"]
        assert hall.shown()["status"] == "running"

    def test_nobody_uses_the_server(self) -> None:
        """The process that took its place is not stopped for idleness as long as that would end the call."""
        hall = Hall()
        hall.gateway.edit("shared", lazy=Lazy(idle_s=100))
        client, child = hall.stuck()
        hall.pass_time(1000)
        assert answered(client) is None
        assert not child.is_stopping


def test_servers_stay_apart(hall: Hall) -> None:
    """A server that hangs is no trouble for others."""
    hall.gateway.session("own")
    own = hall.gateway.child
    _, child = hall.stuck()
    assert child is not own
    assert hall.shown("own")["pids"] == [own.pid]
