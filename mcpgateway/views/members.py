"""The sessions that one session of a view has at single servers: one at each, made when it is first needed.

An inner session is an ordinary session of its server, for the same client.  Nobody is told its id, and it ends with the
outer one.  What it is told outside of calls is the outer session's to hear.
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
from mcpgateway.hub.subscriptions.upstream_legacy import URIS_LIMIT
from mcpgateway.policy.routing import is_part
from mcpgateway.protocol import jsonrpc, peek

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.views.view import View

TASKS_LIMIT = 1000  # of one session
USED_LIMIT = 500  # URIs of one session
SEPARATOR = " "  # in no name of a server
UPDATED = "notifications/resources/updated"
TASK_STATUS = "notifications/tasks/status"
LIST_CHANGED = b"/list_changed"


@define(eq=False)
class Inners:
    """The inner sessions of one session, and what is known of them.

    :ivar view: what the session is shown.
    :ivar seen_at: the tick that was found out in.
    :ivar sessions: by the names of their servers, those elsewhere by `named_elsewhere`.
    :ivar tasks: the servers of the tasks that it has begun, by their ids.
    :ivar listed: the lists it has been given, so that it hears of it when they change, and what tells them from others.
    :ivar private: servers whose lists its own children have changed for it alone.
    :ivar heard: the URIs it has subscribed to as its client wrote them, by server and by what they are there.
    :ivar used: the servers that have answered for URIs that nobody lists, which are asked for them from then on.
    :ivar goes_by_roots: its client has not said where it works, so that its roots count.
    """

    view: View
    seen_at: int = 0
    sessions: dict[str, Session] = field(factory=dict)
    tasks: dict[str, str] = field(factory=lambda: Bounded(TASKS_LIMIT))
    listed: dict[ListKind, int | None] = field(factory=dict)
    private: set[str] = field(factory=set)
    heard: dict[str, dict[str, dict[str, None]]] = field(factory=dict)
    used: dict[str, str] = field(factory=lambda: Bounded(USED_LIMIT))
    goes_by_roots: bool = False

    @classmethod
    def of(cls, session: Session) -> Self | None:
        """The inner sessions of a session; None where it has none so far, or is no view's."""
        found = session.inners
        return found if isinstance(found, cls) else None

    def drop(self, session: Session) -> None:
        """An inner session has ended."""
        for name in (session.server.name, named_elsewhere(session.server)):
            if self.sessions.get(name) is session:
                del self.sessions[name]

    def began(self, task: str, server: str) -> None:
        """A server has begun a task."""
        self.tasks[task] = server

    def recall(self, records: Iterable[str]) -> None:
        """A session is back with its subscriptions."""
        for each in records:
            owner, shown = _read(each)
            self.hear(owner, shown)

    def hear(self, owner: Owned, shown: str) -> None:
        """It is subscribed to a resource, under a URI as its client wrote it."""
        self.heard.setdefault(owner.server, {}).setdefault(owner.uri, {})[shown] = None

    def subscription(self, shown: str) -> Owned | None:
        """The resource that it is subscribed to under that URI."""
        for server, heard in self.heard.items():
            own = _own(server, shown)
            if shown in heard.get(own, ()):
                return Owned(server, own)
        return None

    def lost(self, outer: Session, server: str, uri: str) -> list[str]:
        """A session at a server has lost a resource; returns the records of it, which the outer one loses."""
        shown = self.heard.get(server, {}).pop(uri, {uri: None})
        records = [written(server, each) for each in shown]
        if outer.uris is not None:
            outer.uris.difference_update(records)
        return records

    def told_as(self, server: str, uri: str) -> list[str]:
        """The URIs that it hears of a change under: those it has subscribed to, or parts of them."""
        return names_of(self.view, server, uri, self.heard.get(server, {}))

    def stick(self, uri: str, server: str) -> None:
        """A server has answered for a URI that nobody lists."""
        self.used[uri] = server


def names_of(view: View, server: str, uri: str, heard: Mapping[str, Iterable[str]]) -> list[str]:
    """The URIs that a client hears of a change under.

    :param uri: what has changed, as its server knows it.
    :param heard: what the client has subscribed to at that server as it wrote it, by what it is there.
    """
    if uri in heard:
        return list(heard[uri])
    parts = [(own, shown) for own, names in heard.items() if is_part(uri, own) for shown in names]
    found = dict.fromkeys(uri if shown == own else prefixed(server, uri) for own, shown in parts)
    return list(found) or [view.shown_uri(server, uri)]


