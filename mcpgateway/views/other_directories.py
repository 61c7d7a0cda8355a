"""Member sessions at servers that are run for another directory, for calls that name one.

They are member sessions like the others, so that messages and questions find their way; but the view does not show
their lists, and one session has `LIMIT` of them at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import Overloaded, ShuttingDown, UnknownSession
from mcpgateway.hub.sessions import Session
from mcpgateway.views.members import MemberFilter, inner_id, named_elsewhere

if TYPE_CHECKING:
    from mcpgateway.views.registry import ViewRegistry

LIMIT = 8  # of one session; the one that has been idle longest is ended for a new one


def meet(registry: ViewRegistry, session: Session, spec: ServerSpec) -> Session:
    """Return the member session at a server as run for some workspace; a new one where there is none.

    :raise GatewayError: the session cannot be opened.
    """
    members = registry.members_of(session)
    here = members.view.servers.get(spec.name)
    if here is not None and here.workspace == spec.workspace:
        return registry.open_member(session, spec.name)  # the view runs the server for the same workspace
    name = named_elsewhere(spec)
    known = members.sessions.pop(name, None)
    if known is not None:
        members.sessions[name] = known  # moved to the end, as the latest
        return known
    return _open(registry, session, spec)


def _open(registry: ViewRegistry, session: Session, spec: ServerSpec) -> Session:
    members, dispatcher, name = registry.members_of(session), registry.dispatcher, named_elsewhere(spec)
    if dispatcher.sessions.named(session.id) is not session:
        raise UnknownSession("Session has ended")
    if not dispatcher.is_open:
        raise ShuttingDown("the gateway is stopping")
    if name not in members.sessions:
        _make_room(registry, session)
        inner = dispatcher.begin_inner(session, spec, inner_id(session, name), set())
        inner.mailbox.attach(MemberFilter(session, inner, registry.privately_changed, is_elsewhere=True))
        members.sessions[name] = inner
    return members.sessions[name]


def _make_room(registry: ViewRegistry, session: Session) -> None:
    found = [each for name, each in registry.members_of(session).sessions.items() if name != each.server.name]
    if len(found) < LIMIT:
        return
    busy = registry.dispatcher.calls.busy()
    oldest = next((each for each in found if each not in busy), None)
    if oldest is None:
        raise Overloaded(f"{LIMIT} calls in other directories are under way already", "wait for one to end")
    registry.dispatcher.end_member(oldest, UnknownSession("Session has ended"))
