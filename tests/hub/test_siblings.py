"""Finding out whether a server can be shared, when a client comes that could be asked something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.errors import LaunchFailed
from mcpgateway.host.journal import VERDICT_S, Journal
from mcpgateway.hub.siblings import PATIENCE_S, RESPITE_S, SETTLE_S, Witness
from mcpgateway.interfaces import ISessionStore, ISlotListener, Launch
from mcpgateway.rules.questions import FULL
from mcpgateway.rules.sharing import launch_digest
from tests.support.gateway_in_memory import HELLO, Client, MemoryChild, MemoryGateway, MemoryLauncher

AUTO = ServerSpec("auto", ("run",), {}, "/", Share.AUTO, title="auto")
TOOLS = [{"name": "echo"}, {"name": "add"}]
OFFERS = {"sampling": {}}


def gateway_of(spec: ServerSpec = AUTO, store: ISessionStore | None = None) -> MemoryGateway:
    """A gateway with one server more."""
    return MemoryGateway(more=(spec,), store=store)


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with a server that may be shared, or not."""
    return gateway_of()


def come(gateway: MemoryGateway, capabilities: dict[str, Any] | None = None, server: str = "auto") -> Client:
    """A client that begins a session, and waits for it."""
    client = gateway.client(server)
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": OFFERS if capabilities is None else capabilities,
    }
    client.call(0, "initialize", **params)
    return client


def served(client: Client) -> bool:
    """Whether a client's session has begun; it keeps its id."""
    answer = client.heard
    if answer is None or answer.status != 200 or "result" not in answer.json:
        return False
    raw = client.transport.taken.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0]
    client.headers["Mcp-Session-Id"] = raw.decode()
    return True


def told(child: MemoryChild) -> Any:
    """The client capabilities a child was told of."""
    (handshake,) = child.asked("initialize")
    return handshake["params"]["capabilities"]


def siblings(gateway: MemoryGateway) -> list[MemoryChild]:
    """The children that were told of everything."""
    return [child for child in gateway.launcher.children if told(child) == FULL]


def shared(gateway: MemoryGateway) -> list[MemoryChild]:
    """The children that were told of nothing."""
    return [child for child in gateway.launcher.children if told(child) == {}]


def answer_tools(child: MemoryChild, tools: Any = TOOLS) -> None:
    """Let a child say which tools it has; None: that it has none."""
    request = child.asked("tools/list")[-1]
    if tools is None:
        error = {"code": -32601, "message": "Method not found"}
        child.say({"jsonrpc": "2.0", "id": request["id"], "error": error})
    else:
        child.answer(request, {"tools": tools})


def find_out(gateway: MemoryGateway, full: Any = TOOLS, empty: Any = TOOLS) -> None:
    """Let the sibling and the shared child answer, and the moment pass in which it might ask something."""
    answer_tools(siblings(gateway)[-1], full)
    answer_tools(shared(gateway)[-1], empty)
    gateway.clock.advance(SETTLE_S)


def asks(child: MemoryChild, method: str = "roots/list") -> None:
    """Let a child ask its client something."""
    child.say({"jsonrpc": "2.0", "id": "q", "method": method})


def verdict(gateway: MemoryGateway, spec: ServerSpec = AUTO) -> str | None:
    """What is on record about a server."""
    found: str | None = gateway.store.verdict(launch_digest(spec))
    return found


