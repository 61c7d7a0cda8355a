"""Eras of servers as probes find them, and the roads of clients to servers."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import WRITES, Bridge, ServerSpec, Share
from mcpgateway.hub.probes.era import GUESS_S, PROBE_S
from mcpgateway.interfaces import ISessionStore
from mcpgateway.protocol.versions import UNSUPPORTED, Era
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import DISCOVERED, HELLO, Client, MemoryChild, MemoryGateway
from tests.support.modern_client import call, done, hang_up, post, refusal, refuse, reply, request

LEGACY, MODERN = Era.LEGACY, Era.MODERN


def gateway_of(
    *eras: Era,
    store: ISessionStore | None = None,
    bridge: Bridge = Bridge.AUTO,
    protocol: Era | None = None,
    own_bridge: Bridge | None = None,
) -> MemoryGateway:
    """A gateway with a server "s" that speaks these eras."""
    server = ServerSpec(
        "s", ("run",), {}, "/", share=Share.GLOBAL, protocol=protocol, bridge=own_bridge, title="s"
    )
    made = MemoryGateway(more=(server,), store=store, bridge=bridge)
    made.launcher.eras = {"s": eras}
    return made


def ask(gateway: MemoryGateway, method: str = "prompts/list", **params: Any) -> Client:
    """A modern client that asks for something."""
    client = gateway.client("s")
    post(client, request(1, method, **params))
    return client


def discovers(gateway: MemoryGateway) -> bool:
    """Return whether a client that asks for the revisions is offered the modern one, or told to fall back."""
    client = ask(gateway, "server/discover")
    if client.heard is None:
        done(gateway.child, gateway.child.asked("server/discover")[-1], supportedVersions=["2026-07-28"])
        assert reply(client)["result"]["supportedVersions"] == ["2026-07-28"]
        return True
    return not fell_back(client)


def initialize(gateway: MemoryGateway) -> Any:
    """The answer to a legacy client that begins a session."""
    client = gateway.client("s")
    client.send(
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    )
    return client.heard


def shake_hands(child: MemoryChild) -> None:
    """Let a child answer the handshake."""
    child.answer(child.asked("initialize")[0], HELLO)


def living(gateway: MemoryGateway) -> list[MemoryChild]:
    """The children that run."""
    return [each for each in gateway.launcher.children if not (each.is_stopping or each.is_killed)]


def probes(gateway: MemoryGateway) -> int:
    """Return the number of children that were probed for their era and then stopped, or killed."""
    return sum(each.is_stopping or each.is_killed for each in gateway.launcher.children)


def fell_back(client: Client) -> bool:
    """Return whether a client was told to fall back to the legacy era."""
    assert client.heard is not None
    error = client.heard.json.get("error")
    return client.heard.status == 400 and error == {"code": -32000, "message": UNSUPPORTED}


class ProbeTests:
    """A throw-away child shows which era a server speaks."""

    def test_once_for_many(self) -> None:
        """However many wait for it, one child is started for it, and is not used for anything else."""
        gateway = gateway_of(LEGACY, MODERN)
        gateway.launcher.hello = None
        clients = [ask(gateway) for _ in range(5)]
        (probe,) = gateway.launcher.children
        gateway.launcher.hello = dict(HELLO)
        said = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "private"}
        done(probe, probe.asked("server/discover")[0], **said)
        assert probe.is_stopping
        assert [each["method"] for each in probe.received] == ["server/discover"]
        assert len(gateway.launcher.children) == 2
        for each in gateway.child.asked("prompts/list"):
            done(gateway.child, each)
        assert all(reply(client)["result"] for client in clients)
        ask(gateway)
        assert probes(gateway) == 1

    def test_for_nobody(self) -> None:
        """As long as only legacy clients come nothing is probed."""
        gateway = gateway_of(LEGACY, MODERN)
        for _ in range(3):
            assert initialize(gateway).status == 200
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize("eras", [(LEGACY,), (LEGACY, MODERN)])
    def test_stays_on_record(self, eras: tuple[Era, ...]) -> None:
        """The verdict survives the gateway, for as long as the server is launched like this."""
        store = Journal(":memory:", lambda: 0.0)
        first = gateway_of(*eras, store=store)
        offered = discovers(first)
        assert probes(first) == 1
        second = gateway_of(*eras, store=store)
        assert discovers(second) is offered is (MODERN in eras)
        assert probes(second) == 0

    @pytest.mark.parametrize("era", [LEGACY, MODERN])
    def test_never_where_it_is_said(self, era: Era) -> None:
        """Where the entry names the era nothing is probed, whatever the server does."""
        gateway = gateway_of(era, protocol=era)
        assert discovers(gateway) is (era is MODERN)
        assert initialize(gateway).status == 200
        assert probes(gateway) == 0

    def test_an_entry_against_the_record(self) -> None:
        """The protocol of an entry goes before the record of the server."""
        store = Journal(":memory:", lambda: 0.0)
        ask(gateway_of(LEGACY, MODERN, store=store))
        gateway = gateway_of(LEGACY, MODERN, store=store, protocol=LEGACY)
        assert fell_back(ask(gateway, "server/discover"))

    def test_a_silent_server(self) -> None:
        """A server that answers the handshake only is taken for a legacy one, until it is asked again."""
        gateway = gateway_of(LEGACY)
        gateway.launcher.hello = None
        clients = [ask(gateway, "server/discover") for _ in range(2)]
        gateway.clock.advance(PROBE_S + 1)
        first, second = gateway.launcher.children
        assert first.is_killed
        shake_hands(second)
        assert second.is_stopping
        assert all(fell_back(client) for client in clients)
        assert fell_back(ask(gateway, "server/discover"))
        assert len(gateway.launcher.children) == 2
        gateway.clock.advance(GUESS_S + 1)
        gateway.launcher.eras = {"s": (LEGACY, MODERN)}
        gateway.launcher.hello = dict(HELLO)
        assert discovers(gateway)

    def test_a_server_that_exits(self) -> None:
        """A server that ends at an unknown method is taken for a legacy one; that is not on record: it may
        have other reasons.
        """
        store = Journal(":memory:", lambda: 0.0)
        gateway = gateway_of(LEGACY, store=store)
        gateway.launcher.hello = None
        client = ask(gateway, "server/discover")
        gateway.child.exit(101)
        shake_hands(gateway.child)
        assert fell_back(client)
        second = gateway_of(MODERN, store=store)
        assert discovers(second)

    @pytest.mark.parametrize("ends", [True, False])
    def test_a_server_that_does_not_start(self, *, ends: bool) -> None:
        """Of one that answers in neither era nothing is learnt: the next client finds it as it is."""
        gateway = gateway_of(LEGACY, MODERN)
        gateway.launcher.hello = None
        client = ask(gateway, "server/discover")
        for limit in (PROBE_S, gateway.dispatcher.pool._environment.handshake_s):
            assert client.heard is None
            if ends:
                gateway.child.exit(1)
            else:
                gateway.clock.advance(limit + 1)
        assert refusal(client) == (200, -32603, 1)
        gateway.launcher.hello = dict(HELLO)
        assert discovers(gateway)

    @pytest.mark.parametrize("eras", [(LEGACY, MODERN), (MODERN,), (LEGACY,)])
    def test_a_slow_server(self, eras: tuple[Era, ...]) -> None:
        """A server that is slow, as when it is fetched first, is given more time before anything is learnt."""
        gateway = gateway_of(*eras)
        gateway.launcher.hello = None
        client = ask(gateway, "server/discover")
        gateway.clock.advance(PROBE_S + 1)
        gateway.clock.advance(PROBE_S - 1)
        if LEGACY in eras:
            shake_hands(gateway.child)
        else:
            refuse(gateway.child, gateway.child.asked("initialize")[0], -32022)
        assert client.heard is None
        gateway.clock.advance(PROBE_S + 1)
        assert client.heard is None
        if MODERN in eras:
            gateway.child.answer(gateway.child.asked("server/discover")[0], DISCOVERED)
            gateway.child.answer(gateway.child.asked("server/discover")[-1], DISCOVERED)
            assert gateway.dispatcher.eras.known(gateway.dispatcher.server("s")).modern is True
        else:
            gateway.clock.advance(gateway.dispatcher.pool._environment.handshake_s)
            assert fell_back(client)

    @pytest.mark.parametrize("said", [{}, {"supportedVersions": ["2025-11-25"]}, {"supportedVersions": "x"}])
    def test_a_strange_answer(self, said: dict[str, Any]) -> None:
        """An answer that names no revision which is served here is none of a modern server's."""
        gateway = gateway_of(LEGACY)
        gateway.launcher.hello = None
        client = ask(gateway, "server/discover")
        done(gateway.child, gateway.child.asked("server/discover")[0], **said)
        assert fell_back(client)

    def test_a_server_that_cannot_be_started(self) -> None:
        """Callers of a server that cannot be started are told why, nothing is learnt, and the next one tries again."""
        gateway = gateway_of(MODERN)
        gateway.launcher.refuses = True
        assert refusal(ask(gateway)) == (200, -32603, 1)
        gateway.launcher.refuses = False
        assert len(gateway.launcher.children) == 0
        client = ask(gateway)
        done(gateway.child, gateway.child.asked("prompts/list")[0])
        assert reply(client)["result"]

    def test_everybody_hangs_up(self) -> None:
        """The probe goes on for the next one, and its child is stopped all the same."""
        gateway = gateway_of(LEGACY)
        gateway.launcher.hello = None
        hang_up(ask(gateway))
        refuse(gateway.child, gateway.child.asked("server/discover")[0], -32601)
        assert probes(gateway) == 1
        assert fell_back(ask(gateway, "server/discover"))
        assert len(gateway.launcher.children) == 1

    def test_the_gateway_stops(self) -> None:
        """Callers that wait for a probe are told, its child is stopped, and nothing is learnt."""
        store = Journal(":memory:", lambda: 0.0)
        gateway = gateway_of(MODERN, store=store)
        gateway.launcher.hello = None
        client = ask(gateway)
        gateway.hub.modern_dispatcher.close()
        gateway.dispatcher.close()
        assert refusal(client) == (200, -32603, 1)
        assert gateway.child.is_stopping
        second = gateway_of(MODERN, store=store)
        ask(second)
        assert probes(second) == 1


