"""The interfaces of the views, the endpoints for several servers, as the hub uses them.

`mcpgateway.views` implements them, and `mcpgateway.app` connects both; the hub imports neither.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Raw, Struct
from twisted.internet.defer import Deferred

from mcpgateway.config.diff import Change
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.model import Profile, ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.errors import GatewayError
from mcpgateway.hub.catalog.listed import ServerLists
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request

if TYPE_CHECKING:
    from mcpgateway.hub.slot import Slot


class ViewsConfig(Struct, frozen=True):
    """The settings of the views.

    :ivar gateway: the settings of the gateway.
    :ivar profiles: the profiles, by name.
    """

    gateway: GatewaySettings
    profiles: Mapping[str, Profile]


class Holder(Protocol):
    """A part of the gateway that can hold calls."""

    def calls(self) -> list[Request]:
        """Return the calls that it holds."""

    def withdraw(self, request: Request, reason: str) -> bool:
        """Take one of them back; false if it does not hold that call."""


class SingleServers(Protocol):
    """Shortens the results of single servers whose entries ask for it, and returns the originals."""

    def serves(self, request: Request) -> bool:
        """Answer a request of a session, or prepare to shorten its result; false if the caller has to submit it."""

    def serves_modern(self, request: Request, server: ServerSpec, principal: str) -> bool:
        """Answer a modern request, or prepare to shorten its result; false if the caller has to submit it."""


class SessionViews(Holder, Protocol):
    """Serves the sessions of views (`mcpgateway.views.sessions.ViewSessions`)."""

    @property
    def server_lists(self) -> ServerLists:
        """The lists of all servers, as far as they are known."""

    @property
    def direct(self) -> SingleServers:
        """The part that shortens results on the endpoints of single servers."""

    @property
    def catch_up(self) -> Callable[[], Deferred[None]]:
        """Reads the configuration again; the Deferred fires when its edits are in force."""

    @property
    def is_on(self) -> Callable[[ServerSpec], bool]:
        """Returns true if a server is switched on."""

    # The configuration

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration, and notify the sessions."""

    def rebuild(self) -> None:
        """Look up the servers of each view again, and tell the sessions."""

    def current(self, view: ServerSpec) -> ServerSpec:
        """Return the present entry of a view, for the same workspace.

        :raise UnknownServer: the view was removed.
        """

    def members(self, view: ServerSpec) -> tuple[ServerSpec, ...]:
        """Return the servers that a view shows, as their entries define them."""

    # Sessions

    def begin(self, session: Session) -> Raw:
        """Begin a new session of a view; return its ``InitializeResult``."""

    def revived(self, session: Session) -> None:
        """Take over a session that was restored from its record."""

    def open_now(self, session: Session, server: str) -> Session:
        """Return a session's member session at one server; a new one where there is none.

        :raise GatewayError: the session cannot be opened.
        """

    def leave(self, session: Session, why: GatewayError) -> bool:
        """End a session's member sessions; true if a child is stopped with them."""

    def ask_roots(self, session: Session) -> None:
        """Ask a session's client for its roots, if the view depends on them."""

    def missing(self, session: Session, kind: ListKind) -> Mapping[str, str]:
        """Return the servers whose list a session was not shown, with the reason."""

    # Requests

    def submit(self, request: Request) -> None:
        """Pass a request on; its sink receives the outcome.

        :raise GatewayError: the request is refused; its sink receives nothing.
        """

    def answer_now(self, request: Request) -> bool:
        """Answer a call at once if its result is known already; false if not."""

    def tick(self) -> None:
        """Count one second."""


class ModernViews(Protocol):
    """Serves the modern requests to views (`mcpgateway.views.modern.ModernViewRequests`)."""

    @property
    def is_heard(self) -> bool:
        """True if a client listens to a view."""

    def submit(self, request: Request) -> None:
        """Pass a request on; its sink receives the outcome.

        :raise GatewayError: the request is refused; its sink receives nothing.
        """

    def warmed(self, slot: Slot) -> None:
        """Listen to the lists of a slot's child, which has just completed its handshake."""

    def close(self, staying: Container[float]) -> None:
        """End the open streams in order, but for those whose request has arrived at one of these times."""