class WhenTests:
    """When there is something to find out."""

    @pytest.mark.parametrize("name", ["roots", "sampling", "elicitation"])
    def test_a_client_that_could_be_asked(self, gateway: MemoryGateway, name: str) -> None:
        """The first client that offers something waits while a sibling, told of everything, is compared."""
        client = come(gateway, {name: {}})
        assert client.heard is None
        assert len(gateway.launcher.children) == 2
        assert len(siblings(gateway)) == len(shared(gateway)) == 1
        assert [len(child.asked("tools/list")) for child in gateway.launcher.children] == [0, 1]
        find_out(gateway)
        assert served(client)

    @pytest.mark.parametrize("capabilities", [{}, {"experimental": {"x": {}}}, 7, None])
    def test_a_client_that_could_not(self, gateway: MemoryGateway, capabilities: Any) -> None:
        """A client that offers nothing is served by the shared child at once."""
        client = gateway.client("auto")
        params = {} if capabilities is None else {"capabilities": capabilities}
        client.initialize(**params)
        assert served(client)
        assert told(gateway.child) == {}
        assert len(gateway.launcher.children) == 1

    @pytest.mark.parametrize(
        "spec",
        [
            evolve(AUTO, share=Share.GLOBAL),
            evolve(AUTO, share=Share.SESSION),
            evolve(AUTO, interactive=True),
            evolve(AUTO, interactive=False),
            evolve(AUTO, title="serena"),
        ],
        ids=["shared", "not shared", "asks", "does not ask", "known"],
    )
    def test_what_is_known(self, spec: ServerSpec) -> None:
        """Where the entry decides, or the server is known, no sibling is asked."""
        gateway = gateway_of(spec)
        assert served(come(gateway))
        assert len(gateway.launcher.children) == 1
        assert verdict(gateway, spec) is None

    def test_once_however_many_wait(self, gateway: MemoryGateway) -> None:
        """Clients that come together wait for the same sibling, and so do those that come while it is asked."""
        clients = [come(gateway) for _ in range(20)]
        answer_tools(siblings(gateway)[0])
        clients += [come(gateway) for _ in range(20)]
        assert len(gateway.launcher.children) == 2
        assert all(client.heard is None for client in clients)
        answer_tools(shared(gateway)[0])
        gateway.clock.advance(SETTLE_S)
        assert all(served(client) for client in clients)
        assert len(gateway.launcher.children) == 2

    def test_others_do_not_wait(self, gateway: MemoryGateway) -> None:
        """A client that could not be asked, and those of other servers, are served meanwhile."""
        client = come(gateway)
        assert served(come(gateway, {}))
        assert served(come(gateway, server="shared"))
        assert client.heard is None

    def test_each_server_by_itself(self) -> None:
        """Two servers are found out about at the same time, each by its own sibling."""
        gateway = MemoryGateway(more=(AUTO, evolve(AUTO, name="auto2", title="auto2", command=("walk",))))
        one, two = come(gateway), come(gateway, server="auto2")
        full, empty = siblings(gateway), shared(gateway)
        assert len(full) == len(empty) == 2
        answer_tools(full[1])
        answer_tools(empty[1])
        gateway.clock.advance(SETTLE_S)
        assert (served(one), served(two)) == (False, True)


