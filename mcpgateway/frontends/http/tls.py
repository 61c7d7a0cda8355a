"""TLS in front of the channel, with the certificate of the settings; loaded only if they name one.

# Note [Both on one port]
Clients' files on this machine have URLs with ``http://localhost:9100``, whose traffic never leaves the machine.  So a
port with a certificate examines the first byte of a connection: 22 begins a TLS handshake, and no HTTP.  Clients on
this machine may use both, others only TLS.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.backends.http import tls  # loads OpenSSL, which may have been left out
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.batched_timer import batched_timer
from mcpgateway.frontends.http.exchange import STATUS_LINES
from mcpgateway.frontends.http.peers import by_address
from mcpgateway.policy.access import Reach

HANDSHAKE = 22
SILENCE_S = 10.0  # until the first byte
FILE_LIMIT = 1024 * 1024
PLAIN = (
    STATUS_LINES[400] + b"Content-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: 89\r\n\r\n"
    b'{"error":"from other machines this port speaks https","hint":"begin the URL with https:"}'
)


def options_of(cert_path: str, key_path: str) -> Any:
    """Return the TLS options with the gateway's certificate.

    :raise ConfigError: the files cannot be used, or do not belong together.
    """
    from OpenSSL import SSL, crypto
    from twisted.internet import ssl

    assert tls is not None
    try:
        begin = b"-----BEGIN CERTIFICATE-----"
        parts = _read(cert_path).split(begin)[1:]
        chain = [ssl.Certificate.loadPEM(begin + part).original for part in parts]
    except (SSL.Error, crypto.Error, ValueError) as why:
        raise ConfigError(
            f"gateway.tls_cert_path: {cert_path} holds no certificate that can be read"
        ) from why
    if not chain:
        raise ConfigError(f"gateway.tls_cert_path: {cert_path} holds no certificate")
    try:
        key = crypto.load_privatekey(crypto.FILETYPE_PEM, _read(key_path), b"")
    except (SSL.Error, crypto.Error, ValueError) as why:
        raise ConfigError(
            f"gateway.tls_key_path: {key_path} holds no key that can be read; one with a password cannot be used"
        ) from why
    made = ssl.CertificateOptions(
        privateKey=key,
        certificate=chain[0],
        extraCertChain=chain[1:],
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        acceptableProtocols=[b"http/1.1"],
    )
    try:
        made.getContext().check_privatekey()
    except SSL.Error as why:
        raise ConfigError(
            f"gateway.tls_key_path: {key_path} is not the key of the certificate in {cert_path}"
        ) from why
    return made


def mutual_options_of(cert_path: str, key_path: str, authorities: Any) -> Any:
    """Return the TLS options of a port whose clients show certificates, too.

    :param authorities: those that sign the certificates of clients.
    :raise ConfigError: the files cannot be used, or do not belong together.
    """
    from twisted.internet import ssl

    own = options_of(cert_path, key_path)
    return ssl.CertificateOptions(
        privateKey=own.privateKey,
        certificate=own.certificate,
        extraCertChain=own.extraCertChain,
        trustRoot=authorities,
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        acceptableProtocols=[b"http/1.1"],
    )


def over_tls(options: Any, factory: IProtocolFactory) -> IProtocolFactory:
    """Return a factory whose connections speak TLS only."""
    from twisted.protocols.tls import TLSMemoryBIOFactory

    made: IProtocolFactory = TLSMemoryBIOFactory(options, False, factory)
    return made


def _read(path: str) -> bytes:
    from mcpgateway.system.files import read_bytes

    try:
        return read_bytes(path, FILE_LIMIT)
    except FileNotFoundError:
        raise ConfigError(f"gateway.tls_cert_path, gateway.tls_key_path: there is no file {path}") from None


@implementer(IProtocolFactory)
@define(eq=False, repr=False)
class TlsOrPlain:
    """Makes the protocols of a port with a certificate; see Note [Both on one port]."""

    _factory: Any
    _options: Any
    _clock: Any
    _secured: Any = field(init=False)
    _timer: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        from twisted.protocols.tls import TLSMemoryBIOFactory

        self._secured = TLSMemoryBIOFactory(self._options, False, self._factory)
        self._timer = batched_timer(self._clock)

    def doStart(self) -> None:
        """Ignore that a port listens."""

    def doStop(self) -> None:
        """Ignore that a port has closed."""

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        """Return a protocol that chooses TLS or plain HTTP by the first byte."""
        return _First(self._factory, self._secured, addr, self._timer)


class _First(Protocol):
    """Waits for the first byte of a connection, and passes the connection on."""

    def __init__(self, plain: Any, secured: Any, address: IAddress, timer: Any) -> None:
        self._plain = plain
        self._secured = secured
        self._address = address
        self._silence: Any = timer.call_later(SILENCE_S, self._give_up)

    def connectionMade(self) -> None:
        """Wait for the first byte, unless that would take the descriptors that the gateway needs itself."""
        transport: Any = self.transport
        if self._plain.shared.files_left(transport) < 0:
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Choose the protocol by the first byte."""
        self._heard()
        transport: Any = self.transport
        if data[0] == HANDSHAKE:
            chosen = self._secured.buildProtocol(self._address)
        elif by_address(transport).reach is not Reach.REMOTE:
            chosen = self._plain.buildProtocol(self._address)
        else:
            transport.write(PLAIN)
            transport.loseConnection()
            return
        transport.protocol = chosen
        chosen.makeConnection(transport)
        chosen.dataReceived(data)

    def connectionLost(self, reason: Failure = ...) -> None:  # type: ignore[assignment]  # as Twisted has it
        """Note that the client has disconnected before the first byte."""
        self._heard()

    def _heard(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.cancel()

    def _give_up(self) -> None:
        self._silence = None
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
