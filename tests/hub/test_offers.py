"""Children that clients share are told what these offer, and a question reaches whom it is meant for, or nobody."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.backends.conversation import LEFT_LIMIT
from mcpgateway.config.model import Concurrency, ServerSpec, Share
from mcpgateway.errors import GatewayError
from mcpgateway.hub.pool import IDLE_TICKS, PLACES_LIMIT
from mcpgateway.hub.probes.sharing import SETTLE_S
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.client_requests import FULL, joined, name_of, offer_of
from mcpgateway.policy.sharing import launch_digest
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway

AUTO = ServerSpec("auto", ("run",), {}, "/", share=Share.AUTO, title="auto")
ELICIT, SAMPLE = "elicitation/create", "sampling/createMessage"
OFFERS: dict[str, Any] = {"elicitation": {}, "sampling": {}}
TASK = {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}}


def gateway_of(spec: ServerSpec = AUTO, store: ISessionStore | None = None, **said: Any) -> MemoryGateway:
    """A gateway with one server more."""
    return MemoryGateway(more=(spec,), store=store, **said)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server that may be shared, or not."""
    return gateway_of()


def come(gateway: MemoryGateway, offers: dict[str, Any] | None = None, **headers: str) -> Client:
    """A client that begins a session."""
    client = gateway.client("auto", **headers)
    client.initialize(protocolVersion="2025-11-25", capabilities=OFFERS if offers is None else offers)
    return client


def told(child: MemoryChild) -> Any:
    """The client capabilities a child was told of."""
    return child.asked("initialize")[0]["params"]["capabilities"]


def call(client: Client, identifier: int = 1) -> dict[str, Any]:
    """Call a tool whose name says whose call it is."""
    client.call(identifier, name=f"{id(client)}-{identifier}")
    return {"name": f"{id(client)}-{identifier}"}


def sent(gateway: MemoryGateway, client: Client, identifier: int = 1) -> tuple[MemoryChild, dict[str, Any]]:
    """The child that got a client's call, and the call as the child knows it."""
    name = f"{id(client)}-{identifier}"
    ((child, found),) = [
        (child, each)
        for child in gateway.launcher.children
        for each in child.asked("tools/call")
        if each["params"]["name"] == name
    ]
    return child, found


def ask(child: MemoryChild, identifier: Any = "q", method: str = ELICIT, **params: Any) -> None:
    """Let a child ask something."""
    child.say({"jsonrpc": "2.0", "id": identifier, "method": method, "params": {"message": "?", **params}})


def asked(client: Client) -> list[Any]:
    """The questions that a client hears on the stream of its call."""
    heard = client.heard
    said = heard.events if heard is not None and heard.body[:1] != b"{" else []
    return [each for each in said if "method" in each and "id" in each]


def reply(child: MemoryChild, identifier: Any = "q") -> Any:
    """The answer that a child got; None while it has none."""
    found = [each for each in child.received if "method" not in each and each.get("id") == identifier]
    return found[-1] if found else None


def verdict(gateway: MemoryGateway) -> str | None:
    """The verdict on record about the server."""
    found: str | None = gateway.store.verdict(launch_digest(AUTO))
    return found


