"""The account of one owner at a remote server, and the gateway's registration at its authorization server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.oauth import authorization_server
from mcpgateway.backends.oauth.account_store import AccountBook
from mcpgateway.backends.oauth.authorization_server import AuthorizationRequests, AuthorizationServer
from mcpgateway.config.reach_settings import OAuth, Remote
from mcpgateway.errors import BackendError
from mcpgateway.interfaces import IGrants, OwnAddress
from mcpgateway.policy.oauth.client import AuthServer, Challenge, Grant, OAuthClient, Registration
from mcpgateway.waiting import Waiting

# Errors of an authorization server that does not know the gateway's client any more.
FORGOTTEN = frozenset(("invalid_client", "unauthorized_client"))


@define(eq=False, repr=False)
class Account:
    """The account of one owner at one remote server.

    :ivar owner: the owner's principal; empty for the gateway's own user.
    :ivar key: key of the account's record; ``base`` is the key of the records that all owners share.
    :ivar client: the client that the grant was given to; None if it is unknown.
    :ivar found: the server's authorization server, once it was needed.
    :ivar is_finishing: the owner has signed in, and the token is being requested.
    :ivar rests_until: time until which no request goes to the token endpoint, for the reason ``trouble``.
    """

    name: str
    remote: Remote = field(repr=False)
    settings: OAuth = field(repr=False)
    owner: str
    base: str
    key: str
    grant: Grant | None = field(default=None, repr=False)
    client: OAuthClient | None = None
    found: AuthorizationServer | None = None
    is_finishing: bool = False
    rests_until: float = 0.0
    trouble: BackendError | None = None
    _waiting: Waiting[None] = field(factory=Waiting, repr=False)

    def once(self, do: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Run a coroutine unless it is under way for this account; fires at its end."""
        return self._waiting.once(do)


class Registrations:
    """Finds the authorization server of each account, registers the gateway there, and stores both.

    :ivar fresh: ids of clients that were registered during this run of the gateway.
    :param where: returns the gateway's address for browsers, whose port is known late.
    """

    def __init__(
        self, clock: Any, web: Callable[[], Web], grants: IGrants, where: Callable[[], OwnAddress]
    ) -> None:
        self.fresh: set[str] = set()
        self._clock = clock
        self._web = web
        self._book = AccountBook(grants)
        self._where = where

    @property
    def redirect(self) -> str:
        """Return the redirect address for browsers."""
        return self._where().redirect

    def asking(self, account: Account) -> AuthorizationRequests:
        """Return the settings of requests for an account."""
        return AuthorizationRequests(self._clock, self._web, account.remote)

    async def server(self, account: Account, challenge: Challenge) -> AuthServer:
        """Return the authorization server of an account, after one search.

        :param challenge: the challenge of the remote server's refusal.
        :raise BackendError: there is no authorization server, or it cannot be found now.
        """
        if account.found is None:
            account.found = await authorization_server.find(self.asking(account), account.settings, challenge)
        return account.found.server

    # The gateway's client

    def client(
        self, account: Account, server: AuthServer, redirect: str = "", scope: str = ""
    ) -> OAuthClient | None:
        """Return the gateway's client registration; None before the gateway has registered.

        :param redirect: the redirect address for browsers; empty for a request without one.
        :param scope: the scope that is going to be requested.
        """
        settings, document = account.settings, self._where().document
        if settings.client_id:
            return OAuthClient(settings.client_id, settings.client_secret or "")
        if server.takes_documents and document:
            return OAuthClient(document)
        stored = self.registration(account)
        if stored is None or not stored.serves(server.issuer, redirect, scope, self._clock.seconds()):
            return None
        return stored.client

    async def register(
        self, account: Account, server: AuthServer, redirect: str, scope: str, *, by_device: bool = False
    ) -> OAuthClient:
        """Register the gateway with every scope that may be requested later, so that a step-up needs no other.

        :param by_device: register for sign-ins by a device code, too.
        :raise BackendError: the server refuses, or cannot be reached.
        """
        former = self.registration(account)
        before = former.scope.split() if former is not None and former.issuer == server.issuer else []
        known = account.found.scopes if account.found is not None else ()
        widest = _union(scope.split(), known, before)
        scopes = (widest, scope)
        made = await authorization_server.register(
            self.asking(account), server, redirect, scopes, by_device=by_device
        )
        self.fresh.add(made.client.id)
        # A server without scopes in the registration decides about them in the authorization request.
        made = evolve(made, scope=_union(made.scope.split(), scope.split()))
        self._book.register(account.base, made)
        return made.client

    def registration(self, account: Account) -> Registration | None:
        """Return the gateway's registration for an account."""
        return self._book.registration(account.base)

    def is_registered(self, account: Account, client: OAuthClient) -> bool:
        """Return whether a client is the gateway's current registration, neither the entry's client nor an old one."""
        stored = self.registration(account)
        return stored is not None and stored.client == client

    def forget(self, account: Account, client: OAuthClient) -> None:
        """Delete a registration that the server does not know any more."""
        if self.is_registered(account, client):
            self.fresh.discard(client.id)
            self._book.register(account.base, None)

    # The grant

    def read(self, account: Account) -> None:
        """Load the stored record of an account."""
        stored = self._book.read(account.key)
        account.grant, account.client = stored.grant, stored.client

    def reread(self, account: Account) -> None:
        """Read an account again if another program has written it meanwhile."""
        stored = self._book.news(account.key)
        if stored is not None:
            account.grant, account.client = stored.grant, stored.client

    def turn(self, account: Account) -> Deferred[Callable[[], object]]:
        """Take the turn to renew the grant of an account; fires with the function that ends the turn."""
        return self._book.turn(account.key)

    def drop(self, is_meant: Callable[[str], bool]) -> None:
        """Forget what was read of some keys, which another gateway has changed."""
        self._book.drop(is_meant)

    def keep(self, account: Account, grant: Grant | None, client: OAuthClient | None = None) -> None:
        """Store a grant and its client."""
        account.grant, account.client = grant, client
        self._book.keep(account.key, account.owner, grant, client)

    def erase(self, account: Account) -> None:
        """Delete the record of an account."""
        self._book.erase(account.key)

    def keys_of(self, is_meant: Callable[[str], bool]) -> list[str]:
        """Return the keys of the stored accounts, chosen by their owners."""
        return self._book.keys_of(is_meant)


def _union(*scopes: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(each for some in scopes for each in some))
