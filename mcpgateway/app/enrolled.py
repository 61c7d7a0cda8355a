"""Find out if clients' own files use the gateway, which then stays in use without a connected client."""

from __future__ import annotations

import os

from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.system.settings import LEDGER

FAIL_OPEN = "fail-open"  # a file with this mode works without the gateway


def uses_gateway(settings: Settings) -> bool:
    """Return whether a client's file uses the gateway, as of the last reading of the settings."""
    return any(each.mode != FAIL_OPEN and not each.suspended for each in settings.adopted)


def uses_gateway_now(home: str, settings: Settings, *, is_enrolling: bool) -> bool:
    """Return whether a client's file uses the gateway, with changes since the last reading of the settings.

    :param is_enrolling: True while a file is being written.
    """
    if not os.path.isdir(os.path.join(home, LEDGER)):
        return False
    from mcpgateway.clientfiles.ledger import Ledger  # rarely used

    try:
        files = Ledger(home).read().files.values()
    except ConfigError:
        return uses_gateway(settings)
    return is_enrolling or any(each.is_standing and each.mode != FAIL_OPEN for each in files)