class ToldTests:
    """The offers that a shared child is told."""

    @pytest.mark.parametrize(
        "offers", [{"roots": {}}, {"sampling": {}}, OFFERS, {"elicitation": {"url": {}}}]
    )
    def test_what_its_clients_offer(self, gateway: MemoryGateway, offers: dict[str, Any]) -> None:
        """The first child ever is told what the client offers that it is started for."""
        come(gateway, offers)
        assert told(gateway.child) == offers
        assert len(gateway.launcher.children) == 1

    def test_those_who_offer_the_same(self, gateway: MemoryGateway) -> None:
        """Clients that offer the same share a child, however they spell it; what only one could use is left out."""
        one = come(gateway, {"sampling": {}, "roots": {"listChanged": True}, "experimental": {"x": {}}})
        two = come(gateway, {"roots": {}, "sampling": {"x": 1}, "tasks": {}})
        for each in (one, two):
            call(each)
        assert told(gateway.child) == {"sampling": {}, "roots": {}}
        assert len(gateway.child.asked("tools/call")) == 2

    def test_those_who_offer_something_else(self, gateway: MemoryGateway) -> None:
        """A client that offers something else gets a child of its kind, and so does one that offers nothing."""
        kinds: list[dict[str, Any]] = [OFFERS, {}, {"roots": {}}]
        clients = [come(gateway, each) for each in kinds]
        for each in clients:
            call(each)
        assert [told(sent(gateway, each)[0]) for each in clients] == kinds
        assert len(gateway.launcher.children) == 3

    def test_extensions(self, gateway: MemoryGateway) -> None:
        """Which extensions its clients know is told, too, within bounds: some servers have other tools for them."""
        known = {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}}
        come(gateway, {"extensions": known})
        assert told(gateway.child) == {"extensions": known}
        come(gateway, {"extensions": {"x": "y" * 5000}})
        assert told(gateway.child) == {}

    @pytest.mark.parametrize("said", [7, None, [], {"roots": 7, "sampling": None}])
    def test_nonsense(self, gateway: MemoryGateway, said: Any) -> None:
        """An offer that cannot be read is none."""
        gateway.client("auto").initialize(capabilities=said)
        assert told(gateway.child) == {}

    def test_said_to_ask_nothing(self) -> None:
        """Where the entry says that a server asks nothing, all kinds of clients share one child."""
        gateway = gateway_of(evolve(AUTO, interactive=False))
        for each in (OFFERS, {}, {"roots": {}}):
            come(gateway, each)
        assert told(gateway.child) == {}
        assert len(gateway.launcher.children) == 1

    def test_one_child_only(self) -> None:
        """A server that may have one child only has one; its next one is told what all of them offer."""
        gateway = gateway_of(evolve(AUTO, concurrency=Concurrency(1)))
        one, two = (
            come(gateway, {"elicitation": {}}),
            come(gateway, {"elicitation": {"url": {}}, "roots": {}}),
        )
        assert told(gateway.child) == {"elicitation": {}}
        call(one)
        ask(gateway.child)
        assert len(asked(one)) == 1
        assert len(gateway.launcher.children) == 1
        gateway.child.exit()
        call(two)
        assert len(gateway.launcher.children) == 2
        assert told(gateway.child) == {"elicitation": {"form": {}, "url": {}}, "roots": {}}

    def test_found_to_be_one_only(self, gateway: MemoryGateway) -> None:
        """A server that turns out to write gets no second child for another kind of client."""
        one = come(gateway)
        gateway.dispatcher.pool.traits.saw(gateway.dispatcher.servers["auto"], "it writes")
        two = come(gateway, {"roots": {}})
        for each in (one, two):
            call(each)
        assert len(gateway.launcher.children) == 1

    def test_a_kind_that_has_gone(self, gateway: MemoryGateway) -> None:
        """A child whose kind of clients has gone is let go of, but not the only one."""
        one, two = come(gateway), come(gateway, {})
        first, second = gateway.launcher.children
        one.ask(b"", "DELETE")
        gateway.tick(IDLE_TICKS + 1)
        assert first.is_stopping
        gateway.client("auto", **two.headers).ask(b"", "DELETE")
        gateway.tick(IDLE_TICKS + 1)
        assert not second.is_stopping

    def test_no_end_of_kinds(self, gateway: MemoryGateway) -> None:
        """A client that says another thing of itself each time has not a child started for each."""
        for nth in range(PLACES_LIMIT + 5):
            client = come(gateway, {"extensions": {f"x{nth}": {}}})
            client.ask(b"", "DELETE")
        alive = [each for each in gateway.launcher.children if not each.is_stopping]
        assert len(alive) <= PLACES_LIMIT


