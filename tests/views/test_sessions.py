"""Sessions of views: one for the client, one inner at each server it uses."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from mcpgateway.config.gateway_settings import Limits
from mcpgateway.config.model import Lazy, Profile, ServerSpec, Share
from mcpgateway.policy.reaping import IDLE_TICKS
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.views import Offer, Stage, tool

UPDATED = "notifications/resources/updated"

PROGRESS = "notifications/progress"


@pytest.fixture
def stage() -> Stage:
    """Two servers with a resource each."""
    return Stage(
        shared=Offer(tools=[tool("echo")], resources=[{"uri": "a://x", "name": "x"}]),
        own=Offer(tools=[tool("count")], resources=[{"uri": "b://y", "name": "y"}]),
    )


def call(stage: Stage, client: Client, name: str) -> MemoryChild:
    """Call a tool to its end; the child that was called."""
    client.call(7, "tools/call", name=name)
    stage.play()
    child = next(
        each
        for each in reversed(stage.gateway.launcher.children)
        if each.asked("tools/call") and stage.name(each) == name.partition("__")[0]
    )
    child.answer(child.asked("tools/call")[-1], {"content": []})
    return child


class LifeTests:
    """The life of member sessions."""

    def test_deleted(self, stage: Stage) -> None:
        """With the session all end that it has at servers, and the children that were its own; its id is unknown."""
        client = stage.view()
        shared, own = call(stage, client, "shared__echo"), call(stage, client, "own__count")
        assert client.ask(b"", "DELETE").status == 200
        assert (shared.is_stopping, own.is_stopping) == (False, True)
        assert stage.gateway.sessions.of(stage.gateway.dispatcher.servers["shared"])[0].id == b""
        assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 404

    def test_profile_without_a_tool(self, stage: Stage) -> None:
        """A tool that a profile switches off is not in its list, is refused there by that name, and stays elsewhere."""
        gateway = stage.gateway
        stage.offers["shared"] = Offer(tools=[tool("echo"), tool("clear")])
        profile = Profile("docs", servers=("shared",), tools_off=("shared__cl*",))
        gateway.apply(evolve(gateway.settings, profiles={"docs": profile}))
        client = stage.view("/mcp/p/docs")
        assert stage.names(client) == ["shared__echo"]
        refused = client.ask(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "shared__clear"}}
        ).json["error"]
        assert refused["message"] == "clear of shared is switched off by profiles.docs.tools_off"
        assert "shared__clear" in stage.names(stage.view())
        gateway.apply(evolve(gateway.settings, profiles={"docs": Profile("docs", servers=("shared",))}))
        assert stage.names(client) == ["shared__echo", "shared__clear"]

    @pytest.mark.parametrize(("tier", "left"), [("read", ["look"]), ("write", ["look", "put"])])
    def test_profile_of_a_tier(self, stage: Stage, tier: str, left: list[str]) -> None:
        """A profile of a tier has no tool above it, and refuses it with the tier's name, through its own tools too."""
        gateway = stage.gateway
        hints = {"look": {"readOnlyHint": True}, "put": {"destructiveHint": False}, "drop": {}}
        tools = [tool(name, annotations=each) for name, each in hints.items()]
        stage.offers["shared"] = Offer(tools=tools)
        profile = Profile("docs", servers=("shared",), tier=tier)
        gateway.apply(evolve(gateway.settings, profiles={"docs": profile}))
        client = stage.view("/mcp/p/docs")
        assert stage.names(client) == [f"shared__{each}" for each in left]
        said = (
            f"clients of the profile docs may not call drop of shared: its tier is destructive, and {tier} is"
        )

        def ask(name: str, **arguments: Any) -> Any:
            params = {"name": name, "arguments": arguments}
            return client.ask({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).json

        assert ask("shared__drop")["error"]["message"].startswith(said)
        for name in ("gateway_invoke", "gateway_invoke_async"):
            answer = ask(name, id="shared__drop")["result"]
            assert answer["isError"]
            assert said in answer["content"][0]["text"]
        assert "shared__drop" in stage.names(stage.view())

    def test_not_another_view_s(self, stage: Stage) -> None:
        """An id is good on the view that it was issued for."""
        client = stage.view()
        assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}, path="/mcp/search").status == 404

    def test_a_call_under_way(self, stage: Stage) -> None:
        """A session that ends takes its calls back."""
        client = stage.view()
        stage.list(client)
        client.call(1, "tools/call", name="shared__echo")
        other = stage.gateway.client(**client.headers)
        other.ask(b"", "DELETE", path="/mcp/full")
        assert client.heard is not None
        assert "error" in client.heard.json
        assert stage.child("shared").asked("notifications/cancelled")

    @pytest.mark.parametrize("tool", ["shared__echo", "own__count"])
    def test_a_server_that_is_taken_out(self, stage: Stage, tool: str) -> None:
        """A call under way of a removed server is an error like any other, for the client's session lives; a
        404 denies that.
        """
        gateway, name = stage.gateway, tool.partition("__")[0]
        client = stage.view()
        stage.list(client)
        client.call(1, "tools/call", name=tool)
        assert stage.child(name).asked("tools/call")
        gateway.serve(*(each for each in gateway.settings.servers if each.name != name))
        assert client.heard is not None
        assert client.heard.status == 200
        why = "its server was taken out of the configuration"
        assert client.heard.json["error"]["message"] == f"{name} ended before it answered ({why})"
        assert client.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"}).status == 200

    def test_one_session(self, stage: Stage) -> None:
        """Only the client's own session counts, however many servers it uses."""
        client = stage.view()
        call(stage, client, "shared__echo")
        call(stage, client, "own__count")
        assert len(stage.gateway.sessions) == 1

    def test_counted_at_its_server(self, stage: Stage) -> None:
        """The sessions that views have at a server count for that server, and not for the total."""
        call(stage, stage.view(), "shared__echo")
        told = stage.gateway.census.health()
        assert {each["name"]: each["sessions"] for each in told["backends"]}["shared"] == 1
        assert told["sessions"] == 1

    def test_crowded(self) -> None:
        """Where there is no room, whole sessions make it, never an inner one alone."""
        stage = Stage(MemoryGateway(limits=Limits(sessions=2)))
        clients = [stage.view() for _ in range(2)]
        for client in clients:
            call(stage, client, "own__count")
            stage.gateway.tick()
        stage.view()
        assert len(stage.gateway.sessions) == 2
        call(stage, clients[1], "own__count")

    def test_idle(self, stage: Stage) -> None:
        """A session that nobody uses is put aside with its inner ones, and is back when it is needed."""
        client = stage.view()
        child = call(stage, client, "own__count")
        stage.gateway.sessions.now += IDLE_TICKS
        assert stage.gateway.reaper.look_around() == 1
        assert child.is_stopping
        assert call(stage, client, "own__count") is not child

    @pytest.mark.parametrize("listens", [True, False])
    def test_idle_server(self, listens: bool) -> None:  # noqa: FBT001 - a parameter
        """A server that a client has called once is stopped when nobody uses it, unless that client listens."""
        gateway = MemoryGateway()
        lazy = Lazy(idle_s=60)
        gateway.serve(ServerSpec("shared", ("run",), {}, "/", share=Share.GLOBAL, lazy=lazy))
        stage = Stage(gateway)
        client = stage.view()
        child = call(stage, client, "shared__echo")
        if listens:
            gateway.listen(client)
        for _ in range(180):
            gateway.tick()
        assert child.is_stopping is not listens

    def test_busy(self, stage: Stage) -> None:
        """A session whose call is with a server is not idle."""
        client = stage.view()
        stage.list(client)
        client.call(1, "tools/call", name="own__count")
        stage.gateway.sessions.now += IDLE_TICKS
        assert stage.gateway.reaper.look_around() == 0


