"""Collect the facts of a request and judge it by the access policy, before its body is read.

# Note [Wrong tokens]
From other machines a limited number of wrong tokens is checked within a minute, and then no token, right or wrong.
From this machine a right token is always accepted: all of its clients share an address, and a faulty one must not lock
the others out; if no token is needed on this machine, wrong ones are not counted either.  The client of a proxy is
counted by the address that the proxy names, so a false address only harms the proxy's own clients.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from mcpgateway.config.security import Issuer
from mcpgateway.manage.credentials import CredentialStore, token_in
from mcpgateway.policy.access import (
    WRONG,
    AccessPolicy,
    CredentialHolder,
    Deny,
    Pass,
    PresentedCredential,
    Reach,
    RequestFacts,
    RouteClass,
    Verdict,
    is_among,
    is_forwarded,
    judge,
    spoken_for,
)
from mcpgateway.policy.login_throttle import LoginThrottle
from mcpgateway.policy.oauth.resource import METADATA, base_of, challenge, described
from mcpgateway.records import FrozenRecord

if TYPE_CHECKING:
    from mcpgateway.manage.access_tokens import AccessTokens

SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
REMEMBERED = (
    64  # Host names that were accepted; bounded, so that a hostile client cannot make the memory grow
)
BAD = (PresentedCredential.WRONG, PresentedCredential.OVER)
SOMEBODY = CredentialHolder(PresentedCredential.CLIENT, "somebody ")
INVALID = "invalid_token"
IN_QUERY = re.compile(rb"(?:^|[&;])access_token=", re.IGNORECASE)
NO_STORE = b"Cache-Control: no-store\r\n"
RETRY_S = 30
PATH_LIMIT = 200
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9._~-]+)*/?")


def plain_path(path: bytes) -> str:
    """Return a path that is safe in a header and in a URL; empty if it is not."""
    return path.decode() if _PLAIN_PATH.fullmatch(path) and len(path) <= PATH_LIMIT else ""


class Later(FrozenRecord, frozen=True):
    """A verdict that waits for the caller's identity.

    :ivar known: fires when the request can be judged.
    """

    known: Deferred[None]


def _unheard() -> None:
    """Ignore a change of the policy."""


class Guard:
    """Judges every request before its body is read.

    :ivar access_tokens: verifier of an authorization server's tokens; None without an authorization server.
    :ivar changed: called when the policy changes, so that streams are judged again.
    """

    def __init__(self, policy: AccessPolicy, bearers: CredentialStore) -> None:
        self.access_tokens: AccessTokens | None = None
        self.changed: Callable[[], None] = _unheard
        self._policy = policy
        self._bearers = bearers
        self._knocks = LoginThrottle(bearers.seconds)
        self._plain: dict[tuple[bytes | None, RouteClass, Reach], Verdict] = {}

    def configure(self, policy: AccessPolicy) -> None:
        """Judge by another policy from now on."""
        former, self._policy = self._policy, policy
        self._plain.clear()
        if policy != former:
            self.changed()

    def trusts(self, address: str) -> bool:
        """Return whether clients at an address need no credential."""
        return is_among(address, self._policy.trusted)

    def judge(self, exchange: Any, route: RouteClass) -> Verdict | Later:
        """Admit or refuse a request, or return `Later`; the verdict for one with only a Host header is remembered."""
        reach = exchange.caller.reach
        if exchange.head.is_telling or (exchange.query and IN_QUERY.search(exchange.query)):
            return self._judge(exchange, route)
        key = (exchange.headers.get(b"host"), route, reach)
        known = self._plain.get(key)
        if known is not None:
            return known
        verdict = self._judge(exchange, route)
        # Clients on other machines are distinguished by their addresses.
        if isinstance(verdict, Pass) and reach is not Reach.REMOTE and len(self._plain) < REMEMBERED:
            self._plain[key] = verdict
        return verdict

    def _judge(self, exchange: Any, route: RouteClass) -> Verdict | Later:
        headers = exchange.headers
        address = getattr(exchange.caller.address, "host", "")
        if exchange.caller.node:
            # The node that has passed it on has said from where it came.
            knocker, address = spoken_for(headers), ""
        elif is_forwarded(headers):
            # See Note [Through a proxy] in `mcpgateway.policy.access`.
            exchange.caller = replace(exchange.caller, reach=Reach.REMOTE, pid=0, inode=0)
            knocker, address = f"{address} {spoken_for(headers)}", ""
        else:
            knocker = address
        reach = exchange.caller.reach
        shows = b"authorization" in headers or b"x-api-key" in headers
        if shows and reach is Reach.REMOTE and (wait := self._knocks.wait(knocker)):
            return too_many(wait)
        found = self._holder(exchange)
        # A request that no caller may make is refused without a check of its token.
        holder = found if isinstance(found, CredentialHolder) else SOMEBODY
        facts = RequestFacts(
            route,
            reach,
            exchange.method in SAFE_METHODS,
            exchange.secure,
            *_names_in(exchange),
            holder.credential,
            holder.name,
            holder.scope,
            address if reach is Reach.REMOTE else "",
        )
        verdict = judge(facts, self._policy)
        if isinstance(found, Deferred) and isinstance(verdict, Pass):
            return Later(found)
        if found is None and isinstance(verdict, Pass):
            return Deny(
                503, "Tokens cannot be judged now: the authorization server does not say how", RETRY_S
            )
        if isinstance(verdict, Pass):
            self._bearers.used(holder.name, knocker)
            return evolve(verdict, project=holder.project) if holder.project else verdict
        # A token that was valid, as the gateway knows by now, was no guess.
        is_guess = holder.credential in BAD and not holder.name and verdict.status == 401
        is_counted = reach is Reach.REMOTE or self._policy.bearer_required
        if is_guess and is_counted and (wait := self._knocks.failed(knocker)):
            return too_many(wait)
        return verdict

    def challenge(self, exchange: Any, verdict: Deny) -> bytes:
        """Return the ``WWW-Authenticate`` header of a refusal."""
        issuer = self.access_tokens.issuer if self.access_tokens is not None else None
        if verdict.status != 401 and not (issuer is not None and verdict.error):
            return b""
        error = verdict.error or (INVALID if b"authorization" in exchange.headers else "")
        made = challenge(self._base(exchange, issuer), plain_path(exchange.path), issuer, error)
        return made + NO_STORE

    def metadata(self, exchange: Any) -> dict[str, Any] | None:
        """Return the protected resource metadata (RFC 9728); None without an authorization server."""
        path: bytes = exchange.path
        if self.access_tokens is None or not path.startswith(METADATA):
            return None
        rest = path.removeprefix(METADATA)
        if rest and (not rest.startswith(b"/") or not plain_path(rest)):
            return None
        issuer = self.access_tokens.issuer
        return described(self._base(exchange, issuer), rest.decode().rstrip("/"), issuer)

    @staticmethod
    def _base(exchange: Any, issuer: Issuer | None) -> str:
        host = exchange.headers.get(b"host")
        return base_of(host, is_secure=exchange.secure, issuer=issuer) if host and issuer is not None else ""

    def _holder(self, exchange: Any) -> CredentialHolder | Deferred[None] | None:
        headers = exchange.headers
        if IN_QUERY.search(exchange.query):
            return WRONG  # URLs are kept in logs and histories: no token is accepted there (RFC 6750 section 5.3)
        authorization, key = headers.get(b"authorization"), headers.get(b"x-api-key")
        holder = self._bearers.judge(authorization, key)
        if authorization is not None and key is not None:
            other = self._bearers.judge(None, key)
            if other.credential in BAD:
                return other
        if holder is WRONG and self.access_tokens is not None:
            token = token_in(headers.get(b"authorization", b""))
            if token is not None and self.access_tokens.takes(token):
                found = self.access_tokens.judge(token)
                if not isinstance(found, CredentialHolder):
                    return found
                holder = found
        return holder


def _names_in(exchange: Any) -> tuple[bytes | None, bytes | None, bytes | None]:
    # What a browser says of the page; the node that has passed a request on has judged it by the names of its own.
    if exchange.caller.node:
        return None, None, None
    headers = exchange.headers
    return headers.get(b"host"), headers.get(b"origin"), headers.get(b"sec-fetch-site")


def too_many(wait_s: int) -> Deny:
    """Return the refusal of an address with too many wrong tokens."""
    return Deny(429, "Too many wrong tokens have come from there; wait a while", wait_s)
