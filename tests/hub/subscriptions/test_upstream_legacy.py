"""Subscriptions at a server, whichever sessions come and go meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendGone, BadReply, Cancelled, GatewayError, Overloaded
from mcpgateway.hub.sessions import Session
from mcpgateway.hub.subscriptions.interest import URIS_LIMIT
from mcpgateway.hub.subscriptions.upstream_legacy import (
    FORMER_LIMIT,
    PORTION,
    TOPICS_LIMIT,
    Restoration,
    Subscriptions,
)
from mcpgateway.interfaces import Request
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import HELLO, Client, MemoryChild, MemoryGateway

URI = "weather://city"
SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"


GONE = BackendGone("it has ended")
CANCELLED = Cancelled("it was cancelled")
SPEC = ServerSpec("memory", ("run",), {}, "/")


class Withdrawn(Cancelled):
    """A request was cancelled before its turn."""


@define(eq=False)
class Sink:
    """The outcome of a call, in a word."""

    became: list[str] = field(factory=list)
    is_gone: bool = False

    def answered(self, call: Request, reply: Envelope) -> None:
        """An answer, of whichever kind."""
        self.became.append("refused" if "error" in reply else "agreed")

    def failed(self, call: Request, why: GatewayError) -> None:
        """No answer."""
        self.became.append(type(why).__name__)

    def progressed(self, call: Request, message: bytes) -> None:
        """Progress is never reported here."""
        raise AssertionError

    def noticed(self, call: Request, message: bytes) -> bool:
        """Messages before the answer never come here."""
        raise AssertionError


@define(eq=False)
class Server:
    """A server that answers when the test says so.

    :ivar open: the requests it has not answered, by their resources.
    :ivar asked: all it has been asked, in its order.
    :ivar reports: what it reports on, if it agrees to everything.
    """

    open: dict[str, Request] = field(factory=dict)
    asked: list[tuple[str, str]] = field(factory=list)
    reports: set[str] = field(factory=set)

    def ask(self, call: Request) -> None:
        """Take a request; never two for one resource at a time."""
        uri = jsonrpc.value((call.message.params or {})["uri"], str)
        assert uri not in self.open
        self.asked.append((call.method, uri))
        self.open[uri] = call

    def give_up(self, uri: str) -> None:
        """Be told that nobody is left."""
        self.reports.discard(uri)
        self.asked.append(("farewell", uri))

    def agree(self, uri: str) -> None:
        """Do what was asked last."""
        method = next(method for method, at in reversed(self.asked) if at == uri and method.startswith("res"))
        (self.reports.add if method == SUBSCRIBE else self.reports.discard)(uri)
        self._answer(uri, jsonrpc.result(Raw(b"1"), {}))

    def refuse(self, uri: str) -> None:
        """Do nothing of the kind."""
        self._answer(uri, jsonrpc.error(Raw(b"1"), GatewayError("no")))

    def _answer(self, uri: str, reply: Envelope) -> None:
        call = self.open.pop(uri)
        call.sink.answered(call, reply)

    def end(self, uri: str) -> None:
        """Never answer."""
        call = self.open.pop(uri)
        call.sink.failed(call, GONE)

    def cancel(self, call: Request) -> None:
        """Be told that nobody waits for an answer."""
        (uri,) = (uri for uri, each in self.open.items() if each is call)
        self.asked.append(("cancelled", uri))
        del self.open[uri]


@define(eq=False)
class MuteChild:
    """A child that answers when the test says so.

    :ivar asked: what it was asked for, in its order.
    :ivar logged: the events of the log.
    """

    logged: list[dict[str, Any]]
    asked: list[str] = field(factory=list)
    is_full: bool = False
    _open: list[Deferred[Envelope]] = field(factory=list)

    def ask(self, method: str, params: dict[str, str]) -> Deferred[Envelope]:
        """Take a subscription."""
        if self.is_full:
            return fail(Overloaded("it does not read"))
        assert method == SUBSCRIBE
        self.asked.append(params["uri"])
        self._open.append(Deferred())
        return self._open[-1]

    def answer(self, nth: int, reply: Envelope | None = None) -> None:
        """Answer one, unless it has been answered; agree, if nothing else is said."""
        if not self._open[nth].called:
            self._open[nth].callback(reply or jsonrpc.result(Raw(b"1"), {}))

    def fail(self, nth: int, why: Exception) -> None:
        """Do not answer one."""
        self._open[nth].errback(why)

    @property
    def lost(self) -> list[tuple[str, str]]:
        """The resources that the log says are lost, and why."""
        return [(each["uri"], str(each["why"])) for each in self.logged if "uri" in each]


@define(eq=False)
class House:
    """The subscriptions of one server's sessions.

    :ivar changes: what has been put on record.
    :ivar calls: all requests.
    """

    server: Server = field(factory=Server)
    changes: list[tuple[bytes, str, bool]] = field(factory=list)
    calls: list[Request] = field(factory=list)
    all: Subscriptions = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.all = Subscriptions(self.server.ask, self.server.give_up, self.changed)

    def changed(self, session: Session, uri: str, is_on: bool) -> None:  # noqa: FBT001 - a plain callback
        """A session has gained or lost a resource."""
        self.changes.append((session.id, uri, is_on))

    def session(self, name: bytes, *uris: str) -> Session:
        """A session that uses the server, with what it brings."""
        return Session(name, SPEC, "local", "2025-06-18", uris=set(uris) or None)

    def submit(self, session: Session, method: str = SUBSCRIBE, uri: str = URI) -> list[str]:
        """A request of a session's; what becomes of it is in the list."""
        sink = Sink()
        call = Request(session, jsonrpc.own_request(method, {"uri": jsonrpc.raw(uri)}), None, sink)
        self.all.submit(call, uri)
        self.calls.append(call)
        return sink.became

    def cancel(self, call: Request) -> bool:
        """A client takes a request back, as a slot goes about it; whether the server was being asked."""
        is_asked = not self.all.withdraw(call)
        if is_asked:
            self.server.cancel(call)
            self.all.cancelled(call)
        call.sink.failed(call, CANCELLED)
        return is_asked

    def cancels(self, number: int) -> None:
        """A client takes that request back, if it is open."""
        for call in self.calls[number : number + 1]:
            if call in self.all.waiting():
                self.all.withdraw(call)
                call.sink.failed(call, Withdrawn("it was cancelled"))
            elif call in self.server.open.values():
                self.cancel(call)

    def leaves(self, session: Session) -> None:
        """A session ends."""
        under_way = [*self.all.waiting(), *self.server.open.values()]
        for call in [each for each in under_way if each.session is session]:
            self.cancel(call)
        self.all.release(session)

    def held(self, session: Session, *uris: str) -> None:
        """Let a session subscribe, with the server's consent."""
        for uri in uris or (URI,):
            self.submit(session, uri=uri)
            if uri in self.server.open:
                self.server.agree(uri)


