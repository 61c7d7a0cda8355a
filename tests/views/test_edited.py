"""Views while an edit of the configuration is saved and not read yet: they wait for it, as servers' endpoints do."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.owntools.missing_servers import KEY
from tests.support import modern_client
from tests.support.gateway_in_memory import Client
from tests.support.modern_client import post, request
from tests.support.views import Offer, Stage, tool

MORE = ServerSpec("more", ("run",), {}, "/", share=Share.GLOBAL)
CALLS = [
    ("tools/call", {"name": "more__extra"}),
    ("tools/call", {"name": "gateway_invoke", "arguments": {"id": "more__extra", "args": {}}}),
    ("tools/call", {"name": "gateway_invoke", "arguments": {"server": "more", "tool": "extra"}}),
    ("tools/call", {"name": "gateway_invoke_async", "arguments": {"id": "more__extra", "args": {}}}),
    ("prompts/get", {"name": "more__greet"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "more__greet"}, "argument": {}}),
    ("resources/read", {"uri": "more://x"}),
    ("resources/read", {"uri": "mcpgateway:more/more://x"}),
]
LISTS = {
    "tools/list": "more__extra",
    "prompts/list": "more__greet",
    "resources/list": "more://x",
    "resources/templates/list": "more://{x}",
}


class Edited(Stage):
    """A gateway whose configuration has been edited, and which has not read it yet."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Deferred[None] = Deferred()
        self.offers["more"] = Offer(
            tools=[tool("extra")],
            prompts=[{"name": "greet"}],
            resources=[{"uri": "more://x", "name": "x"}],
            templates=[{"uriTemplate": "more://{x}", "name": "x"}],
        )

    def known(self) -> None:
        """Let all that there is be known before the edit."""
        for each in LISTS:
            self.list(self.view(), each)

    def edit(self) -> None:
        """Let there be an edit."""
        self.waiting: list[Deferred[None]] = []

        def wait() -> Deferred[None]:
            self.waiting.append(Deferred())
            return self.waiting[-1]

        self.gateway.hub.catch_up = wait

    def apply(self, *servers: ServerSpec) -> None:
        """Read it: there are these servers besides."""
        self.gateway.serve(*self.gateway.settings.servers, *servers)
        self.gateway.hub.catch_up = lambda: succeed(None)
        for each in self.waiting:
            each.callback(None)

    def client(self, era: str) -> Client:
        """A connection of a client with a session, without one, or of the modern era."""
        if era == "session":
            return self.view()
        return Client(self.gateway.factory.buildProtocol(None), "/mcp/full", {})

    @staticmethod
    def send(client: Client, era: str, method: str, params: dict[str, Any]) -> None:
        """Send a request."""
        if era == "modern":
            post(client, request(1, method, **params))
        else:
            client.call(1, method, **params)


@pytest.fixture
def stage() -> Edited:
    """Two servers that are known, and an edit that adds one."""
    stage = Edited()
    stage.known()
    stage.edit()
    return stage


@pytest.mark.parametrize("era", ["session", "none", "modern"])
class EditedTests:
    """Requests that come before the edit is read."""

    @pytest.mark.parametrize(("method", "params"), CALLS)
    def test_calls(self, stage: Edited, era: str, method: str, params: dict[str, Any]) -> None:
        """A new server's tools are called as soon as it is served and has listed them; no request is refused."""
        client = stage.client(era)
        stage.send(client, era, method, params)
        stage.play()
        assert client.heard is None
        stage.apply(MORE)
        stage.play()
        assert stage.child("more").asked(method)

    @pytest.mark.parametrize("method", LISTS)
    def test_lists(self, stage: Edited, era: str, method: str) -> None:
        """A list has what was edited, as far as it is known; of the rest it says that it is missing."""
        client = stage.client(era)
        stage.send(client, era, method, {})
        assert client.heard is None
        stage.apply(MORE)
        missing = modern_client.reply(client)["result"]["_meta"][KEY]
        assert "more" in missing
        assert "shared" not in missing
        stage.play()
        stage.send(client, era, method, {})
        stage.play()
        result = modern_client.reply(client)["result"]
        assert "more" not in str(result.get("_meta"))
        assert LISTS[method] in str(result)

    @pytest.mark.parametrize("name", ["gateway_search", "gateway_list_tools", "gateway_list_servers"])
    def test_own_tools(self, stage: Edited, era: str, name: str) -> None:
        """The gateway's own tools show it, too."""
        client = stage.client(era)
        arguments = {"query": "extra"} if name == "gateway_search" else {}
        stage.send(client, era, "tools/call", {"name": name, "arguments": arguments})
        assert client.heard is None
        stage.apply(MORE)
        stage.play()
        assert "more" in str(modern_client.reply(client)["result"]["content"])

    def test_what_is_known(self, stage: Edited, era: str) -> None:
        """A tool that is known is called at once: no edit is waited for."""
        client = stage.client(era)
        stage.send(client, era, "tools/call", {"name": "shared__echo"})
        stage.play()
        assert any(each.asked("tools/call") for each in stage.gateway.launcher.children)

    def test_nothing_new(self, stage: Edited, era: str) -> None:
        """A tool that the edit does not bring is unknown, and said to be so once the edit has been read."""
        client = stage.client(era)
        stage.send(client, era, "tools/call", {"name": "more__extra"})
        stage.apply()
        assert "Unknown tool" in modern_client.reply(client)["error"]["message"]

    def test_taken_out_and_back(self, stage: Edited, era: str) -> None:
        """A server that was taken out and is back with the edit is called again."""
        shared = next(each for each in stage.gateway.settings.servers if each.name == "shared")
        stage.gateway.serve(*(each for each in stage.gateway.settings.servers if each is not shared))
        client = stage.client(era)
        stage.send(client, era, "tools/call", {"name": "shared__echo"})
        stage.play()
        assert client.heard is None
        stage.apply(shared)
        stage.play()
        assert stage.child("shared").asked("tools/call")


