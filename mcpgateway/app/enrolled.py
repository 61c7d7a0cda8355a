"""Whether clients' own files use the gateway, so that it is in use though no client is connected."""

from __future__ import annotations

import os

from mcpgateway.config.settings import Settings
from mcpgateway.errors import ConfigError
from mcpgateway.system.settings import LEDGER

FAIL_OPEN = "fail-open"  # such a file does without the gateway


def uses_gateway(settings: Settings) -> bool:
    """Whether a client's file uses the gateway, as the settings were last read."""
    return any(each.mode != FAIL_OPEN and not each.suspended for each in settings.adopted)


def uses_gateway_now(home: str, settings: Settings, *, is_enrolling: bool) -> bool:
    """The same, with what was done to clients' files since the settings were read.

    :param is_enrolling: a file is being written at this moment.
    """
    if not os.path.isdir(os.path.join(home, LEDGER)):
        return False
    from mcpgateway.clientfiles.ledger import Ledger  # few have enrolled a client's file

    try:
        files = Ledger(home).read().files.values()
    except ConfigError:
        return uses_gateway(settings)
    return is_enrolling or any(each.is_standing and each.mode != FAIL_OPEN for each in files)
