"""Make connections: resolve a name, check its addresses if a server has named it, try them, verify the certificate.

Addresses are tried in the order that the system gives them, each next one when the one before has failed or has had
a head start (RFC 8305).  OpenSSL is loaded by the first connection that needs it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeVar

from attrs import frozen
from twisted.internet import defer, error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.backends.reached import ReachedHosts
from mcpgateway.errors import BackendError, Unreachable
from mcpgateway.policy import urls
from mcpgateway.policy.proxies import NONE, Proxies, Proxy
from mcpgateway.policy.urls import UrlPlace
from mcpgateway.units import duration

DIAL_S = 3.0  # for the lookup of the name and for all of its addresses
THROUGH_S = 10.0  # the same through a proxy
SECURE_S = 5.0  # for the TLS handshake
HEAD_START_S = 0.3
LOOPBACKS = ("127.0.0.1", "::1")  # the addresses of "localhost" (RFC 6761), without a lookup in a thread
SILENCE_S = 60  # until the system probes whether the other end is still there
PROBE_S, PROBES = 15, 4


@frozen
class CertificateTrust:
    """The accepted certificates of a server.

    :ivar ca_file: PEM file of the authorities; empty for the system's.
    :ivar is_blind: any certificate is accepted.
    :ivar cert_file: PEM file of the certificate that the gateway shows; empty for none.
    :ivar key_file: PEM file of the key of that certificate.
    """

    ca_file: str = ""
    is_blind: bool = False
    cert_file: str = ""
    key_file: str = ""


PLAIN = CertificateTrust()


class IDialled(Protocol):
    """A protocol for a connection that `Dialler` makes.

    :ivar made: fires when the connection is open.
    :ivar secured: fires when the TLS handshake has succeeded; fails if the connection ends before that.
    """

    made: Deferred[None]
    secured: Deferred[None]
    transport: Any


D = TypeVar("D", bound=IDialled)


class Dialler:
    """Connects to hosts, by their addresses in turn.

    :ivar own_ports: the TCP ports that the gateway itself listens on.
    :ivar proxies: the settings of proxies.
    """

    def __init__(self, reactor: Any) -> None:
        self.own_ports: Collection[int] = ()
        self.proxies: Proxies = NONE
        self._reactor = reactor
        self._policies: dict[CertificateTrust, Any] = {}
        self._reached = ReachedHosts()

    def dial(
        self,
        place: UrlPlace,
        build: Callable[[], D],
        trust: CertificateTrust = PLAIN,
        named_by: UrlPlace | None = None,
    ) -> Deferred[D]:
        """Connect to a place; fires with the new protocol, after the TLS handshake if there is one.

        :param named_by: the configured place whose server has named this one; None if the user has configured it.
        :raise Unreachable: (through the Deferred) no connection is possible.
        :raise BackendError: (through the Deferred) the place is not permitted, or its certificate is not accepted.
        """
        return Deferred.fromCoroutine(self._dial(place, build, trust, named_by))

    async def _dial(
        self, place: UrlPlace, build: Callable[[], D], trust: CertificateTrust, named_by: UrlPlace | None
    ) -> D:
        creator = self._creator(place, trust) if place.is_secure else None
        proxy = self.proxies.of(place, named_by)
        limit_s = THROUGH_S if proxy else DIAL_S
        is_proved = place.is_secure and not trust.is_blind
        connecting = Deferred.fromCoroutine(
            self._connect(place, build, creator, named_by, proxy, is_proved=is_proved)
        )
        connecting.addTimeout(limit_s, self._reactor)
        try:
            connection = await connecting
        except defer.TimeoutError:
            way = f" through the proxy {proxy.address}" if proxy else ""
            raise Unreachable(
                f"no connection to {place.address}{way}: no answer within {duration(limit_s)}"
            ) from None
        if creator is not None:
            await self._prove(place, creator, trust, connection)
        if named_by is None and proxy is None:
            address = connection.transport.getPeer().host
            self._reached.note(place.host, address, is_proved=is_proved)
        return connection

    async def _prove(
        self, place: UrlPlace, creator: Any, trust: CertificateTrust, connection: IDialled
    ) -> None:
        try:
            await connection.secured.addTimeout(SECURE_S, self._reactor)
        except CancelledError:
            connection.transport.abortConnection()
            raise
        except defer.TimeoutError:
            connection.transport.abortConnection()
            raise Unreachable(f"{place.address} does not speak TLS within {SECURE_S:g} s") from None
        except Exception as why:  # OpenSSL's own error, whose class has no name here before OpenSSL is loaded
            self._policies.pop(trust, None)  # the file of authorities may have changed by the next time
            raise _insecure(place, creator.fault, why) from why

    def _creator(self, place: UrlPlace, trust: CertificateTrust) -> Any:
        from mcpgateway.backends.http.tls import policy  # OpenSSL is 15 MB that few need

        found = self._policies.get(trust)
        if found is None:
            shown = (trust.cert_file, trust.key_file) if trust.cert_file else None
            found = self._policies[trust] = policy(trust.ca_file, insecure=trust.is_blind, shown=shown)
        return found.creatorForNetloc(place.host.encode("ascii"), place.port)

    async def _connect(
        self,
        place: UrlPlace,
        build: Callable[[], D],
        creator: Any,
        named_by: UrlPlace | None,
        proxy: Proxy | None,
        *,
        is_proved: bool,
    ) -> D:
        wrap: Callable[[Any], Any] = _as_it_is
        if creator is not None:
            from mcpgateway.backends.http.tls import over_tls

            wrap = over_tls(creator)
        if proxy is not None:
            if named_by is not None:
                await self._judge_beyond(place, named_by)
            connection = await self._through(proxy, place, build, wrap)
        else:
            addresses = await self._resolve(place.host)
            if named_by is not None:
                near = self._reached.near(named_by.host, await self._known(named_by.host))
                addresses = urls.permitted(addresses, near)
                if not addresses:
                    raise _not_for_it(place, named_by)
            elif not is_proved:
                addresses = self._reached.unmoved(place, addresses)
            connection = await self._first(place.address, addresses, place.port, build, wrap)
        transport = connection.transport if creator is None else connection.transport.transport
        self._check_loop(place, transport)
        _keep_alive(transport)
        return connection

    async def _first(
        self, name: str, addresses: list[str], port: int, build: Callable[[], D], wrap: Callable[[Any], Any]
    ) -> D:
        try:
            connection: D = await _Race(self._reactor, addresses, port, build, wrap).run()
        except error.ConnectError as why:
            raise Unreachable(f"no connection to {name}: {_refusal(why)}") from why
        return connection

    async def _through(
        self, proxy: Proxy, place: UrlPlace, build: Callable[[], D], wrap: Callable[[Any], Any]
    ) -> D:
        from mcpgateway.backends.http.tunnel import Tunnel  # few need it

        name, addresses = f"the proxy {proxy.address}", await self._resolve(proxy.host)
        if place.scheme == "http":  # such a proxy gets whole requests
            return await self._first(name, addresses, proxy.port, build, _as_it_is)
        tunnel = await self._first(name, addresses, proxy.port, lambda: Tunnel(proxy), _as_it_is)
        await tunnel.open(place)
        connection = build()
        tunnel.carry(wrap(Factory.forProtocol(lambda: connection)).buildProtocol(None))
        return connection

    async def _judge_beyond(self, place: UrlPlace, named_by: UrlPlace) -> None:
        # The proxy resolves names itself.  A name that is unknown here is permitted if the server's own is unknown too.
        found, of_namer = await self._known(place.host), await self._known(named_by.host)
        near = self._reached.near(named_by.host, of_namer)
        if len(urls.permitted(found, near)) < len(found) or (of_namer and not found):
            raise _not_for_it(place, named_by)

    async def _known(self, host: str) -> list[str]:
        try:
            return await self._resolve(host)
        except Unreachable:
            return []

    def _check_loop(self, place: UrlPlace, transport: Any) -> None:
        if not self.own_ports:
            return
        local, peer = transport.getHost().host, transport.getPeer()
        if urls.is_ourselves(local, peer.host, peer.port, self.own_ports):
            transport.abortConnection()
            raise BackendError(f"{place.address} is this gateway itself, which would ask itself without end")

    def _resolve(self, host: str) -> Deferred[list[str]]:
        if isIPAddress(host) or isIPv6Address(host):
            return succeed([host])
        if host == "localhost":
            return succeed(list(LOOPBACKS))
        receiver = _Resolution(host)
        self._reactor.nameResolver.resolveHostName(receiver, host)
        return receiver.done


def _not_for_it(place: UrlPlace, named_by: UrlPlace) -> BackendError:
    return BackendError(
        f"{named_by.address} names {place.address}, which is not a place that it may send the gateway to"
    )


def _as_it_is(factory: Any) -> Any:
    return factory


@implementer(IResolutionReceiver)
class _Resolution:
    """Collects the addresses of a name."""

    def __init__(self, host: str) -> None:
        self.done: Deferred[list[str]] = Deferred()
        self._host = host
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Ignore the beginning of the lookup."""

    def addressResolved(self, address: Any) -> None:
        """Keep an address."""
        self._found.append(address.host)

    def resolutionComplete(self) -> None:
        """Fire with all addresses."""
        if self.done.called:
            return  # no caller waits any more
        if self._found:
            self.done.callback(self._found)
        else:
            self.done.errback(Unreachable(f"the host name {self._host} is not known"))


