"""Request states that clients hold while they answer questions (MCP 2026-07-28, "Multi Round-Trip Requests").

    octets   1        4      5         16       22
             format   node   expires   handle   signature                  names a call which waits for the answers
             format   node   issued    nonce    signature   a state        carries the state of a server's own

A state is those octets in base64url (64 characters, and those of a server's own).  A client returns it, so it is
trusted as little as any other parameter: the signature, HMAC-SHA-256 cut to 176 bits, is made over everything else in
it and over its principal, server and call.  The latter are not in it; the request that returns a state has to have the
same ones.  A server's own state is held by the client, and is no secret to it.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from attrs import define, field, frozen
from msgspec import Raw

from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.protocol.translate import RETRIED

FORMAT = 1  # the state names a call
CARRIES = 2  # the state carries a server's own
HANDLE_BYTES = 16
LENGTH = 64  # characters
_SIGNED = 26  # octets before the signature
_SIGNATURE = 22
_PURPOSE = b"request state\0"  # begins nothing else that the same key signs
_VARYING = RETRIED | {"_meta"}


@frozen
class Carried:
    """The content of a state that carries one of a server's own.

    :ivar nonce: `HANDLE_BYTES` octets that no other state has.
    :ivar issued: the time of issue, in seconds since the epoch.
    :ivar state: the server's own state, as JSON, byte for byte.
    """

    nonce: bytes
    issued: int
    state: Raw = field(repr=False)


@define
class RequestStates:
    """The maker and reader of the states of one key.

    :ivar node: the gateway that makes a state, so that others can find it.
    :ivar former: former keys, whose states stay valid.
    """

    _key: bytes = field(repr=False)
    node: bytes
    former: tuple[bytes, ...] = field(default=(), repr=False)

    def seal(
        self, handle: bytes, expires: int, principal: str, server: str, method: str, digest: bytes
    ) -> str:
        """Return the state of a call.

        :param handle: `HANDLE_BYTES` random octets.
        :param expires: the time of its expiry, in seconds since the epoch.
        :param digest: the digest of the call's parameters, see `digest_of`.
        """
        signed = bytes((FORMAT,)) + self.node + expires.to_bytes(5, "big") + handle
        signature = _sign(self._key, signed, _bound(principal, server, method, digest))
        return urlsafe_b64encode(signed + signature).decode()

    def open(
        self, state: str, now: int, principal: str, server: str, method: str, digest: bytes
    ) -> bytes | None:
        """Return the handle in a state; None for a wrong signature, an expired state, and one of another call."""
        octets = _octets(state) if len(state) == LENGTH else None
        if octets is None or octets[0] != FORMAT:
            return None
        signed, signature = octets[:_SIGNED], octets[_SIGNED:]
        if not self._has_signed(signature, signed, _bound(principal, server, method, digest)):
            return None
        return signed[10:] if now < int.from_bytes(signed[5:10], "big") else None

    def wrap(self, carried: Carried, principal: str, server: str, method: str, digest: bytes) -> str:
        """Return the state for a client that carries a server's own.

        :param digest: the digest of the call's parameters, see `digest_of`.
        """
        signed = bytes((CARRIES,)) + self.node + carried.issued.to_bytes(5, "big") + carried.nonce
        state = bytes(carried.state)
        signature = _sign(self._key, signed + state, _bound(principal, server, method, digest))
        return urlsafe_b64encode(signed + signature + state).decode()

    def unwrap(self, state: str, principal: str, server: str, method: str, digest: bytes) -> Carried | None:
        """Return the content of a state; None when it is of another key, altered, or of another call."""
        octets = _octets(state)
        if octets is None or len(octets) <= _SIGNED + _SIGNATURE or octets[0] != CARRIES:
            return None
        head, carried = octets[:_SIGNED], octets[_SIGNED + _SIGNATURE :]
        signature = octets[_SIGNED : _SIGNED + _SIGNATURE]
        bound = _bound(principal, server, method, digest)
        if not self._has_signed(signature, head + carried, bound):
            return None
        return Carried(head[10:], int.from_bytes(head[5:10], "big"), Raw(carried))

    def _has_signed(self, signature: bytes, signed: bytes, bound: bytes) -> bool:
        return any(
            hmac.compare_digest(signature, _sign(each, signed, bound)) for each in (self._key, *self.former)
        )


def node_of(state: str) -> bytes:
    """Return the node that has made a state, before its signature is checked; empty for any other text."""
    try:
        head = urlsafe_b64decode(state[:8])
    except ValueError:
        return b""
    return head[1:5] if len(state) >= LENGTH and head and head[0] in (FORMAT, CARRIES) else b""


def _sign(key: bytes, signed: bytes, bound: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + signed + bound, "sha256")[:_SIGNATURE]


def _octets(state: str) -> bytes | None:
    # Of all encodings of the same octets only the canonical one is accepted.
    if not state.isascii():
        return None
    try:
        octets = urlsafe_b64decode(state)
    except (binascii.Error, ValueError):
        return None
    return octets if octets and urlsafe_b64encode(octets).decode() == state else None


def _bound(principal: str, server: str, method: str, digest: bytes) -> bytes:
    # Each by its own hash, so that no end of one can pass for the beginning of the next.
    named = [each.encode(errors="surrogatepass") for each in (principal, server, method)]
    return b"".join(hashlib.sha256(each).digest() for each in (*named, digest))


def digest_of(params: Envelope) -> bytes:
    """Return the SHA-256 of the parameters that identify a call, in any order."""
    lasting = {name: params[name] for name in sorted(params) if name not in _VARYING}
    return hashlib.sha256(jsonrpc.encode(lasting)).digest()
