"""A new server is asked for its tools before several clients share it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import Bridge, ServerSpec, Share
from mcpgateway.hub.probes.sharing import LOOK_S
from mcpgateway.policy.sharing import launch_digest
from mcpgateway.protocol.versions import Era
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.modern_client import done, post, request

STATEFUL = [{"name": "git_status"}, {"name": "git_set_working_dir"}]
PLAIN = [{"name": "search"}]


def gateway_of(store: Journal | None = None, **said: Any) -> MemoryGateway:
    """A gateway with one server of which nothing is known."""
    server = ServerSpec("new", ("run",), {}, "/", share=Share.AUTO, title="new", **said)
    return MemoryGateway(more=(server,), looks=True, store=store, bridge=Bridge.ALWAYS)


def begin(gateway: MemoryGateway) -> Client:
    """A client that begins a session, whose answer may have to wait."""
    client = gateway.client("new")
    client.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}})
    return client


def go_on(client: Client) -> Client:
    """The same client, which has got its session's id."""
    assert client.heard is not None
    identifier = client.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0].decode()
    client.headers["Mcp-Session-Id"] = identifier
    return client


def list_tools(child: MemoryChild, tools: list[dict[str, str]]) -> None:
    """Answer the gateway's own question."""
    child.answer(child.asked("tools/list")[0], {"tools": tools})


def children(gateway: MemoryGateway) -> list[MemoryChild]:
    """The children that have been sent calls."""
    return [each for each in gateway.launcher.children if each.asked("tools/call")]


class TwoClientsTests:
    """The first two clients of a server that keeps state."""

    def test_apart(self) -> None:
        """The two clients get a child each, though the server was new when they came."""
        gateway = gateway_of()
        first, second = begin(gateway), begin(gateway)
        assert first.heard is None
        assert len(gateway.launcher.children) == 1
        list_tools(gateway.child, STATEFUL)
        for each in (first, second):
            go_on(each).call(1, name="git_status")
        assert [len(each.asked("tools/call")) for each in children(gateway)] == [1, 1]
        spec = gateway.dispatcher.servers["new"]
        assert gateway.dispatcher.pool.scope(spec) is Share.SESSION
        assert "git_set_working_dir" in gateway.dispatcher.pool.reason(spec)

    def test_child_of_the_look_ends(self) -> None:
        """The child that was only looked at does not stay."""
        gateway = gateway_of()
        client = begin(gateway)
        list_tools(gateway.child, STATEFUL)
        go_on(client).call(1, name="git_status")
        gateway.clock.advance(1)
        first, own = gateway.launcher.children
        assert first.is_stopping
        assert not own.is_stopping

    def test_together(self) -> None:
        """A server whose tools say nothing of the kind is shared."""
        gateway = gateway_of()
        first, second = begin(gateway), begin(gateway)
        list_tools(gateway.child, PLAIN)
        for each in (first, second):
            go_on(each).call(1, name="search")
        assert [len(each.asked("tools/call")) for each in children(gateway)] == [2]

    def test_says_nothing(self) -> None:
        """A server that does not list its tools is shared after a while, and asked again when it starts again."""
        gateway = gateway_of()
        client = begin(gateway)
        gateway.clock.advance(LOOK_S + 1)
        go_on(client).call(1, name="search")
        assert len(gateway.child.asked("tools/call")) == 1
        gateway.child.exit()
        client.call(2, name="search")
        assert len(gateway.launcher.children[-1].asked("tools/list")) == 1

    def test_ends_meanwhile(self) -> None:
        """A child that ends while it is looked at is like one that ends at its start."""
        gateway = gateway_of()
        client = begin(gateway)
        gateway.child.exit(1)
        assert client.heard is not None
        assert "error" in client.heard.json

    def test_pages(self) -> None:
        """A list in pages is read to its end."""
        gateway = gateway_of()
        client = begin(gateway)
        asked = gateway.child.asked("tools/list")[0]
        gateway.child.answer(asked, {"tools": PLAIN, "nextCursor": "2"})
        assert client.heard is None
        following = gateway.child.asked("tools/list")[1]
        assert following["params"] == {"cursor": "2"}
        gateway.child.answer(following, {"tools": STATEFUL})
        assert gateway.dispatcher.pool.scope(gateway.dispatcher.servers["new"]) is Share.SESSION


