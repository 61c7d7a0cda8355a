"""Where the control plane is wired: each group of operations with its parts, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mcpgateway.config.model import Limits

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Site

    from mcpgateway.assembly import Hub
    from mcpgateway.config.problems import Problem
    from mcpgateway.doors.http.rest.authorization import LetIn
    from mcpgateway.doors.http.rest.site import Groups
    from mcpgateway.hub.clients import Clients
    from mcpgateway.hub.owners import Owners
    from mcpgateway.hub.switchboard import Switchboard


@frozen(kw_only=True)
class Parts:
    """What the groups of operations are made of.

    :ivar let_in: takes what browsers bring back from authorization servers.
    :ivar clients: makes what answers about clients' files.
    :ivar limits: the bounds of the moment.
    :ivar problems: what is wrong with the configuration.
    :ivar redact: takes out of a text whatever is secret.
    """

    switchboard: Switchboard
    owners: Owners
    clock: IReactorTime
    limits: Callable[[], Limits]
    let_in: LetIn
    clients: Callable[[], Clients]
    hub: Hub
    problems: Callable[[], Sequence[Problem]]
    redact: Callable[[str], str]


def make_site(parts: Parts) -> Site:
    """The control plane as a site for the channel."""
    from mcpgateway.doors.http.rest.site import ControlPlane  # Klein is loaded by the first who looks

    tracer = parts.hub.tracer
    audit = tracer.activity.managed if tracer is not None and tracer.activity is not None else None
    return ControlPlane(groups_of(parts), parts.limits, parts.clock, audit).site()


def groups_of(parts: Parts) -> Groups:
    """What makes each group; its module is loaded by then, and not before."""

    def authorization() -> Any:
        from mcpgateway.doors.http.rest.authorization import Authorization

        return Authorization(parts.let_in)

    def clients() -> Any:
        from mcpgateway.doors.http.rest.clients import Clients

        return Clients(parts.clients())

    def describing() -> Any:
        from mcpgateway.doors.http.rest.describing import Describing

        return Describing()

    def sessions() -> Any:
        from mcpgateway.doors.http.rest.sessions import Sessions

        return Sessions(parts.switchboard)

    def tools() -> Any:
        from mcpgateway.doors.http.rest.tools import Tools

        return Tools(parts.switchboard, parts.owners, parts.clock)

    def tracing() -> Any:
        from mcpgateway.doors.http.rest.tracing import Tracing
        from mcpgateway.hub.recording import Recording
        from mcpgateway.hub.why import Why

        hub, health = parts.hub, parts.hub.health
        why = Why(parts.switchboard, health, hub.tapes, parts.problems, parts.redact)
        activity = hub.tracer.activity if hub.tracer is not None else None
        return Tracing(why, Recording(hub.tapes, health.histories, parts.clock, parts.redact), activity)

    made = (authorization, clients, describing, sessions, tools, tracing)
    return {each.__name__: each for each in made}
