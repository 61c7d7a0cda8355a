"""The credentials in an OpenAPI description: its security schemes, and those that an operation needs.

type                       the place of the credential
apiKey                     the header, parameter of the query, or cookie that it names
http                       Authorization: its scheme, and the credential; for ``basic``, a user and a password
oauth2, openIdConnect      Authorization: Bearer, and a token
mutualTLS                  none: it is a certificate
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from mcpgateway.config.openapi.schemas import resolved

BASIC, BEARER = "Basic", "Bearer"
AUTHORIZATION = "Authorization"
PLACES = ("header", "query", "cookie")


@frozen
class Scheme:
    """The place of a credential.

    :ivar where: one of `PLACES`; empty where the credential cannot be sent.
    :ivar name: the name of the header, the parameter or the cookie.
    :ivar scheme: the word in front of it in the header; empty for none.
    """

    where: str = ""
    name: str = ""
    scheme: str = ""

    @property
    def words(self) -> str:
        """The scheme in words, for the user whose credential is needed."""
        if not self.where:
            return "a client certificate"
        return f"the {self.where} {self.name}" + (f": {self.scheme} …" if self.scheme else "")


def schemes_of(document: Mapping[str, Any]) -> dict[str, Scheme]:
    """Return the schemes of a description, by their names, without those of unknown kinds."""
    components = resolved(document, document.get("components"))
    listed = components.get("securitySchemes") if isinstance(components, dict) else None
    found: dict[str, Scheme] = {}
    for name, each in listed.items() if isinstance(listed, dict) else ():
        definition = resolved(document, each)
        scheme = _scheme(definition) if isinstance(definition, dict) else None
        if scheme is not None:
            found[name] = scheme
    return found


def _scheme(definition: Mapping[str, Any]) -> Scheme | None:
    kind, name, where, scheme = (_text(definition.get(key)) for key in ("type", "name", "in", "scheme"))
    match kind:
        case "apiKey" if where in PLACES and name:
            return Scheme(where, name)
        case "http":
            return Scheme("header", AUTHORIZATION, scheme.capitalize() or BEARER)
        case "oauth2" | "openIdConnect":
            return Scheme("header", AUTHORIZATION, BEARER)
        case "mutualTLS":
            return Scheme()
    return None


def security_of(
    document: Mapping[str, Any], operation: Mapping[str, Any]
) -> tuple[tuple[str, ...], ...] | None:
    """Return the ways to authenticate for an operation, each as names of schemes; None where the description has none.

    An empty way needs no credential.
    """
    requirements = operation.get("security", document.get("security"))
    if not isinstance(requirements, list):
        return None
    return tuple(tuple(map(str, each)) for each in requirements if isinstance(each, dict))


def wanted(ways: Iterable[Iterable[str]] | None, schemes: Mapping[str, Scheme]) -> str:
    """Return the credentials that an operation needs, in words; empty where it needs none."""
    alternatives = []
    for way in ways or ():
        if not way:
            return ""
        alternatives.append(" and ".join(_shown(name, schemes[name]) for name in way if name in schemes))
    return " or ".join(dict.fromkeys(filter(None, alternatives)))


def _shown(name: str, scheme: Scheme) -> str:
    return f"{scheme.words} (credentials.{name})" if scheme.where else scheme.words


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
