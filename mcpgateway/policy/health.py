"""The health of one instance of a server, as a state machine above that of `mcpgateway.policy.lifecycle`.

The machine takes every event in every state.  It has no clock: its actions wait, and ``retry`` reports the end of the
wait.  A server with several instances is shown in the worst state that one of them is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Protocol

from mcpgateway.records import Record

if TYPE_CHECKING:
    from automat import TypeMachine


class HealthState(Enum):
    """The states, with the words by which they are shown."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"  # only shown: it runs, and is frozen until the next message
    DEGRADED = "degraded"
    RESTARTING = "restarting"
    ERROR = "error"
    UNREACHABLE = "unreachable"
    DISABLED = "disabled"
    IDLE = "idle"
    NEEDS_LOGIN = "needs login"


STATES: tuple[HealthState, ...] = tuple(state for state in HealthState if state is not HealthState.ASLEEP)
"""The states of the machine; a frozen child is one that runs."""

UP = frozenset((HealthState.RUNNING, HealthState.ASLEEP, HealthState.DEGRADED))
"""The states in which calls are answered."""

_FROM_BEST = (
    HealthState.STOPPED,
    HealthState.IDLE,
    HealthState.ASLEEP,
    HealthState.NEEDS_LOGIN,  # of one user, which does not concern the others
    HealthState.RUNNING,
    HealthState.STARTING,
    HealthState.DEGRADED,
    HealthState.RESTARTING,
    HealthState.UNREACHABLE,
    HealthState.ERROR,
    HealthState.DISABLED,
)


def worst(states: Iterable[HealthState]) -> HealthState:
    """Return the state to show for a server: the worst of its instances' states, or stopped if it has none."""
    return max(states, key=_FROM_BEST.index, default=HealthState.STOPPED)


class HealthActions(Protocol):
    """The actions of the machine."""

    def became(self, state: HealthState) -> None:
        """Record the instance's new state."""

    def wait(self) -> None:
        """Send ``retry`` when the time for another try has come, if there is to be one."""

    def probe(self) -> None:
        """Send ``retry`` when the server's address answers."""

    def start(self) -> None:
        """Try to start the instance."""


class HealthMachine(Record):
    """The machine's one collaborator."""

    hands: HealthActions


class InstanceCondition(Protocol):
    """The events of an instance."""

    def started(self) -> None:
        """A child is being started, for any reason."""

    def ready(self) -> None:
        """The handshake is done."""

    def failed(self) -> None:
        """The child could not be started, or failed its handshake."""

    def crashed(self) -> None:
        """The child has ended although it is in use, or while it was being started."""

    def faltered(self) -> None:
        """The child did not answer a ping, or its service reports a failure."""

    def recovered(self) -> None:
        """The child answers again, and its service reports no failure."""

    def replaced(self) -> None:
        """The child is stopped on purpose, and started again at once."""

    def stopped(self) -> None:
        """The child was stopped on purpose, or has ended without use."""

    def rested(self) -> None:
        """The same, and its lists are known without it."""

    def lost(self) -> None:
        """The server's address does not answer."""

    def retry(self) -> None:
        """The wait for the next try is over, or its address answers again."""

    def stuck(self) -> None:
        """A start was due long ago, and has not begun."""

    def disabled(self) -> None:
        """An operator has switched it off, or it has failed too often."""

    def enabled(self) -> None:
        """The server may be started again."""

    def unauthorized(self) -> None:
        """The server needs its user to sign in, which is no failure of its."""

    def authorized(self) -> None:
        """Its user has signed in."""


Event = Callable[[InstanceCondition], None]
_EVENTS: tuple[Event, ...] = (
    InstanceCondition.started,
    InstanceCondition.ready,
    InstanceCondition.failed,
    InstanceCondition.crashed,
    InstanceCondition.faltered,
    InstanceCondition.recovered,
    InstanceCondition.replaced,
    InstanceCondition.stopped,
    InstanceCondition.rested,
    InstanceCondition.lost,
    InstanceCondition.retry,
    InstanceCondition.stuck,
    InstanceCondition.disabled,
    InstanceCondition.enabled,
    InstanceCondition.unauthorized,
    InstanceCondition.authorized,
)


def _became(state: HealthState) -> Callable[[InstanceCondition, HealthMachine], None]:
    def arrive(condition: InstanceCondition, core: HealthMachine) -> None:
        core.hands.became(state)

    return arrive


def _wait_in(state: HealthState) -> Callable[[InstanceCondition, HealthMachine], None]:
    def arrive(condition: InstanceCondition, core: HealthMachine) -> None:
        core.hands.became(state)
        core.hands.wait()

    return arrive


def _probe(condition: InstanceCondition, core: HealthMachine) -> None:
    core.hands.became(HealthState.UNREACHABLE)
    core.hands.probe()


