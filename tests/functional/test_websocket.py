"""WebSocket servers, for real: a fixture behind a port, alone and behind a whole gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, TextMessage

from mcpgateway.backends.conversation import Conversation
from mcpgateway.backends.http.connect import Dialler
from mcpgateway.backends.websocket import QUEUE_LIMIT, WebSocket
from mcpgateway.config.reach_settings import Remote, Transport
from mcpgateway.errors import BackendGone, GatewayError, Overloaded
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.versions import Era
from tests.support.certificates import Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

SERVER = Path(__file__).parent.parent / "servers" / "websocket.py"
PATIENCE_S = 60.0
TOKEN = "a-secret-of-the-test"


class Port:
    """A running fixture."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen([sys.executable, str(SERVER), *options], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.number = int(self.process.stdout.readline())

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serving() -> Iterator[Callable[..., Port]]:
    """Starts fixtures; all are stopped in the end."""
    started: list[Port] = []

    def start(*options: str) -> Port:
        started.append(Port(*options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


class Talk:
    """A conversation with a WebSocket server, and what it says unasked."""

    def __init__(self, where: str | Remote, own_ports: tuple[int, ...] = (), **headers: str) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[Gone] = []
        self.lines = Conversation("ws", self, lambda _, why: self.ends.append(why))
        remote = Remote(where, Transport.WEBSOCKET, headers) if isinstance(where, str) else where
        launch = Launch("ws", (), {}, "/", remote, Era.LEGACY)
        dialler = Dialler(reactor)
        dialler.own_ports = own_ports
        self.lines.backend = self.backend = WebSocket(reactor, dialler, launch, remote, self.lines)

    def noticed(self, backend: Any, method: str, message: Any) -> None:
        self.heard.append((method, json.loads(jsonrpc.encode(message))))

    def asked(self, backend: Any, method: str, message: Any) -> None:
        self.heard.append((method, {}))
        backend.reply(message, {"roots": []})

    def progressed(self, backend: Any, number: int, params: Any, message: Any) -> None:
        """Of no interest."""

    def refused(self, backend: Any, call: Any, error: Any) -> None:
        """Of no interest."""

    def failed(self, backend: Any, result: Any) -> None:
        """Of no interest."""

    def meet(self) -> Deferred[Any]:
        """Shake hands."""
        return self.lines.handshake(legacy.shared_params("1"))

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; the result."""
        reply = await self.lines.ask("tools/call", {"name": tool, "arguments": arguments})
        return json.loads(bytes(reply["result"]))


async def accepted(server: socket.socket) -> socket.socket:
    """The next connection to a socket that does not block."""
    end = reactor.seconds() + PATIENCE_S
    while reactor.seconds() < end:
        try:
            return server.accept()[0]
        except BlockingIOError:
            await deferLater(reactor, 0.01)
    raise AssertionError("nobody has connected")


def descriptors() -> int:
    """Return the number of open descriptors."""
    return len(os.listdir("/proc/self/fd"))


class ServerTests:
    """A server behind a WebSocket is spoken with like any other."""

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("path", ["/", "/binary", "/?key=value"])
    async def test_calls(self, serving: Callable[..., Port], path: str) -> None:
        """The handshake is done, calls are answered, also when they were written before the connection stood."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}{path}")
        hello = await talk.meet()
        assert b"fixture" in bytes(hello["serverInfo"])
        many = [talk.call("echo", text=f"{number}") for number in range(50)]
        answers = [await each for each in many]
        assert [each["content"][0]["text"] for each in answers] == [f"{number}" for number in range(50)]
        await talk.backend.stop()
        assert [each.fault for each in talk.ends] == ["it was stopped"]
        with pytest.raises(BackendGone):
            talk.backend.write(b"{}\n")

    @pytest_twisted.ensureDeferred
    async def test_large(self, serving: Callable[..., Port]) -> None:
        """A large answer comes whole."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}/")
        await talk.meet()
        answer = await talk.call("big", bytes=3_000_000)
        assert len(answer["content"][0]["text"]) == 3_000_000
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_busy(self, serving: Callable[..., Port]) -> None:
        """A server that takes its messages gets any number of them, though some wait for it all the time."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}/")
        await talk.meet()
        text, calls = "y" * 2**18, deque[Deferred[Any]]()
        for _ in range(2 * QUEUE_LIMIT // len(text)):
            while len(calls) < QUEUE_LIMIT * 3 // 4 // len(text):
                calls.append(Deferred.fromCoroutine(talk.call("echo", text=text)))
            assert (await calls.popleft())["content"]
        for each in calls:
            await each
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_full(self) -> None:
        """A server that takes no messages gets so many at most; the error says so."""
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            talk = Talk(f"ws://127.0.0.1:{deaf.getsockname()[1]}/")
            line = b"y" * 2**20 + b"\n"
            for _ in range(QUEUE_LIMIT // len(line)):
                talk.backend.write(line)
            with pytest.raises(Overloaded, match="ws does not take its messages; 16 MiB wait for it"):
                talk.backend.write(line)
            await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_questions(self, serving: Callable[..., Port]) -> None:
        """The server's question is answered on the same connection."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}/")
        await talk.meet()
        answer = await talk.call("ask", method="roots/list", params={})
        assert "roots" in answer["content"][0]["text"]
        assert talk.heard[0][0] == "roots/list"
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_headers(self, serving: Callable[..., Port]) -> None:
        """The headers of the entry are sent; without them the refusal says what is wanted and no secret."""
        port = serving("--token", TOKEN).number
        talk = Talk(f"ws://127.0.0.1:{port}/", Authorization=f"Bearer {TOKEN}")
        await talk.meet()
        await talk.backend.stop()
        stranger = Talk(f"ws://127.0.0.1:{port}/?key={TOKEN}")
        with pytest.raises(GatewayError) as caught:
            await stranger.meet()
        assert "HTTP 401" in str(caught.value)
        assert TOKEN not in str(caught.value) + repr(stranger.backend) + repr(stranger.ends)


class TlsTests:
    """Over TLS the server's certificate is looked at."""

    @pytest_twisted.ensureDeferred
    async def test_certificates(self, serving: Callable[..., Port], tmp_path: Path) -> None:
        """An authority that is named is believed, one that is not is refused, unless its user looks away."""
        authority = Authority(tmp_path)
        url = f"wss://127.0.0.1:{serving('--certificate', authority.issue('127.0.0.1')).number}/"
        for remote in (
            Remote(url, Transport.WEBSOCKET, ca_file=authority.file),
            Remote(url, Transport.WEBSOCKET, insecure=True),
        ):
            talk = Talk(remote)
            await talk.meet()
            await talk.backend.stop()
        stranger = Talk(Remote(url, Transport.WEBSOCKET))
        with pytest.raises(GatewayError, match="certificate"):
            await stranger.meet()
        other = f"wss://127.0.0.1:{serving('--certificate', authority.issue('other.example')).number}/"
        misnamed = Talk(Remote(other, Transport.WEBSOCKET, ca_file=authority.file))
        with pytest.raises(GatewayError, match="certificate"):
            await misnamed.meet()


class HandOverTests:
    """Connections that the next program goes on with."""

    @pytest_twisted.ensureDeferred
    async def test_unwritten(self) -> None:
        """What a server has not taken yet reaches it once, in order, from the next program."""
        with socket.create_server(("127.0.0.1", 0)) as slow:
            slow.setblocking(False)
            url = f"ws://127.0.0.1:{slow.getsockname()[1]}/"
            talk = Talk(url)
            end = await accepted(slow)
            server = WSConnection(ConnectionType.SERVER)
            with end:
                end.setblocking(False)
                await taken(server, end, 1)
                end.sendall(server.send(AcceptConnection(subprotocol="mcp")))
                await until(lambda: not talk.backend.is_full)
                lines = [b"%d %b\n" % (nth, b"y" * 2**20) for nth in range(8)]
                for each in lines:
                    talk.backend.write(each)
                await until(lambda: talk.backend.is_full)
                talk.backend.write(b"last\n")
                assert talk.backend.goes_on
                record = talk.backend.hand_over()
                remote = Remote(url, Transport.WEBSOCKET)
                launch = Launch("ws", (), {}, "/", remote, Era.LEGACY, inherited=record)
                heir = WebSocket(reactor, Dialler(reactor), launch, remote, talk.lines)
                got = await taken(server, end, 9)
                assert [each.encode() + b"\n" for each in got] == [*lines, b"last\n"]
                assert heir.goes_on
                heir.kill()
        assert not talk.backend.goes_on


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = reactor.seconds() + PATIENCE_S
    while not holds():
        assert reactor.seconds() < end
        await deferLater(reactor, 0.01)


async def taken(server: WSConnection, end: socket.socket, count: int) -> list[str]:
    """Read so many requests or messages at the server's end of a connection."""
    found, parts = [], []
    until_s = reactor.seconds() + PATIENCE_S
    while len(found) < count:
        assert reactor.seconds() < until_s
        try:
            server.receive_data(end.recv(65_536))
        except BlockingIOError:
            await deferLater(reactor, 0.01)
        for event in server.events():
            parts.append(event.data if isinstance(event, TextMessage) else "")
            if getattr(event, "message_finished", True):
                found.append("".join(parts))
                parts = []
    return found


class TroubleTests:
    """Connections that fail in any manner, of which each waiting caller is told once."""

    @pytest_twisted.ensureDeferred
    async def test_nobody_there(self) -> None:
        """A port that nobody listens on is unreachable."""
        talk = Talk(f"ws://127.0.0.1:{free_port()}/")
        with pytest.raises(GatewayError, match="no connection"):
            await talk.meet()
        assert [each.is_unreachable for each in talk.ends] == [True]

    @pytest_twisted.ensureDeferred
    async def test_no_such_name(self) -> None:
        """A host without an address is unreachable."""
        talk = Talk("ws://no-such-host.invalid/")
        with pytest.raises(GatewayError, match="not known"):
            await talk.meet()
        assert [each.is_unreachable for each in talk.ends] == [True]

    @pytest_twisted.ensureDeferred
    async def test_ourselves(self, serving: Callable[..., Port]) -> None:
        """A URL of the gateway itself is refused, since it would ask itself without end."""
        port = serving().number
        talk = Talk(f"ws://127.0.0.1:{port}/", own_ports=(port,))
        with pytest.raises(GatewayError, match="this gateway itself"):
            await talk.meet()
        assert len(talk.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_no_websocket(self) -> None:
        """A server that speaks something else is no WebSocket."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            talk = Talk(f"ws://127.0.0.1:{server.getsockname()[1]}/")
            greeting = talk.meet()
            with await accepted(server) as connection:
                connection.sendall(b"SSH-2.0-something else\r\n\r\n")
                with pytest.raises(GatewayError, match="does not speak WebSocket"):
                    await greeting

    @pytest_twisted.ensureDeferred
    async def test_closed(self, serving: Callable[..., Port]) -> None:
        """A server that closes says why."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}/slam")
        with pytest.raises(GatewayError, match=r"closed the connection \(1011: slammed\)"):
            await talk.meet()
        assert len(talk.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_killed(self, serving: Callable[..., Port]) -> None:
        """A server that is killed in mid-call fails that call."""
        port = serving()
        talk = Talk(f"ws://127.0.0.1:{port.number}/")
        await talk.meet()
        call = talk.lines.ask("tools/call", {"name": "sleep", "arguments": {"ms": 60_000, "text": ""}})
        await talk.call("echo", text="it has both")
        port.process.kill()
        with pytest.raises(BackendGone):
            await call
        assert len(talk.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_too_large(self, serving: Callable[..., Port]) -> None:
        """A message beyond the limit ends the connection before it is whole."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}/huge")
        with pytest.raises(GatewayError, match=r"without a newline|more than"):
            await talk.meet()
        assert len(talk.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_too_large_an_answer(self, serving: Callable[..., Port]) -> None:
        """An answer beyond the limit fails its own call, and the connection of all goes on."""
        talk = Talk(f"ws://127.0.0.1:{serving().number}/")
        await talk.meet()
        reply = await talk.lines.ask("tools/call", {"name": "big", "arguments": {"bytes": 33 * 2**20}})
        assert b"sent an answer of more than" in bytes(reply["error"])
        assert await talk.call("echo", text="still here")
        assert talk.ends == []
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_given_up(self, serving: Callable[..., Port]) -> None:
        """A connection can be dropped, and stopped, while the server says nothing."""
        port = serving().number
        killed = Talk(f"ws://127.0.0.1:{port}/mute")
        greeting = killed.meet()
        killed.backend.kill()
        with pytest.raises(BackendGone):
            await greeting
        assert len(killed.ends) == 1
        stopped = Talk(f"ws://127.0.0.1:{port}/mute")
        greeting = stopped.meet()
        greeting.addErrback(lambda _: None)
        await deferLater(reactor, 0.1)
        await stopped.backend.stop()
        assert len(stopped.ends) == 1

    @pytest_twisted.ensureDeferred
    async def test_nothing_stays(self, serving: Callable[..., Port]) -> None:
        """No descriptor is left of connections that have ended."""
        port = serving().number
        before = descriptors()
        for _ in range(20):
            talk = Talk(f"ws://127.0.0.1:{port}/")
            await talk.meet()
            await talk.backend.stop()
        assert descriptors() <= before + 1
