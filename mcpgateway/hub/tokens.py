"""The two tokens of a gateway, and what an ``Authorization`` header is worth."""

from __future__ import annotations

import hashlib
import hmac

from attrs import define, field

from mcpgateway.rules.access import Credential


@define
class Tokens:
    """Judges bearer tokens; keeps only their digests, so neither can leak from here."""

    _bearer: bytes = field(repr=False)
    _admin: bytes = field(repr=False)

    @classmethod
    def of(cls, bearer: str, admin: str) -> Tokens:
        """The judge of these two tokens."""
        return cls(_digest(bearer.encode()), _digest(admin.encode()))

    def judge(self, header: bytes | None) -> Credential:
        """What the header proves; compared in constant time (RFC 6750 section 2.1 for its form)."""
        if header is None:
            return Credential.NONE
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer":
            return Credential.WRONG
        digest = _digest(token.strip())
        if hmac.compare_digest(digest, self._admin):
            return Credential.ADMIN
        return Credential.BEARER if hmac.compare_digest(digest, self._bearer) else Credential.WRONG


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
