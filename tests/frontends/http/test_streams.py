"""The ways back to a client: the answer to a POST, the standing stream of GET, and how a broken one goes on."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.frontends.http.streams import HEARTBEAT_TICKS, PATIENCE_TICKS
from mcpgateway.hub.replay import EVENTS_LIMIT, KEPT_TICKS
from mcpgateway.policy.progress import PATIENCE_TICKS as LIFE_TICKS
from mcpgateway.policy.progress import SILENT_TICKS
from mcpgateway.protocol import sse
from tests.support.doors import MemoryTransport
from tests.support.gateway_in_memory import Client, MemoryGateway

CHANGED = "notifications/tools/list_changed"
END = b"0\r\n\r\n"  # of a chunked body


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def session(gateway: MemoryGateway, revision: str = "2025-11-25", server: str = "shared") -> Client:
    """A session of a revision; from 2025-11-25 on its client can resume."""
    client = gateway.client(server)
    client.initialize(protocolVersion=revision)
    return client


def note(method: str, **params: Any) -> dict[str, Any]:
    """A notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def progress(request: dict[str, Any], value: int) -> dict[str, Any]:
    """Progress of a call."""
    token = request["params"]["_meta"]["progressToken"]
    return note("notifications/progress", progressToken=token, progress=value)


def raw(client: Client) -> bytes:
    """The bytes that have come on a connection since its last request."""
    return client.transport.taken


def last_id(client: Client) -> str:
    """The id of the last event that has come."""
    return raw(client).split(b"id: ")[-1].split(b"\n")[0].decode()


def said(client: Client) -> list[Any]:
    """The events that have come: methods of notifications, results and errors of answers."""
    assert client.heard is not None
    return [
        each.get("method") or each.get("result") or each["error"]["message"] for each in client.heard.events
    ]


def hang_up(client: Client) -> None:
    """The client's connection breaks."""
    client.channel.connectionLost(None)  # type: ignore[arg-type]


def called(gateway: MemoryGateway, client: Client) -> dict[str, Any]:
    """Begin a call that has told its progress once, so that its answer is a stream; what the child received."""
    client.call(7, _meta={"progressToken": "p"})
    request: dict[str, Any] = gateway.child.asked("tools/call")[-1]
    gateway.child.say(progress(request, 1))
    return request


