"""The parts that know the packages of servers and their tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mcpgateway.backends.spawn import Launcher
from mcpgateway.hub.catalog.quarantine import Quarantine
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.interfaces import IResolver, Launch
from mcpgateway.policy.runners import Wrapped
from mcpgateway.system.launch.lock import VersionLock

if TYPE_CHECKING:
    from mcpgateway.app.control import ControlParts
    from mcpgateway.app.hub import Hub


def resolver_of(home: str, clock: Any, lock: VersionLock, parts: Callable[[], ControlParts]) -> IResolver:
    """Return the resolver, which passes newer versions on to the upgrades of the gateway."""
    from mcpgateway.system.launch.resolver import (
        Resolver,  # only where a package runner is in front of a server
    )

    made = parts()
    return Resolver(
        home,
        clock.seconds,
        lock.pin,
        made.upgrades.found,
        lambda: made.reload.settings.gateway.upgrade_checks,
    )


def quarantine_of(lock: VersionLock, snapshots: Snapshots) -> Quarantine:
    """Return the quarantine, which hears of every list of tools."""
    made = Quarantine(lock, snapshots)
    snapshots.on_listed.append(made.listed)
    return made


def hold_back(hub: Hub, quarantine: Quarantine | None, clock: Any) -> Hub:
    """Let a hub hold changed tools back; return it."""
    if quarantine is None:
        return hub
    hub.dispatcher.permits.quarantine = quarantine
    quarantine.default = lambda: hub.views_config.gateway.quarantine
    # The list that shows the change is not recorded yet.
    quarantine.changed = lambda name: clock.callLater(0, hub.dispatcher.offer_others, name)
    hub.dispatcher.permits.look(hub.dispatcher.servers.values())
    return hub


async def newest(launcher: Launcher, launch: Launch, written: Wrapped) -> str:
    """Return the newest requested version of the package that a launch names.

    :param written: its words.
    :raise GatewayError: the index cannot be asked.
    """
    from mcpgateway.system.launch.resolver import newest_of

    return await newest_of(launch, written, launcher.run)
