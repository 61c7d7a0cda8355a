"""Clients of all kinds at all endpoints, while servers die, come, go and are renamed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.gateway import IS_SOAK
from tests.support.harness.storm import seed
from tests.support.rounds import SESSIONS_KIB
from tests.support.view_storm import ViewStorm

pytestmark = pytest.mark.functional

SECONDS = float(os.environ.get("MCPGATEWAY_STORM_S", "0")) or (300 if IS_SOAK else 3)
PLACES = 50 if IS_SOAK else 12
HAPPENED = ("echo", "who", "sleep", "progress", "ask", "list", "told to all")
HAPPENED += ("children killed", "renamed", "veiled")


class ViewStormTests:
    """Storms on views."""

    def test_storm(self, tmp_path: Path) -> None:
        """Every answer is the right one, no call and no notice is lost, and nothing is left when it is over."""
        storm = ViewStorm(tmp_path, seed(), SECONDS, dict.fromkeys(HAPPENED, 1), PLACES).blow()
        assert storm.faults == []
        if IS_SOAK:
            assert storm.grown_kib < SESSIONS_KIB
