"""Hand children and sessions over to the next program of this process: the side of the program that ends.

A child goes on if it is a process on stdin and stdout, of a container too, or a session at a remote server, with its
calls under way and its questions to clients.  All others end: those that have asked a modern client a question.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from hashlib import sha256

from attrs import asdict

from mcpgateway.config.model import ServerSpec
from mcpgateway.hub.children.records import (
    ApartState,
    HubState,
    QuestionState,
    SessionState,
    SlotState,
    WaitingMessage,
    written,
)
from mcpgateway.hub.children.slot_key import SlotKey
from mcpgateway.hub.client_requests import ClientQuestion, Questions
from mcpgateway.hub.pool import Pool
from mcpgateway.hub.sessions import Session, Sessions
from mcpgateway.hub.slot import Slot, slot_of
from mcpgateway.interfaces import IInheritable, Request, going_on
from mcpgateway.protocol import jsonrpc, modern

SEPARATOR = " "  # in the key of a member session for another directory


def digest_of(server: ServerSpec) -> str:
    """Return the digest of all by which a child of a server is started and shared, but for its PATH.

    A restart takes over the PATH of the shell that asks for it, where programs for later starts may be.
    """
    env = sorted((name, value) for name, value in server.env.items() if name != "PATH")
    reach = asdict(server.reach) if server.reach is not None else None  # its secrets included
    place = (server.is_sole, server.on)
    parts = (server.command, env, server.cwd, server.workspace, server.principal, server.share, reach, place)
    return sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()


def hand_over(
    pool: Pool, sessions: Sessions, questions: Questions, apart: tuple[ApartState, ...]
) -> HubState:
    """Return the state of the children that go on, and of all sessions; these children leave their slots.

    :param apart: the sessions of the gateway's own (`mcpgateway.hub.modern_dispatch.ModernDispatcher.apart`).
    """
    aside = {slot: key for key, slot in pool.keyed() if key.former}
    known = tuple(_session(each, sessions, aside) for each in sessions if each.is_on_record and each.issued)
    slots = [state for key, slot in pool.keyed() if (state := _slot(key, slot, questions)) is not None]
    for state in slots:
        pool.left(state.key)
    return HubState(tuple(slots), known, apart)


def goes_on(questions: Questions, call: Request) -> bool:
    """Return whether the next program can go on with a call, or has to send it first."""
    slot = call.holder
    if not isinstance(slot, Slot):
        return False
    if not call.number:
        return True
    conversation, backend = slot.conversation, _going_on(slot, questions)
    is_pending = conversation is not None and conversation.pending.get(call.number) is call
    return is_pending and backend is not None and backend.keeps(call.number)


def _going_on(slot: Slot, questions: Questions) -> IInheritable | None:
    conversation = slot.conversation
    if conversation is None or not _are_known(conversation.questions, questions.of(conversation)):
        return None
    return going_on(conversation.backend)


def _are_known(identifiers: set[bytes], asked: list[ClientQuestion]) -> bool:
    # A question that belongs to a call is a part of the call's answer to a modern client.
    is_of_client = all(each.request is None and each.session.issued is not None for each in asked)
    return is_of_client and identifiers <= {bytes(each.child_id) for each in asked}


def _question(asked: ClientQuestion) -> QuestionState:
    return QuestionState(
        asked.number,
        bytes(asked.child_id),
        asked.session.id,
        asked.at is not asked.session,
        asked.method,
        None if asked.token is None else bytes(asked.token),
        asked.is_heard,
        asked.ticks,
    )


def _slot(key: SlotKey, slot: Slot, questions: Questions) -> SlotState | None:
    conversation, server = slot.conversation, slot.server
    backend = _going_on(slot, questions)
    if backend is None or conversation is None or slot.hello is None:
        return None
    listening = slot.listening.hand_over(backend.keeps) if slot.listening is not None else None
    for call in [each for each in conversation.pending.values() if each.method == modern.LISTEN]:
        if listening is None or call.number != listening.number:
            conversation.cancel(call, "the gateway restarts")
    talk = conversation.hand_over(backend.keeps)
    state = SlotState(
        backend.hand_over(),
        key,
        slot.shared,
        digest_of(server),
        server.workspace,
        server.principal,
        bytes(jsonrpc.raw(slot.offer)),
        jsonrpc.encode(slot.hello),
        talk,
        slot.levels.agreed,
        slot.starts - 1,
        slot.requests - conversation.sent,
        written(slot.roots),
        *slot.tasks.records,
        slot.elicitations,
        tuple(map(_question, questions.of(conversation))),
        listening,
    )
    slot.left()
    return state


def _session(session: Session, sessions: Sessions, aside: Mapping[Slot, SlotKey]) -> SessionState:
    members = session.members.sessions if session.members is not None else {}
    slots = {name: slot_of(each) for name, each in (members | {session.server.name: session}).items()}
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
        written(session.roots),
        tuple(each for each in members if SEPARATOR not in each),
        tuple(WaitingMessage(message, _key(key)) for key, message in session.mailbox.waiting()),
        {name: aside[slot] for name, slot in slots.items() if slot is not None and slot in aside},
    )


def _key(key: Hashable) -> str | tuple[str, str | int] | None:
    match key:
        case str(text):
            return text
        case (str(method), str(what) | int(what)):
            return method, what
    return None
