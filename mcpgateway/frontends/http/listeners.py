"""Bind the gateway's addresses before the reactor runs.

A failure has to result in one clear line and exit code 1 under `twistd` and `twist` alike, so binding happens while the
service is made, where an exception still ends the program.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.errors import ConfigError, Misplaced
from mcpgateway.frontends.http.inherited_sockets import InheritedSockets, adopt_connections
from mcpgateway.records import Record
from mcpgateway.system.process.processes import check_files

BACKLOG = 512
PAUSED_BACKLOG = 4096  # while no connection is accepted
Inheritance = tuple[list[socket.socket], list[socket.socket]]
NOTHING: Inheritance = ([], [])
LOCK_AGE_S = 2.0
SOCKET_PATH_LIMIT = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS
NO_SUCH_FAMILY = frozenset((errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT))
LOOPBACK_V4, LOOPBACK_V6 = "127.0.0.1", "::1"


class Listeners(Record):
    """The listening ports.

    :ivar ports: every port, in the order they were bound.
    :ivar http_port: the number of the main TCP port.
    """

    ports: list[IListeningPort]
    http_port: int

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of all TCP ports."""
        hosts = (port.getHost() for port in self.ports)
        return frozenset(host.port for host in hosts if isinstance(host, IPv4Address | IPv6Address))

    @property
    def words(self) -> tuple[str, ...]:
        """The addresses of the gateway, for people and programs; none of ports that are closed already."""
        return tuple(_word(port.getHost()) for port in self.ports if getattr(port, "connected", True))

    def pause(self) -> None:
        """Accept no connections for now; new ones wait in the kernel's queue."""
        for port in self._sockets:
            with suppress(OSError):
                port.socket.listen(PAUSED_BACKLOG)
            port.stopReading()

    def close_now(self) -> None:
        """Close the ports that still listen, after the reactor has ended."""
        for port in self._sockets:
            if port.connected:
                port.connectionLost(None)

    @property
    def descriptors(self) -> list[int]:
        """Return the descriptors of the listening sockets."""
        return [port.fileno() for port in self._sockets]

    @property
    def _sockets(self) -> list[Any]:
        # A port of another kind, as from a plugin's endpoint, is bound anew.
        return [port for port in self.ports if hasattr(port, "stopReading") and hasattr(port, "socket")]

    def close(self) -> list[Any]:
        """Stop listening; return the results of each port, which the caller awaits."""
        return [port.stopListening() for port in self.ports]


def _word(host: object) -> str:
    match host:
        case IPv6Address():
            return f"[{host.host}]:{host.port}"
        case IPv4Address():
            return f"{host.host}:{host.port}"
        case UNIXAddress():
            return f"unix:{os.fsdecode(host.name or b'')}"
        case _:
            return str(host)


def bind(
    reactor: Any,
    settings: GatewaySettings,
    home: str,
    factory: IProtocolFactory,
    *,
    is_alone: bool = False,
    inherited: Inheritance = NOTHING,
) -> Listeners:
    """Bind the main port on both loopback families, further ports, the Unix socket, and every further endpoint.

    :param is_alone: no other gateway of this home runs or starts; files that one has left are removed at once.
    :param inherited: connections, and listening sockets, of which the unused ones are closed.
    :raise ConfigError: an address is taken, not permitted, or malformed; or no connection could be accepted.
    """
    listeners = Listeners([], 0)
    heir = InheritedSockets(reactor, list(inherited[0]))
    try:
        outer = _secured(reactor, settings, factory)
        _bind_main(heir, settings, outer, listeners)
        _bind_further(heir, settings, outer, listeners)
        _bind_socket(heir, home, factory, listeners, is_alone=is_alone)
        for description in settings.listen:
            listeners.ports.append(
                _bind_endpoint(heir, description, factory if is_apart(description) else outer)
            )
        _refuse_exposure(settings, listeners)
        check_files()
        adopt_connections(reactor, inherited[1], factory)
    except ConfigError:
        listeners.close()
        raise
    finally:
        heir.close()
    return listeners


def _secured(reactor: Any, settings: GatewaySettings, factory: IProtocolFactory) -> IProtocolFactory:
    if not settings.tls_cert_path:
        return factory
    from mcpgateway.frontends.http.tls import TlsOrPlain, options_of  # OpenSSL costs 15 MB

    made: IProtocolFactory = TlsOrPlain(
        factory, options_of(settings.tls_cert_path, settings.tls_key_path), reactor
    )
    return made


def is_apart(description: str) -> bool:
    """Return whether an endpoint has its own certificate, or needs none."""
    return description.startswith(("ssl:", "unix:"))


def _bind_main(
    reactor: InheritedSockets, settings: GatewaySettings, factory: IProtocolFactory, listeners: Listeners
) -> None:
    listeners.ports += _bind_both(reactor, settings.bind_address, settings.http_port, factory, "")
    listeners.http_port = getattr(listeners.ports[0].getHost(), "port", settings.http_port)


def _bind_further(
    reactor: InheritedSockets, settings: GatewaySettings, factory: IProtocolFactory, listeners: Listeners
) -> None:
    for number in dict.fromkeys(settings.ports):
        if number != listeners.http_port:
            listeners.ports += _bind_both(reactor, settings.bind_address, number, factory, " of compat.ports")


def _bind_both(
    reactor: InheritedSockets, address: str, number: int, factory: IProtocolFactory, whose: str
) -> list[IListeningPort]:
    where = f"port {number}{whose}"
    first = _bound(lambda: reactor.listenTCP(number, factory, BACKLOG, address), f"{address}, {where}")
    if address != LOOPBACK_V4:
        return [first]
    # "localhost" is ::1 first for many clients; a machine without IPv6 is no error.
    try:
        found = getattr(first.getHost(), "port", number)
        return [first, reactor.listenTCP(found, factory, BACKLOG, LOOPBACK_V6)]
    except CannotListenError as why:
        if _errno(why) not in NO_SUCH_FAMILY and number != 0:
            first.stopListening()
            raise ConfigError(_taken(f"{LOOPBACK_V6}, {where}", why)) from why
    return [first]