class VerdictTests:
    """What is made of it."""

    def test_it_can_be_shared(self, gateway: MemoryGateway) -> None:
        """A server that asks nothing, and has the same tools for everybody, is shared by all from then on."""
        client = come(gateway)
        sibling = siblings(gateway)[0]
        find_out(gateway, TOOLS, list(reversed(TOOLS)))
        assert served(client)
        assert verdict(gateway) == ""
        assert sibling.is_stopping
        other = come(gateway)
        assert served(other)
        assert len(gateway.launcher.children) == 2
        for each in (client, other):
            each.call(1)
        assert len(shared(gateway)[0].asked("tools/call")) == 2

    def test_it_asks(self, gateway: MemoryGateway) -> None:
        """A server that asks something gets a child for each session, told of what that client offers."""
        client = come(gateway, {"roots": {"listChanged": True}})
        sibling = siblings(gateway)[0]
        asks(sibling)
        asks(sibling, "sampling/createMessage")
        with capturedLogs() as logs:
            find_out(gateway)
        assert served(client)
        assert told(gateway.child) == {"roots": {"listChanged": True}}
        assert verdict(gateway) == "it asks for roots/list"
        assert [event["event"] for event in logs if event.get("event") == "server.moved"] == ["server.moved"]
        # Neither is of any more use.
        assert [child.is_stopping for child in gateway.launcher.children] == [True, True, False]
        assert served(come(gateway))
        assert len(gateway.launcher.children) == 4

    def test_its_questions_are_refused(self, gateway: MemoryGateway) -> None:
        """A sibling that asks is told at once that nobody offers it, so that it does not wait for an answer."""
        come(gateway)
        sibling = siblings(gateway)[0]
        asks(sibling, "elicitation/create")
        reply = sibling.received[-1]
        assert (reply["id"], reply["error"]["code"]) == ("q", -32601)

    def test_it_asks_in_its_handshake(self, gateway: MemoryGateway) -> None:
        """What nobody could answer wherever the server is asked is no reason to give each session a child."""
        gateway.launcher.hello = None
        client = come(gateway)
        for child in gateway.launcher.children:
            asks(child)
            assert child.received[-1]["error"]["code"] == -32601
            child.answer(child.asked("initialize")[0], HELLO)
        find_out(gateway)
        assert served(client)
        assert verdict(gateway) == ""

    def test_it_asks_a_moment_later(self, gateway: MemoryGateway) -> None:
        """What it asks within a moment of its answer counts as well."""
        client = come(gateway)
        sibling = siblings(gateway)[0]
        answer_tools(sibling)
        answer_tools(shared(gateway)[0])
        gateway.clock.advance(SETTLE_S / 2)
        assert client.heard is None
        asks(sibling)
        gateway.clock.advance(SETTLE_S)
        assert served(client)
        assert verdict(gateway) == "it asks for roots/list"

    @pytest.mark.parametrize(
        ("full", "empty", "why"),
        [
            (TOOLS, TOOLS[:1], "its tools depend on what its client offers"),
            ([], TOOLS, "its tools depend on what its client offers"),
            (TOOLS, None, "its tools depend on what its client offers"),
            (None, None, ""),
            ([], [], ""),
            (TOOLS, [*TOOLS, TOOLS[0]], ""),
            ([{"name": "a", "title": "b"}], [{"name": "a"}, 7], ""),
            ([{"name": 7}], [{"name": "7"}], ""),
            ("x", None, ""),
        ],
    )
    def test_tools(self, gateway: MemoryGateway, full: Any, empty: Any, why: str) -> None:
        """Tools are compared by their names; a server without tools has the same for everybody."""
        client = come(gateway)
        find_out(gateway, full, empty)
        assert served(client)
        assert verdict(gateway) == why
        assert told(gateway.child) == (OFFERS if why else FULL)

    def test_what_else_it_says(self, gateway: MemoryGateway) -> None:
        """Notifications of a sibling, and progress of nothing, tell nothing and reach nobody."""
        one = come(gateway, {})
        assert served(one)
        ears = gateway.listen(one)
        client = come(gateway)
        sibling = siblings(gateway)[0]
        for method in ("notifications/message", "notifications/tools/list_changed", "notifications/strange"):
            sibling.say({"jsonrpc": "2.0", "method": method, "params": {"level": "alert", "data": 1}})
        params = {"progressToken": 99, "progress": 1}
        sibling.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        find_out(gateway)
        assert served(client)
        assert verdict(gateway) == ""
        assert ears.heard is not None
        assert ears.heard.events == []

    def test_whoever_is_there_stays(self, gateway: MemoryGateway) -> None:
        """A session on the shared child keeps it, whatever is found out; only new ones get a child of their own."""
        early = come(gateway, {})
        assert served(early)
        client = come(gateway)
        asks(siblings(gateway)[0])
        find_out(gateway)
        assert served(client)
        kept = shared(gateway)[0]
        assert not kept.is_stopping
        early.call(1)
        kept.answer(kept.asked("tools/call")[0], {"x": 1})
        assert early.heard is not None
        assert early.heard.json["result"] == {"x": 1}

    def test_whatever_is_under_way_is_answered(self, gateway: MemoryGateway) -> None:
        """A request without a session that is under way keeps the shared child until it is answered."""
        client, stranger = come(gateway), gateway.client("auto")
        stranger.call(1)
        asks(siblings(gateway)[0])
        find_out(gateway)
        assert served(client)
        kept = shared(gateway)[0]
        kept.answer(kept.asked("tools/call")[0], {"x": 1})
        assert stranger.heard is not None
        assert stranger.heard.json["result"] == {"x": 1}

    def test_found_out_by_a_session(self, gateway: MemoryGateway) -> None:
        """A shared child that asks something after all moves its server too, and there is nothing left to find out."""
        one = come(gateway, {})
        assert served(one)
        asks(gateway.child)
        assert verdict(gateway) == "it asked roots/list"
        assert served(come(gateway))
        assert siblings(gateway) == []
        assert told(gateway.child) == OFFERS

    def test_found_out_meanwhile(self, gateway: MemoryGateway) -> None:
        """What a shared child shows while its sibling is asked is not taken back."""
        client = come(gateway)
        asks(shared(gateway)[0], "sampling/createMessage")
        find_out(gateway)
        assert served(client)
        assert verdict(gateway) == "it asked sampling/createMessage"
        assert told(gateway.child) == OFFERS

    def test_nobody_uses_a_sibling(self, gateway: MemoryGateway) -> None:
        """A sibling is no child of the server's in any count, and no call reaches it."""
        client = come(gateway)
        assert [slot.server.name for slot in gateway.switchboard.pool] == ["auto"]
        stranger = gateway.client("auto")
        stranger.call(1)
        assert not siblings(gateway)[0].asked("tools/call")
        find_out(gateway)
        assert served(client)


