"""Sign-ins by a device code: the gateway asks for the token until the user has entered the code on another device.

A code that another principal has begun would give that principal the account of whoever enters it, and no page of the
gateway can ask its user first (see Note [Whose sign-in it is] in `mcpgateway.backends.oauth.sign_ins`).  Only the
gateway's own user signs in by a device code therefore.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.response import WebAnswer
from mcpgateway.backends.oauth import authorization_server
from mcpgateway.backends.oauth.account import FORGOTTEN, Account, Registrations
from mcpgateway.backends.oauth.authorization_server import decoded, error_of
from mcpgateway.errors import BackendError, NeedsAuthorization
from mcpgateway.policy.oauth import client as oauth
from mcpgateway.policy.oauth import device
from mcpgateway.policy.oauth.client import AuthServer, Challenge, OAuthClient
from mcpgateway.policy.oauth.device import DeviceCode, Poll
from mcpgateway.policy.readiness import login


@define(eq=False, repr=False)
class DeviceSignIn:
    """A sign-in by a device code, under way or ended.

    :ivar standing: PENDING while the user may still enter the code.
    :ivar reason: the error code of the authorization server, where the sign-in has failed.
    :ivar polling: the requests for the token.
    """

    account: Account
    server: AuthServer
    client: OAuthClient
    scope: str
    code: DeviceCode
    standing: Poll = Poll.PENDING
    reason: str = ""
    polling: Deferred[None] | None = field(default=None)


class DeviceSignIns:
    """The sign-ins by a device code, by the keys of their accounts.

    :param over: is called with each sign-in that has ended.
    """

    log = Logger()

    def __init__(self, clock: Any, known: Registrations, over: Callable[[DeviceSignIn], None]) -> None:
        self._clock = clock
        self._known = known
        self._over = over
        self._kept: dict[str, DeviceSignIn] = {}

    def of(self, account: Account) -> DeviceSignIn | None:
        """Return the latest sign-in of an account, or None."""
        return self._kept.get(account.key)

    def drop(self, account: Account) -> None:
        """End and forget the sign-in of an account."""
        found = self._kept.pop(account.key, None)
        if found is not None and found.polling is not None:
            found.polling.cancel()

    async def begin(self, account: Account, scope: str) -> DeviceSignIn:
        """Get a code for the user of an account; an earlier sign-in of the account ends.

        :raise NeedsAuthorization: the authorization server offers no sign-in by a device code.
        :raise BackendError: the authorization server could not be asked.
        """
        self.drop(account)
        server = await self._known.server(account, Challenge())
        if not server.device_endpoint:
            raise NeedsAuthorization(
                "its authorization server offers no sign-in by a device code",
                f"sign in with a browser: {login(account.name)}",
            )
        client = await self._client(account, server, scope)
        answer = await self._code(account, server, client, scope)
        if (
            answer.status != 200
            and error_of(answer) in FORGOTTEN
            and self._known.is_registered(account, client)
        ):
            self._known.forget(account, client)
            client = await self._client(account, server, scope)
            answer = await self._code(account, server, client, scope)
        if answer.status != 200:
            raise BackendError(f"no device code was given (HTTP {answer.status}: {error_of(answer)})")
        code = device.read_device_code(decoded(answer), self._clock.seconds())
        self.drop(account)  # another one may have begun meanwhile
        made = self._kept[account.key] = DeviceSignIn(account, server, client, scope, code)
        made.polling = Deferred.fromCoroutine(self._follow(made))
        made.polling.addErrback(self._failed, made)
        return made

    async def _client(self, account: Account, server: AuthServer, scope: str) -> OAuthClient:
        client = self._known.client(account, server, scope=scope)
        registration = self._known.registration(account)
        is_without = registration is not None and client == registration.client and not registration.by_device
        if client is None or is_without:
            return await self._known.register(account, server, self._known.redirect, scope, by_device=True)
        return client

    async def _code(self, account: Account, server: AuthServer, client: OAuthClient, scope: str) -> WebAnswer:
        form = {"resource": oauth.resource_of(account.remote.url), **({"scope": scope} if scope else {})}
        asking = self._known.asking(account)
        return await authorization_server.ask_for_device_code(asking, server, client, form)

    # The requests for the token

    async def _follow(self, sign_in: DeviceSignIn) -> None:
        interval_s = sign_in.code.interval_s
        while sign_in.standing is Poll.PENDING:
            await deferLater(self._clock, interval_s)
            if self._clock.seconds() >= sign_in.code.expires:
                sign_in.standing = Poll.EXPIRED
                break
            try:
                poll = await self._ask(sign_in)
            except BackendError as why:  # the server may answer again before the code ends
                self.log.info(
                    "no answer to a device code of {server}: {why}",
                    event="oauth.device",
                    server=sign_in.account.name,
                    why=why.message,
                )
                poll = Poll.SLOWER
            if poll is Poll.SLOWER:
                interval_s = device.slower(interval_s)
            else:
                sign_in.standing = poll
        sign_in.polling = None
        self.log.info(
            "a sign-in at {server} by a device code has ended: {standing}",
            event="oauth.device",
            server=sign_in.account.name,
            standing=sign_in.standing.value,
        )
        self._over(sign_in)

    async def _ask(self, sign_in: DeviceSignIn) -> Poll:
        account, server = sign_in.account, sign_in.server
        form = {
            "grant_type": device.GRANT_TYPE,
            "device_code": sign_in.code.device_code,
            "resource": oauth.resource_of(account.remote.url),
        }
        asking = self._known.asking(account)
        answer = await authorization_server.ask_for_token(asking, server, sign_in.client, form)
        found = device.outcome(answer.status, error_of(answer))
        if found is Poll.FAILED:
            sign_in.reason = error_of(answer)
        if found is Poll.GRANTED:
            now = self._clock.seconds()
            grant = oauth.read_grant(decoded(answer), now, server.issuer, asked=sign_in.scope)
            self._known.keep(account, grant, sign_in.client)
        return found

    def _failed(self, why: Failure, sign_in: DeviceSignIn) -> None:
        if why.check(CancelledError) is None:
            sign_in.standing, sign_in.polling = Poll.FAILED, None
            self.log.failure(
                "a sign-in at {server} by a device code has failed",
                why,
                event="oauth.device",
                server=sign_in.account.name,
            )
            self._over(sign_in)
