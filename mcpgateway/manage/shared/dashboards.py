"""The dashboards that are signed in as documents of the cluster: one that signs in at a node is signed in at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec
from twisted.internet.defer import Deferred

from mcpgateway.cluster.documents import ClusterDocument, Documents
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.written_behind import WrittenBehind
from mcpgateway.manage.dashboards import DashboardSession

KIND = "dashboard"


class SharedDashboards(NodePart):
    """The sessions of the dashboards of a cluster, each a document (`mcpgateway.manage.dashboards.DashboardStore`).

    A sign-in and a sign-out count at their node at once, and at the others as soon as the store answers.

    :ivar on_change: called with all sessions when another node has changed some.
    """

    def __init__(self, documents: Documents) -> None:
        self.on_change: Callable[[Collection[DashboardSession]], object] = bool
        self._documents = documents
        self._behind = WrittenBehind(documents, KIND)
        documents.subscribe(KIND, self._changed)

    def read(self) -> list[DashboardSession]:
        """Return the sessions, those of this node that the store does not have yet among them."""
        return [_session(body) for body in self._bodies().values()]

    def write(self, sessions: Collection[DashboardSession]) -> None:
        """Store these sessions in place of all former ones."""
        former = self._bodies()
        latter = {each.id: msgspec.json.encode(each) for each in sessions}
        for name in former.keys() - latter.keys():
            self._behind.put(name, None)
        for name, body in latter.items():
            if former.get(name) != body:
                self._behind.put(name, body)

    def _bodies(self) -> dict[str, bytes]:
        return self._behind.over({each.name: each.body for each in self._documents.all(KIND)})

    def _changed(self, documents: Sequence[ClusterDocument]) -> None:
        self.on_change(self.read())

    # The part of a node

    def tick(self) -> None:
        """Write what the store does not have yet."""
        self._behind.flush()

    def close(self) -> Deferred[None]:
        """End; the sessions stay."""
        return self._behind.close()


def _session(body: bytes) -> DashboardSession:
    return msgspec.json.decode(body, type=DashboardSession)