def _bind_socket(
    reactor: InheritedSockets, home: str, factory: IProtocolFactory, listeners: Listeners, *, is_alone: bool
) -> None:
    path = socket_path(home)
    if not reactor.has_unix(path):
        _refuse_other(path)
        _clear_dead_socket(path, reactor.seconds(), 0.0 if is_alone else LOCK_AGE_S)
    try:
        listeners.ports.append(reactor.listenUNIX(path, factory, backlog=BACKLOG, mode=0o600, wantPID=True))
    except (CannotListenError, OSError) as refused:
        # TCP is the main frontend; a socket that is taken, or a full home, does not stop the gateway.
        why = getattr(refused, "socketError", refused)
        if isinstance(why, OSError):
            Logger().warn(
                "the Unix socket {path} cannot be made ({why}); this gateway does without",
                event="listen.socket_failed",
                path=path,
                why=why.strerror,
            )
            return
        Logger().warn(
            "the Unix socket {path} belongs to another running gateway; this one does without",
            event="listen.socket_taken",
            path=path,
        )


def _refuse_other(path: str) -> None:
    # Commands and shims connect to that path, and would wait for it in vain.
    with suppress(OSError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Misplaced(f"{path}: is not a socket")


def _clear_dead_socket(path: str, now: float, age_s: float) -> None:
    # A killed gateway leaves its socket, and a lock that names its pid; in a container, or after a restart of the
    # machine, that may be the pid of any other process, or of this one.  Only a process that has the socket open
    # accepts connections.
    lock = f"{path}.lock"
    try:
        if age_s and now - os.lstat(lock).st_mtime < age_s:
            return  # its owner may be about to listen
    except OSError:
        pass
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except OSError:
            return  # it is no socket, or belongs to another user
        else:
            return
    for leftover in (path, lock):
        with suppress(OSError):
            if leftover == lock or stat.S_ISSOCK(os.lstat(leftover).st_mode):
                os.unlink(leftover)


def socket_path(home: str) -> str:
    """Return the path of the Unix socket: in the home, or in a short private directory if that is too long.

    :raise ConfigError: another user owns that directory, and may replace the socket.
    """
    path = os.path.join(home, "gateway.sock")
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    base = os.environ.get("XDG_RUNTIME_DIR") or os.path.join(
        tempfile.gettempdir(), f"mcpgateway-{os.getuid()}"
    )
    os.makedirs(base, 0o700, exist_ok=True)
    state = os.lstat(base)
    if state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode) or state.st_mode & 0o022:
        raise ConfigError(f"{base} is not a directory of yours alone; choose a shorter --home than {home}")
    return os.path.join(base, hashlib.sha256(os.fsencode(home)).hexdigest()[:16] + ".sock")


def _bind_endpoint(reactor: InheritedSockets, description: str, factory: IProtocolFactory) -> IListeningPort:
    from twisted.internet.endpoints import serverFromString  # few gateways have such an endpoint

    try:
        endpoint = serverFromString(reactor, description)
    except Exception as why:  # the endpoint parsers raise many types of exceptions
        raise ConfigError(f"--listen {description}: not a Twisted endpoint: {_first_line(why)}") from why
    results: list[Any] = []
    listening: Deferred[IListeningPort] = endpoint.listen(factory)
    listening.addBoth(results.append)
    if not results:
        raise ConfigError(f"--listen {description}: this kind of endpoint cannot be bound at start")
    if isinstance(results[0], Failure):
        raise ConfigError(_taken(f"--listen {description}", results[0].value))
    port: IListeningPort = results[0]
    return port


def _bound(listen: Callable[[], IListeningPort], where: str) -> IListeningPort:
    try:
        return listen()
    except CannotListenError as why:
        raise ConfigError(_taken(where, why)) from why


def _taken(where: str, why: BaseException | None) -> str:
    reason = getattr(why, "socketError", why)
    if _errno(why) == errno.EADDRINUSE:
        other = "take it out of there" if where.endswith("compat.ports") else "choose another --port"
        return f"cannot listen on {where}: it is in use by another program; stop that or {other}"
    return f"cannot listen on {where}: {_first_line(reason)}"


def _errno(why: BaseException | None) -> int | None:
    return getattr(getattr(why, "socketError", None), "errno", None)


def _first_line(why: BaseException | None) -> str:
    return (str(why).splitlines() or [type(why).__name__])[0]


def _refuse_exposure(settings: GatewaySettings, listeners: Listeners) -> None:
    if settings.allow_remote:
        return
    for port in listeners.ports:
        host = port.getHost()
        if not is_near(host):
            raise ConfigError(
                f"refusing to listen on {getattr(host, 'host', host)}: it can be reached from other machines; "
                "set gateway.allow_remote: true if that is meant (remote clients then need the token)"
            )


def is_near(host: object) -> bool:
    """Return whether only this machine can reach an address."""
    if isinstance(host, IPv4Address):
        return host.host.startswith("127.")
    if isinstance(host, IPv6Address):
        return host.host == LOOPBACK_V6
    return isinstance(host, UNIXAddress)


def unusable(address: str, number: int) -> list[str]:
    """Return the reasons why a port could not be bound now; empty if it could."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, number))
        except OSError as why:
            return [f"cannot listen on {address}, port {number}: {why.strerror}"]
    return []
