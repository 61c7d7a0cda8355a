"""Several children of one server: which call goes where, and what the clients see of it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpgateway.config.model import WRITES, ServerSpec, Share
from mcpgateway.hub.replicas import ANNOUNCE_TICKS, IDLE_TICKS, PAUSE_TICKS
from mcpgateway.protocol.versions import Era
from tests.support.gateway_in_memory import Client, MemoryChild, MemoryGateway
from tests.support.modern_client import LOG, TOOLS_CHANGED, hang_up, list_tools, meta, post, request

N = 3


def gateway_of(era: Era = Era.LEGACY) -> MemoryGateway:
    """A gateway with one server that has three replicas and speaks one era."""
    server = ServerSpec("r", ("run",), {}, "/", share=Share.GLOBAL, protocol=era, title="r", replicas=N)
    made = MemoryGateway(more=(server,))
    made.launcher.eras["r"] = (era,)
    return made


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway of the legacy era."""
    return gateway_of()


def calls(gateway: MemoryGateway) -> list[int]:
    """Return the number of calls that each child was sent, in the order of their starts."""
    return [len(each.asked("tools/call")) for each in gateway.launcher.children]


def answer(child: MemoryChild) -> None:
    """Answer a child's latest call."""
    child.answer(child.asked("tools/call")[-1], {"content": []})


def busy(gateway: MemoryGateway, times: int) -> list[Client]:
    """Sessions that each have a call under way."""
    clients = [gateway.session("r") for _ in range(times)]
    for number, each in enumerate(clients):
        each.call(number)
    return clients


class SingleTests:
    """A server that may have one child only."""

    def test_no_replicas(self) -> None:
        """Calls that are kept apart go to one child, however many replicas the entry asks for."""
        server = ServerSpec(
            "w",
            ("run",),
            {},
            "/",
            share=Share.GLOBAL,
            protocol=Era.LEGACY,
            title="w",
            replicas=N,
            concurrency=WRITES,
        )
        made = MemoryGateway(more=(server,))
        for number in range(N):
            made.session("w").call(number)
        assert len(made.launcher.children) == 1


class LoadTests:
    """Children that calls go to."""

    def test_only_when_busy(self, gateway: MemoryGateway) -> None:
        """A server whose calls come one after the other needs one child."""
        client = gateway.session("r")
        for number in range(5):
            client.call(number)
            answer(gateway.child)
        assert calls(gateway) == [5]

    def test_side_by_side(self, gateway: MemoryGateway) -> None:
        """Calls that run at the same time are spread over all children, and no more are started."""
        busy(gateway, 7)
        assert sorted(calls(gateway)) == [2, 2, 3]

    def test_the_least_loaded(self, gateway: MemoryGateway) -> None:
        """The next call goes to the child that is done first."""
        clients = busy(gateway, N)
        answer(gateway.launcher.children[1])
        clients[1].call(9)
        assert calls(gateway) == [1, 2, 1]

    @pytest.mark.parametrize("method", ["tools/list", "resources/read", "prompts/get", "completion/complete"])
    def test_anything_else(self, gateway: MemoryGateway, method: str) -> None:
        """A request that calls no tool goes to the home, however busy it is."""
        busy(gateway, N)
        gateway.session("r").call(1, method, name="x", uri="x:y")
        assert [len(each.asked(method)) for each in gateway.launcher.children] == [1, 0, 0]

    def test_tasks(self, gateway: MemoryGateway) -> None:
        """A call that begins a task stays where the task can be asked for."""
        busy(gateway, N)
        gateway.session("r").call(1, name="t", task={})
        assert calls(gateway) == [2, 1, 1]

    def test_removed(self, gateway: MemoryGateway) -> None:
        """A server that is removed while its replicas are busy ends with all of them."""
        busy(gateway, N)
        gateway.serve(*(each for name, each in gateway.dispatcher.servers.items() if name != "r"))
        assert all(each.is_stopping for each in gateway.launcher.children)
        assert list(gateway.dispatcher.pool) == []

    def test_idle(self, gateway: MemoryGateway) -> None:
        """Replicas without work are let go of; the home stays."""
        busy(gateway, N)
        for child in gateway.launcher.children:
            answer(child)
        gateway.tick(IDLE_TICKS + 2)
        assert [each.is_stopping for each in gateway.launcher.children] == [False, True, True]
        busy(gateway, 2)
        assert calls(gateway) == [2, 1, 1, 1]

    def test_one_that_cannot_be_started(self, gateway: MemoryGateway) -> None:
        """A call that would have waited for it in vain goes to a child that runs; for a while no other is tried."""
        (first,) = busy(gateway, 1)
        gateway.launcher.refuses = True
        second = gateway.session("r")
        second.call(2)
        assert calls(gateway) == [2]
        gateway.launcher.refuses = False
        gateway.session("r").call(3)
        assert calls(gateway) == [3]
        gateway.tick(PAUSE_TICKS)
        gateway.session("r").call(4)
        assert calls(gateway) == [3, 1]
        for asked in gateway.launcher.children[0].asked("tools/call"):
            gateway.launcher.children[0].answer(asked, {"content": []})
        assert first.heard is not None
        assert second.heard is not None

    def test_one_that_ends(self, gateway: MemoryGateway) -> None:
        """Only the calls that it had end with a replica; its sessions learn nothing of it."""
        clients = busy(gateway, N)
        gateway.launcher.children[1].exit(1)
        heard = [each.heard for each in clients]
        assert [each is not None for each in heard] == [False, True, False]
        clients[1].call(5)
        assert calls(gateway) == [1, 1, 1, 1]
        listener = gateway.listen(clients[0])
        assert b"list_changed" not in listener.transport.taken


