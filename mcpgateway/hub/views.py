"""What the hub asks of the views above it: the endpoints that stand for several servers.

The hub knows them by these interfaces only; `mcpgateway.views` implements them, and `mcpgateway.app` brings both
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import frozen
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcpgateway.config.diff import Change
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import Profile, ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError
from mcpgateway.hub.catalog.listed import Librarian
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request

if TYPE_CHECKING:
    from mcpgateway.hub.slot import Slot


@frozen
class ViewsConfig:
    """The settings that views go by.

    :ivar profiles: by name.
    """

    gateway: GatewaySettings
    profiles: Mapping[str, Profile]


class Holder(Protocol):
    """A place where calls can be that are not with a server's child."""

    def calls(self) -> list[Request]:
        """The calls that are here."""

    def withdraw(self, call: Request, reason: str) -> bool:
        """Take one of them back; false when it is not among them."""


class SingleServers(Protocol):
    """Shortens the results of single servers whose entries ask for it, and reads back their originals."""

    def serves(self, call: Request) -> bool:
        """Answer a request of a session, or have its result shortened; false where it goes on to its server."""

    def serves_modern(self, call: Request, server: ServerSpec, principal: str) -> bool:
        """Answer a request of the modern era, or have its result shortened; false where it goes on to its server."""


class SessionViews(Holder, Protocol):
    """Serves the sessions of views (`mcpgateway.views.sessions.ViewSessions`)."""

    @property
    def librarian(self) -> Librarian:
        """The lists of all servers, as far as they are known."""

    @property
    def direct(self) -> SingleServers:
        """Serves the endpoints of single servers whose entries ask for shorter results."""

    @property
    def catch_up(self) -> Callable[[], Deferred[None]]:
        """Have edits of the configuration read; fires when they are in force."""

    @property
    def is_on(self) -> Callable[[ServerSpec], bool]:
        """Whether a server is switched on."""

    # The configuration

    def settle(self, ways: ViewsConfig) -> None:
        """Go by these settings from now on."""

    def adopt(self, change: Change) -> None:
        """Show the servers of a changed configuration, and tell the sessions."""

    def look_anew(self) -> None:
        """Show other servers where what is shown may have changed, and tell the sessions."""

    def current(self, view: ServerSpec) -> ServerSpec:
        """The entry of a view as it is today, for the same workspace.

        :raise UnknownServer: there is no such view any more.
        """

    def members(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """The servers that a view shows, as their entries define them."""

    # Sessions

    def begin(self, session: Session) -> Raw:
        """Take in a new session; returns its ``InitializeResult``."""

    def revived(self, session: Session) -> None:
        """Take in a session that is back from the record."""

    def leave(self, session: Session, why: GatewayError) -> bool:
        """End a session's sessions at single servers; true when a child is stopped with them."""

    def ask_roots(self, session: Session) -> None:
        """Ask a session's client for its roots, if the view depends on them."""

    def missing(self, session: Session, kind: ListKind) -> Mapping[str, str]:
        """The servers whose list a session was not shown, with the reason."""

    # Requests

    def submit(self, call: Request) -> None:
        """Bring a request on its way; the call's sink hears of its end.

        :raise GatewayError: it goes nowhere.
        """

    def hurry(self, call: Request) -> bool:
        """Answer a call at once if its result is here already; false where it is not."""

    def tick(self) -> None:
        """A second has passed."""


class ModernViews(Protocol):
    """Serves the requests of the modern era to views (`mcpgateway.views.modern.ViewDoor`)."""

    @property
    def is_heard(self) -> bool:
        """Whether any client listens to a view."""

    def submit(self, call: Request) -> None:
        """Bring a request on its way; the call's sink hears of its end.

        :raise GatewayError: it goes nowhere.
        """

    def adopt(self) -> None:
        """Tell those who listen that the servers of their view may be others."""

    def warmed(self, slot: Slot) -> None:
        """Listen to the lists of a slot's child, which has just introduced itself."""

    def close(self) -> None:
        """End all that is open, in order."""
