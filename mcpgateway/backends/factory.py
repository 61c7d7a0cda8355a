"""Start or reach servers of every kind: each launch goes to the backend of its transport.

The module of a transport that few servers use is loaded by the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Container, Daemon, Reach, Remote, Rest, Transport
from mcpgateway.errors import GatewayError
from mcpgateway.inherited import (
    Inherited,
    InheritedChild,
    InheritedContainer,
    InheritedDaemon,
    InheritedLink,
    InheritedSession,
    InheritedStream,
    InheritedWebSocket,
)
from mcpgateway.interfaces import (
    GatewayRun,
    IBackend,
    IDaemonLocks,
    IGrants,
    ILauncher,
    ILineReceiver,
    Launch,
    OwnAddress,
    Returned,
)
from mcpgateway.policy.ownership import can_sign_in
from mcpgateway.policy.proxies import NONE, Proxies

if TYPE_CHECKING:
    from mcpgateway.backends.daemon import Daemons
    from mcpgateway.backends.http.client import Web
    from mcpgateway.backends.oauth.flow import AccountListener, Accounts
    from mcpgateway.backends.oauth.sign_ins import SignIn
    from mcpgateway.backends.remote_access import IAuthorizer
    from mcpgateway.errors import NeedsLogin


class Backends:
    """The backends of all transports.

    :param programs: launcher of children.
    :param grants: store of the tokens for remote servers.
    :param where: returns the gateway's address for browsers, once it listens.
    :param whose: identity of this gateway's run.
    :param asks: users may be asked to sign in; a program beside the gateway uses the stored tokens only.
    :param make_locks: makes the locks that keep daemons from being started twice.
    :ivar make_heard: makes the listener for requested and completed sign-ins; None for no listener.
    :ivar own_ports: the TCP ports that the gateway itself listens on, at which no server is reached.
    """

    def __init__(
        self,
        reactor: Any,
        programs: ILauncher,
        grants: IGrants,
        where: Callable[[], OwnAddress],
        whose: GatewayRun,
        make_locks: Callable[[], IDaemonLocks],
        *,
        asks: bool = True,
    ) -> None:
        self._reactor = reactor
        self._whose = whose
        self._make_locks = make_locks
        self._daemons: Daemons | None = None
        self._programs = programs
        self.grants = grants
        self._where = where
        self._asks = asks
        self._web: Web | None = None
        self._accounts: Accounts | None = None
        self.own_ports: Collection[int] = ()
        self._proxies = NONE
        self.make_heard: Callable[[], AccountListener] | None = None

    @property
    def web(self) -> Web:
        """The HTTP client for remote servers."""
        if self._web is None:
            from mcpgateway.backends.http.client import Web

            self._web = Web(self._reactor)
            self._web.own_ports = self.own_ports
            self._web.dialler.proxies = self._proxies
        return self._web

    @property
    def proxies(self) -> Proxies:
        """The settings of the proxies that requests pass through."""
        return self._proxies

    @proxies.setter
    def proxies(self, proxies: Proxies) -> None:
        self._proxies = proxies
        if self._web is not None:
            self._web.dialler.proxies = proxies

    @property
    def daemons(self) -> Daemons:
        """The servers with ports of their own."""
        if self._daemons is None:
            from mcpgateway.backends.daemon import Daemons

            self._daemons = Daemons(self._reactor, self._programs, self.web, self._make_locks())
        return self._daemons

    @property
    def accounts(self) -> Accounts:
        """The gateway's accounts at remote servers with OAuth."""
        if self._accounts is None:
            from mcpgateway.backends.oauth.flow import Accounts

            self._accounts = Accounts(
                self._reactor, lambda: self.web, self.grants, self._where, asks=self._asks
            )
            if self.make_heard is not None:
                self._accounts.heard = self.make_heard()
        return self._accounts

    def changed(self, is_meant: Callable[[str], bool]) -> None:
        """Take what another gateway has stored of accounts, chosen by their keys (`Accounts.changed`)."""
        if self._accounts is not None:
            self._accounts.changed(is_meant)

    def question(self, server: ServerSpec) -> NeedsLogin | None:
        """Return the sign-in address of a server's user; None if no sign-in is pending."""
        if self._accounts is None or not isinstance(server.reach, Remote):
            return None
        return self._accounts.question(self._accounts.of(server.name, server.reach, server.principal))

    def returned(self, query: Mapping[str, str]) -> Deferred[Returned]:
        """Pass on a browser's return from an authorization server (`Accounts.answered`)."""
        return self.accounts.answered(query).addCallback(_returned)

    def document(self) -> dict[str, Any] | None:
        """Return the gateway's client ID metadata document; None without a public address."""
        from mcpgateway.policy.oauth.client import client_document

        where = self._where()
        return client_document(where.document, where.redirect) if where.document else None

    def agreed(self, key: str) -> Deferred[Returned]:
        """Confirm the principal of a sign-in (`Accounts.agreed`)."""
        return self.accounts.agreed(key).addCallback(_returned)

    def prepare(self, launch: Launch) -> Deferred[Launch]:
        """Resolve the program, image or package of a launch; never fails."""
        match launch.reach:
            case None:
                prepared: Deferred[Launch] = self._programs.prepare(launch)
                return prepared
            case Container():
                from mcpgateway.backends.container import prepare_container

                return prepare_container(self._reactor, self._programs, launch)
            case Daemon():
                from mcpgateway.backends.daemon import prepare_daemon

                return Deferred.fromCoroutine(prepare_daemon(self._reactor, self._programs, launch))
            case _:
                return succeed(launch)

    def launch(self, launch: Launch, receiver: ILineReceiver) -> IBackend:
        """Start or reach a backend.

        :raise LaunchFailed: the server cannot be started or reached; the text says why.
        """
        match launch.reach:
            case None:
                child: IBackend = self._programs.launch(launch, receiver)
                return child
            case Remote():
                return self._remote(launch, launch.reach, receiver)
            case Daemon():
                from mcpgateway.backends.daemon import DaemonBackend

                return DaemonBackend(self.daemons, self.launch, launch, receiver)
            case Container():
                from mcpgateway.backends.container import launch_container

                return launch_container(self._reactor, self._programs, launch, receiver, self._whose)
            case Rest():
                from mcpgateway.backends.rest.backend import RestBackend

                return RestBackend(self._reactor, self.web, launch, receiver)

    def _remote(self, launch: Launch, remote: Remote, receiver: ILineReceiver) -> IBackend:
        reactor, authorizer = self._reactor, self._authorizer(launch, remote)
        is_stream = isinstance(launch.inherited, InheritedStream)
        match Transport.SSE if is_stream else remote.transport:
            case Transport.WEBSOCKET:
                from mcpgateway.backends.websocket import WebSocket

                return WebSocket(reactor, self.web.dialler, launch, remote, receiver)
            case Transport.STREAMABLE_HTTP if remote.is_guess and launch.inherited is None:
                from mcpgateway.backends.legacy_sse import GuessedTransport

                return GuessedTransport(reactor, self.web, launch, remote, receiver, authorizer)
            case Transport.STREAMABLE_HTTP:
                from mcpgateway.backends.streamable import Streamable

                return Streamable(reactor, self.web, launch, remote, receiver, authorizer)
            case Transport.SSE:
                from mcpgateway.backends.legacy_sse import SseConnection

                return SseConnection(reactor, self.web, launch, remote, receiver, authorizer)

    def _authorizer(self, launch: Launch, remote: Remote) -> IAuthorizer | None:
        if not can_sign_in(remote):
            return None
        return self.accounts.authorizer(launch.server, remote, launch.principal)


def _returned(sign_in: SignIn) -> Returned:
    return Returned(sign_in.account.name, sign_in.account.owner, sign_in.key)


def dismiss(launcher: ILauncher, server: str, inherited: Inherited) -> None:
    """Stop a backend of the former program of this process, for which there is no use."""
    from mcpgateway.backends.spawn import ProgramOutput  # after a restart only

    reach: Reach | None = None
    if isinstance(inherited, InheritedLink):
        inherited = inherited.session
    match inherited:
        case InheritedSession(url=url) | InheritedStream(url=url):
            reach = Remote(url)
        case InheritedWebSocket():
            reach = Remote("", Transport.WEBSOCKET)
        case InheritedContainer(engine=engine):
            reach = Container(engine=engine)
        case InheritedDaemon(session=InheritedSession(url=url) | InheritedStream(url=url), port=port):
            reach = Daemon(port, url)
        case InheritedChild():
            pass
    launch = Launch(server, (), {}, "/", reach, inherited=inherited)
    with suppress(GatewayError):  # it has ended already
        launcher.launch(launch, ProgramOutput()).stop()
