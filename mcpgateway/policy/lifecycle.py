"""The life of a slot's child, as a machine: cold, starting, warm, stopping.

The machine knows no clock and no Deferred; it asks its hands.  A child that failed its handshake is killed by the hands
and forgotten at once, so its later exit is no input here.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder


class Hands(Protocol):
    """What the machine asks for."""

    def start(self) -> None:
        """Spawn the child and shake hands with it."""

    def serve(self) -> None:
        """Send what has waited."""

    def refuse(self) -> None:
        """Answer what has waited with the reason of the failure."""

    def stop(self) -> None:
        """Climb the stop ladder."""

    def rest(self) -> None:
        """Tell those who waited for the end that nothing runs any more."""


@define
class Core:
    """The machine's one collaborator."""

    hands: Hands


class Life(Protocol):
    """What can happen to a slot."""

    def wanted(self) -> None:
        """Somebody has a use for the child."""

    def ready(self) -> None:
        """The handshake is done."""

    def failed(self) -> None:
        """It could not be started, or failed its handshake."""

    def gone(self) -> None:
        """The child's process has exited."""

    def unwanted(self) -> None:
        """The child is to be stopped."""


_builder = TypeMachineBuilder(Life, Core)

_cold = _builder.state("cold")
_starting = _builder.state("starting")
_warm = _builder.state("warm")
_stopping = _builder.state("stopping")
_returning = _builder.state("returning")  # wanted again while it was being stopped

_starting.upon(Life.wanted).loop().returns(None)
_warm.upon(Life.wanted).loop().returns(None)
_returning.upon(Life.wanted).loop().returns(None)
_stopping.upon(Life.wanted).to(_returning).returns(None)
_returning.upon(Life.unwanted).to(_stopping).returns(None)
_stopping.upon(Life.unwanted).loop().returns(None)
# The child may exit while the verdict on its handshake is still on its way.
_cold.upon(Life.gone).loop().returns(None)
_cold.upon(Life.failed).loop().returns(None)
_warm.upon(Life.failed).loop().returns(None)
_warm.upon(Life.ready).loop().returns(None)
_cold.upon(Life.ready).loop().returns(None)
_stopping.upon(Life.ready).loop().returns(None)
_returning.upon(Life.ready).loop().returns(None)


@_cold.upon(Life.wanted).to(_starting)
def _start(life: Life, core: Core) -> None:
    core.hands.start()


@_starting.upon(Life.ready).to(_warm)
def _open(life: Life, core: Core) -> None:
    core.hands.serve()


@_starting.upon(Life.failed).to(_cold)
def _refuse(life: Life, core: Core) -> None:
    core.hands.refuse()


@_starting.upon(Life.gone).to(_cold)
def _refuse_gone(life: Life, core: Core) -> None:
    core.hands.refuse()


@_warm.upon(Life.gone).to(_cold)
def _lose(life: Life, core: Core) -> None:
    core.hands.rest()


@_starting.upon(Life.unwanted).to(_stopping)
def _abort(life: Life, core: Core) -> None:
    core.hands.refuse()
    core.hands.stop()


@_warm.upon(Life.unwanted).to(_stopping)
def _stop(life: Life, core: Core) -> None:
    core.hands.stop()


@_cold.upon(Life.unwanted).loop()
def _already(life: Life, core: Core) -> None:
    core.hands.rest()


@_stopping.upon(Life.failed).to(_cold)
@_stopping.upon(Life.gone).to(_cold)
def _stopped(life: Life, core: Core) -> None:
    core.hands.rest()


@_returning.upon(Life.failed).to(_starting)
@_returning.upon(Life.gone).to(_starting)
def _again(life: Life, core: Core) -> None:
    core.hands.rest()
    core.hands.start()


new_life = _builder.build()
