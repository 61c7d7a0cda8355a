"""Request states that name a call which waits for its client's answers (MCP 2026-07-28, "Multi Round-Trip Requests").

    octets   1        4      5         16       22
             format   node   expires   handle   signature

A state is those octets in base64url (64 characters).  It comes back from a client, so it is trusted as little as any
other parameter: the signature, HMAC-SHA-256 cut to 176 bits, is made over everything before it and over whose state it
is and of which call.  The latter are not in it; whoever brings a state has to name them anew.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from attrs import define, field

from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope
from mcpgateway.wire.translate import RETRIED

FORMAT = 1
HANDLE_BYTES = 16
LENGTH = 64  # characters
_SIGNED = 26  # octets before the signature
_SIGNATURE = 22
_PURPOSE = b"request state\0"  # nothing else that the same key signs begins so
_VARYING = RETRIED | {"_meta"}


@define
class RequestStates:
    """Makes and reads the states of one key.

    :ivar node: which gateway made a state, so that others can find it.
    """

    _key: bytes = field(repr=False)
    node: bytes

    def seal(
        self, handle: bytes, expires: int, principal: str, server: str, method: str, digest: bytes
    ) -> str:
        """The state of a call.

        :param handle: `HANDLE_BYTES` random octets.
        :param expires: from when on it is refused, in seconds since the epoch.
        :param digest: of the call's parameters, see `digest_of`.
        """
        signed = bytes((FORMAT,)) + self.node + expires.to_bytes(5, "big") + handle
        signature = self._sign(signed, _bound(principal, server, method, digest))
        return urlsafe_b64encode(signed + signature).decode()

    def open(
        self, state: str, now: int, principal: str, server: str, method: str, digest: bytes
    ) -> bytes | None:
        """The handle in a state, or None when it is none of this key's, altered, expired or of another call."""
        if len(state) != LENGTH or not state.isascii():
            return None
        try:
            octets = urlsafe_b64decode(state)
        except (binascii.Error, ValueError):
            return None
        signed, signature = octets[:_SIGNED], octets[_SIGNED:]
        if urlsafe_b64encode(octets).decode() != state or signed[0] != FORMAT:
            return None
        if not hmac.compare_digest(signature, self._sign(signed, _bound(principal, server, method, digest))):
            return None
        return signed[10:] if now < int.from_bytes(signed[5:10], "big") else None

    def _sign(self, signed: bytes, bound: bytes) -> bytes:
        return hmac.digest(self._key, _PURPOSE + signed + bound, "sha256")[:_SIGNATURE]


def _bound(principal: str, server: str, method: str, digest: bytes) -> bytes:
    # Each by its own hash, so that no end of one can pass for the beginning of the next.
    named = [each.encode(errors="surrogatepass") for each in (principal, server, method)]
    return b"".join(hashlib.sha256(each).digest() for each in (*named, digest))


def digest_of(params: Envelope) -> bytes:
    """SHA-256 of the parameters that make a call the same call, in whatever order they come."""
    lasting = {name: params[name] for name in sorted(params) if name not in _VARYING}
    return hashlib.sha256(jsonrpc.encode(lasting)).digest()
