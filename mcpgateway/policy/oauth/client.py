"""The client's side of OAuth 2.1, as plain functions (MCP 2025-11-25 and 2026-07-28, basic/authorization).

question                            RFC
which authorization server          9728  protected resource metadata
its endpoints and abilities         8414  authorization server metadata, or OpenID Connect discovery
the gateway's client id             7591  dynamic registration, where the entry names no client; or a metadata document
proof that the code is the client's 7636  PKCE with S256, without which no sign-in is begun
the resource of a token             8707  resource indicators
the issuer of the answer            9207  ``iss``
the end of a token                  7009  revocation
a sign-in on another device         8628  device authorization (`mcpgateway.policy.oauth.device`)

# Note [Places that are tried]
Each document has several places.  A place that is wrong (404, a page in HTML, the document of another server) is
skipped; a document counts only where it is complete and of the requested server.  A server of 2025-03-26 without
metadata is its own authorization server, with the endpoints that the revision names.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from mcpgateway.errors import BackendError
from mcpgateway.policy.oauth.device import GRANT_TYPE as DEVICE_CODE

PRM = "/.well-known/oauth-protected-resource"
SERVER_METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
EARLY_S = 60.0  # a token is renewed so long before its end
EARLY_PART = 0.25  # or so much of its life, where that is shorter
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LOCAL_NAMES = ("localhost",)
OFFLINE = "offline_access"
SECRET_METHODS = ("client_secret_basic", "client_secret_post")


@frozen
class Challenge:
    """The content of a ``WWW-Authenticate: Bearer`` header."""

    error: str = ""
    scope: str = ""
    metadata: str = ""


@frozen
class AuthServer:
    """The members of an authorization server's metadata that the gateway uses.

    :ivar says_issuer: its authorization responses hold ``iss`` (RFC 9207).
    :ivar takes_documents: it takes URLs as ids of clients, and fetches their metadata there.
    :ivar is_described: it has metadata; else its endpoints are guessed.
    :ivar device_endpoint: the endpoint of device codes (RFC 8628); empty where it has none.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str = ""
    scopes: tuple[str, ...] = ()
    token_methods: tuple[str, ...] = ("client_secret_basic",)
    says_issuer: bool = False
    revocation_endpoint: str = ""
    takes_documents: bool = False
    is_described: bool = True
    device_endpoint: str = ""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All endpoints of the server that are known."""
        named = (
            self.authorization_endpoint,
            self.token_endpoint,
            self.registration_endpoint,
            self.revocation_endpoint,
            self.device_endpoint,
        )
        return tuple(each for each in named if each)


@frozen
class OAuthClient:
    """The gateway as a client of an authorization server.

    :ivar secret: empty for a public client.
    :ivar method: the method by which the secret is sent; empty where the metadata of the server decides.
    """

    id: str
    secret: str = field(default="", repr=False)
    method: str = ""


@frozen
class Registration:
    """The registration of the gateway at an authorization server (RFC 7591).

    :ivar scope: the scope it may ask for; empty where unknown.
    :ivar expires: of the secret, in seconds since the epoch; 0: never.
    :ivar manage_url: the URL at which the registration is deleted (RFC 7592); empty where it cannot be.
    :ivar by_device: the client may sign in by a device code, too.
    """

    client: OAuthClient
    issuer: str
    redirect: str
    scope: str = ""
    expires: float = 0.0
    manage_url: str = ""
    manage_token: str = field(default="", repr=False)
    by_device: bool = False

    def serves(self, issuer: str, redirect: str, scope: str, now: float) -> bool:
        """True if the registration can be used for a sign-in.

        :param redirect: the redirect URI of the sign-in; empty for none.
        :param scope: the scope to ask for.
        """
        if self.issuer != issuer or redirect not in ("", self.redirect):
            return False
        if self.expires and now >= self.expires:
            return False
        return set(scope.split()) <= set(self.scope.split())


@frozen
class Grant:
    """An access token, and the refresh token for the next one.

    :ivar expires: seconds since the epoch; 0: unknown.
    :ivar issuer: the authorization server that issued it; no other is ever sent the refresh token.
    :ivar renew_at: the time when the token is renewed, in seconds since the epoch; 0: not before it is refused.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires: float = 0.0
    scope: str = ""
    issuer: str = ""
    renew_at: float = 0.0

    def is_good(self, now: float) -> bool:
        """True if the token need not be renewed yet."""
        return not self.renew_at or now < self.renew_at


