"""Whose account is used at a remote server."""

from __future__ import annotations

from mcpgateway.config.model import Reach, Remote, ServerSpec, Transport


def can_sign_in(reach: Reach | None) -> bool:
    """Whether users sign in at a server, if it wants that; whoever has given a token of their own does not."""
    if not isinstance(reach, Remote) or reach.transport is Transport.WEBSOCKET:
        return False
    return reach.oauth is not None or not any(name.lower() == "authorization" for name in reach.headers)


def owner_of(principal: str, server: ServerSpec) -> str:
    """The owner of the account that a principal uses at a server; empty for the gateway's own user."""
    return ""
