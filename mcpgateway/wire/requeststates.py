"""Request states that are sealed: handles that nobody else can make, use twice, or use for something else.

    octets   1        4      5         16       16
             format   node   expires   handle   signature

A state is those octets in base64url.  The signature, HMAC-SHA-256 cut to 128 bits, covers them and what they were
issued for: principal, server, method and arguments (MCP 2026-07-28, basic, on ``requestState``: it comes back through
the client's hands, and may come back changed).  A handle is random; that it is used once is its keeper's business.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from attrs import define, field

from mcpgateway.wire import jsonrpc
from mcpgateway.wire.jsonrpc import Envelope

FORMAT = 1
HANDLE_BYTES = 16
LENGTH = 56  # characters
_SIGNED = 26  # octets before the signature
_SIGNATURE = 16
_NOT_ARGUMENTS = frozenset(("_meta", "inputResponses", "requestState"))


@define
class RequestStates:
    """Seals and opens the states of one key.

    :ivar node: which gateway issued a state, so that others can find it.
    """

    _key: bytes = field(repr=False)
    node: bytes

    def seal(
        self, handle: bytes, expires: int, principal: str, server: str, method: str, digest: bytes
    ) -> str:
        """The state that stands for a handle of `HANDLE_BYTES` random octets.

        :param expires: until when it is good, in seconds since the epoch.
        :param digest: of the arguments (`digest_of`).
        """
        signed = bytes((FORMAT,)) + self.node + expires.to_bytes(5, "big") + handle
        return urlsafe_b64encode(signed + self._sign(signed, (principal, server, method), digest)).decode()

    def open(
        self, state: str, now: int, principal: str, server: str, method: str, digest: bytes
    ) -> bytes | None:
        """The handle; None if the state is not one of this key's, has expired, or was issued for something else."""
        if len(state) != LENGTH or not state.isascii():
            return None
        try:
            octets = urlsafe_b64decode(state)
        except (binascii.Error, ValueError):
            return None
        signed, signature = octets[:_SIGNED], octets[_SIGNED:]
        if urlsafe_b64encode(octets).decode() != state or signed[0] != FORMAT:
            return None
        if not hmac.compare_digest(signature, self._sign(signed, (principal, server, method), digest)):
            return None
        return signed[10:] if now <= int.from_bytes(signed[5:10], "big") else None

    def _sign(self, signed: bytes, names: tuple[str, ...], digest: bytes) -> bytes:
        told = b"".join(hashlib.sha256(name.encode(errors="surrogatepass")).digest() for name in names)
        return hmac.digest(self._key, signed + told + digest, "sha256")[:_SIGNATURE]


def digest_of(params: Envelope) -> bytes:
    """SHA-256 of the parameters that make a request the same request."""
    told = {name: params[name] for name in sorted(params) if name not in _NOT_ARGUMENTS}
    return hashlib.sha256(jsonrpc.encode(told)).digest()
