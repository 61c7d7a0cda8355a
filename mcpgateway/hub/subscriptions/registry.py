"""The registry of subscribers: who wants to hear of what.

Each slot has one, of sessions in the legacy era and of listeners in the modern era, and the views have one.  The union
of the interests is asked of the server; each notification goes to the subscribers that want it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from mcpgateway.hub.subscriptions.interest import KINDS, NOTHING, TASK, Interest
from mcpgateway.policy import routing

LISTENERS_LIMIT = 10_000  # listeners of one child; each session of a legacy client at a modern child is one

Subscriber = TypeVar("Subscriber", bound=Hashable)


class SubscriberRegistry(Generic[Subscriber]):
    """Subscribers with their interests.

    :ivar interests: the interest of each subscriber, in the order in which the subscribers came.
    :ivar lists: the subscribers of each list, by its member of a filter; a dict for its order.
    :ivar uris: the subscribers of each resource.
    :ivar tasks: the subscribers of each task.
    """

    def __init__(self) -> None:
        self.interests: dict[Subscriber, Interest] = {}
        self.lists: dict[str, dict[Subscriber, None]] = {}
        self.uris: dict[str, dict[Subscriber, None]] = {}
        self.tasks: dict[str, dict[Subscriber, None]] = {}

    def __len__(self) -> int:
        return len(self.interests)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self.interests

    def put(self, subscriber: Subscriber, interest: Interest) -> None:
        """Add a subscriber, or replace its interest."""
        former = self.interests.get(subscriber, NOTHING)
        self.interests[subscriber] = interest
        self._file(subscriber, former, interest)

    def remove(self, subscriber: Subscriber) -> bool:
        """Remove a subscriber; false if there is no such subscriber."""
        former = self.interests.pop(subscriber, None)
        if former is not None:
            self._file(subscriber, former, NOTHING)
        return former is not None

    def _file(self, subscriber: Subscriber, former: Interest, interest: Interest) -> None:
        for index, before, after in (
            (self.lists, former.lists, interest.lists),
            (self.uris, former.uris, interest.uris),
            (self.tasks, former.tasks, interest.tasks),
        ):
            for each in before - after:
                del index[each][subscriber]
                if not index[each]:
                    del index[each]
            for each in sorted(after - before):
                index.setdefault(each, {})[subscriber] = None

    def union(self) -> Interest:
        """Return the union of all interests."""
        return Interest(frozenset(self.lists), frozenset(self.uris), frozenset(self.tasks))

    def interested(self, method: str, what: str | None) -> list[Subscriber]:
        """Return the subscribers that want a notification.

        :param what: the resource or the task that it names; None for a list.
        """
        if method in KINDS:
            return list(self.lists.get(KINDS[method], ()))
        if what is None:
            return []
        return list(self.tasks.get(what, ())) if method == TASK else self.around(what)

    def around(self, uri: str) -> list[Subscriber]:
        """Return the subscribers of a resource and of those that contain it, since a change of a part may be reported.

        Each is returned once.
        """
        parts = (its for whole, its in self.uris.items() if routing.is_part(uri, whole))
        return list(dict.fromkeys(each for its in parts for each in its))
