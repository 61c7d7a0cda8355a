"""What OAuth 2.1 asks of a client, as plain functions (MCP 2025-11-25 and 2026-07-28, basic/authorization).

where is it said                    RFC
which server lets clients in        9728  protected resource metadata
what that server can                8414  authorization server metadata, or OpenID Connect discovery
who the gateway is                  7591  dynamic registration, where the entry names no client
that the code is ours               7636  PKCE with S256, without which nothing is begun
which server a token is for         8707  resource indicators
that the answer is from that server 9207  ``iss``
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from mcpgateway.errors import BackendError

PRM = "/.well-known/oauth-protected-resource"
SERVER_METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
EARLY_S = 60.0  # a token is renewed so long before its end
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LOCAL_NAMES = ("localhost",)


@frozen
class Challenge:
    """What a ``WWW-Authenticate: Bearer`` header says."""

    error: str = ""
    scope: str = ""
    metadata: str = ""


@frozen
class AuthServer:
    """What is needed of an authorization server's metadata."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str = ""
    scopes: tuple[str, ...] = ()
    token_methods: tuple[str, ...] = ("client_secret_basic",)
    says_issuer: bool = False


@frozen
class Client:
    """Who the gateway is at an authorization server.

    :ivar secret: empty for a public client.
    """

    id: str
    secret: str = field(default="", repr=False)


@frozen
class Grant:
    """A token, and how to get the next one.

    :ivar expires: seconds since the epoch; 0: nobody said.
    :ivar issuer: who gave it; nobody else is ever shown the refresh token.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires: float = 0.0
    scope: str = ""
    issuer: str = ""

    def is_good(self, now: float) -> bool:
        """Whether it can be used for a while yet."""
        return not self.expires or now < self.expires - EARLY_S


def challenge(header: str) -> Challenge:
    """Read a ``WWW-Authenticate`` header; what it does not say is empty."""
    at = re.search(r"\bbearer\b", header, re.IGNORECASE)
    if at is None:
        return Challenge()
    found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(header[at.end() :])}
    return Challenge(found.get("error", ""), found.get("scope", ""), found.get("resource_metadata", ""))


def resource_of(url: str) -> str:
    """The canonical name of a server: its URL without query, fragment and final slash."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    netloc = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != {"http": 80, "https": 443}.get(parts.scheme):
        netloc += f":{parts.port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


def resource_metadata_urls(url: str, said: str) -> tuple[str, ...]:
    """Where the metadata of a server may be: where its refusal says, else at the two usual places."""
    if said:
        return (said,)
    return _beside(url, PRM)


def server_metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where an authorization server's metadata may be, in the order they are tried."""
    path = urlsplit(issuer).path.rstrip("/")
    if not path:
        return (_at(issuer, SERVER_METADATA), _at(issuer, OPENID))
    return (_at(issuer, SERVER_METADATA + path), _at(issuer, OPENID + path), _at(issuer, path + OPENID))


def _beside(url: str, well_known: str) -> tuple[str, ...]:
    path = urlsplit(url).path.rstrip("/")
    return tuple(dict.fromkeys((_at(url, well_known + path), _at(url, well_known))))