def _restart(condition: InstanceCondition, core: HealthMachine) -> None:
    core.hands.became(HealthState.RESTARTING)
    core.hands.start()


def _start(condition: InstanceCondition, core: HealthMachine) -> None:
    core.hands.start()


_NOT_RUNNING = (
    HealthState.STOPPED,
    HealthState.IDLE,
    HealthState.RESTARTING,
    HealthState.ERROR,
    HealthState.UNREACHABLE,
    HealthState.NEEDS_LOGIN,
)
_WANTED = (
    HealthState.STARTING,
    HealthState.RUNNING,
    HealthState.DEGRADED,
    HealthState.RESTARTING,
    HealthState.ERROR,
)
_ALL_BUT_DISABLED = tuple(state for state in STATES if state is not HealthState.DISABLED)

_PATHS: tuple[
    tuple[Event, tuple[HealthState, ...], HealthState, Callable[[InstanceCondition, HealthMachine], None]],
    ...,
] = (
    (InstanceCondition.started, _NOT_RUNNING, HealthState.STARTING, _became(HealthState.STARTING)),
    (InstanceCondition.ready, (HealthState.STARTING,), HealthState.RUNNING, _became(HealthState.RUNNING)),
    (InstanceCondition.failed, (HealthState.STARTING,), HealthState.ERROR, _wait_in(HealthState.ERROR)),
    (InstanceCondition.crashed, (HealthState.STARTING,), HealthState.ERROR, _wait_in(HealthState.ERROR)),
    (
        InstanceCondition.crashed,
        (HealthState.RUNNING, HealthState.DEGRADED),
        HealthState.RESTARTING,
        _wait_in(HealthState.RESTARTING),
    ),
    (InstanceCondition.faltered, (HealthState.RUNNING,), HealthState.DEGRADED, _became(HealthState.DEGRADED)),
    (InstanceCondition.recovered, (HealthState.DEGRADED,), HealthState.RUNNING, _became(HealthState.RUNNING)),
    (
        InstanceCondition.replaced,
        (HealthState.RUNNING, HealthState.DEGRADED),
        HealthState.RESTARTING,
        _became(HealthState.RESTARTING),
    ),
    (InstanceCondition.retry, (HealthState.RESTARTING,), HealthState.RESTARTING, _start),
    (InstanceCondition.retry, (HealthState.UNREACHABLE,), HealthState.UNREACHABLE, _start),
    (InstanceCondition.retry, (HealthState.ERROR,), HealthState.RESTARTING, _restart),
    (
        InstanceCondition.stuck,
        (HealthState.STARTING, HealthState.RESTARTING),
        HealthState.ERROR,
        _wait_in(HealthState.ERROR),
    ),
    (InstanceCondition.lost, _WANTED, HealthState.UNREACHABLE, _probe),
    (
        InstanceCondition.stopped,
        (*_WANTED, HealthState.UNREACHABLE),
        HealthState.STOPPED,
        _became(HealthState.STOPPED),
    ),
    (
        InstanceCondition.rested,
        (*_WANTED, HealthState.UNREACHABLE, HealthState.STOPPED),
        HealthState.IDLE,
        _became(HealthState.IDLE),
    ),
    (InstanceCondition.disabled, _ALL_BUT_DISABLED, HealthState.DISABLED, _became(HealthState.DISABLED)),
    (InstanceCondition.enabled, (HealthState.DISABLED,), HealthState.STOPPED, _became(HealthState.STOPPED)),
    (
        InstanceCondition.unauthorized,
        (HealthState.STARTING, HealthState.RUNNING, HealthState.DEGRADED),
        HealthState.NEEDS_LOGIN,
        _became(HealthState.NEEDS_LOGIN),
    ),
    (
        InstanceCondition.authorized,
        (HealthState.NEEDS_LOGIN,),
        HealthState.STOPPED,
        _became(HealthState.STOPPED),
    ),
)


@cache
def machine() -> TypeMachine[InstanceCondition, HealthMachine]:
    """Return the machine, whose call makes a condition; it is built with the first instance of a server."""
    from automat import TypeMachineBuilder  # an idle gateway has no instance

    builder = TypeMachineBuilder(InstanceCondition, HealthMachine)
    states = {state: builder.state(state.value) for state in STATES}
    left = {(event, state) for event in _EVENTS for state in STATES}
    for event, sources, target, output in _PATHS:
        for source in sources:
            left.remove((event, source))
            states[source].upon(event).to(states[target])(output)
    # Other events of an instance are late or known already: a child that is being stopped still ends, for one.
    for event, state in left:
        states[state].upon(event).loop().returns(None)
    return builder.build()


def new_condition(core: HealthMachine) -> InstanceCondition:
    """Return the condition of an instance that has not been started."""
    return machine()(core)
