"""Servers that depend on the roots of their clients: sessions with the same roots share a child, and no others do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mcpgateway.config.model import Concurrency, ServerSpec, Share
from mcpgateway.errors import Overloaded
from mcpgateway.hub.bridge.bridged_request import ROOTS_QUESTION
from mcpgateway.hub.pool import IDLE_TICKS
from mcpgateway.hub.probes.client_roots import ANSWER_TICKS
from mcpgateway.hub.probes.sharing import ROOTS_S, SETTLE_S, USE_ROOTS_S
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.client_requests import UNDECLARED, roots_in
from mcpgateway.policy.sharing import launch_digest
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from tests.support.agents import agent
from tests.support.gateway_in_memory import MemoryChild, MemoryGateway
from tests.support.modern_client import PREFIX, call, done, meta, post, refusal, reply, request
from tests.support.remembering import Home

AUTO = ServerSpec("auto", ("run",), {}, "/", share=Share.AUTO, title="auto", protocol=Era.LEGACY)
FILES = evolve(AUTO, command=("npx", "@modelcontextprotocol/server-filesystem", "/tmp"))
ROOTS, CHANGED = "roots/list", "notifications/roots/list_changed"
DECLARED: dict[str, Any] = {"roots": {"listChanged": True}}
MODERN = meta(**{f"{PREFIX}clientCapabilities": {"roots": {}}})


def gateway_of(spec: ServerSpec = AUTO, store: ISessionStore | None = None, **said: Any) -> MemoryGateway:
    """A gateway with one server more."""
    return MemoryGateway(more=(spec,), store=store, **said)


def known(spec: ServerSpec = AUTO, asked: str = ROOTS) -> MemoryGateway:
    """A gateway with a server that was seen to ask for roots."""
    store = Journal(":memory:", lambda: 1_700_000_000.0)
    store.judge(f"asks {launch_digest(spec)}", asked)
    return gateway_of(spec, store)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server that was seen to ask for roots."""
    return known()


