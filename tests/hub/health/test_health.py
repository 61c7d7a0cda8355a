"""Failures of servers, the gateway's measures against them, and what it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from mcpgateway.config.gateway_settings import Circuit, Limits
from mcpgateway.config.model import Lazy, ServerSpec, Share
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import NeedsApproval, NeedsAuthorization, NeedsLogin, UnknownServer, Unreachable
from mcpgateway.hub.health.instance import FETCH_TICKS, MISSES_LIMIT, STUCK_TICKS
from mcpgateway.hub.health.instruments import BLIND, Instruments
from mcpgateway.hub.health.ping import CHECKS_LIMIT, LENIENT_TICKS, PATIENCE_TICKS
from mcpgateway.hub.health.running_child import HEALTHY_TICKS
from mcpgateway.interfaces import Gone
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import HELLO, Client, MemoryChild, MemoryGateway
from tests.support.instruments import MemoryWorld

SECRET = "sk-very-secret"


def spec(name: str, **more: Any) -> ServerSpec:
    """A server that everybody shares."""
    return ServerSpec(name, ("run",), {"API_TOKEN": SECRET}, "/", share=Share.GLOBAL, **more)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def shown(gateway: MemoryGateway, name: str = "shared") -> dict[str, Any]:
    """The server in the answer to ``GET /health``."""
    backends = json.loads(json.dumps(gateway.census.health()))["backends"]
    found: dict[str, Any] = next(each for each in backends if each["name"] == name)
    return found


def status(gateway: MemoryGateway, name: str = "shared") -> str:
    """The state a server is shown in."""
    return str(shown(gateway, name)["status"])


def error(client: Client) -> dict[str, Any]:
    """The error that a client's last call was answered with."""
    assert client.heard is not None
    found: dict[str, Any] = client.heard.json["error"]
    return found


def crash(gateway: MemoryGateway, times: int = 1, *, healthy: bool = True) -> None:
    """Let a used server's child end again and again, each time after it has worked, without waiting."""
    client = gateway.client()
    for _ in range(times):
        client.call(1)
        if healthy:
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
        gateway.child.exit(1)


class RestartTests:
    """A child that ends unexpectedly."""

    def test_somebody_uses_it(self, gateway: MemoryGateway) -> None:
        """A child with a session is started again after five seconds, which is shown."""
        gateway.session()
        gateway.child.exit(1)
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("restarting", 5)
        assert body["last_error"] == "shared has ended: exit code 1"
        assert body["last_crash_at"] == "2023-11-14T22:13:20+00:00"
        gateway.tick(4)
        assert len(gateway.launcher.children) == 1
        gateway.tick()
        assert len(gateway.launcher.children) == 2
        body = shown(gateway)
        assert (body["status"], body["next_try_s"], body["last_error"]) == ("running", None, "")
        assert (body["restart_count"], body["mtbf_seconds"]) == (1, 0)

    def test_nobody_uses_it(self, gateway: MemoryGateway) -> None:
        """A child that nobody uses stays away until a client comes."""
        client = gateway.client()
        client.call(1)
        gateway.child.exit(1)
        assert error(client)["message"] == "shared ended before it answered (exit code 1)"
        gateway.tick(600)
        assert len(gateway.launcher.children) == 1
        assert status(gateway) == "stopped"
        gateway.client().call(2)
        assert len(gateway.launcher.children) == 2

    def test_whoever_used_it_leaves(self, gateway: MemoryGateway) -> None:
        """A child is not started again for sessions that have ended meanwhile."""
        client = gateway.session()
        gateway.child.exit(1)
        client.ask(b"", "DELETE")
        gateway.tick(600)
        assert len(gateway.launcher.children) == 1
        assert status(gateway) == "stopped"

    def test_a_call_does_not_wait(self, gateway: MemoryGateway) -> None:
        """A call that comes meanwhile starts it at once, and no second child comes when the wait is over."""
        client = gateway.session()
        gateway.child.exit(1)
        client.call(1)
        assert len(gateway.launcher.children) == 2
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert client.heard is not None
        assert client.heard.json["result"] == {}
        gateway.tick(600)
        assert len(gateway.launcher.children) == 2

    def test_waits_double(self) -> None:
        """Each end in a row doubles the wait, up to five minutes; five minutes of running put it back."""
        gateway = MemoryGateway(circuit=Circuit(restarts=0))
        gateway.session()
        waits = []
        for _ in range(8):
            gateway.child.exit(1)
            waits.append(shown(gateway)["next_try_s"])
            gateway.tick(waits[-1])
        assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
        gateway.tick(300)
        gateway.child.exit(1)
        assert shown(gateway)["next_try_s"] == 5

    def test_the_numbers(self, gateway: MemoryGateway) -> None:
        """The time between failures is that of all lives together, the uptime that of this one."""
        gateway.session()
        gateway.tick(100)
        gateway.child.exit(1)
        gateway.tick(5 + 60)
        gateway.child.exit(1)
        gateway.tick(10 + 40)
        body = shown(gateway)
        assert (body["restart_count"], body["mtbf_seconds"], body["uptime_seconds"]) == (2, 100, 40)

    def test_a_failed_start(self, gateway: MemoryGateway) -> None:
        """A failed start is an error until the next try."""
        gateway.launcher.hello = None
        client = gateway.client("own")
        client.call(0, "initialize", protocolVersion="2025-06-18")
        assert status(gateway, "own") == "starting"
        gateway.child.exit(3)
        assert error(client)["message"] == "own ended during the handshake (exit code 3)"
        body = shown(gateway, "own")
        assert (body["status"], body["consecutive_failures"]) == ("error", 1)
        assert body["last_error"] == "own ended during the handshake (exit code 3)"
        gateway.launcher.hello = HELLO
        gateway.session("own")
        assert status(gateway, "own") == "running"

    @pytest.mark.parametrize("code", [126, 127])
    def test_hopeless(self, gateway: MemoryGateway, code: int) -> None:
        """A program that a shell cannot run is not tried again unasked."""
        gateway.session()
        gateway.child.exit(1)
        gateway.launcher.hello = None
        gateway.tick(5)
        gateway.child.exit(code)
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("error", None)
        gateway.tick(1000)
        assert len(gateway.launcher.children) == 2

    def test_a_missing_program(self, gateway: MemoryGateway) -> None:
        """Nor is one that is not there; each call tries it."""
        client = gateway.session()
        gateway.child.exit(1)
        gateway.launcher.refuses = True
        gateway.tick(1000)
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("error", None)
        assert body["last_error"] == "shared: the program was not found"
        gateway.launcher.refuses = False
        gateway.client(**client.headers).call(1)
        assert status(gateway) == "running"

    def test_a_start_that_fails_unasked(self, gateway: MemoryGateway) -> None:
        """A start that fails unasked is tried again, ever more slowly."""
        gateway.session()
        gateway.child.exit(1)
        gateway.launcher.refuses = gateway.launcher.is_passing = True
        gateway.tick(5)
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("error", 10)
        gateway.launcher.refuses = False
        gateway.tick(10)
        assert status(gateway) == "running"

    def test_no_secrets(self) -> None:
        """Secrets in a server's words are not shown."""
        gateway = MemoryGateway(more=(spec("leaky"),))
        gateway.launcher.hello = None
        gateway.client("leaky").call(0, "initialize", protocolVersion="2025-06-18")
        (handshake,) = gateway.child.asked("initialize")
        refusal = {"code": -32000, "message": f"bad token {SECRET}"}
        gateway.child.say({"jsonrpc": "2.0", "id": handshake["id"], "error": refusal})
        text = json.dumps(shown(gateway, "leaky"))
        assert "bad token ***" in text
        assert SECRET not in text

    def test_no_queries(self, gateway: MemoryGateway) -> None:
        """Nor are the queries of URLs."""
        record = gateway.health.record(gateway.dispatcher.server("shared"))
        record.note("let it in at https://a.example/authorize?state=secret, please")
        assert record.last_error == "let it in at https://a.example/authorize?*** please"

    def test_its_user_has_to_do_something(self, gateway: MemoryGateway) -> None:
        """A server that waits for its user fails as often as it is asked, and is not given up for that."""
        gateway.session()
        gateway.child.exit(1)
        gateway.launcher.refusal = NeedsAuthorization("let it in first")
        for _ in range(10):
            client = gateway.client()
            client.call(1)
            assert error(client)["message"] == "let it in first"
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("needs login", None)

    def test_only_what_is_used_is_shown(self, gateway: MemoryGateway) -> None:
        """An instance that failed, and that nobody has a use for, does not hide one that runs."""
        gateway.session("own")
        gateway.launcher.hello = None
        gateway.client("own").call(0, "initialize", protocolVersion="2025-06-18")
        gateway.child.exit(1)
        assert status(gateway, "own") == "running"


