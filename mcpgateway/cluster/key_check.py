"""The check that all nodes have one key: the store has a digest of it, from which nobody gets the key.

A node whose key is another one would refuse the ids of all others, and read nothing that they have sealed; it does not
join.  After a rotation the newest key of the node that has started last counts, as long as other nodes read it.
"""

from __future__ import annotations

from typing import Any

from mcpgateway.cluster.node import ClusterKeys
from mcpgateway.errors import ConfigError

PURPOSE = "check of the key"
_FIND = "SELECT value FROM marks WHERE name = 'key' FOR UPDATE"
_FIRST = "INSERT INTO marks VALUES ('key', %s) ON CONFLICT DO NOTHING"
_KEEP = "UPDATE marks SET value = %s WHERE name = 'key'"


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
    cursor.execute(_FIRST, (checks[0],))
    cursor.execute(_FIND)
    (found,) = cursor.fetchone()
    if found not in checks:
        raise refusal()
    if found != checks[0]:
        cursor.execute(_KEEP, (checks[0],))