class RoadTests:
    """Clients of one era at servers of the other."""

    @pytest.mark.parametrize(
        ("bridge", "discovered", "called"),
        [(Bridge.OFF, False, False), (Bridge.AUTO, False, True), (Bridge.ALWAYS, True, True)],
    )
    @pytest.mark.parametrize("is_own", [True, False])
    def test_to_a_legacy_server(
        self, bridge: Bridge, *, discovered: bool, called: bool, is_own: bool
    ) -> None:
        """The other era is offered only where the entry wants it, and served to clients that need it unless
        it is off.
        """
        gateway = (
            gateway_of(
                LEGACY, own_bridge=bridge, bridge=Bridge.OFF if bridge is not Bridge.OFF else Bridge.ALWAYS
            )
            if is_own
            else gateway_of(LEGACY, bridge=bridge)
        )
        assert discovers(gateway) is discovered
        client = ask(gateway)
        if called:
            gateway.child.answer(gateway.child.asked("prompts/list")[-1], {"prompts": []})
            assert reply(client)["result"]["prompts"] == []
        else:
            assert fell_back(client)

    @pytest.mark.parametrize("bridge", list(Bridge))
    def test_to_a_modern_server(self, bridge: Bridge) -> None:
        """A legacy client is served by translation, or told which revisions there are."""
        gateway = gateway_of(MODERN, protocol=MODERN, bridge=bridge)
        answer = initialize(gateway)
        if bridge is Bridge.OFF:
            assert answer.json["error"]["code"] == -32022
            assert answer.json["error"]["data"]["supported"] == ["2026-07-28"]
            assert gateway.launcher.children == []
        else:
            assert answer.json["result"]["protocolVersion"] == "2025-06-18"

    def test_always(self) -> None:
        """With a bridge for all nobody is steered: each gets what it asks for."""
        gateway = gateway_of(LEGACY, MODERN, bridge=Bridge.ALWAYS)
        initialize(gateway)
        assert discovers(gateway)
        call(gateway, gateway.client("s"))
        assert gateway.child.asked("tools/call")

    def test_a_modern_server_that_nobody_knew(self) -> None:
        """A server that refuses the handshake is probed for the other era, and its client served there."""
        gateway = gateway_of(MODERN)
        assert initialize(gateway).status == 200
        refused, probe, serving = gateway.launcher.children
        assert refused.is_killed
        assert probe.is_stopping
        assert not serving.asked("initialize")
        assert initialize(gateway).status == 200
        assert len(gateway.launcher.children) == 3

    def test_a_wrong_guess(self) -> None:
        """A modern server that was silent for too long is found out when a handshake fails."""
        gateway = gateway_of(MODERN)
        gateway.launcher.hello = None
        client = ask(gateway, "server/discover")
        gateway.clock.advance(PROBE_S + 1)
        shake_hands(gateway.child)
        assert fell_back(client)
        gateway.launcher.hello = dict(HELLO)
        assert initialize(gateway).status == 200
        assert discovers(gateway)