WAY = NeedsLogin("it wants its user to sign in: open https://as.example/a?state=s", "open it", {"url": "u"})


class LoginTests:
    """A server that waits for its user to sign in."""

    def make(self) -> tuple[MemoryGateway, MemoryWorld]:
        """A gateway whose shared server has ended its first connection because nobody has signed in."""
        world = MemoryWorld()
        gateway = MemoryGateway(instruments=world.instruments)
        gateway.launcher.hello = None
        self.refused(gateway, world)
        return gateway, world

    def refused(self, gateway: MemoryGateway, world: MemoryWorld) -> None:
        """A call meets a server that ends like this."""
        client = gateway.client()
        client.call(1)
        world.asked["shared"] = WAY
        gateway.health.wanted("shared", "")
        gateway.child.lose(
            Gone(fault=WAY.plain, error=NeedsLogin(f"shared: {WAY.message}", WAY.hint, WAY.data))
        )
        assert error(client)["data"]["url"] == "u"

    def test_nothing_is_tried(self) -> None:
        """A login that is missing is no failure: it is not counted, not tried again, and every call is
        answered at once.
        """
        gateway, _ = self.make()
        for _ in range(20):
            client = gateway.client()
            client.call(1)
            said = error(client)
            assert said["message"] == f"shared: {WAY.message}"
            assert said["data"] == {"url": "u", "hint": "open it"}
            gateway.tick(30)
        assert len(gateway.launcher.children) == 1
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("needs login", None)
        assert (body["consecutive_failures"], body["restart_count"]) == (0, 0)
        assert body["last_error"] == "shared: it wants its user to sign in: mcpgateway servers login shared"

    def test_however_often(self) -> None:
        """No breaker opens, however often it is seen that nobody has signed in."""
        gateway, world = self.make()
        for _ in range(20):
            world.asked.clear()  # a gateway that knows of no question looks
            self.refused(gateway, world)
            gateway.tick(3)
        assert status(gateway) == "needs login"

    def test_somebody_signs_in(self) -> None:
        """The next call is served then, and who waits for news has the server started at once."""
        gateway, world = self.make()
        world.asked.clear()
        gateway.launcher.hello = HELLO
        gateway.health.granted("shared", "")
        assert status(gateway) == "stopped"
        gateway.session()
        assert status(gateway) == "running"

    def test_in_the_midst(self) -> None:
        """A server that runs and wants a sign-in for some of its calls goes on with the others, and is shown so."""
        world = MemoryWorld()
        gateway = MemoryGateway(instruments=world.instruments)
        client = gateway.session()
        gateway.health.wanted("shared", "")
        assert status(gateway) == "needs login"
        client.call(5)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {"content": []})
        assert client.heard is not None
        assert "result" in client.heard.json
        gateway.health.granted("shared", "")
        assert status(gateway) == "running"


