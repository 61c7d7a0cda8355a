"""The interfaces between slots and the watch over their children's health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mcpgateway.hub.health.sleep import SleepWorld
from mcpgateway.hub.health.upkeep import UseMeasurements
from mcpgateway.records import FrozenRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpgateway.config.model import ServerSpec
    from mcpgateway.errors import GatewayError
    from mcpgateway.hub.health.ping import Checks
    from mcpgateway.hub.health.record import HealthRecord
    from mcpgateway.hub.health.watch import Watch
    from mcpgateway.hub.upstream import Upstream
    from mcpgateway.interfaces import Gone, Launch
    from mcpgateway.policy.stuck_calls import ProcessActivity


class Monitor(Protocol):
    """The watch over the slots of all servers."""

    def watch(self, slot: Upstream) -> Watch:
        """Make the watch of a new slot's child."""

    def refusal(self, server: ServerSpec) -> GatewayError | None:
        """Return the error for which a server may not be started for a probe now; None where it may."""

    def question(self, server: ServerSpec) -> GatewayError | None:
        """Return the sign-in that a server needs of its user before a start; None where it needs none."""

    def is_on(self, server: ServerSpec) -> bool:
        """True if a server is switched on."""


class HealthEnvironment(UseMeasurements, SleepWorld, Protocol):
    """The environment of an instance.

    :ivar now: the gateway's age in ticks.
    :ivar ping_s: seconds between two pings; 0 for none.
    :ivar stuck_s: seconds without output after which a child with open calls is stuck; 0: never.
    """

    now: int
    ping_s: float
    stuck_s: float
    checks: Checks

    def chance(self) -> float:
        """Return a random number from 0 to 1."""

    def wall(self) -> float:
        """Return the wall-clock time, in seconds since the epoch."""

    def is_known(self, slot: Upstream) -> bool:
        """True if the catalog of a slot's server is known without a child."""

    def activity(self, slot: Upstream) -> ProcessActivity | None:
        """Return the activity of a child's process tree; None where it is not known."""

    def may_double(self, slot: Upstream) -> bool:
        """True if a slot may have a second child beside the one that runs."""

    def warm(self, slot: Upstream) -> None:
        """Start a slot's child before any request."""

    def opened(self, record: HealthRecord) -> None:
        """Note that a server's circuit has opened."""

    def question(self, server: ServerSpec) -> GatewayError | None:
        """Return the sign-in that a server needs of its user before a start; None where it needs none."""

    def dial(self, server: ServerSpec, dialled: Callable[[bool], None]) -> None:
        """Try to connect to the address of a server, and call back with the result."""


class ProbeMonitor(FrozenRecord, frozen=True):
    """The monitor of a probe's temporary slots, whose children do not count for a server's health."""

    monitor: Monitor

    def watch(self, slot: Upstream) -> Watch:
        """Make a watch that counts nothing."""
        return _ProbeWatch(self.monitor, slot.server)

    def refusal(self, server: ServerSpec) -> GatewayError | None:
        """Return the refusal of the monitor."""
        return self.monitor.refusal(server)

    def question(self, server: ServerSpec) -> GatewayError | None:
        """Return the sign-in that the monitor asks for."""
        return self.monitor.question(server)

    def is_on(self, server: ServerSpec) -> bool:
        """True if the server is switched on for the monitor."""
        return self.monitor.is_on(server)


class _ProbeWatch(FrozenRecord, frozen=True):
    monitor: Monitor
    server: ServerSpec

    def refusal(self) -> GatewayError | None:
        return self.monitor.refusal(self.server) or self.monitor.question(self.server)

    def replace_server(self, server: ServerSpec) -> None:
        pass

    def starting(self) -> None:
        pass

    def launching(self, launch: Launch) -> None:
        pass

    def ready(self) -> None:
        pass

    def failed(self, why: GatewayError) -> None:
        pass

    def ended(self, why: Gone) -> None:
        pass

    def stopping(self) -> None:
        pass
