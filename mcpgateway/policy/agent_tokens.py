"""The tokens of agents, and the file with their digests, which never holds the tokens themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from attrs import asdict, field, frozen

from mcpgateway.errors import ConfigError
from mcpgateway.policy.permissions import DESTRUCTIVE, TokenScope, fault_of

FORMAT = 1
FILE_LIMIT = 4 * 1024 * 1024  # bytes
TOKENS_LIMIT = 1000
NAME_LIMIT = 64  # characters
PREFIX = "mcpg_"
"""The prefix of every agent's token, by which one that has ended is recognised."""

AGENT = "agent"
"""The prefix of the principals of such tokens."""

_DIGEST_CHARACTERS = 64
_HEX = frozenset("0123456789abcdef")


@frozen
class AgentToken:
    """One token: its name, scope and expiry.

    :ivar id: its name for people and programs; never used again.
    :ivar digest: SHA-256 of the token, in hexadecimal digits.
    :ivar created: seconds since the epoch.
    :ivar expires: seconds since the epoch; 0: never.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    created: float
    expires: float = 0.0
    servers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    read_only: bool = False
    tier: str = ""

    @property
    def scope(self) -> TokenScope:
        """The permissions of the token."""
        return TokenScope(self.servers, self.tools, self.read_only, tier=self.tier)

    @property
    def principal(self) -> str:
        """The principal of its bearer."""
        return f"{AGENT} {self.id}"

    def is_over(self, now: float) -> bool:
        """True if the token has expired."""
        return 0 < self.expires <= now

    def shown(self, now: float) -> dict[str, Any]:
        """Return the token's public properties."""
        return {
            "id": self.id,
            "name": self.name,
            "servers": list(self.servers),
            "tools": list(self.tools),
            "read_only": self.read_only,
            "tier": self.scope.highest_tier or DESTRUCTIVE,
            "created": self.created,
            "expires": self.expires or None,
            "expired": self.is_over(now),
        }


class _Kept(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    # A member that is missing or unknown may be a limit: both are errors.
    id: str
    name: str
    digest: str
    created: float
    expires: float
    servers: tuple[str, ...]
    tools: tuple[str, ...]
    read_only: bool
    tier: Literal["", "read", "write"] = ""


class _Book(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    tokens: tuple[_Kept, ...]


def digest_of(token: bytes) -> bytes:
    """Return the stored form of a token."""
    return hashlib.sha256(token).digest()


def written(tokens: Iterable[AgentToken]) -> bytes:
    """Return the content of the file that keeps these tokens."""
    stored = tuple(_Kept(**asdict(each)) for each in tokens)
    return msgspec.json.format(msgspec.json.encode(_Book(FORMAT, stored))) + b"\n"


def read(data: bytes, path: str) -> tuple[AgentToken, ...]:
    """Return the tokens that a file keeps.

    :raise ConfigError: the file is malformed or incomplete; without it no token is valid.
    """
    try:
        book = msgspec.json.decode(data, type=_Book)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ConfigError(_broken(path, "it cannot be read")) from None
    if book.format != FORMAT:
        raise ConfigError(_broken(path, "it was written by another version"))
    tokens = tuple(AgentToken(**msgspec.structs.asdict(each)) for each in book.tokens)
    fault = next((found for each in tokens if (found := _fault(each))), "")
    if not fault and len({each.id for each in tokens}) < len(tokens):
        fault = "two tokens have one id"
    if fault:
        raise ConfigError(_broken(path, fault))
    return tokens


def check_name(name: str) -> str:
    """Return the mistake in the name of a token; empty for a good one."""
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable() or name != name.strip():
        return f"a name has 1 to {NAME_LIMIT} characters, and none at its ends that cannot be seen"
    return ""


def _fault(token: AgentToken) -> str:
    if not token.id or len(token.digest) != _DIGEST_CHARACTERS or not _HEX.issuperset(token.digest):
        return "a token has no digest or no id"
    if token.expires < 0 or token.created < 0:
        return "a token has no time"
    return check_name(token.name) or fault_of((*token.servers, *token.tools))


def _broken(path: str, why: str) -> str:
    return f"{path}: {why}; put it right, or remove it, with which every agent's token is revoked"
