"""Sign-ins to the dashboard at the authorization server of ``settings.security.oauth`` (OAuth 2.1, RFC 7636, RFC 9207).

The gateway exchanges the code itself, since the page talks to no other origin.  The token is verified as those of
clients are, its rights become those of the dashboard's session, and it is forgotten.

# Note [No memory]
Any caller may begin a sign-in, so an open one takes no memory: its state names its end and is authenticated by a key of
this run, and the verifier of PKCE follows from the state.  The page compares the state of an answer with its own one,
so that no other page can sign its user in; and the authorization server accepts a code once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from mcpgateway.backends.oauth import authorization_server
from mcpgateway.backends.oauth.authorization_server import AuthorizationRequests, decoded, error_of, word
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import BackendError, InvalidParams, NotEntitled
from mcpgateway.manage.dashboards import Rights
from mcpgateway.policy.access import PresentedCredential
from mcpgateway.policy.oauth import client as oauth
from mcpgateway.policy.oauth import resource
from mcpgateway.policy.oauth.client import AuthServer, OAuthClient
from mcpgateway.waiting import Waiting

if TYPE_CHECKING:
    from mcpgateway.backends.http.client import Web
    from mcpgateway.config.security import Issuer
    from mcpgateway.manage.access_tokens import AccessTokens

CALLBACK = "/ui/signed-in"
OPEN_S = 600.0  # how long a user may take
FRESH_S = 300.0  # how long the metadata of the authorization server is used
AGAIN_S = 10.0  # how long a failure to fetch it is repeated
ANSWER_LIMIT = 8192  # characters of each member of an answer
CLAIMS = ("roles", "permissions")  # besides the scopes
RIGHTS = {
    f"mcpgateway:{each.value}": each for each in (Rights.ADMIN, Rights.OPERATE, Rights.LOOK)
}  # the widest first
ANEW = "begin the sign-in anew"


@frozen
class SignedInUser:
    """A user who has signed in.

    :ivar principal: as which its tokens count everywhere.
    """

    issuer: str
    principal: str
    rights: Rights


@define(eq=False, repr=False)
class DashboardSignIns:
    """Signs users of the dashboard in at the authorization server.

    :ivar clock: of the time of day.
    :ivar tokens: returns the verifier of the authorization server's tokens; None without an authorization server.
    """

    clock: Any
    _web: Callable[[], Web]
    tokens: Callable[[], AccessTokens | None]
    _key: bytes = field(factory=lambda: secrets.token_bytes(32))
    _server: AuthServer | BackendError | None = field(default=None, init=False)
    _of: Issuer | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _waiting: Waiting[None] = field(factory=Waiting, init=False)

    @property
    def issuer(self) -> Issuer | None:
        """The authorization server at which users sign in; None where none is configured for the dashboard."""
        tokens = self.tokens()
        return tokens.issuer if tokens is not None and tokens.issuer.dashboard.client_id else None

    async def begin(self, base: str, *, again: bool = False) -> dict[str, Any] | None:
        """Return the address of a new sign-in and its state; None where the dashboard has none.

        :param base: the URL of the gateway as its caller has it.
        :param again: ask the user for the password, too, though the authorization server knows the browser.
        :raise BackendError: the authorization server does not describe itself.
        """
        issuer = self.issuer
        if issuer is None:
            return None
        server, redirect = await self._described(issuer), base + CALLBACK
        state = self._state(redirect, self.clock.seconds() + OPEN_S)
        challenge = oauth.code_challenge(self._verifier(state))
        client, scope = _client(issuer), " ".join(issuer.dashboard.scopes)
        url = oauth.authorization_url(
            server, client, redirect, state, challenge, scope, _resource(issuer, base)
        )
        url += "&prompt=login" if again else ""
        return {"issuer": issuer.issuer, "url": url, "state": state, "expires_in": int(OPEN_S)}

    async def finish(self, base: str, answer: Mapping[str, Any]) -> SignedInUser:
        """Return the user of an authorization server's answer.

        :param answer: the query of the redirect: ``state``, ``code`` or ``error``, ``iss``.
        :raise InvalidParams: the answer is malformed.
        :raise NotEntitled: it is no answer of this sign-in, was refused, or gives no rights.
        :raise BackendError: the authorization server cannot be asked.
        """
        said = {name: answer.get(name, "") for name in ("state", "code", "error", "iss")}
        if not all(isinstance(each, str) and len(each) <= ANSWER_LIMIT for each in said.values()):
            raise InvalidParams('"answer" has texts: state, code, error and iss')
        issuer, redirect = self.issuer, base + CALLBACK
        if issuer is None or not self._is_open(said["state"], redirect):
            raise NotEntitled("this answer belongs to no open sign-in, or came too late", ANEW)
        server = await self._described(issuer)
        if said["iss"] != server.issuer and (said["iss"] or server.says_issuer):
            raise NotEntitled("this answer is from another authorization server", ANEW)
        if not said["code"]:
            raise NotEntitled(f"the authorization server refuses: {word(said['error'] or 'no code')}", ANEW)
        form = {
            "grant_type": "authorization_code",
            "code": said["code"],
            "redirect_uri": redirect,
            "code_verifier": self._verifier(said["state"]),
            "resource": _resource(issuer, base),
        }
        found = await authorization_server.ask_for_token(self._asking(issuer), server, _client(issuer), form)
        if found.status != 200:
            raise NotEntitled(f"the authorization server refuses: {error_of(found)}", ANEW)
        grant = oauth.read_grant(decoded(found), self.clock.seconds(), server.issuer)
        return await self._user(issuer, grant.access_token.encode())

    async def _user(self, issuer: Issuer, token: bytes) -> SignedInUser:
        tokens = self.tokens()
        holder = await tokens.verified(token) if tokens is not None else None
        # The scopes that clients need are no condition here.
        if holder is None or holder.credential not in (
            PresentedCredential.CLIENT,
            PresentedCredential.NARROW,
        ):
            raise NotEntitled(
                "the token of the authorization server is not for this gateway",
                "settings.security.oauth.audience names whom tokens have to be for",
            )
        names = _allowed_by(token)
        rights = next((each for name, each in RIGHTS.items() if name in names), None)
        if rights is None:
            raise NotEntitled(
                "this account has no rights at the dashboard",
                f"the administrator of {issuer.issuer} gives it one of {', '.join(RIGHTS)}",
            )
        return SignedInUser(issuer.issuer, holder.name, rights)

    # The authorization server

    async def _described(self, issuer: Issuer) -> AuthServer:
        if self._of != issuer or self.clock.seconds() >= self._until:
            await self._waiting.once(lambda: self._find(issuer))
        if not isinstance(self._server, AuthServer):
            raise self._server or BackendError("the authorization server has changed", ANEW)
        return self._server

    async def _find(self, issuer: Issuer) -> None:
        try:
            self._server = await authorization_server.described(self._asking(issuer), issuer.issuer)
        except BackendError as why:
            self._server = why
        lasts = FRESH_S if isinstance(self._server, AuthServer) else AGAIN_S
        self._of, self._until = issuer, self.clock.seconds() + lasts

    def _asking(self, issuer: Issuer) -> AuthorizationRequests:
        return AuthorizationRequests(self.clock, self._web, Remote(url=issuer.issuer))

    # The state; see Note [No memory]

    def _state(self, redirect: str, until: float) -> str:
        content = f"{secrets.token_urlsafe(16)}.{int(until)}"
        return f"{content}.{self._mac(content, redirect)}"

    def _is_open(self, state: str, redirect: str) -> bool:
        content, _, mac = state.rpartition(".")
        until = content.partition(".")[2]
        if not state.isascii() or not hmac.compare_digest(mac, self._mac(content, redirect)):
            return False
        now: float = self.clock.seconds()
        return now < float(until)

    def _verifier(self, state: str) -> str:
        return self._mac("verifier", state)

    def _mac(self, *texts: str) -> str:
        digest = hmac.digest(self._key, json.dumps(texts).encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _client(issuer: Issuer) -> OAuthClient:
    return OAuthClient(issuer.dashboard.client_id, issuer.dashboard.client_secret)


def _resource(issuer: Issuer, base: str) -> str:
    # The token has to be for the gateway, by whichever of its names the settings have.
    return next((each for each in issuer.audience if each == base), issuer.audience[0])


def _allowed_by(token: bytes) -> frozenset[str]:
    # Of a token that was verified.
    payload = token.split(b".")[1]
    claims = json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    named = [claims.get(each) for each in CLAIMS]
    listed = (each for claim in named if isinstance(claim, list) for each in claim)
    return resource.scopes_in(claims) | frozenset(each for each in listed if isinstance(each, str))
