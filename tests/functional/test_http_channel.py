"""The HTTP channel on real sockets."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
    serverFromString,
)
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer

from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.web_request import render
from mcpgateway.frontends.http.write_buffer import STREAM_BACKLOG_LIMIT
from tests.support.doors import read_answers

pytestmark = pytest.mark.functional

PART = b"x" * 65536
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"


@implementer(IPullProducer)
class Puller:
    """Writes a part of an answer each time it is asked."""

    def __init__(self, request: Any, count: int) -> None:
        self.request = request
        self.left = count

    def resumeProducing(self) -> None:
        self.request.write(PART)
        self.left -= 1
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        self.left = 0


class Page(Resource):
    """Two MiB, pulled."""

    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        request.registerProducer(Puller(request, 32), False)
        return NOT_DONE_YET


class FloodDoor:
    """Streams as fast as it can to whoever asks for it, and answers the others."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.site = Site(Page(), parsePOSTFormSubmission=False)
        self.sent = 0
        self.flooded: Deferred[int] = Deferred()
        self.waiting: Deferred[Any] = Deferred()

    def opened(self, exchange: Any) -> int:
        return 1000

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        return why.encode()

    def handle(self, exchange: Any) -> None:
        if exchange.path == b"/flood":
            exchange.begin_stream()
            self.flood(exchange)
        elif exchange.path == b"/wait":
            self.waiting.callback(exchange)
        elif exchange.path == b"/web":
            render(exchange, self.site)
        elif exchange.path == b"/large":
            exchange.answer(200, PART * 16)
        else:
            exchange.answer(200, exchange.path)

    def flood(self, exchange: Any) -> None:
        if exchange.send(PART):
            self.sent += len(PART)
            self.reactor.callLater(0, self.flood, exchange)
        else:
            self.flooded.callback(self.sent)


class Client(Protocol):
    """Collects what it is sent, and tells when a number of bytes has come or the connection has ended."""

    def __init__(self) -> None:
        self.data = b""
        self.wanted: tuple[bytes, Deferred[bytes]] | None = None
        self.ended: Deferred[bytes] = Deferred()

    def ask(self, path: bytes, end: bytes) -> Deferred[bytes]:
        self.data = b""
        self.wanted = (end, Deferred())
        self.transport.write(GET % path)
        return self.wanted[1]

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self.wanted is not None and self.data.endswith(self.wanted[0]):
            wanted, self.wanted = self.wanted, None
            wanted[1].callback(self.data)

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(self.data)


