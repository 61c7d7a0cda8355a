"""The life of a slot's child, as a machine: cold, starting, warm, stopping.

The machine has no clock and no Deferred; its actions have.  They kill a child that failed its handshake and forget it
at once, so that its later exit is no input here.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder


class LifecycleActions(Protocol):
    """The actions of the machine."""

    def start(self) -> None:
        """Spawn the child and begin its handshake."""

    def serve(self) -> None:
        """Send the messages that wait to the child."""

    def refuse(self) -> None:
        """Answer the waiting requests with the reason of the failure."""

    def stop(self) -> None:
        """Stop the child, by increasingly forceful means."""

    def rest(self) -> None:
        """Report to those who wait for the end that no process runs any more."""


@define(eq=False, repr=False)
class LifecycleMachine:
    """The machine's one collaborator."""

    hands: LifecycleActions


class LifecycleEvent(Protocol):
    """The events of a slot."""

    def wanted(self) -> None:
        """A request needs the child."""

    def ready(self) -> None:
        """The handshake is done."""

    def failed(self) -> None:
        """The child could not be started, or failed its handshake."""

    def ending(self) -> None:
        """A request cannot be written to the child, whose exit follows."""

    def gone(self) -> None:
        """The child's process has exited."""

    def unwanted(self) -> None:
        """The child is to be stopped."""


_builder = TypeMachineBuilder(LifecycleEvent, LifecycleMachine)

_cold = _builder.state("cold")
_starting = _builder.state("starting")
_warm = _builder.state("warm")
_stopping = _builder.state("stopping")
_returning = _builder.state("returning")  # wanted again while it was being stopped, or ending

_starting.upon(LifecycleEvent.wanted).loop().returns(None)
_warm.upon(LifecycleEvent.wanted).loop().returns(None)
_returning.upon(LifecycleEvent.wanted).loop().returns(None)
_warm.upon(LifecycleEvent.ending).to(_returning).returns(None)
_returning.upon(LifecycleEvent.ending).loop().returns(None)
_cold.upon(LifecycleEvent.ending).loop().returns(None)
_starting.upon(LifecycleEvent.ending).loop().returns(None)
_stopping.upon(LifecycleEvent.ending).loop().returns(None)
_stopping.upon(LifecycleEvent.wanted).to(_returning).returns(None)
_stopping.upon(LifecycleEvent.unwanted).loop().returns(None)
# The child may exit before the outcome of its handshake is reported.
_cold.upon(LifecycleEvent.gone).loop().returns(None)
_cold.upon(LifecycleEvent.failed).loop().returns(None)
_warm.upon(LifecycleEvent.failed).loop().returns(None)
_warm.upon(LifecycleEvent.ready).loop().returns(None)
_cold.upon(LifecycleEvent.ready).loop().returns(None)
_stopping.upon(LifecycleEvent.ready).loop().returns(None)
_returning.upon(LifecycleEvent.ready).loop().returns(None)


@_cold.upon(LifecycleEvent.wanted).to(_starting)
def _start(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.start()


@_starting.upon(LifecycleEvent.ready).to(_warm)
def _open(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.serve()


@_starting.upon(LifecycleEvent.failed).to(_cold)
def _refuse(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.refuse()


@_starting.upon(LifecycleEvent.gone).to(_cold)
def _refuse_gone(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.refuse()


@_warm.upon(LifecycleEvent.gone).to(_cold)
def _lose(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.rest()


@_starting.upon(LifecycleEvent.unwanted).to(_stopping)
def _abort(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.refuse()
    core.hands.stop()


@_returning.upon(LifecycleEvent.unwanted).to(_stopping)
def _no_return(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.refuse()


@_warm.upon(LifecycleEvent.unwanted).to(_stopping)
def _stop(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.stop()


@_cold.upon(LifecycleEvent.unwanted).loop()
def _already(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.rest()


@_stopping.upon(LifecycleEvent.failed).to(_cold)
@_stopping.upon(LifecycleEvent.gone).to(_cold)
def _stopped(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.rest()


@_returning.upon(LifecycleEvent.failed).to(_starting)
@_returning.upon(LifecycleEvent.gone).to(_starting)
def _again(life: LifecycleEvent, core: LifecycleMachine) -> None:
    core.hands.rest()
    core.hands.start()


new_life = _builder.build()
