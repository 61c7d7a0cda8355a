"""A gateway in memory that keeps the originals of what it shortens, on a real disk."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from mcpgateway.config.surface import ShieldLimits
from mcpgateway.host.spill import Spill
from mcpgateway.hub.vault import Vault
from mcpgateway.hub.views.specs import Keepers
from tests.support.gateway_in_memory import MemoryGateway

LONG: dict[str, Any] = {
    "content": [{"type": "text", "text": json.dumps([f"item {each}" for each in range(500)])}]
}


def _vault(home: Path, limits: ShieldLimits) -> Vault:
    return Vault(Spill(str(home / "results")), limits.keep, limits.keep_bytes, Clock().seconds)


def keeping(home: Path, **more: Any) -> MemoryGateway:
    """A gateway that keeps originals below a directory."""

    class Keeping(MemoryGateway):
        keepers = Keepers(vault=partial(_vault, home))

    return Keeping(**more)
