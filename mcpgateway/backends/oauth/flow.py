"""Get tokens for remote servers that require one (OAuth 2.1; rules: `mcpgateway.policy.oauth.client`).

No user is asked before a server has refused the gateway.  Then the user gets a URL, from which the browser returns to
the gateway's own callback; until that has happened every call fails with that URL.

# Note [Whose account it is]
An account belongs to one owner at one server: a principal, or with an empty name the gateway's own user.  Each account
has a grant of its own.  A registration is the gateway's, and all accounts at a server share the latest one; each
account keeps with its grant the client that the grant was made for, since no other client can renew it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import CertificateTrust
from mcpgateway.backends.oauth import authorization_server
from mcpgateway.backends.oauth.account import FORGOTTEN, Account, Registrations
from mcpgateway.backends.oauth.authorization_server import decoded, error_of
from mcpgateway.backends.oauth.device_sign_ins import DeviceSignIn, DeviceSignIns
from mcpgateway.backends.oauth.sign_ins import Declined, SignIn, SignIns
from mcpgateway.config.reach_settings import OAuth, Remote
from mcpgateway.errors import BackendError, GatewayError, NeedsAuthorization, NeedsLogin
from mcpgateway.hints import cli
from mcpgateway.interfaces import IGrants, OwnAddress
from mcpgateway.policy.oauth import client as oauth
from mcpgateway.policy.oauth.client import AuthServer, Challenge, Grant, OAuthClient
from mcpgateway.policy.oauth.device import Poll
from mcpgateway.policy.readiness import login

REST_S = 10.0  # between two attempts at a failing token endpoint
VERIFIED_S = 60.0  # a sign-in that is younger is not verified again
WANTED = "it wants its user to sign in"


@frozen
class Revocation:
    """The outcome of revoking a grant and deleting a registration.

    :ivar was_granted: the account had a grant; ``was_registered``: the gateway had a registration.
    :ivar revoked: the authorization server has confirmed the revocation; ``unregistered``: the deletion.
    """

    was_granted: bool
    revoked: bool
    was_registered: bool
    unregistered: bool


class AccountListener(Protocol):
    """A listener for requested and completed sign-ins."""

    def wanted(self, server: str, owner: str) -> None:
        """Note that an owner has to sign in at a server."""

    def granted(self, server: str, owner: str) -> None:
        """Note that an owner has signed in."""

    def ended(self, server: str, owner: str) -> None:
        """Note that a sign-in of an owner has ended without a grant."""


class NoAccountListener:
    """Ignores changes of accounts."""

    def wanted(self, server: str, owner: str) -> None:
        """Ignore the event."""

    def granted(self, server: str, owner: str) -> None:
        """Ignore the event."""

    def ended(self, server: str, owner: str) -> None:
        """Ignore the event."""


@frozen
class Authorizer:
    """Provides the authorization headers for one server (`mcpgateway.backends.remote_access.IAuthorizer`)."""

    _accounts: Accounts
    _account: Account
    trust: CertificateTrust | None = None

    def headers(self) -> Deferred[Mapping[str, str]]:
        """Return the authorization headers of a request."""
        return self._accounts.headers(self._account)

    def refused(
        self, status: int, header: str, used: Mapping[str, str], *, again: bool, asks: bool
    ) -> Deferred[Mapping[str, str]]:
        """Handle a refused request; fires with the headers for its next attempt."""
        return self._accounts.refused(self._account, status, header, used, again=again, asks=asks)


class Accounts:
    """The accounts at all remote servers.

    :ivar heard: listener for requested and completed sign-ins.
    :param where: returns the gateway's address for browsers, whose port is known late.
    :param asks: users may be asked to sign in; a program beside the gateway uses the stored tokens only.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        web: Callable[[], Web],
        grants: IGrants,
        where: Callable[[], OwnAddress],
        *,
        asks: bool = True,
    ) -> None:
        self.heard: AccountListener = NoAccountListener()
        self._clock = clock
        self._known = Registrations(clock, web, grants, where)
        self._asks = asks
        self._accounts: dict[str, Account] = {}
        self._sign_ins = SignIns(clock, lambda: where().mark)
        self._devices = DeviceSignIns(clock, self._known, self._device_ended)

    def of(self, name: str, remote: Remote, owner: str = "") -> Account:
        """Return the account of an owner at a server; its grant is never used for another URL or client."""
        settings = remote.oauth or OAuth()
        parts = [name, oauth.resource_of(remote.url), settings.client_id, list(settings.scopes)]
        base = json.dumps(parts)
        key = json.dumps([*parts, owner]) if owner else base
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(name, remote, settings, owner, base, key)
            self._known.read(account)
        account.remote, account.settings = remote, settings
        return account

    def owned(self, is_meant: Callable[[str], bool]) -> list[Account]:
        """Return the stored accounts of some owners, at all servers."""
        return [self._kept(key) for key in self._known.keys_of(is_meant)]

    def _kept(self, key: str) -> Account:
        known = self._accounts.get(key)
        if known is not None:
            return known
        name, resource, client_id, scopes, *owner = json.loads(key)
        # Its entry may have been changed or removed.
        return self.of(name, Remote(resource, oauth=OAuth(client_id, scopes=tuple(scopes))), *owner)

    def erase(self, account: Account) -> None:
        """Delete an account."""
        if account.grant is None:
            self._accounts.pop(account.key, None)
            self._known.erase(account)

    def changed(self, is_meant: Callable[[str], bool]) -> None:
        """Take what another gateway has stored of some accounts and registrations, chosen by their keys."""
        self._known.drop(is_meant)
        for account in [each for each in self._accounts.values() if is_meant(each.key)]:
            had_none = account.grant is None
            self._known.read(account)
            if had_none and account.grant is not None:
                self._sign_ins.drop(account)
                self._devices.drop(account)
                self.heard.granted(account.name, account.owner)

    def authorizer(self, name: str, remote: Remote, owner: str = "") -> Authorizer:
        """Return the provider of authorization headers for a server."""
        return Authorizer(self, self.of(name, remote, owner))

    def question(self, account: Account) -> NeedsLogin | None:
        """Return the sign-in address of an account's owner; None if no sign-in is pending."""
        found = self._sign_ins.of(account)
        return _asking(found) if found is not None else None

    def is_signed_in(self, account: Account) -> bool:
        """Return whether the owner of an account has signed in, as far as known."""
        return account.grant is not None

    def is_under_way(self, account: Account) -> bool:
        """Return whether the owner's browser has returned and the token is still being requested."""
        return account.is_finishing or self._sign_ins.is_held(account)

    @property
    def redirect(self) -> str:
        """Return the redirect address for browsers."""
        return self._known.redirect

    def begin(self, account: Account) -> Deferred[NeedsLogin]:
        """Ask the owner of an account to sign in, also without a refusal; fires with the sign-in address.

        :raise NeedsAuthorization: (through the Deferred) the server has no authorization server.
        :raise BackendError: (through the Deferred) the authorization server could not be found.
        """
        return Deferred.fromCoroutine(self._begun(account, anew=True))

    def verified(self, account: Account) -> Deferred[NeedsLogin]:
        """Return a valid sign-in address of an account's owner, a new one if the former has become invalid.

        :raise BackendError: (through the Deferred) the authorization server could not be reached.
        """
        return Deferred.fromCoroutine(self._begun(account, anew=False))

    async def _begun(self, account: Account, *, anew: bool) -> NeedsLogin:
        found = None if anew else self._sign_ins.of(account)
        is_new = found is not None and self._clock.seconds() - found.begun < VERIFIED_S
        if found is None or not (
            is_new or await authorization_server.knows_client(self._known.asking(account), found.url)
        ):
            if found is not None:
                self._known.forget(account, found.client)
            challenge = Challenge(scope=found.scope if found is not None else "")
            found = await self._begin(account, challenge)
        self.heard.wanted(account.name, account.owner)
        return _asking(found)

    def headers(self, account: Account) -> Deferred[Mapping[str, str]]:
        """Return the authorization headers of a request to the server, with a renewed token if needed."""
        grant, now = account.grant, self._clock.seconds()
        if grant is None or grant.is_good(now) or not grant.refresh_token or now < account.rests_until:
            return succeed(_headers(account))
        renewed = account.once(lambda: self._renew(account))
        # The server decides whether the old one is still valid.
        return renewed.addErrback(_forgive).addCallback(lambda _: _headers(account))

    def refused(
        self,
        account: Account,
        status: int,
        header: str,
        used: Mapping[str, str],
        *,
        again: bool = False,
        asks: bool = True,
    ) -> Deferred[Mapping[str, str]]:
        """Handle a request that was refused with 401 or 403; fires with the headers for its next attempt.

        :param header: the ``WWW-Authenticate`` header.
        :param used: the authorization headers of the refused request.
        :param again: these headers came from the first refusal; others of their kind would not help.
        :param asks: the request has a user, who may be asked to sign in.
        :raise NeedsLogin: (through the Deferred) the owner has to sign in; the text has the address.
        :raise NeedsAuthorization: (through the Deferred) no sign-in would help; the text says what does.
        :raise BackendError: (through the Deferred) no token can be fetched now.
        """
        if _headers(account) != used and account.grant is not None:
            return succeed(_headers(account))  # a newer one has been stored meanwhile
        challenge = oauth.challenge(header)
        if status == 403 and account.grant is not None:
            granted = account.grant.scope
            if challenge.scope and not oauth.more_wanted(account.settings.scopes, challenge.scope, granted):
                return fail(_no_more(account, challenge.scope))

        is_old = status == 401 and not again
        return Deferred.fromCoroutine(self._regained(account, challenge, is_old=is_old, asks=asks))

    async def _regained(
        self, account: Account, challenge: Challenge, *, is_old: bool, asks: bool
    ) -> Mapping[str, str]:
        grant = account.grant
        if is_old and grant is not None and grant.refresh_token:
            await account.once(lambda: self._renew(account))
        if account.grant is grant or account.grant is None:
            if not (asks and self._asks):
                raise NeedsAuthorization(WANTED, login(account.name))
            await account.once(lambda: self._ask(account, challenge))
        return _headers(account)

    # Renewal

    async def _renew(self, account: Account) -> None:
        """Fetch the next token; if it is refused for good, the account has none from then on.

        :raise BackendError: it cannot be fetched now, and the old token is kept.
        """
        former = account.grant
        end = await self._known.turn(account)
        try:
            await self._renewed(account, former)
        finally:
            end()

    async def _renewed(self, account: Account, former: Grant | None) -> None:
        self._known.reread(account)  # a program beside the gateway, or another node, may have renewed it
        grant = account.grant
        if grant is None or (former is not None and grant.access_token != former.access_token):
            return
        if self._clock.seconds() < account.rests_until and account.trouble is not None:
            raise account.trouble
        try:
            await self._fetch_next(account, grant)
        except BackendError as why:
            account.rests_until, account.trouble = self._clock.seconds() + REST_S, why
            raise
        account.rests_until, account.trouble = 0.0, None

    async def _fetch_next(self, account: Account, grant: Grant) -> None:
        server = await self._known.server(account, Challenge())
        client = account.client or self._known.client(account, server)
        if server.issuer != grant.issuer or client is None:
            # The server may name another authorization server at any time, which the user has never granted anything.
            self.log.info(
                "the token of {server} is of another authorization server and is not renewed",
                event="oauth.lost",
                server=account.name,
            )
            return
        form = {
            "grant_type": "refresh_token",
            "refresh_token": grant.refresh_token,
            "resource": oauth.resource_of(account.remote.url),
        }
        answer = await authorization_server.ask_for_token(self._known.asking(account), server, client, form)
        if answer.status == 200:
            now = self._clock.seconds()
            self._known.keep(account, oauth.read_grant(decoded(answer), now, server.issuer, grant), client)
            return
        error = error_of(answer)
        if error in FORGOTTEN:
            self._known.forget(account, client)
        elif error != "invalid_grant" and answer.status != 401:
            raise BackendError(f"its token could not be renewed (HTTP {answer.status}: {error})")
        self.log.info(
            "the token of {server} cannot be renewed any more", event="oauth.lost", server=account.name
        )
        self._known.keep(account, None)

    # Sign-in

    async def _ask(self, account: Account, challenge: Challenge) -> None:
        found = self._sign_ins.of(account)
        if found is None or not set(challenge.scope.split()) <= set(found.scope.split()):
            found = await self._begin(account, challenge)
        self.heard.wanted(account.name, account.owner)
        raise _asking(found)

    async def _begin(self, account: Account, challenge: Challenge) -> SignIn:
        account.found = None  # it may have changed
        server = await self._known.server(account, challenge)
        scope = _scope(account, server, challenge)
        redirect = self._known.redirect
        client = self._known.client(account, server, redirect, scope)
        if (
            client is not None
            and self._known.is_registered(account, client)
            and client.id not in self._known.fresh
        ):
            sign_in = self._sign_ins.begin(account, server, client, redirect, scope)
            if await authorization_server.knows_client(self._known.asking(account), sign_in.url):
                return sign_in
            client = None
        if client is None:
            client = await self._known.register(account, server, redirect, scope)
        sign_in = self._sign_ins.begin(account, server, client, redirect, scope)
        self.log.warn(
            "{server} wants its user to sign in: {command}",
            event="oauth.asked",
            command=cli("servers login {}", account.name),
            server=account.name,
        )
        return sign_in

    def answered(self, query: Mapping[str, str]) -> Deferred[SignIn]:
        """Handle the return of a browser; fires with its sign-in, which waits for `agreed` if it has a key.

        :param query: the query of the callback's URL.
        :raise NeedsAuthorization: (through the Deferred) no sign-in is open for it, or the user or the server has
            refused.
        :raise BackendError: (through the Deferred) the token could not be fetched.
        """
        return Deferred.fromCoroutine(self._answered(query))

    async def _answered(self, query: Mapping[str, str]) -> SignIn:
        sign_in = self._returned(lambda: self._sign_ins.returned(query))
        if sign_in.account.owner:
            return self._sign_ins.hold(sign_in)
        await self._finish(sign_in)
        return sign_in

    def agreed(self, key: str) -> Deferred[SignIn]:
        """Complete a returned sign-in that its user has confirmed; fires as `answered`."""
        return Deferred.fromCoroutine(self._agreed(key))

    async def _agreed(self, key: str) -> SignIn:
        sign_in = self._sign_ins.agreed(key)
        await self._finish(sign_in)
        sign_in.key = ""
        return sign_in

    def pasted(self, account: Account, words: str) -> Deferred[SignIn]:
        """Complete a sign-in with the pasted redirect address or code; fires as `answered`.

        :raise InvalidParams: (through the Deferred) the text is neither, or belongs to another sign-in.
        """
        return Deferred.fromCoroutine(self._pasted(account, words))

    async def _pasted(self, account: Account, words: str) -> SignIn:
        sign_in = self._returned(lambda: self._sign_ins.pasted(account, words))
        await self._finish(sign_in)
        return sign_in

    def _returned(self, take: Callable[[], SignIn]) -> SignIn:
        try:
            return take()
        except Declined as why:
            if why.message == "invalid_scope" and why.sign_in is not None:
                self._known.forget(
                    why.sign_in.account, why.sign_in.client
                )  # the next one may include more scopes
            raise NeedsAuthorization(f"the sign-in came to nothing: {why.message}", "begin it anew") from why

    def forget(self, account: Account, *, registration: bool) -> Deferred[Revocation]:
        """Revoke the grant of an account; fires with the confirmations of its authorization server.

        :param registration: delete the gateway's registration there, too.
        """
        return Deferred.fromCoroutine(self._forget(account, registration=registration))

    async def _forget(self, account: Account, *, registration: bool) -> Revocation:
        grant, client, made = account.grant, account.client, self._known.registration(account)
        self._sign_ins.drop(account)
        self._devices.drop(account)
        self._known.keep(account, None)  # before the requests, which may fail
        if registration and made is not None:
            self._known.forget(account, made.client)
        revoked = grant is not None and await self._revoke(account, grant, client)
        unregistered = False
        if registration and made is not None:
            unregistered = await authorization_server.unregister(self._known.asking(account), made)
        self.log.info("a user has signed out at {server}", event="oauth.forgotten", server=account.name)
        return Revocation(grant is not None, revoked, registration and made is not None, unregistered)

    async def _revoke(self, account: Account, grant: Grant, client: OAuthClient | None) -> bool:
        try:
            server = await self._known.server(account, Challenge())
        except BackendError:
            return False
        client = client or self._known.client(account, server)
        if client is None or server.issuer != grant.issuer:
            return False
        asking, done = self._known.asking(account), True
        if grant.refresh_token:
            done = await authorization_server.revoke(
                asking, server, client, grant.refresh_token, "refresh_token"
            )
        return (
            await authorization_server.revoke(asking, server, client, grant.access_token, "access_token")
            and done
        )

    # Sign-in by a device code

    def by_device(self, account: Account) -> DeviceSignIn | None:
        """Return the latest sign-in of an account by a device code, under way or ended; None if there is none."""
        return self._devices.of(account)

    def drop_device(self, account: Account) -> None:
        """End and forget the sign-in of an account by a device code."""
        self._devices.drop(account)

    def begin_device(self, account: Account) -> Deferred[DeviceSignIn]:
        """Get a device code for the owner of an account; fires with the sign-in, whose token is then waited for.

        :raise NeedsAuthorization: (through the Deferred) the authorization server offers none.
        :raise BackendError: (through the Deferred) the authorization server could not be asked.
        """
        return Deferred.fromCoroutine(self._begun_device(account))

    async def _begun_device(self, account: Account) -> DeviceSignIn:
        found = self._sign_ins.of(account)
        server = await self._known.server(account, Challenge())
        challenge = Challenge(scope=found.scope if found is not None else "")
        return await self._devices.begin(account, _scope(account, server, challenge))

    def _device_ended(self, sign_in: DeviceSignIn) -> None:
        account = sign_in.account
        if sign_in.standing is Poll.GRANTED:
            self._sign_ins.drop(account)
            self._devices.drop(account)
            self.log.info("a user has signed in at {server}", event="oauth.granted", server=account.name)
            self.heard.granted(account.name, account.owner)
        else:
            self.heard.ended(account.name, account.owner)

    async def _finish(self, sign_in: SignIn) -> None:
        sign_in.account.is_finishing = True
        try:
            await self._fetch_first(sign_in)
        finally:
            sign_in.account.is_finishing = False
        self.heard.granted(sign_in.account.name, sign_in.account.owner)

    async def _fetch_first(self, sign_in: SignIn) -> None:
        account, server = sign_in.account, sign_in.server
        form = {
            "grant_type": "authorization_code",
            "code": sign_in.code,
            "redirect_uri": sign_in.redirect,
            "code_verifier": sign_in.verifier,
            "resource": oauth.resource_of(account.remote.url),
        }
        answer = await authorization_server.ask_for_token(
            self._known.asking(account), server, sign_in.client, form
        )
        if answer.status != 200:
            error = error_of(answer)
            if error in FORGOTTEN:
                self._known.forget(account, sign_in.client)
            raise BackendError(
                f"the token endpoint of {account.name} answered {answer.status}: {error}",
                f"begin it anew: {login(account.name)}",
            )
        now = self._clock.seconds()
        grant = oauth.read_grant(decoded(answer), now, server.issuer, asked=sign_in.scope)
        self._known.keep(account, grant, sign_in.client)
        self.log.info("a user has signed in at {server}", event="oauth.granted", server=account.name)


def _scope(account: Account, server: AuthServer, challenge: Challenge) -> str:
    granted = account.grant.scope if account.grant is not None else ""
    known = account.found.scopes if account.found is not None else ()
    return oauth.with_offline_access(
        server, oauth.scope_for(account.settings.scopes, challenge.scope, known, granted)
    )


def _headers(account: Account) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {account.grant.access_token}"} if account.grant is not None else {}


def _forgive(why: Failure) -> None:
    why.trap(GatewayError)


def _asking(sign_in: SignIn) -> NeedsLogin:
    name = sign_in.account.name
    return NeedsLogin(
        f"{WANTED}: open {sign_in.url}",
        f"open its address in a browser, or run: {login(name)}",
        {"url": sign_in.url, "server": name},
    )


def _no_more(account: Account, asked: str) -> NeedsAuthorization:
    wanted = authorization_server.word(asked)
    if account.settings.scopes:
        return NeedsAuthorization(
            f"it wants the scope {wanted}, which its entry does not name",
            "add it to oauth.scopes of its entry",
        )
    return NeedsAuthorization(
        f"it refuses the scope {wanted}, which it was granted", "its user may lack the right"
    )
