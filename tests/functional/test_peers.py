"""Processes at the other end of real connections, and their end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Self

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from mcpgateway.system.process import peers
from mcpgateway.system.process.exits import ExitWatch
from mcpgateway.system.process.peers import Peer, PeerLookup, PeersUnknown, credentials, open_netlink, peer_of
from mcpgateway.system.process.socket_owners import search
from tests.support.gateway import LIMIT_S, eventually
from tests.support.processes import is_alive
from tests.support.searches import finished

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells it"),
]

NOBODY = 65534

# Connects, closes its socket at the first line it is told, and ends at the second, or when nobody is left to tell it.
CLIENT = """
import os, socket, sys
how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if how == "other user":
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
made = socket.socket(socket.AF_INET if port else socket.AF_UNIX)
made.connect((host, port) if port else host)
if how == "forks":
    made.set_inheritable(True)
    os.fork()
sys.stdin.buffer.raw.readline()
made.close()
sys.stdin.buffer.raw.readline()
"""


def holders(inodes: Collection[int]) -> dict[int, int]:
    """Which process holds each of these sockets."""
    return finished(search(inodes))


class Client:
    """A process that connects to a listener, and our end of its connection."""

    def __init__(self, listener: socket.socket, how: str = "plainly") -> None:
        address = listener.getsockname()
        host, port = (address, 0) if isinstance(address, str) else address[:2]
        argv = [sys.executable, "-I", "-S", "-c", CLIENT, how, host, str(port)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self.accepted, _ = listener.accept()
        except BaseException:
            self.end()
            raise
        self.pid = self.process.pid

    def ask(self) -> Peer | None:
        """The peer at the other end."""
        return asked(self.accepted)

    def tell(self) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """KILL it and what it forked."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT_S)
        assert self.process.stdin is not None
        self.process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.accepted.close()
        self.end()


def asked(accepted: socket.socket, table: PeerLookup | None = None) -> Peer | None:
    """The peer at the other end of our socket."""
    find = peer_of if table is None else table.peer_of
    return find(accepted.getsockname()[:2], accepted.getpeername()[:2])


def refuse_netlink() -> Any:
    """A machine without netlink."""
    raise OSError(errno.EAFNOSUPPORT, "none here")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listener on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(LIMIT_S)
        yield made


@pytest.fixture(params=["netlink", "tables"])
def table(request: pytest.FixtureRequest) -> Iterator[PeerLookup]:
    """Each way of asking, alone."""
    made = PeerLookup(proc="/nowhere") if request.param == "netlink" else PeerLookup(refuse_netlink)
    yield made
    made.close()


FORMS = {
    "IPv4": (socket.AF_INET, "127.0.0.1", socket.AF_INET, "127.0.0.1"),
    "IPv6": (socket.AF_INET6, "::1", socket.AF_INET6, "::1"),
    "listener of both": (socket.AF_INET6, "::ffff:127.0.0.1", socket.AF_INET, "127.0.0.1"),
    "client of both": (socket.AF_INET, "127.0.0.1", socket.AF_INET6, "::ffff:127.0.0.1"),
    "both of both": (socket.AF_INET6, "::ffff:127.0.0.1", socket.AF_INET6, "::ffff:127.0.0.1"),
}


class Pair:
    """A connection with ourselves."""

    def __init__(self, form: str, device: bytes = b"") -> None:
        family, host, client_family, client_host = FORMS[form]
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family))
            try:
                listener.bind((host, 0))
            except OSError:
                pytest.skip(f"no {form} here")
            listener.listen()
            listener.settimeout(LIMIT_S)
            self.client = socket.socket(client_family)
            if device:
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            self.client.connect((client_host, listener.getsockname()[1]))
            self.accepted, _ = listener.accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.client.close()
        self.accepted.close()

    @property
    def client_peer(self) -> Peer:
        """The peer that should be found."""
        return Peer(os.geteuid(), os.fstat(self.client.fileno()).st_ino)


