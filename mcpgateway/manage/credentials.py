"""The holders of credentials: of the gateway's two tokens, of keys in the settings, and of agents' tokens.

Only digests are kept here, so no credential can leak.  A credential is found by its digest, which no caller can
choose, and compared in constant time.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from mcpgateway.policy.access import NOBODY, REMOTE, TOKEN, WRONG, CredentialHolder, PresentedCredential
from mcpgateway.policy.agent_tokens import AGENT, PREFIX, AgentToken, digest_of
from mcpgateway.policy.permissions import NOTHING, TokenScope
from mcpgateway.records import Record

_ADMIN, _BEARER = CredentialHolder(PresentedCredential.ADMIN), CredentialHolder(PresentedCredential.BEARER)
_OVER = CredentialHolder(PresentedCredential.OVER)
_OURS = PREFIX.encode()
KEY, PROJECT = "key", "project"
"""The prefixes of the principals of keys, and of tokens of projects."""
DIGEST_MARK = "sha256:"
"""The prefix of a digest that stands in the settings for a key."""


DASHBOARD = b"mcpgd_"
"""The prefix of the tokens of dashboards, which `mcpgateway.manage.dashboards` knows."""


def _no_clock() -> float:
    return 0.0


def _unheard(principals: frozenset[str]) -> None:
    """Ignore principals whose credentials have ended."""


def _no_dashboard(token: bytes) -> CredentialHolder:
    return WRONG


class TokenUse(msgspec.Struct, frozen=True, gc=False):
    """The latest request with an agent's token.

    :ivar at: seconds since the epoch.
    :ivar place: the address that it came from.
    """

    at: float
    place: str


class CredentialStore(Record):
    """Finds the holder of a credential.

    :ivar scopes: the scopes of principals, by their names; a principal without one has no limit.
    :ivar seconds: the time of day, in seconds since the epoch.
    :ivar gone: called with the principals whose credentials have ended.
    :ivar dashboards: returns the holder of a dashboard's token.
    :ivar uses: the latest use of each agent's token in this run, by the principal of its bearer.
    """

    _bearer: bytes
    _admin: bytes
    seconds: Callable[[], float] = _no_clock
    scopes: dict[str, TokenScope] = msgspec.field(default_factory=dict)
    gone: Callable[[frozenset[str]], None] = _unheard
    dashboards: Callable[[bytes], CredentialHolder] = _no_dashboard
    uses: dict[str, TokenUse] = msgspec.field(default_factory=dict)
    _keys: Mapping[bytes, CredentialHolder] = msgspec.field(default_factory=dict)
    _agents: Mapping[bytes, AgentToken] = msgspec.field(default_factory=dict)
    _next_end: float = math.inf

    @classmethod
    def of(cls, bearer: str, admin: str, **others: Any) -> CredentialStore:
        """Return a store with these two tokens."""
        return cls(digest_of(bearer.encode()), digest_of(admin.encode()), **others)

    def renew(self, *, bearer: str = "", admin: str = "") -> None:
        """Replace the gateway's tokens; the former ones are valid no more."""
        if bearer:
            self._bearer = digest_of(bearer.encode())
        if admin:
            self._admin = digest_of(admin.encode())
        # It is not recorded which of the two tokens admitted these sessions.
        self.gone(frozenset((TOKEN, REMOTE)))

    def admit_keys(self, keys: Iterable[str], projects: Mapping[str, str]) -> None:
        """Replace all keys.

        :param projects: the workspace of each token for a project.
        """
        holders = {_digest_in(each): _client(KEY, each) for each in keys}
        holders.update((_digest_in(each), _client(PROJECT, each, to)) for each, to in projects.items())
        before = {each.name for each in self._keys.values()}
        self._keys = holders
        self._tell_gone(before - {each.name for each in holders.values()})

    def admit_agents(self, tokens: Iterable[AgentToken]) -> None:
        """Accept these tokens of agents from now on, and no others."""
        self._agents = {bytes.fromhex(each.digest): each for each in tokens}
        self._look()

    def knows(self, principal: str) -> bool:
        """Return whether a principal has a valid credential: an agent's token, or a key of the settings."""
        now = self.seconds()
        agents = (each.principal for each in self._agents.values() if not each.is_over(now))
        return principal in agents or any(each.name == principal for each in self._keys.values())

    @property
    def agents(self) -> tuple[AgentToken, ...]:
        """The tokens of agents, expired ones included."""
        return tuple(self._agents.values())

    def used(self, principal: str, place: str) -> None:
        """Note that an agent's token was used from an address; other principals have none."""
        if principal.startswith(f"{AGENT} "):
            self.uses[principal] = TokenUse(self.seconds(), place)

    def tick(self) -> None:
        """Drop expired tokens; called once a second."""
        if self.seconds() >= self._next_end:
            self._look()

    def _look(self) -> None:
        now = self.seconds()
        good = {each.principal: each.scope for each in self._agents.values() if not each.is_over(now)}
        ends = (each.expires for each in self._agents.values() if each.expires > now)
        self._next_end = min(ends, default=math.inf)
        # Requests of a principal may still be under way when its token has expired.
        gone = {each for each, scope in self.scopes.items() if each not in good and not scope.is_void}
        self.scopes.update((principal, NOTHING) for principal in gone)
        self.scopes.update(good)
        self.uses = {principal: use for principal, use in self.uses.items() if principal in good}
        self._tell_gone(gone)

    def _tell_gone(self, principals: Iterable[str]) -> None:
        found = frozenset(principals)
        if found:
            self.gone(found)

    def judge(self, header: bytes | None, key: bytes | None = None) -> CredentialHolder:
        """Return the holder of the credential in ``Authorization`` (RFC 6750 section 2.1), or in ``X-API-Key``."""
        token = token_in(header) if header is not None else key
        if token is None:
            return WRONG if header is not None else NOBODY
        digest = digest_of(token)
        if hmac.compare_digest(digest, self._admin):
            return _ADMIN
        if hmac.compare_digest(digest, self._bearer):
            return _BEARER
        agent = self._agents.get(digest)
        if agent is not None and not agent.is_over(self.seconds()):
            return CredentialHolder(PresentedCredential.CLIENT, agent.principal, agent.scope)
        if token.startswith(DASHBOARD):
            return self.dashboards(token)
        return self._keys.get(digest) or (_OVER if token.startswith(_OURS) else WRONG)


def token_in(header: bytes) -> bytes | None:
    """Return the token of an ``Authorization`` header; None if it has none."""
    scheme, _, token = header.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _digest_in(key: str) -> bytes:
    if key.startswith(DIGEST_MARK):
        return bytes.fromhex(key.removeprefix(DIGEST_MARK))
    return digest_of(key.encode())


def _client(kind: str, key: str, project: str = "") -> CredentialHolder:
    # Named by a digest of its digest, so that the name does not reveal the digest.
    return CredentialHolder(
        PresentedCredential.CLIENT, f"{kind} {digest_of(_digest_in(key)).hex()[:16]}", project=project
    )