def is_relied_on(view: View, sessions: Iterable[Session]) -> bool:
    """Whether any of these sessions has been listed the tools of a view."""
    inner = map(Inners.of, sessions)
    return any(each is not None and each.view is view and ListKind.TOOL in each.listed for each in inner)


def inner_id(outer: Session, server: str) -> bytes:
    """The id of a session's inner one: the same after it was put aside, so that its tasks are still its own."""
    return b"~" + hashlib.sha256(outer.id + b"\0" + server.encode()).hexdigest()[:32].encode()


def named_elsewhere(server: ServerSpec) -> str:
    """What the session at a server is called that is run for another directory; no server has such a name."""
    return f"{server.name}{SEPARATOR}{server.workspace}"


def written(server: str, shown: str) -> str:
    """How a subscription of a session's is put on record, with its URI as the client wrote it."""
    return f"{server}{SEPARATOR}{shown}"


def _own(server: str, shown: str) -> str:
    # A client writes a URI of a server's as it is there, or with the server's name.
    owned = unprefixed(shown)
    return owned.uri if owned is not None and owned.server == server else shown


def _read(record: str) -> tuple[Owned, str]:
    server, _, shown = record.partition(SEPARATOR)
    return Owned(server, _own(server, shown)), shown


def subscribed(outer: Session) -> dict[str, set[str]]:
    """The resources a session is subscribed to, by the names of their servers."""
    found: dict[str, set[str]] = {}
    for each in outer.uris or ():
        owner, _ = _read(each)
        found.setdefault(owner.server, set()).add(owner.uri)
    return found


def gained(outer: Session, owner: Owned, shown: str) -> str:
    """A session has subscribed to a resource; returns the record of it, or "" where there is one or no room."""
    record = written(owner.server, shown)
    if outer.uris is None:
        outer.uris = set()
    if (inners := Inners.of(outer)) is not None:
        inners.hear(owner, shown)
    if record in outer.uris or len(outer.uris) >= URIS_LIMIT:
        return ""
    outer.uris.add(record)
    return record


@define(eq=False)
class Forward:
    """Tells an outer session what an inner one is told.

    :ivar changed: told of every list that a child of the client's own has changed.
    :ivar is_elsewhere: the lists of that server are not what the view shows.
    """

    outer: Session
    inner: Session
    changed: Callable[[Session, str], None]
    is_elsewhere: bool = False

    def say(self, message: bytes) -> bool:
        """Pass one message on, as the view has it."""
        inners = Inners.of(self.outer)
        if inners is None:
            return False
        if LIST_CHANGED in message:
            return self._changed(message)
        if b"resources/updated" in message or b"tasks/status" in message:
            return self._keyed(message, inners)
        self.outer.mailbox.put(message)
        return True

    def _changed(self, message: bytes) -> bool:
        # What a shared server says of its lists is told to all views at once; this is one that is the client's own.
        method = _method(message)
        slot = self.inner.slot
        if not method.endswith("/list_changed"):
            self.outer.mailbox.put(message)
        elif not self.is_elsewhere and (slot is None or not slot.shared):
            self.changed(self.inner, method)
            self.outer.mailbox.put(message, method)
        return True

    def _keyed(self, message: bytes, inners: Inners) -> bool:
        envelope = jsonrpc.decode(message)
        method, params = peek.text(envelope, "method"), peek.members(envelope, "params")
        if method == UPDATED and (uri := peek.text(params, "uri", jsonrpc.URI_LIMIT)) is not None:
            for shown in inners.told_as(self.inner.server.name, uri):
                renamed = envelope | {"params": jsonrpc.raw(params | {"uri": jsonrpc.raw(shown)})}
                self.outer.mailbox.put(message if shown == uri else jsonrpc.encode(renamed), (method, shown))
        elif method == TASK_STATUS:
            self.outer.mailbox.put(message, (method, peek.text(params, "taskId")))
        else:
            self.outer.mailbox.put(message)
        return True

    def close(self) -> None:
        """The inner session has ended; there is nothing to close."""


def _method(message: bytes) -> str:
    try:
        found: Any = peek.text(jsonrpc.decode(message), "method")
    except GatewayError:
        found = None
    return found or ""
