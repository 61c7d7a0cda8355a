"""Clients of all kinds at all endpoints, while servers die, come, go and are renamed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.support.gateway import IS_SOAK
from tests.support.rounds import SESSIONS_KIB
from tests.support.view_storm import ViewStorm

pytestmark = pytest.mark.functional

SECONDS = float(os.environ.get("MCPGATEWAY_STORM_S", "0")) or (300 if IS_SOAK else 3)
PLACES = 50 if IS_SOAK else 12
HAPPENED = ("echo", "who", "sleep", "progress", "ask", "list", "told to all")
HAPPENED += ("killed", "renamed", "veiled")


class ViewStormTests:
    """Storms on views."""

    def test_storm(self, tmp_path: Path) -> None:
        """Every answer is the right one, no call and no notice is lost, and nothing is left when it is over."""
        seed = os.environ.get("MCPGATEWAY_STORM_SEED") or secrets.token_hex(4)
        print(f"MCPGATEWAY_STORM_SEED={seed}")
        storm = ViewStorm(tmp_path, seed, PLACES, SECONDS, HAPPENED)
        storm.blow()
        print(dict(sorted(storm.world.counts.items())), *storm.world.wrong, *storm.world.stories, sep="\n")
        print(f"resident: {storm.resident[:1]} to {storm.resident[-1:]} KiB, grown by {storm.grown_kib} KiB")
        assert storm.world.wrong == []
        assert "Traceback" not in storm.gateway.log, storm.gateway.log
        assert storm.missing == []
        if IS_SOAK:
            assert storm.grown_kib < SESSIONS_KIB
