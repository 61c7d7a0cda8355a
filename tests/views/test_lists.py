"""Lists of views: the tools, prompts and resources of all servers, asked for once and known from then on."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.owntools.missing_servers import KEY, NOT_YET
from mcpgateway.policy.recorded_answers import Catalog
from mcpgateway.views.lists import LIST_S, PATIENCE_S, PAUSE_S, TRIES
from tests.support.gateway_in_memory import Client, MemoryGateway
from tests.support.views import Offer, Stage, tool

TOOLS = "notifications/tools/list_changed"


@pytest.fixture
def stage() -> Stage:
    """Two servers."""
    return Stage()


def leave(stage: Stage, client: Client) -> None:
    """End a client's session, on another connection: its own waits for an answer."""
    other = stage.gateway.client(**client.headers)
    assert other.ask(b"", "DELETE", client.path).status == 200


class HelloTests:
    """The beginning of a session of a view."""

    def test_at_once(self, stage: Stage) -> None:
        """No server is started for the handshake, and all lists may change."""
        client = stage.view()
        assert client.heard is not None
        hello = client.heard.json["result"]
        assert stage.gateway.launcher.children == []
        assert hello["protocolVersion"] == "2025-06-18"
        assert hello["serverInfo"]["name"] == "mcpgateway"
        assert {"tools", "resources", "prompts", "logging", "completions"} <= hello["capabilities"].keys()
        assert hello["capabilities"]["resources"] == {"listChanged": True, "subscribe": True}

    def test_topology(self, stage: Stage) -> None:
        """The version names what is listed, in eight digits that change with it."""
        versions = []
        for _ in range(2):
            client = stage.view()
            assert client.heard is not None
            versions.append(client.heard.json["result"]["serverInfo"]["version"])
            stage.list(client)
        assert versions[0] != versions[1]
        assert all(len(each.partition("+")[2]) == 8 for each in versions)

    def test_instructions(self) -> None:
        """The full view has the instructions of the servers by their names, as far as they are on record."""
        stage = Stage(Recorded())
        hello = stage.gateway.launcher.hello
        assert hello is not None
        hello["instructions"] = "Count slowly." + "x" * 5000
        stage.list(stage.view())
        client = stage.view()
        assert client.heard is not None
        said = client.heard.json["result"]["instructions"]
        assert "## shared\nCount slowly." in said
        assert len(said) < 5000


class Recorded(MemoryGateway):
    """A gateway that keeps what servers have answered."""

    def __init__(self, **fields: Any) -> None:
        self.catalogs = Files()
        super().__init__(**fields)