@define
class ShyLauncher(MemoryLauncher):
    """Starts only so many children.

    :ivar left: how many more.
    """

    left: int = 1

    def launch(self, launch: Launch, receiver: Any) -> MemoryChild:
        if not self.left:
            raise LaunchFailed(f"{launch.server}: no more processes")
        self.left -= 1
        return super().launch(launch, receiver)


class FailureTests:
    """When it cannot be found out."""

    def test_it_cannot_be_started(self) -> None:
        """The client is served by the shared child, and the next one that comes tries again."""
        gateway = gateway_of()
        gateway.switchboard.pool._around.launcher = gateway.launcher = launcher = ShyLauncher()
        with capturedLogs() as logs:
            client = come(gateway)
        assert served(client)
        assert "sibling.failed" in [event.get("event") for event in logs]
        assert verdict(gateway) is None
        assert [told(child) for child in launcher.children] == [{}]
        launcher.left = 1
        again = come(gateway)
        assert again.heard is None
        find_out(gateway)
        assert served(again)
        assert verdict(gateway) == ""

    def test_nothing_can_be_started(self, gateway: MemoryGateway) -> None:
        """A client of a server whose program is missing is told that, and how it is shared stays open."""
        gateway.launcher.refuses = True
        client = come(gateway)
        assert client.heard is not None
        assert client.heard.json["error"]["message"] == "auto: the program was not found"
        assert verdict(gateway) is None
        assert len(gateway.sessions) == 0

    @pytest.mark.parametrize("when", ["in the handshake", "before its answer", "after its answer"])
    def test_it_ends(self, gateway: MemoryGateway, when: str) -> None:
        """A sibling that ends while it is asked proves nothing; one that has told its tools has told them."""
        if when == "in the handshake":
            gateway.launcher.hello = None
        client = come(gateway)
        first, second = gateway.launcher.children
        if when == "in the handshake":
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
            first.answer(first.asked("initialize")[0], hello)
            second.exit(1)
        elif when == "before its answer":
            second.exit(1)
        else:
            answer_tools(second)
            second.exit(1)
            answer_tools(first)
            gateway.clock.advance(SETTLE_S)
        assert served(client)
        assert verdict(gateway) == ("" if when == "after its answer" else None)
        assert len(gateway.launcher.children) == 2
        assert told(first) == {}

    @pytest.mark.parametrize("who", ["sibling", "shared child"])
    def test_it_hangs(self, gateway: MemoryGateway, who: str) -> None:
        """No client waits for longer than the limit; then it is served as if nothing were to be found out."""
        client = come(gateway)
        (sibling,), (kept,) = siblings(gateway), shared(gateway)
        if who == "shared child":
            answer_tools(sibling)
        gateway.clock.advance(PATIENCE_S - 0.1)
        assert client.heard is None
        with capturedLogs() as logs:
            gateway.clock.advance(0.1)
        assert served(client)
        assert [event["event"] for event in logs if "sibling" in event.get("event", "")] == ["sibling.failed"]
        assert verdict(gateway) is None
        assert sibling.is_stopping
        assert not kept.is_stopping
        # Answers that come too late disturb nobody.
        answer_tools(kept if who == "shared child" else sibling)
        gateway.clock.advance(SETTLE_S)
        assert verdict(gateway) is None
        client.call(1)
        assert kept.asked("tools/call")

    @pytest.mark.parametrize("how", ["mute", "gone"])
    def test_it_is_left_alone_for_a_while(self, gateway: MemoryGateway, how: str) -> None:
        """After a sibling that could not be judged no client waits for another one, for an hour."""
        client = come(gateway)
        if how == "gone":
            siblings(gateway)[0].exit(1)
        gateway.clock.advance(PATIENCE_S)
        assert served(client)
        for _ in range(2):
            assert served(come(gateway))
        gateway.clock.advance(RESPITE_S - 2 * PATIENCE_S)
        assert served(come(gateway))
        assert len(siblings(gateway)) == 1
        gateway.clock.advance(2 * PATIENCE_S)
        last = come(gateway)
        assert last.heard is None
        find_out(gateway)
        assert served(last)
        assert verdict(gateway) == ""

    def test_a_server_that_does_not_run(self, gateway: MemoryGateway) -> None:
        """Where the shared child does not run either, the next client tries again, as soon as the server may run."""
        gateway.launcher.hello = None
        client = come(gateway)
        gateway.clock.advance(PATIENCE_S)
        for child in gateway.launcher.children:
            child.exit(1)
        assert client.heard is not None
        assert "error" in client.heard.json
        gateway.launcher.hello = dict(HELLO)
        again = come(gateway)
        assert again.heard is None
        find_out(gateway)
        assert served(again)
        assert verdict(gateway) == ""

    def test_it_hangs_in_the_handshake(self, gateway: MemoryGateway) -> None:
        """A sibling that does not even shake hands is given up in time, too."""
        gateway.launcher.hello = None
        client = come(gateway)
        first, second = gateway.launcher.children
        first.answer(first.asked("initialize")[0], {"protocolVersion": "2025-11-25", "capabilities": {}})
        gateway.clock.advance(PATIENCE_S)
        assert served(client)
        assert second.is_stopping
        assert verdict(gateway) is None

    def test_it_asks_while_it_is_stopped(self, gateway: MemoryGateway) -> None:
        """A sibling that will not go and asks once more harms nobody."""
        come(gateway)
        sibling = siblings(gateway)[0]
        sibling.lingers = leaving = Deferred()
        find_out(gateway)
        assert sibling.is_stopping
        asks(sibling)
        assert verdict(gateway) == ""
        done = gateway.switchboard.close()
        assert not done.called
        sibling.exit()
        leaving.callback(None)
        assert done.called

    def test_its_client_does_not_wait(self, gateway: MemoryGateway) -> None:
        """What is found out stands, even though the client that it was for has gone."""
        client = come(gateway)
        client.channel.connectionLost(None)  # type: ignore[arg-type]  # nobody looks at the reason
        find_out(gateway)
        assert verdict(gateway) == ""
        assert len(gateway.sessions) == 0
        assert served(come(gateway))

    def test_a_gateway_that_stops(self, gateway: MemoryGateway) -> None:
        """A sibling is stopped with everything else, and whoever waits for it is told why there is no session."""
        client = come(gateway)
        sibling = siblings(gateway)[0]
        done = gateway.switchboard.close()
        assert done.called
        assert sibling.is_stopping
        assert client.heard is not None
        assert client.heard.json["error"]["message"] == "the gateway is stopping"
        assert verdict(gateway) is None

    def test_a_fault_of_our_own(self) -> None:
        """If something breaks the log has it, and the client is served all the same."""

        class BrokenJournal(Journal):
            """Breaks its word."""

            def judge(self, launch: str, why: str) -> None:
                """Raise, which no store may."""
                raise ZeroDivisionError

        gateway = gateway_of(store=BrokenJournal(":memory:", lambda: 0.0))
        client = come(gateway)
        with capturedLogs() as logs:
            find_out(gateway)
        assert served(client)
        assert [event["event"] for event in logs if "sibling" in event.get("event", "")] == ["sibling.broken"]

    def test_a_witness(self) -> None:
        """Whoever listens to a sibling hears what a slot's listener hears."""
        assert verifyObject(ISlotListener, Witness())


