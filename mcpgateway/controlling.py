"""Where the control plane is wired: each group of operations with its parts, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mcpgateway.config.model import Limits

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.server import Site

    from mcpgateway.assembly import Hub
    from mcpgateway.doors.http.rest.authorization import LetIn
    from mcpgateway.doors.http.rest.site import Groups
    from mcpgateway.hub.census import Census
    from mcpgateway.hub.clients import Clients
    from mcpgateway.hub.entries import Entries
    from mcpgateway.hub.operating import Operating
    from mcpgateway.hub.owners import Owners
    from mcpgateway.hub.reload import Reload
    from mcpgateway.hub.switchboard import Switchboard
    from mcpgateway.interfaces import ILauncher


@frozen(kw_only=True)
class Parts:
    """What the groups of operations are made of.

    :ivar let_in: takes what browsers bring back from authorization servers.
    :ivar clients: makes what answers about clients' files.
    :ivar limits: the bounds of the moment.
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
    hub: Hub
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

    @cache
    def operating() -> Operating:
        from mcpgateway.hub.operating import Operating

        return Operating(parts.switchboard, parts.hub.health, parts.clock)

    def servers() -> Any:
        from mcpgateway.doors.http.rest.servers import Servers
        from mcpgateway.hub.roster import Roster

        reload = parts.reload
        roster = Roster(
            lambda: parts.switchboard.servers,
            parts.census.server,
            lambda: reload.settings.blueprints,
            parts.hub.snapshots,
        )

        def entries() -> Entries:
            from mcpgateway.hub.builtin.managed import installing_of  # who only looks at all does without
            from mcpgateway.hub.entries import Entries

            installing = installing_of(reload, parts.switchboard, parts.home, parts.launcher, parts.clock)
            return Entries(installing, roster, operating(), parts.tag_key)

        return Servers(roster, operating(), entries, lambda: reload.settings.gateway)

    def sessions() -> Any:
        from mcpgateway.doors.http.rest.sessions import Sessions

        return Sessions(parts.switchboard)

    def tools() -> Any:
        from mcpgateway.doors.http.rest.tools import Tools

        return Tools(parts.switchboard, parts.owners, parts.clock)

    made = (authorization, clients, describing, servers, sessions, tools)
    return {each.__name__: each for each in made}
