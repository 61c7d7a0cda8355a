"""The phases of a recorded call."""

from __future__ import annotations

from typing import Any

from mcpgateway.observe.call_phases import PHASES, phases, questions


def spans(**record: Any) -> list[tuple[str, float, float]]:
    """Return the phases of a record."""
    return [(each["name"], each["at"], each["ms"]) for each in phases(record)]


class PhasesTests:
    """``phases``."""

    def test_a_warm_server(self) -> None:
        """A call to a server that runs is judged, sent, answered and passed on."""
        found = spans(ms=20.0, reached=100, sent=100, passed=20_300)
        assert found == [("judge", 0.0, 0.1), ("upstream", 0.1, 20.0), ("write", 20.1, 0.2)]

    def test_a_start(self) -> None:
        """A call that waits for a server has its start and its handshake, each once, in the order of time."""
        found = spans(ms=60.0, reached=1000, sent=51_000, passed=61_100, start=[3000, 13_000, 50_000])
        assert found == [
            ("judge", 0.0, 1.0),
            ("queue", 1.0, 2.0),
            ("start", 3.0, 10.0),
            ("handshake", 13.0, 37.0),
            ("queue", 50.0, 1.0),
            ("upstream", 51.0, 10.0),
            ("write", 61.0, 0.1),
        ]

    def test_another_s_start(self) -> None:
        """Of a start that began before the call came, only the time that the call has waited counts."""
        found = spans(ms=9.0, reached=0, sent=5000, start=[-4000, -1000, 5000])
        assert found == [("handshake", 0.0, 5.0), ("upstream", 5.0, 4.0)]

    def test_a_start_that_fails(self) -> None:
        """A call that is never sent has waited for all of its time."""
        assert spans(ms=5.0, start=[0, 2000, 0]) == [("start", 0.0, 2.0), ("handshake", 2.0, 3.0)]
        assert spans(ms=5.0) == [("queue", 0.0, 5.0)]

    def test_shortening(self) -> None:
        """An answer that is shortened is passed on afterwards."""
        found = spans(ms=5.0, sent=1, passed=8000, shield=[5020, 7000])
        assert found[1:] == [("shield", 5.02, 1.98), ("write", 7.0, 1.0)]

    def test_none(self) -> None:
        """A change of the gateway and a refused call have no phases."""
        assert spans(kind="management") == spans(outcome="refused", ms=0.0) == []

    def test_words(self) -> None:
        """Each phase says what the call did in it."""
        (phase,) = phases({"ms": 1.0, "sent": 1})
        assert phase["what"] == PHASES["upstream"]

    def test_questions(self) -> None:
        """A question has its method, its id, its beginning and its length."""
        asked = [["roots/list", '"a"', 1500, 2500]]
        assert questions({"asked": asked}) == [{"method": "roots/list", "id": '"a"', "at": 1.5, "ms": 1.0}]
        assert questions({}) == []