class _Race:
    """Tries addresses until one accepts a connection."""

    def __init__(
        self,
        reactor: Any,
        addresses: list[str],
        port: int,
        build: Callable[[], Any],
        wrap: Callable[[Any], Any],
    ) -> None:
        self._reactor = reactor
        self._left = list(addresses)
        self._port = port
        self._build = build
        self._wrap = wrap
        self._pending: dict[_Attempt, Any] = {}  # each with its connector
        self._later: Any = None
        self._done: Deferred[Any] = Deferred(lambda _: self._call_off())

    def run(self) -> Deferred[Any]:
        """Try the addresses; fires with the first protocol that is connected.

        :raise ConnectError: (through the Deferred) no address accepts a connection.
        """
        self._next()
        return self._done

    def _next(self) -> None:
        self._later = None
        address = self._left.pop(0)
        attempt = _Attempt(self, self._build)
        self._pending[attempt] = None
        if self._left:
            self._later = self._reactor.callLater(HEAD_START_S, self._next)
        connector = self._reactor.connectTCP(address, self._port, self._wrap(attempt), DIAL_S)
        if attempt in self._pending:
            self._pending[attempt] = connector

    def won(self, attempt: _Attempt, protocol: Any) -> None:
        """Fire with the connected protocol, and cancel the other attempts."""
        if self._pending.pop(attempt, self) is self:
            protocol.transport.abortConnection()  # another address was connected first
            return
        self._call_off()
        self._done.callback(protocol)

    def lost(self, attempt: _Attempt, why: Failure) -> None:
        """Try the next address, or fail after the last."""
        if self._pending.pop(attempt, self) is self:
            return  # it was cancelled
        if self._left:
            self._cancel_later()
            self._next()
        elif not self._pending:
            self._done.errback(why)

    def _call_off(self) -> None:
        self._cancel_later()
        pending, self._pending = self._pending, {}
        for connector in pending.values():
            connector.stopConnecting()

    def _cancel_later(self) -> None:
        later, self._later = self._later, None
        if later is not None:
            later.cancel()