class EverybodyTests:
    """Messages that have to reach all children, or come from any."""

    def test_cancelled(self, gateway: MemoryGateway) -> None:
        """A cancellation finds the child that has the call."""
        clients = busy(gateway, N)
        said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}
        gateway.client("r", **clients[2].headers).ask(said)
        cancelled = [len(each.asked("notifications/cancelled")) for each in gateway.launcher.children]
        assert cancelled == [0, 0, 1]

    def test_the_end_of_a_session(self, gateway: MemoryGateway) -> None:
        """A session that ends takes its calls back wherever they are."""
        clients = busy(gateway, N)
        gateway.client("r", **clients[1].headers).ask(b"", "DELETE")
        cancelled = [len(each.asked("notifications/cancelled")) for each in gateway.launcher.children]
        assert cancelled == [0, 1, 0]
        assert len(gateway.dispatcher.calls) == N - 1

    def test_progress(self, gateway: MemoryGateway) -> None:
        """Progress comes from the child that works, under the client's own token."""
        busy(gateway, 1)
        client = gateway.session("r")
        client.call(1, name="t", _meta={"progressToken": "mine"})
        child = gateway.launcher.children[1]
        token = child.asked("tools/call")[0]["params"]["_meta"]["progressToken"]
        child.say(
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": token, "progress": 1},
            }
        )
        assert client.heard is not None
        assert client.heard.events[0]["params"]["progressToken"] == "mine"

    def test_log_messages(self, gateway: MemoryGateway) -> None:
        """A log message of a child at work is heard by the client that it works for."""
        clients = busy(gateway, N)
        for child in gateway.launcher.children:
            said = {"level": "error", "data": child.pid}
            child.say({"jsonrpc": "2.0", "method": LOG, "params": said})
        heard = [each.heard.events[0]["params"]["data"] for each in clients if each.heard is not None]
        assert heard == [each.pid for each in gateway.launcher.children]

    def test_levels(self, gateway: MemoryGateway) -> None:
        """All children are told from which level on the sessions want to hear, and so is one that comes after."""
        busy(gateway, N - 1)
        for each in list(gateway.sessions):
            each.level, each.has_level = "error", True
        client = gateway.session("r")
        client.call(1, "logging/setLevel", level="warning")
        told = [each.asked("logging/setLevel")[-1]["params"] for each in gateway.launcher.children]
        assert told == [{"level": "warning"}] * (N - 1)
        client = gateway.session("r")
        client.call(1)
        assert gateway.child.asked("logging/setLevel")[-1]["params"] == {"level": "debug"}
        assert len(gateway.launcher.children) == N

    @pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1), (1,), (0,)])
    def test_changed_lists(self, gateway: MemoryGateway, order: tuple[int, ...]) -> None:
        """The news that a list has changed is told once, whichever of the children say so."""
        client = busy(gateway, N)[0]
        listener = gateway.listen(client)
        for nth in order:
            gateway.launcher.children[nth].say({"jsonrpc": "2.0", "method": TOOLS_CHANGED})
        gateway.tick(ANNOUNCE_TICKS + 1)
        assert listener.transport.taken.count(b"tools/list_changed") == 1
        gateway.launcher.children[order[0]].say({"jsonrpc": "2.0", "method": TOOLS_CHANGED})
        gateway.tick(ANNOUNCE_TICKS + 1)
        assert listener.transport.taken.count(b"tools/list_changed") == 2

    def test_draining(self, gateway: MemoryGateway) -> None:
        """A gateway that stops waits for the calls of all children."""
        busy(gateway, N)
        assert gateway.dispatcher.calls.awaited() == N
        gateway.dispatcher.close()
        assert all(each.is_stopping for each in gateway.launcher.children)