class RevivalTests:
    """Sessions that come back."""

    def test_after_a_restart(self, stage: Stage) -> None:
        """Level and subscriptions are what they were, and the client is told that its lists may be old."""
        client = stage.view()
        stage.list(client, "resources/list")
        client.call(1, "resources/subscribe", uri="a://x")
        child = stage.child("shared")
        child.answer(child.asked("resources/subscribe")[0], {})
        client.call(2, "logging/setLevel", level="error")
        gateway = MemoryGateway(store=stage.gateway.store)
        again = Stage(gateway, **stage.offers)
        back = Client(gateway.factory.buildProtocol(None), "/mcp/full", dict(client.headers))
        ears = gateway.listen(back)
        again.play()
        child = again.child("shared")
        assert child.asked("resources/subscribe")[0]["params"] == {"uri": "a://x"}
        assert child.asked("logging/setLevel")[0]["params"] == {"level": "error"}
        child.say({"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": "a://x"}})
        assert ears.heard is not None
        methods = [each["method"] for each in ears.heard.events]
        assert methods.count("notifications/tools/list_changed") == 1
        assert methods[-1] == UPDATED
        call(again, back, "shared__echo")

    def test_unsubscribed(self, stage: Stage) -> None:
        """A subscription that was given up is not taken again."""
        client = stage.view()
        stage.list(client, "resources/list")
        child = stage.child("shared")
        for method in ("resources/subscribe", "resources/unsubscribe"):
            client.call(1, method, uri="a://x")
            child.answer(child.asked(method)[0], {})
        gateway = MemoryGateway(store=stage.gateway.store)
        back = Client(gateway.factory.buildProtocol(None), "/mcp/full", dict(client.headers))
        back.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert gateway.launcher.children == []

    def test_tasks(self, stage: Stage) -> None:
        """A task of a shared server is still its owner's when its session was put aside in between."""
        client = stage.view()
        stage.list(client)
        client.call(1, "tools/call", name="shared__echo", task={})
        child = stage.child("shared")
        child.answer(child.asked("tools/call")[0], {"task": {"taskId": "t"}})
        stage.gateway.sessions.now += IDLE_TICKS
        stage.gateway.reaper.look_around()
        client.call(2, "tasks/get", taskId="t")
        assert child.asked("tasks/get")[0]["params"] == {"taskId": "t"}