class _Attempt(ClientFactory):
    """An attempt to connect to one address."""

    noisy = False

    def __init__(self, race: _Race, build: Callable[[], Any]) -> None:
        self._race = race
        self._build = build

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of the connection, which stands now."""
        protocol = self._build()
        protocol.made.addCallback(lambda _: self._race.won(self, protocol))
        return protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Report the failure of the attempt."""
        self._race.lost(self, reason)


def _refusal(why: error.ConnectError) -> str:
    if isinstance(why, error.ConnectionRefusedError):
        return "connection refused"
    if isinstance(why, error.TimeoutError):
        return "no answer"
    if isinstance(why, error.NoRouteError):
        return "no route to that host"
    return (why.args[0] if why.args and isinstance(why.args[0], str) else "") or str(why).rstrip(".")


def _insecure(place: UrlPlace, fault: str, why: BaseException) -> BackendError:
    if fault:
        hint = "if it is good all the same, let ca_file in its entry name the file of its authority"
        return BackendError(f"the certificate of {place.address} is not accepted: {fault}", hint)
    if isinstance(why, error.ConnectionDone | error.ConnectionLost):
        return BackendError(f"{place.address} ends the connection instead of speaking TLS")
    return BackendError(f"{place.address} does not speak TLS with us: {_reasons(why)}")


def _reasons(why: BaseException) -> str:
    # OpenSSL's errors hold a list of (library, function, reason).
    found = why.args[0] if why.args and isinstance(why.args[0], list) else []
    return ", ".join(str(each[-1]) for each in found if each) or type(why).__name__


def _keep_alive(transport: Any) -> None:
    # A stream may be silent for hours; the system's keepalive notices that its other end has gone.
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    handle = transport.getHandle()
    for name, value in (("TCP_KEEPIDLE", SILENCE_S), ("TCP_KEEPINTVL", PROBE_S), ("TCP_KEEPCNT", PROBES)):
        option = getattr(socket, name, None)  # macOS has others
        if option is not None and handle is not None:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)
