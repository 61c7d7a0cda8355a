"""The accounts at remote servers as documents of the cluster: a sign-in at one node counts at all.

The files of the home are what a node reads, and programs beside it; they follow the documents.  What a node writes is
in its files at once, and in the store as soon as that answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mcpgateway.cluster.documents import ClusterDocument, Documents
from mcpgateway.cluster.leases import Lease, Leases
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.written_behind import WrittenBehind
from mcpgateway.errors import BackendError, StoreLost
from mcpgateway.system.oauth_tokens import OAuthTokenFiles, name_of

KIND = "grant"
TRIES, PAUSE_S = 40, 0.25  # until another node has renewed a token


class SharedGrants(NodePart):
    """The stored accounts of a node of a cluster (`mcpgateway.interfaces.IGrants`).

    :ivar on_change: called with a predicate of the keys that another node has written.
    :param leases: each renewal takes one, since a refresh token that is used twice may end the grant.
    """

    def __init__(self, documents: Documents, leases: Leases, files: OAuthTokenFiles, clock: Any) -> None:
        self.on_change: Callable[[Callable[[str], bool]], object] = bool
        self._documents = documents
        self._leases = leases
        self._files = files
        self._clock = clock
        self._behind = WrittenBehind(documents, KIND)
        self._has_read = False
        documents.subscribe(KIND, self._changed)

    # Grants

    def read(self, key: str) -> dict[str, Any]:
        """Return the value of a key; an empty dict without one."""
        return self._files.read(key)

    def every(self) -> Iterator[dict[str, Any]]:
        """Iterate over all stored values."""
        return self._files.every()

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Store the value of a key."""
        self._files.write(key, value)
        self._owe(name_of(key), value)

    def erase(self, key: str) -> None:
        """Delete the value of a key."""
        self._files.erase(key)
        self._owe(name_of(key), None)

    def turn(self, key: str) -> Deferred[Callable[[], object]]:
        """Take the turn to renew a grant; fires with the function that ends the turn.

        :raise BackendError: (through the Deferred) another node has the turn, or the store does not tell.
        """
        return Deferred.fromCoroutine(self._turn(key))

    async def _turn(self, key: str) -> Callable[[], object]:
        for _ in range(TRIES):
            try:
                lease = await self._leases.want(f"grant:{name_of(key)}")
            except StoreLost as why:
                raise BackendError(
                    "its token is not renewed while the store of the cluster is gone", StoreLost.remedy
                ) from why
            if isinstance(lease, Lease):
                await self._documents.settled()  # what the former holder has written
                return lambda: self._end(lease)
            await deferLater(self._clock, PAUSE_S)
        raise BackendError("another node of the cluster renews its token", "try again in a moment")

    def _end(self, lease: Lease) -> None:
        self._behind.settled().addCallback(lambda _: self._leases.release(lease))

    # The part of a node

    def tick(self) -> None:
        """Write what the store does not have yet."""
        if self._documents.is_read and not self._has_read:
            self._has_read = True
            self._bring()
        self._behind.flush()

    def close(self) -> Deferred[None]:
        """End; the files stay."""
        return self._behind.close()

    def _bring(self) -> None:
        """Give the grants of the time before the cluster to all nodes."""
        for name, value in self._files.named().items():
            if (
                value
                and self._documents.get(KIND, name) is None
                and not self._documents.is_closed(KIND, name)
            ):
                self._owe(name, value)
        for each in self._documents.all(KIND):
            if each.name not in self._behind:
                self._follow(each)

    def _owe(self, name: str, value: dict[str, Any] | None) -> None:
        self._behind.put(name, None if value is None else json.dumps(value).encode())

    def _changed(self, documents: Sequence[ClusterDocument]) -> None:
        names = {each.name for each in documents if each.name not in self._behind}
        if not self._documents.all(KIND) and any(not each.number for each in documents):
            self._has_read = False  # the store is another one, without any: it gets those of the nodes
            return
        for each in documents:
            if each.name in names:
                self._follow(each)
        self.on_change(lambda key: name_of(key) in names)

    def _follow(self, document: ClusterDocument) -> None:
        if document.is_gone:
            self._files.erase_named(document.name)
            return
        try:
            value = json.loads(document.body)
        except ValueError:
            value = None
        if isinstance(value, dict):
            self._files.write_named(document.name, value)
