"""Sessions that outlive the gateway, their child, and long silence."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.interfaces import ISessionStore
from mcpgateway.policy.reaping import IDLE_TICKS, OWNED_IDLE_TICKS
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import HELLO, Client, MemoryGateway

CAPABILITIES = {"roots": {"listChanged": True}, "elicitation": {}}
HELLO_WITH_SUBSCRIPTIONS = {
    **HELLO,
    "capabilities": {**HELLO["capabilities"], "resources": {"subscribe": True, "listChanged": True}},
}
LISTS = [f"notifications/{kind}/list_changed" for kind in ("tools", "resources")]


@pytest.fixture
def store() -> ISessionStore:
    """The records, which outlive each gateway of a test."""
    return Journal(":memory:", lambda: 1_700_000_000.0)


def begun(store: ISessionStore, limits: Limits | None = None) -> MemoryGateway:
    """A gateway with these records: the first of its kind, or one that was started again."""
    gateway = MemoryGateway(store=store, limits=limits)
    gateway.launcher.hello = HELLO_WITH_SUBSCRIPTIONS
    return gateway


def session(gateway: MemoryGateway, server: str = "shared", **headers: str) -> Client:
    """A session whose client offers something."""
    client = gateway.client(server, **{name.replace("_", "-"): value for name, value in headers.items()})
    client.initialize(protocolVersion="2025-11-25", capabilities=CAPABILITIES, clientInfo={"name": "c"})
    return client


def same(gateway: MemoryGateway, client: Client) -> Client:
    """The same client, with its old id, at another gateway."""
    again = gateway.client(**client.headers)
    again.path = client.path
    return again


def methods(client: Client) -> list[Any]:
    """The methods of the events that have come."""
    assert client.heard is not None
    return [event.get("method") for event in client.heard.events]


def ping(client: Client) -> int:
    """The status of a request of the session."""
    return client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status


class RestartTests:
    """A gateway that was killed, or stopped, and begun again."""

    @pytest.mark.parametrize("server", ["shared", "own"])
    def test_an_id_just_works(self, store: ISessionStore, server: str) -> None:
        """A call with the old id starts the child, gives it its handshake, and is answered; twice is once."""
        one = session(begun(store), server)
        gateway = begun(store)
        again = same(gateway, one)
        for nth in range(2):
            again.call(nth)
            request = gateway.child.asked("tools/call")[nth]
            gateway.child.answer(request, {"nth": nth})
            assert again.heard is not None
            assert again.heard.json["result"] == {"nth": nth}
        assert len(gateway.launcher.children) == 1
        assert len(gateway.child.asked("initialize")) == 1
        assert len(gateway.child.asked("notifications/initialized")) == 1

    def test_who_the_client_is(self, store: ISessionStore) -> None:
        """A child of its own is told again what its client said at ``initialize``; a shared one as always."""
        first = begun(store)
        own, shared = session(first, "own"), session(first)
        before = [child.asked("initialize")[0]["params"] for child in first.launcher.children]
        gateway = begun(store)
        for client in (own, shared):
            same(gateway, client).call(1)
        after = [child.asked("initialize")[0]["params"] for child in gateway.launcher.children]
        assert after == before
        assert after[0]["capabilities"] == CAPABILITIES

    def test_what_the_server_asks(self, store: ISessionStore) -> None:
        """Questions go on too: the capabilities that decide about them are on record."""
        one = session(begun(store), "own")
        gateway = begun(store)
        ears = gateway.listen(same(gateway, one))
        gateway.child.say({"jsonrpc": "2.0", "id": 5, "method": "roots/list"})
        gateway.child.say({"jsonrpc": "2.0", "id": 6, "method": "sampling/createMessage", "params": {}})
        (question,) = [event for event in ears.heard.events if "id" in event]  # type: ignore[union-attr]
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
        assert same(gateway, one).ask(answer).status == 202
        assert {**answer, "id": 5} in gateway.child.received
        assert [each["id"] for each in gateway.child.received if "error" in each] == [6]

    def test_levels(self, store: ISessionStore) -> None:
        """The level is given to the new child, and decides again what each session is told."""
        first = begun(store)
        one, two = session(first), session(first)
        one.call(1, "logging/setLevel", level="debug")
        two.call(1, "logging/setLevel", level="error")
        gateway = begun(store)
        ears = [gateway.listen(same(gateway, each)) for each in (one, two)]
        assert gateway.child.asked("logging/setLevel")[-1]["params"] == {"level": "debug"}
        message = {"level": "info", "data": "x"}
        gateway.child.say({"jsonrpc": "2.0", "method": "notifications/message", "params": message})
        assert ["notifications/message" in methods(each) for each in ears] == [True, False]

    def test_subscriptions(self, store: ISessionStore) -> None:
        """Resources are subscribed to again, once each, and updates find who had asked; what was given up stays so."""
        first = begun(store)
        one, two = session(first), session(first)
        for client, uri in ((one, "x:1"), (two, "x:1"), (two, "x:2"), (two, "x:3")):
            client.call(1, "resources/subscribe", uri=uri)
            for asked in first.child.asked("resources/subscribe"):
                first.child.answer(asked, {})
        two.call(2, "resources/unsubscribe", uri="x:3")
        gateway = begun(store)
        ears = [gateway.listen(same(gateway, each)) for each in (one, two)]
        asked = [each["params"]["uri"] for each in gateway.child.asked("resources/subscribe")]
        assert sorted(asked) == ["x:1", "x:2"]
        for uri in ("x:1", "x:2"):
            gateway.child.say(
                {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}}
            )
        told = [methods(each).count("notifications/resources/updated") for each in ears]
        assert told == [1, 2]

    def test_lists_may_have_changed(self, store: ISessionStore) -> None:
        """A session that is back hears once, on its GET stream, that the lists that can change may have changed."""
        one, two = (session(first := begun(store)), session(first))
        gateway = begun(store)
        ears = gateway.listen(same(gateway, one))
        assert methods(ears) == LISTS
        assert methods(gateway.listen(same(gateway, two))) == LISTS
        assert methods(gateway.listen(same(gateway, one))) == []

    def test_a_new_session_is_told_nothing(self, store: ISessionStore) -> None:
        """A session that begins at the new gateway has the new lists anyway."""
        session(begun(store))
        gateway = begun(store)
        assert methods(gateway.listen(session(gateway))) == []

    def test_a_stream_from_before(self, store: ISessionStore) -> None:
        """A client that waits on its call's stream learns that the answer is lost; the standing stream goes on."""
        first = begun(store)
        one = session(first)
        ears = first.listen(one)
        one.call(7)
        first.tick(31)
        places = [each.transport.taken.split(b"id: ")[-1].split(b"\n")[0].decode() for each in (one, ears)]
        gateway = begun(store)
        lost, standing = [gateway.listen(same(gateway, one), Last_Event_ID=each) for each in places]
        assert lost.heard is not None
        (event,) = lost.heard.events
        assert event["id"] == 7
        assert "the gateway was restarted" in event["error"]["message"]
        assert lost.transport.taken.endswith(b"0\r\n\r\n")
        assert methods(standing) == LISTS

    def test_an_owner(self, store: ISessionStore) -> None:
        """The owner of a session is on record."""
        one = session(begun(store), X_Client_Pid="77")
        gateway = begun(store)
        assert ping(same(gateway, one)) == 200
        assert [each.id.decode() for each in gateway.sessions.owned_by(77)] == [one.headers["Mcp-Session-Id"]]

    def test_many_times(self, store: ISessionStore) -> None:
        """A session that was restored is restored the next time too."""
        one = session(begun(store), "own")
        one.call(1, "logging/setLevel", level="debug")
        for _ in range(3):
            gateway = begun(store)
            same(gateway, one).call(2)
            assert gateway.child.asked("initialize")[0]["params"]["capabilities"] == CAPABILITIES
            assert gateway.child.asked("logging/setLevel")[0]["params"] == {"level": "debug"}

    def test_without_a_record(self, store: ISessionStore) -> None:
        """Where the records are lost the signed id is enough for a session, though not for what it had said."""
        one = session(begun(store), "own")
        gateway = begun(Journal(":memory:", lambda: 1_700_000_000.0))
        again = same(gateway, one)
        again.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"fine": True})
        assert again.heard is not None
        assert again.heard.json["result"] == {"fine": True}
        assert gateway.child.asked("initialize")[0]["params"]["capabilities"] == {}


