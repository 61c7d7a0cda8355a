"""Access tokens of an authorization server: JWTs (RFC 9068), checked with its public keys; loaded where one is named.

# Note [When keys are fetched]
Keys are fetched at the first token, then when they are an hour old, and for a token with an unknown key, so that a
rotated key is known at once; but at most once in half a minute, for any number of tokens.  Old keys are used while new
ones cannot be fetched, for a day at most.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from attrs import define, field, frozen
from jwt.exceptions import PyJWTError
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.config.security import Issuer
from mcpgateway.errors import BackendError, GatewayError
from mcpgateway.policy.access import WRONG, CredentialHolder, PresentedCredential
from mcpgateway.policy.oauth import client, resource
from mcpgateway.waiting import Waiting

FETCH_S, DOCUMENT_LIMIT = 10.0, 256 * 1024
AGAIN_S, FRESH_S, GOOD_S = 30.0, 3600.0, 86400.0
KEYS_LIMIT, TOKENS_LIMIT, TOKEN_CHARACTERS = 100, 1000, 16_384
GRACE_S = 60.0
NEEDED = ("exp", "iss", "aud")
OPTIONS: Any = {  # the rest is verified below: times by the gateway's clock, and the audience by several names
    "require": list(NEEDED),
    **dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat"), False),
}


class FetchedDocument(Protocol):
    """An answer (`mcpgateway.backends.http.response.WebAnswer`)."""

    status: int
    body: bytes


Fetch = Callable[[str, str], Deferred[FetchedDocument]]
"""Fetches a URL, that another, configured one has named."""


@frozen
class _Known:
    """A verified token.

    :ivar until: the time of its expiry.
    """

    holder: CredentialHolder
    until: float


@define(eq=False, repr=False)
class AccessTokens:
    """Verifies the tokens of one authorization server.

    :ivar issuer: the authorization server, and the requirements for its tokens.
    :ivar gone: called with the principals whose last token has expired.
    """

    log = Logger()

    issuer: Issuer
    _fetch: Fetch = field(repr=False)
    _seconds: Callable[[], float] = field(repr=False)
    gone: Callable[[frozenset[str]], None] = field(repr=False)
    _keys: dict[str, Any] = field(factory=dict, init=False, repr=False)
    _saved: str = field(default="", init=False, repr=False)
    _fetched_at: float = field(default=float("-inf"), init=False)
    _tried_at: float = field(default=float("-inf"), init=False)
    _waiting: Waiting[None] = field(factory=Waiting, init=False, repr=False)
    _seen: dict[bytes, _Known] = field(factory=dict, init=False, repr=False)
    _ends: dict[str, float] = field(factory=dict, init=False, repr=False)

    def takes(self, token: bytes) -> bool:
        """Return whether a token may be one of an authorization server's."""
        return token.count(b".") == 2 and len(token) <= TOKEN_CHARACTERS

    def judge(self, token: bytes) -> CredentialHolder | Deferred[None] | None:
        """Return the holder of a token, or a Deferred if keys have to be fetched first; else None."""
        now, digest = self._seconds(), hashlib.sha256(token).digest()
        known = self._seen.get(digest)
        if known is not None:
            return (
                known.holder
                if now < known.until
                else CredentialHolder(PresentedCredential.OVER, known.holder.name)
            )
        header = _header(token)
        if header is None or _unverified_issuer(token) != self.issuer.issuer:
            return WRONG
        key = self._key(header, now)
        if key is not None:
            return self._checked(token, digest, key, now)
        if self._waiting or now - self._tried_at >= AGAIN_S:
            return self._wait()
        return WRONG if self._are_good(now) else None

    async def verified(self, token: bytes) -> CredentialHolder:
        """Return the holder of a token, after its keys were fetched.

        :raise BackendError: the keys of the authorization server cannot be fetched.
        """
        found = self.judge(token) if self.takes(token) else WRONG
        if isinstance(found, Deferred):
            await found
            found = self.judge(token)
        if not isinstance(found, CredentialHolder):
            raise BackendError(f"the keys of {_shown(self.issuer.issuer)} cannot be fetched")
        return found

    def tick(self) -> None:
        """Forget expired tokens; called once a second."""
        now = self._seconds()
        over = frozenset(name for name, until in self._ends.items() if until <= now)
        for each in over:
            del self._ends[each]
        if over:
            self.gone(over)

    def dismiss(self) -> None:
        """Forget all tokens: this authorization server is not trusted any more."""
        over = frozenset(self._ends)
        self._ends.clear()
        if over:
            self.gone(over)

    # Tokens

    def _checked(self, token: bytes, digest: bytes, key: Any, now: float) -> CredentialHolder:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=resource.ALGORITHMS,
                issuer=self.issuer.issuer,
                options=OPTIONS,
            )
        except (PyJWTError, ValueError, TypeError):
            return WRONG
        return self._judged(claims, digest, now)

    def _judged(self, claims: Mapping[str, Any], digest: bytes, now: float) -> CredentialHolder:
        who = resource.subject_of(claims)
        begins, ends = claims.get("nbf", 0), claims["exp"]
        if not who or not resource.is_for(claims["aud"], self.issuer.audience):
            return WRONG
        if not (_is_time(begins) and _is_time(ends)) or begins > now + GRACE_S:
            return WRONG
        name = resource.principal_of(self.issuer.issuer, who)
        until = float(ends) + GRACE_S
        if until <= now:
            return CredentialHolder(PresentedCredential.OVER, name)
        if not resource.scopes_in(claims).issuperset(self.issuer.scopes):
            return CredentialHolder(PresentedCredential.NARROW, name)
        holder = CredentialHolder(PresentedCredential.CLIENT, name)
        self._seen[digest] = _Known(holder, until)
        self._ends[name] = max(self._ends.get(name, 0.0), until)
        for each in (self._seen, self._ends):
            if len(each) > TOKENS_LIMIT:
                del each[next(iter(each))]  # type: ignore[arg-type]  # each by its own keys
        return holder

    # Keys

    def _key(self, header: Mapping[str, Any], now: float) -> Any:
        if not self._are_good(now):
            return None
        if now - self._fetched_at >= FRESH_S and now - self._tried_at >= AGAIN_S:
            self._wait()
        named = header.get("kid")
        if named is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(named) if isinstance(named, str) else None

    def _are_good(self, now: float) -> bool:
        return bool(self._keys) and now - self._fetched_at < GOOD_S

    def _wait(self) -> Deferred[None]:
        done = self._waiting.wait()
        if len(self._waiting) == 1:
            self._tried_at = self._seconds()
            Deferred.fromCoroutine(self._renew()).addBoth(self._renewed)
        return done

    def _renewed(self, why: Any) -> None:
        if why is not None:
            self.log.warn(
                "the keys of {issuer} cannot be fetched: {why}",
                event="issuer.failed",
                issuer=self.issuer.issuer,
                why=str(why.value),
            )
        self._waiting.over(None)

    async def _renew(self) -> None:
        url = self.issuer.jwks_url or await self._find()
        found = await self._document(url, self.issuer.jwks_url or self.issuer.issuer)
        listed = found.get("keys")
        keys: dict[str, Any] = {}
        for each in (listed if isinstance(listed, list) else [])[:KEYS_LIMIT]:
            key = _usable(each)
            if key is not None:
                keys[str(each.get("kid", f"#{len(keys)}"))] = key
        if not keys:
            raise BackendError(f"{_shown(url)} has no key that could be used")
        text = json.dumps(listed, sort_keys=True)
        if text != self._saved:
            self._seen.clear()  # no token of a withdrawn key is valid any more
            self._saved = text
        self._keys, self._fetched_at = keys, self._seconds()

    async def _find(self) -> str:
        why: GatewayError | None = None
        for url in client.server_metadata_urls(self.issuer.issuer):
            try:
                found = await self._document(url, self.issuer.issuer)
            except GatewayError as failed:
                why = failed
                continue
            if found.get("issuer") != self.issuer.issuer:
                raise BackendError(f"{_shown(url)} is the metadata of another issuer")
            named = found.get("jwks_uri")
            if not isinstance(named, str) or not client.may_ask(named, self.issuer.issuer):
                raise BackendError(f"{_shown(url)} names no place for its keys that may be asked")
            return named
        raise why or BackendError("it has no metadata")

    async def _document(self, url: str, named_by: str) -> dict[str, Any]:
        answer = await self._fetch(url, named_by)
        if answer.status != 200:
            raise BackendError(f"{_shown(url)} answers {answer.status}")
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise BackendError(f"{_shown(url)} is no JSON object")
        return found


def _header(token: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = jwt.get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError):
        return None
    is_one = (
        found.get("alg") in resource.ALGORITHMS and str(found.get("typ", "JWT")).lower() in resource.KINDS
    )
    return found if is_one and "crit" not in found else None


def _unverified_issuer(token: bytes) -> Any:
    # The unverified claims of a token; used only to pass over tokens of other issuers.
    try:
        payload = token.split(b".")[1]
        found = json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    return found.get("iss") if isinstance(found, dict) else None


def _usable(found: Any) -> Any:
    # A key for another use, or of an algorithm with a shared secret, is not used.
    if not isinstance(found, dict) or found.get("use", "sig") != "sig" or found.get("kty") == "oct":
        return None
    if found.get("alg") not in (None, *resource.ALGORITHMS):
        return None
    try:
        return jwt.PyJWK.from_dict(found)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None


def _is_time(claim: Any) -> bool:
    return isinstance(claim, int | float) and not isinstance(claim, bool) and 0 <= claim < 2**53


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
