"""Who may call, as the settings say."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Issuer:
    """An authorization server whose access tokens let clients in (OAuth 2.1).

    :ivar issuer: who its tokens say has made them.
    :ivar audience: whom they have to be for.
    :ivar jwks_url: where its keys are; empty: its metadata says so.
    :ivar scopes: what they have to allow.
    """

    issuer: str = ""
    audience: tuple[str, ...] = ()
    jwks_url: str = ""
    scopes: tuple[str, ...] = ()


@frozen
class Security:
    """Who may call, besides whoever has the gateway's own tokens.

    :ivar trusted_ips: addresses and networks that need no token, as the connection comes from them.
    :ivar api_keys: keys of clients, or ``sha256:`` and a digest.
    :ivar project_tokens: tokens of clients in the same forms, and the workspace each is for.
    """

    enabled: bool = False
    trusted_ips: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    project_tokens: Mapping[str, str] = field(factory=dict, repr=False)
    oauth: Issuer = Issuer()
