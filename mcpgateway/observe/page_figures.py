"""The numbers that the page of the overview shows beside the verdict: the last hour, the savings, and who is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpgateway.observe.savings import Savings
from mcpgateway.observe.sessions import SessionDirectory
from mcpgateway.observe.timeline import Timeline
from mcpgateway.records import FrozenRecord

HOUR = 60  # minutes
NAMES, PLACES = 12, 5
RECENT_S = 600  # a client without a session counts as here for so long


class PageFigures(FrozenRecord, frozen=True):
    """Computes them on request.

    :ivar _search: returns the state of the semantic search (`mcpgateway.system.semantic.launch.search_state`).
    :ivar _budgets: returns the use of the profiles' budgets (`mcpgateway.manage.views.ViewOperations.budgets`).
    """

    _timeline: Timeline
    _savings: Savings
    _sessions: SessionDirectory
    _search: Callable[[], dict[str, str]] = dict
    _budgets: Callable[[], list[dict[str, Any]]] = list

    def shown(self) -> dict[str, Any]:
        """Return all of them; they change with what happens, and the hour with each minute."""
        return {
            "calls60": self._timeline.calls(HOUR),
            "saved": self._savings.brief(),
            "who": self._who(),
            "search": self._search(),
            "budgets": self._budgets(),
        }

    def _who(self) -> list[dict[str, Any]]:
        groups: dict[str, dict[str, Any]] = {}
        lately = (each for each in self._sessions.without() if each["idle_seconds"] < RECENT_S)
        for each in (*self._sessions.listed(), *lately):
            name = each["client"].get("name", "")
            group = groups.setdefault(name, {"name": name, "sessions": 0, "places": []})
            group["sessions"] += "id" in each
            place = each["workspace"]
            if place and place not in group["places"] and len(group["places"]) < PLACES:
                group["places"].append(place)
        return sorted(groups.values(), key=lambda each: (-each["sessions"], each["name"]))[:NAMES]
