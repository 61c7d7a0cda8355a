"""Commands from other machines: which programs this machine runs is theirs to say only if the settings allow it."""

from __future__ import annotations

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.errors import NotEntitled
from mcpgateway.policy.access import REMOTE


def check_may_run(principal: str, settings: GatewaySettings, *, is_run_here: bool = True) -> None:
    """Check that a caller may choose the programs that are run.

    :param is_run_here: it is on this machine.
    :raise NotEntitled: he is on another one.
    """
    if is_run_here and principal == REMOTE and not settings.remote_commands:
        raise NotEntitled(
            "what is run on this machine is not said from another one (gateway.remote_commands is off)",
            "do it on the gateway's own machine",
        )
