"""Servers that report that something is in use already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import capturedLogs

from mcpgateway.config.model import ServerSpec, Share
from tests.support.gateway_in_memory import Client, MemoryGateway

AUTO = ServerSpec("auto", ("run",), {}, "/", share=Share.AUTO, title="auto")
IN_USE = "The profile appears to be in use by another Chromium process (4711)"


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server that may be moved."""
    return MemoryGateway(more=(AUTO,))


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """The events that are logged."""
    with capturedLogs() as logged:
        yield logged


def come(gateway: MemoryGateway, count: int) -> Client:
    """Begin some sessions; the last of them."""
    for _ in range(count):
        client = gateway.session("auto")
    return client


def fail(gateway: MemoryGateway, client: Client, text: str = IN_USE) -> None:
    """A tool fails, in words."""
    client.call(1, name="open")
    asked = gateway.child.asked("tools/call")[-1]
    gateway.child.answer(asked, {"isError": True, "content": [{"type": "text", "text": text}]})
    assert client.heard is not None
    assert text in client.heard.body.decode()


def reason(gateway: MemoryGateway) -> str:
    """Return the reason why the server was moved."""
    return gateway.dispatcher.pool.reason(AUTO)


class MoveTests:
    """When a server is moved, and when not."""

    def test_a_failed_tool(self, gateway: MemoryGateway, events: list[Any]) -> None:
        """Sessions that meet each other's browser get a child each from then on; those that are open stay."""
        client = come(gateway, 2)
        fail(gateway, client)
        assert "the profile of a browser" in reason(gateway)
        assert [each["event"] for each in events if each.get("event") == "server.moved"] == ["server.moved"]
        assert gateway.dispatcher.pool.scope(AUTO) is Share.SESSION
        client.call(2, name="open")
        assert len(gateway.launcher.children) == 1
        come(gateway, 1)
        assert len(gateway.launcher.children) == 2

    def test_an_error(self, gateway: MemoryGateway) -> None:
        """A JSON-RPC error tells as much."""
        client = come(gateway, 2)
        client.call(1, name="open")
        asked = gateway.child.asked("tools/call")[-1]
        gateway.child.say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": IN_USE}})
        assert reason(gateway)

    def test_last_words(self, gateway: MemoryGateway) -> None:
        """The last words of a child tell as much."""
        come(gateway, 2)
        gateway.child.exit(1, IN_USE)
        assert reason(gateway)

    def test_last_words_at_the_start(self, gateway: MemoryGateway) -> None:
        """A child that cannot even start has met a stranger: nobody has used it yet."""
        client = come(gateway, 2)
        gateway.child.exit()
        gateway.launcher.hello = None
        client.call(1, name="open")
        gateway.child.exit(1, IN_USE)
        assert len(gateway.launcher.children) == 2
        assert not reason(gateway)

    def test_one_session(self, gateway: MemoryGateway, events: list[Any]) -> None:
        """Where nobody else uses the child, a stranger holds the profile."""
        client = come(gateway, 1)
        gateway.child.exit(1, IN_USE)
        fail(gateway, client)
        assert not reason(gateway)
        assert sum(each.get("event") == "server.locked" for each in events) == 1

    def test_a_database(self, gateway: MemoryGateway, events: list[Any]) -> None:
        """A database that processes fight for is no reason to start more; the log says once that it was seen."""
        client = come(gateway, 2)
        for _ in range(2):
            fail(gateway, client, "database is locked")
        assert not reason(gateway)
        assert sum(each.get("event") == "server.locked" for each in events) == 1

    @pytest.mark.parametrize(
        "result",
        [
            {"content": [{"type": "text", "text": IN_USE}]},
            {"isError": False, "content": [{"type": "text", "text": IN_USE}]},
            {"isError": True, "content": IN_USE},
            {"isError": True, "content": [IN_USE, {"text": 5}]},
        ],
    )
    def test_what_is_no_failure(self, gateway: MemoryGateway, result: Any) -> None:
        """A tool that tells of locks without having failed tells nothing of its server."""
        client = come(gateway, 2)
        client.call(1, name="open")
        gateway.child.answer(gateway.child.asked("tools/call")[-1], result)
        assert client.heard is not None
        assert client.heard.json["result"] == result
        assert not reason(gateway)

    def test_an_entry_that_says_how_it_is_shared(self, gateway: MemoryGateway) -> None:
        """The sharing that an entry sets is not changed."""
        client = [gateway.session() for _ in range(2)][-1]
        fail(gateway, client)
        assert gateway.dispatcher.pool.scope(gateway.dispatcher.server("shared")) is Share.GLOBAL