class BreakerTests:
    """A server that keeps failing."""

    def test_opens(self, gateway: MemoryGateway) -> None:
        """After five restarts within five minutes it is given up: calls are refused at once, with all they need."""
        crash(gateway, 6)
        client = gateway.client()
        client.call(1)
        assert len(gateway.launcher.children) == 6
        why = error(client)
        assert why["message"] == "shared has failed (circuit breaker: 5 restarts in 5m0s)"
        assert why["data"]["hint"] == (
            "it failed last because: shared has ended: exit code 1; it is tried again in 5 min; "
            "to try it at once, reset its circuit (mcpgateway servers reset-circuit shared) or restart the gateway"
        )
        body = shown(gateway)
        assert (body["status"], body["next_try_s"]) == ("disabled", 300)
        assert body["last_error"] == (
            "circuit breaker: 5 restarts in 5m0s; last: shared has ended: exit code 1"
        )

    def test_a_session_is_refused_too(self, gateway: MemoryGateway) -> None:
        """A client that begins a session is refused the same."""
        crash(gateway, 6)
        client = gateway.client()
        client.call(0, "initialize", protocolVersion="2025-06-18")
        assert "circuit breaker" in error(client)["message"]

    def test_no_sibling_is_started(self) -> None:
        """No sibling is started past an open breaker to find something out about the server."""
        gateway = MemoryGateway(more=(evolve(spec("open"), share=Share.AUTO),))
        client = gateway.client("open")
        for _ in range(6):
            client.call(1)
            gateway.child.exit(1)
        client.call(0, "initialize", protocolVersion="2025-06-18", capabilities={"sampling": {}})
        gateway.tick(2)
        assert len(gateway.launcher.children) == 5
        assert "circuit breaker" in error(client)["message"]

    def test_never_healthy(self, gateway: MemoryGateway) -> None:
        """Children that end before they have done anything are given up one earlier, and however slow they are."""
        for _ in range(5):
            crash(gateway, healthy=False)
            gateway.tick(100)
        assert shown(gateway)["last_error"].startswith(
            "circuit breaker: 5 starts in a row that never became healthy"
        )

    def test_running_is_healthy(self, gateway: MemoryGateway) -> None:
        """A child that has run for a while has shown that it works."""
        for _ in range(20):
            gateway.client().call(1)
            gateway.tick(HEALTHY_TICKS + 50)
            gateway.child.exit(1)
        assert status(gateway) == "stopped"

    def test_failed_starts(self, gateway: MemoryGateway) -> None:
        """Five in a row, by whoever."""
        gateway.launcher.refuses = True
        client = gateway.client()
        for _ in range(5):
            client.call(1)
            assert "was not found" in error(client)["message"]
        client.call(1)
        assert "(circuit breaker: 5 failed starts)" in error(client)["message"]

    def test_over_all_instances(self, gateway: MemoryGateway) -> None:
        """The ends of all children of a server are counted together; one that works goes on."""
        works = gateway.session("own")
        child = gateway.child
        for _ in range(5):
            gateway.session("own")
            gateway.child.exit(1)
        client = gateway.client("own")
        client.call(0, "initialize", protocolVersion="2025-06-18")
        assert "circuit breaker" in error(client)["message"]
        works.call(1)
        child.answer(child.asked("tools/call")[0], {})
        assert works.heard is not None
        assert works.heard.json["result"] == {}

    def test_one_try(self, gateway: MemoryGateway) -> None:
        """After five minutes the next call is the one try; its success makes everything good."""
        crash(gateway, 6)
        gateway.tick(300)
        assert status(gateway) == "stopped"
        client = gateway.client()
        client.call(1)
        assert status(gateway) == "running"
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.tick()
        gateway.child.exit(1)
        client.call(2)
        assert len(gateway.launcher.children) == 8

    def test_a_try_in_vain(self, gateway: MemoryGateway) -> None:
        """A try in vain doubles the wait, and no other caller is let through meanwhile."""
        crash(gateway, 6)
        gateway.tick(300)
        gateway.launcher.hello = None
        first, second = gateway.client("shared"), gateway.client()
        first.call(1)
        gateway.child.exit(1)
        assert "during the handshake" in error(first)["message"]
        second.call(1)
        assert "it is tried again in 10 min" in error(second)["data"]["hint"]
        assert len(gateway.launcher.children) == 7

    def test_a_session_waits_for_the_try(self, gateway: MemoryGateway) -> None:
        """Where somebody uses the server, it is tried without being asked."""
        gateway.session()
        crash(gateway, 6)
        assert status(gateway) == "disabled"
        gateway.tick(299)
        assert status(gateway) == "disabled"
        children = len(gateway.launcher.children)
        gateway.tick()
        assert status(gateway) == "running"
        assert len(gateway.launcher.children) == children + 1

    def test_beside_the_try(self) -> None:
        """A caller beside the one try under way is told of it; a try that is called off can be had again."""
        gateway = MemoryGateway(circuit=Circuit(restarts=1))
        gateway.launcher.refuses = True
        gateway.client("own").call(0, "initialize", protocolVersion="2025-06-18")
        gateway.launcher.refuses, gateway.launcher.hello = False, None
        gateway.tick(300)
        server = gateway.dispatcher.server("own")
        slot = gateway.dispatcher.pool.probe(server, Era.LEGACY)
        assert gateway.health.refusal(server) is None
        trying = gateway.client("own")
        trying.call(0, "initialize", protocolVersion="2025-06-18")
        other = gateway.client("own")
        other.call(0, "initialize", protocolVersion="2025-06-18")
        assert "it is being tried once more right now; " in error(other)["data"]["hint"]
        assert status(gateway, "own") == "starting"
        for each in gateway.dispatcher.pool:
            each.close()
        assert gateway.health.refusal(server) is None
        gateway.dispatcher.pool.dismiss(slot)

    def test_by_an_operator_only(self) -> None:
        """Without ``auto_reset`` the hint promises nothing."""
        gateway = MemoryGateway(circuit=Circuit(restarts=1, auto_reset=False))
        gateway.launcher.refuses = True
        client = gateway.client()
        client.call(1)
        client.call(2)
        assert error(client)["data"]["hint"] == (
            "it failed last because: shared: the program was not found; "
            "to try it at once, reset its circuit (mcpgateway servers reset-circuit shared) or restart the gateway"
        )
        gateway.tick(10_000)
        assert status(gateway) == "disabled"
        assert shown(gateway)["next_try_s"] is None

    def test_reset(self, gateway: MemoryGateway) -> None:
        """An operator need not wait."""
        gateway.session()
        crash(gateway, 6)
        gateway.health.reset("shared")
        assert status(gateway) == "running"
        assert shown(gateway)["consecutive_failures"] == 0
        with pytest.raises(UnknownServer):
            gateway.health.reset("nobody")

    def test_a_reset_ends_the_pause(self, gateway: MemoryGateway) -> None:
        """A probe of a server that has failed waits for its back-off, and after a reset not at all."""
        server = gateway.dispatcher.servers["shared"]
        gateway.launcher.hello = None
        gateway.client().call(1)
        assert gateway.health.pause(server) is None
        gateway.child.exit(1)
        pause = gateway.health.pause(server)
        assert pause is not None
        assert "it is tried again in 5 s" in pause.hint
        gateway.health.reset("shared")
        assert gateway.health.pause(server) is None

    def test_a_reset_counts_from_zero(self, gateway: MemoryGateway) -> None:
        """A reset of the circuit ends the count of restarts, and the back-off."""
        gateway.session()
        for wait in (5, 10):
            gateway.child.exit(1)
            gateway.tick(wait)
        assert shown(gateway)["restart_count"] == 2
        gateway.child.exit(1)
        gateway.health.reset("shared")
        body = shown(gateway)
        assert (body["status"], body["restart_count"], body["mtbf_seconds"]) == ("running", 0, 0)
        gateway.child.exit(1)
        assert shown(gateway)["next_try_s"] == 5
        gateway.tick(5)
        assert shown(gateway)["restart_count"] == 1

    def test_never(self) -> None:
        """A breaker can be configured never to open."""
        gateway = MemoryGateway(circuit=Circuit(restarts=0))
        crash(gateway, 50, healthy=False)
        assert status(gateway) == "stopped"

    def test_throw_away_children(self) -> None:
        """Children that are only asked something never count."""
        gateway = MemoryGateway()
        for _ in range(20):
            probe = gateway.dispatcher.pool.probe(gateway.dispatcher.server("shared"), Era.LEGACY)
            probe.greet()
            gateway.child.exit(1)
        body = shown(gateway)
        assert (body["status"], body["consecutive_failures"], body["restart_count"]) == ("stopped", 0, 0)


