"""How one instance of a server fares, as a machine; what `mcpgateway.policy.lifecycle` does mechanically, judged.

The machine takes every event in every state.  It knows no clock: it asks its hands for a wait, and is told by ``retry``
that the wait is over.  A server with several instances is shown in the worst state that one of them is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder


class State(Enum):
    """The states, as they are shown."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    RESTARTING = "restarting"
    ERROR = "error"
    UNREACHABLE = "unreachable"
    DISABLED = "disabled"
    IDLE = "idle"
    NEEDS_LOGIN = "needs login"


UP = frozenset((State.RUNNING, State.DEGRADED))
"""The states in which calls are answered."""

_FROM_BEST = (
    State.STOPPED,
    State.IDLE,
    State.NEEDS_LOGIN,  # of one user, which is no matter of the others'
    State.RUNNING,
    State.STARTING,
    State.DEGRADED,
    State.RESTARTING,
    State.UNREACHABLE,
    State.ERROR,
    State.DISABLED,
)


def worst(states: Iterable[State]) -> State:
    """What a server is shown in whose instances are in these states; stopped if there are none."""
    return max(states, key=_FROM_BEST.index, default=State.STOPPED)


class Hands(Protocol):
    """What the machine asks for."""

    def became(self, state: State) -> None:
        """It is in this state now."""

    def wait(self) -> None:
        """Tell it by ``retry`` when it is time for another try, if there is to be one."""

    def probe(self) -> None:
        """Tell it by ``retry`` when its address answers."""

    def start(self) -> None:
        """Try to start it."""


@define
class Core:
    """The machine's one collaborator."""

    hands: Hands


class Condition(Protocol):
    """What can happen to an instance."""

    def started(self) -> None:
        """It is being started, whoever wanted it."""

    def ready(self) -> None:
        """The handshake is done."""

    def failed(self) -> None:
        """It could not be started, or failed its handshake."""

    def crashed(self) -> None:
        """It has ended though somebody uses it, or while it was being started."""

    def faltered(self) -> None:
        """It did not answer a ping, or its service reports that it is not well."""

    def recovered(self) -> None:
        """It answers again, and its service is well."""

    def replaced(self) -> None:
        """It is stopped on purpose, and started again at once."""

    def stopped(self) -> None:
        """It was stopped on purpose, or has ended and nobody needs it."""

    def rested(self) -> None:
        """The same, and what it offers is known without it."""

    def lost(self) -> None:
        """Nothing answers at its address."""

    def retry(self) -> None:
        """The wait for the next try is over, or its address answers again."""

    def stuck(self) -> None:
        """It was to be started long ago, and nothing has come of it."""

    def disabled(self) -> None:
        """An operator has switched it off, or it has failed too often."""

    def enabled(self) -> None:
        """It may be started again."""

    def unauthorized(self) -> None:
        """It wants its user to sign in, which is no failure of its."""

    def authorized(self) -> None:
        """Its user has signed in."""


_builder = TypeMachineBuilder(Condition, Core)
_states = {state: _builder.state(state.value) for state in State}

Event = Callable[[Condition], None]
_EVENTS: tuple[Event, ...] = (
    Condition.started,
    Condition.ready,
    Condition.failed,
    Condition.crashed,
    Condition.faltered,
    Condition.recovered,
    Condition.replaced,
    Condition.stopped,
    Condition.rested,
    Condition.lost,
    Condition.retry,
    Condition.stuck,
    Condition.disabled,
    Condition.enabled,
    Condition.unauthorized,
    Condition.authorized,
)


def _became(state: State) -> Callable[[Condition, Core], None]:
    def arrive(condition: Condition, core: Core) -> None:
        core.hands.became(state)

    return arrive


def _wait_in(state: State) -> Callable[[Condition, Core], None]:
    def arrive(condition: Condition, core: Core) -> None:
        core.hands.became(state)
        core.hands.wait()

    return arrive


def _probe(condition: Condition, core: Core) -> None:
    core.hands.became(State.UNREACHABLE)
    core.hands.probe()


def _restart(condition: Condition, core: Core) -> None:
    core.hands.became(State.RESTARTING)
    core.hands.start()


def _start(condition: Condition, core: Core) -> None:
    core.hands.start()


_NOT_RUNNING = (
    State.STOPPED,
    State.IDLE,
    State.RESTARTING,
    State.ERROR,
    State.UNREACHABLE,
    State.NEEDS_LOGIN,
)
_WANTED = (State.STARTING, State.RUNNING, State.DEGRADED, State.RESTARTING, State.ERROR)
_ALL_BUT_DISABLED = tuple(state for state in State if state is not State.DISABLED)

_PATHS: tuple[tuple[Event, tuple[State, ...], State, Callable[[Condition, Core], None]], ...] = (
    (Condition.started, _NOT_RUNNING, State.STARTING, _became(State.STARTING)),
    (Condition.ready, (State.STARTING,), State.RUNNING, _became(State.RUNNING)),
    (Condition.failed, (State.STARTING,), State.ERROR, _wait_in(State.ERROR)),
    (Condition.crashed, (State.STARTING,), State.ERROR, _wait_in(State.ERROR)),
    (Condition.crashed, (State.RUNNING, State.DEGRADED), State.RESTARTING, _wait_in(State.RESTARTING)),
    (Condition.faltered, (State.RUNNING,), State.DEGRADED, _became(State.DEGRADED)),
    (Condition.recovered, (State.DEGRADED,), State.RUNNING, _became(State.RUNNING)),
    (
        Condition.replaced,
        (State.RUNNING, State.DEGRADED),
        State.RESTARTING,
        _became(State.RESTARTING),
    ),
    (Condition.retry, (State.RESTARTING,), State.RESTARTING, _start),
    (Condition.retry, (State.UNREACHABLE,), State.UNREACHABLE, _start),
    (Condition.retry, (State.ERROR,), State.RESTARTING, _restart),
    (Condition.stuck, (State.STARTING, State.RESTARTING), State.ERROR, _wait_in(State.ERROR)),
    (Condition.lost, _WANTED, State.UNREACHABLE, _probe),
    (Condition.stopped, (*_WANTED, State.UNREACHABLE), State.STOPPED, _became(State.STOPPED)),
    (Condition.rested, (*_WANTED, State.UNREACHABLE, State.STOPPED), State.IDLE, _became(State.IDLE)),
    (Condition.disabled, _ALL_BUT_DISABLED, State.DISABLED, _became(State.DISABLED)),
    (Condition.enabled, (State.DISABLED,), State.STOPPED, _became(State.STOPPED)),
    (
        Condition.unauthorized,
        (State.STARTING, State.RUNNING, State.DEGRADED),
        State.NEEDS_LOGIN,
        _became(State.NEEDS_LOGIN),
    ),
    (Condition.authorized, (State.NEEDS_LOGIN,), State.STOPPED, _became(State.STOPPED)),
)


def _build() -> None:
    left = {(event, state) for event in _EVENTS for state in State}
    for event, sources, target, output in _PATHS:
        for source in sources:
            left.remove((event, source))
            _states[source].upon(event).to(_states[target])(output)
    # Whatever else is said of an instance is late or was known: a child that is being stopped still ends, for one.
    for event, state in left:
        _states[state].upon(event).loop().returns(None)


_build()
new_condition = _builder.build()