class PeerOfTests:
    """Peers at the other end."""

    @pytest.mark.parametrize("form", FORMS)
    def test_forms(self, form: str, table: PeerLookup) -> None:
        """The owner is found whatever kinds of sockets take part, and either end's is its own."""
        with Pair(form) as pair:
            assert asked(pair.accepted, table) == pair.client_peer
            other = asked(pair.client, table)
            assert other is not None
            assert other.inode == os.fstat(pair.accepted.fileno()).st_ino

    def test_bound_to_a_device(self, table: PeerLookup) -> None:
        """A client cannot hide by binding its socket to the loopback device."""
        try:
            pair = Pair("IPv4", b"lo\0")
        except PermissionError:
            pytest.skip("not allowed here")
        with pair:
            assert asked(pair.accepted, table) == pair.client_peer

    @pytest.mark.parametrize("form", ["IPv4", "IPv6"])
    def test_closed_by_us(self, form: str, table: PeerLookup) -> None:
        """A socket that was closed is nobody's, or gone."""
        with Pair(form) as pair:
            assert asked(pair.accepted, table) is not None
            pair.client.close()
            found = asked(pair.accepted, table)
            assert found is None or found.inode == 0

    def test_listener_at_the_port(self, table: PeerLookup) -> None:
        """A listener where the peer might have been is not the peer."""
        with Pair("IPv4") as pair, socket.create_server(("127.0.0.1", 0)) as other:
            assert asked(pair.accepted, table) is not None
            assert table.peer_of(pair.accepted.getsockname(), other.getsockname()) is None

    def test_a_child(self, listener: socket.socket) -> None:
        """A child's socket is found, and is the child's; once closed it is nobody's."""
        with Client(listener) as client:
            peer = client.ask()
            assert peer is not None
            assert peer.uid == os.geteuid()
            assert holders([peer.inode]) == {peer.inode: client.pid}
            client.tell()
            eventually(lambda: not (found := client.ask()) or found.inode == 0, "the socket is nobody's")
            assert holders([peer.inode]) == {}

    def test_a_killed_child(self, listener: socket.socket) -> None:
        """The socket of a killed process is nobody's, too."""
        with Client(listener) as client:
            assert client.ask() is not None
            client.process.kill()
            client.process.wait(LIMIT_S)
            found = client.ask()
            assert found is None or found.inode == 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
    def test_another_user(self, listener: socket.socket, table: PeerLookup) -> None:
        """The user who made the socket is told, and his processes are not looked at."""
        with Client(listener, "other user") as client:
            peer = asked(client.accepted, table)
            assert peer is not None
            assert peer.uid == NOBODY
            assert peer.inode
            assert holders([peer.inode]) == {}

    def test_many(self, table: PeerLookup) -> None:
        """Many questions on one socket are each answered for the right connection."""
        with ExitStack() as stack:
            pairs = [stack.enter_context(Pair("IPv4")) for _ in range(50)]
            for _ in range(3):
                for pair in pairs:
                    assert asked(pair.accepted, table) == pair.client_peer

    def test_nothing_is_passed_on(self) -> None:
        """The socket that the kernel is asked on is closed in children, and never waits."""
        with open_netlink() as made:  # type: ignore[attr-defined]
            assert not made.get_inheritable()
            assert not made.getblocking()

    def test_a_machine_without_netlink(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where this Python knows no netlink, its opening fails like that of any other socket."""
        monkeypatch.delattr(socket, "AF_NETLINK")
        with pytest.raises(OSError, match=os.strerror(errno.EAFNOSUPPORT)):
            open_netlink()
        with pytest.raises(PeersUnknown):
            PeerLookup(proc="/nowhere").peer_of(("127.0.0.1", 1), ("127.0.0.1", 2))


class HoldersTests:
    """Processes that hold a socket."""

    def test_inherited(self, listener: socket.socket) -> None:
        """Of a parent and its fork that hold one socket it is the parent."""
        with Client(listener, "forks") as client:
            peer = client.ask()
            assert peer is not None
            eventually(lambda: len(group(client.pid)) == 2, "it has forked")
            assert holders([peer.inode]) == {peer.inode: client.pid}

    def test_ourselves_and_others(self, listener: socket.socket) -> None:
        """Several sockets are found at once, our own among them."""
        with Client(listener) as one, Client(listener) as two, Pair("IPv4") as pair:
            first, second, third = one.ask(), two.ask(), asked(pair.accepted)
            assert first is not None
            assert second is not None
            assert third is not None
            expected = {first.inode: one.pid, second.inode: two.pid, third.inode: os.getpid()}
            assert holders([*expected, 0]) == expected


def group(pgid: int) -> list[int]:
    """The processes of a group."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if os.getpgid(int(name)) == pgid:
                    found.append(int(name))
    return found


class CredentialsTests:
    """Peers of Unix sockets."""

    def test_a_child(self, tmp_path: Any) -> None:
        """The process and its user are told, also after it has closed its socket."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            listener.settimeout(LIMIT_S)
            with Client(listener) as client:
                assert credentials(client.accepted) == (client.pid, os.geteuid())
                client.tell()
                assert client.accepted.recv(1) == b""
                assert credentials(client.accepted) == (client.pid, os.geteuid())

    def test_no_unix_socket(self) -> None:
        """A TCP connection tells nothing of the kind, nor does a Unix socket that nobody has connected."""
        with Pair("IPv4") as pair, socket.socket(socket.AF_UNIX) as alone:
            assert credentials(pair.accepted) is None
            assert credentials(alone) is None


@pytest.fixture
def watch() -> Iterator[ExitWatch]:
    """A watch on the running reactor."""
    made = ExitWatch(reactor)
    yield made
    made.close()


class ExitWatchTests:
    """Ends of processes."""

    @pytest_twisted.ensureDeferred
    async def test_killed(self, listener: socket.socket, watch: ExitWatch) -> None:
        """The end of a killed process is told at once, and only its."""
        with Client(listener) as client, Client(listener) as other:
            ended: Deferred[int] = Deferred()
            assert watch.watch(client.pid, ended.callback)
            assert watch.watch(client.pid, ended.callback)
            assert watch.watch(other.pid, lambda pid: pytest.fail("it runs"))
            client.process.kill()
            assert await ended.addTimeout(LIMIT_S, reactor) == client.pid
            assert other.process.poll() is None

    @pytest_twisted.ensureDeferred
    async def test_already_dead(self, listener: socket.socket, watch: ExitWatch) -> None:
        """The end of a process that nobody has waited for yet is told, too."""
        with Client(listener) as client:
            client.process.kill()
            eventually(lambda: not is_alive(client.pid), "it is a zombie")
            ended: Deferred[int] = Deferred()
            assert watch.watch(client.pid, ended.callback)
            assert await ended.addTimeout(LIMIT_S, reactor) == client.pid

    @pytest_twisted.ensureDeferred
    async def test_many_at_once(self, listener: socket.socket, watch: ExitWatch) -> None:
        """Of many that end within one turn each is told, although the first callback opens and closes files."""
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(listener)) for _ in range(4)]
            survivor = stack.enter_context(Client(listener))
            told: set[int] = set()
            done: Deferred[None] = Deferred()

            def ended(pid: int) -> None:
                told.add(pid)
                rest = {each.pid for each in clients} - told
                if len(rest) == 1:
                    watch.forget(rest.pop())  # its news are under way, and its file's number is free now
                    assert watch.watch(survivor.pid, ended)
                    reactor.callLater(0, done.callback, None)  # type: ignore[attr-defined]

            for each in clients:
                assert watch.watch(each.pid, ended)
            for each in clients:
                each.process.kill()
                each.process.wait(LIMIT_S)
            await done.addTimeout(LIMIT_S, reactor)
            assert len(told) == 3
            assert survivor.pid not in told

    def test_gone(self, listener: socket.socket, watch: ExitWatch) -> None:
        """A process that has gone cannot be watched, nor can a number that none can have."""
        with Client(listener) as client:
            client.end()
            assert not watch.watch(client.pid, pytest.fail)
        for pid in (0, -1, 2**22 + 1, 2**80):
            assert not watch.watch(pid, pytest.fail)


class CostTests:
    """Files that are kept open."""

    def test_one_socket(self) -> None:
        """However much is asked, one file is open for it."""
        with Pair("IPv4") as pair:
            assert asked(pair.accepted) is not None
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                asked(pair.accepted)
            assert len(os.listdir("/proc/self/fd")) == before
        peers._peers.close()
