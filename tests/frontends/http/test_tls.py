from __future__ import annotations

import resource
import ssl
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.phases import CLOSING_TICKS, HANDSHAKE_TICKS, IDLE_TICKS
from mcpgateway.frontends.http.tls import TlsOrPlain, options_of
from mcpgateway.system.process.processes import RESERVE
from tests.support.certificates import Authority
from tests.support.doors import MemoryTransport, OpenedTransport, RecordingDoor


class Connection:
    """A client of a port that speaks TLS, in memory."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        pair = authority.issue("localhost")
        self.transport = MemoryTransport()
        self.factory = ChannelFactory(RecordingDoor())
        self._server = TLSMemoryBIOFactory(options_of(pair, pair), False, self.factory).buildProtocol(None)
        self._server.makeConnection(self.transport)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = ssl.create_default_context(cafile=authority.file).wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )

    def hello(self) -> bytes:
        """Return the first message of the TLS handshake."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Bytes of it arrive."""
        self._server.dataReceived(data)

    def finish(self) -> None:
        """The handshake goes on to its end."""
        self._incoming.write(self.transport.taken)
        self._tls.do_handshake()
        self.send(self._outgoing.read())

    def pass_ticks(self, count: int) -> None:
        """Let seconds pass."""
        for _ in range(count):
            self.factory.sweep()


class HandshakeTests:
    """Handshakes, and the time they may take."""

    @pytest.mark.parametrize("part", [1, 40, 10_000])
    def test_one_that_is_not_finished(self, tmp_path: Path, part: int) -> None:
        """A handshake that is not finished is cut after ten seconds, however far it came."""
        client = Connection(tmp_path)
        client.send(client.hello()[:part])
        client.pass_ticks(HANDSHAKE_TICKS - 1)
        assert not client.transport.is_aborted
        client.pass_ticks(1)
        assert client.transport.is_aborted

    def test_one_that_is_finished(self, tmp_path: Path) -> None:
        """The connection stays as long as any other, from then on."""
        client = Connection(tmp_path)
        client.send(client.hello())
        client.pass_ticks(HANDSHAKE_TICKS - 1)
        client.finish()
        client.pass_ticks(IDLE_TICKS - 1)
        assert not client.transport.is_aborted
        assert not client.transport.is_closing
        client.pass_ticks(1 + CLOSING_TICKS)
        assert client.transport.is_aborted


class SilenceTests:
    """Connections that have not said yet whether they speak TLS."""

    def test_leave_a_reserve_of_descriptors(self, tmp_path: Path) -> None:
        """A connection that would use the reserve is cut at once."""
        pair = Authority(tmp_path).issue("localhost")
        factory = TlsOrPlain(ChannelFactory(RecordingDoor()), options_of(pair, pair), Clock())
        last = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE - 1
        for descriptor, is_cut in ((last, False), (last + 1, True)):
            transport = OpenedTransport(descriptor)
            factory.buildProtocol(None).makeConnection(transport)
            assert transport.is_aborted is is_cut
