"""The behaviour of every backend, whatever is behind it: the same requests to real servers of every kind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from mcpgateway.backends.factory import Backends
from mcpgateway.backends.spawn import Launcher
from mcpgateway.errors import BackendGone, GatewayError, LaunchFailed
from mcpgateway.interfaces import GatewayRun, Launch
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.system.process.processes import bearing, seal_descriptors
from mcpgateway.system.process.procfs import is_alive
from mcpgateway.system.process.socket_owners import SocketSearch
from tests.contracts.kinds import CAPABILITIES, KINDS, REPLIES, Kind, Place
from tests.contracts.talk import Talk, descriptors, until

pytestmark = pytest.mark.functional

CALLS = 50
LARGE = 1_300_000


class House:
    """As much of a gateway as backends need."""

    def __init__(self, home: Path) -> None:
        self.instance = f"contract{os.getpid()}x{os.urandom(4).hex()}"
        self.guardian = Guardian(reactor, self.instance)
        launcher = Launcher(reactor, ChildGuard(ChildRegistry(str(home), self.instance), self.guardian))
        self.backends = Backends(
            reactor,
            launcher,
            OAuthTokenFiles(str(home)),
            lambda: "http://127.0.0.1:9/",
            GatewayRun(str(home), self.instance),
            lambda: DaemonLocks(str(home), str(home / "theirs"), SocketSearch(reactor)),
        )
        self.talks: list[Talk] = []
        seal_descriptors()

    async def talk(self, how: Launch) -> Talk:
        """Begin a conversation."""
        prepared = await self.backends.prepare(how)
        talk = Talk(self.backends.launch, prepared)
        self.talks.append(talk)
        return talk

    @property
    def processes(self) -> list[int]:
        """Every process of ours that still runs."""
        return [pid for pid in bearing(f"MCPGATEWAY_INSTANCE={self.instance}") if is_alive(pid)]

    async def close(self) -> None:
        """Stop everything."""
        for talk in self.talks:
            await talk.backend.stop().addTimeout(60, reactor)
        await self.backends.web.close()
        self.guardian.stop()


class Conversations:
    """A conversation with a server of each kind, begun when the first test asks for it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._places: list[Place] = []
        self._houses: list[House] = []
        self._talks: dict[str, Talk] = {}

    async def of(self, name: str) -> Talk:
        """The conversation with a server of a kind, after the handshake."""
        if name not in self._talks:
            directory = self._directory / name
            directory.mkdir()
            place, house = Place(directory), House(directory)
            self._places.append(place)
            self._houses.append(house)
            talk = await house.talk(KINDS[name].good(place))
            talk.replies = REPLIES
            await talk.meet(**{each: {} for each in CAPABILITIES})
            self._talks[name] = talk
        return self._talks[name]

    async def close(self) -> None:
        """Stop everything; each conversation has had one end, and nothing is left."""
        for house in self._houses:
            await house.close()
            assert not house.processes
        assert [len(talk.ends) for talk in self._talks.values()] == [1] * len(self._talks)

    def kill(self) -> None:
        """KILL what is left."""
        for place in self._places:
            place.end_servers()
        for house in self._houses:
            ended(house)


def ended(house: House) -> None:
    """KILL everything that a house has started and that still runs."""
    house.guardian.stop()
    for pid in house.processes:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house of the test's own; whatever it has started is killed in the end."""
    home = tmp_path / "home"
    home.mkdir()
    made = House(home)
    yield made
    pytest_twisted.blockon(made.backends.web.close())
    ended(made)


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversations]:
    """The conversations that tests share which neither begin nor end any."""
    made = Conversations(tmp_path_factory.mktemp("conversations"))
    try:
        yield made
        pytest_twisted.blockon(_deferred(made.close()))
    finally:
        made.kill()