class ConfigurationTests:
    """Open sessions, when the configuration changes."""

    def test_only_the_inner_ends(self, stage: Stage) -> None:
        """A server that is shared otherwise from now on ends its inner sessions; the view's own goes on."""
        client = stage.view()
        call(stage, client, "shared__echo")
        before = stage.gateway.sessions.of(stage.gateway.dispatcher.servers["shared"])
        stage.gateway.edit("shared", share=Share.SESSION)
        after = stage.gateway.sessions.of(stage.gateway.dispatcher.servers["shared"])
        assert before
        assert after == []
        call(stage, client, "shared__echo")
        assert len(stage.gateway.sessions) == 1

    def test_subscriptions_follow(self, stage: Stage) -> None:
        """The resources a session is subscribed to are taken again at a server that is run otherwise."""
        client = stage.view()
        stage.list(client, "resources/list")
        client.call(1, "resources/subscribe", uri="a://x")
        child = stage.child("shared")
        child.answer(child.asked("resources/subscribe")[0], {})
        stage.gateway.edit("shared", share=Share.SESSION)
        stage.play()
        assert stage.child("shared") is not child
        assert stage.child("shared").asked("resources/subscribe")

    def test_profile(self, stage: Stage) -> None:
        """A profile has a view of its servers, for as long as there is a profile."""
        gateway = stage.gateway
        profile = Profile("docs", servers=("shared",))
        gateway.apply(evolve(gateway.settings, profiles={"docs": profile}))
        client = stage.view("/mcp/p/docs")
        assert stage.names(client) == ["shared__echo"]
        gateway.apply(evolve(gateway.settings, profiles={}))
        assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 404


