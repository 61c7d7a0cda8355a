"""Fetches of servers' lists for modern clients of views.

# Note [How long a list of a view may be kept]
A view's list may be kept for the shortest time of the lists of its servers, and is public only if each of them is.  A
legacy server declares no such time, so a list with its entries may not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import frozen
from msgspec import Raw

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.hub.caller import Caller, ModernClient
from mcpgateway.hub.catalog.recorded import Snapshots
from mcpgateway.interfaces import Request
from mcpgateway.policy.sharing import Variant, variant_of
from mcpgateway.protocol import jsonrpc, peek
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.views.extensions import met
from mcpgateway.views.lists import ListFetcher, ListKey, lacks

if TYPE_CHECKING:
    from mcpgateway.views.registry import ViewRegistry

TERMS_LIMIT = 10_000
REFRESHED_LIMIT = 16  # handshakes for which the lists of one server are fetched again when it runs

Submit = Callable[[Request], None]


@frozen
class CacheTerms:
    """The time for which a result may be kept, and its scope."""

    ttl_ms: int = 0
    is_public: bool = False
    since: float = 0.0

    def left(self, now: float) -> CacheTerms:
        """Return the terms with the time that is left."""
        return CacheTerms(max(0, self.ttl_ms - int((now - self.since) * 1000)), self.is_public, now)

    def written(self) -> Envelope:
        """Return the members of a result that declare the terms."""
        scope = "public" if self.is_public else "private"
        return {"ttlMs": jsonrpc.raw(self.ttl_ms), "cacheScope": jsonrpc.raw(scope)}


NOT_AT_ALL = CacheTerms()


def most_careful(found: Iterable[CacheTerms]) -> CacheTerms:
    """Return the strictest of some terms; see Note [How long a list of a view may be kept]."""
    each = list(found)
    if not each:
        return NOT_AT_ALL
    return CacheTerms(min(one.ttl_ms for one in each), all(one.is_public for one in each))


class ModernLists(ListFetcher[Caller]):
    """Fetches servers' lists for the callers of modern requests.

    :param handshake_of: returns the handshake of a server for a client (`mcpgateway.hub.catalog.listed`).
    :param words: returns the ``_meta`` of the request for a server's list for a client.
    :param snapshots: the recorded answers of servers; None where none are kept.
    :ivar learning: the list that is being taken and that no client was shown otherwise.
    """

    def __init__(
        self,
        view_sessions: ViewRegistry,
        submit: Submit,
        handshake_of: Callable[[ServerSpec, ModernClient | None], str],
        words: Callable[[ServerSpec, ModernClient | None], Envelope],
        snapshots: Snapshots | None,
    ) -> None:
        super().__init__(view_sessions, submit)
        self.learning: tuple[str, ListKind] | None = None
        self._handshake_of = handshake_of
        self._words = words
        self._snapshots = snapshots
        self._terms: Bounded[ListKey, CacheTerms] = Bounded(TERMS_LIMIT)
        self._askers: dict[Variant, Bounded[str, Caller]] = {}  # by handshake

    def handshake_of(self, server: ServerSpec, caller: Caller) -> str:
        """Return the handshake of a server for a caller's client."""
        return self._handshake_of(server, caller.client)

    def request(
        self, server: ServerSpec, kind: ListKind, params: Envelope, caller: Caller, handshake: str
    ) -> Request:
        """Return the request for a page of a list, in the words of the caller's client."""
        meta = self._words(server, caller.client)
        message = jsonrpc.own_request(kind.method, {"_meta": jsonrpc.raw(meta), **params}, meta=meta)
        call = Request(None, message, None, None)
        call.caller = Caller(server, caller.principal, caller.connection, caller.pid)
        return call

    def hello(self, request: Request) -> Envelope | None:
        """Return the answer to the handshake of a child of the server; None where none runs."""
        return met(request.caller.server, self._dispatcher.pool, None)

    def has_to_be_asked(self, server: ServerSpec, kind: ListKind, caller: Caller) -> bool:
        """True if a server has to be asked for a list; one that has declared no such list before has not."""
        if not super().has_to_be_asked(server, kind, caller):
            return False
        handshake = self.handshake_of(server, caller)
        is_known = self._server_lists.known(server, kind, handshake) is not None
        if is_known or not lacks(met(server, self._dispatcher.pool, self._snapshots), kind):
            return True
        self._keep(server, kind, (), handshake)
        return False

    def _keep(self, server: ServerSpec, kind: ListKind, pages: tuple[Raw, ...], handshake: str) -> None:
        self._terms[self._key_of(server, kind, handshake)] = _terms(pages, self._clock.seconds())
        # Where no client was shown another list, no client has to be notified.
        self.learning = None if self._server_lists.is_shown(server, kind, handshake) else (server.name, kind)
        try:
            super()._keep(server, kind, pages, handshake)
        finally:
            self.learning = None

    def _remember(self, server: ServerSpec, caller: Caller) -> None:
        handshake = self.handshake_of(server, caller)
        if handshake:
            known = self._askers.setdefault(variant_of(server), Bounded(REFRESHED_LIMIT))
            known.pop(handshake, None)
            known[handshake] = caller

    def refresh(self, server: ServerSpec, caller: Caller) -> None:
        """Fetch the lists that were shown of a server again, since a new child may list something else."""
        for each in (caller, *self._askers.pop(variant_of(server), {}).values()):
            for kind in ListKind:
                handshake = self.handshake_of(server, each)
                if self._server_lists.known(server, kind, handshake) is not None:
                    self._server_lists.show(server, kind, handshake)
                    self._start(server, kind, each)

    def terms(self, servers: Iterable[ServerSpec], kind: ListKind, caller: Caller) -> CacheTerms:
        """Return the terms of a list of all these servers together."""
        now = self._clock.seconds()
        return most_careful(
            self._terms.get(self._key(server, kind, caller), NOT_AT_ALL).left(now) for server in servers
        )

    def forget(self) -> None:
        """Forget pauses, terms and callers, since the servers have changed."""
        super().forget()
        self._terms.clear()
        self._askers.clear()


def _terms(pages: Iterable[Raw], now: float) -> CacheTerms:
    found = []
    for page in pages:
        members = peek.members({"page": page}, "page")
        ttl = jsonrpc.integer(members.get("ttlMs")) or 0
        found.append(CacheTerms(max(0, ttl), peek.text(members, "cacheScope") == "public"))
    terms = most_careful(found)
    return CacheTerms(terms.ttl_ms, terms.is_public, now)