class TombstoneTests:
    """Ids that are good no more."""

    def test_deleted(self, store: ISessionStore) -> None:
        """A session that was ended stays so: a signature alone does not revive it."""
        first = begun(store)
        one, two = session(first), session(first)
        first.dispatcher.end_named(two.headers["Mcp-Session-Id"].encode())
        assert one.ask(b"", "DELETE").status == 200
        for gateway in (first, begun(store), begun(store)):
            for client in (one, two):
                again = same(gateway, client)
                assert ping(again) == 404
                assert again.ask(b"", "DELETE").status == 404
                assert gateway.listen(again).heard.status == 404  # type: ignore[union-attr]

    def test_deleted_while_not_in_use(self, store: ISessionStore) -> None:
        """DELETE needs no child."""
        one, two = (session(first := begun(store)), session(first))
        gateway = begun(store)
        assert same(gateway, one).ask(b"", "DELETE").status == 200
        gateway.dispatcher.end_named(two.headers["Mcp-Session-Id"].encode())
        assert gateway.launcher.children == []
        assert [ping(same(gateway, each)) for each in (one, two)] == [404, 404]

    def test_not_for_others(self, store: ISessionStore) -> None:
        """The id of an ended session finds nothing for another principal, another server, or altered, after a
        restart too.
        """
        first = begun(store)
        one = session(first)
        identifier = one.headers["Mcp-Session-Id"]
        for gateway in (first, begun(store)):
            stranger = same(gateway, one)
            stranger.headers["Authorization"] = "Bearer bearer-token"
            assert ping(stranger) == 404
            assert stranger.ask(b"", "DELETE").status == 404
            elsewhere = same(gateway, one)
            elsewhere.path = "/own/mcp"
            assert ping(elsewhere) == 404
            altered = same(gateway, one)
            for at in (0, 10, 40, len(identifier) - 1):
                other = "A" if identifier[at] != "A" else "B"
                altered.headers["Mcp-Session-Id"] = identifier[:at] + other + identifier[at + 1 :]
                assert ping(altered) == 404
            assert ping(same(gateway, one)) == 200

    def test_a_failed_beginning(self, store: ISessionStore) -> None:
        """The id of a session whose server could not be started is worth nothing."""
        gateway = begun(store)
        gateway.launcher.refuses = True
        client = gateway.client("own")
        assert "error" in client.initialize(protocolVersion="2025-11-25").json
        assert "Mcp-Session-Id" not in client.headers
        assert len(gateway.sessions) == 0

    def test_while_stopping(self, store: ISessionStore) -> None:
        """A stopping gateway brings nobody back; the next one does."""
        one = session(begun(store))
        gateway = begun(store)
        gateway.dispatcher.is_open = False
        answer = same(gateway, one).ask({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert "stopping" in answer.json["error"]["message"]
        assert ping(same(begun(store), one)) == 200


class PutAsideTests:
    """Sessions that give back what they hold, and come back when they are used."""

    def test_silence(self, store: ISessionStore) -> None:
        """After half an hour its child goes, and its buffers; its id brings both back."""
        gateway = begun(store)
        one = session(gateway, "own")
        one.call(1, "logging/setLevel", level="debug")
        gateway.child.answer(gateway.child.asked("logging/setLevel")[0], {})
        hush = gateway.listen(one)
        hush.channel.connectionLost(None)  # type: ignore[arg-type]
        child = gateway.child
        reaper = gateway.reaper
        gateway.sessions.now += IDLE_TICKS - 1
        assert reaper.look_around() == 0
        gateway.sessions.now += 1
        assert reaper.look_around() == 1
        assert (len(gateway.sessions), len(gateway.dispatcher.calls)) == (0, 0)
        again = same(gateway, one)
        again.call(2)
        assert gateway.child is not child
        assert gateway.child.asked("initialize") == child.asked("initialize")
        assert gateway.child.asked("logging/setLevel")[0]["params"] == {"level": "debug"}
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert methods(gateway.listen(again)) == LISTS

    def test_never_idle(self, store: ISessionStore) -> None:
        """An open stream and a call under way keep a session, however long; when they end the time begins."""
        gateway = begun(store)
        listening, calling = session(gateway), session(gateway)
        ears = gateway.listen(listening)
        calling.call(1)
        reaper = gateway.reaper
        gateway.sessions.now += 10 * IDLE_TICKS
        assert reaper.look_around() == 0
        ears.channel.connectionLost(None)  # type: ignore[arg-type]
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.sessions.now += IDLE_TICKS - 1
        assert reaper.look_around() == 0
        gateway.sessions.now += 1
        assert reaper.look_around() == 2

    def test_with_an_owner(self, store: ISessionStore) -> None:
        """A day, and what happens in one session of an owner counts for all of them."""
        gateway = begun(store)
        one, two = (session(gateway, X_Client_Pid="77") for _ in range(2))
        stranger = session(gateway, X_Client_Pid="78")
        reaper = gateway.reaper
        gateway.sessions.now += OWNED_IDLE_TICKS - 1
        assert reaper.look_around() == 0
        assert ping(one) == 200
        gateway.sessions.now += 1
        assert reaper.look_around() == 1
        assert len(gateway.sessions.owned_by(77)) == 2
        assert gateway.sessions.owned_by(78) == []
        assert [ping(each) for each in (two, stranger)] == [200, 200]

    def test_a_dead_owner(self, store: ISessionStore) -> None:
        """The sessions of a dead owner give back their children, and end their streams; no others do."""
        gateway = begun(store)
        one, other = session(gateway, "own", X_Client_Pid="77"), session(gateway, "own", X_Client_Pid="78")
        ears = gateway.listen(one)
        gateway.processes.dead.add(77)
        assert gateway.reaper.look_around() == 1
        assert ears.transport.taken.endswith(b"0\r\n\r\n")
        assert [each.owner for each in gateway.sessions] == [78]
        assert ping(other) == 200

    def test_making_room(self, store: ISessionStore) -> None:
        """The session that has been silent for longest gives way to a new one, and comes back in its turn."""
        gateway = begun(store, Limits(sessions=2))
        one, two, three = (session(gateway) for _ in range(3))
        assert len(gateway.sessions) == 2
        assert [ping(each) for each in (one, two, three)] == [200, 200, 200]
        assert len(gateway.sessions) == 2

    def test_those_at_work_stay(self, store: ISessionStore) -> None:
        """A session with a call under way, or an open stream, makes room only when all others have one too."""
        gateway = begun(store, Limits(sessions=3))
        calling, listening, silent = (session(gateway) for _ in range(3))
        calling.call(1)
        gateway.listen(listening)
        gateway.sessions.now += 5
        assert ping(silent) == 200
        session(gateway)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"fine": True})
        assert calling.heard is not None
        assert calling.heard.json["result"] == {"fine": True}
        assert silent.headers["Mcp-Session-Id"].encode() not in {each.id for each in gateway.sessions}

    def test_a_call_of_a_session_put_aside(self, store: ISessionStore) -> None:
        """A call of such a session is answered with an error that says what happened, not left hanging."""
        gateway = begun(store, Limits(sessions=1))
        one = session(gateway)
        one.call(1)
        session(gateway)
        assert one.heard is not None
        assert "put aside" in one.heard.json["error"]["message"]


class NewChildTests:
    """A child that was lost."""

    def test_levels_subscriptions_and_lists(self, store: ISessionStore) -> None:
        """The successor of a child is brought to where it was, and each session is told once that the lists
        may have changed.
        """
        gateway = begun(store)
        one, two = session(gateway), session(gateway)
        one.call(1, "logging/setLevel", level="warning")
        two.call(1, "resources/subscribe", uri="x:1")
        gateway.child.answer(gateway.child.asked("resources/subscribe")[0], {})
        two.call(1, "logging/setLevel", level="error")
        ears = [gateway.listen(each) for each in (one, two)]
        first = gateway.child
        first.exit(1)
        gateway.tick(120)
        assert gateway.child is not first
        assert gateway.child.asked("logging/setLevel")[0]["params"] == {"level": "warning"}
        assert gateway.child.asked("resources/subscribe")[0]["params"] == {"uri": "x:1"}
        assert [methods(each) for each in ears] == [LISTS, LISTS]