class WhoseTests:
    """Clients that a question reaches."""

    def test_the_first(self, gateway: MemoryGateway) -> None:
        """The first question ever reaches the session whose call is under way, and the server stays shared."""
        client = come(gateway)
        call(client)
        child, _ = sent(gateway, client)
        ask(child)
        (question,) = asked(client)
        answerer = gateway.client("auto", **{"Mcp-Session-Id": client.headers["Mcp-Session-Id"]})
        answerer.ask({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})
        assert reply(child)["result"] == {"action": "accept"}
        assert verdict(gateway) is None

    def test_who_comes_later(self, gateway: MemoryGateway) -> None:
        """A session that begins beside another one at a server that has asked gets a child of its own."""
        one = come(gateway)
        call(one)
        ask(gateway.child)
        two = come(gateway)
        call(two)
        child, _ = sent(gateway, two)
        assert child is not sent(gateway, one)[0]
        ask(child)
        assert (len(asked(one)), len(asked(two))) == (1, 1)

    def test_who_comes_when_it_has_gone(self, gateway: MemoryGateway) -> None:
        """A session that begins when the only other one has ended has its child."""
        one = come(gateway)
        call(one)
        shared, request = sent(gateway, one)
        ask(shared)
        shared.answer(request, {"content": []})
        gateway.client("auto", **{"Mcp-Session-Id": one.headers["Mcp-Session-Id"]}).ask(b"", "DELETE")
        two = come(gateway)
        call(two)
        assert sent(gateway, two)[0] is shared

    def test_those_beside_the_first(self, gateway: MemoryGateway) -> None:
        """A session that has called nothing gets a child of its own when the server asks another, so both are asked."""
        one, two = come(gateway), come(gateway)
        call(one)
        shared = gateway.child
        ask(shared)
        call(two)
        child, _ = sent(gateway, two)
        assert child is not shared
        ask(child)
        assert (len(asked(one)), len(asked(two))) == (1, 1)

    @pytest.mark.parametrize("has_called", [False, True])
    def test_those_that_wait(self, *, has_called: bool) -> None:
        """A call that waits for its turn goes to a child of its own, once, unless its session has used the child."""
        gateway = gateway_of(written=lambda pids: dict.fromkeys(pids, 0))
        one, two = come(gateway), come(gateway)
        shared = gateway.child
        if has_called:
            call(two, 7)
            shared.answer(shared.asked("tools/call")[0], {"content": []})
        call(one)
        call(two)
        waiting = f"{id(two)}-1"
        assert waiting not in [each["params"]["name"] for each in shared.asked("tools/call")]
        ask(shared)
        assert len(asked(one)) == 1
        child, _ = sent(gateway, two)
        assert (child is shared) is has_called

    @pytest.mark.parametrize("asks", [False, True])
    def test_first_calls(self, *, asks: bool) -> None:
        """The first call of a tool that reads goes alone at a new server; the next ones go beside each other."""
        gateway = gateway_of(written=lambda pids: dict.fromkeys(pids, 0))
        clients = [come(gateway) for _ in range(3)]
        shared = gateway.child
        clients[0].call(0, name="write")
        shared.answer(shared.asked("tools/list")[0], {"tools": [{"name": "get_name"}, {"name": "write"}]})
        shared.answer(shared.asked("tools/call")[0], {"content": []})
        for each in clients:
            each.call(1, name="get_name")
        assert len(shared.asked("tools/call")) == 2
        if not asks:
            shared.answer(shared.asked("tools/call")[1], {"content": []})
            assert len(shared.asked("tools/call")) == 4
            return
        ask(shared)
        assert len(asked(clients[0])) == 1
        others = [each for each in gateway.launcher.children if each is not shared]
        assert [len(each.asked("tools/call")) for each in others] == [1, 1]
        for each in others:
            ask(each)
        assert [len(asked(each)) for each in clients] == [1, 1, 1]

    def test_an_open_session(self, gateway: MemoryGateway) -> None:
        """A session that is open is asked as often as its calls want to, beside others that are idle."""
        client, _ = come(gateway), come(gateway)
        for nth in range(3):
            call(client, nth)
            child, _ = sent(gateway, client, nth)
            ask(child, nth)
            assert len(asked(client)) == 1
            child.answer(child.asked("tools/call")[-1], {"content": []})
        assert len(gateway.launcher.children) == 1

    def test_what_it_does_not_offer(self, gateway: MemoryGateway) -> None:
        """A question that the client has not offered to answer does not reach it; that moves no server."""
        client = come(gateway, {"roots": {}})
        call(client)
        ask(gateway.child)
        assert reply(gateway.child)["error"]["code"] == -32601
        assert verdict(gateway) is None

    def test_several(self, gateway: MemoryGateway) -> None:
        """A question that could be of several sessions is nobody's, and new sessions get a child of their own."""
        one, two = come(gateway), come(gateway)
        for each in (one, two):
            call(each)
        ask(gateway.child)
        assert reply(gateway.child)["error"]["code"] == -32601
        assert asked(one) == asked(two) == []
        assert verdict(gateway) == f"it asked {ELICIT}"
        three, four = come(gateway), come(gateway)
        for each in (three, four):
            call(each)
            child, _ = sent(gateway, each)
            ask(child, 2)
            assert len(asked(each)) == 1
        assert sent(gateway, three)[0] is not sent(gateway, four)[0]

    @pytest.mark.parametrize("method", [ELICIT, SAMPLE])
    def test_outside_of_calls(self, gateway: MemoryGateway, method: str) -> None:
        """A question outside of calls has no client; a session that has called nothing yet gets a child of
        its own.
        """
        client = come(gateway, OFFERS | {"roots": {}})
        shared = gateway.child
        ask(shared, method=method)
        assert reply(shared)["error"]["code"] == -32601
        assert verdict(gateway) == f"it asked {method}"
        call(client)
        child, _ = sent(gateway, client)
        assert child is not shared
        assert told(child) == OFFERS | {"roots": {}}

    def test_who_has_called_stays(self, gateway: MemoryGateway) -> None:
        """A session that has called something keeps the child that may know of it."""
        client = come(gateway)
        call(client)
        shared, request = sent(gateway, client)
        shared.answer(request, {"content": []})
        ask(shared)
        call(client, 2)
        assert sent(gateway, client, 2)[0] is shared

    @pytest.mark.parametrize("is_answered", [False, True])
    def test_taken_back(self, gateway: MemoryGateway, is_answered: bool) -> None:  # noqa: FBT001
        """A call that was taken back may still ask, until the server has answered it."""
        one, two = come(gateway), come(gateway)
        call(one)
        child, request = sent(gateway, one)
        other = gateway.client("auto", **{"Mcp-Session-Id": one.headers["Mcp-Session-Id"]})
        other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        if is_answered:
            child.answer(request, {"content": []})
        call(two)
        ask(child)
        assert len(asked(two)) == is_answered
        assert (reply(child) is None) is is_answered

    def test_taken_back_before_the_next_comes(self, gateway: MemoryGateway) -> None:
        """A session does not join a child with the cancelled call of one that has ended, if its server asks: the
        question of its own call reaches it.
        """
        one = come(gateway)
        call(one)
        child, _ = sent(gateway, one)
        ask(child)
        assert len(asked(one)) == 1
        other = gateway.client("auto", **{"Mcp-Session-Id": one.headers["Mcp-Session-Id"]})
        other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        other.ask(b"", "DELETE")
        two = come(gateway)
        call(two)
        second, _ = sent(gateway, two)
        ask(second, 2)
        assert [each["method"] for each in asked(two)] == [ELICIT]
        ask(child, 3)  # for the call that was cancelled
        assert second is not child
        assert "error" in reply(child, 3)
        assert len(asked(two)) == 1

    def test_out_of_time(self) -> None:
        """A call whose time is over may still ask, until the server has answered it."""
        gateway = gateway_of(evolve(AUTO, timeout_s=5.0))
        one, two = come(gateway), come(gateway)
        call(one)
        gateway.tick(7)
        assert one.heard is not None
        call(two)
        ask(gateway.child)
        assert asked(two) == []
        assert "error" in reply(gateway.child)

    def test_of_a_session_that_has_ended(self, gateway: MemoryGateway) -> None:
        """A question of the call of a session that has ended reaches nobody, neither then nor later."""
        one, two = come(gateway), come(gateway)
        call(one)
        one_more = gateway.client("auto", **{"Mcp-Session-Id": one.headers["Mcp-Session-Id"]})
        one_more.ask(b"", "DELETE")
        child = gateway.child
        ask(child)
        assert "error" in reply(child)
        call(two)
        ask(child, 2)
        assert "error" in reply(child, 2)
        assert asked(two) == []

    def test_too_many_were_taken_back(self, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where not all that were taken back are known any more, a question can be anybody's."""
        monkeypatch.setattr("mcpgateway.backends.conversation.LEFT_LIMIT", 1)
        assert LEFT_LIMIT > 1
        client = come(gateway)
        for nth in (1, 2):
            call(client, nth)
            other = gateway.client("auto", **{"Mcp-Session-Id": client.headers["Mcp-Session-Id"]})
            said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": nth}}
            other.ask(said)
        call(client, 3)
        ask(gateway.child)
        assert "error" in reply(gateway.child)

    def test_a_task_beside(self, gateway: MemoryGateway) -> None:
        """A task may ask as long as it runs, so what does not name it is not the only caller's, while what does is."""
        one, two = come(gateway), come(gateway)
        one.call(1, name="slow", task={})
        child = gateway.child
        child.answer(child.asked("tools/call")[0], {"task": {"taskId": "t", "status": "working"}})
        call(two)
        ask(child)
        assert asked(two) == []
        ears = gateway.listen(one)
        ask(child, 2, **TASK)
        assert ears.heard is not None
        assert [each["method"] for each in ears.heard.events] == [ELICIT]

    def test_without_a_session(self, gateway: MemoryGateway) -> None:
        """Requests without a session offer nothing, so nobody is asked."""
        client = gateway.client("auto")
        call(client)
        ask(gateway.child)
        assert reply(gateway.child)["error"]["code"] == -32601

    def test_one_child_only(self) -> None:
        """A server that may have one child only keeps it, whatever it asks."""
        gateway = gateway_of(evolve(AUTO, concurrency=Concurrency(1)))
        come(gateway)
        ask(gateway.child)
        assert "error" in reply(gateway.child)
        assert verdict(gateway) is None

    @given(st.data())
    def test_never_another_ones(self, data: st.DataObject) -> None:
        """A client is not asked a question of another one's call, after any calls, cancellations, answers and
        questions.
        """
        gateway = gateway_of()
        clients = [come(gateway) for _ in range(3)]
        child = gateway.child
        held: dict[tuple[int, int], dict[str, Any]] = {}  # what the child has not answered, by client and id
        lines: dict[tuple[int, int], Client] = {}
        for step in range(data.draw(st.integers(1, 25))):
            action = data.draw(st.sampled_from(["call", "call", "cancel", "answer", "ask", "ask"]))
            if action == "call":
                whose = data.draw(st.integers(0, 2))
                identifier = clients[whose].headers["Mcp-Session-Id"]
                line = lines[whose, step] = gateway.client("auto", **{"Mcp-Session-Id": identifier})
                line.call(step, name=f"{whose} {step}")
                for each in child.asked("tools/call")[-1:]:
                    if each["params"]["name"] == f"{whose} {step}":  # it may have a child of its own by now
                        held[whose, step] = each
            elif action == "cancel" and held:
                whose, step_of = data.draw(st.sampled_from(sorted(held)))
                params = {"requestId": step_of}
                identifier = clients[whose].headers["Mcp-Session-Id"]
                said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
                gateway.client("auto", **{"Mcp-Session-Id": identifier}).ask(said)
            elif action == "answer" and held:
                child.answer(held.pop(data.draw(st.sampled_from(sorted(held)))), {"content": []})
            elif action == "ask":
                may = {whose for whose, _ in held}
                before = {at: len(asked(line)) for at, line in lines.items()}
                ask(child, f"q{step}")
                hearers = {at[0] for at, line in lines.items() if len(asked(line)) > before[at]}
                assert hearers <= may
                assert not hearers or len(may) == 1


class FirstLookTests:
    """A server that asks something by itself as soon as it is there."""

    DECLARED: ClassVar[dict[str, Any]] = {"roots": {}, "elicitation": {}}

    @pytest.fixture
    def gateway(self) -> MemoryGateway:
        """A gateway that looks at what it does not know."""
        return gateway_of(looks=True)

    def begin(self, gateway: MemoryGateway, offers: dict[str, Any] | None = None) -> Client:
        """A client whose session has to wait for the look."""
        client = gateway.client("auto")
        capabilities = self.DECLARED if offers is None else offers
        client.call(0, "initialize", protocolVersion="2025-11-25", capabilities=capabilities)
        return client

    def go_on(self, client: Client) -> Client:
        """Return the client with its session, once it has its answer."""
        assert client.heard is not None
        raw = client.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0]
        client.headers["Mcp-Session-Id"] = raw.decode()
        return client

    def test_it_asks(self, gateway: MemoryGateway) -> None:
        """Clients that wait for such a server get a child each, before a call is sent; the first child serves
        none of them.
        """
        clients = [self.begin(gateway) for _ in range(2)]
        shared = gateway.child
        ask(shared)
        shared.answer(shared.asked("tools/list")[0], {"tools": []})
        gateway.clock.advance(SETTLE_S)
        for each in clients:
            call(self.go_on(each))
        children = [sent(gateway, each)[0] for each in clients]
        assert len({id(each) for each in (*children, shared)}) == 3
        assert [told(each) for each in children] == [self.DECLARED] * 2
        gateway.clock.advance(1)
        assert shared.is_stopping
        assert verdict(gateway) == f"it asked {ELICIT}"

    def test_it_does_not(self, gateway: MemoryGateway) -> None:
        """A server that asks nothing in that moment is shared, and waited for no more."""
        client = self.begin(gateway)
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": []})
        assert client.heard is None
        gateway.clock.advance(SETTLE_S)
        call(self.go_on(client))
        assert verdict(gateway) == ""
        self.go_on(self.begin(gateway, OFFERS))
        assert len(gateway.launcher.children) == 2

    def test_who_cannot_be_asked(self, gateway: MemoryGateway) -> None:
        """For a client that offers nothing there is nothing to wait for."""
        client = self.begin(gateway, {})
        gateway.child.answer(gateway.child.asked("tools/list")[0], {"tools": []})
        self.go_on(client)
        assert verdict(gateway) is None

    def test_on_record(self) -> None:
        """The next gateway knows, too, that the server asks."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        first = gateway_of(store=store, looks=True)
        self.begin(first)
        ask(first.child)
        second = gateway_of(store=store, looks=True)
        clients = [self.go_on(self.begin(second)) for _ in range(2)]
        for each in clients:
            call(each)
        assert sent(second, clients[0])[0] is not sent(second, clients[1])[0]


class OfferTests:
    """Offers of clients, and how they are compared."""

    def test_everything(self) -> None:
        """An offer of all that can be asked is told, but for changes of roots."""
        assert offer_of(FULL) == FULL | {"roots": {}}

    @given(
        st.dictionaries(
            st.sampled_from([*FULL, "tasks", "extensions"]),
            st.recursive(
                st.none() | st.integers() | st.text(max_size=3),
                lambda inner: st.dictionaries(st.sampled_from(["form", "url", "tools", "x"]), inner),
            ),
        )
    )
    def test_the_same(self, said: dict[str, Any]) -> None:
        """An offer is an offer of itself, and together with itself; its name tells it from others."""
        offer = offer_of(said)
        assert offer_of(offer) == offer
        assert joined(offer, offer) == joined({}, offer) == joined(offer, {}) == offer
        assert (name_of(offer) == "") is (offer == {})

    def test_too_many(self) -> None:
        """More kinds of clients at once than there is room for are told so."""
        gateway = gateway_of()
        for nth in range(PLACES_LIMIT):
            come(gateway, {"extensions": {f"x{nth}": {}}})
        pool, server = gateway.dispatcher.pool, gateway.dispatcher.servers["auto"]
        with pytest.raises(GatewayError, match="kinds of clients"):
            pool.shared(server, offer={"extensions": {"one": "more"}})
