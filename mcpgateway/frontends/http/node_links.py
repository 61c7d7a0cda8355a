"""Links between nodes: the way to a server that another node runs, and the judge of those that come from others."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.link import MOVED
from mcpgateway.cluster.leases import Leases
from mcpgateway.cluster.membership import SERVING, Member, Membership
from mcpgateway.errors import BackendError, Refused
from mcpgateway.frontends.http.node_client import NodeClient, is_refused
from mcpgateway.frontends.http.router import Root
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.links import SaidLink, read_link

WHO = "/cluster/v1/node"
UNREADABLE = jsonrpc.error_bytes(b"null", Refused("Bad Request: the header of the link cannot be read"))
ELSEWHERE = jsonrpc.error_bytes(
    b"null", Refused("Conflict: this node does not run the server for the others")
)


class NodeLinks:
    """The way to servers of other nodes (`mcpgateway.hub.placing.INodeLinks`).

    :ivar web: the HTTP client.
    :ivar trust: the certificates of nodes.
    """

    def __init__(self, client: NodeClient, membership: Membership) -> None:
        self.web: Web = client.web
        self.trust = client.trust
        self.url = client.url
        self.credential = client.credential
        self._client = client
        self._membership = membership

    def reach(self, member: Member) -> Deferred[bool]:
        """Find out whether a node answers; one whose process has ended counts as gone from then on."""
        asked = self._client.ask(member, "GET", WHO, {})
        return asked.addCallbacks(
            lambda answer: answer.status == 200, self._not_reached, errbackArgs=(member,)
        )

    def _not_reached(self, why: Failure, member: Member) -> bool:
        why.trap(BackendError)
        if is_refused(why):
            self._membership.refused(member)
        return False


class LinkJudge:
    """Admits requests over links of other nodes, which say for whom they are, to servers that this node runs."""

    def __init__(self, root: Root, membership: Membership, leases: Leases) -> None:
        self._root = root
        self._membership = membership
        self._leases = leases

    def opened(self, exchange: Any, said: bytes) -> int:
        """Judge a request by its head; return the number of body bytes that it may have."""
        link = read_link(said)
        if link is None:
            exchange.answer(400, UNREADABLE)
            return 0
        target = self._root.target(exchange)
        if target.server is not None and not self._runs(target.server.on, link):
            exchange.answer(MOVED, ELSEWHERE)
            return 0
        return self._root.admit(exchange, target, link)

    def _runs(self, labels: tuple[str, ...], link: SaidLink) -> bool:
        me = self._membership.me
        if not set(labels) <= set(me.labels):
            return False
        if not link.lease:
            return True
        lease = self._leases.find(link.lease)
        if link.fence:
            return lease is not None and lease.fence == link.fence
        return lease is not None or me.state == SERVING
