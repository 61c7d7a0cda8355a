"""Apply the settings to the parts in front of the hub: the guard, the views and the router."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from mcpgateway.config.diff import Change
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.security import Issuer, Security
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http.guard import Guard
from mcpgateway.frontends.http.peers import Callers
from mcpgateway.frontends.http.router import Root
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.manage.departed_principals import DepartedPrincipals
from mcpgateway.policy.access import AccessPolicy, networks
from mcpgateway.records import FrozenRecord

# The settings that decide on who is admitted.
ACCESS = (
    "security",
    "public_url",
    "allowed_hosts",
    "allowed_origins",
    "allow_remote",
    "auth_mcp_transport",
    "open_loopback_admin",
)


class Admission(FrozenRecord, frozen=True):
    """The parts in front of the hub that follow the settings: access of clients, and routes to servers.

    :ivar reroute: applies the settings of proxies to the gateway's own requests.
    :ivar leaving: revokes the grants of principals without a credential.
    """

    root: Root
    guard: Guard
    callers: Callers
    bearers: CredentialStore
    trust: Callable[[Issuer], None]
    reroute: Callable[[Settings], None]
    leaving: DepartedPrincipals

    log = Logger()

    def tick(self) -> None:
        """Tick the parts; called once a second."""
        if self.guard.access_tokens is not None:
            self.guard.access_tokens.tick()

    def apply(self, change: Change) -> None:
        """Apply a change of the configuration."""
        settings, gateway = change.settings, change.settings.gateway
        if change.has_servers or change.concerns("world"):
            self.reroute(settings)
        if change.concerns("trust_other_users"):
            self.callers.configure(trusts_others=gateway.trust_other_users)
        if change.concerns("security"):
            self._admit(gateway.security)
        if change.concerns(*ACCESS):
            self.guard.configure(policy_of(gateway))
            self.leaving.look()
        if change.concerns("limits"):
            self.root.configure(gateway.limits)
        self.root.apply(change)
        if change.concerns("is_disabled"):
            self.root.switch(settings.is_disabled)

    def _admit(self, security: Security) -> None:
        self.bearers.admit_keys(security.api_keys, security.project_tokens)
        try:
            self.trust(security.oauth)
        except ConfigError as why:
            self.log.error(
                "the gateway accepts no tokens of an issuer: {why}", event="issuer.refused", why=str(why)
            )
        self.leaving.issuer = security.oauth.issuer


def policy_of(settings: GatewaySettings) -> AccessPolicy:
    """Return the access policy that the settings describe."""
    host, origin = place_of_public(settings.public_url)
    return AccessPolicy(
        frozenset(each.lower().encode() for each in (*settings.allowed_hosts, *host)),
        frozenset(each.encode() for each in (*settings.allowed_origins, *origin)),
        settings.allow_remote,
        settings.auth_mcp_transport == "bearer-required",
        settings.auth_mcp_transport == "loopback-only",
        networks(settings.security.trusted_ips),
        open_loopback=settings.open_loopback_admin,
        is_public=bool(settings.public_url),
    )


def place_of_public(url: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the host and the origin of the gateway's public address, as browsers send them; empty without one."""
    if not url:
        return (), ()
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    return (f"[{host}]" if ":" in host else host,), (f"{parts.scheme}://{parts.netloc.lower()}",)
