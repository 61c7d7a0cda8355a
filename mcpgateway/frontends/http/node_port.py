"""The port of a node for its fellow nodes: the same paths, for requests that nodes pass on with a credential."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.credentials import NodeCredentials
from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.part import NodePart
from mcpgateway.config.cluster import ClusterSettings, address_of
from mcpgateway.errors import BackendError, ConfigError, LaunchFailed
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.inherited_sockets import InheritedSockets, adopt_connections
from mcpgateway.frontends.http.listeners import NOTHING, Inheritance, Listeners
from mcpgateway.frontends.http.node_client import NODE, REACH, SCHEME
from mcpgateway.frontends.http.node_links import WHO as WHO_PATH
from mcpgateway.frontends.http.node_links import LinkJudge
from mcpgateway.frontends.http.nodes.things import THINGS, ThingServer
from mcpgateway.frontends.http.passing import Passing, restored_headers
from mcpgateway.interfaces import IRequestHandler
from mcpgateway.policy.access import Reach
from mcpgateway.protocol.links import HEADER

BACKLOG = 512
WHO = WHO_PATH.encode()
REFUSED = b'{"error":"Forbidden: this port is for the nodes of the cluster"}'


REACHES = {each.name.lower().encode(): each for each in Reach}


class NodeRoot:
    """Admits requests of other nodes, and hands them on as their clients sent them.

    :ivar links: judges requests of nodes for servers that this node runs.
    """

    def __init__(
        self, root: IRequestHandler, credentials: NodeCredentials, incarnation: str, things: ThingServer
    ) -> None:
        self._root: Any = root
        self._credentials = credentials
        self._incarnation = incarnation
        self._things = things
        self.links: LinkJudge | None = None

    def opened(self, exchange: Any) -> int:
        """Judge a request by its head; return the number of body bytes that it may have."""
        headers = exchange.headers
        age_s = perf_counter() - exchange.began  # the former program of this process may have got the request
        name = self._credentials.judge(headers.get(NODE.lower().encode(), b""), age_s)
        if not name:
            exchange.answer(403, REFUSED)
            return 0
        if exchange.path == WHO:
            exchange.answer(200, msgspec.json.encode({"incarnation": self._incarnation}))
            return 0
        if exchange.path.startswith(THINGS):
            return 0
        reach = REACHES.get(headers.get(REACH.lower().encode(), b""), Reach.REMOTE)
        exchange.caller = replace(exchange.caller, reach=reach, node=name, pid=0, inode=0)
        exchange.secure = headers.get(SCHEME.lower().encode()) == b"https"
        exchange.headers = restored_headers(headers)
        if (said := headers.get(HEADER.lower().encode())) is not None and self.links is not None:
            return self.links.opened(exchange, said)
        found: int = self._root.opened(exchange)
        return found

    def handle(self, exchange: Any) -> None:
        """Serve a request that was admitted."""
        if exchange.path.startswith(THINGS):
            self._things.handle(exchange)
        else:
            self._root.handle(exchange)

    def refusal(self, method: bytes, path: bytes, why: str, data: dict[str, Any] | None = None) -> bytes:
        """Return the body of a refusal."""
        found: bytes = self._root.refusal(method, path, why, data)
        return found


class NodePort(NodePart):
    """The listening port, as a part of the node.

    :param inherited: the listening sockets and the connections of the former program of this process.
    :ivar factory: the connections of other nodes.
    :ivar listeners: the port.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: ClusterSettings,
        root: NodeRoot,
        membership: Membership,
        passing: Passing,
        inherited: Inheritance = NOTHING,
    ) -> None:
        self.factory = ChannelFactory(root, reactor)
        self._membership = membership
        self._passing = passing
        self._client = passing.client
        port = listen(InheritedSockets(reactor, inherited[0]), settings, self.factory)
        self.listeners = Listeners([port], 0)
        adopt_connections(reactor, inherited[1], self.factory)
        self._is_asking = False

    def begin(self) -> None:
        """Find out whether other nodes can reach this one at its address."""
        self._verify()

    def tick(self) -> None:
        """Tick the connections; called once a second."""
        self.factory.sweep()
        self._passing.look(self._membership)
        if not self._membership.me.is_verified:
            self._verify()

    def close(self) -> Deferred[None]:
        """Take no more requests; fires when the port is closed."""
        self.factory.drain()
        self._client.close()
        closed = [maybeDeferred(each.stopListening) for each in self.listeners.ports]
        return gatherResults(closed).addCallback(lambda _: None)

    def pause(self) -> Deferred[None]:
        """Leave the port, and the connections that are parked, to the next program of this process."""
        self.factory.abort_all()
        self._client.close()
        return succeed(None)

    @property
    def passed(self) -> frozenset[object]:
        """The requests that were passed on to other nodes, and are not answered yet."""
        return self._passing.under_way()

    def hush(self) -> None:
        """Take no further connections and requests for now, and end the streams that were passed on."""
        self.listeners.pause()
        self.factory.park()
        self._passing.end_streams()

    @property
    def sockets(self) -> list[int]:
        """The descriptors of the port and of the connections that are parked."""
        return [*self.listeners.descriptors, *self.factory.parked()]

    def _verify(self) -> None:
        if self._is_asking:
            return
        self._is_asking = True
        me = self._membership.me
        asked = self._client.ask(me, "GET", WHO.decode(), {})
        asked.addCallbacks(self._answered, self._not_answered, callbackArgs=(me.incarnation,))

    def _answered(self, answer: Any, incarnation: str) -> None:
        self._is_asking = False
        if answer.status == 200 and msgspec.json.decode(answer.body).get("incarnation") == incarnation:
            self._membership.verify()

    def _not_answered(self, why: Failure) -> None:
        self._is_asking = False
        why.trap(BackendError)
        self.log.debug(
            "this node cannot reach itself at its address: {why}", event="cluster.unreachable", why=why.value
        )


def listen(reactor: Any, settings: ClusterSettings, factory: ChannelFactory) -> Any:
    """Listen for other nodes, over TLS with certificates of both ends where the settings name them.

    :raise ConfigError: the address cannot be listened on, or a file cannot be used.
    """
    from twisted.internet.error import CannotListenError

    found = address_of(settings.listen)
    assert found is not None
    host, port = ("127.0.0.1" if found[0] == "localhost" else found[0]), found[1]
    try:
        return reactor.listenTCP(port, _secured(settings, factory), BACKLOG, host)
    except CannotListenError as why:
        reason = getattr(why.socketError, "strerror", None) or why.socketError
        raise ConfigError(f"gateway.cluster.listen: cannot listen on {settings.listen}: {reason}") from why


def _secured(settings: ClusterSettings, factory: ChannelFactory) -> Any:
    tls = settings.tls
    if not tls.is_whole:
        return factory
    from mcpgateway.backends.http.tls import authorities_of  # loads OpenSSL, before anything asks for it
    from mcpgateway.frontends.http.tls import mutual_options_of, over_tls

    try:
        return over_tls(mutual_options_of(tls.cert_file, tls.key_file, authorities_of(tls.ca_file)), factory)
    except LaunchFailed as why:
        raise ConfigError(f"gateway.cluster.tls: {why}") from why
