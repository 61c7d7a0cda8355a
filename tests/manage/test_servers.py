"""Operators start, stop and restart servers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpgateway.config.gateway_settings import Circuit
from mcpgateway.config.model import Share
from mcpgateway.errors import BackendTimeout, Conflict, GatewayError, UnknownServer
from mcpgateway.manage.servers import START_S, ServerOperations
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import HELLO, MemoryGateway
from tests.support.gateway_tools import spec


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway whose servers have no tools, so that nobody waits for their lists."""
    made = MemoryGateway(circuit=Circuit(restarts=2))
    made.launcher.hello = {**HELLO, "capabilities": {}}
    return made


@pytest.fixture
def operating(gateway: MemoryGateway) -> ServerOperations:
    """The operations on servers."""
    return ServerOperations(gateway.dispatcher, gateway.health, gateway.clock)


def outcome(work: Deferred[Any]) -> Any:
    """Return the result of a Deferred; None while it has none."""
    found: list[Any] = []
    work.addBoth(found.append)
    return found[0] if found else None


class StartTests:
    """Starting."""

    def test_its_tools_are_listed(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A start is answered as soon as the server runs; its tools are listed then, and no session is left."""
        gateway.launcher.hello = dict(HELLO)
        done: list[Any] = []
        operating.start("shared").addCallback(done.append)
        assert done == [None]
        (asked,) = gateway.child.asked("tools/list")
        assert len(gateway.sessions) == 1
        gateway.child.answer(asked, {"tools": []})
        assert len(gateway.sessions) == 0
        assert not gateway.child.is_stopping

    def test_a_server_that_lists_nothing(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A server that refuses its list, or never answers, runs all the same."""
        gateway.launcher.hello = dict(HELLO)
        operating.start("shared")
        asked = gateway.child.asked("tools/list")[0]
        gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": "no"}})
        assert (len(gateway.sessions), gateway.child.is_stopping) == (0, False)
        operating.start("shared")
        gateway.tick(int(START_S) + 1)
        assert (len(gateway.sessions), gateway.child.is_stopping) == (0, False)

    def test_many_at_once(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """Several starts of a server wait for the same child, and get the same answer."""
        gateway.launcher.hello = None
        waiting = [operating.start("shared") for _ in range(5)]
        assert len(gateway.launcher.children) == len(gateway.sessions) == 1
        gateway.child.exit(1, "no")
        assert all(isinstance(outcome(each).value, GatewayError) for each in waiting)

    @pytest.mark.parametrize("edits", [1, 2, 3])
    def test_an_entry_that_changes_meanwhile(
        self, gateway: MemoryGateway, operating: ServerOperations, edits: int
    ) -> None:
        """A start waits for the child of the latest definition, whatever has become of the children before."""
        operating.start("shared")
        former = gateway.child
        former.lingers = Deferred()
        waiting = []
        for number in range(edits):
            gateway.edit("shared", env={"N": str(number)})
            waiting.append(operating.start("shared"))
        former.exit(0)
        former.lingers.callback(None)
        assert gateway.child is not former
        assert [outcome(each.addCallback(lambda _: "done")) for each in waiting] == ["done"] * edits

    def test_a_list_that_ends_late(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """The end of a child whose tools are being listed does not fail the start of its successor."""
        gateway.launcher.hello = dict(HELLO)
        operating.start("shared")
        former = gateway.child
        former.lingers = Deferred()
        gateway.edit("shared", env={"N": "1"})
        gateway.launcher.hello = None
        started = operating.start("shared")
        former.exit(0)
        former.lingers.callback(None)
        assert not started.called
        gateway.child.answer(gateway.child.asked("initialize")[0], HELLO)
        assert outcome(started.addCallback(lambda _: "done")) == "done"

    def test_too_slow(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A start has a limit, whatever it is that takes so long."""
        gateway.launcher.prepares = False
        started = operating.start("shared")
        for _ in range(int(START_S) + 1):
            gateway.clock.advance(1)
        why = outcome(started).value
        assert isinstance(why, GatewayError)
        assert isinstance(why, BackendTimeout) or "handshake" in str(why)

    def test_the_modern_era(self, operating: ServerOperations, gateway: MemoryGateway) -> None:
        """A server of the modern era alone is started in that era."""
        gateway.launcher.eras["shared"] = (Era.MODERN,)
        operating.start("shared")
        assert gateway.child.asked("server/discover")

    def test_one_for_each_session(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A server with a child for each session is started once to see that it works, and stopped again."""
        assert outcome(operating.start("own").addCallback(lambda _: "done")) == "done"
        assert gateway.child.is_stopping

    def test_refused(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A server that is disabled or given up is not started; the hint has the remedy."""
        operating.switch("shared", on=False)
        with pytest.raises(Conflict) as refusal:
            operating.start("shared")
        assert "switches it on" in refusal.value.hint
        operating.switch("shared", on=True)
        gateway.launcher.refuses = True
        for _ in range(2):
            operating.begin("shared")
        with pytest.raises(Conflict) as refusal:
            operating.restart("shared")
        assert "reset its circuit" in refusal.value.hint
        assert operating.start_all() == ()
        operating.reset_circuit("shared")
        assert operating.start_all() == ("shared",)

    def test_passed(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A server whose test has passed is as one without a past, though it had been given up."""
        gateway.launcher.refuses = True
        for _ in range(2):
            operating.begin("shared")
        server, slots = gateway.dispatcher.servers["shared"], list(gateway.dispatcher.pool)
        assert gateway.health.shown(server, slots)["status"] == "disabled"
        operating.reset_circuit("shared")
        assert gateway.health.shown(server, slots)["last_error"]
        operating.reset_circuit("shared", has_passed=True)
        found = gateway.health.shown(server, slots)
        assert (found["status"], found["last_error"]) == ("stopped", "")
        history = gateway.health.histories.of("shared")
        assert (history.fault, history.happenings()[-1].event) == (None, "server.passed")
        assert operating.start_all() == ("shared",)

    def test_unknown(self, operating: ServerOperations) -> None:
        """Every operation on an unknown server is refused with the nearest name."""
        for work in (
            operating.start,
            operating.stop,
            operating.restart,
            operating.reset_circuit,
            operating.follow,
        ):
            with pytest.raises(UnknownServer):
                work("sharde")


class StopTests:
    """Stopping and starting anew."""

    def test_every_child(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """All children of a server are stopped, those of single sessions too."""
        sessions = [gateway.session("own") for _ in range(3)]
        assert outcome(operating.stop("own").addCallback(lambda _: "done")) == "done"
        assert all(each.is_stopping for each in gateway.launcher.children)
        sessions[0].call(1)
        assert len(gateway.launcher.children) == 4

    def test_in_the_middle_of_a_start(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A server that is being started is stopped, and its waiting callers get an error."""
        gateway.launcher.hello = None
        started = operating.start("shared")
        operating.stop("shared")
        assert isinstance(outcome(started).value, GatewayError)
        assert gateway.child.is_stopping

    def test_nothing_runs(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A stop of a server that does not run is no error."""
        assert outcome(operating.stop("shared").addCallback(lambda _: "done")) == "done"
        assert outcome(operating.stop_all()) == ()

    def test_anew_for_each_session(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """Every session has another child of its own."""
        for _ in range(2):
            gateway.session("own")
        assert outcome(operating.restart("own", 5).addCallback(lambda _: "done")) == "done"
        assert [each.is_stopping for each in gateway.launcher.children] == [True, True, False, False]

    def test_calls_under_way(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """Calls under way fail as their server has ended; none is sent twice."""
        client = gateway.session()
        client.call(1)
        operating.restart("shared")
        answer = client.heard
        assert answer is not None
        assert "error" in answer.json
        assert gateway.child.asked("tools/call") == []


class SwitchTests:
    """Servers that operators or entries enable and disable."""

    def test_the_entry_counts_again(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """A server is on or off as its entry says, once the entry is changed."""
        operating.switch("shared", on=False)
        operating.follow("shared")
        gateway.session()
        assert not gateway.child.is_stopping
        gateway.edit("shared", enabled=False)
        operating.switch("shared", on=True)
        gateway.session()
        operating.follow("shared")
        assert gateway.child.is_stopping
        operating.follow("shared")

    def test_without_a_word_of_anybody(self, gateway: MemoryGateway, operating: ServerOperations) -> None:
        """Where no operator has said anything, nothing changes."""
        gateway.session()
        operating.follow("shared")
        assert not gateway.child.is_stopping


def test_shared_by_workspaces() -> None:
    """A server of which each workspace has its own is not started for nobody by starting all."""
    gateway = MemoryGateway(more=(spec("w", share=Share.WORKSPACE),))
    operating = ServerOperations(gateway.dispatcher, gateway.health, gateway.clock)
    assert operating.start_all() == ("shared",)
