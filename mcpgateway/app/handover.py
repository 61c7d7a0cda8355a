"""Hand the running children over to the program that is executed in this one's place, and take them over from it."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec
from twisted.logger import Logger

from mcpgateway.records import Record
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.handover import IS_POSSIBLE, Handover, received
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.views.specs import view_specs

if TYPE_CHECKING:
    from mcpgateway.hub.children.records import HubState


class GatewayHandover(Record):
    """Both ends of the hand-over of one program.

    :ivar received: the state of the former program, until it is taken over; None at an ordinary start.
    :ivar record: the state for the next program, once it is complete; None where all children end.
    """

    received: Handover | None = None
    record: Handover | None = None
    _state: HubState | None = None

    log = Logger()

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """Return the hand-over to this program."""
        return cls(received(environ))

    @property
    def starts(self) -> int:
        """The number of children that the former program has started; 0 at an ordinary start."""
        return self.received.starts if self.received is not None else 0

    def make_ward(self, home: str, reactor: Any, afterwards: Sequence[str]) -> ChildGuard:
        """Return the guard of children, with the guardian and the name of the former program's."""
        former = self.received
        instance = former.instance if former is not None else secrets.token_hex(8)
        guardian = Guardian(reactor, instance, afterwards)
        if former is not None:
            guardian.take_over(former.guardian, former.guardian_pipe)
        return ChildGuard(ChildRegistry(home, instance), guardian)

    def take_over(self, service: Any) -> None:
        """Take over the children and sessions of the former program; those that fail are started again."""
        former, self.received = self.received, None
        if former is None:
            return
        from mcpgateway.hub.children.inheritance import Inheritance  # after a restart only
        from mcpgateway.hub.children.records import HubState

        hub = service.hub
        views = {each.name: each for each in view_specs(hub.views_config)}
        try:
            state = msgspec.msgpack.decode(former.hub, type=HubState)
            Inheritance(hub.dispatcher, state, service.launcher.dismiss, views).settle()
        except Exception:  # noqa: BLE001 - a gateway without its former children serves all the same
            self.log.failure("children could not be taken over", event="handover.failed")
            for child in former.children:
                service.launcher.dismiss(child)

    def begin(self, service: Any) -> None:
        """Take the children that go on out of the hub, if the next program can take them over."""
        if not IS_POSSIBLE or service.node is not None or service.ward.guardian.pid is None:
            return
        from mcpgateway.hub.children.hand_over import hand_over

        self._state = hand_over(service.dispatcher.pool, service.dispatcher.sessions)

    def end(self, service: Any) -> bool:
        """Complete the record when all other children have ended; return False where none goes on."""
        state, self._state = self._state, None
        guardian = service.ward.hand_over() if state is not None else None
        if state is None or guardian is None:
            return False
        self.record = Handover(
            service.ward.instance,
            service.launcher.count,
            guardian[0],
            guardian[1],
            tuple(each.child for each in state.slots),
            msgspec.msgpack.encode(state),
        )
        self.log.info(
            "{children} servers and {sessions} sessions are handed over",
            event="handover.complete",
            children=len(state.slots),
            sessions=len(state.sessions),
        )
        return True