class Files:
    """Catalogs that outlive a gateway, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Catalog] = {}

    def read(self, name: str) -> Catalog:
        return self.kept.get(name, Catalog())

    def write(self, name: str, catalog: Catalog) -> bool:
        self.kept[name] = catalog
        return True

    def close(self) -> None:
        """Everything is on record."""

    def erase(self, name: str) -> None:
        self.kept.pop(name, None)


class ListTests:
    """Lists of all servers."""

    def test_tools(self, stage: Stage) -> None:
        """Every tool is listed with its server in its name and its description, all else as it is written."""
        stage.offers["shared"] = Offer(tools=[tool("echo", annotations={"readOnlyHint": True}, x=1.0)])
        found = {each["name"]: each for each in stage.list(stage.view())["tools"]}
        assert found["shared__echo"] == {
            "name": "shared__echo",
            "description": "[shared] Does echo",
            "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": True},
            "x": 1.0,
        }
        assert "own__count" in found

    def test_once(self, stage: Stage) -> None:
        """A list that is known is not asked for again, whichever client wants it."""
        stage.list(stage.view())
        asked = sum(len(each.asked("tools/list")) for each in stage.gateway.launcher.children)
        other = stage.view()
        other.call(1, "tools/list")
        assert other.heard is not None
        assert len(other.heard.json["result"]["tools"]) >= 2
        assert sum(len(each.asked("tools/list")) for each in stage.gateway.launcher.children) == asked

    def test_pages(self, stage: Stage) -> None:
        """A server's list is read to its end; a view's is one page."""
        client = stage.view()
        client.call(1, "tools/list")
        stage.begin()
        child = stage.child("shared")
        child.answer(child.asked("tools/list")[0], {"tools": [tool("a")], "nextCursor": "2"})
        second = child.asked("tools/list")[1]
        assert second["params"] == {"cursor": "2"}
        child.answer(second, {"tools": [tool("b")]})
        names = stage.names(client)
        assert {"shared__a", "shared__b", "own__count"} <= set(names)
        client.call(2, "tools/list", cursor="2")
        assert client.heard.json["error"]["code"] == -32602

    def test_prompts(self, stage: Stage) -> None:
        """Prompts are named like tools."""
        stage.offers["shared"] = Offer(tools=[], prompts=[{"name": "greet", "description": "Hi"}])
        assert stage.names(stage.view(), "prompts/list") == ["shared__greet"]

    def test_resources(self, stage: Stage) -> None:
        """Resources keep their URIs; of two with the same one the second is listed under another."""
        stage.offers["shared"] = Offer(tools=[], resources=[{"uri": "a://x", "name": "x"}])
        stage.offers["own"] = Offer(
            tools=[], resources=[{"uri": "a://x", "name": "y"}, {"uri": "b://z", "name": "z"}]
        )
        found = stage.list(stage.view(), "resources/list")["resources"]
        assert [(each["uri"], each["name"]) for each in found] == [
            ("a://x", "x"),
            ("mcpgateway:own/a://x", "y"),
            ("b://z", "z"),
        ]

    def test_nothing_declared(self, stage: Stage) -> None:
        """A server that says it has no prompts is not asked for them."""
        hello = stage.gateway.launcher.hello
        assert hello is not None
        hello["capabilities"] = {"tools": {}}
        client = stage.view()
        stage.list(client)
        assert stage.list(client, "prompts/list") == {"prompts": []}
        assert not any(each.asked("prompts/list") for each in stage.gateway.launcher.children)

    def test_no_such_list(self, stage: Stage) -> None:
        """A server that does not know the method has nothing of the kind."""
        client = stage.view()
        client.call(1, "prompts/list")
        stage.begin()
        for child in stage.gateway.launcher.children:
            request = child.asked("prompts/list")[0]
            error = {"code": -32601, "message": "Method not found"}
            child.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
        client.call(2, "prompts/list")
        assert client.heard is not None
        assert client.heard.json["result"] == {"prompts": []}

    def test_its_error(self, stage: Stage) -> None:
        """The error that a server has answered with is the reason why it is missing."""
        stage.offers["shared"] = Offer(tools=None)
        client = stage.view()
        client.call(1, "tools/list")
        stage.begin()
        child = stage.child("shared")
        error = {"code": -32603, "message": "no database"}
        child.say({"jsonrpc": "2.0", "id": child.asked("tools/list")[0]["id"], "error": error})
        assert stage.list(client)["_meta"][KEY] == {"shared": "shared: no database"}

    @pytest.mark.parametrize("path", ["/mcp", "/mcp/full"])
    @pytest.mark.parametrize("capabilities", [{}, {"elicitation": {}}, {"roots": {}, "sampling": {}}])
    def test_at_once(self, stage: Stage, path: str, capabilities: dict[str, Any]) -> None:
        """A list is answered from what is known, with nothing begun before: what comes later is announced."""
        client = stage.view(path, **capabilities)
        client.call(1, "tools/list")
        assert client.heard is not None
        assert client.heard.json["result"]["tools"]
        assert stage.gateway.launcher.children == []
        stage.begin()
        assert {stage.name(each) for each in stage.gateway.launcher.children} == {"shared", "own"}

    @pytest.mark.parametrize(
        ("method", "key"),
        [
            ("tools/list", "shared__echo"),
            ("prompts/list", "shared__greet"),
            ("resources/list", "a://x"),
            ("resources/templates/list", "a://{x}"),
        ],
    )
    def test_late(self, stage: Stage, method: str, key: str) -> None:
        """A server that is missing is named, and announced when it comes; a client that asks again gets its tools."""
        offer = Offer(
            tools=[tool("echo")],
            prompts=[{"name": "greet"}],
            resources=[{"uri": "a://x", "name": "x"}],
            templates=[{"uriTemplate": "a://{x}", "name": "x"}],
        )
        stage.offers = {"shared": Offer(None, None, None, None), "own": Offer(tools=[])}
        client = stage.view()
        ears = stage.gateway.listen(client)
        client.call(1, method)
        stage.play()
        assert client.heard is not None
        result = client.heard.json["result"]
        assert key not in str(result)
        assert result["_meta"][KEY].keys() == {"shared", "own"}
        client.call(2, method)
        stage.gateway.clock.advance(LIST_S)
        assert client.heard.json["result"]["_meta"][KEY] == {"shared": NOT_YET}
        assert ears.heard is not None
        before = len(ears.heard.events)
        stage.offers["shared"] = offer
        stage.play()
        assert len(ears.heard.events) == before + 1
        found = stage.list(client, method)
        assert key in str(found)
        assert "_meta" not in found

    def test_told_once(self, stage: Stage) -> None:
        """A list that is given is no news any more, whoever listens only then."""
        client = stage.view()
        stage.list(client)
        ears = stage.gateway.listen(client)
        assert ears.heard is not None
        assert ears.heard.events == []

    def test_outdated(self, stage: Stage) -> None:
        """A client that is shown a list while its server is asked again hears when it is another."""
        client = stage.view()
        ears = stage.gateway.listen(client)
        stage.list(client)
        assert ears.heard is not None
        stage.offers["shared"].tools = None
        stage.child("shared").say({"jsonrpc": "2.0", "method": TOOLS})
        stage.gateway.clock.advance(0)
        told = len(ears.heard.events)
        client.call(1, "tools/list")
        assert client.heard is None
        stage.gateway.clock.advance(LIST_S)
        assert client.heard is not None
        assert "shared__echo" in str(client.heard.json["result"])
        assert "_meta" not in client.heard.json["result"]
        stage.offers["shared"].tools = [tool("other")]
        stage.play()
        assert len(ears.heard.events) == told + 1
        assert "shared__other" in stage.names(client)

    def test_outdated_and_the_same(self, stage: Stage) -> None:
        """If it is what it was there is nothing to hear."""
        client = stage.view()
        ears = stage.gateway.listen(client)
        stage.list(client)
        assert ears.heard is not None
        offer, stage.offers["shared"].tools = stage.offers["shared"].tools, None
        stage.child("shared").say({"jsonrpc": "2.0", "method": TOOLS})
        client.call(1, "tools/list")
        stage.gateway.clock.advance(LIST_S)
        told = len(ears.heard.events)
        stage.offers["shared"].tools = offer
        stage.play()
        assert len(ears.heard.events) == told

    def test_running(self, stage: Stage) -> None:
        """A server that runs and answers at once is on the list, which waits a moment for it."""
        stage.gateway.session("shared")
        client = stage.view()
        client.call(1, "tools/list")
        assert client.heard is None
        stage.play()
        assert client.heard is not None
        assert "shared__echo" in str(client.heard.json["result"])
        assert client.heard.json["result"]["_meta"][KEY] == {"own": NOT_YET}

    @pytest.mark.parametrize("path", ["/mcp/search", "/mcp/admin"])
    def test_nothing_shown(self, stage: Stage, path: str) -> None:
        """Where nothing of theirs is listed, no server is started for a list."""
        client = stage.view(path)
        client.call(1, "tools/list")
        assert client.heard is not None
        assert client.heard.json["result"]["tools"]
        assert stage.gateway.launcher.children == []

    def test_waited_for_once(self, stage: Stage) -> None:
        """Once somebody has waited in vain for servers that a name says nothing of, nobody does until they answer."""
        stage.gateway.serve(*stage.gateway.settings.servers, ServerSpec("bare", ("run",), {}, "/", prefix=""))
        stage.offers["bare"] = Offer(tools=None)
        client = stage.view()
        client.call(1, "tools/call", name="nothing", arguments={})
        stage.play()
        assert client.heard is None
        stage.gateway.clock.advance(PATIENCE_S)
        assert client.heard is not None
        error = client.heard.json["error"]
        assert "Unknown tool" in error["message"]
        assert error["data"]["missing"].keys() == {"bare"}
        assert "bare" in error["data"]["hint"]
        client.call(2, "tools/call", name="nothing", arguments={})
        assert "Unknown tool" in client.heard.json["error"]["message"]

    def test_one_wait_for_a_resource(self, stage: Stage) -> None:
        """A client that reads a resource on no list waits for the lists of both kinds at the same time."""
        stage.offers["own"] = Offer(tools=[], resources=None, templates=None)
        client = stage.view()
        client.call(1, "resources/read", uri="a://nothing")
        stage.play()
        assert client.heard is None
        stage.gateway.clock.advance(PATIENCE_S)
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32002

    def test_broken(self, stage: Stage) -> None:
        """A server that cannot be started does not keep the others from being listed, and has a respite."""
        stage.gateway.serve(
            *stage.gateway.settings.servers, ServerSpec("bad", ("run",), {}, "/", share=Share.GLOBAL)
        )
        stage.offers["bad"] = Offer(tools=None)
        client = stage.view()
        client.call(1, "tools/list")
        stage.play()
        for _ in range(TRIES):
            stage.child("bad").exit(1)
            stage.play()
        starts = len(stage.gateway.launcher.children)
        missing = stage.list(client)["_meta"][KEY]
        assert missing.keys() == {"bad"}
        assert "ended" in missing["bad"]
        assert "shared__echo" in stage.names(client)
        assert len(stage.gateway.launcher.children) == starts
        stage.gateway.tick(int(PAUSE_S))
        client.call(2, "tools/list")
        stage.begin()
        assert len(stage.gateway.launcher.children) > starts

    def test_while_it_backs_off(self, stage: Stage) -> None:
        """A server that has failed to start is not started again for whoever only looks, but for a call."""
        launcher, client = stage.gateway.launcher, stage.view()
        hello, launcher.hello = launcher.hello, None
        client.call(1, "tools/call", name="shared__echo", arguments={})
        stage.child("shared").exit(3)
        listed = stage.gateway.client(**client.headers)
        listed.path = client.path
        for tick in (0, 4):
            stage.gateway.tick(tick)
            listed.call(2, "tools/list")
            stage.play()
            assert "shared ended" in listed.heard.json["result"]["_meta"][KEY]["shared"]
            listed.call(3, "tools/call", name="gateway_list_tools", arguments={"server": "shared"})
            said = listed.heard.json["result"]["content"][0]["text"]
            assert "shared ended" in said
            assert "mcpgateway servers restart shared" in said
            assert [stage.name(each) for each in launcher.children].count("shared") == 1
        launcher.hello = hello
        listed.call(4, "tools/call", name="gateway_invoke", arguments={"id": "shared__echo"})
        stage.play()
        assert stage.child("shared").asked("tools/call")
        assert "shared__echo" in stage.names(client)

    def test_after_it_backed_off(self, stage: Stage) -> None:
        """Later it is started for a list, too."""
        launcher, client = stage.gateway.launcher, stage.view()
        hello, launcher.hello = launcher.hello, None
        client.call(1, "tools/call", name="shared__echo", arguments={})
        stage.child("shared").exit(3)
        launcher.hello = hello
        stage.gateway.tick(int(PAUSE_S))
        assert "shared__echo" in stage.names(client)

    def test_killed_meanwhile(self, stage: Stage) -> None:
        """A server that is killed while it is asked for the first time is asked once more, and its tools are listed."""
        offer, stage.offers["shared"] = stage.offers["shared"], Offer(tools=None)
        client = stage.view()
        client.call(1, "tools/list")
        stage.begin()
        stage.child("shared").exit(9)
        stage.offers["shared"] = offer
        stage.play()
        assert "shared__echo" in stage.names(client)

    def test_sessions_of_their_own(self, stage: Stage) -> None:
        """A server with a child for each client is asked in the client's own, and in no other way."""
        stage.list(stage.view(roots={}))
        client = stage.view(sampling={})
        assert "own__count" in stage.names(client)
        hellos = [
            each.asked("initialize")[0]["params"]["capabilities"]
            for each in stage.gateway.launcher.children
            if stage.name(each) == "own"
        ]
        assert hellos == [{"roots": {}}, {"sampling": {}}]

    def test_changed_meanwhile(self, stage: Stage) -> None:
        """A client's own child that says that its list has changed before it is listed is on the first list too."""
        client = stage.view()
        client.call(1, "tools/list")
        stage.begin()
        stage.child("own").say({"jsonrpc": "2.0", "method": TOOLS})
        stage.play()
        assert "own__count" in stage.names(client)

    def test_one_of_them_leaves(self, stage: Stage) -> None:
        """A call that waits for the lists of another client's child gets them from its own, when that client leaves."""
        offer, stage.offers["own"] = stage.offers["own"], Offer(tools=None)
        first, second = stage.view(), stage.view()
        for each in (first, second):
            each.call(1, "tools/call", name="own__count")
        stage.play()
        assert second.heard is None
        leave(stage, first)
        stage.offers["own"] = offer
        stage.play()
        assert stage.child("own").asked("tools/call")

    def test_the_only_one_leaves(self, stage: Stage) -> None:
        """A client that leaves while its child is asked is no reason to leave the server alone."""
        offer, stage.offers["own"] = stage.offers["own"], Offer(tools=None)
        first = stage.view()
        first.call(1, "tools/call", name="own__count")
        stage.play()
        leave(stage, first)
        stage.offers["own"] = offer
        assert "own__count" in stage.names(stage.view())


