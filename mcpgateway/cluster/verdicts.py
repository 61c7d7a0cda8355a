"""What nodes have found out about servers, such as whether clients can share one: found out once for the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from mcpgateway.cluster.documents import ClusterDocument, Documents
from mcpgateway.cluster.part import NodePart
from mcpgateway.cluster.written_behind import WrittenBehind

KIND = "verdict"
LIFE_S = 7 * 24 * 3600  # of a verdict, as in the journal
REMOVED = 20  # verdicts that are over, with each new one


class Verdicts(Protocol):
    """The verdicts on servers, as `mcpgateway.interfaces.ISessionStore` has them."""

    def verdict(self, launch: str) -> str | None:
        """Return the verdict on a launch; None without one."""

    def judge(self, launch: str, why: str) -> None:
        """Record the verdict on a launch."""


class _Kept(msgspec.Struct):
    why: str
    at: float


class SharedVerdicts(NodePart):
    """The verdicts of all nodes, and behind them those in the journal of this one.

    :param seconds: the time of day, in seconds since the epoch.
    """

    def __init__(self, documents: Documents, journal: Verdicts, seconds: Callable[[], float]) -> None:
        self._documents = documents
        self._journal = journal
        self._seconds = seconds
        self._behind = WrittenBehind(documents, KIND)

    def verdict(self, launch: str) -> str | None:
        """Return why a server needs a child for each session; empty if it can be shared, None if that is undecided."""
        document = self._documents.get(KIND, launch)
        found = _read(document) if document is not None else None
        if found is not None and not self._is_over(found) and launch not in self._behind:
            return found.why
        return self._journal.verdict(launch)

    def judge(self, launch: str, why: str) -> None:
        """Record why a server needs a child for each session; empty if it can be shared."""
        self._journal.judge(launch, why)
        document = self._documents.get(KIND, launch)
        found = _read(document) if document is not None else None
        if found is not None and found.why == why and self._seconds() - found.at < LIFE_S / 2:
            return
        self._behind.put(launch, msgspec.json.encode(_Kept(why, self._seconds())))
        over = [each.name for each in self._documents.all(KIND) if self._is_over(_read(each))]
        for name in over[:REMOVED]:
            if name != launch:
                self._behind.put(name, None)

    def _is_over(self, kept: _Kept | None) -> bool:
        return kept is None or self._seconds() - kept.at > LIFE_S

    # The part of a node

    def tick(self) -> None:
        """Write what the store does not have yet."""
        self._behind.flush()

    def close(self) -> Deferred[None]:
        """End; the verdicts stay."""
        return self._behind.close()


def _read(document: ClusterDocument) -> _Kept | None:
    try:
        return msgspec.json.decode(document.body, type=_Kept)
    except msgspec.MsgspecError:
        return None
