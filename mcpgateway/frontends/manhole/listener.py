"""Open and close the manhole as configured."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from mcpgateway.config.gateway_settings import ManholeSettings
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http.listeners import socket_path
from mcpgateway.frontends.manhole.shell import Namespace, ShellFactory

HOST_KEY = "manhole/host_key"
EXTRA = "SSH needs twisted[conch]: pip install 'mcpgateway[manhole]'"
LOOPBACK = "127.0.0.1"


@define(eq=False, repr=False)
class Manhole:
    """Listens for logins to the manhole.

    :param namespace: the names that are defined at the prompt.
    """

    log = Logger()

    _reactor: Any = field(repr=False)
    _home: str
    _namespace: Namespace = field(repr=False)
    _settings: ManholeSettings = field(init=False, factory=ManholeSettings)
    _ports: list[tuple[IListeningPort, Any]] = field(init=False, factory=list, repr=False)

    def configure(self, settings: ManholeSettings) -> None:
        """Open the configured manholes and close the others; a failure is logged."""
        if settings == self._settings:
            return
        self.close()
        self._settings = settings
        if settings.socket:
            path = _beneath(settings.path, self._home) if settings.path else default_socket(self._home)
            self._try(self._listen_at_socket, path)
        if settings.ssh_port:
            self._try(self._listen_for_ssh, settings)

    def close(self) -> None:
        """Close all manholes and their connections."""
        ports, self._ports = self._ports, []
        for port, factory in ports:
            port.stopListening()
            factory.end()
        self._settings = ManholeSettings()

    def _try(self, listen: Any, what: Any) -> None:
        try:
            where, port, factory = listen(what)
        except (ConfigError, CannotListenError, OSError, ImportError) as why:
            reason = EXTRA if isinstance(why, ImportError) else str(why)
            self.log.error("the manhole cannot be opened: {why}", event="manhole.failed", why=reason)
            return
        self._ports.append((port, factory))
        self.log.warn(
            "the manhole is open at {where}: its users can do everything that the gateway can",
            event="manhole.opened",
            where=where,
        )

    def _listen_at_socket(self, path: str) -> tuple[str, IListeningPort, Any]:
        factory = ShellFactory(self._namespace)
        _clear(path)
        with _private():
            port = self._reactor.listenUNIX(path, factory, mode=0o600)
        return path, port, factory

    def _listen_for_ssh(self, settings: ManholeSettings) -> tuple[str, IListeningPort, Any]:
        from mcpgateway.frontends.manhole.ssh import SshFactory, host_key

        key = host_key(os.path.join(self._home, HOST_KEY))
        keys = _beneath(settings.authorized_keys, self._home)
        factory = SshFactory(self._reactor, key, keys, self._namespace)
        port = self._reactor.listenTCP(settings.ssh_port, factory, interface=LOOPBACK)
        return f"{LOOPBACK}, port {settings.ssh_port} (SSH)", port, factory


def default_socket(home: str) -> str:
    """Return the default path of the socket, in the gateway's home."""
    return f"{socket_path(home).removesuffix('gateway.sock').removesuffix('.sock')}manhole.sock"


def _beneath(path: str, home: str) -> str:
    return os.path.join(home, os.path.expanduser(path))


@contextmanager
def _private() -> Iterator[None]:
    # Between the socket's creation and its mode no other user may be able to connect.
    former = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(former)


def _clear(path: str) -> None:
    """Remove the socket of a killed gateway; leave one that answers, and any other file."""
    with suppress(OSError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(1.0)
            try:
                caller.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