@pytest.fixture
def talk(conversations: Conversations, kind: Kind, request: pytest.FixtureRequest) -> Talk:
    """The conversation with a server of this kind."""
    name = next(name for name, each in KINDS.items() if each is kind)
    made: Talk = pytest_twisted.blockon(_deferred(conversations.of(name)))
    assert not made.ends
    made.heard.clear()
    return made


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where servers are started that are no children of ours."""
    directory = tmp_path / "place"
    directory.mkdir()
    made = Place(directory)
    yield made
    made.end_servers()


def kinds(has: Callable[[Kind], Any]) -> pytest.MarkDecorator:
    """The kinds of which something is true."""
    return pytest.mark.parametrize(
        "kind", [pytest.param(kind, id=name) for name, kind in KINDS.items() if has(kind)]
    )


@pytest.fixture(autouse=True)
def present(request: pytest.FixtureRequest) -> None:
    """Leave out kinds that this machine cannot run."""
    kind = getattr(request.node, "callspec", None) and request.node.callspec.params.get("kind")
    if kind is not None and (why := kind.is_absent()):
        pytest.skip(why)


EVERY = kinds(lambda kind: True)
ECHOING = kinds(lambda kind: kind.does.echo[0])
SLOW = kinds(lambda kind: kind.does.slow[0])


class TalkTests:
    """Messages to a server, and from it."""

    @EVERY
    @pytest_twisted.ensureDeferred
    async def test_handshake(self, talk: Talk, kind: Kind) -> None:
        """The server says who it is, lists its tools, and what else it has; what it does not know is its own error."""
        assert talk.backend.pid >= 0
        assert talk.backend.heard >= 0
        assert isinstance(talk.backend.stderr_tail(), str)
        assert talk.hello["serverInfo"]["name"]
        tools = await talk.result("tools/list")
        names = [tool["name"] for tool in tools["tools"]]
        assert names
        assert kind.does.echo[0] in (*names, "")
        for method in kind.does.lists:
            assert await talk.result(method)
        assert "error" in await talk.ask("no/such/method")
        assert await talk.result("ping") == {}

    @ECHOING
    @pytest_twisted.ensureDeferred
    async def test_many_at_once(self, talk: Talk, kind: Kind) -> None:
        """Calls side by side come back to their callers, also those that were written before anything was heard."""
        tool, name, front = kind.does.echo
        said = await gatherResults(
            [_deferred(talk.call(tool, **{name: f"text {number} é\n"})) for number in range(CALLS)]
        )
        assert said == [f"{front}text {number} é\n" for number in range(CALLS)]

    @ECHOING
    @pytest_twisted.ensureDeferred
    async def test_large(self, talk: Talk, kind: Kind) -> None:
        """A large answer comes whole, and as one message."""
        tool, name, front = kind.does.echo
        size = 60_000 if name == "text" and kind.does.lists == () and not kind.does.asks[0] else LARGE
        if size == LARGE:
            assert await talk.call(tool, **{name: "x" * size}) == front + "x" * size
        else:  # a URL is not that long
            assert await talk.call("big", bytes=LARGE) == "x" * LARGE

    @kinds(lambda kind: kind.does.steps[0])
    @pytest_twisted.ensureDeferred
    async def test_notices(self, talk: Talk, kind: Kind) -> None:
        """Progress of a call under way comes in its order, and before the answer."""
        tool, arguments = kind.does.steps
        meta = {"progressToken": "mine"}
        number, answer = talk.request("tools/call", name=tool, arguments=arguments, _meta=meta)
        await talk.answer(answer)
        before = talk.heard[: talk.heard.index(number)]
        told = [
            each["params"]["progress"]
            for each in before
            if isinstance(each, dict) and each.get("method") == "notifications/progress"
        ]
        assert told == [1, 2, 3, 4, 5]

    @kinds(lambda kind: kind.does.asks[0])
    @pytest_twisted.ensureDeferred
    async def test_questions(self, talk: Talk, kind: Kind) -> None:
        """A request of the server's own is delivered, and the answer to it gets back."""
        tool, arguments, method = kind.does.asks
        said = await talk.call(tool, **arguments)
        assert method in [each.get("method") for each in talk.heard if isinstance(each, dict)]
        assert said

    @SLOW
    @pytest_twisted.ensureDeferred
    async def test_cancelling(self, talk: Talk, kind: Kind) -> None:
        """A call that is taken back harms no other."""
        tool, arguments = kind.does.slow
        number, _ = talk.request("tools/call", name=tool, arguments=arguments)
        name, argument, front = kind.does.echo
        assert await talk.call(name, **{argument: "before"}) == f"{front}before"
        talk.notify("notifications/cancelled", requestId=number, reason="no need any more")
        assert await talk.call(name, **{argument: "after"}) == f"{front}after"
        assert not talk.ends


