"""The backends of a command that starts servers by itself, without a gateway."""

from __future__ import annotations

import os
import secrets
from typing import Any

from attrs import frozen

from mcpgateway.backends.factory import Backends
from mcpgateway.backends.spawn import Launcher
from mcpgateway.interfaces import GatewayRun, OwnAddress
from mcpgateway.policy.proxies import Proxies
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.launch.lock import VersionLock
from mcpgateway.system.launch.resolver import Resolver
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.system.process.socket_owners import SocketSearch

NOWHERE = OwnAddress("")  # no browser returns to this program
S002_HOME = os.path.expanduser("~/.mcp-session-manager")


@frozen
class BackendsAlone:
    """The backends, and the processes behind them."""

    backends: Backends
    _launcher: Launcher
    _ward: ChildGuard

    async def close(self) -> None:
        """End all processes."""
        await self._launcher.close()
        self._ward.close()


def backends_alone(reactor: Any, home: str, holders: SocketSearch, proxies: Proxies) -> BackendsAlone:
    """Return the backends of a home; the gateway's tokens are used, and users sign in through a running gateway.

    :param holders: the search for processes that hold a port.
    """
    instance = secrets.token_hex(8)
    ward = ChildGuard(ChildRegistry(home, instance), Guardian(reactor, instance))
    lock, locks = VersionLock(home, reactor.seconds), DaemonLocks(home, S002_HOME, holders)
    launcher = Launcher(reactor, ward, lambda: Resolver(home, reactor.seconds, lock.pin))
    backends = Backends(
        reactor,
        launcher,
        OAuthTokenFiles(home),
        lambda: NOWHERE,
        GatewayRun(home, instance),
        lambda: locks,
        asks=False,
    )
    backends.proxies = proxies
    return BackendsAlone(backends, launcher, ward)
