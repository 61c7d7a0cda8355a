"""The accounts at remote servers of nodes of a cluster, in the process of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.task import deferLater

from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.documents import Documents
from mcpgateway.cluster.leases import Leases
from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.sealing import Sealing
from mcpgateway.cluster.store import Store
from mcpgateway.manage.shared.grants import SharedGrants
from mcpgateway.system.oauth_tokens import OAuthTokenFiles


@define
class GrantNode:
    """The accounts of one node, in this process.

    :ivar changed: predicates of the keys that another node has written.
    """

    store: Store
    documents: Documents
    grants: SharedGrants
    changed: list[Any] = field(factory=list)

    @classmethod
    def of(cls, dsn: str, home: Path) -> GrantNode:
        """Return a node with this home."""
        home.mkdir(exist_ok=True)
        store = Store(dsn, reactor)
        members = Membership.named(store, home.name, "127.0.0.1:9101", ())
        files = DocumentFiles(str(home), reactor.seconds)  # type: ignore[attr-defined]
        documents = Documents(store, members, Sealing((bytes(32),)), files)
        leases = Leases(store, members, reactor, 30.0)
        made = cls(store, documents, SharedGrants(documents, leases, OAuthTokenFiles(str(home)), reactor))
        made.grants.on_change = made.changed.append
        store.listen(documents.heard)
        return made

    def tick(self) -> None:
        """Do the work of one second."""
        self.documents.tick()
        self.grants.tick()


@pytest_twisted.inlineCallbacks
def until(holds: Any) -> Any:
    """Wait until something holds."""
    for _ in range(600):
        if holds():
            return
        yield deferLater(reactor, 0.05)
    raise AssertionError("never")