def challenge(header: str) -> Challenge:
    """Read a ``WWW-Authenticate`` header; members that it lacks are empty."""
    at = re.search(r"\bbearer\b", header, re.IGNORECASE)
    if at is None:
        return Challenge()
    found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(header[at.end() :])}
    return Challenge(found.get("error", ""), found.get("scope", ""), found.get("resource_metadata", ""))


def resource_of(url: str) -> str:
    """Return the canonical name of a server: its URL without query, fragment and final slash."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    netloc = f"[{host}]" if ":" in host else host
    if parts.port is not None and parts.port != {"http": 80, "https": 443}.get(parts.scheme):
        netloc += f":{parts.port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


def resource_metadata_urls(url: str, named: str) -> tuple[str, ...]:
    """Return the possible URLs of a server's metadata, in the order of trying: that of its refusal, then the usual."""
    return tuple(dict.fromkeys((*((named,) if named and may_name(named, url) else ()), *_beside(url, PRM))))


def server_metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return the possible URLs of an authorization server's metadata, in the order of trying."""
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


def check_resource(metadata: Any, url: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the authorization servers that a protected resource names, and the scopes that it supports.

    :raise BackendError: the metadata is of another resource, or names no authorization server.
    """
    if not isinstance(metadata, dict):
        raise BackendError("its protected resource metadata is not an object")
    resource = metadata.get("resource")
    expected, declared = resource_of(url), resource_of(resource) if isinstance(resource, str) else ""
    if declared != expected and not (declared and expected.startswith(f"{declared}/")):
        raise BackendError("its protected resource metadata is that of another resource")
    servers = [each for each in _texts(metadata.get("authorization_servers")) if each]
    if not servers:
        raise BackendError("its protected resource metadata names no authorization server")
    return tuple(servers), _texts(metadata.get("scopes_supported"))


def check_server(metadata: Any, issuer: str) -> AuthServer:
    """Read the metadata of an authorization server.

    :raise BackendError: the metadata is of another issuer, or lacks an endpoint or PKCE.
    """
    if not isinstance(metadata, dict):
        raise BackendError("the authorization server's metadata is not an object")
    declared = metadata.get("issuer")
    if not isinstance(declared, str) or declared.rstrip("/") != issuer.rstrip("/"):
        raise BackendError("the authorization server's metadata is that of another issuer")
    for key in ("authorization_endpoint", "token_endpoint"):
        if not isinstance(metadata.get(key), str):
            raise BackendError(f"the authorization server names no {key}")
    if "S256" not in _texts(metadata.get("code_challenge_methods_supported")):
        raise BackendError("the authorization server does not say that it knows PKCE (S256)")
    return AuthServer(
        declared,
        metadata["authorization_endpoint"],
        metadata["token_endpoint"],
        _text(metadata.get("registration_endpoint")),
        _texts(metadata.get("scopes_supported")),
        _texts(metadata.get("token_endpoint_auth_methods_supported")) or ("client_secret_basic",),
        metadata.get("authorization_response_iss_parameter_supported") is True,
        _text(metadata.get("revocation_endpoint")),
        metadata.get("client_id_metadata_document_supported") is True,
        device_endpoint=_text(metadata.get("device_authorization_endpoint")),
    )


def undescribed_server(url: str) -> AuthServer:
    """Return the metadata of a server of 2025-03-26 without any: its own authorization server, at the usual paths."""
    issuer = _at(url, "").rstrip("/")
    return AuthServer(
        issuer, f"{issuer}/authorize", f"{issuer}/token", f"{issuer}/register", is_described=False
    )


def scope_for(configured: tuple[str, ...], asked: str, known: tuple[str, ...], granted: str) -> str:
    """Return the scopes to ask for: the entry's, else those of the refusal and the granted ones, else all known."""
    if configured:
        return " ".join(configured)
    if asked:
        return " ".join(dict.fromkeys((*granted.split(), *asked.split())))
    return " ".join(known)


def more_wanted(configured: tuple[str, ...], asked: str, granted: str) -> str:
    """Return the scope that a server wants beyond the granted one, if a sign-in can grant it; else empty.

    :param configured: the scopes of its entry, which are not exceeded.
    """
    missing = [each for each in asked.split() if each not in granted.split()]
    return " ".join(each for each in missing if not configured or each in configured)


def with_offline_access(server: AuthServer, scope: str) -> str:
    """Return a scope with that of refresh tokens, where the server knows it."""
    wanted = scope.split()
    return f"{scope} {OFFLINE}".strip() if OFFLINE in server.scopes and OFFLINE not in wanted else scope


def registration(
    redirect: str, version: str, scope: str, method: str, *, by_device: bool = False
) -> dict[str, Any]:
    """Return the metadata by which the gateway registers at an authorization server (RFC 7591).

    :param scope: the scope that may be asked for later; empty leaves it to the server.
    :param method: the method of authentication (`token_method`).
    :param by_device: register for sign-ins by a device code, too.
    """
    device_code = [DEVICE_CODE] if by_device else []
    return {
        "client_name": "mcpgateway",
        "software_id": "mcpgateway",
        "software_version": version,
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token", *device_code],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        **({"scope": scope} if scope else {}),
    }


def client_document(url: str, redirect: str) -> dict[str, Any]:
    """Return the gateway's client metadata document, for servers that fetch it (MCP 2025-11-25).

    :param url: the document's own URL, which is the client's id.
    """
    return {
        "client_id": url,
        "client_name": "mcpgateway",
        "client_uri": _at(url, "").rstrip("/"),
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


def token_method(server: AuthServer) -> str:
    """Return the method of authentication with which the gateway registers: none, where the server allows it."""
    known = server.token_methods
    return next((each for each in ("none", *SECRET_METHODS) if each in known), "none")


def registered(answer: Any, issuer: str, redirect: str, scope: str) -> Registration:
    """Read the registration in an authorization server's answer.

    :param scope: the scope that was asked for.
    :raise BackendError: the answer names no client.
    """
    if not isinstance(answer, dict) or not _text(answer.get("client_id")):
        raise BackendError("its authorization server registered no client")
    secret: str = _text(answer.get("client_secret"))
    expires: Any = answer.get("client_secret_expires_at")
    method = _text(answer.get("token_endpoint_auth_method"))
    manage_url = _text(answer.get("registration_client_uri"))
    return Registration(
        OAuthClient(answer["client_id"], secret, method if method in SECRET_METHODS else ""),
        issuer,
        redirect,
        # A server that names fewer may still grant all that it was asked for.
        " ".join(dict.fromkeys((*scope.split(), *_text(answer.get("scope")).split()))),
        float(expires) if secret and _is_number(expires) else 0.0,
        manage_url if may_name(manage_url, issuer) else "",
        _text(answer.get("registration_access_token")),
    )


def code_challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    server: AuthServer,
    client: OAuthClient,
    redirect: str,
    state: str,
    challenge: str,
    scope: str,
    resource: str,
) -> str:
    """Return the URL at which the user signs in and authorizes the gateway."""
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
    joint = "&" if urlsplit(server.authorization_endpoint).query else "?"
    return server.authorization_endpoint + joint + urlencode(asked)


def read_grant(answer: Any, now: float, issuer: str, before: Grant | None = None, asked: str = "") -> Grant:
    """Return the token in an answer of the token endpoint; without a new refresh token the old one stays.

    :param issuer: the authorization server that answered.
    :param before: the token that was renewed; None for a first one.
    :param asked: the requested scope, which counts as granted where the answer names no other.
    :raise BackendError: the answer holds no bearer token.
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
        scope = before.scope if before is not None else asked
    if not _is_number(lasts) or lasts <= 0:
        return Grant(token, refresh, 0.0, scope, issuer)
    expires = now + lasts
    return Grant(token, refresh, expires, scope, issuer, expires - min(EARLY_S, EARLY_PART * lasts))


def may_ask(url: str, configured: str) -> bool:
    """True if a URL that a server named may be fetched: by TLS, and in a private network only if the server is in one.

    A remote server must not send the gateway to services that only this machine can reach.
    """
    parts, home = urlsplit(url), urlsplit(configured)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return False
    is_near, was_near = is_near_host(host), is_near_host((home.hostname or "").lower())
    if is_near and not was_near:
        return False
    return parts.scheme == "https" or is_near


def may_name(url: str, by: str) -> bool:
    """True if a URL that a server at another URL names may be fetched: over TLS, or at the same origin.

    Services without TLS are mostly near, and do not authenticate their callers: a server on this machine must not
    choose what the gateway requests of any other service there, or sends to it.
    """
    return urlsplit(url).scheme == "https" or _at(url, "") == _at(by, "")


def is_near_host(host: str) -> bool:
    """True if a host, as written, is on this machine or in a network that is not public."""
    if host in _LOCAL_NAMES or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
