"""Modern clients that listen to a view of several servers."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.views.listeners import DEBOUNCE_S, PATIENCE_S
from tests.support.gateway_in_memory import Client, MemoryChild
from tests.support.modern_client import (
    ACKNOWLEDGED,
    CANCELLED,
    LISTEN,
    PREFIX,
    SUBSCRIPTION,
    TASKS,
    TOOLS_CHANGED,
    UPDATED,
    acknowledge,
    done,
    events,
    hang_up,
    listen,
    meta,
    methods,
    news,
    note,
    refusal,
    reply,
)
from tests.support.view_stage import Stage, legacy, modern, tool

ONE, TWO = "test://m/one", "test://old/two"


@pytest.fixture
def stage() -> Stage:
    """A view of two modern servers and a legacy one, whose lists have been asked for."""
    stage = Stage(
        modern("m"),
        modern("n"),
        legacy("old"),
        m={"tools/list": [tool("echo")], "resources/list": [{"uri": ONE, "name": "one"}]},
        n=[tool("echo")],
        old={"tools/list": [tool("echo")], "resources/list": [{"uri": TWO, "name": "two"}]},
    )
    stage.names()
    stage.names("resources/list", "uri")
    return stage


def last_listen(child: MemoryChild) -> dict[str, Any]:
    """The filter of the last listen that a child got."""
    found: dict[str, Any] = child.asked(LISTEN)[-1]["params"]["notifications"]
    return found


def told(stage: Stage, client: Client) -> list[Any]:
    """The events that a client has heard, its acknowledgement left out."""
    stage.wait(DEBOUNCE_S)
    return [each for each in events(client) if each.get("method") != ACKNOWLEDGED]


class AcknowledgementTests:
    """The acknowledgement that a client hears first."""

    def test_lists(self, stage: Stage) -> None:
        """Changes of lists are agreed to at once, and no server is started for them."""
        fresh = Stage(modern("m"), legacy("old"))
        listen(client := fresh.client(), 7, toolsListChanged=True, promptsListChanged=True)
        (said,) = events(client)
        assert said["method"] == ACKNOWLEDGED
        assert said["params"]["notifications"] == {"promptsListChanged": True, "toolsListChanged": True}
        assert said["params"]["_meta"] == {SUBSCRIPTION: 7}
        assert fresh.gateway.launcher.children == []

    def test_resources(self, stage: Stage) -> None:
        """Resources are agreed to once each of their servers has, and only those that one has."""
        listen(client := stage.client(), resourceSubscriptions=[ONE, TWO, "nothing://there"])
        assert events(client) == []
        stage.answer()  # whose that might be
        assert acknowledge(stage.child("m"))["resourceSubscriptions"] == [ONE]
        assert events(client) == []
        (asked,) = stage.child("old").asked("resources/subscribe")
        assert asked["params"]["uri"] == TWO
        stage.child("old").answer(asked, {})
        (said,) = events(client)
        assert said["params"]["notifications"] == {"resourceSubscriptions": [ONE, TWO]}

    def test_before_any_list(self) -> None:
        """A resource can be listened to before anybody has listed it."""
        stage = Stage(modern("m"), m={"resources/list": [{"uri": ONE, "name": "one"}]})
        listen(client := stage.client(), resourceSubscriptions=[ONE])
        stage.answer()
        acknowledge(stage.child("m"))
        (said,) = events(client)
        assert said["params"]["notifications"] == {"resourceSubscriptions": [ONE]}

    def test_unlisted(self) -> None:
        """A resource on no list is listened to wherever it may be, and told as it was asked for."""
        template = {"uriTemplate": "a://{name}", "name": "any"}
        stage = Stage(
            modern("m"),
            modern("n"),
            m={"resources/templates/list": [template]},
            n={"resources/templates/list": [template]},
        )
        wanted = ["a://x", "mcpgateway:n/a://y"]
        listen(client := stage.client(), resourceSubscriptions=wanted)
        stage.answer()
        assert acknowledge(stage.child("m"))["resourceSubscriptions"] == ["a://x"]
        assert acknowledge(stage.child("n"))["resourceSubscriptions"] == ["a://x", "a://y"]
        (said,) = events(client)
        assert said["params"]["notifications"] == {"resourceSubscriptions": wanted}
        for uri in ("a://x", "a://y", "a://y/part"):
            news(stage.child("n"), UPDATED, uri=uri)
        heard = [each["params"]["uri"] for each in told(stage, client)]
        assert heard == [*wanted, "mcpgateway:n/a://y/part"]

    def test_a_server_that_refuses(self, stage: Stage) -> None:
        """A resource that a server does not agree to is left out."""
        listen(client := stage.client(), toolsListChanged=True, resourceSubscriptions=[ONE])
        acknowledge(stage.child("m"), {})
        (said,) = events(client)
        assert said["params"]["notifications"] == {"toolsListChanged": True}

    def test_a_server_that_says_nothing(self, stage: Stage) -> None:
        """A server that does not answer is not waited for forever."""
        listen(client := stage.client(), toolsListChanged=True, resourceSubscriptions=[ONE, TWO])
        (asked,) = stage.child("old").asked("resources/subscribe")
        stage.child("old").answer(asked, {})
        stage.wait(PATIENCE_S)
        (said,) = events(client)
        assert said["params"]["notifications"] == {
            "toolsListChanged": True,
            "resourceSubscriptions": [TWO],
        }

    def test_too_much(self, stage: Stage) -> None:
        """A filter that names too much is refused."""
        listen(client := stage.client(), resourceSubscriptions=[f"test://{nth}" for nth in range(1001)])
        assert refusal(client)[1] == -32603


class NewsTests:
    """Changes that a client hears of then."""

    def test_a_modern_server(self, stage: Stage) -> None:
        """A server that runs is heard though no client listens to it alone."""
        listen(client := stage.client(), "l", toolsListChanged=True)
        child = stage.child("m")
        assert "toolsListChanged" in last_listen(child)
        acknowledge(child)
        news(child, TOOLS_CHANGED)
        (said,) = told(stage, client)
        assert (said["method"], said["params"]["_meta"]) == (TOOLS_CHANGED, {SUBSCRIPTION: "l"})

    def test_switched(self, stage: Stage) -> None:
        """A client that listens hears of a server that an operator switches off; its tools are listed no more."""
        listen(client := stage.client(), toolsListChanged=True)
        stage.gateway.health.disable("m")
        assert TOOLS_CHANGED in [each["method"] for each in told(stage, client)]
        assert "m__echo" not in stage.names()
        stage.gateway.health.enable("m")
        assert "m__echo" in stage.names()

    def test_a_legacy_server(self, stage: Stage) -> None:
        """A server of the legacy era that runs is heard, too, and the list is another when it is asked for."""
        listen(client := stage.client(), toolsListChanged=True)
        stage.offers["old"]["tools/list"] = [tool("echo"), tool("new")]
        stage.child("old").say(note(TOOLS_CHANGED))
        assert [each["method"] for each in told(stage, client)] == [TOOLS_CHANGED]
        assert "old__new" in stage.names()

    def test_once_for_many(self, stage: Stage) -> None:
        """News of many servers in a moment are one, of each kind, for whoever asked for that kind."""
        listen(one := stage.client(), toolsListChanged=True)
        listen(two := stage.client(), toolsListChanged=True, resourcesListChanged=True)
        for name in ("m", "n"):
            acknowledge(stage.child(name))
            news(stage.child(name), TOOLS_CHANGED)
            news(stage.child(name), "notifications/resources/list_changed")
        assert [each["method"] for each in told(stage, one)] == [TOOLS_CHANGED]
        assert len(told(stage, two)) == 2
        assert told(stage, one) == told(stage, one)

    def test_another_view(self, stage: Stage) -> None:
        """A view that lists none of the servers' tools has no news of them."""
        listen(client := stage.client("/mcp/search"), toolsListChanged=True)
        stage.child("old").say(note(TOOLS_CHANGED))
        assert told(stage, client) == []

    def test_resources(self, stage: Stage) -> None:
        """Changes of a resource come from its server, in either era, and to nobody else."""
        listen(client := stage.client(), "l", resourceSubscriptions=[ONE, TWO])
        listen(other := stage.client(), toolsListChanged=True)
        acknowledge(stage.child("m"))
        old = stage.child("old")
        old.answer(old.asked("resources/subscribe")[0], {})
        news(stage.child("m"), UPDATED, uri=ONE)
        old.say(note(UPDATED, uri=TWO))
        assert [each["params"] for each in told(stage, client)] == [
            {"uri": ONE, "_meta": {SUBSCRIPTION: "l"}},
            {"uri": TWO, "_meta": {SUBSCRIPTION: "l"}},
        ]
        assert told(stage, other) == []

    def test_a_task(self, stage: Stage) -> None:
        """The changes of a task are told to the client that has begun it."""
        declares = meta(**{PREFIX + "clientCapabilities": {"extensions": {TASKS: {}}}})
        asked = stage.call(stage.client(), "m__echo", envelope=declares)
        stage.child("m").answer(asked, {"resultType": "task", "taskId": "t1", "status": "working"})
        listen(client := stage.client(), taskIds=["t1", "t2"])
        assert acknowledge(stage.child("m"))["taskIds"] == ["t1"]
        news(stage.child("m"), "notifications/tasks", taskId="t1", status="completed")
        assert [each["params"]["taskId"] for each in told(stage, client)] == ["t1"]

    def test_a_server_that_is_started_later(self, stage: Stage) -> None:
        """A server is heard from its start on, and again from its next one."""
        listen(client := stage.client(), toolsListChanged=True)
        stage.child("m").exit(0)
        stage.call(stage.client(), "m__echo")
        child = stage.child("m")
        assert len(stage.children("m")) == 2
        assert "toolsListChanged" in last_listen(child)
        acknowledge(child)
        stage.offers["m"]["tools/list"] = [tool("other")]
        before = len(told(stage, client))
        news(child, TOOLS_CHANGED)
        assert len(told(stage, client)) == before + 1
        assert "m__other" in stage.names()

    def test_a_child_that_lists_something_else(self, stage: Stage) -> None:
        """A child that lists something else than its forerunner is asked, and whoever listens is told."""
        listen(client := stage.client(), toolsListChanged=True)
        stage.child("n").exit(0)
        stage.offers["n"]["tools/list"] = [tool("other")]
        stage.send(stage.client(), "tools/call", name="n__echo")
        assert TOOLS_CHANGED in [each["method"] for each in told(stage, client)]
        assert "n__other" in stage.names()

    def test_a_server_that_is_added(self, stage: Stage) -> None:
        """Servers that are added, or taken away, are news; their tools can be called at once."""
        listen(client := stage.client(), toolsListChanged=True)
        stage.serve(modern("m"), modern("n"), legacy("old"), modern("more"))
        stage.offers["more"] = {"tools/list": [tool("echo")]}
        assert [each["method"] for each in told(stage, client)] == [TOOLS_CHANGED]
        asked = stage.call(stage.client(), "more__echo")
        done(stage.child("more"), asked)
        acknowledge(stage.child("more"))
        news(stage.child("more"), TOOLS_CHANGED)
        assert len(told(stage, client)) > 1

    def test_not_kept_running(self, stage: Stage) -> None:
        """A server need not run because a client listens to the view."""
        listen(stage.client(), toolsListChanged=True)
        for slot in stage.gateway.dispatcher.pool:
            assert not slot.listening