class WorkspaceTests:
    """A server that runs for several workspaces."""

    def test_each_for_itself(self, gateway: MemoryGateway) -> None:
        """A failure in one workspace, or with one set of credentials, is no reason to give up another."""
        here, there = (evolve(gateway.dispatcher.server("shared"), workspace=each) for each in ("/a", "/b"))
        for _ in range(5):
            gateway.health.record(here).breaker.failed(0)
        assert gateway.health.refusal(here) is not None
        assert gateway.health.refusal(there) is None
        assert status(gateway) == "disabled"
        gateway.health.reset("shared")
        assert gateway.health.refusal(here) is None

    def test_an_operator_means_all(self, gateway: MemoryGateway) -> None:
        """Switched off is a server in every workspace, also in those that are not known yet."""
        server = gateway.dispatcher.server("shared")
        gateway.health.disable("shared")
        assert gateway.health.refusal(evolve(server, workspace="/new")) is not None
        gateway.health.enable("shared")
        assert gateway.health.refusal(evolve(server, workspace="/new")) is None

    def test_an_entry_that_was_read_again(self, gateway: MemoryGateway) -> None:
        """The same entry keeps its history; a changed one begins anew."""
        server = gateway.dispatcher.server("shared")
        record = gateway.health.record(server)
        assert gateway.health.record(evolve(server)) is record
        assert gateway.health.record(evolve(server, command=("other",))) is not record


class SwitchTests:
    """Operators switch servers off and on."""

    def test_off_and_on(self, gateway: MemoryGateway) -> None:
        """Off, its child is stopped and calls are refused; on, whoever uses it finds it running."""
        client = gateway.session()
        gateway.health.disable("shared")
        assert gateway.child.is_stopping
        client.call(1)
        why = error(client)
        assert why["message"] == "shared is disabled"
        assert why["data"]["hint"] == (
            "an operator has switched it off; mcpgateway servers enable shared switches it on"
        )
        assert status(gateway) == "disabled"
        gateway.tick(1000)
        assert len(gateway.launcher.children) == 1
        gateway.health.enable("shared")
        assert status(gateway) == "running"
        assert len(gateway.launcher.children) == 2

    def test_off_in_the_entry(self) -> None:
        """The URL of a server that is off in its entry exists, and says so."""
        gateway = MemoryGateway(more=(spec("off", enabled=False),))
        client = gateway.client("off")
        client.call(0, "initialize", protocolVersion="2025-06-18")
        assert error(client)["message"] == "off is disabled"
        assert error(client)["data"]["hint"] == (
            "its entry in the configuration says so; mcpgateway servers enable off switches it on"
        )
        assert status(gateway, "off") == "disabled"
        gateway.health.enable("off")
        gateway.session("off")
        assert status(gateway, "off") == "running"

    def test_switched_in_the_entry(self, gateway: MemoryGateway) -> None:
        """An entry that is switched off or on while the gateway runs is shown so at once, before anybody calls."""
        for enabled, shown_as in ((False, "disabled"), (True, "stopped")):
            gateway.serve(*(evolve(each, enabled=enabled) for each in gateway.settings.servers))
            assert status(gateway) == shown_as
        gateway.session()
        assert status(gateway) == "running"


