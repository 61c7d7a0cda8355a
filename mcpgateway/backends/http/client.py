"""Send HTTP requests: bounded, verified, redirected only where that is wanted and within one origin, never sent twice.

A connection is kept for the next request to the same place for as long as the server announces, or a few seconds.
OpenSSL is loaded by the first ``https`` URL.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Mapping
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from mcpgateway import __version__
from mcpgateway.backends.http.connect import PLAIN, CertificateTrust, Dialler
from mcpgateway.backends.http.http1 import HttpConnection
from mcpgateway.backends.http.response import ANSWER_LIMIT, WebAnswer, WebStream, take_whole
from mcpgateway.errors import BackendError, BackendTimeout
from mcpgateway.policy import urls
from mcpgateway.policy.fair_memory import FairMemory
from mcpgateway.policy.proxies import Proxy
from mcpgateway.policy.urls import UrlPlace
from mcpgateway.units import duration

# Servers that do not announce how long they keep an idle connection mostly keep it for 5 s.  A request that crosses
# with the close of its connection is lost, because it may have been carried out and so is not sent again.
IDLE_S = 4.0
LONGEST_IDLE_S = 60.0
IDLE_MARGIN_S = 1.0
FRESH_S = 0.25  # no server closes a connection that was used so recently
IDLE_LIMIT = 32  # connections kept for one place
PLACES_LIMIT = 1000  # URLs whose parts are remembered
SWEEP_S = 1.0

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_BREAKS = re.compile(r"[\r\n\0]")
_OURS = frozenset(
    "host content-length transfer-encoding connection upgrade te trailer expect keep-alive".split()
)
_Key = tuple[str, CertificateTrust, str, Proxy | None]


@define(eq=False, repr=False)
class _Idle:
    """An idle connection.

    :ivar since: time of its last use.
    :ivar until: time after which it is not used any more.
    """

    connection: HttpConnection
    since: float
    until: float


class Web:
    """The HTTP client: sends requests over kept connections.

    :ivar reactor: provider of connections and time.
    :ivar dialler: maker of the connections.
    :ivar room: shared bound of the memory for incomplete answers.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.dialler = Dialler(reactor)
        self.room = FairMemory()
        self._places: dict[str, UrlPlace] = {}
        self._idle: dict[_Key, list[_Idle]] = {}  # the latest last
        self._requests: set[_Request] = set()  # those without an answer
        self._sweep: Any = None

    @property
    def own_ports(self) -> Collection[int]:
        """The TCP ports that the gateway itself listens on; nothing is sent to them."""
        return self.dialler.own_ports

    @own_ports.setter
    def own_ports(self, ports: Collection[int]) -> None:
        self.dialler.own_ports = ports

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        trust: CertificateTrust = PLAIN,
        *,
        named_by: str = "",
        follows: bool = False,
    ) -> Deferred[WebStream]:
        """Send a request; fires with its answer once the headers have come. Cancel it to give up.

        :param follows: redirects are followed, within the URL's origin.
        :param named_by: the configured URL of the server that has named this one; the address is judged by it.
        :raise Unreachable: (through the Deferred) no connection to that address is possible.
        :raise BackendError: (through the Deferred) the connection broke, or requests to the URL are not permitted.
        """
        request = _Request(self, method, headers, body, trust, named_by, follows)
        return self._await(request, request.send(url))

    def _await(self, request: _Request, opening: Deferred[WebStream]) -> Deferred[WebStream]:
        if not opening.called:
            self._requests.add(request)
            opening.addBoth(self._opened, request)
        return opening

    def _opened(self, result: Any, request: _Request) -> Any:
        self._requests.discard(request)
        return result

    def connection_of(self, body: bytes) -> HttpConnection | None:
        """Return the connection of the request with this very body, which has no answer yet; None if it has none."""
        return next((each.connection for each in self._requests if each.body is body), None)

    def adopt(self, url: str, body: bytes, descriptor: int, received: bytes) -> Deferred[WebStream]:
        """Go on with a request of the former program of this process, at a server without TLS; fires as of `open`.

        :param body: stands for the request in `connection_of`.
        :param descriptor: the socket of its connection.
        :param received: the bytes of the answer so far.
        :raise BackendError: (through the Deferred) the connection broke.
        """
        request = _Request(self, "POST", {}, body, PLAIN, "", False)
        return self._await(request, request.adopt(url, descriptor, received))

    def request(  # noqa: PLR0913 - as `open`
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout_s: float,
        trust: CertificateTrust = PLAIN,
        limit: int = ANSWER_LIMIT,
        named_by: str = "",
    ) -> Deferred[WebAnswer]:
        """Send a request; fires with the complete answer.

        :raise Unreachable: (through the Deferred) no connection to that address is possible.
        :raise BackendTimeout: (through the Deferred) the answer was not complete within ``timeout_s``.
        :raise BackendError: (through the Deferred) the connection broke, requests to the URL are not permitted, or the
            body is larger than ``limit`` bytes.
        """
        opened = self.open(method, url, headers, body, trust, named_by=named_by)
        whole: Deferred[WebAnswer] = opened.addCallback(take_whole, limit)
        whole.addTimeout(timeout_s, self.reactor, lambda _, limit_s: _too_late(limit_s))
        return whole

    def close(self) -> Deferred[None]:
        """Close the idle connections."""
        idle, self._idle = self._idle, {}
        for each in idle.values():
            for one in each:
                one.connection.transport.loseConnection()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        return succeed(None)

    # Calls of requests

    def place(self, url: str) -> UrlPlace:
        """Return the host, port and scheme of a URL.

        :raise BackendError: the text is not a usable URL.
        """
        found = self._places.get(url)
        if found is None:
            if len(self._places) >= PLACES_LIMIT:
                self._places.clear()
            found = self._places[url] = urls.read(url)
        return found

    def take_idle(self, place: UrlPlace, trust: CertificateTrust, named_by: str) -> HttpConnection | None:
        """Return an idle connection to a host that is still open."""
        idle = self._idle.get(self._key(place, trust, named_by))
        now = self.reactor.seconds()
        while idle:
            latest = idle.pop()
            connection = latest.connection
            is_fresh = now - latest.since < FRESH_S
            if (
                latest.until > now
                and connection.is_open
                and (is_fresh or not _has_ended(connection.transport))
            ):
                return connection
            connection.transport.loseConnection()
        return None

    def dial(self, place: UrlPlace, trust: CertificateTrust, named_by: str) -> Deferred[HttpConnection]:
        """Open a new connection to a place."""
        by = self.place(named_by) if named_by else None
        return self.dialler.dial(place, lambda: self.connection(place, trust, named_by), trust, by)

    def connection(self, place: UrlPlace, trust: CertificateTrust, named_by: str) -> HttpConnection:
        """Return the protocol of a connection to a place, which is kept for others after each request."""
        key = self._key(place, trust, named_by)

        def freed(connection: HttpConnection) -> None:
            self._keep(key, connection)

        def lost(connection: HttpConnection) -> None:
            self._forget(key, connection)

        return HttpConnection(place, freed, lost)

    def proxy(self, place: UrlPlace, named_by: str) -> Proxy | None:
        """Return the proxy for connections to a place; None for a direct connection.

        :raise BackendError: the proxy cannot be used.
        """
        return self.dialler.proxies.of(place, self.place(named_by) if named_by else None)

    def _key(self, place: UrlPlace, trust: CertificateTrust, named_by: str) -> _Key:
        # A place permitted for one server may not be for another, and each entry has its own accepted certificates.
        return place.origin, trust if place.is_secure else PLAIN, named_by, self.proxy(place, named_by)

    def _keep(self, key: _Key, connection: HttpConnection) -> None:
        promised = connection.idle_s
        idle_s = min(promised, LONGEST_IDLE_S) - IDLE_MARGIN_S if promised else IDLE_S
        idle = self._idle.setdefault(key, [])
        if idle_s <= 0 or len(idle) >= IDLE_LIMIT:
            connection.transport.loseConnection()
            return
        now = self.reactor.seconds()
        idle.append(_Idle(connection, now, now + idle_s))
        if self._sweep is None:
            self._sweep = self.reactor.callLater(SWEEP_S, self._sweep_idle)

    def _forget(self, key: _Key, connection: HttpConnection) -> None:
        idle = self._idle.get(key)
        if idle:
            idle[:] = [each for each in idle if each.connection is not connection]

    def _sweep_idle(self) -> None:
        self._sweep = None
        now = self.reactor.seconds()
        for key, idle in list(self._idle.items()):
            for each in [each for each in idle if each.until <= now]:
                idle.remove(each)
                each.connection.transport.loseConnection()
            if not idle:
                del self._idle[key]
        if self._idle:
            self._sweep = self.reactor.callLater(SWEEP_S, self._sweep_idle)