class EraTests:
    """Clients and servers of either era."""

    @pytest.mark.parametrize("era", list(Era))
    def test_modern_clients(self, era: Era) -> None:
        """The calls of modern clients are spread as well, and those that may become tasks are not."""
        gateway = gateway_of(era)
        clients = [gateway.client("r") for _ in range(N)]
        for each in clients:
            post(each, request(1, "tools/call", name="t"))
            list_tools(gateway.launcher.children[0])
        assert calls(gateway) == [1, 1, 1]
        for child in gateway.launcher.children:
            child.answer(child.asked("tools/call")[0], {"resultType": "complete", "content": []})
        assert all(each.heard is not None and each.heard.status == 200 for each in clients)

    @pytest.mark.parametrize("era", list(Era))
    def test_hanging_up(self, era: Era) -> None:
        """A modern client that hangs up takes its call back from whichever child has it."""
        gateway = gateway_of(era)
        clients = [gateway.client("r") for _ in range(2)]
        for each in clients:
            post(each, request(1, "tools/call", name="t"))
            list_tools(gateway.launcher.children[0])
        hang_up(clients[1])
        cancelled = [len(each.asked("notifications/cancelled")) for each in gateway.launcher.children]
        assert cancelled == [0, 1]

    def test_legacy_clients(self) -> None:
        """The calls of legacy clients are spread over the children of a modern server."""
        gateway = gateway_of(Era.MODERN)
        clients = busy(gateway, N)
        assert calls(gateway) == [1, 1, 1]
        gateway.client("r", **clients[1].headers).ask(b"", "DELETE")
        cancelled: list[Any] = [each.asked("notifications/cancelled") for each in gateway.launcher.children]
        assert [bool(each) for each in cancelled] == [False, True, False]

    def test_messages_across_the_eras(self) -> None:
        """A message of the child that has the call, and no other, is told on it."""
        gateway = gateway_of()
        clients = [gateway.client("r") for _ in range(2)]
        level = {"io.modelcontextprotocol/logLevel": "info"}
        for each in clients:
            post(each, request(1, "tools/call", meta(**level), name="t"))
            list_tools(gateway.launcher.children[0])
        gateway.launcher.children[1].say(
            {"jsonrpc": "2.0", "method": LOG, "params": {"level": "error", "data": 7}}
        )
        assert clients[0].heard is None
        assert clients[1].heard is not None
        assert clients[1].heard.events[0]["params"]["data"] == 7