class ChangeTests:
    """A server that is another than it was, as after an upgrade."""

    def test_from_legacy_to_modern(self) -> None:
        """A child that has no handshake any more is found out by a request of either era."""
        for is_modern in (True, False):
            gateway = gateway_of(LEGACY)
            ask(gateway)
            assert gateway.dispatcher.eras.known(gateway.dispatcher.server("s")).modern is False
            gateway.child.exit()
            gateway.launcher.eras = {"s": (MODERN,)}
            if is_modern:
                client = ask(gateway)
                served = next(
                    each
                    for each in gateway.launcher.children
                    if each.asked("prompts/list")[1:] == []
                    and each.asked("server/discover")
                    and each.asked("prompts/list")
                )
                done(served, served.asked("prompts/list")[0], prompts=[])
                assert reply(client)["result"]["prompts"] == []
            else:
                assert "result" in initialize(gateway).json
            assert gateway.dispatcher.eras.known(gateway.dispatcher.server("s")).modern is True

    def test_from_modern_to_legacy(self) -> None:
        """A child that knows nothing of the modern era any more is reached over the bridge."""
        gateway = gateway_of(MODERN)
        ask(gateway)
        gateway.child.exit()
        gateway.launcher.eras = {"s": (LEGACY,)}
        client = ask(gateway)
        served = [each for each in gateway.launcher.children if each.asked("prompts/list")][-1]
        done(served, served.asked("prompts/list")[0], prompts=[])
        assert reply(client)["result"]["prompts"] == []
        assert gateway.dispatcher.eras.known(gateway.dispatcher.server("s")).modern is False

    def test_a_wrong_pin(self) -> None:
        """An entry's protocol is not doubted; the refusal is told, once."""
        gateway = gateway_of(LEGACY, protocol=MODERN)
        client = ask(gateway)
        assert "refused" in reply(client)["error"]["message"]


