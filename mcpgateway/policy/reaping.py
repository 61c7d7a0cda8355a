"""The end of sessions whose clients have gone or are silent for too long."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from mcpgateway.records import FrozenRecord

IDLE_TICKS = 30 * 60  # without a known owner, where the settings name no other time
OWNED_IDLE_TICKS = 24 * 60 * 60  # with an owner that lives: a day


class EndReason(Enum):
    """The reason why a session is ended."""

    LEFT = "it was never used, and its program has gone"
    OWNER_DEAD = "its owner has exited"
    IDLE = "it was idle for too long"


class SessionFacts(FrozenRecord, frozen=True):
    """The state of one session, as far as the rule needs it.

    :ivar owner: the owner's process id; None: unknown.
    :ivar owner_alive: that process still runs; true where there is no owner.
    :ivar idle_ticks: seconds of running time since the last message of the session.
    :ivar busy: a call is under way; then it is never idle.
    :ivar is_unused: its client has disconnected, and it was never used.
    """

    id: bytes
    owner: int | None
    owner_alive: bool
    idle_ticks: int
    busy: bool
    is_unused: bool = False


class ReapNow(Struct, frozen=True):
    """The decision to end a session."""

    id: bytes
    why: EndReason


def judge(sessions: Iterable[SessionFacts], idle_ticks: float = IDLE_TICKS) -> list[ReapNow]:
    """Return the sessions to end; activity in one session of an owner counts for all of that owner's sessions.

    :param idle_ticks: the seconds for which a session without a known owner may be silent.
    """
    sessions = list(sessions)
    quiet: dict[int, int] = {}
    for each in sessions:
        if each.owner is not None:
            idle = 0 if each.busy else each.idle_ticks
            quiet[each.owner] = min(idle, quiet.get(each.owner, idle))
    return [
        ReapNow(each.id, why) for each in sessions if (why := _verdict(each, quiet, idle_ticks)) is not None
    ]


def _verdict(session: SessionFacts, quiet: dict[int, int], idle_ticks: float) -> EndReason | None:
    if session.owner is not None and not session.owner_alive:
        return EndReason.OWNER_DEAD
    if session.busy:
        return None
    if session.owner is None:
        if session.is_unused:
            return EndReason.LEFT
        return EndReason.IDLE if session.idle_ticks >= idle_ticks else None
    return EndReason.IDLE if quiet[session.owner] >= OWNED_IDLE_TICKS else None
