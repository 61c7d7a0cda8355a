"""The access to one remote server: its address, the headers of every request, and its authorization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from mcpgateway.backends.http.client import Web, check_headers
from mcpgateway.backends.http.connect import CertificateTrust
from mcpgateway.backends.http.http1 import HttpConnection
from mcpgateway.backends.http.response import WebAnswer, WebStream, take_whole
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import BackendError, BadReply, LaunchFailed

REFUSALS = 2  # of one request that the authorizer handles: of an old token, and of its replacement
SHORT_LIMIT = 65_536  # bytes of an answer that is not read completely


class IAuthorizer(Protocol):
    """Provides the tokens for a server."""

    @property
    def trust(self) -> CertificateTrust | None:
        """The certificates that are accepted and shown; None: as the server's entry says."""

    def headers(self) -> Deferred[Mapping[str, str]]:
        """Return the authorization headers of a request; empty before a token has been granted."""

    def refused(
        self, status: int, header: str, used: Mapping[str, str], *, again: bool, asks: bool
    ) -> Deferred[Mapping[str, str]]:
        """Handle a refused request; fires with the headers for its next attempt.

        :param header: the ``WWW-Authenticate`` header.
        :param used: the authorization headers of the refused request.
        :param again: these headers came from the first refusal of the same request.
        :param asks: the request has a user, who may be asked to sign in.
        :raise NeedsAuthorization: (through the Deferred) the user has to sign in or act otherwise first.
        """


class RemoteAccess:
    """The access to one server.

    :ivar url: the server's URL; after a redirect, the target of it.
    """

    def __init__(self, web: Web, server: str, remote: Remote, authorizer: IAuthorizer | None = None) -> None:
        self.url = remote.url
        self._web = web
        own = authorizer.trust if authorizer is not None else None
        self._trust = own or CertificateTrust(remote.ca_file, remote.insecure)
        self._authorizer = authorizer
        try:
            self.address = web.place(remote.url).address
            self._headers = check_headers(remote.headers)
        except BackendError as why:
            raise LaunchFailed(f"{server}: {why.message}") from why

    def open(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", url: str = "", *, asks: bool = True
    ) -> Deferred[WebStream]:
        """Send a request; fires with its answer once the headers have come.

        :param url: another URL than the server's, of the same origin.
        :param asks: the request has a user, who may be asked to sign in.
        :raise BackendError: (through the Deferred) there is no answer.
        """
        if self._authorizer is None:
            return self._send(method, headers, body, url)
        return Deferred.fromCoroutine(self._let_in(self._authorizer, method, headers, body, url, asks=asks))

    def connection_of(self, body: bytes) -> HttpConnection | None:
        """Return the connection of the request with this very body, which has no answer yet; None if it has none."""
        return self._web.connection_of(body)

    def adopt(self, body: bytes, descriptor: int, received: bytes) -> Deferred[WebStream]:
        """Go on with a request of the former program of this process; fires as of `open`."""
        return self._web.adopt(self.url, body, descriptor, received)

    def request(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", url: str = "", *, asks: bool = True
    ) -> Deferred[WebAnswer]:
        """Send a request whose answer is short; otherwise as `open`.

        :raise BackendError: (through the Deferred) there is no answer.
        """
        return self.open(method, headers, body, url, asks=asks).addCallback(take_whole, SHORT_LIMIT)

    def _send(self, method: str, headers: Mapping[str, str], body: bytes, url: str) -> Deferred[WebStream]:
        # The gateway's header replaces the entry's, in any spelling: of two, the server might use either.
        own = {name.lower() for name in headers}
        sent = {name: value for name, value in self._headers.items() if name.lower() not in own} | dict(
            headers
        )
        opened = self._web.open(method, url or self.url, sent, body, self._trust, follows=True)
        return opened.addCallback(self._begun, bool(url))

    def _begun(self, stream: WebStream, is_elsewhere: bool) -> WebStream:  # noqa: FBT001 - a callback's argument
        if not is_elsewhere:
            self.url = stream.url
        if stream.headers.get(b"content-encoding", b"identity") != b"identity":
            stream.abort()
            raise BadReply("its answer is compressed, which it was asked not to be")
        return stream

    async def _let_in(
        self,
        authorizer: IAuthorizer,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        url: str,
        *,
        asks: bool,
    ) -> WebStream:
        used = await authorizer.headers()
        for nth in range(REFUSALS):
            stream = await self._send(method, {**headers, **used}, body, url)
            header = stream.headers.get(b"www-authenticate", b"").decode("latin-1")
            if stream.status != 401 and not (stream.status == 403 and "insufficient_scope" in header):
                return stream
            stream.abort()
            used = await authorizer.refused(stream.status, header, used, again=nth > 0, asks=asks)
        return await self._send(method, {**headers, **used}, body, url)
