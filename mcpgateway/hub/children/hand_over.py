"""Hand children and sessions over to the next program of this process: the side of the program that ends.

A child goes on if it is an idle process on stdin and stdout.  All others end: those with calls under way, replicas,
those of an earlier version, and those that are reached over the network or under a lease.
"""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import sha256

from mcpgateway.backends.process import Child
from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.children.records import HubState, SessionState, SlotState, WaitingMessage
from mcpgateway.hub.children.slot_key import SlotKey
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot
from mcpgateway.protocol import jsonrpc, modern

SEPARATOR = " "  # in the key of a member session for another directory


def digest_of(server: ServerSpec) -> str:
    """Return the digest of all by which a child of a server is started and shared."""
    env = sorted(server.env.items())
    parts = (server.command, env, server.cwd, server.workspace, server.principal, server.share, server.reach)
    return sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()


def hand_over(pool: Pool, sessions: Sessions) -> HubState:
    """Return the state of the children that go on, and of all sessions; these children leave their slots."""
    known = tuple(_session(each, sessions) for each in sessions if each.issued is not None)
    slots = [_slot(key, slot) for key, slot in pool.keyed()]
    return HubState(tuple(each for each in slots if each is not None), known)


def _slot(key: SlotKey, slot: Slot) -> SlotState | None:
    conversation, server = slot.conversation, slot.server
    if (
        conversation is None
        or slot.hello is None
        or slot.is_replica
        or key.former
        or slot.calls()
        or conversation.questions
    ):
        return None
    for call in [each for each in conversation.pending.values() if each.method == modern.LISTEN]:
        conversation.cancel(call, "the gateway restarts")
    backend = conversation.backend
    child = backend.hand_over() if isinstance(backend, Child) else None
    if child is None:
        return None
    state = SlotState(
        child,
        key,
        slot.shared,
        digest_of(server),
        server.workspace,
        server.principal,
        bytes(jsonrpc.raw(slot.offer)),
        jsonrpc.encode(slot.hello),
        conversation.hand_over(),
        slot.levels.agreed,
        slot.starts - 1,
        slot.requests - conversation.sent,
        (slot.roots.key, bytes(slot.roots.result)) if slot.roots is not None else None,
        *slot.tasks.records,
        slot.elicitations,
    )
    slot.left()
    return state


def _session(session: Session, sessions: Sessions) -> SessionState:
    if not session.is_on_record:
        sessions.remember(session)
    members = session.members.sessions if session.members is not None else ()
    return SessionState(
        session.id,
        session.server.name,
        bool(session.server.view),
        session.principal,
        session.names_owner,
        session.has_called,
        session.has_reached,
        session.is_stale,
        session.is_unmet,
        sessions.now - session.seen,
        (session.roots.key, bytes(session.roots.result)) if session.roots is not None else None,
        tuple(each for each in members if SEPARATOR not in each),
        tuple(WaitingMessage(message, _key(key)) for key, message in session.mailbox.waiting()),
    )


def _key(key: Hashable) -> str | tuple[str, str] | None:
    match key:
        case str(text):
            return text
        case (str(method), str(what)):
            return method, what
    return None
