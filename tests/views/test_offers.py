"""Servers on views whose lists depend on what the client offers that they are told of."""

from __future__ import annotations

import pytest

from mcpgateway.config.model import ServerSpec
from tests.support.gateway_in_memory import Client, MemoryChild
from tests.support.views import Offer, Stage, tool

TOOLS = "notifications/tools/list_changed"
SHY = "auto, told of something"


class Choosy(Stage):
    """A server that lists one tool more to whoever offers something."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway.serve(ServerSpec("auto", ("run",), {}, "/"))
        self.offers = {"auto": Offer(tools=[tool("echo")]), SHY: Offer(tools=[tool("echo"), tool("ask")])}

    @staticmethod
    def name(child: MemoryChild) -> str:
        """The server's name for the child of a client that offers something."""
        hello = child.asked("initialize")
        return SHY if hello and hello[0]["params"]["capabilities"] else "auto"


@pytest.fixture
def stage() -> Choosy:
    """A server, and a gateway that knows nothing of it."""
    return Choosy()


class OfferTests:
    """Lists of clients that offer something, and of the others."""

    def test_the_first(self, stage: Choosy) -> None:
        """The list is that of a child that is told of the client's offers, and its tools are called."""
        client = stage.view(sampling={})
        assert stage.names(client) == ["auto__echo", "auto__ask"]
        client.call(1, "tools/call", name="auto__ask")
        assert stage.child(SHY).asked("tools/call")
        assert len(stage.gateway.launcher.children) == 1
        assert stage.names(stage.view()) == ["auto__echo"]

    def test_two_of_a_kind(self, stage: Choosy) -> None:
        """Two that offer the same share what was listed, and the child."""
        assert stage.names(stage.view(sampling={})) == ["auto__echo", "auto__ask"]
        other = stage.view(sampling={})
        assert stage.names(other) == ["auto__echo", "auto__ask"]
        other.call(1, "tools/call", name="auto__ask")
        (child,) = stage.gateway.launcher.children
        assert len(child.asked("tools/list")) == 1

    def test_after_another(self, stage: Choosy) -> None:
        """Clients that offer nothing are listed the same, and hear nothing of another's list."""
        plain = stage.view()
        assert stage.names(plain) == ["auto__echo"]
        ears = stage.gateway.listen(plain)
        assert stage.names(stage.view(elicitation={})) == ["auto__echo", "auto__ask"]
        assert stage.names(plain) == ["auto__echo"]
        assert ears.heard is not None
        assert ears.heard.events == []

    def test_news(self, stage: Choosy) -> None:
        """A change of a list is told to those whose child has said it."""
        plain, client = stage.view(), stage.view(sampling={})
        for each in (plain, client):
            stage.names(each)
        quiet, ears = stage.gateway.listen(plain), stage.gateway.listen(client)
        stage.offers[SHY] = Offer(tools=[tool("ask")])
        stage.child(SHY).say({"jsonrpc": "2.0", "method": TOOLS})
        stage.play()
        assert [_methods(each) for each in (quiet, ears)] == [[], [TOOLS]]
        assert stage.names(client) == ["auto__ask"]

    def test_late(self, stage: Choosy) -> None:
        """A list does not wait for that of the client's own child, which is announced when it comes."""
        client = stage.view(sampling={})
        ears = stage.gateway.listen(client)
        client.call(1, "tools/list")
        assert client.heard is not None
        assert "auto__ask" not in str(client.heard.json["result"])
        stage.play()
        assert set(_methods(ears)) == {TOOLS}
        assert stage.names(client) == ["auto__echo", "auto__ask"]

    def test_searched(self, stage: Choosy) -> None:
        """A client that searches first finds the tools that its child lists."""
        client = stage.view("/mcp/search", sampling={})
        client.call(1, "tools/call", name="gateway_search", arguments={"query": "ask"})
        stage.play()
        assert client.heard is not None
        assert "auto__ask" in client.heard.json["result"]["content"][0]["text"]

    def test_said_to_ask_nothing(self, stage: Choosy) -> None:
        """Where the entry says that a server asks nothing, all see what one child lists."""
        stage.gateway.serve(ServerSpec("auto", ("run",), {}, "/", interactive=False))
        for each in (stage.view(sampling={}), stage.view()):
            assert stage.names(each) == ["auto__echo"]
        assert len(stage.gateway.launcher.children) == 1


def _methods(ears: Client) -> list[str]:
    assert ears.heard is not None
    return [each["method"] for each in ears.heard.events]
