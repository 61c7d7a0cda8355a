"""The signing keys of a gateway, derived from the key in its home, or from the key of its cluster."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mcpgateway.protocol.session_ids import NODE_BYTES, SessionIds
from mcpgateway.records import FrozenRecord

if TYPE_CHECKING:
    from mcpgateway.protocol.request_states import RequestStates


class Keys(FrozenRecord, frozen=True):
    """The signing keys.

    :ivar former: former keys of a cluster, whose ids and states stay valid.
    :ivar named: the node in ids; empty: the key names the gateway, which has it alone.
    """

    _key: str
    former: tuple[str, ...] = ()
    named: bytes = b""

    def session_ids(self) -> SessionIds:
        """Return the maker of session ids."""
        return SessionIds(self._key.encode(), self.node, tuple(each.encode() for each in self.former))

    def request_states(self) -> RequestStates:
        """Return the maker of request states, with keys of its own."""
        from mcpgateway.protocol.request_states import RequestStates  # only the bridge needs it

        return RequestStates(
            _of_states(self._key), self.node, tuple(_of_states(each) for each in self.former)
        )

    def tag_key(self) -> bytes:
        """Return the key of entity tags, so that they reveal nothing of an entry."""
        return hashlib.sha256(b"entry tags " + self._key.encode()).digest()

    @property
    def node(self) -> bytes:
        """The octets of the gateway in ids."""
        return self.named or hashlib.sha256(b"node " + self._key.encode()).digest()[:NODE_BYTES]


def _of_states(key: str) -> bytes:
    return hashlib.sha256(b"request states " + key.encode()).digest()
