"""Interests of subscribers in notifications, also in the form of the filter of a ``subscriptions/listen``."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from msgspec import Raw

from mcpgateway.errors import Overloaded
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import Envelope

URIS_LIMIT = 1000  # resources of one subscriber; also its tasks

TOOLS_CHANGED = "notifications/tools/list_changed"
LISTS = {
    "toolsListChanged": TOOLS_CHANGED,
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
UPDATED, TASK = "notifications/resources/updated", "notifications/tasks"

KINDS = {method: kind for kind, method in LISTS.items()}
"""The member of a filter that asks for a notification."""


@frozen
class Interest:
    """The notifications that a subscriber wants.

    :ivar lists: the kinds of lists whose changes are notified, as members of ``notifications``.
    :ivar uris: resources.
    :ivar tasks: tasks, by id (``io.modelcontextprotocol/tasks``).
    """

    lists: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()

    def __or__(self, other: Interest) -> Interest:
        return Interest(self.lists | other.lists, self.uris | other.uris, self.tasks | other.tasks)

    def __and__(self, other: Interest) -> Interest:
        return Interest(self.lists & other.lists, self.uris & other.uris, self.tasks & other.tasks)

    def __le__(self, other: Interest) -> bool:
        return self & other == self

    def __bool__(self) -> bool:
        return bool(self.lists or self.uris or self.tasks)

    def written(self) -> dict[str, Any]:
        """Return the interest in the form of the ``notifications`` member."""
        members: dict[str, Any] = dict.fromkeys(sorted(self.lists), True)
        if self.uris:
            members["resourceSubscriptions"] = sorted(self.uris)
        if self.tasks:
            members["taskIds"] = sorted(self.tasks)
        return members

    def text(self) -> bytes:
        """Return the same as JSON."""
        return bytes(jsonrpc.raw(self.written()))


NOTHING = Interest()


def read_interest(params: Envelope | None) -> Interest:
    """Read the filter of a ``subscriptions/listen`` or its acknowledgement; unknown members are left out."""
    members = peek.mapping(params, "notifications")
    return Interest(
        frozenset(kind for kind in LISTS if members.get(kind) is True),
        _texts(members.get("resourceSubscriptions")),
        _texts(members.get("taskIds")),
    )


def read_text(text: bytes) -> Interest:
    """Read the JSON of `Interest.text`; nothing from an empty text."""
    return read_interest({"notifications": Raw(text)} if text else None)


def _texts(found: Any) -> frozenset[str]:
    return (
        frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()
    )


def lists_of(hello: Envelope) -> frozenset[str]:
    """Return the kinds of lists whose changes a server has declared to notify."""
    return frozenset(KINDS[method] for method in legacy.changing_lists(hello))


def narrowed(interest: Interest) -> Interest:
    """Return the interest unless it is too large.

    :raise Overloaded: it names more than `URIS_LIMIT` resources or tasks.
    """
    if len(interest.uris) > URIS_LIMIT or len(interest.tasks) > URIS_LIMIT:
        raise Overloaded(f"a request can listen to {URIS_LIMIT} resources at most")
    return interest
