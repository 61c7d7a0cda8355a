"""Send requests to other nodes of the cluster, over their ports for nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.python.failure import Failure

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import PLAIN, CertificateTrust
from mcpgateway.backends.http.response import WebAnswer, WebStream
from mcpgateway.cluster.credentials import NodeCredentials
from mcpgateway.cluster.membership import Member
from mcpgateway.config.cluster import ClusterTls

NODE = "Mcpgateway-Node"
HOST = "Mcpgateway-Host"
SCHEME = "Mcpgateway-Scheme"
REACH = "Mcpgateway-Reach"
HOME = "Mcpgateway-Home"
ASK_S = 2.0
ANSWER_LIMIT = 32 * 2**20


class NodeClient:
    """The HTTP client of a node for its fellow nodes.

    :ivar trust: the certificates that it accepts and shows.
    :ivar web: the client for URLs.
    """

    def __init__(self, reactor: Any, credentials: NodeCredentials, tls: ClusterTls) -> None:
        self.trust = (
            CertificateTrust(tls.ca_file, cert_file=tls.cert_file, key_file=tls.key_file)
            if tls.is_whole
            else PLAIN
        )
        self._scheme = "https" if tls.is_whole else "http"
        self._credentials = credentials
        self.web = Web(reactor)

    def url(self, member: Member, path: str) -> str:
        """Return the URL of a path at a node."""
        return f"{self._scheme}://{member.address}{path}"

    def credential(self, member: Member) -> dict[str, str]:
        """Return the header by which another node knows this one."""
        return {NODE: self._credentials.issue(member.name)}

    def open(
        self, member: Member, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Deferred[WebStream]:
        """Send a request; fires with the answer once its headers have come. Cancel it to give up.

        :param target: the path, with the query.
        :raise Unreachable: (through the Deferred) no connection is possible; nothing was sent.
        :raise BackendError: (through the Deferred) the connection broke.
        """
        sent = {**headers, **self.credential(member)}
        return self.web.open(method, self.url(member, target), sent, body, self.trust)

    def ask(
        self,
        member: Member,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout_s: float = ASK_S,
    ) -> Deferred[WebAnswer]:
        """Send a request; fires with the whole answer.

        :raise Unreachable: (through the Deferred) no connection is possible.
        :raise BackendTimeout: (through the Deferred) the answer was not there within ``timeout_s``.
        :raise BackendError: (through the Deferred) the connection broke.
        """
        sent = {**headers, **self.credential(member)}
        return self.web.request(
            method,
            self.url(member, target),
            sent,
            body,
            timeout_s=timeout_s,
            trust=self.trust,
            limit=ANSWER_LIMIT,
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        self.web.close()


def is_refused(why: Failure) -> bool:
    """Return whether a node is unreachable because it refuses connections: its process has ended."""
    return why.value is not None and isinstance(why.value.__cause__, Refused)