class NewsTests:
    """Lists that change."""

    def test_changed(self, stage: Stage) -> None:
        """A view's list changes with a server's: it is said once, and the new tool is there."""
        client = stage.view()
        stage.list(client)
        ears = stage.gateway.listen(client)
        stage.offers["shared"].tools = [tool("echo"), tool("new")]
        stage.child("shared").say({"jsonrpc": "2.0", "method": TOOLS})
        stage.play()
        assert ears.heard is not None
        assert [each["method"] for each in ears.heard.events] == [TOOLS]
        assert "shared__new" in stage.names(client)
        assert [each["method"] for each in ears.heard.events] == [TOOLS]

    def test_not_on_search(self, stage: Stage) -> None:
        """The list of a view without servers' tools does not change with these."""
        stage.list(stage.view())
        client = stage.view("/mcp/search")
        ears = stage.gateway.listen(client)
        stage.child("shared").say({"jsonrpc": "2.0", "method": TOOLS})
        stage.play()
        assert ears.heard is not None
        assert ears.heard.events == []

    def test_one_client_s(self, stage: Stage) -> None:
        """A change in one client's own child changes the lists of no other client."""
        one, other = stage.view(), stage.view()
        stage.list(one)
        stage.list(other)
        ears = [stage.gateway.listen(each) for each in (one, other)]
        one.call(1, "tools/call", name="own__count")
        other.call(1, "tools/call", name="own__count")
        child = next(each for each in stage.gateway.launcher.children if each.asked("tools/call"))
        stage.offers["own"] = Offer(tools=[tool("count"), tool("secret")])
        child.say({"jsonrpc": "2.0", "method": TOOLS})
        stage.play()
        assert ears[0].heard is not None
        assert ears[1].heard is not None
        assert [each["method"] for each in ears[0].heard.events] == [TOOLS]
        assert ears[1].heard.events == []
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert "own__secret" in stage.names(one)
        others = next(
            each for each in stage.gateway.launcher.children if each is not child and each.asked("tools/call")
        )
        others.answer(others.asked("tools/call")[0], {"content": []})
        assert "own__secret" not in stage.names(other)

    def test_callable_at_once(self, stage: Stage) -> None:
        """A tool that nobody has listed since it came is called all the same."""
        client = stage.view()
        stage.list(client)
        stage.offers["shared"].tools = [tool("echo"), tool("new")]
        stage.child("shared").say({"jsonrpc": "2.0", "method": TOOLS})
        client.call(5, "tools/call", name="shared__new", arguments={})
        stage.play()
        assert stage.child("shared").asked("tools/call")[0]["params"]["name"] == "new"

    def test_server_added(self, stage: Stage) -> None:
        """A server that the configuration adds is announced, and called at once."""
        client = stage.view()
        stage.list(client)
        ears = stage.gateway.listen(client)
        stage.gateway.serve(
            *stage.gateway.settings.servers, ServerSpec("more", ("run",), {}, "/", share=Share.GLOBAL)
        )
        stage.offers["more"] = Offer(tools=[tool("extra")])
        stage.gateway.clock.advance(0)
        assert ears.heard is not None
        assert TOOLS in [each["method"] for each in ears.heard.events]
        client.call(1, "tools/call", name="more__extra")
        stage.play()
        assert stage.child("more").asked("tools/call")[0]["params"]["name"] == "extra"

    def test_server_switched(self, stage: Stage) -> None:
        """The tools of a server that an operator has switched off are shown to nobody until it is on again."""
        client = stage.view()
        assert set(stage.names(client)) == {"shared__echo", "own__count"}
        ears = stage.gateway.listen(client)
        stage.gateway.health.disable("shared")
        stage.gateway.clock.advance(0)
        assert ears.heard is not None
        assert TOOLS in [each["method"] for each in ears.heard.events]
        assert stage.names(client) == ["own__count"]
        assert stage.names(stage.view()) == ["own__count"]
        stage.gateway.health.enable("shared")
        assert set(stage.names(client)) == {"shared__echo", "own__count"}

    def test_server_removed_with_jobs(self, stage: Stage) -> None:
        """A job that waits for others does not start a server again that has been taken out meanwhile."""
        client = stage.view()
        stage.list(client)
        gateway = stage.gateway
        for number in range(6):
            given = {"id": "shared__echo", "args": {}}
            client.call(number, "tools/call", name="gateway_invoke_async", arguments=given)
        started = len(gateway.launcher.children)
        gateway.serve(*(each for each in gateway.settings.servers if each.name != "shared"))
        gateway.clock.advance(1)
        assert len(gateway.launcher.children) == started
        assert stage.child("shared").is_stopping

    def test_server_removed(self, stage: Stage) -> None:
        """A server that is taken out leaves the view; its calls end, the session and the others live on."""
        client = stage.view()
        stage.list(client)
        other = stage.gateway.client(**client.headers)
        other.path = client.path
        other.call(1, "tools/call", name="shared__echo")
        stage.gateway.serve(*(each for each in stage.gateway.settings.servers if each.name != "shared"))
        assert other.heard is not None
        assert "error" in other.heard.json
        assert stage.names(client) == ["own__count"]
        assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 200