class StandingTests:
    """The stream of a GET."""

    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
    def test_it_opens_at_once(self, gateway: MemoryGateway, revision: str) -> None:
        """The head and a first line leave before there is anything to say, for those who wait for either."""
        ears = gateway.listen(session(gateway, revision))
        assert ears.heard is not None
        assert (ears.heard.status, ears.heard.headers["content-type"]) == (200, "text/event-stream")
        assert ears.heard.body
        assert ears.heard.events == []

    def test_before_initialized(self, gateway: MemoryGateway) -> None:
        """VS Code opens it before it says ``notifications/initialized``, and never names its version."""
        client = session(gateway)
        ears = gateway.listen(client)
        assert client.ask(note("notifications/initialized")).status == 202
        gateway.child.say(note(CHANGED))
        assert said(ears) == [CHANGED]

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Accept": "application/json"}, 406),
            ({"Accept": "text/event-stream", "Mcp-Session-Id": ""}, 400),
            ({"Accept": "text/event-stream", "Mcp-Session-Id": "made-up"}, 404),
            ({"Accept": "text/event-stream", "MCP-Protocol-Version": "1999-01-01"}, 400),
            ({"Accept": "text/event-stream", "Last-Event-ID": "made up"}, 400),
        ],
    )
    def test_refusals(self, gateway: MemoryGateway, headers: dict[str, str], status: int) -> None:
        """A refused GET gets the SDKs' status and a JSON-RPC error."""
        client = session(gateway)
        answer = client.ask(b"", "GET", **headers)
        assert answer.status == status
        assert answer.json["error"]["message"]

    def test_another_principal(self, gateway: MemoryGateway) -> None:
        """A session is not even there for somebody else."""
        client = session(gateway)
        ears = gateway.listen(client, Authorization="Bearer bearer-token")
        assert ears.heard is not None
        assert ears.heard.status == 404

    def test_a_new_one_replaces_the_old(self, gateway: MemoryGateway) -> None:
        """The old one ends in order, and each message is on exactly one of them."""
        client = session(gateway)
        old = gateway.listen(client)
        gateway.child.say(note(CHANGED))
        new = gateway.listen(client)
        gateway.child.say(note("notifications/prompts/list_changed"))
        assert (said(old), said(new)) == ([CHANGED], ["notifications/prompts/list_changed"])
        assert raw(old).endswith(END)
        assert not raw(new).endswith(END)

    def test_the_old_ones_end_leaves_the_new_one(self, gateway: MemoryGateway) -> None:
        """A connection that breaks after it was replaced takes nothing with it."""
        client = session(gateway)
        old, new = gateway.listen(client), gateway.listen(client)
        hang_up(old)
        gateway.child.say(note(CHANGED))
        assert said(new) == [CHANGED]

    def test_what_comes_while_none_is_open(self, gateway: MemoryGateway) -> None:
        """A notification that comes while no stream is open is kept, the same one once, and sent when one is."""
        client = session(gateway, "2025-06-18")
        hang_up(gateway.listen(client))
        for _ in range(3):
            gateway.child.say(note(CHANGED))
        gateway.child.say(note("notifications/message", level="error", data="x"))
        gateway.child.say(note("notifications/message", level="error", data="x"))
        assert said(gateway.listen(client)) == [CHANGED, *["notifications/message"] * 2]
        assert said(gateway.listen(client)) == []

    def test_heartbeats(self, gateway: MemoryGateway) -> None:
        """A comment shows that a silent stream lives; no event does."""
        ears = gateway.listen(session(gateway))
        gateway.tick(2 * HEARTBEAT_TICKS)
        assert raw(ears).count(sse.PING) == 2
        assert said(ears) == []

    def test_many_are_not_looked_after_at_once(self, gateway: MemoryGateway) -> None:
        """Streams that were opened at different times get their comments at different times."""
        listening = []
        for _ in range(HEARTBEAT_TICKS):
            listening.append(gateway.listen(session(gateway)))
            gateway.tick()
        before = [raw(each).count(sse.PING) for each in listening]
        gateway.tick()
        assert sum(raw(each).count(sse.PING) for each in listening) - sum(before) == 1

    def test_delete_ends_it(self, gateway: MemoryGateway) -> None:
        """Codex waits for the end of its stream after DELETE."""
        client = session(gateway)
        ears = gateway.listen(client)
        assert client.ask(b"", "DELETE").status == 200
        assert raw(ears).endswith(END)
        assert len(gateway.door.streams) == 0

    def test_a_stopping_gateway_ends_it(self, gateway: MemoryGateway) -> None:
        """And each other; those that are open are counted."""
        listening = [gateway.listen(session(gateway)) for _ in range(3)]
        assert len(gateway.door.streams) == 3
        gateway.door.streams.close()
        assert all(raw(each).endswith(END) for each in listening)
        assert len(gateway.door.streams) == 0

    def test_being_put_aside_ends_it(self, gateway: MemoryGateway) -> None:
        """A client whose session made room for others learns that its stream has ended."""
        gateway = MemoryGateway(limits=Limits(sessions=2))
        ears = [gateway.listen(session(gateway)) for _ in range(3)]
        assert [raw(each).endswith(END) for each in ears] == [True, False, False]

    def test_a_connection_is_used_again(self, gateway: MemoryGateway) -> None:
        """After its end, other requests may come on the same connection."""
        client = session(gateway)
        ears = gateway.listen(client)
        gateway.listen(client)
        assert ears.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).json["result"] == {}

    def test_a_slow_reader(self, gateway: MemoryGateway) -> None:
        """A client that does not read is cut off; the messages it missed are kept, as far as there is room."""
        client, other = session(gateway, "2025-06-18"), session(gateway, "2025-06-18")
        ears = gateway.client(**client.headers)
        ears.transport.reads = False
        ears.send(b"", "GET", Accept="text/event-stream")
        listener = gateway.listen(other)
        for nth in range(100):
            gateway.child.say(note("notifications/message", level="error", data=f"{nth:03}" + "x" * 100_000))
        assert ears.transport.is_aborted
        assert len(ears.transport.queued) < 200_000
        hang_up(ears)
        assert len(said(listener)) == 100
        later = gateway.listen(client)
        assert later.heard is not None
        kept = [event["params"]["data"][:3] for event in later.heard.events]
        assert kept == [f"{nth:03}" for nth in range(100 - len(kept), 100)]
        assert 5 < len(kept) < 20


