"""Find the authorization server of a remote server, and send it requests (rules: `mcpgateway.policy.oauth.client`)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import evolve, frozen
from twisted.internet.task import deferLater

from mcpgateway import __version__
from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import CertificateTrust
from mcpgateway.backends.http.documents import fetch
from mcpgateway.backends.http.response import WebAnswer
from mcpgateway.config.reach_settings import OAuth, Remote
from mcpgateway.errors import BackendError, NeedsAuthorization, Unreachable
from mcpgateway.policy.oauth import client as oauth
from mcpgateway.policy.oauth.client import AuthServer, Challenge, OAuthClient, Registration

ASK_S = 10.0  # for each request
ANSWER_LIMIT = 1_048_576
AGAIN_S = (0.5, 2.0, 4.0)  # delays before a failing token endpoint is asked again
LONGEST_AGAIN_S = 10.0  # the limit of a Retry-After
NOT_WELL = frozenset((429, 502, 503, 504))
FORGOTTEN = frozenset((400, 401, 404))  # statuses of an authorization endpoint that does not know its client
JSON = {"Accept": "application/json"}
Body = bytes | Mapping[str, str]
"""A document, or the fields of a form."""
WITHOUT = "give its entry a header Authorization, or a client of yours (oauth.client_id)"


class NotReached(BackendError):
    """The authorization server does not answer; the remote server is not at fault."""

    retryable = True


@frozen
class AuthorizationRequests:
    """The settings of all requests for one remote server.

    :ivar remote: the remote server; its own address decides which URLs it may name.
    """

    clock: Any
    web: Callable[[], Web]
    remote: Remote

    async def get(self, url: str) -> WebAnswer:
        """Fetch a document.

        :raise BackendError: there is no answer, or requests to the URL are not permitted.
        """
        return await self._request("GET", url, JSON, b"")

    async def post(self, url: str, headers: Mapping[str, str], body: Body) -> WebAnswer:
        """Send a POST request.

        :raise BackendError: there is no answer, or requests to the URL are not permitted.
        """
        return await self._request("POST", url, headers, body)

    async def delete(self, url: str, headers: Mapping[str, str]) -> WebAnswer:
        """Send a DELETE request.

        :raise BackendError: there is no answer, or requests to the URL are not permitted.
        """
        return await self._request("DELETE", url, headers, b"")

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> WebAnswer:
        remote = self.remote
        if not oauth.may_ask(url, remote.url):
            raise BackendError(f"{place(url)} is no place that the gateway asks for a token")
        try:
            return await fetch(
                self.web(),
                method,
                url,
                headers,
                body,
                timeout_s=ASK_S,
                trust=CertificateTrust(remote.ca_file, remote.insecure),
                limit=ANSWER_LIMIT,
                named_by=remote.url,
            )
        except BackendError as why:
            kind = NotReached if isinstance(why, Unreachable) else BackendError
            raise kind(f"{place(url)} cannot be asked for a token: {why.message}", why.hint) from why


# Discovery


@frozen
class AuthorizationServer:
    """The authorization server of a remote server.

    :ivar scopes: the scopes that the remote server supports, as its metadata says.
    """

    server: AuthServer
    scopes: tuple[str, ...] = ()


async def find(asking: AuthorizationRequests, settings: OAuth, challenge: Challenge) -> AuthorizationServer:
    """Return the authorization server of a remote server.

    :param challenge: the challenge of the server's refusal.
    :raise NeedsAuthorization: the server has no usable one; the text says why.
    :raise BackendError: its metadata could not be fetched.
    """
    if settings.authorization_server:
        return AuthorizationServer(await described(asking, settings.authorization_server))
    issuers, scopes = await _named(asking, challenge)
    faults: list[BackendError] = []
    for issuer in issuers or (oauth.undescribed_server(asking.remote.url).issuer,):
        try:
            return AuthorizationServer(await _server_of(asking, issuer), scopes)
        except BackendError as why:
            faults.append(why)
    raise faults[0]


async def _named(
    asking: AuthorizationRequests, challenge: Challenge
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # See Note [Places that are tried] in the rules; a document of another resource is ignored.
    url, fault = asking.remote.url, None
    for each in oauth.resource_metadata_urls(url, challenge.metadata):
        found, fault = await _document(asking, each, fault)
        if found is None:
            continue
        try:
            return oauth.check_resource(found, url)
        except BackendError as why:
            fault = fault or why
    if fault is not None:
        raise fault
    return (), ()


async def described(asking: AuthorizationRequests, issuer: str) -> AuthServer:
    """Return an authorization server by its metadata.

    :raise NeedsAuthorization: it has none.
    :raise BackendError: its metadata could not be fetched, or cannot be used.
    """
    fault: BackendError | None = None
    for each in oauth.server_metadata_urls(issuer):
        found, fault = await _document(asking, each, fault)
        if found is None:
            continue
        try:
            return _judged(asking, oauth.check_server(found, issuer))
        except BackendError as why:
            fault = fault or why
    raise fault or NeedsAuthorization(
        f"its authorization server {place(issuer)} does not describe itself", WITHOUT
    )


async def _server_of(asking: AuthorizationRequests, issuer: str) -> AuthServer:
    # A server of 2025-03-26 is its own authorization server, with or without metadata.
    own = oauth.undescribed_server(asking.remote.url)
    try:
        return await described(asking, issuer)
    except NeedsAuthorization:
        if issuer.rstrip("/") != own.issuer:
            raise
        return own


async def _document(
    asking: AuthorizationRequests, url: str, fault: BackendError | None
) -> tuple[dict[str, Any] | None, BackendError | None]:
    # The document, or the first fault that may be temporary.
    try:
        answer = await asking.get(url)
    except BackendError as why:
        return None, fault or why
    if answer.status >= 500:
        return None, fault or BackendError(f"{place(url)} answers with HTTP {answer.status}")
    return (decoded(answer) or None) if answer.status == 200 else None, fault


def _judged(asking: AuthorizationRequests, server: AuthServer) -> AuthServer:
    for each in server.endpoints:
        if not oauth.may_ask(each, asking.remote.url) or not oauth.may_name(each, server.issuer):
            raise BackendError(f"{place(each)} is no place to send the user or a token to")
    return server


# Registration


async def register(
    asking: AuthorizationRequests,
    server: AuthServer,
    redirect: str,
    scopes: tuple[str, ...],
    *,
    by_device: bool = False,
) -> Registration:
    """Register the gateway at an authorization server.

    :param scopes: the scopes to register, the widest first; the next one is tried after a refusal.
    :param by_device: register for sign-ins by a device code, too.
    :raise NeedsAuthorization: the server registers no clients, or not the gateway.
    :raise BackendError: the server could not be reached.
    """
    if not server.registration_endpoint:
        raise NeedsAuthorization(
            "its authorization server has no registration; set oauth.client_id in its entry"
        )
    method, reason = oauth.token_method(server), ""
    for scope in dict.fromkeys((*scopes, "")):
        wanted = oauth.registration(redirect, __version__, scope, method, by_device=by_device)
        body = json.dumps(wanted).encode()
        headers = {"Content-Type": "application/json", **JSON}
        answer = await _asked_again(asking, server.registration_endpoint, headers, body)
        if answer.status in (200, 201):
            made = oauth.registered(decoded(answer), server.issuer, redirect, scope)
            return evolve(made, by_device=by_device)
        if answer.status >= 500 or answer.status == 429:
            raise BackendError(f"the registration was answered with HTTP {answer.status}")
        reason = reason or f"HTTP {answer.status}: {error_of(answer)}"
    if not server.is_described:
        raise NeedsAuthorization(
            "it wants an authorization, and nothing says where the gateway gets one", WITHOUT
        )
    raise NeedsAuthorization(f"its authorization server does not register the gateway ({reason})", WITHOUT)


async def knows_client(asking: AuthorizationRequests, url: str) -> bool:
    """Return whether an authorization endpoint accepts the request; it refuses an unknown client at once."""
    try:
        answer = await asking.get(url)
    except BackendError:
        return True  # the user's browser may get an answer
    return answer.status not in FORGOTTEN


async def unregister(asking: AuthorizationRequests, registration: Registration) -> bool:
    """Delete a registration (RFC 7592); return false if the server did not confirm that."""
    if not registration.manage_url or not registration.manage_token:
        return False
    headers = {"Authorization": f"Bearer {registration.manage_token}"}
    try:
        answer = await asking.delete(registration.manage_url, headers)
    except BackendError:
        return False
    return answer.status in (200, 204, 404)


# Tokens


async def ask_for_token(
    asking: AuthorizationRequests, server: AuthServer, client: OAuthClient, form: Mapping[str, str]
) -> WebAnswer:
    """Send a request to the token endpoint, repeated a few times while the endpoint fails.

    :raise BackendError: the endpoint does not answer the request itself; a later one may succeed.
    """
    headers, body = _proof(server, client, form)
    answer = await _asked_again(asking, server.token_endpoint, headers, body)
    if answer.status >= 500 or answer.status == 429:
        where = place(server.token_endpoint)
        raise BackendError(f"the token endpoint at {where} answers with HTTP {answer.status}")
    return answer


async def ask_for_device_code(
    asking: AuthorizationRequests, server: AuthServer, client: OAuthClient, form: Mapping[str, str]
) -> WebAnswer:
    """Send a request to the device authorization endpoint (RFC 8628).

    :raise BackendError: the endpoint does not answer.
    """
    headers, body = _proof(server, client, form)
    return await _asked_again(asking, server.device_endpoint, headers, body)


async def revoke(
    asking: AuthorizationRequests, server: AuthServer, client: OAuthClient, token: str, kind: str
) -> bool:
    """Revoke a token (RFC 7009); return false if the server did not confirm that.

    :param kind: ``access_token`` or ``refresh_token``.
    """
    if not server.revocation_endpoint:
        return False
    # An empty secret is the same as none (RFC 6749 section 2.3.1), and the official SDK looks for one here.
    form = {"token": token, "token_type_hint": kind, "client_secret": ""}
    headers, body = _proof(server, client, form)
    try:
        answer = await _asked_again(asking, server.revocation_endpoint, headers, body)
    except BackendError:
        return False
    return answer.status == 200


def _proof(
    server: AuthServer, client: OAuthClient, form: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    method = client.method or (
        "client_secret_post" if "client_secret_post" in server.token_methods else "client_secret_basic"
    )
    named = {
        **form,
        "client_id": client.id,
    }  # the official SDK expects it also beside the Authorization header
    if not client.secret:
        return JSON, named
    if method == "client_secret_post":
        return JSON, {**named, "client_secret": client.secret}
    both = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
    proof = {"Authorization": f"Basic {b64encode(both.encode()).decode()}"}
    return {**JSON, **proof}, named


async def _asked_again(
    asking: AuthorizationRequests, url: str, headers: Mapping[str, str], body: Body
) -> WebAnswer:
    # Only if the request cannot have had an effect: a code and some refresh tokens are valid once.
    for wait_s in AGAIN_S:
        try:
            answer = await asking.post(url, headers, body)
        except NotReached:
            pause_s = wait_s
        else:
            if answer.status not in NOT_WELL:
                return answer
            pause_s = min(max(wait_s, _retry_after(answer)), LONGEST_AGAIN_S)
        await deferLater(asking.clock, pause_s)
    return await asking.post(url, headers, body)


def _retry_after(answer: WebAnswer) -> float:
    header = answer.headers.get(b"retry-after", b"")
    return float(header) if header.isdigit() and len(header) < 6 else 0.0


# Reading answers


def decoded(answer: WebAnswer) -> dict[str, Any]:
    """Return the JSON object in an answer; empty if it has none."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def error_of(answer: WebAnswer) -> str:
    """Return the error code in an answer, as a word."""
    return word(str(decoded(answer).get("error") or "no reason"))


def word(text: str) -> str:
    """Return foreign text in a form that is safe for a log and a page."""
    return "".join(each for each in text[:100] if each.isalnum() or each in "_-. ")


def place(url: str) -> str:
    """Return the part of a URL that may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "that"
