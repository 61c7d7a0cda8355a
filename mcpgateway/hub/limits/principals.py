"""The limits of each principal: its sessions, its calls under way, and the children that serve it alone.

They are counted when something is begun, and only where a limit is set, so that no other gateway keeps count.  In a
cluster each node takes its share of a limit, rounded up: the nodes agree on nothing for a call.
"""

from __future__ import annotations

from collections.abc import Callable

from mcpgateway.config.cluster import PrincipalLimits
from mcpgateway.errors import Overloaded
from mcpgateway.hub.dispatch import LegacyDispatcher
from mcpgateway.hub.sessions import Session
from mcpgateway.interfaces import Request
from mcpgateway.policy.access import is_client

KEY = "gateway.cluster.limits"


class PrincipalQuotas:
    """Refuses what is beyond the limits of a principal; the gateway's own user has none.

    :ivar nodes: returns the number of nodes that share the limits.
    """

    def __init__(self, limits: PrincipalLimits, dispatcher: LegacyDispatcher) -> None:
        self.nodes: Callable[[], int] = lambda: 1
        self._limits = limits
        self._dispatcher = dispatcher

    def admit_session(self, principal: str) -> None:
        """Admit a new session.

        :raise Overloaded: the principal has as many as it may have.
        """
        if self._limits.sessions and is_client(principal):
            of_clients = (each for each in self._dispatcher.sessions if each.issued is not None)
            self._check(
                "sessions", self._limits.sessions, sum(each.principal == principal for each in of_clients)
            )

    def admit_call(self, principal: str) -> None:
        """Admit a new call.

        :raise Overloaded: the principal has as many under way as it may have.
        """
        if self._limits.calls and is_client(principal):
            calls = (call for holder in self._dispatcher.calls.holders() for call in holder.calls())
            self._check("calls", self._limits.calls, sum(_principal(each) == principal for each in calls))

    def admit_child(self, principal: str) -> None:
        """Admit a new child for one session, or for the sessions with the same roots.

        :raise Overloaded: the principal has as many as it may have.
        """
        if self._limits.children and is_client(principal):
            # Beside those of single sessions, the children of roots, which principals never share.
            own = (
                slot
                for slot in self._dispatcher.pool
                if not slot.shared or (slot.roots is not None and slot.roots.is_told)
            )
            mine = sum(any(each.principal == principal for each in slot.sessions) for slot in own)
            self._check("children", self._limits.children, mine)

    def _check(self, name: str, limit: int, present: int) -> None:
        nodes = max(1, self.nodes())
        share = -(-limit // nodes)
        if present >= share:
            of_nodes = f", which is {share} at each of {nodes} nodes" if nodes > 1 else ""
            raise Overloaded(
                f"this credential has {present} {name} already ({KEY}.{name}: {limit}{of_nodes})"
            )


def _principal(call: Request) -> str:
    session: Session | None = call.session
    return call.principal if session is None else session.principal