class PingTests:
    """Children that do not answer."""

    @pytest.fixture
    def gateway(self) -> MemoryGateway:
        """A gateway that pings."""
        gateway = MemoryGateway(ping_s=30.0)
        gateway.session()
        return gateway

    def until_asked(self, gateway: MemoryGateway, pings: int) -> dict[str, Any]:
        """Let time pass until the child has been pinged so often."""
        for _ in range(1000):
            asked = gateway.child.asked("ping")
            if len(asked) >= pings:
                return asked[-1]
            gateway.tick()
        raise AssertionError("never pinged")

    def test_an_answer(self, gateway: MemoryGateway) -> None:
        """A child that answers is asked again after the interval."""
        for nth in range(1, 10):
            gateway.child.answer(self.until_asked(gateway, nth), {})
        assert status(gateway) == "running"
        gateway.tick(200)
        assert len(gateway.child.asked("ping")) <= 9 + 7

    def test_an_error_is_an_answer(self, gateway: MemoryGateway) -> None:
        """A child that answers a ping with an error lives."""
        for nth in range(1, 10):
            request = self.until_asked(gateway, nth)
            refusal = {"code": -32601, "message": "Method not found"}
            gateway.child.say({"jsonrpc": "2.0", "id": request["id"], "error": refusal})
        assert status(gateway) == "running"

    def test_degraded(self, gateway: MemoryGateway) -> None:
        """A ping that is not answered within five seconds shows, and so does an answer that comes late."""
        request = self.until_asked(gateway, 1)
        gateway.tick(PATIENCE_TICKS)
        body = shown(gateway)
        assert (body["status"], body["last_error"]) == ("degraded", "MCP ping failed")
        gateway.child.answer(request, {})
        body = shown(gateway)
        assert (body["status"], body["last_error"]) == ("running", "")

    def test_three_in_a_row(self, gateway: MemoryGateway) -> None:
        """A child that misses three pings is killed and started again; calls are served by the new one."""
        self.until_asked(gateway, MISSES_LIMIT)
        assert not gateway.child.is_killed
        gateway.tick(PATIENCE_TICKS)
        assert gateway.child.is_killed
        gateway.child.exit(-9)
        body = shown(gateway)
        assert (body["status"], body["last_error"]) == (
            "restarting",
            "shared has ended: it did not answer 3 pings in a row",
        )
        gateway.tick(5)
        assert len(gateway.launcher.children) == 2
        assert status(gateway) == "running"

    def test_while_a_call_runs(self, gateway: MemoryGateway) -> None:
        """A server that works on a call is asked too, and again as long as it answers."""
        gateway.client().call(1)
        for nth in range(1, 10):
            gateway.child.answer(self.until_asked(gateway, nth), {})

    def test_no_verdict_while_a_call_runs(self, gateway: MemoryGateway) -> None:
        """A child that does one thing at a time answers no pings meanwhile: it gets two, and is not blamed for that."""
        gateway.client().call(1)
        gateway.tick(600)
        assert status(gateway) == "running"
        assert len(gateway.child.asked("ping")) == 2

    def test_any_answer_is_a_sign(self, gateway: MemoryGateway) -> None:
        """A child that has answered a call since lives."""
        client = gateway.client()
        for nth in range(1, 8):
            self.until_asked(gateway, nth)
            client.call(nth)
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
        assert status(gateway) == "running"

    def test_after_a_call_was_taken_back(self, gateway: MemoryGateway) -> None:
        """A server may go on with it for minutes, and is not killed for that."""
        client = gateway.session()
        client.call(1)
        gateway.client(**client.headers).send(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        )
        gateway.tick(LENIENT_TICKS)
        assert not gateway.child.is_killed
        assert status(gateway) == "running"
        gateway.tick(200)
        assert gateway.child.is_killed

    def test_a_server_that_knows_no_pings(self, gateway: MemoryGateway) -> None:
        """A server whose children never answer a ping is replaced once, and then left in peace."""
        gateway.tick(200)
        assert gateway.child.is_killed
        gateway.child.exit(-9)
        gateway.tick(1000)
        assert len(gateway.launcher.children) == 2
        assert not gateway.child.is_killed
        assert status(gateway) == "running"

    def test_two_that_hang(self, gateway: MemoryGateway) -> None:
        """Children of one server that hang before any of them has answered a ping are replaced, each of them."""
        gateway.session("own")
        first = gateway.child
        gateway.session("own")
        assert gateway.child is not first
        gateway.tick(200)
        assert first.is_killed
        assert gateway.child.is_killed

    def test_learned_from_a_successor(self, gateway: MemoryGateway) -> None:
        """A ping that two children in a row do not answer is no sickness of the server's other children either."""
        gateway.session("own")
        gateway.tick(200)
        gateway.child.exit(-9)
        gateway.tick(200)
        gateway.session("own")
        gateway.tick(1000)
        assert not gateway.child.is_killed

    def test_the_modern_era(self) -> None:
        """A server of the modern era is not pinged."""
        gateway = MemoryGateway(ping_s=1.0, more=(spec("modern", protocol=Era.MODERN),))
        gateway.launcher.eras["modern"] = (Era.MODERN,)
        gateway.session("modern")
        gateway.tick(100)
        assert gateway.child.asked("ping") == []
        assert status(gateway, "modern") == "running"

    def test_not_all_at_once(self) -> None:
        """The gateway asks only so many children at a time, and all of them in the end."""
        more = tuple(spec(f"s{nth}") for nth in range(3 * CHECKS_LIMIT))
        gateway = MemoryGateway(ping_s=30.0, more=more)
        for each in more:
            gateway.session(each.name)
        gateway.tick(23)  # all are due in the same second, since here chance says the same for all
        asked = [each for each in gateway.launcher.children if each.asked("ping")]
        assert len(asked) == CHECKS_LIMIT
        gateway.tick(3 * PATIENCE_TICKS)
        assert all(each.asked("ping") for each in gateway.launcher.children)

    def test_a_child_that_does_not_read(self, gateway: MemoryGateway) -> None:
        """A child that does not read can be sent nothing, and so need not answer either."""
        gateway.child.is_stopping = True  # its stdin takes nothing
        gateway.tick(100)
        assert status(gateway) == "running"


