"""Commands from other machines: they choose programs that this machine runs only if the settings allow it."""

from __future__ import annotations

from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.errors import NotEntitled
from mcpgateway.policy.access import REMOTE


def check_may_run(principal: str, settings: GatewaySettings, *, is_run_here: bool = True) -> None:
    """Check that a caller may choose the programs that are run.

    :param is_run_here: the program would run on this machine.
    :raise NotEntitled: the caller is on another machine, and the settings do not allow it.
    """
    if is_run_here and principal == REMOTE and not settings.remote_commands:
        raise NotEntitled(
            "what is run on this machine is not said from another one (gateway.remote_commands is off)",
            "do it on the gateway's own machine",
        )
