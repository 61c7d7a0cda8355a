"""Hand the running children over to the program that is executed in this one's place, and take them over from it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Container, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import replace
from twisted.internet.task import cooperate
from twisted.logger import Logger

# At once: an upgrade may have replaced their files when they are needed.
from mcpgateway.frontends.http.channel_factory import ChannelFactory
from mcpgateway.frontends.http.inherited_connections import (
    LeavingStream,
    leaving,
    may_leave,
    resume,
    staying,
)
from mcpgateway.frontends.http.listeners import NOTHING, Inheritance
from mcpgateway.hub.children.hand_over import goes_on, hand_over
from mcpgateway.inherited import ConnectionState, Inherited, InheritedTemplate
from mcpgateway.records import Record
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.fall_back import is_armed
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.handover import IS_POSSIBLE, Handover, NodeHandover, left_open, received
from mcpgateway.system.process.memory import without_collections
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.system.reexec import taken_over
from mcpgateway.views.specs import view_specs

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode
    from mcpgateway.frontends.http.node_port import NodePort
    from mcpgateway.hub.children.records import HubState


class GatewayHandover(Record):
    """Both ends of the hand-over of one program.

    :ivar received: the state of the former program, until it is taken over; None at an ordinary start.
    :ivar dismiss: stops a server of the former program for which there is no use.
    :ivar is_wanted: True if the next program reads such a record.
    :ivar record: the state for the next program, once it is complete; None where all children end.
    """

    received: Handover | None = None
    record: Handover | None = None
    dismiss: Callable[[str, Inherited], None] | None = None
    is_wanted: bool = False
    _state: HubState | None = None
    _connections: tuple[ConnectionState, ...] = ()
    _node_connections: tuple[ConnectionState, ...] = ()
    _templates: tuple[InheritedTemplate, ...] = ()
    _steps: Iterator[None] = iter(())

    log = Logger()

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """Return the hand-over to this program."""
        return cls(received(environ))

    @property
    def starts(self) -> int:
        """The number of children that the former program has started; 0 at an ordinary start."""
        return self.received.starts if self.received is not None else 0

    @property
    def node(self) -> bytes:
        """The node of a cluster that the former program was; empty for a gateway that was alone."""
        former = self.received.node if self.received is not None else None
        return former.state if former is not None else b""

    def sockets_of(self, node: ClusterNode | None) -> Inheritance:
        """Return the sockets for other nodes that the former program has left, if this one is the same node."""
        if self.received is None or self.received.node is None:
            return NOTHING
        if node is not None and node.former is not None:
            return taken_over(self.received.node.sockets)
        for each in (*self.received.node.sockets, *(c.descriptor for c in self.received.node.connections)):
            os.close(each)
        self.received = replace(self.received, node=None)
        return NOTHING

    def make_ward(self, home: str, reactor: Any, afterwards: Sequence[str]) -> ChildGuard:
        """Return the guard of children, with the guardian and the name of the former program's."""
        former = self.received
        instance = former.instance if former is not None else secrets.token_hex(8)
        guardian = Guardian(reactor, instance, afterwards)
        if former is not None and former.guardian is not None:
            guardian.take_over(*former.guardian)
        return ChildGuard(ChildRegistry(home, instance), guardian)

    def take_over(self, service: Any) -> None:
        """Take over the children and sessions of the former program; those that fail are started again."""
        former, self.received = self.received, None
        if former is None or self.dismiss is None:
            return
        service.launcher.take_over(former.templates)
        from mcpgateway.hub.children.inheritance import Inheritance  # after a restart only
        from mcpgateway.hub.children.records import HubState

        if former.events:
            with self._apart("the events of the former program"):
                service.observation.events.precede(former.events)
        hub = service.hub
        try:
            views = {each.name: each for each in view_specs(hub.views_config)}
            state = msgspec.msgpack.decode(former.hub, type=HubState)
            inheritance = Inheritance(
                hub.dispatcher, state, self.dismiss, views, lambda: hub.modern_dispatcher
            )
            with without_collections():
                self._steps = self._going_on(inheritance.settle())
        except Exception:  # a gateway without its former children serves all the same
            if is_armed():  # the former program keeps them
                raise
            self.log.failure("children could not be taken over", event="handover.failed")
            for child in former.children:
                self.dismiss(child.server, child)
        self._resume(service, former)
        cooperate(self._steps)

    def _going_on(self, steps: Iterator[None]) -> Iterator[None]:
        with self._apart("a part of the children"):
            yield from steps

    @contextmanager
    def _apart(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001 - the others go on
            self.log.failure("{what} could not be taken over", event="handover.part", what=what)

    def finish(self) -> None:
        """Take over the children of the former program that have not been taken over yet."""
        for _ in self._steps:
            pass

    def _resume(self, service: Any, former: Handover) -> None:
        talks = (slot.conversation for slot in service.dispatcher.pool)
        found = {each for talk in talks if talk is not None for each in talk.awaited.arrivals()}
        going = [(each, service.factory) for each in former.connections]
        if former.node is not None:
            going += [(each, service.node.port.factory) for each in former.node.connections]
        # A limit of calls counts those first that their servers have.
        for each, factory in sorted(going, key=lambda each: not each[0].is_sent):
            with self._apart("a connection"), suppress(OSError):  # its client may have disconnected
                resume(service.reactor, factory, each, found)

    def _may_begin(self, service: Any) -> bool:
        is_read, guardian = self.is_wanted and IS_POSSIBLE, service.ward.guardian
        may_go_on = service.node is None or service.node.membership.may_go_on
        return is_read and may_go_on and (guardian.pid is not None or not guardian.is_wanted)

    def node_port(self, service: Any) -> NodePort | None:
        """Return the port for other nodes, if it goes on; None for a gateway that is alone."""
        port: NodePort | None = service.node.port if service.node is not None else None
        return port if port is not None and self._may_begin(service) else None

    def may_leave(self, service: Any) -> Callable[[Any], bool]:
        """Return whether a stream may go on in the next program, once calls on it that cannot have ended."""
        return may_leave if self._may_begin(service) else lambda _: False

    def staying(self, service: Any) -> Container[float]:
        """Return the times of arrival of the requests that may go on in the next program."""
        return staying(service.mcp.streams) if self._may_begin(service) else ()

    def leaving(self, service: Any) -> list[LeavingStream]:
        """Return the streams that go on in the next program, if that can take over anything."""
        if not self._may_begin(service):
            return []
        may_go_on = partial(goes_on, service.dispatcher.questions)
        return list(leaving(service.mcp.streams, service.dispatcher.calls.under_way(), may_go_on))

    def begin(self, service: Any) -> None:
        """Take what goes on out of the hub, if the next program can take it over."""
        if not self._may_begin(service):
            return
        going = self.leaving(service)
        self._connections = _leave(going, service.factory)
        if service.node is not None:
            self._node_connections = _leave(going, service.node.port.factory)
        self._templates = tuple(service.launcher.templates.hand_over())
        hub = service.dispatcher
        self._state = hand_over(hub.pool, hub.sessions, hub.questions, service.hub.apart)

    def whole(self, service: Any) -> Handover | None:
        """Return the state for the next program, with the events and the leases up to now."""
        if self.record is None:
            return None
        node = None
        if service.node is not None:
            sockets = tuple(map(left_open, service.node.port.sockets))
            node = NodeHandover(service.node.written(), sockets, self._node_connections)
        return replace(self.record, events=service.observation.events.written(), node=node)

    def end(self, service: Any) -> bool:
        """Complete the record when all other children have ended; return False where none goes on."""
        state, self._state = self._state, None
        if state is None:
            return False
        children = {child.pid: child for each in state.slots for child in each.backend.children}
        guardian = service.ward.hand_over()
        if (children or self._templates) and guardian is None:
            return False
        self.record = Handover(
            service.ward.instance,
            service.launcher.count,
            guardian,
            tuple(children.values()),
            msgspec.msgpack.encode(state),
            self._connections,
            self._templates,
            tuple(each for slot in state.slots for each in slot.backend.sockets),
        )
        self.log.info(
            "{children} servers, {sessions} sessions and {requests} requests under way are handed over",
            event="handover.complete",
            children=len(state.slots),
            sessions=len(state.sessions),
            requests=len(self._connections) + len(self._node_connections),
        )
        return True


def _leave(streams: Iterable[LeavingStream], factory: ChannelFactory) -> tuple[ConnectionState, ...]:
    going = [each for each in streams if each.channel in factory.connections]
    left = tuple(each.leave() for each in going)
    factory.leave([each.channel for each in going])
    return left