@pytest.fixture
def house() -> House:
    """A server that nobody is subscribed at."""
    return House()


class CountTests:
    """A single subscription upstream, however many sessions share it."""

    def test_first_and_last(self, house: House) -> None:
        """The server hears of the first subscription and of the last farewell; it is asked for nothing between."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one)
        assert house.submit(two) == house.submit(one) == ["agreed"]
        assert house.submit(one, UNSUBSCRIBE) == ["agreed"]
        assert house.server.asked == [(SUBSCRIBE, URI)]
        last = house.submit(two, UNSUBSCRIBE)
        assert last == []
        house.server.agree(URI)
        assert last == ["agreed"]
        assert house.server.asked == [(SUBSCRIBE, URI), (UNSUBSCRIBE, URI)]
        assert house.all.uris() == []
        assert len(house.all) == 0

    def test_each_resource_by_itself(self, house: House) -> None:
        """Resources do not wait for each other, nor are they told apart by anything but their whole name."""
        one = house.session(b"1")
        answers = {uri: house.submit(one, uri=uri) for uri in ("a:1", "a:1/", "A:1")}
        assert [uri for _, uri in house.server.asked] == list(answers)
        house.server.agree("a:1/")
        assert answers == {"a:1": [], "a:1/": ["agreed"], "A:1": []}
        assert house.all.uris() == ["a:1/"]
        assert len(house.all) == 1

    def test_on_record(self, house: House) -> None:
        """A subscription that a session gains or loses is told once each; one that is refused is none."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one)
        house.submit(one)
        house.submit(two)
        house.submit(one, UNSUBSCRIBE)
        house.submit(one, UNSUBSCRIBE)
        house.submit(two, uri="a:2")
        house.server.refuse("a:2")
        assert house.changes == [(b"1", URI, True), (b"2", URI, True), (b"1", URI, False)]
        assert one.uris == set()
        assert two.uris == {URI}

    def test_a_farewell_to_nothing(self, house: House) -> None:
        """A session that gives up a subscription it never had is the server's to judge, and takes none from others."""
        one, two = house.session(b"1"), house.session(b"2")
        stray = house.submit(one, UNSUBSCRIBE)
        house.server.refuse(URI)
        assert stray == ["refused"]
        house.held(two)
        assert house.submit(one, UNSUBSCRIBE) == ["agreed"]
        assert list(house.all.holders(URI)) == [two]
        assert [method for method, _ in house.server.asked] == [UNSUBSCRIBE, SUBSCRIBE]

    def test_a_farewell_that_is_refused(self, house: House) -> None:
        """A session that gives a resource up hears no more of it, even if the server refuses."""
        one = house.session(b"1")
        house.held(one)
        answer = house.submit(one, UNSUBSCRIBE)
        house.server.refuse(URI)
        assert answer == ["refused"]
        assert list(house.all.holders(URI)) == []

    def test_without_a_session(self, house: House) -> None:
        """The session that requests without an id share holds nothing, since nobody could be told."""
        nobody = house.session(b"")
        answer = house.submit(nobody)
        house.server.agree(URI)
        assert answer == ["agreed"]
        assert house.all.uris() == []