class EndTests:
    """Ends of a listening."""

    def test_hanging_up(self, stage: Stage) -> None:
        """With its client everything ends that was asked for it."""
        listen(client := stage.client(), toolsListChanged=True, resourceSubscriptions=[ONE, TWO])
        acknowledge(stage.child("m"))
        old = stage.child("old")
        old.answer(old.asked("resources/subscribe")[0], {})
        hang_up(client)
        assert len(stage.registry._subscriptions) == 0
        assert "resourceSubscriptions" not in last_listen(stage.child("m"))
        assert len(old.asked("resources/unsubscribe")) == 1
        news(stage.child("m"), TOOLS_CHANGED)
        stage.wait(DEBOUNCE_S)

    def test_the_gateways_end(self, stage: Stage) -> None:
        """A gateway that stops ends it in order."""
        listen(client := stage.client(), "l", toolsListChanged=True, resourceSubscriptions=[ONE])
        acknowledge(stage.child("m"))
        stage.gateway.hub.close()
        assert reply(client) == {
            "jsonrpc": "2.0",
            "id": "l",
            "result": {"resultType": "complete", "_meta": {SUBSCRIPTION: "l"}},
        }
        assert len(stage.registry._subscriptions) == 0

    def test_a_servers_end(self, stage: Stage) -> None:
        """A server that tells no more of what it had agreed to ends it, since there is no taking that back."""
        listen(client := stage.client(), toolsListChanged=True, resourceSubscriptions=[ONE])
        acknowledge(stage.child("m"))
        child = stage.child("m")
        child.say(note(CANCELLED, requestId=child.asked(LISTEN)[-1]["id"]))
        assert reply(client)["result"]["resultType"] == "complete"

    def test_a_server_that_restarts(self, stage: Stage) -> None:
        """The death of a child ends nothing; its successor is asked again."""
        listen(client := stage.client(), resourceSubscriptions=[ONE])
        acknowledge(stage.child("m"))
        stage.child("m").exit(1)
        stage.gateway.tick(10)
        stage.answer()
        acknowledge(stage.child("m"))
        news(stage.child("m"), UPDATED, uri=ONE)
        assert reply(client) is None
        assert UPDATED in methods(client)

    def test_a_view_that_goes(self, stage: Stage) -> None:
        """A server that is taken away ends the listening to its resources."""
        listen(client := stage.client(), resourceSubscriptions=[ONE])
        acknowledge(stage.child("m"))
        stage.serve(modern("n"), legacy("old"))
        assert reply(client)["result"]["resultType"] == "complete"