def _has_ended(transport: Any) -> bool:
    # The close may have arrived without the reactor having read it; a request that is sent then is lost.
    handle = getattr(transport, "socket", None)
    if handle is None:
        return False
    try:
        handle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


class _Request:
    """A request, with all its redirects.

    :ivar body: its complete body.
    :ivar connection: its connection; None before.
    """

    def __init__(
        self,
        web: Web,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        trust: CertificateTrust,
        named_by: str,
        follows: bool,  # noqa: FBT001 - handed through
    ) -> None:
        self._web = web
        self._method = method
        self._headers = headers
        self.body = body
        self._trust = trust
        self._named_by = named_by
        self._follows = follows
        self._url = ""
        self._hops = 0
        self._dialling: Deferred[Any] | None = None
        self.connection: HttpConnection | None = None
        self._stream: WebStream | None = None
        self._done: Deferred[WebStream] = Deferred(lambda _: self._give_up())

    def send(self, url: str) -> Deferred[WebStream]:
        """Send the request; fires with the answer once its head has come."""
        self._try(url)
        return self._done

    def adopt(self, url: str, descriptor: int, received: bytes) -> Deferred[WebStream]:
        """Go on with the request that the former program has sent; fires as of `send`."""
        self._url, web = url, self._web
        with socket.socket(fileno=descriptor) as inherited:
            inherited.setblocking(False)
            try:
                connection = web.connection(web.place(url), self._trust, "")
                factory = Factory.forProtocol(lambda: connection)
                web.reactor.adoptStreamConnection(descriptor, inherited.family, factory)
            except (OSError, BackendError) as why:
                self._done.errback(BackendError(f"the connection broke while the gateway restarted: {why}"))
                return self._done
        self.connection = connection
        connection.adopt(received, self)
        return self._done

    def _try(self, url: str) -> None:
        self._url = url
        web = self._web
        try:
            place = web.place(url)
            request = self._render(place)
            connection = web.take_idle(place, self._trust, self._named_by)
        except BackendError as why:
            self._done.errback(why)
            return
        if connection is not None:
            self._send(connection, request)
            return
        self._dialling = dialling = web.dial(place, self._trust, self._named_by)
        dialling.addCallback(self._send, request).addErrback(self._not_sent)

    def _send(self, connection: HttpConnection, request: bytes) -> None:
        self._dialling = None
        self.connection = connection
        connection.send(request, self)

    def _not_sent(self, why: Failure) -> None:
        self._dialling = None
        if not self._done.called:
            self._done.errback(why)

    def _give_up(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        elif self.connection is not None:
            self.connection.abort()

    def _render(self, place: UrlPlace) -> bytes:
        proxy = None if place.is_secure else self._web.proxy(place, self._named_by)
        # RFC 9112 section 3.2.2: a request to a proxy has the whole URL.
        target = f"http://{place.authority}{place.target}" if proxy else place.target
        lines = [f"{self._method} {target} HTTP/1.1", f"Host: {place.authority}"]
        if proxy and proxy.credentials:
            lines.append(f"Proxy-Authorization: {proxy.credentials}")
        for name, value in self._headers.items():
            lines.append(f"{name}: {value}")
        if self.body or self._method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines)
        ends = len(lines) - 1
        if head.count("\n") != ends or head.count("\r") != ends or "\0" in head:
            raise BackendError("a header has a line break in it")  # the server would read two headers
        return f"{head}\r\n\r\n".encode() + self.body

    # Calls of the connection (`IResponseReceiver`)

    def began(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """Receive the head of the answer."""
        connection = self.connection
        assert connection is not None
        location = headers.get(b"location")
        if self._follows and status in urls.REDIRECTS and location is not None:
            connection.abort()  # the body is not needed
            self._redirect(status, location.decode("latin-1"))
            return
        self._stream = WebStream(status, headers, self._url, connection, self._web.room)
        self._done.callback(self._stream)

    def _redirect(self, status: int, location: str) -> None:
        self._hops += 1
        try:
            if self._hops > urls.HOPS_LIMIT:
                raise BackendError(f"it redirects more than {urls.HOPS_LIMIT} times")
            url = urls.follow(self._method, status, self._url, location)
        except BackendError as why:
            self._done.errback(why)
            return
        self._try(url)

    def data(self, data: bytes) -> None:
        """Receive a part of the body."""
        assert self._stream is not None
        self._stream.data(data)

    def ended(self, why: BackendError | None) -> None:
        """Receive the end of the answer: None if it is complete."""
        if self._stream is not None:
            self._stream.ended(why)
        else:
            self._done.errback(why or BackendError("it has no answer"))


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers that a user has configured, together with the name of the gateway.

    :raise BackendError: a header is invalid or would change the request itself; its value is not shown.
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise BackendError(f"{name!r} is no header that can be set")
        if _BREAKS.search(value):
            raise BackendError(f"the value of the header {name} has a line break in it")
    return {"User-Agent": f"mcpgateway/{__version__}", "Accept-Encoding": "identity"} | dict(headers)


def _too_late(limit_s: float) -> Failure:
    return Failure(BackendTimeout(f"no answer within {duration(limit_s)}"))