class ServiceTests:
    """The health that a service tells of itself."""

    def pass_time(self, gateway: MemoryGateway, seconds: int) -> None:
        """Let time pass for a child that answers its pings."""
        for _ in range(seconds):
            asked = len(gateway.child.asked("ping"))
            gateway.tick()
            for request in gateway.child.asked("ping")[asked:]:
                gateway.child.answer(request, {})

    def test_check(self) -> None:
        """A bad answer shows as degraded, a good one as running; nothing is ever stopped for it."""
        world = MemoryWorld(status=503)
        server = spec("rest", health_url="http://127.0.0.1:9/health")
        gateway = MemoryGateway(ping_s=30.0, more=(server,), instruments=world.instruments)
        gateway.tick(100)
        assert world.fetched == []
        gateway.session("rest")
        self.pass_time(gateway, 30)
        body = shown(gateway, "rest")
        assert (body["status"], body["last_error"]) == ("degraded", "REST health check failed")
        world.status = 0
        self.pass_time(gateway, 30)
        assert status(gateway, "rest") == "degraded"
        world.status = 204
        self.pass_time(gateway, 30)
        assert status(gateway, "rest") == "running"
        assert not gateway.child.is_killed
        assert 2 <= len(world.fetched) <= 5


def remote(name: str) -> ServerSpec:
    """A server that runs elsewhere."""
    return spec(name, reach=Remote("http://192.0.2.1:8080/mcp"))


class UnreachableTests:
    """Servers at whose address nothing answers."""

    @pytest.fixture
    def world(self) -> MemoryWorld:
        """A world in which nothing listens."""
        return MemoryWorld()

    @pytest.fixture
    def gateway(self, world: MemoryWorld) -> MemoryGateway:
        """A gateway with a remote server that somebody uses, and that has gone."""
        gateway = MemoryGateway(more=(remote("far"),), instruments=world.instruments)
        gateway.session("far")
        self.lose(gateway.child)
        return gateway

    def lose(self, child: MemoryChild) -> None:
        """Let the address of a child answer no more."""
        child._receiver.gone(Gone(fault="no connection", is_unreachable=True))

    def test_probes(self, gateway: MemoryGateway, world: MemoryWorld) -> None:
        """The address is looked at each minute for five times, then every five minutes; no failure is counted."""
        assert status(gateway, "far") == "unreachable"
        gateway.tick(300)
        assert len(world.dialled) == 5
        gateway.tick(900)
        assert len(world.dialled) == 8
        body = shown(gateway, "far")
        assert (body["restart_count"], body["consecutive_failures"]) == (0, 0)
        assert len(gateway.launcher.children) == 1

    def test_back(self, gateway: MemoryGateway, world: MemoryWorld) -> None:
        """A server is started as soon as something answers at its address."""
        world.answers = True
        gateway.tick(60)
        assert status(gateway, "far") == "running"

    def test_a_call_tries_at_once(self, gateway: MemoryGateway, world: MemoryWorld) -> None:
        """A call need not wait for a look; if it fails too, the looks go on, and no breaker opens."""
        gateway.launcher.hello = None
        client = gateway.client("far")
        for _ in range(10):
            client.call(1)
            self.lose(gateway.child)
            assert error(client)["message"] == "far ended during the handshake (no connection)"
        assert status(gateway, "far") == "unreachable"
        gateway.launcher.hello = HELLO
        world.answers = True
        gateway.tick(300)
        assert status(gateway, "far") == "running"

    def test_nobody_uses_it(self, world: MemoryWorld) -> None:
        """An address is not looked at when no client uses its server."""
        gateway = MemoryGateway(more=(remote("far"),), instruments=world.instruments)
        gateway.client("far").call(1)
        self.lose(gateway.child)
        gateway.tick(1000)
        assert world.dialled == []
        assert status(gateway, "far") == "unreachable"


class DaemonTests:
    """Servers of whose address nothing can be said."""

    def test_a_try(self) -> None:
        """Where there is no address to look at, the server is simply tried."""
        gateway = MemoryGateway(more=(spec("far", reach=Rest("http://192.0.2.1")),))
        gateway.session("far")
        gateway.launcher.refusal = Unreachable("nothing answers")
        gateway.child.exit(1)
        gateway.tick(5)
        assert status(gateway, "far") == "unreachable"
        gateway.tick(120)
        assert shown(gateway, "far")["consecutive_failures"] == 1  # the end itself, none of the tries
        gateway.launcher.refusal = None
        gateway.tick(60)
        assert status(gateway, "far") == "running"


