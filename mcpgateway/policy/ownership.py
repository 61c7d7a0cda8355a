"""The owner of the account that is used at a remote server."""

from __future__ import annotations

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import GrantOf, Reach, Remote, Transport
from mcpgateway.policy.access import is_client


def can_sign_in(reach: Reach | None) -> bool:
    """True if users sign in at a server that requires it; at a server whose entry has a token they do not."""
    if not isinstance(reach, Remote) or reach.transport is Transport.WEBSOCKET:
        return False
    return reach.oauth is not None or not any(name.lower() == "authorization" for name in reach.headers)


def person_of(principal: str) -> str:
    """Return the owner of an account: the principal, or empty for the gateway's user, with a token or without."""
    return principal if is_client(principal) else ""


def is_personal(server: ServerSpec) -> bool:
    """True if each principal uses an account of its own at a server."""
    reach = server.reach
    if not isinstance(reach, Remote) or not can_sign_in(reach):
        return False
    return reach.oauth is None or reach.oauth.grant is not GrantOf.GATEWAY


def owner_of(principal: str, server: ServerSpec) -> str:
    """Return the owner of the account that a principal uses at a server; empty for the gateway's own user.

    A view always belongs to its principal, even where its servers share one account.
    """
    return person_of(principal) if server.view or is_personal(server) else ""
