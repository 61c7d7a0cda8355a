"""The dashboards that are signed in, and the codes that sign one in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from mcpgateway.errors import BackendError, InvalidParams, NotEntitled, NotThere, TooManyAttempts
from mcpgateway.frontends.rest.operation import OperationAnswer, OperationRequest
from mcpgateway.hints import cli
from mcpgateway.manage.browsers import browser_name
from mcpgateway.manage.credentials import CredentialStore, token_in
from mcpgateway.manage.dashboards import CODE_S, Dashboards, Rights, SignInPlace
from mcpgateway.policy.login_throttle import LoginThrottle
from mcpgateway.policy.oauth.resource import base_of

if TYPE_CHECKING:
    from mcpgateway.manage.dashboard_sign_ins import DashboardSignIns

EXPECTED = 'such as {"secret": "mcpgc_..."}, or {"answer": {"state": "...", "code": "..."}}'
SECRET_LIMIT = 600  # characters
THIS_MACHINE = "this machine"
LOOPBACK = ("127.0.0.1", "::1")


@frozen
class DashboardRoutes:
    """The operations of the dashboard's sign-in; only the answer to a sign-in contains the token."""

    _dashboards: Dashboards
    _bearers: CredentialStore
    _throttle: LoginThrottle
    _base: Callable[[], str]
    _sign_ins: DashboardSignIns
    _is_on: Callable[[], bool] = lambda: True

    async def make_code(self, asked: OperationRequest) -> Any:
        """Make a one-time code."""
        self._check()
        body = asked.json_object() if asked.body.strip() else {}
        try:
            rights = Rights(body.get("rights", Rights.ADMIN.value))
        except ValueError:
            raise InvalidParams('"rights" is look, operate or admin') from None
        return OperationAnswer(
            201,
            {"code": self._dashboards.make_code(rights), "expires_in": int(CODE_S), "url": self._base()},
        )

    async def sign_in(self, asked: OperationRequest) -> Any:
        """Exchange a code or a token for a session."""
        self._check()
        body = asked.json_object(EXPECTED)
        if "answer" in body:
            return await self._returned(asked, body["answer"])
        secret = body.get("secret")
        if not isinstance(secret, str) or not 0 < len(secret) <= SECRET_LIMIT:
            raise InvalidParams('"secret" is a code or a token', EXPECTED)
        address = self._address(asked)
        try:
            holder = self._bearers.judge(b"Bearer " + secret.encode())
            made, token = self._dashboards.sign_in(secret, holder, _place(asked, address))
        except InvalidParams as why:
            self._throttle.failed(address)
            raise NotEntitled(why.message, why.advice) from None
        return OperationAnswer(201, {"token": token, **made.shown()})

    async def _returned(self, asked: OperationRequest, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise InvalidParams('"answer" is the query of the redirect, as an object', EXPECTED)
        address = self._address(asked)
        try:
            found = await self._sign_ins.finish(self._called(asked), answer)
        except NotEntitled:
            self._throttle.failed(address)
            raise
        made, token = self._dashboards.begin(
            found.rights, found.issuer, found.principal, _place(asked, address)
        )
        return OperationAnswer(201, {"token": token, **made.shown()})

    async def sign_ins(self, asked: OperationRequest) -> Any:
        """List the authorization servers at which a user may sign in: one, or none."""
        self._check()
        again = asked.query.get("again", "").lower() == "true"
        try:
            found = await self._sign_ins.begin(self._called(asked), again=again)
        except BackendError as why:
            issuer = self._sign_ins.issuer
            found = {"issuer": issuer.issuer if issuer is not None else "", "fault": why.message}
        return {"items": [found] if found is not None else []}

    def _called(self, asked: OperationRequest) -> str:
        # The URL of the gateway as its caller has it, which the guard has checked.
        issuer, exchange = self._sign_ins.issuer, asked.exchange
        host = exchange.headers.get(b"host", b"")
        return base_of(host, is_secure=exchange.secure, issuer=issuer) if issuer is not None else ""

    def _address(self, asked: OperationRequest) -> str:
        address = getattr(asked.exchange.caller.address, "host", "") or THIS_MACHINE
        if self._throttle.wait(address):
            raise TooManyAttempts("too many wrong codes have come from there")
        return address

    def _check(self) -> None:
        if not self._is_on():
            raise NotThere(
                "the dashboard is switched off", f"{cli('config set gateway.ui=true')} switches it on"
            )

    async def listed(self, _: OperationRequest) -> Any:
        """List the dashboards that are signed in."""
        return {"items": self._dashboards.listed()}

    async def sign_out(self, asked: OperationRequest) -> Any:
        """End a dashboard's session: its own, or any with the rights of an administrator."""
        named = asked.path["id"]
        token = token_in((asked.header("authorization") or "").encode("latin-1"))
        own = self._dashboards.find(token) if token else None
        if not asked.is_admin and (own is None or own.id != named):
            raise NotEntitled("a dashboard ends its own session", "an administrator ends those of others")
        self._dashboards.sign_out(named)
        return {"id": named, "ended": True}


def _place(asked: OperationRequest, address: str) -> SignInPlace:
    where = THIS_MACHINE if address in LOOPBACK else address
    return SignInPlace(browser_name(asked.header("user-agent") or ""), where)
