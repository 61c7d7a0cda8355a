"""Pass requests on to a server's own REST API: to the address in its entry and nowhere else, bounded, no redirects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred

from mcpgateway.backends.http.client import Web, check_headers
from mcpgateway.backends.http.connect import PLAIN, CertificateTrust
from mcpgateway.backends.http.response import WebStream, take_whole
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import BackendError, BackendTimeout, InvalidParams, NotThere
from mcpgateway.policy import relaying, urls
from mcpgateway.units import duration

LIMIT_S = 60.0
BODY_LIMIT = 4 * 2**20  # bytes, of a request and of an answer
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


@frozen
class Sent:
    """A request to relay, as received.

    :ivar path: the part behind the gateway's own prefix, still encoded.
    :ivar headers: names in lower case.
    """

    method: str
    path: bytes
    query: bytes = field(default=b"", repr=False)
    headers: Mapping[bytes, bytes] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@frozen
class Relayed:
    """The answer of a server's REST API, as the gateway relays it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@frozen
class RestRelay:
    """Passes requests to the REST API of a server.

    :ivar web: the HTTP client, loaded by the first request.
    """

    web: Callable[[], Web] = field(repr=False)
    clock: Any = field(repr=False)

    async def pass_on(self, server: ServerSpec, sent: Sent) -> Relayed:
        """Relay one request; return the answer.

        :raise NotThere: the server's entry names no such API.
        :raise InvalidParams: the path leaves the API's base, or the body is too large.
        :raise BackendError: no answer, a late or too large one, or a redirect.
        """
        base = base_of(server)
        if sent.method not in METHODS:
            raise InvalidParams(f"the method is none of {', '.join(sorted(METHODS))}")
        if len(sent.body) > BODY_LIMIT:
            raise InvalidParams(f"the body is longer than {BODY_LIMIT} bytes")
        url = relaying.target(base, sent.path, sent.query)
        configured, theirs, trust = _configured(server)
        headers = check_headers(relaying.forwarded_headers(sent.headers, base, configured, theirs))

        async def asked() -> Relayed:
            """Return the complete answer."""
            stream = await self.web().open(sent.method, url, headers, sent.body, trust)
            return await _answer(server, sent, stream)

        whole: Deferred[Relayed] = Deferred.fromCoroutine(asked())
        whole.addTimeout(LIMIT_S, self.clock, lambda _, limit_s: _too_late(server, limit_s))
        return await whole


def base_of(server: ServerSpec) -> str:
    """Return the base URL of a server's REST API.

    :raise NotThere: the entry names no such API.
    """
    base = server.reach.base if isinstance(server.reach, Rest) else server.rest_url
    if not base:
        raise NotThere(
            f"{server.name} has no REST API that the gateway knows of", "its entry names one with rest_url"
        )
    return base


def _configured(server: ServerSpec) -> tuple[Mapping[str, str], str, CertificateTrust]:
    # The headers of the entry, the URL that they are for, and the certificates that are accepted there.
    match server.reach:
        case Rest(headers=headers):
            return headers, "", PLAIN
        case Remote() as remote:
            trust = CertificateTrust(remote.ca_file, remote.insecure)
            is_there = urls.read(remote.url).host == urls.read(server.rest_url).host
            return remote.headers, remote.url, trust if is_there else PLAIN
        case _:
            return server.rest_headers, "", PLAIN


async def _answer(server: ServerSpec, sent: Sent, stream: WebStream) -> Relayed:
    status = stream.status
    if status in urls.REDIRECTS:
        stream.abort()
        raise BackendError(
            f"{server.name} answers with a redirect (HTTP {status}), and none is followed",
            "ask for what it leads to, or correct the rest_url of its entry",
        )
    if sent.method == "HEAD":  # an answer to HEAD has no body, also with a Content-Length
        stream.abort()
        length = stream.headers.get(b"content-length", b"").decode("latin-1")
        lengths = {"Content-Length": length} if length.isascii() and length.isdigit() else {}
        return Relayed(status, relaying.returned_headers(stream.headers) | lengths, b"")
    answer = await take_whole(stream, BODY_LIMIT)
    body = b"" if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) else answer.body
    return Relayed(status, relaying.returned_headers(answer.headers), body)


def _too_late(server: ServerSpec, limit_s: float) -> Any:
    raise BackendTimeout(f"{server.name} did not answer within {duration(limit_s)}")
