"""The member sessions of a view's session: one at each single server, made when it is first needed.

A member session (here: inner) is an ordinary session of its server, for the same client.  Its id is sent to no client,
and it ends with the session of the view (here: outer).  Its messages outside of calls go to the outer session.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define, field

from mcpgateway.bounded import Bounded
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import ListKind
from mcpgateway.discovery.resources import Owned, prefixed, unprefixed
from mcpgateway.errors import GatewayError
from mcpgateway.hub.subscriptions.interest import UPDATED, URIS_LIMIT
from mcpgateway.policy.routing import is_part
from mcpgateway.protocol import jsonrpc, peek

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.views.view import View

TASKS_LIMIT = 1000  # tasks of one session
USED_LIMIT = 500  # URIs of one session
SEPARATOR = " "  # occurs in no name of a server
TASK_STATUS = "notifications/tasks/status"
LIST_CHANGED = b"/list_changed"


@define(eq=False, repr=False)
class MemberSessions:
    """The member sessions of one session of a view, and its state.

    :ivar view: the view that the session sees.
    :ivar seen_at: the tick at which the view was determined.
    :ivar sessions: the member sessions by the names of their servers, those elsewhere by `named_elsewhere`.
    :ivar tasks: the servers of the tasks that the session has begun, by task id.
    :ivar listed: the mark of each list that the client was given, so that it is notified of changes.
    :ivar private: the servers whose lists its own children have changed for it alone.
    :ivar subscribed: the subscribed URIs as its client wrote them, by server and by the server's own URI.
    :ivar used: the servers that have answered for unlisted URIs, which get further requests for them.
    :ivar goes_by_roots: True if its client has named no directory, so that its roots count.
    """

    view: View
    seen_at: int = 0
    sessions: dict[str, Session] = field(factory=dict)
    tasks: dict[str, str] = field(factory=lambda: Bounded(TASKS_LIMIT))
    listed: dict[ListKind, int | None] = field(factory=dict)
    private: set[str] = field(factory=set)
    subscribed: dict[str, dict[str, dict[str, None]]] = field(factory=dict)
    used: dict[str, str] = field(factory=lambda: Bounded(USED_LIMIT))
    goes_by_roots: bool = False

    @classmethod
    def of(cls, session: Session) -> Self | None:
        """Return the state of a session; None where it has none so far, or is no view's."""
        found = session.members
        return found if isinstance(found, cls) else None

    def drop(self, session: Session) -> None:
        """Forget a member session that has ended."""
        for name in (session.server.name, named_elsewhere(session.server)):
            if self.sessions.get(name) is session:
                del self.sessions[name]

    def began(self, task: str, server: str) -> None:
        """Note the server of a task."""
        self.tasks[task] = server

    def recall(self, records: Iterable[str]) -> None:
        """Restore the subscriptions of a session that is back."""
        for each in records:
            owner, shown = _read(each)
            self.hear(owner, shown)

    def hear(self, owner: Owned, shown: str) -> None:
        """Note a subscription, with the URI as its client wrote it."""
        self.subscribed.setdefault(owner.server, {}).setdefault(owner.uri, {})[shown] = None

    def subscription(self, shown: str) -> Owned | None:
        """Return the resource of a subscription by the client's URI; None where there is none."""
        for server, subscribed in self.subscribed.items():
            own = _own(server, shown)
            if shown in subscribed.get(own, ()):
                return Owned(server, own)
        return None

    def lost(self, outer: Session, server: str, uri: str) -> list[str]:
        """Remove the subscriptions that a member session has lost; return their records in the outer session."""
        shown = self.subscribed.get(server, {}).pop(uri, {uri: None})
        records = [written(server, each) for each in shown]
        outer.unsubscribe(*records)
        return records

    def told_as(self, server: str, uri: str) -> list[str]:
        """Return the client's URIs for the notification of a change: those of its subscriptions, or parts of them."""
        return names_of(self.view, server, uri, self.subscribed.get(server, {}))

    def stick(self, uri: str, server: str) -> None:
        """Send further requests for an unlisted URI to the server that has answered for it."""
        self.used[uri] = server


