"""A link: a server that another node of the cluster runs, reached there as a remote server.

# Note [Dialled anew]
The other node refuses a request with 409 if it does not run the server any more, before it looks at it; a request whose
connection was refused has not reached it either.  So these requests, and those that wait for their turn, are given back
with the end of the link, and the next backend gets them.  A request that was sent is never sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, succeed

from mcpgateway.backends.http.connect import CertificateTrust
from mcpgateway.backends.http.post import PostRequest
from mcpgateway.backends.streamable import GREETINGS, Streamable
from mcpgateway.errors import BackendError, Unavailable, Unreachable
from mcpgateway.inherited import InheritedLink
from mcpgateway.interfaces import Gone
from mcpgateway.protocol.jsonrpc import Envelope

MOVED = 409  # the status of a node that does not run the server
FAULT = "another node of the cluster runs it now"


class LinkAuthorizer:
    """Provides the headers by which another node knows this one, made anew for each request.

    :param make_headers: returns the headers.
    :ivar trust: the certificates of nodes.
    """

    def __init__(self, make_headers: Callable[[], Mapping[str, str]], trust: CertificateTrust) -> None:
        self.trust = trust
        self._make_headers = make_headers

    def headers(self) -> Deferred[Mapping[str, str]]:
        """Return the headers of a request."""
        return succeed(self._make_headers())

    def refused(
        self, status: int, header: str, used: Mapping[str, str], *, again: bool, asks: bool
    ) -> Deferred[Mapping[str, str]]:
        """Return the headers again: no user can sign in at a node."""
        return self.headers()


def _ignore(link: Link) -> None:
    """Ignore the end of a link."""


class Link(Streamable):
    """One session at a server of another node.

    :ivar gives_back: its requests that have not reached the server are given back with its end.
    :ivar on_end: called with the link at its end.
    :ivar place: the other node, its process, and the lease that it holds (`mcpgateway.inherited.InheritedLink`).
    """

    gives_back = True
    on_end: Callable[[Link], object] = staticmethod(_ignore)
    place: tuple[bytes, str, str, int] = (b"", "", "", 0)

    def hand_over(self) -> InheritedLink:  # type: ignore[override]  # of a session, the record has its place as well
        """Return the session for the next program of this process, with its place."""
        return InheritedLink(super().hand_over(), *self.place)

    def move(self) -> None:
        """End the link: another node runs the server. Calls under way are lost with the child there."""
        self._give_back(())

    def refused(self, post: PostRequest, status: int, error: Envelope | None) -> None:
        """Give a request back that the node does not take; otherwise as of any remote server."""
        if status == MOVED or self._is_forgotten(status, error):
            self._give_back((post,))
        else:
            super().refused(post, status, error)

    def failed(self, post: PostRequest, why: BackendError) -> None:
        """Give a request back whose connection was refused; otherwise as of any remote server."""
        if isinstance(why, Unreachable) and post.method not in GREETINGS:
            self._give_back((post,))
        else:
            super().failed(post, why)

    def _give_back(self, posts: tuple[PostRequest, ...]) -> None:
        unsent = frozenset(int(each.id) for each in (*posts, *self._turns.waiting()))
        error = Unavailable(f"{self.server}: {FAULT}", "try again in a moment")
        # That another node runs it now is no fault of the server.
        self._end(Gone(fault=FAULT, is_unreachable=True, error=error, unsent=unsent))

    def _end(self, gone: Gone) -> None:
        if not self._has_ended:
            super()._end(gone)
            self.on_end(self)