class ChangedTests:
    """Servers that are defined otherwise while they are asked what they have."""

    @pytest.mark.parametrize("era", ["session", "none", "modern"])
    def test_another_program(self, era: str) -> None:
        """The lists of the former program are waited for no more: the call is for the server as it is now."""
        stage = Edited()
        stage.gateway.launcher.silent = {"shared"}
        client = stage.client(era)
        stage.send(client, era, "tools/call", {"name": "shared__echo"})
        stage.play()
        former = stage.child("shared")
        stage.gateway.launcher.silent = set()
        stage.gateway.edit("shared", command=("another",))
        stage.play()
        assert stage.child("shared") is not former
        assert stage.child("shared").asked("tools/call")

    @pytest.mark.parametrize("path", ["/mcp/full", "/shared/mcp"])
    def test_another_time_limit(self, path: str) -> None:
        """The new time limit counts for the next call of each client; no list is asked for again, and no
        client hears of it.
        """
        stage = Edited()
        name = "shared__echo" if "full" in path else "echo"
        session, modern = stage.view(path), Client(stage.gateway.factory.buildProtocol(None), path, {})
        stage.list(session)
        clients = {"session": session, "modern": modern}
        for era, client in clients.items():
            stage.send(client, era, "tools/call", {"name": name})
            stage.play()
            child = next(each for each in stage.gateway.launcher.children if each.asked("tools/call"))
            child.answer(child.asked("tools/call")[-1], {"content": []})
            assert "result" in modern_client.reply(client)
        ears = stage.gateway.listen(session)
        children = stage.gateway.launcher.children
        asked = [len(each.asked("tools/list")) for each in children]
        for limit_s in (8, 3):
            stage.gateway.edit("shared", timeout_s=float(limit_s))
            for era, client in clients.items():
                stage.send(client, era, "tools/call", {"name": name})
                stage.gateway.tick(limit_s)
                assert client.heard is None
                stage.gateway.tick()
                assert "did not answer" in modern_client.reply(client)["error"]["message"]
        stage.play()
        assert ears.heard is None or ears.heard.events == []
        assert [len(each.asked("tools/list")) for each in children] == asked

    @pytest.mark.parametrize("era", ["session", "none", "modern"])
    def test_a_list_to_be_fetched(self, era: str) -> None:
        """A list that is to be fetched soon is fetched, though the time limit of its server changes before."""
        stage = Edited()
        stage.send(stage.client(era), era, "tools/list", {})
        stage.gateway.edit("shared", timeout_s=7.0)
        stage.play()
        assert stage.child("shared").asked("tools/list")

    def test_several_servers(self) -> None:
        """A view goes on with the servers that it has, in one object for all its sessions."""
        stage = Edited()
        one = stage.view()
        names = stage.names(one)
        stage.gateway.edit("shared", timeout_s=7.0)
        other = stage.view()
        assert stage.names(one) == stage.names(other) == names
        registry = stage.gateway.dispatcher.view_sessions
        views = {id(registry.members_of(each).view) for each in registry.outer()}  # type: ignore[attr-defined]
        assert len(views) == 1

    def test_switched_off(self) -> None:
        """A server that is switched off meanwhile is not started for whoever waits for its list."""
        stage = Edited()
        stage.gateway.launcher.silent = {"shared"}
        client = stage.view()
        client.call(1, "tools/list")
        stage.begin()
        started = len(stage.gateway.launcher.children)
        stage.gateway.serve(*(each for each in stage.gateway.settings.servers if each.name != "shared"))
        stage.play()
        assert len(stage.gateway.launcher.children) == started