class WaitingTests:
    """The answer to a POST."""

    def test_patience(self, gateway: MemoryGateway) -> None:
        """Before Claude Code's 60 s are over the head of a stream has left, and comments follow it."""
        client = session(gateway)
        client.call(1)
        gateway.tick(PATIENCE_TICKS - 1)
        assert client.heard is None
        gateway.tick()
        assert client.heard is not None
        assert client.heard.headers["content-type"] == "text/event-stream"
        gateway.tick(2 * HEARTBEAT_TICKS)
        assert raw(client).count(sse.PING) == 3
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"slow": True})
        assert said(client) == [{"slow": True}]
        assert raw(client).endswith(END)

    def test_each_message_on_one_stream(self, gateway: MemoryGateway) -> None:
        """A message that belongs to a call comes on the call's stream, others on GET, none on both."""
        client = session(gateway)
        ears = gateway.listen(client)
        request = called(gateway, client)
        gateway.child.say(note(CHANGED))
        gateway.child.answer(request, {"done": True})
        assert said(client) == ["notifications/progress", {"done": True}]
        assert said(ears) == [CHANGED]


class SignsOfLifeTests:
    """Calls that are silent for longer than Claude Code bears over HTTP."""

    def silent(self, gateway: MemoryGateway, client: Client, *, token: Any = "p") -> dict[str, Any]:
        """Begin a call; what the child received."""
        client.call(1, **({} if token is None else {"_meta": {"progressToken": token}}))
        request: dict[str, Any] = gateway.child.asked("tools/call")[-1]
        return request

    def reported(self, client: Client) -> list[Any]:
        """The progress a client was told of."""
        assert client.heard is not None
        events = [each["params"] for each in client.heard.events if "params" in each]
        assert {each["progressToken"] for each in events} <= {"p", 7}
        return [each["progress"] for each in events]

    @pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
    def test_a_server_without_progress(self, gateway: MemoryGateway, revision: str) -> None:
        """The client hears every two minutes that the call lives, with values below any that a server begins with."""
        one, two = session(gateway, revision), session(gateway, revision)
        request = self.silent(gateway, one)
        self.silent(gateway, two, token=7)
        gateway.tick(PATIENCE_TICKS + 3 * SILENT_TICKS)
        gateway.child.say(progress(request, 0))
        for client, count in ((one, 4), (two, 3)):
            values = self.reported(client)
            assert len(values) == count
            assert values == sorted(set(values))
        gateway.child.answer(request, {"done": True})
        assert said(one)[-1] == {"done": True}

    def test_between_the_servers_own(self, gateway: MemoryGateway) -> None:
        """The server's values stay in order, and what else it said of them is said again."""
        client = session(gateway)
        request = self.silent(gateway, client)
        for value in (0, 1, 2):
            message = progress(request, value)
            message["params"] |= {"total": 3, "message": "reading"}
            gateway.child.say(message)
            gateway.tick(2 * SILENT_TICKS)
        values = self.reported(client)
        assert len(values) == 9
        assert values == sorted(set(values))
        assert client.heard is not None
        assert {(each["params"]["total"], each["params"]["message"]) for each in client.heard.events} == {
            (3, "reading")
        }

    def test_busy_servers(self, gateway: MemoryGateway) -> None:
        """The gateway adds no progress to a busy server's own; log messages do not count as progress."""
        client = session(gateway)
        request = self.silent(gateway, client)
        for value in range(5):
            gateway.child.say(progress(request, value))
            gateway.tick(SILENT_TICKS - 1)
        assert self.reported(client) == [0, 1, 2, 3, 4]
        gateway.child.say(note("notifications/message", level="error", data="x"))
        gateway.tick()
        assert len([each for each in said(client) if each == "notifications/progress"]) == 6

    def test_no_longer_than_on_stdio(self, gateway: MemoryGateway) -> None:
        """After half an hour it is the client's own matter."""
        client = session(gateway)
        self.silent(gateway, client)
        gateway.tick(60 * 60)
        assert len(self.reported(client)) == LIFE_TICKS // SILENT_TICKS

    @pytest.mark.parametrize("value", ["much", None, [1]])
    def test_progress_that_is_no_number(self, gateway: MemoryGateway, value: Any) -> None:
        """A progress that is no number cannot be continued, and is left alone."""
        client = session(gateway)
        request = self.silent(gateway, client)
        gateway.child.say(progress(request, value))
        gateway.tick(2 * SILENT_TICKS)
        assert self.reported(client) == [value]

    def test_who_did_not_ask(self, gateway: MemoryGateway) -> None:
        """A client that gave no token gets comments only."""
        client = session(gateway)
        self.silent(gateway, client, token=None)
        gateway.tick(5 * SILENT_TICKS)
        assert said(client) == []

    def test_nothing_to_come_back_for(self, gateway: MemoryGateway) -> None:
        """The gateway's signs of life have no event ids, and are not kept."""
        client = session(gateway)
        self.silent(gateway, client)
        gateway.tick(PATIENCE_TICKS)
        place = last_id(client)
        gateway.tick(2 * SILENT_TICKS)
        assert last_id(client) == place
        again = gateway.listen(client, Last_Event_ID=place)
        assert said(again) == []


