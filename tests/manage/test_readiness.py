"""Waiting for servers, and looking how ready they are."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from mcpgateway.config.gateway_settings import Circuit
from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import InvalidParams, NeedsAuthorization, Overloaded, Unreachable
from mcpgateway.manage.readiness import NAMES_LIMIT, WAITING_LIMIT, Readiness
from mcpgateway.observe.overview import OpenNeed
from tests.support.gateway_in_memory import HELLO, MemoryGateway

OFF = ServerSpec("off", ("run",), {}, "/", share=Share.GLOBAL, enabled=False)
FAR = ServerSpec("far", (), {}, "/", share=Share.GLOBAL, reach=Remote("http://h/mcp"))


class Repository:
    """A repository that waits for its user."""

    def waiting(self) -> list[dict[str, Any]]:
        """Return the files that wait for approval."""
        return [{"path": "/work/.mcp.json", "servers": ["theirs"]}]


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with servers of several kinds."""
    return MemoryGateway(more=(OFF, FAR), circuit=Circuit(restarts=2))


@pytest.fixture
def readiness(gateway: MemoryGateway) -> Readiness:
    """A readiness of the gateway's servers."""
    return Readiness(gateway.dispatcher, gateway.health, gateway.clock, lambda: gateway.root.is_disabled)


def codes(found: dict[str, Any]) -> dict[str, int]:
    """The code of each server."""
    return {each["name"]: each["code"] for each in found["servers"]}


def waiting(readiness: Readiness, *names: str, limit_s: float = 20.0) -> list[dict[str, Any]]:
    """Wait for servers; what comes of it."""
    found: list[dict[str, Any]] = []
    Deferred.fromCoroutine(readiness.wait(names, limit_s)).addCallback(found.append)
    return found