class RecordTests:
    """Servers that do not run, but are known."""

    def test_not_started(self) -> None:
        """A list on record is listed without starting a child."""
        stage = Stage(Recorded())
        stage.list(stage.view())
        again = Stage(Recorded())
        again.gateway.hub.snapshots.__dict__["_store"] = stage.gateway.catalogs
        stage.gateway.hub.snapshots.close()  # type: ignore[union-attr]  # it keeps them
        client = again.view()
        assert set(again.names(client)) == {"shared__echo", "own__count"}
        assert again.gateway.launcher.children == []

    def test_outdated_and_ended(self, stage: Stage) -> None:
        """A server that has said that its list is another, and has ended, is not started to say which."""
        client = stage.view()
        stage.list(client)
        child = stage.child("shared")
        child.say({"jsonrpc": "2.0", "method": TOOLS})
        child.exit()
        before = len(stage.gateway.launcher.children)
        assert "shared__echo" in stage.names(client)
        assert len(stage.gateway.launcher.children) == before

    def test_looked_at_and_called(self, stage: Stage) -> None:
        """The tools on record are shown without starting the server; a call of an unlisted one starts and asks it."""
        client = stage.view()
        stage.list(client)
        child = stage.child("shared")
        child.say({"jsonrpc": "2.0", "method": TOOLS})
        child.exit()
        stage.offers["shared"].tools = [tool("echo"), tool("new")]
        before = len(stage.gateway.launcher.children)
        client.call(1, "tools/call", name="gateway_list_tools", arguments={"server": "shared"})
        assert client.heard is not None
        assert "shared__echo" in client.heard.json["result"]["content"][0]["text"]
        assert len(stage.gateway.launcher.children) == before
        client.call(2, "tools/call", name="shared__new")
        stage.play()
        assert stage.child("shared").asked("tools/call")[0]["params"]["name"] == "new"

    def test_not_true_any_more(self) -> None:
        """A list that differs from the record is announced once its server runs."""
        stage = Stage(Recorded())
        stage.list(stage.view())
        again = Stage(Recorded(), shared=Offer(tools=[tool("echo"), tool("new")]))
        stage.gateway.hub.snapshots.close()  # type: ignore[union-attr]  # it keeps them
        again.gateway.hub.snapshots.__dict__["_store"] = stage.gateway.catalogs
        client = again.view()
        again.list(client)
        ears = again.gateway.listen(client)
        client.call(1, "tools/call", name="shared__echo")
        again.gateway.clock.advance(0)
        again.play()
        assert ears.heard is not None
        assert [each["method"] for each in ears.heard.events] == [TOOLS]
        child = again.child("shared")
        child.answer(child.asked("tools/call")[0], {"content": []})
        assert "shared__new" in again.names(client)
