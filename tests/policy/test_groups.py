"""Groups of servers."""

import json
import re
from pathlib import Path

import pytest

from mcpgateway.policy.groups import WORST_FIRST, ServerGroup, grouped, worst_status
from mcpgateway.policy.health import HealthState
from mcpgateway.policy.readiness import FAILED, NOT_READY

CORE = Path(__file__).resolve().parents[2] / "ui" / "core" / "src" / "groups.ts"


class WorstTests:
    """The state of a group."""

    @pytest.mark.parametrize(("better", "worse"), [*zip(WORST_FIRST[1:], WORST_FIRST, strict=False)])
    def test_order(self, better, worse):
        """The worst state of its servers is that of the group, whatever their order."""
        servers = [{"status": better, "enabled": True}, {"status": worse, "enabled": True}]
        assert worst_status(servers) == worst_status(servers[::-1]) == worse

    def test_switched_off(self):
        """A server that a user has switched off hides no state of another one."""
        servers = [{"status": "disabled", "enabled": False}, {"status": "stopped", "enabled": True}]
        assert worst_status(servers) == "stopped"
        assert worst_status(servers[:1]) == "disabled"

    def test_every_state(self):
        """Every state has its place."""
        assert set(WORST_FIRST) == {each.value for each in HealthState} | {FAILED, NOT_READY}

    def test_dashboard(self):
        """The dashboard has the same order."""
        listed = re.search(r"WORST_FIRST = (\[.*?\]);", CORE.read_text(), re.DOTALL)
        assert listed
        assert json.loads(re.sub(r",\s*\]", "]", listed[1])) == list(WORST_FIRST)


def test_places():
    """A group stands in the place of its first server; groups of two titles are two."""
    names = [("a", "x", ""), ("b", "", ""), ("c", "x", ""), ("d", "x", "T")]
    a, b, c, d = servers = [
        {"name": name, "group": group, "group_title": title, "status": "idle"} for name, group, title in names
    ]
    assert grouped(servers) == [
        ServerGroup("x", "", "idle", (a, c)),
        b,
        ServerGroup("x", "T", "idle", (d,)),
    ]