class LookTests:
    """Looking, without starting anything."""

    def test_a_need(self, gateway: MemoryGateway) -> None:
        """A server that no call could start has failed, with the remedy of its need."""

        def need(server: ServerSpec) -> OpenNeed | None:
            return OpenNeed("server", server.name, "command-not-found", "x is not there", "install it", "")

        found = Readiness(gateway.dispatcher, gateway.health, gateway.clock, needs=need).look(["shared"])
        (row,) = found["servers"]
        assert (row["code"], row["why"], row["hint"]) == (12, "x is not there", "install it")

    def test_codes(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """The code of all servers is the worst of theirs."""
        gateway.session("shared")
        found = readiness.look(["shared", "own", "off", "shred"])
        assert codes(found) == {"shared": 0, "own": 10, "off": 11, "shred": 12}
        assert (found["ready"], found["code"], found["state"]) == (False, 12, "failed")
        assert found["servers"][3]["hint"] == "did you mean shared?"
        assert len(gateway.launcher.children) == 1
        assert readiness.look(["shared"]) == {
            "ready": True,
            "code": 0,
            "state": "ready",
            "servers": [{"name": "shared", "ready": True, "code": 0, "state": "ready", "why": ""}],
        }

    def test_gateway_off(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """Where the whole gateway is switched off, nobody is served."""
        gateway.root.switch(True)
        assert readiness.look(["shared"])["code"] == 11

    def test_not_approved_of(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A server of a repository whose user has not approved it is told from one that nobody knows."""
        repositories: Any = Repository()
        gateway.dispatcher.scopes.repositories = repositories
        found = readiness.look(["theirs"])
        assert codes(found) == {"theirs": 11}
        assert found["servers"][0]["hint"] == "mcpgateway config approve /work/.mcp.json"

    @pytest.mark.parametrize("names", [[], ["", ""], [str(nth) for nth in range(NAMES_LIMIT + 1)]])
    def test_bounds(self, readiness: Readiness, names: list[str]) -> None:
        """A request names one server at least, and not too many."""
        with pytest.raises(InvalidParams):
            readiness.look(names)


class WaitTests:
    """Waiting for servers to be ready."""

    def test_shared(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A shared server is started and stays, and the wait leaves no session behind."""
        found = waiting(readiness, "shared")
        assert codes(found[0]) == {"shared": 0}
        assert not gateway.child.is_stopping
        assert len(gateway.sessions) == 0

    def test_own(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A server with a child for each session is started to see that it works, and its child ends again."""
        found = waiting(readiness, "own")
        assert codes(found[0]) == {"own": 0}
        assert "of its own" in found[0]["servers"][0]["why"]
        assert gateway.child.is_stopping

    def test_several_at_once(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """The servers are started side by side; those that cannot be waited for are reported with the rest."""
        gateway.launcher.hello = None
        found = waiting(readiness, "shared", "own", "off", "nobody")
        assert found == []
        assert len(gateway.launcher.children) == 2
        for child in gateway.launcher.children:
            child.answer(child.received[0], dict(HELLO))
        assert codes(found[0]) == {"shared": 0, "own": 0, "off": 11, "nobody": 12}

    def test_too_slow(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A start that takes too long goes on, and is not waited for any more."""
        gateway.launcher.hello = None
        found = waiting(readiness, "shared", limit_s=5.0)
        gateway.tick(5)
        assert codes(found[0]) == {"shared": 10}
        assert "within 5 s" in found[0]["servers"][0]["why"]
        assert not gateway.child.is_killed
        gateway.child.answer(gateway.child.received[0], dict(HELLO))
        assert readiness.look(["shared"])["ready"]

    def test_fails(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A server that cannot be started is tried once: a wait does not make the gateway give it up."""
        gateway.launcher.refuses = True
        found = waiting(readiness, "shared")
        assert codes(found[0]) == {"shared": 12}
        assert "not found" in found[0]["servers"][0]["why"]
        assert codes(readiness.look(["shared"])) == {"shared": 12}

    def test_given_up(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A server that was given up is not started by a wait; the answer says how to try it again."""
        gateway.launcher.refuses = True
        for _ in range(3):
            waiting(readiness, "shared")
        gateway.launcher.refuses = False
        found = waiting(readiness, "shared")
        assert codes(found[0]) == {"shared": 12}
        assert "reset-circuit" in found[0]["servers"][0]["hint"]

    def test_not_there_yet(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """Where nothing answers yet is asked again until something does."""
        gateway.launcher.refusal = Unreachable("far: nothing answers")
        found = waiting(readiness, "far")
        gateway.tick(3)
        assert found == []
        gateway.launcher.refusal = None
        gateway.tick(2)
        assert codes(found[0]) == {"far": 0}

    def test_never_there(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A wait for a server that does not come up ends."""
        gateway.launcher.refusal = Unreachable("far: nothing answers")
        found = waiting(readiness, "far", limit_s=3.0)
        gateway.tick(4)
        assert codes(found[0]) == {"far": 12}

    def test_needs_its_user(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A server that wants to be authorized needs its user, before and after; until it runs."""
        gateway.launcher.refusal = NeedsAuthorization("far: open https://login.example/")
        found = waiting(readiness, "far")
        assert codes(found[0]) == {"far": 11}
        assert codes(readiness.look(["far"])) == {"far": 11}
        gateway.launcher.refusal = None
        gateway.session("far")
        assert codes(readiness.look(["far"])) == {"far": 0}

    def test_too_many(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """The number of waiting callers is bounded; a cancelled one leaves room for another."""
        gateway.launcher.hello = None
        waits = [Deferred.fromCoroutine(readiness.wait(["shared"])) for _ in range(WAITING_LIMIT)]
        refused: list[Any] = []
        Deferred.fromCoroutine(readiness.wait(["shared"])).addErrback(lambda why: refused.append(why.value))
        assert isinstance(refused[0], Overloaded)
        waits[0].addErrback(lambda _: None)
        waits[0].cancel()
        found = waiting(readiness, "shared")
        gateway.child.answer(gateway.child.received[0], dict(HELLO))
        assert codes(found[0]) == {"shared": 0}

    def test_stopping(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A gateway that is about to end starts nothing, and says so at once."""
        gateway.dispatcher.is_open = False
        assert codes(waiting(readiness, "shared")[0]) == {"shared": 12}

    def test_changed_meanwhile(self, gateway: MemoryGateway, readiness: Readiness) -> None:
        """A server that is taken out while somebody waits for it is not waited for until the end of time."""
        gateway.launcher.hello = None
        found = waiting(readiness, "shared", limit_s=5.0)
        gateway.serve(*(each for each in gateway.settings.servers if each.name != "shared"))
        gateway.tick(6)
        assert codes(found[0]) == {"shared": 12}


def test_every_wait_has_an_end(gateway: MemoryGateway, readiness: Readiness) -> None:
    """A wait is bounded, however long a caller wants it."""
    gateway.launcher.hello = None
    gateway.serve(*(evolve(each, timeout_s=0.0) for each in gateway.settings.servers))
    found = waiting(readiness, "own", limit_s=1e9)
    gateway.tick(601)
    assert found