class LineTests:
    """The line of requests for each resource."""

    def test_everybody_waits(self, house: House) -> None:
        """A session that comes while the server is asked waits for the outcome, and shares it if the server agrees."""
        sessions = [house.session(b"%d" % number) for number in range(4)]
        answers = [house.submit(each) for each in sessions]
        assert answers == [[], [], [], []]
        house.server.agree(URI)
        assert answers == [["agreed"]] * 4
        assert house.server.asked == [(SUBSCRIBE, URI)]
        assert list(house.all.holders(URI)) == sessions

    def test_after_a_refusal(self, house: House) -> None:
        """The next in the line asks again, since the server may mean only the one."""
        one, two = house.session(b"1"), house.session(b"2")
        answers = [house.submit(one), house.submit(two)]
        house.server.refuse(URI)
        assert answers == [["refused"], []]
        house.server.agree(URI)
        assert answers == [["refused"], ["agreed"]]
        assert list(house.all.holders(URI)) == [two]

    def test_a_server_that_cannot_be_asked(self, house: House) -> None:
        """Everybody in the line learns why, and nobody asks again in turn; whoever comes later does."""
        sessions = [house.session(b"%d" % number) for number in range(3000)]
        answers = [house.submit(each) for each in sessions]
        house.server.end(URI)
        assert answers == [["BackendGone"]] * 3000
        assert house.server.asked == [(SUBSCRIBE, URI)]
        assert house.all.uris() == []
        house.held(sessions[0])
        assert house.all.uris() == [URI]

    def test_crossing(self, house: House) -> None:
        """A subscription that comes while the farewell is under way is asked for after it, and then holds."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one)
        farewell, again, other = house.submit(one, UNSUBSCRIBE), house.submit(one), house.submit(two)
        assert farewell == again == other == []
        house.server.agree(URI)
        assert (farewell, again, other) == (["agreed"], [], [])
        house.server.agree(URI)
        assert again == other == ["agreed"]
        assert [method for method, _ in house.server.asked] == [SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]
        assert house.server.reports == {URI}

    def test_crossing_the_other_way(self, house: House) -> None:
        """A farewell that comes while the subscription is under way waits for it, and ends it."""
        one = house.session(b"1")
        first, farewell = house.submit(one), house.submit(one, UNSUBSCRIBE)
        house.server.agree(URI)
        assert (first, farewell) == (["agreed"], [])
        house.server.agree(URI)
        assert farewell == ["agreed"]
        assert house.server.reports == set()
        assert house.all.uris() == []

    def test_one_who_leaves_the_line(self, house: House) -> None:
        """A session that ends takes its own requests out of the line, and nobody else's."""
        one, two = house.session(b"1"), house.session(b"2")
        answers = [house.submit(one), house.submit(two), house.submit(two, UNSUBSCRIBE), house.submit(one)]
        house.leaves(two)
        assert answers == [[], ["Cancelled"], ["Cancelled"], []]
        house.server.agree(URI)
        assert answers == [["agreed"], ["Cancelled"], ["Cancelled"], ["agreed"]]
        assert list(house.all.holders(URI)) == [one]


