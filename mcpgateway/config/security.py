"""The section ``settings.security``: the callers that are allowed.

No mistake here may open the gateway: a malformed list, an unset variable and half a pair of files are errors with which
the gateway does not start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from mcpgateway.config.document import Place
from mcpgateway.config.expand import expand
from mcpgateway.config.fields import Flag, Strings, Text, Texts, text, texts
from mcpgateway.config.problems import Problems, Where
from mcpgateway.config.section import Key, Section, keys_of, part, setting
from mcpgateway.records import FrozenRecord

SHORT = 16  # characters; a shorter key can be guessed
WIDEST_V4, WIDEST_V6 = 8, 32  # bits; a wider network is nearly the whole internet
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MARK = "sha256:"


class Address(FrozenRecord, frozen=True):
    """An IP address, or ``localhost``."""

    words: str = "an IP address such as 127.0.0.1 or ::1"

    def read(self, place: Place, problems: Problems) -> str:
        """Read an address in its shortest spelling."""
        from ipaddress import ip_address

        if place.value == "localhost":
            return "127.0.0.1"
        try:
            return str(ip_address(text(place)))
        except ValueError:
            raise place.wrong(self.words) from None

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of addresses."""
        return {"type": "string", "pattern": "^(localhost|[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.%a-z0-9]*)$"}


class PublicUrl(FrozenRecord, frozen=True):
    """The public URL of the gateway: an http or https URL without a user, a query and a fragment."""

    words: str = "a URL such as https://gateway.example, or an empty text"

    def read(self, place: Place, problems: Problems) -> str:
        """Read a URL, without a slash at its end."""
        from urllib.parse import urlsplit

        url = text(place).strip()
        if not url:
            return ""
        try:
            parts = urlsplit(url)
            has_port = parts.port is None or parts.port > 0
        except ValueError:
            raise place.wrong(self.words) from None
        plain = url.isascii() and url.isprintable() and not set(url) & set(" \\@?#\"'<>")
        if not (plain and parts.scheme in ("http", "https") and parts.hostname and has_port):
            raise place.wrong(self.words)
        return url.rstrip("/")

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such URLs."""
        return {"type": "string", "pattern": "^(https?://[^\\s@?#]+)?$"}


class Networks(FrozenRecord, frozen=True):
    """Addresses, and networks of them."""

    words: str = "a list of addresses and networks such as 10.0.0.7 and 10.0.0.0/24"

    def read(self, place: Place, problems: Problems) -> tuple[str, ...]:
        """Read addresses; a network that covers nearly all addresses is refused."""
        from ipaddress import ip_network

        found = texts(place)
        for each in found:
            try:
                network = ip_network(each, strict=False)
            except ValueError:
                raise place.wrong(self.words) from None
            if network.prefixlen < (WIDEST_V4 if network.version == 4 else WIDEST_V6):
                raise place.wrong(
                    self.words, "a network that wide cannot be trusted; give its clients tokens"
                )
        return found

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of such lists."""
        return Texts().json()


@frozen
class DashboardClient:
    """The client as which the gateway signs users of its dashboard in at the authorization server.

    :ivar client_secret: empty for a public client.
    :ivar scopes: the requested scopes; those of them that a token has decide the rights of its dashboard.
    """

    client_id: str = setting(
        "client_id",
        Text(),
        "Id of a client that the authorization server knows, with the gateway's URL and ``/ui/signed-in`` as redirect"
        " URI. Without it the dashboard has no sign-in there.",
        "",
    )
    client_secret: str = setting(
        "client_secret",
        Text(is_secret=True),
        "Secret of that client, best a variable; empty for a public client.",
        "",
        is_secret=True,
    )
    scopes: tuple[str, ...] = setting(
        "scopes",
        Texts(),
        "Scopes that a sign-in asks for. ``mcpgateway:look``, ``mcpgateway:operate`` and ``mcpgateway:admin`` among"
        " the scopes, roles or permissions of the token are the rights of the dashboard.",
        ["mcpgateway:look", "mcpgateway:operate", "mcpgateway:admin"],
    )


DASHBOARD_CLIENT = Section("Sign-in to the dashboard", keys_of(DashboardClient))


@frozen
class Issuer:
    """An authorization server whose access tokens are accepted from clients (OAuth 2.1).

    :ivar jwks_url: the URL of its keys; empty: its metadata has it.
    """

    issuer: str = setting(
        "issuer",
        Text(),
        "URL of an authorization server (OAuth 2.1). Clients with its access tokens are let in.",
        "",
    )
    audience: tuple[str, ...] = setting(
        "audience",
        Texts(),
        "Whom the tokens have to be for: mostly the URL that clients reach the gateway at. Without it the gateway"
        " does not start.",
        [],
    )
    jwks_url: str = setting("jwks_url", Text(), "URL of its keys, where its metadata does not say it.", "")
    scopes: tuple[str, ...] = setting("scopes", Texts(), "What a token has to allow.", [])
    dashboard: DashboardClient = part(
        DashboardClient, Key("dashboard", DASHBOARD_CLIENT, "How users of the dashboard sign in there.")
    )


