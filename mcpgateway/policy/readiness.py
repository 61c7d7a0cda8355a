"""The readiness of a server, and the steps that it needs, as a number that scripts can branch on.

==== ============= =====================================================================================
code word          meaning
==== ============= =====================================================================================
0    ready         the server runs; a call is answered at once
10   needs start   the server does not run yet: a call starts it, and so does waiting for it
11   needs you     the user has to act first: approve of its file, sign in there, or switch it on
12   failed        no such server exists, or it could not be started or reached
==== ============= =====================================================================================

The code of several servers is the largest of theirs: the worst one has to be seen to first.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from msgspec import Struct

from mcpgateway.policy.health import UP, HealthState
from mcpgateway.records import FrozenRecord

AUTHORIZATION, APPROVAL = "authorization", "approval"
"""A step that a server may need of its user."""

APPROVE = "mcpgateway config approve FILE lets the servers of a repository run"


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
        return Verdict(Code.NEEDS_YOU, "it is switched off", f"mcpgateway servers enable {name}")
    if facts.needs and facts.state not in UP:
        hint = login(name) if facts.needs == AUTHORIZATION else APPROVE
        return Verdict(Code.NEEDS_YOU, error or f"it needs its user's {facts.needs}", hint)
    match facts.state:
        case HealthState.RUNNING:
            return Verdict(Code.READY)
        case HealthState.DEGRADED:
            return Verdict(
                Code.READY, f"it runs, though not well: {error}" if error else "it runs, though not well"
            )
        case HealthState.STOPPED | HealthState.IDLE:
            return Verdict(Code.NEEDS_START, "it does not run", f"mcpgateway wait {name}")
        case HealthState.STARTING | HealthState.RESTARTING:
            return Verdict(Code.NEEDS_START, f"it is {facts.state.value}", f"mcpgateway wait {name}")
        case HealthState.DISABLED:
            why = f"it has failed too often: {error}" if error else "it has failed too often"
            return Verdict(Code.FAILED, why, f"mcpgateway servers reset-circuit {name}")
        case HealthState.NEEDS_LOGIN:
            return Verdict(Code.NEEDS_YOU, error or "it wants its user to sign in", login(name))
        case HealthState.ERROR | HealthState.UNREACHABLE:
            return Verdict(
                Code.FAILED, error or f"it is in the state {facts.state.value}", f"mcpgateway why {name}"
            )


def login(name: str) -> str:
    """Return the command that signs a user in at a server."""
    return f"mcpgateway servers login {name}"


def worst(codes: Iterable[Code]) -> Code:
    """Return the code of several servers; ready for none."""
    return max(codes, default=Code.READY)