class BoundTests:
    """The bounds on subscriptions."""

    def test_of_one_session(self, house: House) -> None:
        """A subscription beyond the limit is refused, to any resource; a session may repeat those that it has."""
        one, two = house.session(b"1"), house.session(b"2")
        uris = [f"a:{number}" for number in range(URIS_LIMIT)]
        house.held(one, *uris)
        house.held(two, "b:1")
        for uri in ("b:1", "b:2"):
            with pytest.raises(Overloaded, match="too many subscriptions"):
                house.submit(one, uri=uri)
        assert house.submit(one, uri="a:1") == house.submit(two, uri="a:1") == ["agreed"]
        house.submit(one, UNSUBSCRIBE, "b:3")
        house.server.refuse("b:3")
        house.submit(one, UNSUBSCRIBE, "a:0")
        house.server.agree("a:0")
        house.held(one, "b:1")
        assert two in house.all.holders("b:1")
        assert one in house.all.holders("b:1")

    def test_of_one_server(self, house: House) -> None:
        """A server is asked for so many resources and no more; those that are shared count once."""
        several = [house.session(b"%d" % number) for number in range(TOPICS_LIMIT // URIS_LIMIT + 1)]
        for number in range(TOPICS_LIMIT):
            house.held(several[number // URIS_LIMIT], f"a:{number}")
        with pytest.raises(Overloaded):
            house.submit(several[-1], uri="one more")
        house.held(several[-1], "a:5")
        house.submit(several[0], UNSUBSCRIBE, "a:7")
        house.server.agree("a:7")
        house.held(several[-1], "one more")
        assert len(house.all) == TOPICS_LIMIT


class CancelTests:
    """Requests that are taken back."""

    def test_the_one_that_is_asked(self, house: House) -> None:
        """The server is told, and asked for whoever stands behind."""
        one, two = house.session(b"1"), house.session(b"2")
        answers = [house.submit(one), house.submit(two)]
        assert house.cancel(house.calls[0])
        assert answers == [["Cancelled"], []]
        assert house.server.asked == [(SUBSCRIBE, URI), ("cancelled", URI), (SUBSCRIBE, URI)]
        house.server.agree(URI)
        assert answers[1] == ["agreed"]
        assert list(house.all.holders(URI)) == [two]
        assert not list(house.all.waiting())

    def test_the_last_one(self, house: House) -> None:
        """Where nobody stands behind, the server is told that nobody wants it, in case that it agreed already."""
        house.submit(house.session(b"1"))
        house.cancel(house.calls[0])
        assert house.server.asked[1:] == [("cancelled", URI), ("farewell", URI)]
        other = house.session(b"2")
        house.held(other, "weather://")
        assert list(house.all.holders(URI)) == []

    def test_one_that_waits(self, house: House) -> None:
        """The server, which was not asked for it, hears nothing of it."""
        one, two = house.session(b"1"), house.session(b"2")
        answers = [house.submit(one), house.submit(two), house.submit(one)]
        assert [call.session for call in house.all.waiting()] == [two, one]
        assert not house.cancel(house.calls[1])
        assert answers == [[], ["Cancelled"], []]
        house.server.agree(URI)
        assert answers == [["agreed"], ["Cancelled"], ["agreed"]]
        assert house.server.asked == [(SUBSCRIBE, URI)]

    def test_a_farewell(self, house: House) -> None:
        """A session that takes a farewell back hears of no changes all the same, nor does the server report them."""
        one = house.session(b"1")
        house.held(one)
        house.submit(one, UNSUBSCRIBE)
        house.cancel(house.calls[-1])
        assert list(house.all.holders(URI)) == []
        house.held(one)
        said = [method for method, _ in house.server.asked]
        assert said == [SUBSCRIBE, UNSUBSCRIBE, "cancelled", "farewell", SUBSCRIBE]


class HearerTests:
    """Sessions that hear of a change."""

    def test_those_subscribed(self, house: House) -> None:
        """A change is told to all who are subscribed to that resource, and to nobody else."""
        one, two, three = (house.session(name) for name in (b"1", b"2", b"3"))
        house.held(one, "a:1")
        house.held(two, "a:1")
        house.held(three, "a:2", "a:")
        assert list(house.all.holders("a:1")) == [one, two]
        assert list(house.all.holders("a:2")) == [three]

    def test_before_the_answer(self, house: House) -> None:
        """A change that is reported before the subscription is agreed to is told to all who ask for just that."""
        one, two, other = (house.session(name) for name in (b"1", b"2", b"3"))
        house.held(other, "a:", "a:2")
        for each in (one, two):
            house.submit(each, uri="a:1")
        assert list(house.all.holders("a:1")) == [one, two]
        house.submit(other, UNSUBSCRIBE, "a:2")
        assert list(house.all.holders("a:2")) == []

    def test_a_part(self, house: House) -> None:
        """A change of a part is told to those who are subscribed to something that contains it, each once."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one, "a:/x/", "a:/x/y/")
        house.held(two, "a:/z/")
        assert list(house.all.holders("a:/x/y/z")) == [one]
        assert list(house.all.holders("a:/z/1")) == [two]

    def test_something_else(self, house: House) -> None:
        """A change of what nobody is subscribed to is told to everybody who is subscribed at all, each once."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one, "a:1", "a:2")
        house.held(two, "a:1")
        assert list(house.all.holders("b:1")) == [one, two]
        assert list(House().all.holders("b:1")) == []

    def test_what_was_given_up(self, house: House) -> None:
        """A change of what has been given up is meant for nobody, for as long as that is remembered."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one, "a:")
        for number in range(FORMER_LIMIT + 1):
            house.held(two, f"a:{number}")
            house.submit(two, UNSUBSCRIBE, f"a:{number}")
            assert list(house.all.holders(f"a:{number}")) == []
            house.server.agree(f"a:{number}")
        assert [list(house.all.holders(f"a:{number}")) for number in (1, FORMER_LIMIT)] == [[], []]
        assert list(house.all.holders("a:0")) == [one]
        house.held(two, "a:1")
        assert list(house.all.holders("a:1")) == [two]


class ReturnTests:
    """Sessions that leave and come back."""

    def test_leaving(self, house: House) -> None:
        """The server is told of what only the one who leaves was subscribed to; what is on record stays."""
        one, two = house.session(b"1"), house.session(b"2")
        house.held(one, "a:2", "a:1")
        house.held(two, "a:2")
        changes = list(house.changes)
        house.leaves(one)
        assert house.server.asked[2:] == [("farewell", "a:1")]
        assert list(house.all.holders("a:2")) == [two]
        assert house.all.uris() == ["a:2"]
        assert one.uris == {"a:1", "a:2"}
        assert house.changes == changes
        house.leaves(one)
        assert house.server.asked[3:] == []

    def test_coming_back(self, house: House) -> None:
        """The server has to be asked for what nobody else is subscribed to; of the rest it reports already."""
        one, back = house.session(b"1"), house.session(b"2", "a:1", "a:2", "a:3")
        house.held(one, "a:2")
        assert house.all.restore(back) == ["a:1", "a:3"]
        assert list(house.all.holders("a:2")) == [one, back]
        assert list(house.all.holders("a:1")) == [back]
        assert len(house.all) == 3
        assert house.submit(one, uri="a:1") == ["agreed"]
        assert house.all.restore(house.session(b"3")) == []

    def test_coming_back_before_the_answer(self, house: House) -> None:
        """A session that comes back while another asks, and leaves before the answer, keeps what the server reports."""
        one, back = house.session(b"1"), house.session(b"2", URI)
        answer = house.submit(one)
        assert house.all.restore(back) == [URI]
        house.leaves(one)
        assert answer == ["Cancelled"]
        assert house.server.asked == [(SUBSCRIBE, URI), ("cancelled", URI)]
        assert list(house.all.holders(URI)) == [back]

    def test_coming_back_before_the_farewell(self, house: House) -> None:
        """A session that comes back while the last one's farewell is under way is not forgotten over it."""
        one, back = house.session(b"1"), house.session(b"2", URI)
        house.held(one)
        house.submit(one, UNSUBSCRIBE)
        assert house.all.restore(back) == [URI]
        house.server.agree(URI)
        assert list(house.all.holders(URI)) == [back]


deeds = st.one_of(
    st.tuples(st.sampled_from([SUBSCRIBE, UNSUBSCRIBE]), st.integers(0, 2), st.sampled_from(["a:1", "a:2"])),
    st.tuples(
        st.sampled_from(["agree", "agree", "refuse", "end"]), st.just(0), st.sampled_from(["a:1", "a:2"])
    ),
    st.tuples(st.just("leave"), st.integers(0, 2), st.just("")),
    st.tuples(st.just("cancel"), st.integers(0, 50), st.just("")),
)


class HistoryTests:
    """Sessions' requests and a server's answers in any order."""

    @given(st.lists(deeds, max_size=40))
    def test_any_history(self, history: list[tuple[str, int, str]]) -> None:
        """Each request has one outcome, a session holds what it was agreed to last, and nothing is reported in vain."""
        house = House()
        sessions = [house.session(b"%d" % number) for number in range(3)]
        requests: list[tuple[Session, str, str, list[str]]] = []
        is_obedient = True
        for deed, number, uri in history:
            session = sessions[number % 3]
            if deed in {SUBSCRIBE, UNSUBSCRIBE}:
                requests.append((session, deed, uri, house.submit(session, deed, uri)))
            elif deed == "leave":
                house.leaves(session)
                sessions[number] = house.session(b"%d" % len(requests))
            elif deed == "cancel":
                house.cancels(number)
            elif uri in house.server.open:
                is_obedient = is_obedient and (deed == "agree" or house.server.asked[-1][0] == SUBSCRIBE)
                getattr(house.server, deed)(uri)
        while house.server.open:
            house.server.agree(next(iter(house.server.open)))
        assert all(len(became) == 1 for *_, became in requests)
        for uri in ("a:1", "a:2"):
            held = set(house.all.holders(uri)) if uri in house.all.uris() else set()
            for session in sessions:
                last = [
                    method
                    for each, method, at, became in requests
                    if each is session
                    and at == uri
                    # What is taken back while it waits has never been.
                    and (became == ["agreed"] or (method == UNSUBSCRIBE and became != ["Withdrawn"]))
                ]
                if last and not any(became == ["BackendGone"] for *_, became in requests):
                    assert (session in held) is (last[-1] == SUBSCRIBE)
                assert (session in held) is (uri in (session.uris or ()))
            assert held <= set(sessions)
            assert not held or uri in house.server.reports
            assert held or uri not in house.server.reports or not is_obedient


def reports(child: MemoryChild) -> bool:
    """Return whether that child was asked to report on the resource, and not asked to stop since."""
    asked = [each["method"] for each in child.received if each.get("params", {}).get("uri") == URI]
    return asked[-1:] == [SUBSCRIBE]


class ComebackTests:
    """Sessions that come back with their subscriptions."""

    def test_one_gives_up_what_another_keeps(self) -> None:
        """A farewell that has waited for the child to start does not take it from those who came back meanwhile."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        leaves, stays = before.session(), before.session()
        for client in (leaves, stays):
            client.call(1, SUBSCRIBE, uri=URI)
            for request in before.child.asked(SUBSCRIBE):
                before.child.answer(request, {})
        after = MemoryGateway(store=store)
        after.launcher.hello = None
        after.client(**leaves.headers).call(2, UNSUBSCRIBE, uri=URI)
        after.client(**stays.headers).call(2, "ping")
        (handshake,) = after.child.asked("initialize")
        after.child.answer(handshake, HELLO)
        assert reports(after.child)


class LeavingTests:
    """Sessions that leave while the server is being asked."""

    def test_before_the_answer(self) -> None:
        """The server reports no more when the only session that asked for it left before the answer came."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(1, SUBSCRIBE, uri=URI)
        gateway.client(**client.headers).ask(b"", "DELETE")
        (request,) = gateway.child.asked(SUBSCRIBE)
        gateway.child.answer(request, {})
        assert not reports(gateway.child)

    def test_a_change_meanwhile(self, house: House) -> None:
        """A change of the resource meanwhile is told to no other session, neither before the answer nor after it."""
        one, other = house.session(b"one"), house.session(b"other")
        house.held(other, "weather://elsewhere")
        house.submit(one)
        house.leaves(one)
        assert list(house.all.holders(URI)) == []

    def test_another_asks(self) -> None:
        """A resource is reported to the session that asks for it while the last one that had it leaves."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        had = before.session()
        had.call(1, SUBSCRIBE, uri=URI)
        before.child.answer(before.child.asked(SUBSCRIBE)[0], {})
        after = MemoryGateway(store=store)
        wants = after.session()
        wants.call(1, SUBSCRIBE, uri=URI)
        after.client(**had.headers).call(2, "ping")
        after.client(**had.headers).ask(b"", "DELETE")
        for request in after.child.asked(SUBSCRIBE):
            after.child.answer(request, {})
        assert reports(after.child)


class Road:
    """A shared server that does not answer what it is asked for a resource, and its clients."""

    def __init__(self) -> None:
        self.gateway = MemoryGateway()
        self.one, self.two = self.gateway.session(), self.gateway.session()
        self.one.call("one", SUBSCRIBE, uri=URI)
        self.two.call("two", SUBSCRIBE, uri=URI)

    def other(self, client: Client) -> Client:
        """Another connection of the same session."""
        return self.gateway.client(**client.headers)

    def said(self) -> list[str]:
        """The methods of what the server was told since the handshake."""
        return [each["method"] for each in self.gateway.child.received[2:]]


@pytest.fixture
def road() -> Road:
    """Two clients that wait for the same."""
    return Road()


class MuteTests:
    """A server that never answers a subscription."""

    def test_cancelling(self, road: Road) -> None:
        """A client that does not want to wait any more is answered at once, and the next in the line is asked for."""
        assert len(road.gateway.dispatcher.calls) == 2
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "one"}}
        assert road.other(road.one).ask(note).status == 202
        assert road.one.heard is not None
        assert road.one.heard.json["error"]["code"] == Cancelled.code
        assert road.said() == [SUBSCRIBE, "notifications/cancelled", SUBSCRIBE]
        first, second = road.gateway.child.asked(SUBSCRIBE)
        assert road.gateway.child.received[3]["params"]["requestId"] == first["id"]
        assert road.two.heard is None
        road.gateway.child.answer(second, {})
        assert road.two.heard is not None
        assert road.two.heard.json["result"] == {}
        assert len(road.gateway.dispatcher.calls) == 0

    def test_cancelling_one_that_waits(self, road: Road) -> None:
        """A client that waits for another's outcome can take its request back as well."""
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "two"}}
        road.other(road.two).ask(note)
        assert road.two.heard is not None
        assert road.two.heard.json["error"]["code"] == Cancelled.code
        assert road.one.heard is None
        assert road.said() == [SUBSCRIBE]

    def test_ending(self, road: Road) -> None:
        """The end of a session ends what it waits for, in whichever place of the line."""
        for client, calls in ((road.one, 1), (road.two, 0)):
            assert road.other(client).ask(b"", "DELETE").status == 200
            assert client.heard is not None
            assert "error" in client.heard.json
            assert len(road.gateway.dispatcher.calls) == calls
        assert road.said() == [
            SUBSCRIBE,
            "notifications/cancelled",
            SUBSCRIBE,
            "notifications/cancelled",
            UNSUBSCRIBE,
        ]

    def test_timing_out(self) -> None:
        """A subscription that is not answered in time is refused, and those behind it in the line are, too."""
        gateway = MemoryGateway(timeout_s=5)
        clients = [gateway.session(), gateway.session()]
        for client in clients:
            client.call(1, SUBSCRIBE, uri=URI)
        gateway.tick(7)
        for client in clients:
            assert client.heard is not None
            assert "did not answer" in client.heard.json["error"]["message"]

    def test_while_it_starts(self) -> None:
        """A subscription that waits for the server to start can be taken back, and is then not asked for."""
        gateway = MemoryGateway()
        client = gateway.session()
        gateway.child.exit(1)
        gateway.launcher.hello = None
        client.call(1, SUBSCRIBE, uri=URI)
        gateway.client(**client.headers).ask(b"", "DELETE")
        assert client.heard is not None
        gateway.child.answer(gateway.child.asked("initialize")[0], HELLO)
        assert not reports(gateway.child)


class PortionTests:
    """A new child that has to be asked for many resources."""

    URIS = [f"a:{number:04}" for number in range(3 * PORTION)]

    @pytest.fixture
    def child(self) -> Iterator[MuteChild]:
        """A child that answers nothing."""
        with capturedLogs() as logged:
            yield MuteChild(logged)

    def asks(self, child: MuteChild, *held: str) -> Restoration:
        """Ask the child for all of the resources; those that sessions are subscribed to are given, if any."""
        asked = Restoration("fake", child.ask, lambda uri: not held or uri in held)
        asked.add(self.URIS)
        return asked

    def test_a_portion_at_a_time(self, child: MuteChild) -> None:
        """The child is asked for the next resource when it has answered for one before."""
        self.asks(child)
        assert child.asked == self.URIS[:PORTION]
        child.answer(0)
        child.answer(5)
        assert child.asked == self.URIS[: PORTION + 2]
        for nth in range(len(self.URIS)):
            child.answer(nth)
        assert child.asked == self.URIS
        assert child.lost == []

    def test_what_nobody_wants_any_more(self, child: MuteChild) -> None:
        """The child is not asked for resources that have been given up meanwhile."""
        self.asks(child, *self.URIS[-2:])
        assert child.asked == self.URIS[-2:]

    def test_what_is_refused(self, child: MuteChild) -> None:
        """A refused resource is reported as lost, and the next is asked for."""
        self.asks(child)
        child.answer(0, jsonrpc.error(Raw(b"1"), GatewayError("no")))
        child.fail(1, BadReply("nonsense"))
        assert child.lost == [(self.URIS[0], "no"), (self.URIS[1], "nonsense")]
        assert len(child.asked) == PORTION + 2

    def test_a_child_that_is_full(self, child: MuteChild) -> None:
        """A child that is full is asked again a moment later, for all that it did not take."""
        child.is_full = True
        asked = self.asks(child)
        assert child.asked == []
        asked.tick()
        assert child.asked == []
        child.is_full = False
        asked.tick()
        assert child.asked == self.URIS[:PORTION]
        assert child.lost == []

    def test_a_child_that_ends(self, child: MuteChild) -> None:
        """A child that ends loses no resource: the next one is asked for all of them."""
        asked = self.asks(child)
        for nth in range(PORTION):
            child.fail(nth, GONE)
        asked.tick()
        assert child.asked == self.URIS[:PORTION]
        assert child.lost == []

    def test_after_a_respawn(self) -> None:
        """A child that takes the place of another is asked for as much as it answers."""
        gateway = MemoryGateway()
        client = gateway.session()
        for number, uri in enumerate(self.URIS):
            client.call(number, SUBSCRIBE, uri=uri)
            gateway.child.answer(gateway.child.asked(SUBSCRIBE)[-1], {})
        gateway.child.exit(1)
        client.call(0)
        for nth in range(len(self.URIS)):
            assert len(gateway.child.asked(SUBSCRIBE)) == min(PORTION + nth, len(self.URIS))
            gateway.child.answer(gateway.child.asked(SUBSCRIBE)[nth], {})
        assert {each["params"]["uri"] for each in gateway.child.asked(SUBSCRIBE)} == set(self.URIS)


class OnBehalfTests:
    """A request at the server for a client is that client's own."""

    def test_unknown_members(self) -> None:
        """Unknown members are passed on, and progress comes back under the client's token."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(7, SUBSCRIBE, uri=URI, more=[1.5], _meta={"x/y": 1, "progressToken": "mine"})
        (request,) = gateway.child.asked(SUBSCRIBE)
        token = request["id"]
        assert request["params"] == {
            "uri": URI,
            "more": [1.5],
            "_meta": {"x/y": 1, "progressToken": token},
        }
        params = {"progressToken": token, "progress": 1}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        gateway.child.answer(request, {"more": 1})
        assert client.heard is not None
        progress, answer = client.heard.events
        assert progress["params"]["progressToken"] == "mine"
        assert answer == {"jsonrpc": "2.0", "id": 7, "result": {"more": 1}}

    def test_an_update_before_the_answer(self) -> None:
        """An update before the answer reaches the session that asks, and none subscribed to another resource."""
        gateway = MemoryGateway()
        one, other = gateway.session(), gateway.session()
        other.call(1, SUBSCRIBE, uri="weather://")
        gateway.child.answer(gateway.child.asked(SUBSCRIBE)[0], {})
        ears, others = gateway.listen(one), gateway.listen(other)
        one.call(1, SUBSCRIBE, uri=URI)
        updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": URI}}
        gateway.child.say(updated)
        assert ears.heard is not None
        assert others.heard is not None
        assert (ears.heard.events, others.heard.events) == ([updated], [])
