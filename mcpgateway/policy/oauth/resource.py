"""The gateway as a resource of an authorization server: its metadata for clients, and the tokens that are for it.

# Note [Whom a token is for]
A client asks for a token for the URL that it calls (RFC 8707), which is the one in the settings or lies below it; many
authorization servers put the configured audience in instead.  So a token is for the gateway if its ``aud`` names the
configured URL, or a URL below it.  A token without ``aud`` is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mcpgateway.config.security import Issuer

WELL_KNOWN = b"/.well-known/"
METADATA = b"/.well-known/oauth-protected-resource"
ALGORITHMS = (
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split()  # of public keys only
)
SUBJECT = "oauth"
"""The prefix of the principals of such subjects."""
# The types of an access token; its issuer signs other tokens, too (RFC 8725 section 3.11).
KINDS = frozenset(("jwt", "at+jwt", "application/at+jwt"))
REALM = 'Bearer realm="mcpgateway"'


def is_for(audience: Any, wanted: tuple[str, ...]) -> bool:
    """True if the ``aud`` of a token names the gateway; see Note [Whom a token is for]."""
    named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    return any(isinstance(each, str) and each and _is_below(each, own) for each in named for own in wanted)


def _is_below(name: str, own: str) -> bool:
    if name == own:
        return True
    try:
        there, here = urlsplit(name), urlsplit(own)
    except ValueError:
        return False
    if here.scheme not in ("http", "https") or not here.netloc or here.query or here.fragment:
        return False
    if (there.scheme, there.netloc.lower()) != (here.scheme, here.netloc.lower()):
        return False
    base = here.path.rstrip("/") + "/"
    parts = there.path.split("/")
    return (
        (there.path + "/").startswith(base)
        and ".." not in parts
        and "." not in parts
        and "%" not in there.path
    )


def principal_of(issuer: str, subject: str) -> str:
    """Return the principal of a subject of an authorization server; the subject's name cannot be read from it."""
    return f"{SUBJECT} {_digest(issuer)[:8]}-{_digest(f'{issuer} {subject}')[:16]}"


def is_subject_of(issuer: str, principal: str) -> bool:
    """True if a principal is a subject of that authorization server."""
    return bool(issuer) and principal.startswith(f"{SUBJECT} {_digest(issuer)[:8]}-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def scopes_in(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes of a token: ``scope`` (RFC 9068), or ``scp`` as some servers have it."""
    found: list[str] = []
    for name in ("scope", "scp"):
        claim = claims.get(name)
        if isinstance(claim, str):
            found += claim.split()
        elif isinstance(claim, list):
            found += [each for each in claim if isinstance(each, str)]
    return frozenset(found)


def subject_of(claims: Mapping[str, Any]) -> str:
    """Return the subject of a token; empty where it has none."""
    for name in ("sub", "client_id", "azp"):
        claim = claims.get(name)
        if isinstance(claim, str) and claim:
            return f"{name} {claim}"
    return ""


def base_of(host: bytes, *, is_secure: bool, issuer: Issuer) -> str:
    """Return the called URL of the gateway up to its host; behind a proxy the settings name the scheme.

    :param host: the ``Host`` header, which is one of the gateway's names.
    """
    authority = host.decode("ascii", "replace").lower()
    known = (urlsplit(each) for each in issuer.audience)
    named = any(each.scheme == "https" and each.netloc.lower() == authority for each in known)
    return f"{'https' if is_secure or named else 'http'}://{authority}"


def described(base: str, path: str, issuer: Issuer) -> dict[str, Any]:
    """Return the metadata of a protected resource (RFC 9728).

    :param path: the path of the resource; empty for all of them.
    """
    made: dict[str, Any] = {
        "resource": base + path,
        "authorization_servers": [issuer.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "mcpgateway",
    }
    return made | ({"scopes_supported": list(issuer.scopes)} if issuer.scopes else {})


def challenge(base: str, path: str, issuer: Issuer | None, error: str = "") -> bytes:
    """Return the ``WWW-Authenticate`` value of a refusal; without an issuer it names no metadata.

    :param error: the error of the token (RFC 6750 section 3.1); empty where there was no token.
    """
    header = REALM
    if issuer is not None:
        if base:
            header += f', resource_metadata="{base}{METADATA.decode()}{path}"'
        if error:
            header += f', error="{error}"'
        if issuer.scopes:
            header += f', scope="{" ".join(issuer.scopes)}"'
    return f"WWW-Authenticate: {header}\r\n".encode("ascii", "replace")
