"""The drain of a node: its clients are served by other nodes from now on, and no call fails.

# Note [A drained node goes on]
A balancer asks every few moments whether a node is ready, so clients come for a while after the drain has begun.  The
node serves them as before.  A session is released while it is idle: the node that gets its next request serves it.  One
with a process of its own would lose the state of that process, so it stays until the process has ended, or until
``gateway.cluster.drain`` is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.part import NodePart
from mcpgateway.errors import Overloaded, StoreLost
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.sessions import Session

if TYPE_CHECKING:
    from mcpgateway.cluster.node import ClusterNode

NOTICE_S = 5  # in which balancers notice that a node is not ready
STOP_NOTICE_S = 2.0  # the same for a node that stops: a few checks of a balancer
PAUSE_S = 0.1
SERVING, DRAINING = "serving", "draining"
WHY = "the node is drained"
Release = Callable[[Sequence[bytes]], Deferred[None]]


class Drain(NodePart):
    """Drains this node (see Note [A drained node goes on]).

    :ivar is_drained: true once a drain has left no session here.
    """

    log = Logger()

    def __init__(
        self, node: ClusterNode, dispatcher: LegacyDispatcher, release: Release, reactor: Any
    ) -> None:
        self.is_drained = False
        self._node = node
        self._dispatcher = dispatcher
        self._release = release
        self._reactor = reactor
        self._began: float | None = None
        self._heeded = ""
        self._is_releasing = False

    @property
    def is_on(self) -> bool:
        """True while the node is drained."""
        return self._began is not None

    def unready(self) -> str:
        """Return why a balancer sends no clients; empty if it does."""
        return DRAINING if self.is_on else ""

    def want(self, state: str) -> None:
        """Begin to drain the node, or take that back."""
        if (state == DRAINING) == self.is_on:
            return
        self._began = self._reactor.seconds() if state == DRAINING else None
        self.is_drained = False
        if self.is_on:
            self.log.info(
                "node {node} is drained: other nodes take its clients over",
                event="cluster.drain",
                node=self._node.name,
            )
        else:
            self.log.info(
                "node {node} is not drained any more: it takes clients again",
                event="cluster.drain_undone",
                node=self._node.name,
            )
        self._node.membership.set_state(state).addErrback(self._untold)

    def admit(self) -> None:
        """Admit a new session.

        :raise Overloaded: the node is drained, and another one takes clients.
        """
        if self._began is not None and self._reactor.seconds() - self._began >= NOTICE_S and self._others():
            raise Overloaded(
                f"node {self._node.name} of the cluster is drained: ask again, and another node answers"
            )

    # The part of the node

    def heard(self, message: str) -> None:
        """Take the message that an operator has asked another node for a drain."""
        if message == f"drain {self._node.name}":
            self._node.membership.renew().addCallback(lambda _: self._heed())

    def tick(self) -> None:
        """Heed what other nodes ask for, and release sessions; called once a second."""
        self._heed()
        if self._began is None or not self._others():
            return
        is_over = self._reactor.seconds() - self._began >= self._node.settings.drain_s
        self._release_idle(is_over=is_over)
        if not self.is_drained and not any(True for _ in self._sessions()):
            self.is_drained = True
            self.log.info("no session is left on node {node}", event="cluster.drained", node=self._node.name)

    def _heed(self) -> None:
        wanted = self._node.membership.me.wanted
        if wanted != self._heeded:
            self._heeded = wanted
            self.want(wanted or SERVING)

    def _others(self) -> bool:
        return any(each.state == SERVING for each in self._node.membership.others())

    def _untold(self, why: Failure) -> None:
        why.trap(StoreLost)  # the next renewal tells

    def _sessions(self) -> Iterator[Session]:
        """Yield the sessions of clients that another node could serve."""
        return (each for each in self._dispatcher.sessions if each.issued is not None and each.outer is None)

    def _release_idle(self, *, is_over: bool) -> None:
        if self._is_releasing:
            return
        busy = self._dispatcher.calls.busy()
        idle = [each for each in self._sessions() if each not in busy and (is_over or not _has_child(each))]
        if not idle:
            return
        self._is_releasing = True
        serials = [each.issued.serial for each in idle if each.issued is not None]
        for each in idle:
            self._dispatcher.park(each, WHY)
        self._release(serials).addCallbacks(lambda _: None, self._kept).addBoth(self._released)

    def _released(self, _: Any) -> None:
        self._is_releasing = False

    def _kept(self, why: Failure) -> None:
        if why.check(StoreLost) is None:  # without the store the sessions stay here
            self.log.failure("sessions could not be released", why, event="cluster.release_failed")

    async def leave(self, limit_s: float) -> None:
        """Drain the node that stops: wait until no call is under way, and release all sessions.

        :param limit_s: how long calls may take.
        """
        if not self._others():
            return
        self.want(DRAINING)
        began = self._reactor.seconds()
        while (waited_s := self._reactor.seconds() - began) < limit_s:
            self._release_idle(is_over=waited_s >= STOP_NOTICE_S)
            if waited_s >= STOP_NOTICE_S and not self._dispatcher.calls.awaited():
                break
            await deferLater(self._reactor, PAUSE_S)


def _has_child(session: Session) -> bool:
    members = session.members.sessions.values() if session.members is not None else ()
    return any(_is_own(each) for each in (session, *members))


def _is_own(session: Session) -> bool:
    slot = session.slot
    return slot is not None and not slot.is_over and slot.is_up and not slot.shared
