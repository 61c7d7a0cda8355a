"""Where the control plane is wired: each group of operations with its parts, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mcpgateway.config.model import Limits

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Site

    from mcpgateway.assembly import Hub
    from mcpgateway.config.problems import Problem
    from mcpgateway.doors.http.rest.authorization import LetIn
    from mcpgateway.doors.http.rest.site import Groups
    from mcpgateway.hub.census import Census
    from mcpgateway.hub.clients import Clients
    from mcpgateway.hub.figures import Figures
    from mcpgateway.hub.following import Chronicle
    from mcpgateway.hub.issuing import Issuing
    from mcpgateway.hub.ledger import Ledger
    from mcpgateway.hub.owners import Owners
    from mcpgateway.hub.reload import Reload
    from mcpgateway.hub.serverlogs import ServerLogs
    from mcpgateway.hub.switchboard import Switchboard
    from mcpgateway.interfaces import ILauncher


@frozen(kw_only=True)
class Parts:
    """What the groups of operations are made of.

    :ivar let_in: takes what browsers bring back from authorization servers.
    :ivar clients: makes what answers about clients' files.
    :ivar issuing: makes what manages tokens.
    :ivar figures: makes what tells of numbers.
    :ivar ledger: what the gateway saves.
    :ivar limits: the bounds of the moment.
    :ivar logs: what servers have said.
    :ivar events: what has happened.
    :ivar problems: what is wrong with the configuration.
    :ivar redact: takes out of a text whatever is secret.
    :ivar census: counts what runs.
    :ivar reload: keeps what is served at what the files say.
    :ivar home: the gateway's own directory.
    :ivar launcher: tries servers out.
    :ivar tag_key: what tags of entries are made with.
    """

    switchboard: Switchboard
    owners: Owners
    clock: IReactorTime
    limits: Callable[[], Limits]
    let_in: LetIn
    clients: Callable[[], Clients]
    logs: ServerLogs
    events: Chronicle
    issuing: Callable[[], Issuing]
    figures: Callable[[], Figures]
    ledger: Ledger
    hub: Hub
    problems: Callable[[], Sequence[Problem]]
    redact: Callable[[str], str]
    census: Census
    reload: Reload
    home: str
    launcher: ILauncher
    tag_key: bytes = field(repr=False)


def make_site(parts: Parts) -> Site:
    """The control plane as a site for the channel."""
    from mcpgateway.doors.http.rest.site import ControlPlane  # Klein is loaded by the first who looks

    return ControlPlane(groups_of(parts), parts.limits, parts.clock).site()


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

    def logs() -> Any:
        from mcpgateway.doors.http.rest.following import Readers
        from mcpgateway.doors.http.rest.logs import Logs

        readers = Readers(parts.clock, lambda: parts.limits().log_streams)
        return Logs(parts.logs, parts.events, readers)

    def figures() -> Any:
        from mcpgateway.doors.http.rest.figures import Figures

        return Figures(parts.figures(), parts.ledger)

    def sessions() -> Any:
        from mcpgateway.doors.http.rest.sessions import Sessions

        return Sessions(parts.switchboard)

    def tokens() -> Any:
        from mcpgateway.doors.http.rest.tokens import Tokens

        return Tokens(parts.issuing())

    def tools() -> Any:
        from mcpgateway.doors.http.rest.tools import Tools

        return Tools(parts.switchboard, parts.owners, parts.clock)

    def tracing() -> Any:
        from mcpgateway.doors.http.rest.tracing import Tracing
        from mcpgateway.hub.recording import Recording
        from mcpgateway.hub.why import Why

        hub, health = parts.hub, parts.hub.health
        why = Why(parts.switchboard, health, hub.tapes, parts.problems, parts.redact)
        return Tracing(why, Recording(hub.tapes, health.histories, parts.clock, parts.redact))

    made = (
        authorization,
        clients,
        describing,
        figures,
        logs,
        servers,
        sessions,
        tokens,
        tools,
        tracing,
    )  # fmt: skip
    return {each.__name__: each for each in made}