class EndTests:
    """Ends of a backend."""

    @EVERY
    @pytest_twisted.ensureDeferred
    async def test_stop(self, house: House, place: Place, kind: Kind) -> None:
        """Once it is stopped nothing of it is left: no process, no descriptor; whoever writes still is told."""
        how = kind.good(place)
        talk = await house.talk(how)
        await talk.meet()
        await talk.backend.stop().addTimeout(60, reactor)
        await until(lambda: len(talk.ends) == 1, "its end is told")
        with pytest.raises(BackendGone):
            talk.notify("notifications/late")
        await talk.backend.stop().addTimeout(60, reactor)
        assert not house.processes
        await house.backends.web.close()
        before = descriptors()
        again = await house.talk(how)
        await again.meet()
        await again.backend.stop().addTimeout(60, reactor)
        await house.backends.web.close()
        await until(lambda: descriptors() <= before, "every file is closed")
        assert len(talk.ends) == len(again.ends) == 1

    @SLOW
    @pytest_twisted.ensureDeferred
    async def test_the_server_dies(self, house: House, place: Place, kind: Kind) -> None:
        """A caller that waits for the answer of a server that dies is told, and its end is told no more than once."""
        talk = await house.talk(kind.good(place))
        await talk.meet()
        tool, arguments = kind.does.slow
        answers: list[Any] = []
        talk.request("tools/call", name=tool, arguments=arguments)[1].addCallback(answers.append)
        name, argument, front = kind.does.echo
        assert await talk.call(name, **{argument: "now"}) == f"{front}now"
        kind.end_server(place, talk.backend)
        await until(lambda: answers or talk.ends, "somebody is told")
        if answers:
            assert "error" in answers[0] or answers[0]["result"]["isError"]
        await house.close()
        assert len(talk.ends) == 1
        assert not house.processes

    @kinds(lambda kind: kind.mute)
    @pytest.mark.parametrize("how", ["stop", "kill"])
    @pytest_twisted.ensureDeferred
    async def test_end_within_the_handshake(self, house: House, place: Place, kind: Kind, how: str) -> None:
        """A server that never answers can be stopped and killed at any time, and leaves nothing."""
        assert kind.mute is not None
        talk = await house.talk(kind.mute(place))
        talk.request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
        if how == "stop":
            await talk.backend.stop().addTimeout(60, reactor)
        else:
            talk.backend.kill()
        await until(lambda: talk.ends, "its end is told")
        await talk.backend.stop().addTimeout(60, reactor)
        await until(lambda: not house.processes, "nothing is left")
        assert len(talk.ends) == 1
        with pytest.raises(GatewayError):
            talk.notify("notifications/late")

    @kinds(lambda kind: kind.garbage)
    @pytest_twisted.ensureDeferred
    async def test_garbage(self, house: House, place: Place, kind: Kind) -> None:
        """Nonsense from a server is its own trouble: an error, an end, or a line that nobody can read."""
        assert kind.garbage is not None
        talk = await house.talk(kind.garbage(place))
        answers: list[Any] = []
        asked = talk.request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
        asked[1].addCallback(answers.append)
        await until(lambda: talk.garbage or talk.ends or answers, "something comes of it")
        assert all("error" in each for each in answers)
        await house.close()
        assert len(talk.ends) == 1

    @kinds(lambda kind: kind.nowhere)
    @pytest_twisted.ensureDeferred
    async def test_nowhere(self, house: House, place: Place, kind: Kind) -> None:
        """A server where nothing answers is told as unreachable."""
        assert kind.nowhere is not None
        talk = await house.talk(kind.nowhere(place))
        talk.request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
        await until(lambda: talk.ends, "its end is told")
        assert talk.ends[0].is_unreachable
        assert talk.ends[0].fault
        await house.close()

    @pytest_twisted.ensureDeferred
    async def test_no_such_program(self, house: House, place: Place) -> None:
        """A program that is missing is told at once."""
        with pytest.raises(LaunchFailed, match="was not found"):
            await house.talk(place.launch(["no-such-program"]))


def _deferred(coroutine: Any) -> Any:
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(coroutine)
