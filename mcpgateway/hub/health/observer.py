"""What a slot tells of its child's life and whom, and what is asked about the world around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from mcpgateway.hub.health.upkeep import Scales

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpgateway.config.model import ServerSpec
    from mcpgateway.errors import GatewayError
    from mcpgateway.hub.health.ping import Checks
    from mcpgateway.hub.health.record import Chart
    from mcpgateway.hub.health.watch import Watch
    from mcpgateway.hub.upstream import Upstream
    from mcpgateway.interfaces import Gone, Launch
    from mcpgateway.policy.stuck_calls import ProcessActivity


class Monitor(Protocol):
    """Who watches over the slots of all servers."""

    def watch(self, slot: Upstream) -> Watch:
        """What a new slot is to tell of its life."""

    def refusal(self, server: ServerSpec) -> GatewayError | None:
        """Why a server may not be started now by somebody who only wants to find something out about it."""

    def question(self, server: ServerSpec) -> GatewayError | None:
        """Where its user has to sign in before it is started; None where nothing is asked."""

    def is_on(self, server: ServerSpec) -> bool:
        """Whether it is switched on."""


class HealthEnvironment(Scales, Protocol):
    """What an instance knows of the world around it.

    :ivar now: the gateway's age in ticks.
    :ivar ping_s: seconds between two pings; 0 for none.
    :ivar stuck_s: for so long a child shows no sign of life before it is taken for stuck; 0: it never is.
    """

    now: int
    ping_s: float
    stuck_s: float
    checks: Checks

    def chance(self) -> float:
        """A number from 0 to 1, at random."""

    def wall(self) -> float:
        """Seconds since the epoch."""

    def is_known(self, slot: Upstream) -> bool:
        """Whether what its server offers is known without a child."""

    def activity(self, slot: Upstream) -> ProcessActivity | None:
        """What the processes of a slot's child do; None where that cannot be told."""

    def may_double(self, slot: Upstream) -> bool:
        """Whether a slot may have a second child beside the one that runs."""

    def warm(self, slot: Upstream) -> None:
        """Start a slot's child though nobody needs it yet."""

    def opened(self, chart: Chart) -> None:
        """A server has failed too often."""

    def question(self, server: ServerSpec) -> GatewayError | None:
        """Where its user has to sign in before it is started; None where nothing is asked."""

    def dial(self, server: ServerSpec, dialled: Callable[[bool], None]) -> None:
        """See whether the address of a server answers, and call back."""


@frozen
class Visitors:
    """Watches over throw-away slots: what becomes of their children says nothing about a server's health."""

    monitor: Monitor

    def watch(self, slot: Upstream) -> Watch:
        """Nothing of it is counted."""
        return _Visit(self.monitor, slot.server)

    def refusal(self, server: ServerSpec) -> GatewayError | None:
        """The same holds as for everybody."""
        return self.monitor.refusal(server)

    def question(self, server: ServerSpec) -> GatewayError | None:
        """The same."""
        return self.monitor.question(server)

    def is_on(self, server: ServerSpec) -> bool:
        """The same."""
        return self.monitor.is_on(server)


@frozen
class _Visit:
    monitor: Monitor
    server: ServerSpec

    def refusal(self) -> GatewayError | None:
        return self.monitor.refusal(self.server) or self.monitor.question(self.server)

    def becomes(self, server: ServerSpec) -> None:
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
