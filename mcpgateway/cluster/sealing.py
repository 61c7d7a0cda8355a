"""Sealing of what a cluster keeps in its store, so that a copy of the store reveals and forges nothing.

A sealed body is the octet 1, a nonce of 12 octets, and AES-256-GCM's ciphertext with its tag (NIST SP 800-38D).  The
kind and the name of the document are authenticated with it: a body is of no use in the place of another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mcpgateway.errors import ConfigError

FORMAT = b"\x01"
NONCE_BYTES = 12


class Unsealable(ConfigError):
    """A body was sealed by a key that this node does not have, or was changed."""

    remedy = (
        "give all nodes the same key of the cluster; a former key stays in its file until all is sealed anew"
    )


class Sealing:
    """Seals and opens bodies.

    :param keys: keys of 32 octets; the newest is the first, and seals; all of them open.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # only nodes of a cluster need it

        self._ciphers: tuple[Any, ...] = tuple(AESGCM(each) for each in keys)

    def seal(self, kind: str, name: str, body: bytes) -> bytes:
        """Return a body sealed by the newest key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed: bytes = self._ciphers[0].encrypt(nonce, body, _bound(kind, name))
        return FORMAT + nonce + sealed

    def open(self, kind: str, name: str, sealed: bytes) -> tuple[bytes, bool]:
        """Return a body, and whether the newest key has sealed it.

        :raise Unsealable: no key fits, or the body is another document's.
        """
        from cryptography.exceptions import InvalidTag

        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] == FORMAT and len(nonce) == NONCE_BYTES:
            for each in self._ciphers:
                try:
                    return each.decrypt(nonce, rest, _bound(kind, name)), each is self._ciphers[0]
                except InvalidTag:
                    continue
        raise Unsealable(
            f"the document {name} ({kind}) of the cluster cannot be opened with the keys of this node"
        )


def _bound(kind: str, name: str) -> bytes:
    return b"".join(len(each).to_bytes(4) + each for each in (kind.encode(), name.encode()))