class House:
    """A listening channel with its clients, on the running reactor."""

    def __init__(self, description: str = "tcp:0:interface=127.0.0.1") -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.description = description
        self.door = FloodDoor(reactor)
        self.factory = ChannelFactory(self.door, self.reactor)
        self.clients: list[Client] = []

    async def __aenter__(self) -> Self:
        self.port = await serverFromString(self.reactor, self.description).listen(self.factory)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for client in self.clients:
            if not client.ended.called:
                client.transport.abortConnection()
                await client.ended
        self.factory.abort_all()
        await self.port.stopListening()
        while self.factory.connections:
            await deferLater(self.reactor, 0)

    async def connect(self, endpoint: Any) -> Client:
        client: Client = await connectProtocol(endpoint, Client())
        self.clients.append(client)
        return client

    async def tcp(self) -> Client:
        return await self.connect(TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port.getHost().port))


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Room for a thousand connections, both ends of each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("needs 4096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class ChannelTests:
    @ensureDeferred
    async def test_a_slow_reader_costs_a_bounded_amount_and_delays_nobody(self) -> None:
        """A stream nobody reads is cut after a few MiB, while another client is answered all along."""
        async with House() as house:
            slow, other = await house.tcp(), await house.tcp()
            slow.transport.pauseProducing()
            slow.transport.write(GET % b"/flood")
            answers = 0
            while not house.door.flooded.called:
                answers += (await other.ask(b"/other", b"/other")).count(b"200 OK")
            sent = await house.door.flooded
            kernel = 16 * 1024 * 1024  # what two sockets may hold between them
            assert sent < STREAM_BACKLOG_LIMIT + kernel
            assert answers > 1
            slow.transport.resumeProducing()
            await slow.ended

    @ensureDeferred
    async def test_a_disconnect_is_noticed(self) -> None:
        """A client that leaves during its call is reported to the door."""
        async with House() as house:
            client = await house.tcp()
            client.transport.write(GET % b"/wait")
            exchange = await house.door.waiting
            gone: Deferred[None] = Deferred()
            exchange.on_gone = lambda: gone.callback(None)
            client.transport.loseConnection()
            await gone
            assert exchange.gone

    @ensureDeferred
    async def test_a_thousand_idle_connections(self, descriptors: None) -> None:
        """A thousand clients stay connected and are served, and draining closes them all."""
        async with House() as house:
            clients = [await house.tcp() for _ in range(1000)]
            for _ in range(2):
                await gatherResults([each.ask(b"/idle", b"/idle") for each in clients])
            assert len(house.factory.connections) == 1000
            house.factory.sweep()
            house.factory.drain()
            await gatherResults([each.ended for each in clients])
            assert house.factory.connections == set()

    @ensureDeferred
    async def test_a_refusal_survives_the_body_it_refuses(self) -> None:
        """A client that is still sending reads why it was refused, instead of a reset."""
        async with House() as house:
            client = await house.tcp()
            client.transport.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n")
            client.transport.write(b"x" * 500_000)
            assert read_answers(await client.ended)[0].status == 413

    @ensureDeferred
    async def test_a_large_answer_arrives_whole(self) -> None:
        """A MiB passes the socket in pieces, and the connection serves the next request."""
        async with House() as house:
            client = await house.tcp()
            for _ in range(3):
                client.transport.write(GET % b"/large")
                data = await client.ask(b"/end", b"/end")
                assert [len(each.body) for each in read_answers(data)] == [len(PART) * 16, 4]

    @ensureDeferred
    async def test_a_web_request_is_produced_by_pulling(self) -> None:
        """A pull producer of twisted.web is asked for as much as the client reads."""
        async with House() as house:
            client = await house.tcp()
            data = await client.ask(b"/web", b"\r\n0\r\n\r\n")
            assert read_answers(data)[0].body == PART * 32

    @ensureDeferred
    async def test_serves_unix_sockets(self, tmp_path: Path) -> None:
        """The same protocol serves a Unix socket."""
        path = str(tmp_path / "socket")
        async with House(f"unix:{path}") as house:
            client = await house.connect(UNIXClientEndpoint(house.reactor, path))
            assert (await client.ask(b"/unix", b"/unix")).startswith(b"HTTP/1.1 200 OK\r\n")

    @ensureDeferred
    async def test_serves_tls(self, tmp_path: Path) -> None:
        """Under TLS every byte is encrypted, and the exchange knows."""
        from twisted.internet import ssl

        certificate = str(tmp_path / "certificate.pem")
        write_certificate(certificate)
        async with House(f"ssl:0:interface=127.0.0.1:privateKey={certificate}") as house:
            options = ssl.CertificateOptions(verify=False)
            port = house.port.getHost().port
            client = await house.connect(SSL4ClientEndpoint(house.reactor, "127.0.0.1", port, options))
            assert (await client.ask(b"/tls", b"/tls")).startswith(b"HTTP/1.1 200 OK\r\n")
            client.transport.write(GET % b"/large")
            data = await client.ask(b"/wait-not", b"/wait-not")
            assert len(read_answers(data)[0].body) == len(PART) * 16
            assert all(each.secure for each in house.factory.connections)
            client.transport.write(b"GET /\r\n\r\n")
            assert read_answers((await client.ended)[len(data) :])[0].status == 400


def write_certificate(path: str) -> None:
    """A private key and a certificate of its own for `localhost`."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with open(path, "wb") as file:
        file.write(secret + certificate.public_bytes(pem))