def names_of(view: View, server: str, uri: str, subscribed: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the client's URIs for the notification of a change.

    :param uri: the changed resource, by its server's own URI.
    :param subscribed: the client's subscriptions at the server: the URIs as it wrote them, by the server's own URI.
    """
    if uri in subscribed:
        return list(subscribed[uri])
    parts = [(own, shown) for own, names in subscribed.items() if is_part(uri, own) for shown in names]
    found = dict.fromkeys(uri if shown == own else prefixed(server, uri) for own, shown in parts)
    return list(found) or [view.shown_uri(server, uri)]


def is_relied_on(view: View, sessions: Iterable[Session]) -> bool:
    """True if any of these sessions was given the list of tools of a view."""
    inner = map(MemberSessions.of, sessions)
    return any(each is not None and each.view is view and ListKind.TOOL in each.listed for each in inner)


def inner_id(outer: Session, server: str) -> bytes:
    """Return the id of a member session: the same after it was put aside, so that its tasks are still its own."""
    return b"~" + hashlib.sha256(outer.id + b"\0" + server.encode()).hexdigest()[:32].encode()


def named_elsewhere(server: ServerSpec) -> str:
    """Return the key of a member session at a server run for another directory; no server has such a name."""
    return f"{server.name}{SEPARATOR}{server.workspace}"


def written(server: str, shown: str) -> str:
    """Return the record of a subscription, with its URI as the client wrote it."""
    return f"{server}{SEPARATOR}{shown}"


def _own(server: str, shown: str) -> str:
    # A client writes the server's own URI, or one prefixed with the server's name.
    owned = unprefixed(shown)
    return owned.uri if owned is not None and owned.server == server else shown


def _read(record: str) -> tuple[Owned, str]:
    server, _, shown = record.partition(SEPARATOR)
    return Owned(server, _own(server, shown)), shown


def subscribed(outer: Session) -> dict[str, set[str]]:
    """Return the subscribed resources of a session, by the names of their servers."""
    found: dict[str, set[str]] = {}
    for each in outer.uris or ():
        owner, _ = _read(each)
        found.setdefault(owner.server, set()).add(owner.uri)
    return found


def gained(outer: Session, owner: Owned, shown: str) -> str:
    """Note a subscription of a session; return its record, or "" where there is one already or no room."""
    record = written(owner.server, shown)
    if (members := MemberSessions.of(outer)) is not None:
        members.hear(owner, shown)
    if record in (uris := outer.uris or ()) or len(uris) >= URIS_LIMIT:
        return ""
    outer.subscribe(record)
    return record


@define(eq=False, repr=False)
class MemberFilter:
    """Passes the messages of a member session on to the outer session.

    :ivar changed: called with every list that a client's own child has changed.
    :ivar is_elsewhere: True if the server is run for another directory, so that the view does not show its lists.
    """

    outer: Session
    inner: Session
    changed: Callable[[Session, str], None]
    is_elsewhere: bool = False

    def say(self, message: bytes) -> bool:
        """Pass a message on, with the URIs of the view."""
        members = MemberSessions.of(self.outer)
        if members is None:
            return False
        if LIST_CHANGED in message:
            return self._changed(message)
        if b"resources/updated" in message or b"tasks/status" in message:
            return self._keyed(message, members)
        self.outer.mailbox.put(message)
        return True

    def _changed(self, message: bytes) -> bool:
        # The catalog notifies all views of a shared child's lists; this child is the client's own.
        method = _method(message)
        slot = self.inner.slot
        if not method.endswith("/list_changed"):
            self.outer.mailbox.put(message)
        elif not self.is_elsewhere and (slot is None or not slot.shared):
            self.changed(self.inner, method)
            self.outer.mailbox.put(message, method)
        return True

    def _keyed(self, message: bytes, members: MemberSessions) -> bool:
        envelope = jsonrpc.decode(message)
        method, params = peek.text(envelope, "method"), peek.members(envelope, "params")
        if method == UPDATED and (uri := peek.text(params, "uri", jsonrpc.URI_LIMIT)) is not None:
            for shown in members.told_as(self.inner.server.name, uri):
                renamed = envelope | {"params": jsonrpc.raw(params | {"uri": jsonrpc.raw(shown)})}
                self.outer.mailbox.put(message if shown == uri else jsonrpc.encode(renamed), (method, shown))
        elif method == TASK_STATUS:
            self.outer.mailbox.put(message, (method, peek.text(params, "taskId")))
        else:
            self.outer.mailbox.put(message)
        return True

    def close(self) -> None:
        """Do nothing at the end of the member session."""


def _method(message: bytes) -> str:
    try:
        found: Any = peek.text(jsonrpc.decode(message), "method")
    except GatewayError:
        found = None
    return found or ""
