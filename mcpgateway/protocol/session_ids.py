"""Signed session ids, which contain the properties of their sessions.

    octets   1        4      2     5       1          6        6           16        16
             format   node   key   issued  revision   server   principal   serial    signature

An id is those octets in base64url (76 characters, all of them visible ASCII; MCP 2025-11-25, basic/transports, "Session
Management").  The serial is random and makes an id impossible to guess; the signature, HMAC-SHA-256 cut to 128 bits
over everything before it, distinguishes an id of the gateway from a forged one, even when nothing else is known of its
session any more.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from attrs import define, field, frozen

from mcpgateway.protocol.versions import LEGACY

FORMAT = 1
SERIAL_BYTES = 16
NODE_BYTES = 4
LENGTH = 76  # characters
_SIGNED = 41  # octets before the signature
_SIGNATURE = 16


@frozen
class Issued:
    """The properties of a session in its id.

    :ivar serial: random octets, unique to the session.
    :ivar issued: the time of issue, in seconds since the epoch.
    :ivar version: the negotiated revision.
    :ivar node: the gateway that issued it.
    """

    serial: bytes = field(repr=False)
    issued: int
    version: str
    server: bytes
    principal: bytes
    node: bytes = b""

    def is_for(self, server: str, principal: str) -> bool:
        """True if the id was issued to this principal, for this server."""
        return self.server == _mark(server) and self.principal == _mark(principal)


@define(eq=False, repr=False)
class SessionIds:
    """The issuer and reader of the ids of a gateway, or of the nodes of a cluster.

    :ivar node: the gateway that issues an id, so that others can find it.
    :ivar former: former keys, whose ids stay valid.
    """

    _key: bytes = field(repr=False)
    node: bytes
    former: tuple[bytes, ...] = field(default=(), repr=False)
    _key_mark: bytes = field(init=False, repr=False)
    _keys: dict[bytes, bytes] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._key_mark = _key_mark(self._key)
        self._keys = {_key_mark(each): each for each in (*self.former, self._key)}

    def issue(self, serial: bytes, now: int, server: str, principal: str, version: str) -> bytes:
        """Return the id of a new session; ``serial`` is `SERIAL_BYTES` random octets."""
        head = bytes((FORMAT,)) + self.node + self._key_mark
        told = now.to_bytes(5, "big") + bytes((LEGACY.index(version),)) + _mark(server) + _mark(principal)
        signed = head + told + serial
        return urlsafe_b64encode(signed + _sign(self._key, signed))

    def read(self, identifier: bytes) -> Issued | None:
        """Return the properties in an id; None where it is not signed with this key."""
        if len(identifier) != LENGTH:
            return None
        try:
            octets = urlsafe_b64decode(identifier)
        except (binascii.Error, ValueError):
            return None
        signed, signature = octets[:_SIGNED], octets[_SIGNED:]
        key = self._keys.get(signed[5:7])
        if urlsafe_b64encode(octets) != identifier or signed[0] != FORMAT or key is None:
            return None
        if not hmac.compare_digest(signature, _sign(key, signed)) or signed[12] >= len(LEGACY):
            return None
        issued, version = int.from_bytes(signed[7:12], "big"), LEGACY[signed[12]]
        return Issued(signed[25:], issued, version, signed[13:19], signed[19:25], signed[1:5])


def _sign(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")[:_SIGNATURE]


def _key_mark(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:2]


def _mark(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:6]