class QuestionTests:
    """Questions of servers to clients of views."""

    def ask(self, stage: Stage, child: MemoryChild, number: int, **params: Any) -> None:
        """Let a child ask for a sample."""
        child.say({"jsonrpc": "2.0", "id": number, "method": "sampling/createMessage", "params": params})

    def test_two_servers_two_clients(self, stage: Stage) -> None:
        """Each question comes on the stream of the call it belongs to, and each answer finds who has asked."""
        stage.gateway.serve(
            *stage.gateway.settings.servers, ServerSpec("more", ("run",), {}, "/", share=Share.SESSION)
        )
        stage.offers["more"] = Offer(tools=[tool("extra")])
        clients = [stage.view(sampling={}) for _ in range(2)]
        streams: dict[tuple[int, str], Client] = {}
        children: dict[tuple[int, str], MemoryChild] = {}
        for nth, client in enumerate(clients):
            stage.list(client)
            for name in ("own__count", "more__extra"):
                stream = stage.gateway.client(**client.headers)
                stream.path = client.path
                stream.call(1, "tools/call", name=name)
                streams[nth, name] = stream
                children[nth, name] = next(
                    each
                    for each in stage.gateway.launcher.children
                    if each.asked("tools/call") and each not in children.values()
                )
        for key, child in children.items():
            self.ask(stage, child, 1, for_whom=list(key))
        for key, child in children.items():
            heard = streams[key].heard
            assert heard is not None
            question = heard.events[0]
            assert question["params"]["for_whom"] == list(key)
            stranger = clients[1 - key[0]]
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"by": key[0]}}
            assert stranger.ask({**answer, "result": {"by": "a stranger"}}).status == 202
            assert clients[key[0]].ask(answer).status == 202
            replies = [each for each in child.received if "method" not in each]
            assert [each["result"] for each in replies] == [{"by": key[0]}]

    def test_progress(self, stage: Stage) -> None:
        """A client's progress on a question is heard by the one server that asked."""
        stage.gateway.serve(
            *stage.gateway.settings.servers, ServerSpec("more", ("run",), {}, "/", share=Share.SESSION)
        )
        stage.offers["more"] = Offer(tools=[tool("extra")])
        client = stage.view(sampling={})
        children = [call(stage, client, "own__count"), call(stage, client, "more__extra")]
        for child in children:
            self.ask(stage, child, 1, _meta={"progressToken": "t", "x": 1})
        ears = stage.gateway.listen(client)
        assert ears.heard is not None
        asked = [each for each in ears.heard.events if each["method"] == "sampling/createMessage"]
        assert [each["params"]["_meta"]["x"] for each in asked] == [1, 1]
        tokens = [each["params"]["_meta"]["progressToken"] for each in asked]
        assert len(set(tokens)) == 2
        for token in (tokens[0], "t", 7, None):
            params = {"progressToken": token, "progress": 1}
            client.ask({"jsonrpc": "2.0", "method": PROGRESS, "params": params})
        said = [each["params"] for child in children for each in child.asked(PROGRESS)]
        assert said == [{"progressToken": "t", "progress": 1}]
        client.ask({"jsonrpc": "2.0", "id": asked[0]["id"], "result": {}})
        params = {"progressToken": tokens[0], "progress": 2}
        client.ask({"jsonrpc": "2.0", "method": PROGRESS, "params": params})
        assert sum(len(child.asked(PROGRESS)) for child in children) == 1

    def test_without_the_capability(self, stage: Stage) -> None:
        """A client that has not offered it is not asked."""
        client = stage.view()
        stage.list(client)
        client.call(1, "tools/call", name="own__count")
        child = stage.child("own")
        self.ask(stage, child, 1)
        assert [each["error"]["code"] for each in child.received if "error" in each] == [-32601]

    def test_outside_of_calls(self, stage: Stage) -> None:
        """A question that belongs to no call waits for the client's standing stream."""
        client = stage.view(sampling={})
        child = call(stage, client, "own__count")
        self.ask(stage, child, 5)
        ears = stage.gateway.listen(client)
        assert ears.heard is not None
        questions = [each for each in ears.heard.events if each["method"] == "sampling/createMessage"]
        client.ask({"jsonrpc": "2.0", "id": questions[0]["id"], "result": {"ok": True}})
        assert {"jsonrpc": "2.0", "id": 5, "result": {"ok": True}} in child.received

    def test_session_ends(self, stage: Stage) -> None:
        """A client that leaves answers no more, and the server is told."""
        client = stage.view(sampling={})
        child = call(stage, client, "own__count")
        self.ask(stage, child, 5)
        client.ask(b"", "DELETE")
        assert any(each.get("id") == 5 and "error" in each for each in child.received)

    def test_roots_changed(self, stage: Stage) -> None:
        """A client's news of its roots go to all servers it uses that are its own."""
        client = stage.view(roots={"listChanged": True})
        child = call(stage, client, "own__count")
        client.ask({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
        assert child.asked("notifications/roots/list_changed")

    def test_the_first_call(self, stage: Stage) -> None:
        """The first call ever of a server that clients share is asked what it wants to know, on the view's session."""
        stage.gateway.serve(*stage.gateway.settings.servers, ServerSpec("auto", ("run",), {}, "/"))
        stage.offers["auto"] = Offer(tools=[tool("ask")])
        client = stage.view(sampling={})
        client.call(1, "tools/call", name="auto__ask")
        stage.play()
        (child,) = [each for each in stage.gateway.launcher.children if stage.name(each) == "auto"]
        assert child.asked("tools/call")
        assert child.asked("initialize")[0]["params"]["capabilities"] == {"sampling": {}}
        self.ask(stage, child, 1)
        assert client.heard is not None
        assert [each["method"] for each in client.heard.events if "id" in each] == ["sampling/createMessage"]
