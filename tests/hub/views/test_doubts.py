"""Servers on views of which it is not known yet whether clients that could be asked something may share them."""

from __future__ import annotations

import pytest

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.siblings import SETTLE_S
from mcpgateway.hub.views.lists import PATIENCE_S
from tests.support.gateway_in_memory import Client, MemoryChild
from tests.support.views import Offer, Stage, tool

TOOLS = "notifications/tools/list_changed"
SHY = "auto, told of something"


class Doubtful(Stage):
    """A server that lists one tool more to whoever offers something."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway.serve(ServerSpec("auto", ("run",), {}, "/"))
        self.offers = {"auto": Offer(tools=[tool("echo")]), SHY: Offer(tools=[tool("echo"), tool("ask")])}

    @staticmethod
    def name(child: MemoryChild) -> str:
        """What the child of a client is called that offers something."""
        hello = child.asked("initialize")
        return SHY if hello and hello[0]["params"]["capabilities"] else "auto"

    def lists(self, client: Client) -> list[str]:
        """What a client is listed, once it has been found out who can share the server."""
        for _ in range(2):
            client.call(99, "tools/list")
            self.play()
            self.gateway.clock.advance(SETTLE_S)
            self.play()
        assert client.heard is not None
        return [
            each["name"] for each in client.heard.json["result"]["tools"] if "gateway" not in each["name"]
        ]


@pytest.fixture
def stage() -> Doubtful:
    """A server, and a gateway that knows nothing of it."""
    return Doubtful()


class DoubtTests:
    """What those see who offer something, and the others."""

    def test_the_first(self, stage: Doubtful) -> None:
        """What is listed is what a child lists that is told of what its client offers, and its tools are called."""
        client = stage.view(sampling={})
        assert stage.lists(client) == ["auto__echo", "auto__ask"]
        client.call(1, "tools/call", name="auto__ask")
        assert stage.child(SHY).asked("tools/call")
        assert stage.lists(stage.view()) == ["auto__echo"]

    def test_two_at_once(self, stage: Doubtful) -> None:
        """Two that offer different things and list at the same time are shown what each one's own child lists."""
        other = stage.view(roots={})
        other.call(99, "tools/list")
        assert stage.lists(stage.view(sampling={})) == ["auto__echo", "auto__ask"]
        assert stage.lists(other) == ["auto__echo", "auto__ask"]

    def test_after_another(self, stage: Doubtful) -> None:
        """A server that runs is looked at again for whoever offers something; the others stay as they are."""
        plain = stage.view()
        assert stage.lists(plain) == ["auto__echo"]
        ears = stage.gateway.listen(plain)
        assert stage.lists(stage.view(elicitation={})) == ["auto__echo", "auto__ask"]
        assert stage.lists(plain) == ["auto__echo"]
        assert ears.heard is not None
        assert ears.heard.events == []

    def test_not_started(self, stage: Doubtful) -> None:
        """A server that is known is not started to find that out; it is once it is called, and said."""
        plain = stage.view()
        stage.lists(plain)
        stage.child("auto").exit()
        started = len(stage.gateway.launcher.children)
        client = stage.view(sampling={})
        ears = stage.gateway.listen(client)
        assert stage.lists(client) == ["auto__echo"]
        assert len(stage.gateway.launcher.children) == started
        client.call(1, "tools/call", name="auto__echo")
        stage.play()
        stage.gateway.clock.advance(SETTLE_S)
        stage.play()
        assert ears.heard is not None
        assert [each["method"] for each in ears.heard.events] == [TOOLS]
        child = stage.child(SHY)
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert stage.lists(client) == ["auto__echo", "auto__ask"]

    def test_late(self, stage: Doubtful) -> None:
        """Nobody waits until that is found out; what its own child lists is announced when it comes."""
        client = stage.view(sampling={})
        ears = stage.gateway.listen(client)
        client.call(1, "tools/list")
        assert client.heard is not None
        assert "auto__ask" not in str(client.heard.json["result"])
        stage.play()
        stage.gateway.clock.advance(SETTLE_S)
        stage.play()
        assert ears.heard is not None
        assert {each["method"] for each in ears.heard.events} == {TOOLS}
        assert stage.lists(client) == ["auto__echo", "auto__ask"]

    def test_searched(self, stage: Doubtful) -> None:
        """Whoever searches first waits until it is found out, and finds what its own child lists."""
        client = stage.view("/mcp/search", sampling={})
        client.call(1, "tools/call", name="gateway_search", arguments={"query": "ask"})
        stage.play()
        stage.gateway.clock.advance(SETTLE_S)
        stage.play()
        assert client.heard is not None
        assert "auto__ask" in client.heard.json["result"]["content"][0]["text"]

    def test_never_found_out(self, stage: Doubtful) -> None:
        """Where it cannot be found out, the client is shown what all are, and nobody waits for that again."""
        stage.offers[SHY] = Offer(tools=None)
        client = stage.view(sampling={})
        client.call(1, "tools/list")
        stage.play()
        stage.gateway.clock.advance(PATIENCE_S)
        stage.play()
        assert stage.lists(client) == ["auto__echo"]

    def test_taken_out_meanwhile(self, stage: Doubtful) -> None:
        """A call of a server that is gone when it has been found out is an error, and no sign of a lost session."""
        stage.lists(stage.view())
        client = stage.view(sampling={})
        client.call(1, "tools/call", name="auto__echo")
        stage.gateway.serve()
        stage.play()
        stage.gateway.clock.advance(SETTLE_S)
        assert client.heard is not None
        assert (client.heard.status, "result" in client.heard.json) == (200, False)
        assert client.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"}).status == 200
