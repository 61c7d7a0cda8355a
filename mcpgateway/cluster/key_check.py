"""The check that all nodes have one key: the store has a digest of it, from which nobody gets the key.

A node whose key is another one would refuse the ids of all others, and read nothing that they have sealed; it does not
join.  After a rotation the newest key of the node that has started last counts, as long as other nodes read it.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.node import ClusterKeys, ClusterNode
from mcpgateway.cluster.part import NodePart
from mcpgateway.errors import ConfigError, StoreLost

MARK = "key"
PURPOSE = "check of the key"
_FIND = "SELECT value FROM marks WHERE name = 'key' FOR UPDATE"
_KEEP = """
    INSERT INTO marks VALUES ('key', %s)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""


def checks_of(keys: ClusterKeys) -> list[int]:
    """Return the numbers that the store may have for these keys, that of the newest first."""
    return [int.from_bytes(each[:8], "big") >> 1 for each in keys.all_derived(PURPOSE)]


def refusal() -> ConfigError:
    """Return the error for a node that has another key than the cluster."""
    return ConfigError(
        "the key of this node is not the key of the cluster", "copy the key file of another node to this one"
    )


def agree(cursor: Any, keys: ClusterKeys) -> None:
    """Compare the keys of a node with the key of the cluster, which the first node decides.

    :raise ConfigError: the node has another key than the cluster.
    """
    checks = checks_of(keys)
    cursor.execute(_FIND)
    found = cursor.fetchone()
    if found is not None and found[0] not in checks:
        raise refusal()
    if found is None or found[0] != checks[0]:
        cursor.execute(_KEEP, (checks[0],))


class KeyCheck(NodePart):
    """Checks the key of this node once, as soon as the store answers; a node with another key does not count."""

    log = Logger()

    def __init__(self, node: ClusterNode) -> None:
        self._node = node
        self._is_known = False
        self._is_asking = False
        self._refused = ""

    def unready(self) -> str:
        """Return why the node is not ready: refused, out of the cluster, or without anything read of the store."""
        node = self._node
        if self._refused or node.membership.is_usurped:
            return self._refused or "name taken"
        shares = node.settings.config == "store" and not node.documents.is_read and not node.documents.number
        return "joining" if shares else ""

    def begin(self) -> None:
        """Ask the store."""
        self.tick()

    def tick(self) -> None:
        """Ask the store until it has answered; called once a second."""
        if self._is_known or self._is_asking:
            return
        self._is_asking = True
        keys = self._node.keys
        self._node.store.run(lambda cursor: agree(cursor, keys)).addCallbacks(self._agreed, self._failed)

    def _agreed(self, _: None) -> None:
        self._is_known, self._is_asking = True, False

    def _failed(self, why: Failure) -> None:
        self._is_asking = False
        if why.check(StoreLost) is not None:
            return
        self._is_known, self._refused = True, "refused"
        error = why.value
        if not isinstance(error, ConfigError):
            self.log.failure("the key of the cluster could not be checked", why, event="cluster.key_broken")
            return
        self._node.membership.is_usurped = True
        self.log.critical(
            "this gateway does not join the cluster: {why}; {advice}",
            event="cluster.key_refused",
            why=error.message,
            advice=error.advice,
        )