class StuckTests:
    """Starts of which nothing comes."""

    def test_found_out_for_ever(self, gateway: MemoryGateway) -> None:
        """A start that does not get to its handshake is an error in the end, for whoever waits too.

        It may have to fetch something first, which takes minutes and is no fault of the server's.
        """
        gateway.launcher.prepares = False
        client = gateway.client()
        client.call(1)
        gateway.tick(FETCH_TICKS - 1)
        assert status(gateway) == "starting"
        gateway.tick()
        body = shown(gateway)
        assert (body["status"], body["last_error"]) == ("error", "shared: stuck in starting state")
        assert client.heard is not None
        (answer,) = client.heard.events
        assert answer["error"]["message"] == "shared: stuck in starting state"

    def test_in_line(self) -> None:
        """A start that waits for others to be done is not stuck."""
        gateway = MemoryGateway(limits=Limits(spawns=1), more=(spec("second"),))
        # The permit of the first, which says nothing, is not given back: the clock stands still.
        gateway.launcher.hello = None
        gateway.client().call(1)
        waiting = gateway.client("second")
        waiting.call(1)
        for _ in range(3 * STUCK_TICKS):
            gateway.health.tick()
        assert len(gateway.launcher.children) == 1
        assert status(gateway, "second") == "starting"
        assert waiting.heard is None

    def test_an_old_child_that_does_not_go(self) -> None:
        """A caller waits a minute at most for the end of a child that is being replaced."""
        gateway = MemoryGateway(more=(spec("old", lazy=Lazy(uptime_s=60)),))
        gateway.session("old")
        old = gateway.child
        old.lingers = Deferred()
        gateway.tick(60)
        assert status(gateway, "old") == "restarting"
        client = gateway.client("old")
        client.call(1)
        gateway.tick(STUCK_TICKS - 1)
        assert len(gateway.launcher.children) == 1
        gateway.tick()
        assert shown(gateway, "old")["restart_count"] == 0
        assert old.is_killed
        assert status(gateway, "old") == "running"
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert client.heard is not None
        (answer,) = client.heard.events
        assert answer["result"] == {}

    def test_a_child_that_cannot_be_killed(self) -> None:
        """When the ladder is at its end, nobody waits any longer for the child to end."""
        gateway = MemoryGateway(more=(spec("old", lazy=Lazy(uptime_s=60)),))
        client = gateway.session("old")
        old = gateway.child
        old.lingers = Deferred()
        gateway.tick(60)
        client.call(1)
        old.lingers.callback(None)
        assert len(gateway.launcher.children) == 2
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert client.heard is not None
        assert client.heard.json["result"] == {}


class LazyTests:
    """Children that nobody uses, and children that take too much."""

    def gateway(self, world: MemoryWorld | None = None, **lazy: Any) -> MemoryGateway:
        """A gateway with a server of these limits."""
        servers = (
            spec("lazy", lazy=Lazy(**lazy)),
            evolve(spec("mine", lazy=Lazy(**lazy)), share=Share.SESSION),
        )
        return MemoryGateway(more=servers, instruments=(world or MemoryWorld()).instruments)

    def test_idle(self) -> None:
        """A shared child is stopped when nobody has called it for so long, and comes back with the next call."""
        gateway = self.gateway(idle_s=60)
        client = gateway.session("lazy")
        gateway.tick(64)
        assert not gateway.child.is_stopping
        gateway.tick(20)
        assert gateway.child.is_stopping
        body = shown(gateway, "lazy")
        assert (body["status"], body["restart_count"], body["last_error"]) == ("stopped", 0, "")
        client.call(1)
        assert len(gateway.launcher.children) == 2
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        # It may have lost something, so whoever knew the former one is told.
        ears = gateway.listen(client)
        assert ears.heard is not None
        assert [each["method"] for each in ears.heard.events] == ["notifications/tools/list_changed"]

    def test_known(self) -> None:
        """Where it is known what the server offers, it is idle, not stopped."""
        world = MemoryWorld(known={"lazy"})
        gateway = self.gateway(world, idle_s=60)
        assert status(gateway, "lazy") == "idle"
        gateway.client("lazy").ask({"jsonrpc": "2.0", "method": "notifications/initialized"})
        gateway.session("lazy")
        assert status(gateway, "lazy") == "running"
        gateway.tick(90)
        assert status(gateway, "lazy") == "idle"

    def test_use(self) -> None:
        """A call, one that runs, and an open stream keep it."""
        gateway = self.gateway(idle_s=60)
        client = gateway.session("lazy")
        for nth in range(10):
            client.call(nth)
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
            gateway.tick(50)
        client.call(99)
        gateway.tick(500)
        gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
        ears = gateway.listen(client)
        gateway.tick(500)
        assert not gateway.child.is_stopping
        ears.channel.connectionLost(None)  # type: ignore[arg-type]
        gateway.tick(100)
        assert gateway.child.is_stopping

    def test_a_child_of_one_session(self) -> None:
        """A child of one session lives as long as the session."""
        gateway = self.gateway(idle_s=60)
        gateway.session("mine")
        gateway.tick(1000)
        assert not gateway.child.is_stopping

    def test_no_limit(self, gateway: MemoryGateway) -> None:
        """Where nothing is said, nothing is stopped."""
        gateway.session()
        gateway.tick(10_000)
        assert not gateway.child.is_stopping

    @pytest.mark.parametrize("name", ["lazy", "mine"])
    def test_memory(self, name: str) -> None:
        """A child whose tree takes too much is replaced as soon as no call is under way; that counts as no crash."""
        world = MemoryWorld()
        gateway = self.gateway(world, ram_bytes=2**20)
        client = gateway.session(name)
        client.call(1)
        leaky = gateway.child
        world.sizes[leaky.pid] = 5 * 2**20
        gateway.tick(60)
        assert not leaky.is_stopping
        assert shown(gateway, name)["excess"] == "its processes take 5 MB of the 1 MB they may take"
        leaky.answer(leaky.asked("tools/call")[0], {})
        gateway.tick()
        assert leaky.is_stopping
        body = shown(gateway, name)
        assert (body["status"], body["restart_count"], body["excess"]) == ("running", 0, "")
        assert len(gateway.launcher.children) == 2
        gateway.tick(60)
        assert not gateway.child.is_stopping

    def test_memory_of_a_server_that_nobody_uses(self) -> None:
        """A large child that nobody uses is only stopped."""
        world = MemoryWorld()
        gateway = self.gateway(world, ram_bytes=2**20)
        client = gateway.client("lazy")
        client.call(1)
        world.sizes[gateway.child.pid] = 5 * 2**20
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.tick(11)
        assert gateway.child.is_stopping
        assert len(gateway.launcher.children) == 1

    def test_nothing_is_weighed_without_need(self) -> None:
        """Only servers with a limit are weighed, and only while they run."""
        world = MemoryWorld()
        gateway = self.gateway(world, ram_bytes=2**20)
        gateway.session()
        gateway.tick(100)
        assert world.weighed == 0
        gateway.session("lazy")
        gateway.tick(100)
        assert world.weighed == 10

    def test_age(self) -> None:
        """A child that has run for as long as it may is replaced."""
        gateway = self.gateway(uptime_s=3600)
        gateway.session("lazy")
        gateway.tick(3599)
        assert len(gateway.launcher.children) == 1
        gateway.tick()
        assert len(gateway.launcher.children) == 2
        assert status(gateway, "lazy") == "running"


