"""Listen on sockets that the previous program has left open; bind all others through the reactor."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IListeningPort, IProtocolFactory


@define(eq=False, repr=False)
class InheritedSockets:
    """A reactor for code that binds addresses: an inherited socket is adopted in place of a new one.

    :ivar sockets: the inherited sockets that were not adopted yet.
    """

    _reactor: Any
    sockets: list[socket.socket] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """Listen on a TCP port; for port 0, any inherited TCP socket is adopted."""
        found = self._take_tcp(port, interface)
        if found is None:
            self._make_way(port, interface)
            made: IListeningPort = self._reactor.listenTCP(port, factory, backlog, interface)
            return made
        with found:
            found.listen(backlog)
            adopted: IListeningPort = self._reactor.adoptStreamPort(found.fileno(), found.family, factory)
            return adopted

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """Listen on a TCP port for TLS."""
        from twisted.protocols.tls import TLSMemoryBIOFactory  # an entry with ssl: has loaded OpenSSL

        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)

    def listenUNIX(
        self,
        address: str,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: FBT001, FBT002 - Twisted's signature
    ) -> IListeningPort:
        """Listen on a Unix socket."""
        found = self.take_unix(address)
        if found is None:
            made: IListeningPort = self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
            return made
        from twisted.internet import unix

        wantPID = wantPID and _forget_own_lock(f"{address}.lock")  # noqa: N806
        # adoptStreamPort would open the socket to all addresses, and shorten its queue.
        port = unix.Port(os.fsencode(address), factory, backlog, mode, self._reactor, wantPID)
        port._preexistingSocket = found  # noqa: SLF001 - as adoptStreamPort does it
        try:
            port.startListening()
        except OSError as why:
            if why.errno != errno.EROFS:
                raise
            # The mode of the socket, which is as it was, cannot be set; the steps that follow in `Port.startListening`.
            found.listen(backlog)
            port.socket, port.connected, port.numberAccepts = found, True, 100
            port.fileno = found.fileno  # type: ignore[method-assign]
            port.startReading()
        return port

    def _take_tcp(self, port: int, interface: str) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        for each in self.sockets:
            if each.family == family:
                host, number = each.getsockname()[:2]
                if port in (0, number) and host == _numeric(interface):
                    self.sockets.remove(each)
                    return each
        return None

    def _make_way(self, port: int, interface: str) -> None:
        # The same port of one address would conflict with a socket for all addresses, or be hidden by it.
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        for each in list(self.sockets):
            if port and each.family == family and each.getsockname()[1] == port:
                self.sockets.remove(each)
                each.close()

    def take_unix(self, address: str) -> socket.socket | None:
        """Return the inherited socket of a path, if it is still the one that the path leads to."""
        for each in self.sockets:
            if each.family == socket.AF_UNIX and os.fsencode(each.getsockname()) == os.fsencode(address):
                self.sockets.remove(each)
                if os.path.exists(address):
                    return each
                each.close()
                return None
        return None

    def has_unix(self, address: str) -> bool:
        """Return whether the socket of a path is inherited."""
        return any(
            each.family == socket.AF_UNIX and os.fsencode(each.getsockname()) == os.fsencode(address)
            for each in self.sockets
        )

    def close(self) -> None:
        """Close and remove the inherited sockets that are left."""
        for each in self.sockets:
            if each.family == socket.AF_UNIX:
                with suppress(OSError):
                    os.unlink(each.getsockname())
            each.close()
        self.sockets.clear()


def adopt_connections(reactor: Any, connections: Iterable[socket.socket], factory: IProtocolFactory) -> None:
    """Serve connections that the previous program has served."""
    for each in connections:
        with each, suppress(OSError):  # its client may have disconnected
            reactor.adoptStreamConnection(each.fileno(), each.family, factory)


def _numeric(interface: str) -> str:
    if ":" in interface:
        return interface
    try:
        return socket.gethostbyname(interface) if interface else "0.0.0.0"  # noqa: S104 - as it is bound already
    except OSError:
        return interface


def _forget_own_lock(path: str) -> bool:
    """Remove the lock of this process; return False where it stays, in a home that cannot be written."""
    # Twisted's lock is a link that names a process; after the restart that is this process itself.
    try:
        if os.readlink(path) == str(os.getpid()):
            os.unlink(path)
    except OSError as why:
        return why.errno in (errno.ENOENT, errno.EINVAL)  # there is no lock
    return True