class Person:
    """A client with one connection for its calls and one for all else.

    :ivar roots: what it answers; None answers with an error.
    """

    def __init__(
        self,
        gateway: MemoryGateway,
        *roots: str,
        declares: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.gateway = gateway
        self.roots: list[dict[str, str]] | None = [{"uri": f"file://{each}"} for each in roots]
        self.client = gateway.client("auto", **(headers or {}))
        self.client.initialize(
            protocolVersion="2025-11-25", capabilities=DECLARED if declares is None else declares
        )
        self.other = gateway.client("auto", **self.client.headers)
        self.asked = 0
        self.number = 0

    def begin_call(self, method: str = "tools/call", **params: Any) -> str:
        """Send a call; return its mark."""
        self.number += 1
        self.client = self.gateway.client("auto", **self.other.headers)
        mark = f"{id(self)}-{self.number}"
        named = {"name": mark} if method == "tools/call" else {}
        self.client.call(self.number, method, **named, **params)
        return mark

    def answer(self) -> bool:
        """Answer for the roots if that is asked; false if it is not."""
        heard = self.client.heard
        events = heard.events if heard is not None and heard.body[:1] != b"{" else []
        questions = [each for each in events if each.get("method") == ROOTS]
        if not questions:
            return False
        self.asked += 1
        (question,) = questions
        said: dict[str, Any] = {"jsonrpc": "2.0", "id": question["id"]}
        if self.roots is None:
            self.other.ask(said | {"error": {"code": -32603, "message": "no"}})
        else:
            self.other.ask(said | {"result": {"roots": self.roots}})
        return True

    def call(self) -> MemoryChild:
        """Call a tool, answering for the roots where that is asked; return the child that got the call."""
        mark = self.begin_call()
        self.answer()
        return child_of(self.gateway, mark)

    def change(self, *roots: str) -> None:
        """Have other roots from now on."""
        self.roots = [{"uri": f"file://{each}"} for each in roots]
        self.other.ask({"jsonrpc": "2.0", "method": CHANGED})


def child_of(gateway: MemoryGateway, mark: str) -> MemoryChild:
    """The one child that got a call."""
    (child,) = [
        each
        for each in gateway.launcher.children
        if any(mark == call["params"]["name"] for call in each.asked("tools/call"))
    ]
    return child


def told(child: MemoryChild, identifier: str = "q") -> list[str] | None:
    """Let a child ask for the roots; return the paths that it is told, else None."""
    child.say({"jsonrpc": "2.0", "id": identifier, "method": ROOTS})
    found = [each for each in child.received if "method" not in each and each.get("id") == identifier]
    if not found or "result" not in found[0]:
        return None
    return [each["uri"].removeprefix("file://") for each in found[0]["result"]["roots"]]


def declared(child: MemoryChild) -> Any:
    """The client capabilities a child was told of."""
    return child.asked("initialize")[0]["params"]["capabilities"]


class KeyTests:
    """The sessions that share a child."""

    def test_projects(self, gateway: MemoryGateway) -> None:
        """Sessions in three projects have three children, each of which is told the roots of its own."""
        people = [Person(gateway, f"/p{nth % 3}") for nth in range(9)]
        children = [each.call() for each in people]
        assert len({id(each) for each in children}) == 3
        assert [told(child, f"q{nth}") for nth, child in enumerate(children)] == [
            [f"/p{nth % 3}"] for nth in range(9)
        ]
        assert [each.asked for each in people] == [1] * 9

    def test_asked_once(self, gateway: MemoryGateway) -> None:
        """A session is asked before its first request, and not again."""
        person = Person(gateway, "/p")
        child = person.call()
        assert person.call() is child
        assert person.asked == 1

    def test_requests_before_the_answer(self, gateway: MemoryGateway) -> None:
        """All requests wait for the one answer; nobody is sent elsewhere meanwhile."""
        person = Person(gateway, "/p")
        first = person.begin_call()
        another = gateway.client("auto", **person.client.headers)
        another.call(7, name="second")
        assert all(not each.asked("tools/call") for each in gateway.launcher.children)
        assert person.answer()
        assert child_of(gateway, first) is child_of(gateway, "second")

    @pytest.mark.parametrize("declares", [{}, {"elicitation": {}}])
    def test_none_declared(self, gateway: MemoryGateway, declares: dict[str, Any]) -> None:
        """Clients that declare no roots share a child that is told of none, and are asked nothing."""
        one, two = (Person(gateway, declares=declares) for _ in range(2))
        other = Person(gateway, "/p")
        child = one.call()
        assert two.call() is child
        assert other.call() is not child
        assert "roots" not in declared(child)
        assert one.asked == 0
        assert told(child) is None

    def test_empty(self, gateway: MemoryGateway) -> None:
        """Roots that are an empty list are told as that."""
        child = Person(gateway).call()
        assert told(child) == []
        assert declared(child) == {"roots": {}}

    def test_principals(self) -> None:
        """Two principals never share a child, whatever their roots, even of a server that keeps nothing."""
        gateway = known(evolve(AUTO, command=("npx", "exa-mcp-server")))
        one = Person(gateway, "/p", headers=agent(gateway, "one"))
        two = Person(gateway, "/p", headers=agent(gateway, "two"))
        assert one.call() is not two.call()

    def test_limit(self, gateway: MemoryGateway) -> None:
        """Each child of roots counts for the limit of its principal's children, and is refused beyond it."""
        admitted: list[str] = []
        gateway.dispatcher.pool.admit_child = admitted.append
        people = [Person(gateway, f"/p{nth % 2}") for nth in range(4)]
        assert len({id(each.call()) for each in people}) == len(admitted) == 2

        def refuse(principal: str) -> None:
            raise Overloaded("it has enough")

        gateway.dispatcher.pool.admit_child = refuse
        person = Person(gateway, "/other")
        person.begin_call()
        assert person.answer()
        assert "it has enough" in str(person.client.heard)

    def test_order_and_names(self, gateway: MemoryGateway) -> None:
        """The order of the roots counts; the name that says no more than the URI does not, another name does."""
        plain, turned, named, titled = (Person(gateway, "/p", "/q") for _ in range(4))
        assert turned.roots is not None
        turned.roots.reverse()
        named.roots = [{"uri": "file:///p/", "name": "p"}, {"uri": "file:///q", "name": "q"}]
        titled.roots = [{"uri": "file:///p", "name": "Shop"}, {"uri": "file:///q"}]
        child = plain.call()
        assert turned.call() is not child
        assert named.call() is child
        assert titled.call() is not child

    def test_unused(self, gateway: MemoryGateway) -> None:
        """A child of roots that nobody has any more is given up after a while."""
        person, other = Person(gateway, "/p"), Person(gateway, "/q")
        child = person.call()
        other.call()
        person.other.ask(b"", "DELETE")
        gateway.tick(IDLE_TICKS + 1)
        assert child.is_stopping

    @pytest.mark.parametrize(
        "more", [{"concurrency": Concurrency(1)}, {"share": Share.GLOBAL}, {"share": Share.SESSION}]
    )
    def test_entry_decides(self, more: dict[str, Any]) -> None:
        """Where the entry says how the server is shared, roots do not count: nobody is asked by the gateway itself."""
        gateway = known(evolve(AUTO, **more))
        person = Person(gateway, "/p")
        person.call()
        assert person.asked == 0


class AnswerTests:
    """Clients that do not tell their roots."""

    def test_error(self, gateway: MemoryGateway) -> None:
        """A client that answers with an error has the child that is told of no roots."""
        person = Person(gateway)
        person.roots = None
        child = person.call()
        assert "roots" not in declared(child)
        assert Person(gateway, declares={}).call() is child

    def test_silence_then_an_answer(self, gateway: MemoryGateway) -> None:
        """A client that does not answer is served without roots after a while, and by its roots once it tells them."""
        person = Person(gateway, "/p")
        mark = person.begin_call()
        gateway.tick(ANSWER_TICKS + 1)
        without = child_of(gateway, mark)
        assert "roots" not in declared(without)
        assert person.answer()
        child = person.call()
        assert child is not without
        assert told(child) == ["/p"]

    def test_cancelled(self, gateway: MemoryGateway) -> None:
        """A call that waits for the answer can be cancelled, and is not sent then."""
        person = Person(gateway, "/p")
        person.begin_call()
        person.other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert person.answer()
        assert all(not each.asked("tools/call") for each in gateway.launcher.children)

    def test_session_ended(self, gateway: MemoryGateway) -> None:
        """The end of a session ends its waiting calls; the answer that comes then starts nothing."""
        person = Person(gateway, "/p")
        person.begin_call()
        running = len(gateway.launcher.children)
        person.other.ask(b"", "DELETE")
        assert any("error" in each for each in person.client.heard.events)  # type: ignore[union-attr]
        gateway.tick(ANSWER_TICKS + 2)
        assert len(gateway.launcher.children) == running

    @pytest.mark.parametrize(
        "result", [{}, {"roots": 7}, {"roots": ["x"]}, {"roots": [{"uri": "x" * 70_000}]}]
    )
    def test_nonsense(self, result: dict[str, Any]) -> None:
        """An answer that cannot be used is none."""
        assert roots_in(result) is UNDECLARED


class ChangeTests:
    """Sessions whose roots change."""

    def test_it_moves(self, gateway: MemoryGateway) -> None:
        """A session goes to another child; a call under way is finished at the old one, and can be cancelled there."""
        person, stays = Person(gateway, "/p"), Person(gateway, "/p")
        assert stays.call() is (old := person.call())
        person.change("/q")
        new = person.call()
        assert new is not old
        assert told(new) == ["/q"]
        assert told(old) == ["/p"]
        person.other.ask({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert old.asked("notifications/cancelled")
        assert stays.call() is old

    def test_while_it_is_asked(self, gateway: MemoryGateway) -> None:
        """Roots that change before the answer has come are asked for again."""
        person = Person(gateway, "/p")
        mark = person.begin_call()
        person.other.ask({"jsonrpc": "2.0", "method": CHANGED})
        assert person.answer()
        events = person.client.heard.events  # type: ignore[union-attr]
        (_, again) = [each for each in events if each.get("method") == ROOTS]
        person.other.ask({"jsonrpc": "2.0", "id": again["id"], "result": {"roots": [{"uri": "file:///q"}]}})
        assert told(child_of(gateway, mark)) == ["/q"]

    def test_subscriptions_go_along(self, gateway: MemoryGateway) -> None:
        """A session that has moved is subscribed at its new child."""
        gateway.launcher.hello = evolve_hello(gateway)
        person = Person(gateway, "/p")
        old = person.call()
        another = gateway.client("auto", **person.client.headers)
        another.call(9, "resources/subscribe", uri="x:y")
        old.answer(old.asked("resources/subscribe")[0], {})
        person.change("/q")
        new = person.call()
        assert [each["params"]["uri"] for each in new.asked("resources/subscribe")] == ["x:y"]


def evolve_hello(gateway: MemoryGateway) -> dict[str, Any]:
    """The answer of a server that takes subscriptions."""
    known = gateway.launcher.hello or {}
    return known | {"capabilities": known["capabilities"] | {"resources": {"subscribe": True}}}


class LearnedTests:
    """Servers that are not known to depend on roots before they ask."""

    def test_in_the_middle_of_a_call(self) -> None:
        """The question goes to the client whose call it is; from then on sessions go by their roots."""
        gateway = gateway_of(AUTO)
        one, two = Person(gateway, "/p"), Person(gateway, "/q")
        first = one.call()
        first.say({"jsonrpc": "2.0", "id": "q", "method": ROOTS})
        assert one.answer()
        assert [each["result"]["roots"] for each in first.received if each.get("id") == "q"] == [
            [{"uri": "file:///p"}]
        ]
        assert told(two.call()) == ["/q"]
        assert told(one.call()) == ["/p"]
        assert gateway.store.verdict(launch_digest(AUTO)) is None

    def test_outside_of_calls(self) -> None:
        """A server that asks by itself has told nobody else's roots by then: all its sessions leave its child."""
        gateway = gateway_of(AUTO)
        people = [Person(gateway, "/p"), Person(gateway, "/q"), Person(gateway, "/p")]
        shared = gateway.child
        assert told(shared) is None
        children = [each.call() for each in people]
        assert children[0] is children[2]
        assert [told(each) for each in children[:2]] == [["/p"], ["/q"]]
        gateway.tick(1)
        assert shared.is_stopping

    def test_a_call_under_way(self) -> None:
        """A call that the first child has when its server asks is finished there."""
        gateway = gateway_of(AUTO)
        one, two = Person(gateway, "/p"), Person(gateway, "/q")
        shared, mark = one.call(), one.number
        two.call()
        assert told(shared) is None
        gateway.tick(2)
        assert not shared.is_stopping
        for each in shared.asked("tools/call"):
            shared.answer(each, {"content": []})
        assert one.client.heard is not None
        assert one.client.heard.json["id"] == mark
        gateway.tick(1)
        assert shared.is_stopping

    def test_over_a_restart(self) -> None:
        """The next gateway knows, and so does one whose record is that of a gateway that did not share by roots."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        first = gateway_of(AUTO, store)
        Person(first, "/p")
        told(first.child)
        second = gateway_of(AUTO, store)
        assert told(Person(second, "/p").call()) == ["/p"]
        told_of = second.dispatcher.pool.shared_by(second.dispatcher.servers["auto"])
        assert (told_of["share"], told_of["asked"]) == ("roots", [ROOTS])

    def test_former_record(self) -> None:
        """A record of a gateway that gave each session a child because of roots does not count any more."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        store.judge(launch_digest(AUTO), f"it asked {ROOTS}")
        gateway = gateway_of(AUTO, store)
        assert Person(gateway, "/p").call() is Person(gateway, "/p").call()

    def test_something_else_too(self) -> None:
        """A server that asks something else as well gives sessions beside others a child, as any server that asks."""
        gateway = known(asked=f"{ROOTS} sampling/createMessage")
        offers = DECLARED | {"sampling": {}}
        one, two = (Person(gateway, "/p", declares=offers) for _ in range(2))
        assert one.call() is not two.call()
        assert "of which there are several" in gateway.dispatcher.pool.reason(
            gateway.dispatcher.servers["auto"]
        )

    def test_by_its_package(self) -> None:
        """A server that is known to work in roots goes by them from the first session on, one child at a time."""
        gateway = gateway_of(FILES)
        for nth, declares in enumerate((DECLARED, DECLARED | {"sampling": {}}, DECLARED)):
            person = Person(gateway, f"/p{nth % 2}", declares=declares)
            person.begin_call()
            assert person.answer()
            child = gateway.launcher.children[1 + nth % 2]  # behind that which has introduced the server
            assert declared(child) == {"roots": {}}
            assert told(child, f"q{nth}") == [f"/p{nth % 2}"]
            for each in (*child.asked("tools/list"), child.asked("tools/call")[-1]):
                child.answer(each, {"tools": [], "content": []})
        assert len(gateway.launcher.children) == 3


class ModernTests:
    """Clients of the other era, who are asked for their roots with each call."""

    def test_by_roots(self, gateway: MemoryGateway) -> None:
        """They share a child if they have the same roots; it is told those."""
        marks = []
        for nth, root in enumerate(("/p", "/q", "/p")):
            call(gateway, gateway.client("auto"), nth, f"m{nth}", MODERN, inputResponses=told_at_once(root))
            marks.append(child_of(gateway, f"m{nth}"))
        assert marks[0] is marks[2]
        assert [told(each) for each in marks[:2]] == [["/p"], ["/q"]]
        assert "inputResponses" not in marks[0].asked("tools/call")[0]["params"]

    def test_question(self, gateway: MemoryGateway) -> None:
        """A call without the answer is answered by the question, and starts nothing."""
        client = gateway.client("auto")
        post(client, request(1, "tools/call", MODERN, name="x"))
        result = reply(client)["result"]
        assert result["inputRequests"] == {ROOTS_QUESTION: {"method": ROOTS}}
        assert "requestState" not in result
        assert gateway.launcher.children == []

    def test_none(self, gateway: MemoryGateway) -> None:
        """Clients that declare no roots, or answer with none, share a child that is told of none."""
        call(gateway, gateway.client("auto"), 1, "m0")
        nothing = {ROOTS_QUESTION: {}}
        call(gateway, gateway.client("auto"), 2, "m1", MODERN, inputResponses=nothing)
        post(gateway.client("auto"), request(3, "resources/list", MODERN))
        child = child_of(gateway, "m0")
        assert child is child_of(gateway, "m1")
        assert child.asked("resources/list")
        assert declared(child) == {}

    def test_with_a_legacy_client(self, gateway: MemoryGateway) -> None:
        """Clients of both eras share a child."""
        child = Person(gateway, "/p").call()
        call(gateway, gateway.client("auto"), 1, "m0", MODERN, inputResponses=told_at_once("/p"))
        assert child_of(gateway, "m0") is child

    def test_something_else_too(self) -> None:
        """A server that asks other things has a child for one call at a time, which knows the roots of its client."""
        gateway = known(asked=f"{ROOTS} sampling/createMessage")
        envelope = meta(**{f"{PREFIX}clientCapabilities": {"roots": {}, "sampling": {}}})
        for nth, root in enumerate(("/p", "/q")):
            call(gateway, gateway.client("auto"), nth, f"m{nth}", envelope, inputResponses=told_at_once(root))
            child = child_of(gateway, f"m{nth}")
            assert declared(child) == {"roots": {}, "sampling": {}}
            assert told(child) == [root]
            done(child, child.asked("tools/call")[0])

    @pytest.mark.parametrize("answers", [5, {ROOTS_QUESTION: 5}])
    def test_malformed(self, gateway: MemoryGateway, answers: Any) -> None:
        """An answer that is no object is refused."""
        client = gateway.client("auto")
        post(client, request(1, "tools/call", MODERN, name="x", inputResponses=answers))
        assert refusal(client)[1] == -32602


def told_at_once(root: str) -> dict[str, Any]:
    """The answer to the question for roots, as it comes with a repeated request."""
    return {ROOTS_QUESTION: {"roots": [{"uri": f"file://{root}"}]}}


class RecordedTests:
    """Lists that are on record, for sessions whose child does not run."""

    @pytest.mark.parametrize(("method", "is_given"), [("tools/list", True), ("resources/list", False)])
    def test_lists(self, tmp_path: Path, method: str, *, is_given: bool) -> None:
        """The resources of one project are not shown in another; the tools are, and start nothing."""
        home = Home(tmp_path, (AUTO,))
        gateway = home.start()
        gateway.store.judge(f"asks {launch_digest(AUTO)}", ROOTS)
        first = Person(gateway, "/p")
        first.begin_call(method)
        assert first.answer()
        gateway.child.answer(gateway.child.asked(method)[0], {"tools": [], "resources": []})
        second = Person(gateway, "/q")
        running = len(gateway.launcher.children)
        second.begin_call(method)
        assert second.answer()
        assert len(gateway.launcher.children) == running + (not is_given)


class StartTests:
    """The first request of a child, which does not come before the child knows its roots."""

    @pytest.mark.parametrize("asks", [True, False])
    def test_it_waits(self, *, asks: bool) -> None:
        """A call is sent when the server has been told the roots, or has not asked for them in time."""
        gateway = gateway_of(FILES, looks=True)
        client = gateway.client("auto")
        client.call(0, "initialize", protocolVersion="2025-11-25", capabilities=DECLARED)
        settle(gateway)
        raw = client.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0]
        headers = {"Mcp-Session-Id": raw.decode()}
        caller, other = gateway.client("auto", **headers), gateway.client("auto", **headers)
        caller.call(1, name="x")
        (question,) = [each for each in caller.heard.events if each.get("method") == ROOTS]  # type: ignore[union-attr]
        other.ask({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": [{"uri": "file:///p"}]}})
        child = gateway.child
        assert not child.asked("tools/call")
        if asks:
            assert told(child) == ["/p"]
            assert not child.asked("tools/call")
        settle(gateway, ROOTS_S + USE_ROOTS_S if not asks else SETTLE_S + USE_ROOTS_S)
        assert child.asked("tools/call")


def settle(gateway: MemoryGateway, seconds: float = SETTLE_S) -> None:
    """Answer for the tools of the newest child, and let time pass."""
    for each in gateway.child.asked("tools/list"):
        gateway.child.answer(each, {"tools": []})
    for _ in range(round(seconds / 0.05) + 1):
        gateway.clock.advance(0.05)
