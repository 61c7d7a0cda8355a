"""Sign-ins at remote servers: begin one, report its state, and sign out."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import BackendTimeout, Conflict, NeedsLogin, OutOfScope
from mcpgateway.hints import cli
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.health.health import Health
from mcpgateway.manage.internal_client import InternalClient
from mcpgateway.observe.roster import named
from mcpgateway.policy.oauth.device import Poll
from mcpgateway.policy.ownership import can_sign_in, owner_of, person_of

if TYPE_CHECKING:
    from mcpgateway.backends.oauth.account import Account
    from mcpgateway.backends.oauth.device_sign_ins import DeviceSignIn
    from mcpgateway.backends.oauth.flow import Accounts, Revocation

BEGIN_S = 60.0  # until a server has shown that it requires a sign-in


class SignInState(Enum):
    """The sign-in state of a principal at a server."""

    SIGNED_IN = "signed in"
    NEEDS_LOGIN = "needs login"
    OPEN = "needs no login"
    UNKNOWN = "not known"
    DECLINED = "declined"
    EXPIRED = "expired"
    FAILED = "failed"


OUTCOMES = {
    Poll.DECLINED: SignInState.DECLINED,
    Poll.EXPIRED: SignInState.EXPIRED,
    Poll.FAILED: SignInState.FAILED,
}


@frozen
class PendingLogin:
    """A sign-in with its state, and the URL to open.

    :ivar url: address at which to sign in; empty if no sign-in is needed.
    :ivar redirect: address to which the browser returns; empty for a sign-in by a device code.
    :ivar code: the code of a sign-in by a device code, which the user enters at ``page``.
    :ivar expires_in: the seconds until the code ends.
    :ivar reason: the error code of the authorization server, where the sign-in has failed.
    """

    server: str
    standing: SignInState
    url: str = ""
    redirect: str = ""
    code: str = field(default="", repr=False)
    page: str = ""
    expires_in: int = 0
    reason: str = ""

    def shown(self) -> dict[str, Any]:
        """Return the sign-in in the form for programs."""
        found: dict[str, Any] = {"server": self.server, "state": self.standing.value}
        if self.url:
            found["url"] = self.url
        if self.redirect:
            found["redirect"] = self.redirect
        if self.code:
            found |= {
                "user_code": self.code,
                "verification_uri": self.page,
                "expires_in": self.expires_in,
            }
        if self.reason:
            found["reason"] = self.reason
        return found


class Logins:
    """The sign-in state of principals at servers, as an `mcpgateway.backends.oauth.flow.AccountListener`.

    :param accounts: makes the gateway's accounts at remote servers, for the first request.
    """

    log = Logger()

    def __init__(
        self,
        dispatcher: LegacyDispatcher,
        health: Health,
        clock: IReactorTime,
        accounts: Callable[[], Accounts],
    ) -> None:
        self._dispatcher = dispatcher
        self._health = health
        self._clock = clock
        self._accounts = accounts
        self._waiting: list[tuple[tuple[str, str], Deferred[None]]] = []

    # Calls of the accounts

    def wanted(self, server: str, owner: str) -> None:
        """Note that an owner has to sign in at a server."""
        self._health.wanted(server, owner)

    def granted(self, server: str, owner: str) -> None:
        """Note that an owner has signed in."""
        self._health.granted(server, owner)
        known = self._dispatcher.servers.get(server)
        if known is not None:
            self._dispatcher.sending_away.done(known, owner)
        self.ended(server, owner)

    def ended(self, server: str, owner: str) -> None:
        """Answer the requests that wait for a sign-in of an owner."""
        woken = [done for key, done in self._waiting if key == (server, owner)]
        self._waiting = [each for each in self._waiting if each[0] != (server, owner)]
        for done in woken:
            done.callback(None)

    # Operations

    def look(self, name: str, principal: str) -> PendingLogin:
        """Return the sign-in state of a principal at a server.

        :raise UnknownServer: no server has that name.
        :raise OutOfScope: the principal may not use the server.
        :raise Conflict: the server has no sign-in.
        """
        _, account = self._of(name, principal)
        return self._standing(name, account)

    def _standing(self, name: str, account: Account, *, ran: bool = False) -> PendingLogin:
        accounts = self._accounts()
        device = accounts.by_device(account)
        if device is not None:
            return self._by_device(name, device)
        question = accounts.question(account)
        if question is not None:
            return self._asked(name, question)
        if accounts.is_under_way(account):
            return PendingLogin(name, SignInState.NEEDS_LOGIN)
        if accounts.is_signed_in(account):
            return PendingLogin(name, SignInState.SIGNED_IN)
        return PendingLogin(name, SignInState.OPEN if ran else SignInState.UNKNOWN)

    def _asked(self, name: str, question: NeedsLogin) -> PendingLogin:
        return PendingLogin(name, SignInState.NEEDS_LOGIN, question.url, self._accounts().redirect)

    def _by_device(self, name: str, device: DeviceSignIn) -> PendingLogin:
        standing = OUTCOMES.get(device.standing, SignInState.NEEDS_LOGIN)
        if standing is not SignInState.NEEDS_LOGIN:
            return PendingLogin(name, standing, reason=device.reason)
        code = device.code
        lasts = max(0, round(code.expires - self._clock.seconds()))
        url = code.page_with_code or code.page
        return PendingLogin(name, standing, url, code=code.user_code, page=code.page, expires_in=lasts)

    async def begin_device(self, name: str, principal: str, *, again: bool = False) -> PendingLogin:
        """Return the code with which the gateway's own user signs in at a server on another device.

        :param again: begin a sign-in even if the user has signed in, or need not.
        :raise OutOfScope: another principal asks.
        :raise GatewayError: as `look`; or the server could not be asked, or its authorization server has no such codes.
        """
        server, account = self._of(name, principal)
        if account.owner or person_of(principal):
            raise OutOfScope(
                "only the gateway's own user signs in by a device code",
                "sign in with a browser, without device",
            )
        accounts = self._accounts()
        accounts.drop_device(account)
        if not again and accounts.question(account) is None:
            try:
                await self._within(Deferred.fromCoroutine(self._meet(server, principal)))
            except NeedsLogin:
                pass  # the expected error
            standing = self._standing(name, account, ran=True)
            if standing.standing is not SignInState.NEEDS_LOGIN:
                return standing
        await self._within(accounts.begin_device(account))
        return self._standing(name, account)

    async def begin(self, name: str, principal: str, *, again: bool = False) -> PendingLogin:
        """Return the address at which a principal signs in at a server.

        :param again: begin a sign-in even if the principal has signed in, or need not.
        :raise OutOfScope: with ``again``: other principals use the same account, too.
        :raise GatewayError: as `look`; or the server could not be asked.
        """
        server, account = self._of(name, principal)
        accounts = self._accounts()
        accounts.drop_device(account)
        if again:
            _check_change(principal, account)
            return self._asked(name, await self._within(accounts.begin(account)))
        if accounts.question(account) is not None:
            return self._asked(name, await self._within(accounts.verified(account)))
        try:
            await self._within(Deferred.fromCoroutine(self._meet(server, principal)))
        except NeedsLogin:
            pass  # the expected error
        return self._standing(name, account, ran=True)

    async def _within(self, wait: Deferred[Any]) -> Any:
        wait.addTimeout(BEGIN_S, self._clock)
        try:
            return await wait
        except defer.TimeoutError:
            raise BackendTimeout(f"nothing was heard within {BEGIN_S:g} s") from None

    async def _meet(self, server: ServerSpec, principal: str) -> None:
        visit = await InternalClient.begin(self._dispatcher, server, principal)
        try:
            if visit.session.slot is not None:
                await visit.session.slot.greet()
        finally:
            visit.end("it was asked whether it wants a sign-in")

    async def answer(self, name: str, principal: str, words: str) -> PendingLogin:
        """Complete a sign-in with the pasted redirect address, if the browser could not return to the gateway.

        :raise GatewayError: as `look`; the text is invalid, or no token could be fetched for it.
        """
        _, account = self._of(name, principal)
        await self._accounts().pasted(account, words)
        return self._standing(name, account)

    async def wait(self, name: str, principal: str, limit_s: float) -> PendingLogin:
        """Return what `look` returns, once the principal has signed in, or the time is over."""
        found = self.look(name, principal)
        if found.standing is SignInState.NEEDS_LOGIN and limit_s > 0:
            key = (name, self._of(name, principal)[1].owner)
            done: Deferred[None] = Deferred()
            self._waiting.append((key, done))
            done.addTimeout(limit_s, self._clock).addErrback(_too_late)
            try:
                await done
            finally:
                self._waiting = [each for each in self._waiting if each[1] is not done]
        return self.look(name, principal)

    async def forget(self, name: str, principal: str, *, registration: bool) -> Revocation:
        """Revoke the grant of a principal at a server, and end the connections that use it.

        :param registration: delete the gateway's registration there, too.
        :raise OutOfScope: other principals use the registration, too.
        :raise GatewayError: as `look`.
        """
        _, account = self._of(name, principal)
        _check_change(principal, account)
        if registration and person_of(principal):
            raise OutOfScope(
                f"only the gateway's own user forgets what the gateway is registered as at {name}, which all use",
                "sign out without forgetting that",
            )
        return await self._revoke(account, registration=registration)

    async def _revoke(self, account: Account, *, registration: bool) -> Revocation:
        await self._health.sign_out(
            account.name, account.owner
        )  # ends the sessions while their token is valid
        forgotten: Revocation = await self._accounts().forget(account, registration=registration)
        await self._health.sign_out(account.name, account.owner)  # sessions of a later sign-in, too
        return forgotten

    def leave(self, is_over: Callable[[str], bool]) -> None:
        """Revoke and forget the grants of departed principals, at all servers."""
        accounts = self._accounts()
        for (
            server
        ) in self._dispatcher.servers.values():  # the entry may have a proxy, or authorities of its own
            if isinstance(server.reach, Remote):
                for owner in {each.owner for each in accounts.owned(is_over) if each.name == server.name}:
                    accounts.of(server.name, server.reach, owner)
        for account in accounts.owned(is_over):
            left = Deferred.fromCoroutine(self._leave(account))
            left.addErrback(self._not_left, account.name)

    async def _leave(self, account: Account) -> None:
        await self._revoke(account, registration=False)
        self._accounts().erase(account)

    def _not_left(self, why: Failure, server: str) -> None:
        self.log.failure("a grant could not be revoked", why, event="oauth.not_left", server=server)

    def _of(self, name: str, principal: str) -> tuple[ServerSpec, Account]:
        server = named(self._dispatcher.servers, name)
        self._dispatcher.permits.admit(principal, server)
        reach = server.reach
        if not isinstance(reach, Remote):
            raise Conflict(
                f"{name} is no remote server, and takes no sign-in",
                f"a program takes its credentials as variables: {cli('servers set-env {} VARIABLE=VALUE', name)}",
            )
        if not can_sign_in(reach):
            raise Conflict(
                f"{name} has a token in its entry, and takes no sign-in",
                "without the header Authorization in its entry the gateway asks for one",
            )
        return server, self._accounts().of(name, reach, owner_of(principal, server))


def _check_change(principal: str, account: Account) -> None:
    # A principal that may use the gateway's own account may sign in where that has no grant; other accounts stay.
    if person_of(principal) != account.owner:
        raise OutOfScope(
            f"all clients use one account at {account.name}, which only the gateway's own user changes"
            " (oauth.grant: gateway)",
            f"ask with the gateway's own token, or on its machine: {cli('servers logout {}', account.name)}",
        )


def _too_late(why: Any) -> None:
    why.trap(defer.TimeoutError, defer.CancelledError)
