"""The sessions in use, as they are told of and ended."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.hub.recent_clients import KEPT
from mcpgateway.hub.sessions import handle
from mcpgateway.observe.sessions import EndedSession, SessionDirectory
from mcpgateway.policy.access import Reach
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.modern_client import PREFIX, dual_gateway, meta, post, request


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


@pytest.fixture
def book(gateway: MemoryGateway) -> SessionDirectory:
    """The directory of sessions."""
    return SessionDirectory(gateway.dispatcher, gateway.clock.seconds)


def begin(gateway: MemoryGateway, server: str = "shared", pid: int = 0, **said: Any) -> Client:
    """A session whose connection is a process's."""
    gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), Reach.LOOPBACK, pid, 0)
    client = gateway.client(server)
    client.initialize(protocolVersion="2025-06-18", capabilities={}, **said)
    return client


def identifier(client: Client) -> str:
    """Return the id of a session."""
    return client.headers["Mcp-Session-Id"]


def is_there(client: Client) -> bool:
    """Return whether a session exists."""
    return client.ask({"jsonrpc": "2.0", "id": 9, "method": "ping"}).status == 200


class WithoutTests:
    """The clients that have no session."""

    def test_modern(self) -> None:
        """A client of the modern era is listed with its name, its latest request and its calls."""
        gateway = dual_gateway()
        client = gateway.client("m")
        post(client, request(1, "tools/list"))
        gateway.child.answer(gateway.child.asked("tools/list")[-1], {"tools": []})
        post(client, request(2, "tools/call", name="now", arguments={}))
        gateway.tick(7)
        book = SessionDirectory(gateway.dispatcher, gateway.clock.seconds)
        (found,) = book.without(server="m")
        assert found["client"] == {"name": "c", "version": "1"}
        assert (found["requests"], found["calls"], found["idle_seconds"]) == (2, 1, 7)
        assert book.without(server="shared") == book.without(pid=7) == []

    def test_bounded(self) -> None:
        """The one that has been silent for longest is forgotten, not the one that came first."""
        gateway = dual_gateway()
        for number in (*range(KEPT), 0, KEPT):
            named = meta(**{PREFIX + "clientInfo": {"name": f"c{number}", "version": "1"}})
            post(gateway.client("m"), request(number, "server/discover", named))
        book = SessionDirectory(gateway.dispatcher, gateway.clock.seconds)
        known = {each["client"]["name"]: each["requests"] for each in book.without()}
        assert len(known) == KEPT
        assert known["c0"] == 2
        assert "c1" not in known


class ListedTests:
    """The list of sessions."""

    def test_one(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """A row has the session's owner, its workspace and its time of silence; the id is shown to nobody."""
        client = begin(gateway, "own", 501, clientInfo={"name": "pro\x1bbe", "version": "1"})
        gateway.tick(7)
        (found,) = book.listed()
        assert found["id"] == handle(identifier(client).encode())
        assert identifier(client) not in str(found)
        assert (found["server"], found["servers"], found["pid"]) == ("own", ["own"], 501)
        assert (found["idle_seconds"], found["calls"], found["streams"]) == (7, 0, 0)
        assert found["children"] == [gateway.child.pid]
        assert found["client"]["version"] == "1"
        assert found["client"]["name"].isprintable()
        assert found["principal"] == "local"

    def test_what_it_does(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """Calls under way and open streams are counted."""
        client = begin(gateway)
        client.call(1, name="slow")
        gateway.listen(client)
        (found,) = book.listed()
        assert (found["calls"], found["streams"], found["children"]) == (1, 1, [])

    def test_a_view(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """A session of all servers tells which of them it uses."""
        gateway.view()
        (found,) = book.listed()
        assert found["server"] == "mcp/full"

    def test_order_and_choice(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """The session in latest use comes first; some can be chosen, and there is a limit."""
        begin(gateway, "own", 501)
        gateway.tick(5)
        begin(gateway, "shared", 502)
        gateway.tick(1)
        assert [each["server"] for each in book.listed()] == ["shared", "own"]
        assert [each["server"] for each in book.listed(limit=1)] == ["shared"]
        assert [each["server"] for each in book.listed(server="own")] == ["own"]
        assert [each["server"] for each in book.listed(pid=502)] == ["shared"]


class EndTests:
    """The end of sessions."""

    def test_by_handle(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """A handle ends its session, and other sessions go on; a second time there is nothing to end."""
        first, second = begin(gateway, "own"), begin(gateway, "own")
        assert book.end(handle(identifier(first).encode())) == EndedSession(1, 1)
        assert book.end(handle(identifier(first).encode())) == EndedSession()
        assert not is_there(first)
        assert is_there(second)

    def test_by_id(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """An id ends its session, in use or parked."""
        used, aside = begin(gateway), begin(gateway)
        gateway.dispatcher.park(gateway.sessions.named(identifier(aside).encode()), "a test")  # type: ignore[arg-type]
        assert book.end(identifier(used)) == EndedSession(1, 0)
        assert book.end(identifier(aside)) == EndedSession()
        assert not is_there(used)
        assert not is_there(aside)

    @pytest.mark.parametrize("name", ["", "x", "0" * 12, "é" * 12, "x" * 100_000])
    def test_nobody(self, gateway: MemoryGateway, book: SessionDirectory, name: str) -> None:
        """A handle of no session ends none."""
        client = begin(gateway)
        assert book.end(name) == EndedSession()
        assert is_there(client)

    def test_by_owner_and_all(self, gateway: MemoryGateway, book: SessionDirectory) -> None:
        """All sessions of a process are ended, or all there are."""
        mine = [begin(gateway, "own", 501), begin(gateway, "shared", 501)]
        other = begin(gateway, "own", 502)
        gateway.tick()
        assert book.end_owned_by(501) == EndedSession(2, 1)
        assert [is_there(each) for each in (*mine, other)] == [False, False, True]
        assert book.end_all() == EndedSession(1, 1)
        assert book.end_all() == EndedSession()
        assert book.listed() == []