class RecordTests:
    """The sharing of a server is found out once."""

    @pytest.mark.parametrize("tools", [STATEFUL, PLAIN])
    def test_next_start(self, tools: list[dict[str, str]]) -> None:
        """The next gateway asks no more."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        before = gateway_of(store)
        begin(before)
        list_tools(before.child, tools)
        after = gateway_of(store)
        client = go_on(begin(after))
        client.call(1, name="git_status")
        assert not after.child.asked("tools/list")
        spec = after.dispatcher.servers["new"]
        assert (after.dispatcher.pool.scope(spec) is Share.SESSION) is (tools is STATEFUL)

    def test_said(self) -> None:
        """Where the entry says how it is shared, there is nothing to find out."""
        server = ServerSpec("new", ("run",), {}, "/", share=Share.GLOBAL, title="new")
        gateway = MemoryGateway(more=(server,), looks=True)
        go_on(begin(gateway))
        assert not gateway.child.asked("tools/list")

    def test_by_its_own_name(self) -> None:
        """A server that introduces itself as one that is known to keep state is not asked."""
        gateway = gateway_of()
        assert gateway.launcher.hello is not None
        gateway.launcher.hello["serverInfo"] = {"name": "sequential-thinking-server", "version": "1"}
        first, second = begin(gateway), begin(gateway)
        assert not gateway.child.asked("tools/list")
        for each in (first, second):
            go_on(each).call(1, name="sequentialthinking")
        assert len(children(gateway)) == 2


class OtherDoorsTests:
    """Clients without a session."""

    def test_anonymous(self) -> None:
        """A legacy client that has begun none is told to, when it turns out to be needed."""
        gateway = gateway_of()
        client = gateway.client("new")
        client.call(1, name="git_status")
        list_tools(gateway.child, STATEFUL)
        assert client.heard is not None
        assert client.heard.json["error"]["code"] == -32000
        assert "keeps state" in client.heard.json["error"]["data"]["hint"]
        client.call(2, name="git_status")
        assert client.heard.status == 400

    @pytest.mark.parametrize("speaks", [(Era.LEGACY,), (Era.MODERN,)])
    def test_modern(self, speaks: tuple[Era, ...]) -> None:
        """Modern clients are told apart by their processes, from the first request on."""
        gateway = gateway_of(protocol=speaks[0])
        gateway.launcher.eras["new"] = speaks
        clients = [gateway.client("new") for _ in range(2)]
        for number, each in enumerate(clients):
            post(each, request(number, "tools/call", name="git_status"), X_Client_Pid=str(4000 + number))
        answered: set[tuple[int, int]] = set()
        for _ in range(6):  # the headers of a call are checked against the tools of each child, too
            for child in list(gateway.launcher.children):
                for asked in child.asked("tools/list"):
                    if (child.pid, asked["id"]) not in answered:
                        answered.add((child.pid, asked["id"]))
                        done(child, asked, tools=STATEFUL)
        assert [len(each.asked("tools/call")) for each in children(gateway)] == [1, 1]


class AskingTests:
    """A server that was seen asking, which has a child for each session."""

    @pytest.mark.parametrize("era", Era)
    def test_clients_without_a_session(self, era: Era) -> None:
        """Clients that cannot be asked share one child, which gets their calls as soon as it has started."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        gateway = gateway_of(store, protocol=Era.LEGACY)
        store.judge(launch_digest(gateway.dispatcher.servers["new"]), "elicitation/create")
        clients = [gateway.client("new") for _ in range(2)]
        for number, each in enumerate(clients):
            if era is Era.MODERN:
                post(each, request(number, "tools/call", name="search"))
            else:
                each.call(number, name="search")
        answered: set[tuple[int, int]] = set()
        for _ in range(6):
            for child in list(gateway.launcher.children):
                for asked in child.asked("tools/list"):
                    if (child.pid, asked["id"]) not in answered:
                        answered.add((child.pid, asked["id"]))
                        child.answer(asked, {"tools": PLAIN})
            gateway.clock.advance(1)
        assert [len(each.asked("tools/call")) for each in gateway.launcher.children] == [2]

    def test_a_session_and_others(self) -> None:
        """Where it is seen asking meanwhile, a session gets a child of its own; the others keep the one that starts."""
        gateway = gateway_of(protocol=Era.LEGACY)
        first, anonymous = begin(gateway), gateway.client("new")
        anonymous.call(1, name="search")
        gateway.dispatcher.pool.move(gateway.dispatcher.servers["new"], "elicitation/create")
        list_tools(gateway.launcher.children[0], PLAIN)
        go_on(first).call(1, name="search")
        assert [len(each.asked("tools/call")) for each in gateway.launcher.children] == [1, 1]
