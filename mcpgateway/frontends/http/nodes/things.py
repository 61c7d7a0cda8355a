"""Jobs and kept results of one node for the sessions of other nodes, which ask for them over the port for nodes.

    GET  /cluster/v1/results/{ref}
    GET  /cluster/v1/jobs/{name}
    POST /cluster/v1/jobs/{name}      cancels it before

The node that asks names the principal, as its session there has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.membership import Member, Membership
from mcpgateway.errors import BackendError, GatewayError, NotThere, StoreLost
from mcpgateway.frontends.http.node_client import NodeClient
from mcpgateway.frontends.http.statuses import control_status_of
from mcpgateway.protocol.node_marks import mark_of, octets_in

if TYPE_CHECKING:
    from mcpgateway.backends.http.response import WebAnswer
    from mcpgateway.hub.results.originals import Vault
    from mcpgateway.owntools.jobs import Jobs

THINGS = b"/cluster/v1/"
PRINCIPAL = "Mcpgateway-Principal"
FETCH_S = 30.0  # an original may be large
OCTETS = b"application/octet-stream"


class OtherNodes:
    """Fetches jobs and results of other nodes (`mcpgateway.interfaces.IOtherNodes`).

    :ivar mark: the mark of this node.
    :param client: returns the client for other nodes.
    """

    def __init__(self, membership: Membership, client: Callable[[], NodeClient]) -> None:
        self.mark = mark_of(membership.me.octets)
        self._membership = membership
        self._client = client

    def has(self, identifier: str) -> bool:
        """Return whether an id is of another node that is alive."""
        return self._member(identifier) is not None

    def result(self, ref: str, principal: str) -> Deferred[bytes]:
        """Fetch a kept result."""
        return self._fetched("GET", "results", ref, principal)

    def job(self, name: str, principal: str, *, is_cancelled: bool) -> Deferred[bytes]:
        """Fetch a job with its result."""
        return self._fetched("POST" if is_cancelled else "GET", "jobs", name, principal)

    def _member(self, identifier: str) -> Member | None:
        return self._membership.other(octets_in(identifier))

    def _fetched(self, method: str, kind: str, identifier: str, principal: str) -> Deferred[bytes]:
        member = self._member(identifier)
        assert member is not None
        path = f"{THINGS.decode()}{kind}/{quote(identifier, safe='')}"
        headers = {PRINCIPAL: quote(principal, safe="")}
        asked = self._client().ask(member, method, path, headers, timeout_s=FETCH_S)
        return asked.addCallback(_body, identifier).addErrback(_away, member)


def _body(answer: WebAnswer, identifier: str) -> bytes:
    if answer.status == 200:
        return answer.body
    if answer.status == 404:
        raise NotThere(f"{identifier[:100]} is not there")
    raise BackendError(f"the other node answers with HTTP {answer.status}")


def _away(why: Failure, member: Member) -> bytes:
    why.trap(BackendError)
    raise StoreLost(
        why.getErrorMessage(), f"node {member.name} of the cluster, which has it, does not answer"
    )


class ThingServer:
    """Serves the jobs and results of this node to other nodes.

    :param vault: returns the kept results; None for none.
    :param jobs: returns the jobs; None for none.
    """

    log = Logger()

    def __init__(self, vault: Callable[[], Vault | None], jobs: Callable[[], Jobs | None]) -> None:
        self._vault = vault
        self._jobs = jobs

    def handle(self, exchange: Any) -> None:
        """Answer a request of another node."""
        done = maybeDeferred(self._found, exchange)
        done.addCallbacks(self._answer, self._refuse, callbackArgs=(exchange,), errbackArgs=(exchange,))

    def _found(self, exchange: Any) -> Deferred[bytes]:
        kind, _, name = exchange.path.removeprefix(THINGS).decode("latin-1").partition("/")
        identifier = unquote(name)
        principal = unquote(exchange.headers.get(PRINCIPAL.lower().encode(), b"").decode("latin-1"))
        vault, jobs = self._vault(), self._jobs()
        if kind == "results" and vault is not None and exchange.method == b"GET":
            return vault.fetch(identifier, principal)
        if kind == "jobs" and jobs is not None and exchange.method in (b"GET", b"POST"):
            asked = jobs.whole(identifier, principal, is_cancelled=exchange.method == b"POST")
            return asked.addCallback(msgspec.json.encode)
        raise NotThere("there is no such thing")

    @staticmethod
    def _answer(body: bytes, exchange: Any) -> None:
        if not exchange.gone:
            exchange.answer(200, body, OCTETS)

    def _refuse(self, why: Failure, exchange: Any) -> None:
        if not isinstance(why.value, GatewayError):
            self.log.failure("a request of another node broke", why, event="cluster.thing_broken")
        status = control_status_of(why.value) if isinstance(why.value, GatewayError) else 500
        if not exchange.gone:
            # A result or a job that is not there, or not for this principal.
            exchange.answer(404 if status == 400 else status, b"{}")