def _at(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def check_resource(metadata: Any, url: str) -> tuple[str, tuple[str, ...]]:
    """The first authorization server that a protected resource names, and the scopes it knows.

    :raise BackendError: it is the metadata of something else, or names nobody.
    """
    if not isinstance(metadata, dict):
        raise BackendError("its protected resource metadata is not an object")
    said = metadata.get("resource")
    ours, theirs = resource_of(url), resource_of(said) if isinstance(said, str) else ""
    if theirs != ours and not (theirs and ours.startswith(f"{theirs}/")):
        raise BackendError("its protected resource metadata is that of another resource")
    servers = [each for each in _texts(metadata.get("authorization_servers")) if each]
    if not servers:
        raise BackendError("its protected resource metadata names no authorization server")
    return servers[0], _texts(metadata.get("scopes_supported"))


def check_server(metadata: Any, issuer: str) -> AuthServer:
    """What an authorization server can.

    :raise BackendError: it is not the one that was asked for, lacks an endpoint, or does without PKCE.
    """
    if not isinstance(metadata, dict):
        raise BackendError("the authorization server's metadata is not an object")
    said = metadata.get("issuer")
    if not isinstance(said, str) or said.rstrip("/") != issuer.rstrip("/"):
        raise BackendError("the authorization server's metadata is that of another issuer")
    for key in ("authorization_endpoint", "token_endpoint"):
        if not isinstance(metadata.get(key), str):
            raise BackendError(f"the authorization server names no {key}")
    if "S256" not in _texts(metadata.get("code_challenge_methods_supported")):
        raise BackendError("the authorization server does not say that it knows PKCE (S256)")
    registration = metadata.get("registration_endpoint")
    return AuthServer(
        said,
        metadata["authorization_endpoint"],
        metadata["token_endpoint"],
        registration if isinstance(registration, str) else "",
        _texts(metadata.get("scopes_supported")),
        _texts(metadata.get("token_endpoint_auth_methods_supported")) or ("client_secret_basic",),
        metadata.get("authorization_response_iss_parameter_supported") is True,
    )


def scope_for(configured: tuple[str, ...], asked: str, known: tuple[str, ...], granted: str) -> str:
    """Which scopes are asked for: the entry's, else those of the refusal added to what was granted, else all known."""
    if configured:
        return " ".join(configured)
    if asked:
        return " ".join(dict.fromkeys((*granted.split(), *asked.split())))
    return " ".join(known)


def registration(redirect: str, version: str) -> dict[str, Any]:
    """How the gateway introduces itself to an authorization server (RFC 7591)."""
    return {
        "client_name": "mcpgateway",
        "software_id": "mcpgateway",
        "software_version": version,
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    server: AuthServer, client: Client, redirect: str, state: str, challenge: str, scope: str, resource: str
) -> str:
    """Where the user lets the gateway in."""
    asked = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "resource": resource,
    }
    if scope:
        asked["scope"] = scope
    if "offline_access" in server.scopes and "offline_access" not in scope.split():
        asked["scope"] = f"{scope} offline_access".strip()
    joint = "&" if urlsplit(server.authorization_endpoint).query else "?"
    return server.authorization_endpoint + joint + urlencode(asked)


def read_grant(answer: Any, now: float, issuer: str, before: Grant | None = None) -> Grant:
    """The token in an answer of the token endpoint; an old refresh token goes on unless there is a new one.

    :param issuer: the authorization server whose answer it is.
    :raise BackendError: it holds no bearer token.
    """
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise BackendError("the authorization server's answer holds no token")
    if str(answer.get("token_type", "")).lower() != "bearer":
        raise BackendError("the authorization server gave a token that is no bearer token")
    refresh, lasts, scope = answer.get("refresh_token"), answer.get("expires_in"), answer.get("scope")
    if not isinstance(refresh, str):
        refresh = before.refresh_token if before is not None else ""
    if not isinstance(scope, str):
        scope = before.scope if before is not None else ""
    is_number = isinstance(lasts, int | float) and not isinstance(lasts, bool) and lasts > 0
    return Grant(token, refresh, now + lasts if is_number else 0.0, scope, issuer)


def may_ask(url: str, configured: str) -> bool:
    """Whether a URL that a server named may be asked: over TLS, and on this machine or a private one only where it is.

    A server somewhere else must not send the gateway to services that only this machine can reach.
    """
    parts, home = urlsplit(url), urlsplit(configured)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return False
    is_near, was_near = is_near_host(host), is_near_host((home.hostname or "").lower())
    if is_near and not was_near:
        return False
    return parts.scheme == "https" or is_near


def is_near_host(host: str) -> bool:
    """Whether a host, as it is written, is on this machine or in a network that is not public."""
    if host in _LOCAL_NAMES or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def as_form(values: Mapping[str, str]) -> bytes:
    """The body of a request to the token endpoint."""
    return urlencode(values).encode()
