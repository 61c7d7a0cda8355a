"""The readiness of a server, and the steps that it needs, as a number that scripts can branch on.

==== ============= =====================================================================================
code word          meaning
==== ============= =====================================================================================
0    ready         the server runs; a call is answered at once
10   needs start   the server does not run yet: a call starts it, and so does waiting for it
11   needs you     the user has to act first: approve its file, sign in there, or switch it on
12   failed        no such server exists, or it could not be started or reached
==== ============= =====================================================================================

The code of several servers is the largest of theirs: the worst one has to be seen to first.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct

from mcpgateway.hints import cli, with_command
from mcpgateway.policy.health import UP, HealthState
from mcpgateway.records import FrozenRecord

AUTHORIZATION, APPROVAL = "authorization", "approval"
"""A step that a server may need of its user."""

FAILED, NOT_READY = "failed", "not ready"
"""The states of servers that their circuit breaker has switched off, and that their next call could not start."""

_RESTING = frozenset((HealthState.STOPPED.value, HealthState.IDLE.value))

APPROVE = f"{cli('config approve FILE')} lets the servers of a repository run"


class Remedy(NamedTuple):
    """A remedy, and the command for it; either may be empty."""

    do: str = ""
    run: str = ""

    def __str__(self) -> str:
        """Return both in one line."""
        return with_command(self.do, self.run)


NO_REMEDY = Remedy()


class Code(IntEnum):
    """The readiness of a server; the larger, the worse."""

    READY = 0
    NEEDS_START = 10
    NEEDS_YOU = 11
    FAILED = 12

    @property
    def word(self) -> str:
        """The code, in words."""
        return _WORDS[self]


_WORDS = {
    Code.READY: "ready",
    Code.NEEDS_START: "needs start",
    Code.NEEDS_YOU: "needs you",
    Code.FAILED: "failed",
}


class ReadinessFacts(FrozenRecord, frozen=True):
    """The state of a server.

    :ivar needs: `AUTHORIZATION`, `APPROVAL` or nothing.
    :ivar is_off: it is switched off, in the configuration or since.
    :ivar is_off: it is switched off, in the configuration or by an operator.
    """

    name: str
    state: HealthState
    needs: str = ""
    is_off: bool = False
    error: str = ""


class Verdict(Struct, frozen=True):
    """The readiness of a server, the reason and the remedy; both empty where it needs none."""

    code: Code
    why: str = ""
    hint: str = ""


def judge(facts: ReadinessFacts) -> Verdict:
    """Return the readiness of a server."""
    name, error = facts.name, facts.error
    if facts.is_off:
        return Verdict(Code.NEEDS_YOU, "it is switched off", cli("servers enable {}", name))
    if facts.needs and facts.state not in UP:
        hint = login(name) if facts.needs == AUTHORIZATION else APPROVE
        return Verdict(Code.NEEDS_YOU, error or f"it needs its user's {facts.needs}", hint)
    match facts.state:
        case HealthState.RUNNING | HealthState.ASLEEP:
            return Verdict(Code.READY)
        case HealthState.DEGRADED:
            return Verdict(
                Code.READY, f"it runs, though not well: {error}" if error else "it runs, though not well"
            )
        case HealthState.STOPPED | HealthState.IDLE:
            return Verdict(Code.NEEDS_START, "it does not run", cli("wait {}", name))
        case HealthState.STARTING | HealthState.RESTARTING:
            return Verdict(Code.NEEDS_START, f"it is {facts.state.value}", cli("wait {}", name))
        case HealthState.DISABLED:
            why = f"it has failed too often: {error}" if error else "it has failed too often"
            return Verdict(Code.FAILED, why, cli("servers reset-circuit {}", name))
        case HealthState.NEEDS_LOGIN:
            return Verdict(Code.NEEDS_YOU, error or "it wants its user to sign in", login(name))
        case HealthState.ERROR | HealthState.UNREACHABLE:
            return Verdict(
                Code.FAILED, error or f"it is in the state {facts.state.value}", cli("why {}", name)
            )


def shown_state(status: str, *, is_faulty: bool) -> str:
    """Return the word for the state of a server, which tells one that has failed from one that its user switched off.

    :param is_faulty: a fault keeps the server from working.
    """
    if is_faulty and status == HealthState.DISABLED.value:
        return FAILED
    return NOT_READY if is_faulty and status in _RESTING else status


def login(name: str) -> str:
    """Return the command that signs a user in at a server."""
    return cli("servers login {}", name)


def edit(name: str) -> str:
    """Return the command that opens the entry of a server in an editor."""
    return cli("servers edit {}", name)


def worst(codes: Iterable[Code]) -> Code:
    """Return the code of several servers; ready for none."""
    return max(codes, default=Code.READY)
