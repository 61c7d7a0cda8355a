"""Documents that a node writes a moment after they count at this node, since no request waits for the store."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.bounded import Bounded
from mcpgateway.cluster.documents import ClusterDocument, DocumentChange, Documents
from mcpgateway.errors import StoreLost
from mcpgateway.waiting import Waiting

OWED_LIMIT = 10_000
BATCH = 100


class WrittenBehind:
    """The changes of documents of one kind that the store does not have yet; the latest of a document counts.

    While the store is gone they wait, and the oldest of `OWED_LIMIT` are given up.
    """

    log = Logger()

    def __init__(self, documents: Documents, kind: str) -> None:
        self._documents = documents
        self._kind = kind
        self._owed: Bounded[str, bytes | None] = Bounded(OWED_LIMIT)
        self._is_writing = False
        self._written: Waiting[None] = Waiting()

    def __contains__(self, name: str) -> bool:
        return name in self._owed

    def over(self, documents: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return documents, by name, as they are with the changes that are owed."""
        found: dict[str, bytes | None] = {**documents, **self._owed}
        return {name: body for name, body in found.items() if body is not None}

    def put(self, name: str, body: bytes | None) -> None:
        """Write a document, or remove it, soon."""
        self._owed[name] = body
        self.flush()

    def settled(self) -> Deferred[None]:
        """Fire when the store has all changes."""
        return self._written.wait() if self._owed else succeed(None)

    def flush(self) -> None:
        """Write what is owed; called once a second, too."""
        if self._is_writing or not self._owed:
            return
        self._is_writing = True
        owed = {name: self._owed[name] for name in list(self._owed)[:BATCH]}

        def written(_: list[ClusterDocument]) -> None:
            for name, body in owed.items():
                if name in self._owed and self._owed[name] is body:
                    del self._owed[name]
            self._is_writing = False
            if self._owed:
                self.flush()
            else:
                self._written.over(None)

        def failed(why: Failure) -> None:
            self._is_writing = False
            if why.check(StoreLost) is None:
                self.log.failure("documents could not be written", why, event="cluster.not_written")

        changes = [DocumentChange(self._kind, name, body) for name, body in owed.items()]
        self._documents.write(*changes).addCallbacks(written, failed)

    def close(self) -> Deferred[None]:
        """End the waits."""
        self._written.over(None)
        return succeed(None)