class BeginTests:
    """Servers that do not wait until they are needed."""

    def test_prewarm(self) -> None:
        """A prewarmed child is started with the gateway, once; if it ends, it waits for the first client that
        needs it.
        """
        gateway = MemoryGateway(more=(spec("warm", lazy=Lazy(prewarm=True)),))
        gateway.health.begin(gateway.settings.servers)
        (child,) = gateway.launcher.children
        child.exit(1)
        gateway.tick(1000)
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize("lazy", [Lazy(prewarm=True), Lazy(enabled=False)])
    @pytest.mark.parametrize("is_passing", [True, False])
    def test_it_fails_at_first(self, lazy: Lazy, *, is_passing: bool) -> None:
        """A server that does not start with the gateway is tried again, ever more slowly, also where it is missing."""
        gateway = MemoryGateway(more=(spec("early", lazy=lazy),))
        gateway.launcher.refuses, gateway.launcher.is_passing = True, is_passing
        gateway.health.begin(gateway.settings.servers)
        waits = []
        for _ in range(3):
            waits.append(shown(gateway, "early")["next_try_s"])
            gateway.tick(waits[-1])
        assert waits == [5, 10, 20]
        gateway.launcher.refuses = False
        gateway.tick(shown(gateway, "early")["next_try_s"])
        assert status(gateway, "early") == "running"

    def test_given_up(self) -> None:
        """The breaker bounds the tries, and lets one through now and then."""
        gateway = MemoryGateway(more=(spec("early", lazy=Lazy(prewarm=True)),))
        gateway.launcher.refuses = True
        gateway.health.begin(gateway.settings.servers)
        gateway.tick(200)
        assert status(gateway, "early") == "disabled"
        gateway.launcher.refuses = False
        gateway.tick(300)
        assert status(gateway, "early") == "running"

    def test_it_waits_for_its_user(self) -> None:
        """A server that needs its user to do something is not tried meanwhile."""
        gateway = MemoryGateway(more=(spec("early", lazy=Lazy(enabled=False)),))
        gateway.launcher.refusal = NeedsApproval("approve it first")
        gateway.health.begin(gateway.settings.servers)
        assert shown(gateway, "early")["next_try_s"] is None

    def test_the_other_era_at_last(self) -> None:
        """A server that speaks the other era only is found out at a later try, too."""
        gateway = MemoryGateway(more=(spec("modern", lazy=Lazy(enabled=False)),))
        gateway.launcher.eras["modern"] = (Era.MODERN,)
        gateway.launcher.refuses = True
        gateway.health.begin(gateway.settings.servers)
        gateway.launcher.refuses = False
        gateway.tick(10)
        assert shown(gateway, "modern")["running_eras"] == ["modern"]

    def test_eager(self) -> None:
        """An eager child is started with the gateway and kept up, though nobody uses it."""
        gateway = MemoryGateway(more=(spec("eager", lazy=Lazy(enabled=False, idle_s=10)),))
        gateway.health.begin(gateway.settings.servers)
        gateway.tick(100)
        assert not gateway.child.is_stopping
        gateway.child.exit(1)
        assert status(gateway, "eager") == "restarting"
        gateway.tick(5)
        assert status(gateway, "eager") == "running"
        assert len(gateway.launcher.children) == 2

    def test_not(self) -> None:
        """Lazy ones, those of single sessions, and those that are switched off are not started."""
        eager = Lazy(enabled=False)
        mine = evolve(spec("mine", lazy=eager), share=Share.SESSION)
        gateway = MemoryGateway(more=(spec("lazy"), mine, spec("off", enabled=False, lazy=eager)))
        gateway.health.begin(gateway.settings.servers)
        assert gateway.launcher.children == []

    @pytest.mark.parametrize("protocol", [Era.MODERN, None])
    def test_the_modern_era(self, protocol: Era | None) -> None:
        """A server of the modern era only is started in it, found out or told."""
        gateway = MemoryGateway(more=(spec("modern", protocol=protocol, lazy=Lazy(enabled=False)),))
        gateway.launcher.eras["modern"] = (Era.MODERN,)
        gateway.health.begin(gateway.settings.servers)
        body = shown(gateway, "modern")
        assert (body["status"], body["running_eras"]) == ("running", ["modern"])
        gateway.tick(1000)
        assert shown(gateway, "modern")["running_eras"] == ["modern"]


class TickTests:
    """The second hand."""

    def test_trouble_with_one(self, gateway: MemoryGateway) -> None:
        """An exception at one server does not keep the others from being looked after."""

        def broken(url: str) -> Deferred[int]:
            raise ZeroDivisionError(url)

        instruments = replace(BLIND, fetch=broken)
        assert isinstance(instruments, Instruments)
        server = spec("rest", health_url="http://127.0.0.1:9/health")
        gateway = MemoryGateway(ping_s=5.0, more=(server,), instruments=instruments)
        gateway.session("rest")
        gateway.session()
        gateway.child.exit(1)
        gateway.tick(10)
        assert status(gateway) == "running"