class MemoryTests:
    """How long it is remembered."""

    @pytest.mark.parametrize("question", ["", "roots/list"])
    def test_after_a_restart(self, tmp_path: Path, question: str) -> None:
        """A gateway that starts again knows it, and asks no sibling, for a week."""
        now = [1_700_000_000.0]

        def restarted() -> MemoryGateway:
            return gateway_of(store=Journal(str(tmp_path / "journal.db"), lambda: now[0]))

        first = restarted()
        client = come(first)
        if question:
            asks(siblings(first)[0], question)
        find_out(first)
        assert served(client)
        first.store.close()
        second = restarted()
        assert served(come(second))
        assert [told(child) for child in second.launcher.children] == [OFFERS if question else {}]
        second.store.close()
        now[0] += VERDICT_S
        third = restarted()
        assert come(third).heard is None
        assert len(siblings(third)) == 1
        third.store.close()

    def test_until_its_launch_changes(self, tmp_path: Path) -> None:
        """A server that is launched with something else may be another one; it is found out about again."""
        store = Journal(str(tmp_path / "journal.db"), lambda: 1_700_000_000.0)
        first = gateway_of(store=store)
        come(first)
        asks(siblings(first)[0])
        find_out(first)
        second = gateway_of(evolve(AUTO, command=("run", "faster")), store)
        assert come(second).heard is None
        find_out(second)
        assert verdict(second, evolve(AUTO, command=("run", "faster"))) == ""
        assert verdict(second) == "it asks for roots/list"
        store.close()