class SingleTests:
    """A server of both eras that may have no second child beside the one that runs (`concurrency`)."""

    def single(
        self, bridge: Bridge = Bridge.AUTO, *eras: Era, store: ISessionStore | None = None
    ) -> MemoryGateway:
        """A gateway with such a server, of which it is known what it speaks."""
        gateway = gateway_of(*(eras or (LEGACY, MODERN)), bridge=bridge, store=store)
        gateway.edit("s", concurrency=WRITES)
        return gateway

    def met(self, bridge: Bridge = Bridge.AUTO) -> MemoryGateway:
        """Return a gateway with a single server that has been probed before it ran."""
        store = Journal(":memory:", lambda: 0.0)
        assert discovers(self.single(store=store))
        return self.single(bridge, store=store)

    @pytest.mark.parametrize("is_known", [True, False])
    def test_a_modern_client_beside_a_legacy_child(self, *, is_known: bool) -> None:
        """A modern client is offered its era, and served by the child that runs; no other child is started,
        no probe either.
        """
        gateway = self.met() if is_known else self.single()
        initialize(gateway)
        for method in ("server/discover", "prompts/list"):
            client = ask(gateway, method)
            if method == "prompts/list":
                gateway.child.answer(gateway.child.asked("prompts/list")[0], {"prompts": []})
            assert reply(client)["result"]["resultType"] == "complete"
        (child,) = gateway.launcher.children
        assert child.asked("initialize")

    def test_a_legacy_client_beside_a_modern_child(self) -> None:
        """A legacy client begins its session with the child that runs."""
        gateway = self.met()
        ask(gateway)
        client = gateway.client("s")
        assert client.initialize(protocolVersion="2025-06-18").status == 200
        client.call(1, "prompts/list")
        done(gateway.child, gateway.child.asked("prompts/list")[-1], prompts=[])
        assert reply(client)["result"] == {"prompts": []}
        (child,) = gateway.launcher.children
        assert not child.asked("initialize")

    def test_after_that_child(self) -> None:
        """The next client decides which era the next child speaks, and open sessions follow."""
        gateway = self.met()
        client = gateway.client("s")
        client.initialize(protocolVersion="2025-06-18")
        gateway.child.exit(0)
        ask(gateway)
        client.call(1, "prompts/list")
        assert [len(each.asked("prompts/list")) for each in gateway.launcher.children] == [0, 2]
        gateway.child.exit(0)
        late = gateway.client("s")
        late.initialize(protocolVersion="2025-06-18")
        client.call(2, "prompts/list")
        assert [len(each.asked("prompts/list")) for each in gateway.launcher.children] == [0, 2, 1]
        gateway.child.answer(gateway.child.asked("prompts/list")[0], {"prompts": []})
        assert reply(client)["result"] == {"prompts": []}

    def test_without_a_bridge(self) -> None:
        """Where nothing is to be translated the other era is refused, and the second child is not started either."""
        gateway = self.met(Bridge.OFF)
        initialize(gateway)
        refused = ask(gateway)
        assert refusal(refused) == (400, -32000, 1)
        assert reply(refused)["error"]["message"] == UNSUPPORTED
        gateway.child.exit(0)
        ask(gateway)
        assert initialize(gateway).json["error"]["code"] == -32022
        assert len(gateway.launcher.children) == 2

    def test_a_server_that_does_not_mind(self) -> None:
        """Any other server has a child of each era."""
        gateway = gateway_of(LEGACY, MODERN)
        initialize(gateway)
        ask(gateway)
        assert [bool(each.asked("initialize")) for each in living(gateway)] == [True, False]