class ResumptionTests:
    """``Last-Event-ID``."""

    def test_the_answer_of_a_broken_call(self, gateway: MemoryGateway) -> None:
        """The call goes on without its client, which then gets what it has missed: all of it, once, in order."""
        client = session(gateway)
        request = called(gateway, client)
        place = last_id(client)
        hang_up(client)
        gateway.child.say(progress(request, 2))
        gateway.child.answer(request, {"done": True})
        again = gateway.listen(client, Last_Event_ID=place)
        assert said(again) == ["notifications/progress", {"done": True}]
        assert raw(again).endswith(END)
        assert gateway.listen(client, Last_Event_ID=last_id(again)).heard.status == 204  # type: ignore[union-attr]

    def test_coming_back_in_mid_call(self, gateway: MemoryGateway) -> None:
        """The stream goes on where it was, and on the standing stream nothing of it is told."""
        client = session(gateway)
        request = called(gateway, client)
        hang_up(client)
        ears = gateway.listen(client)
        again = gateway.listen(client, Last_Event_ID=last_id(client))
        gateway.child.say(progress(request, 2))
        gateway.tick(HEARTBEAT_TICKS)
        gateway.child.answer(request, {"done": True})
        assert said(again) == ["notifications/progress", {"done": True}]
        assert raw(again).count(sse.PING) == 2
        assert said(ears) == []

    def test_twice(self, gateway: MemoryGateway) -> None:
        """The last connection carries the stream on; the one before ends, even while it is open."""
        client = session(gateway)
        request = called(gateway, client)
        first = gateway.listen(client, Last_Event_ID=last_id(client))
        assert raw(client).endswith(END)
        second = gateway.listen(client, Last_Event_ID=last_id(client))
        assert raw(first).endswith(END)
        hang_up(second)
        gateway.child.answer(request, {"done": True})
        third = gateway.listen(client, Last_Event_ID=last_id(client))
        assert said(third) == [{"done": True}]

    def test_from_the_first_event_on(self, gateway: MemoryGateway) -> None:
        """The primer's id is enough to get everything."""
        client = session(gateway)
        request = called(gateway, client)
        primer = raw(client).split(b"id: ")[1].split(b"\n")[0].decode()
        gateway.child.answer(request, {"done": True})
        again = gateway.listen(client, Last_Event_ID=primer)
        assert said(again) == ["notifications/progress", {"done": True}]

    def test_the_standing_stream(self, gateway: MemoryGateway) -> None:
        """A client gets again the events after the one it names, then those that have waited since, and no others."""
        client = session(gateway)
        ears = gateway.listen(client)
        gateway.child.say(note(CHANGED))
        place = last_id(ears)
        gateway.child.say(note("notifications/prompts/list_changed"))  # lost on the way
        hang_up(ears)
        gateway.child.say(note("notifications/resources/list_changed"))
        again = gateway.listen(client, Last_Event_ID=place)
        lists = ["notifications/prompts/list_changed", "notifications/resources/list_changed"]
        assert said(again) == lists
        assert said(gateway.listen(client, Last_Event_ID=last_id(again))) == []

    def test_nobody_elses(self, gateway: MemoryGateway) -> None:
        """An event's id of another session gives nothing of it."""
        one, two = session(gateway), session(gateway)
        request = called(gateway, one)
        hang_up(one)
        gateway.child.answer(request, {"secret": True})
        stranger = gateway.listen(two, Last_Event_ID=last_id(one))
        assert said(stranger) == ["the answer is lost: " + said(stranger)[0].split(": ", 1)[1]]
        assert b"secret" not in raw(stranger)
        assert said(gateway.listen(one, Last_Event_ID=last_id(one))) == [{"secret": True}]

    def test_an_answer_that_is_kept_no_more(self, gateway: MemoryGateway) -> None:
        """The request of a lost answer gets an error at least, so that no client waits for ever; GET goes on."""
        client = session(gateway)
        ears = gateway.listen(client)
        request = called(gateway, client)
        place = last_id(client)
        hang_up(client)
        gateway.child.answer(request, {"done": True})
        gateway.tick(KEPT_TICKS + 1)
        called(
            gateway, gateway_client := gateway.client(**client.headers)
        )  # a new stream clears old ones away
        again = gateway.listen(client, Last_Event_ID=place)
        assert again.heard is not None
        (event,) = again.heard.events
        assert (event["id"], event["error"]["code"]) == (7, -32603)
        assert raw(again).endswith(END)
        assert not raw(ears).endswith(END)
        assert said(gateway_client) == ["notifications/progress"]

    @pytest.mark.parametrize(("length", "status"), [(300, 200), (1000, 400)])
    def test_a_long_request_id(self, gateway: MemoryGateway, length: int, status: int) -> None:
        """A client whose request has a very long id is answered too: by a refusal, where the id is too long."""
        client = session(gateway)
        client.call("x" * length)
        gateway.child.say(note("notifications/message"))
        place = last_id(client)
        hang_up(client)
        (found,) = gateway.sessions
        gateway.dispatcher.park(found, "a test")
        again = gateway.listen(client, Last_Event_ID=place).heard
        assert again is not None
        assert again.status == status
        said_why = again.events[0] if status == 200 else again.json
        assert "the answer is lost" in said_why["error"]["message"]
        assert said_why["id"] == ("x" * length if status == 200 else None)

    def test_no_last_event(self, gateway: MemoryGateway) -> None:
        """An empty ``Last-Event-ID`` names none (WHATWG HTML section 9.2), so it is a GET like any other."""
        client = session(gateway)
        ears = gateway.client(**client.headers)
        head = f"GET /shared/mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {client.headers['Mcp-Session-Id']}\r\n"
        ears.channel.dataReceived(f"{head}Accept: text/event-stream\r\nLast-Event-ID: \r\n\r\n".encode())
        gateway.child.say(note(CHANGED))
        assert said(ears) == [CHANGED]

    def test_too_much_to_keep(self, gateway: MemoryGateway) -> None:
        """Where events had to be dropped, the rest of a living stream is still told; its client sees the gap itself."""
        client = session(gateway)
        request = called(gateway, client)
        place = last_id(client)
        hang_up(client)
        for value in range(2, 2 * EVENTS_LIMIT):
            gateway.child.say(progress(request, value))
        again = gateway.listen(client, Last_Event_ID=place)
        gateway.child.answer(request, {"done": True})
        told = said(again)
        assert len(told) == EVENTS_LIMIT + 1
        assert told[-1] == {"done": True}

    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
    def test_older_clients(self, gateway: MemoryGateway, revision: str) -> None:
        """Older clients are given no ids; the standing stream is all that a GET gives them."""
        client = session(gateway, revision)
        called(gateway, client)
        assert b"\nid: " not in raw(client)
        ears = gateway.listen(client, Last_Event_ID="5")
        gateway.child.say(note(CHANGED))
        assert said(ears) == [CHANGED]
        assert b"\nid: " not in raw(ears)

    def test_deleting_gives_everything_back(self, gateway: MemoryGateway) -> None:
        """A session that ends keeps no bytes."""
        client = session(gateway)
        called(gateway, client)
        assert gateway.sessions.budget.used > 0
        client.channel.connectionLost(None)  # type: ignore[arg-type]
        gateway.client(**client.headers).ask(b"", "DELETE")
        assert gateway.sessions.budget.used == 0

    def test_a_large_answer_for_a_slow_reader(self, gateway: MemoryGateway) -> None:
        """An answer of any size reaches a client that is behind already but goes on reading."""
        client = session(gateway)
        request = called(gateway, client)
        client.transport.reads = False
        for value in range(2, 20):
            gateway.child.say({**progress(request, value), "pad": "x" * 20_000})
        gateway.child.answer(request, {"done": "y" * 20_000_000})
        while client.transport.queued:
            client.transport.read()
        assert not client.transport.is_aborted
        assert client.heard is not None
        assert client.heard.events[-1]["result"] == {"done": "y" * 20_000_000}

    def test_a_slow_reader_comes_back(self, gateway: MemoryGateway) -> None:
        """A call whose client read too slowly was cut off; what it could not be told is there for it."""
        client = session(gateway)
        request = called(gateway, client)
        place = last_id(client)
        client.transport.reads = False
        for value in range(2, 400):
            gateway.child.say({**progress(request, value), "pad": "x" * 20_000})
        assert client.transport.is_aborted
        hang_up(client)
        gateway.child.answer(request, {"done": True})
        again = gateway.listen(client, Last_Event_ID=place)
        assert said(again)[-1] == {"done": True}
        assert len(raw(again)) < 1_200_000


class OldHttpTests:
    """HTTP/1.0, where the end of a stream is the end of its connection."""

    def test_a_stream(self, gateway: MemoryGateway) -> None:
        """A stream over HTTP/1.0 is sent without chunks."""
        client = session(gateway)
        ears = gateway.client()
        ears.transport = MemoryTransport()
        ears.channel.makeConnection(ears.transport)
        identifier = client.headers["Mcp-Session-Id"]
        head = "GET /shared/mcp HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        ears.channel.dataReceived(f"{head}Mcp-Session-Id: {identifier}\r\n\r\n".encode())
        gateway.child.say(note(CHANGED))
        assert raw(ears).endswith(b'"method":"' + CHANGED.encode() + b'","params":{}}\n\n')
        gateway.client(**client.headers).ask(b"", "DELETE")
        assert ears.transport.is_closing