OAUTH_RESOURCE = Section("An authorization server for clients", keys_of(Issuer))


@frozen
class Security:
    """The callers that are allowed besides those with the gateway's own tokens.

    :ivar api_keys: keys of clients, or ``sha256:`` and a digest.
    :ivar project_tokens: tokens of clients in the same forms, and the workspace of each.
    """

    enabled: bool = setting(
        "enabled",
        Flag(),
        "Whether the addresses, keys and tokens of this section let clients in. The gateway's own two tokens always"
        " do.",
        default=False,
        below="auth",
    )
    trusted_ips: tuple[str, ...] = setting(
        "trusted_ips",
        Networks(),
        "Addresses and networks of other machines whose clients need no token. It is the connection that has to"
        " come from there, whatever its headers say.",
        [],
        below="auth",
    )
    api_keys: tuple[str, ...] = setting(
        "api_keys",
        Texts(is_secret=True),
        "Keys of clients, sent as a bearer token or as ``X-API-Key``; each is a variable, ``sha256:`` and the"
        " digest of a key in hexadecimal digits, or the key itself.",
        [],
        below="auth",
        is_secret=True,
    )
    project_tokens: Mapping[str, str] = setting(
        "project_tokens",
        Strings(hides_names=True),
        "Tokens of clients in the same forms, and the workspace each is for.",
        {},
        below="auth",
        is_secret=True,
    )
    oauth: Issuer = part(Issuer, Key("oauth", OAUTH_RESOURCE, "Who else lets clients in."))


AUTHENTICATION = Section("Authentication", keys_of(Security, "auth"), is_secret=True)
SECURITY = Section("Security", [Key("auth", AUTHENTICATION, "Who may call."), *keys_of(Security)])
SETTINGS = Section("Settings", [Key("security", SECURITY, "Who may call.")])


def settled(security: Security, sources: Mapping[str, str], where: Where, problems: Problems) -> Security:
    """Return the section with its variables expanded; mistakes are added to the problems.

    :param sources: the values of the variables.
    """
    _check_issuer(security.oauth, where, problems)

    def expanded(text: str) -> str | None:
        return _expanded(text, sources, where, problems)

    client = security.oauth.dashboard
    client = evolve(client, client_secret=expanded(client.client_secret) or client.client_secret)
    security = evolve(security, oauth=evolve(security.oauth, dashboard=client))
    if not security.enabled:
        return evolve(security, trusted_ips=(), api_keys=(), project_tokens={})

    def filled(text: str) -> str:
        found = expanded(text)
        if found is None:
            return text
        if found.startswith(MARK) and not DIGEST.fullmatch(found):
            problems.error(where, "a key begins with sha256:, and no digest of 64 hexadecimal digits follows")
        elif not found.startswith(MARK) and not found.isascii():
            problems.error(where, "a key or token has characters that a header cannot have")
        elif not found.strip():
            problems.error(where, "a key or token is empty")
        elif len(found) < SHORT:
            problems.warn(where, f"a key or token has less than {SHORT} characters and can be guessed")
        return found

    return evolve(
        security,
        api_keys=tuple(filled(each) for each in security.api_keys),
        project_tokens={filled(each): project for each, project in security.project_tokens.items()},
    )


def _expanded(text: str, sources: Mapping[str, str], where: Where, problems: Problems) -> str | None:
    found = expand(text, sources)
    if found.lacking:
        return None  # external values are fetched before the gateway serves
    if found.unset or found.demanded or found.broken:
        problems.error(where, "a key, token or secret is made of a variable that is not set")
        return None
    return found.text


def _check_issuer(issuer: Issuer, where: Where, problems: Problems) -> None:
    if not issuer.issuer:
        if issuer.audience or issuer.jwks_url or issuer.scopes or issuer.dashboard.client_id:
            problems.error(where, "settings.security.oauth has no issuer")
        return
    if not any(each.strip() for each in issuer.audience):
        hint = "name the URL that clients reach the gateway at; without it any token of the issuer would do"
        problems.error(where, "settings.security.oauth has an issuer and no audience", hint)
    for name, url in (("issuer", issuer.issuer), ("jwks_url", issuer.jwks_url)):
        if url and not _is_safe(url):
            problems.error(where, f"settings.security.oauth.{name} has to be an https URL without a user")


def _is_safe(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.fragment or "@" in parts.netloc or any(each <= " " for each in url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in ("localhost", "127.0.0.1", "::1"))
