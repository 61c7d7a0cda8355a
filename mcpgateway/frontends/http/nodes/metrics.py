"""The numbers of a node for Prometheus; the other nodes tell their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mcpgateway.cluster.membership import DRAINING, SERVING
from mcpgateway.cluster.node import ClusterNode
from mcpgateway.frontends.http.metrics import COUNTER, GAUGE, MetricFamily, told

NODES = MetricFamily(
    "mcpgateway_cluster_nodes", GAUGE, "Live nodes of the cluster; state: serving, draining.", ("state",)
)
MEMBER = MetricFamily(
    "mcpgateway_cluster_member", GAUGE, "1 if this node counts as alive for the others, 0 if it is cut off."
)
STORE = MetricFamily("mcpgateway_cluster_store_up", GAUGE, "1 if this node reaches the store, 0 if not.")
OWED = MetricFamily(
    "mcpgateway_cluster_sessions_owed", GAUGE, "Sessions whose latest change is not in the store yet."
)
PASSED = MetricFamily(
    "mcpgateway_cluster_requests_passed_total",
    COUNTER,
    "Requests that this node has passed on to another one.",
)
DOCUMENTS = MetricFamily(
    "mcpgateway_cluster_documents_number",
    GAUGE,
    "The number of the latest document that this node has read; equal on all nodes, but for a moment.",
)
CLUSTER_FAMILIES = (NODES, MEMBER, STORE, OWED, PASSED, DOCUMENTS)


def node_lines(node: ClusterNode) -> Iterator[str]:
    """Yield the lines of a node."""
    membership = node.membership
    states = Counter(each.state for each in membership.live())
    yield from told(NODES, ((f'{{state="{state}"}}', states[state]) for state in (SERVING, DRAINING)))
    for family, number in (
        (MEMBER, int(membership.is_member)),
        (STORE, int(node.store.is_up)),
        (OWED, node.sessions.owed if node.sessions is not None else 0),
        (PASSED, node.passed()),
        (DOCUMENTS, node.documents.number),
    ):
        yield from told(family, [("", number)])
