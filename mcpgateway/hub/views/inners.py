"""The sessions that one session of a view has at single servers: one at each, made when it is first needed.

An inner session is an ordinary session of its server, for the same client.  Nobody is told its id, and it ends with the
outer one.  What it is told outside of calls is the outer session's to hear.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, field
from zope.interface import implementer

from mcpgateway.catalog.records import Kind
from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import GatewayError
from mcpgateway.hub.subscriptions import URIS_LIMIT
from mcpgateway.interfaces import IMessageStream
from mcpgateway.wire import jsonrpc, peek

if TYPE_CHECKING:
    from mcpgateway.hub.sessions import Session
    from mcpgateway.hub.views.view import View

TASKS_LIMIT = 1000  # of one session
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
    :ivar listed: the lists it has been given, so that it hears of it when they change.
    :ivar private: servers whose lists its own children have changed for it alone.
    """

    view: View
    seen_at: int = 0
    sessions: dict[str, Session] = field(factory=dict)
    tasks: dict[str, str] = field(factory=dict)
    listed: set[Kind] = field(factory=set)
    private: set[str] = field(factory=set)

    def drop(self, session: Session) -> None:
        """An inner session has ended."""
        for name in (session.server.name, named_elsewhere(session.server)):
            if self.sessions.get(name) is session:
                del self.sessions[name]

    def began(self, task: str, server: str) -> None:
        """A server has begun a task."""
        self.tasks[task] = server
        if len(self.tasks) > TASKS_LIMIT:
            del self.tasks[next(iter(self.tasks))]


def is_relied_on(view: View, sessions: Iterable[Session]) -> bool:
    """Whether any of these sessions has been listed the tools of a view."""
    inner = [each.inners for each in sessions if each.inners is not None]
    return any(each.view is view and Kind.TOOL in each.listed for each in inner)


def inner_id(outer: Session, server: str) -> bytes:
    """The id of a session's inner one: the same after it was put aside, so that its tasks are still its own."""
    return b"~" + hashlib.sha256(outer.id + b"\0" + server.encode()).hexdigest()[:32].encode()


def named_elsewhere(server: ServerSpec) -> str:
    """What the session at a server is called that is run for another directory; no server has such a name."""
    return f"{server.name}{SEPARATOR}{server.workspace}"


def written(server: str, uri: str) -> str:
    """How a subscription of a session's is put on record."""
    return f"{server}{SEPARATOR}{uri}"


def subscribed(outer: Session) -> dict[str, set[str]]:
    """The resources a session is subscribed to, by the names of their servers."""
    found: dict[str, set[str]] = {}
    for each in outer.uris or ():
        server, _, uri = each.partition(SEPARATOR)
        found.setdefault(server, set()).add(uri)
    return found


def note(outer: Session, server: str, uri: str, is_on: bool) -> None:  # noqa: FBT001 - as the store is told
    """An inner session has gained or lost a resource."""
    if outer.uris is None:
        outer.uris = set()
    if is_on and len(outer.uris) < URIS_LIMIT:
        outer.uris.add(written(server, uri))
    elif not is_on:
        outer.uris.discard(written(server, uri))


@implementer(IMessageStream)
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
        inners = self.outer.inners
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
            shown = inners.view.shown_uri(self.inner.server.name, uri)
            if shown != uri:
                params["uri"] = jsonrpc.raw(shown)
                message = jsonrpc.encode(envelope | {"params": jsonrpc.raw(params)})
            self.outer.mailbox.put(message, (method, shown))
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
