"""The credential by which a node knows a request of another node: an HMAC of the cluster's key.

    Mcpgateway-Node: FROM TO MINUTE SIGNATURE

The signature is over the two names and the minute since the epoch, so that a credential is of no use at another node,
nor later.  It says who passes a request on; the client's own credential is judged at both nodes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from attrs import field, frozen

from mcpgateway.cluster.node import ClusterKeys

PURPOSE = "node credential"
SKEW_MINUTES = 2
LENGTH_LIMIT = 400


@frozen
class NodeCredentials:
    """The maker and the judge of credentials at one node.

    :ivar me: the name of the node.
    :ivar wall: returns the time in seconds since the epoch.
    """

    _keys: tuple[bytes, ...] = field(repr=False)
    me: str
    wall: Callable[[], float]

    @classmethod
    def of(cls, keys: ClusterKeys, me: str, wall: Callable[[], float]) -> NodeCredentials:
        """Return the credentials of the keys of a cluster."""
        return cls(keys.all_derived(PURPOSE), me, wall)

    def issue(self, to: str) -> str:
        """Return the credential of this node at another one."""
        said = f"{self.me} {to} {int(self.wall() // 60)}"
        return f"{said} {_signature(self._keys[0], said)}"

    def judge(self, shown: bytes, age_s: float = 0.0) -> str:
        """Return the name of the node that shows a credential; empty if it is not valid here and now.

        :param age_s: the seconds since the credential has come.
        """
        if len(shown) > LENGTH_LIMIT or not shown.isascii():
            return ""
        said, _, signature = shown.decode().rpartition(" ")
        words = said.split(" ")
        if len(words) != 3 or words[1] != self.me or not words[2].isdigit():
            return ""
        if not any(hmac.compare_digest(signature, _signature(key, said)) for key in self._keys):
            return ""
        return words[0] if abs(int((self.wall() - age_s) // 60) - int(words[2])) <= SKEW_MINUTES else ""


def _signature(key: bytes, said: str) -> str:
    return hmac.digest(key, said.encode(), hashlib.sha256).hex()
