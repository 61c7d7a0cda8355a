"""The phases of a call, from its arrival at the gateway until its answer is passed on to the client's connection.

A record has the times that were taken while the call was served, in microseconds since its arrival.  The phases are
computed of them for a reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcpgateway.interfaces import CallMarks, StartMarks

SHORTEST_US = 50
PHASES = {
    "judge": "was read, admitted and led to its server",
    "queue": "waited for its turn",
    "start": "waited for the start of its server",
    "handshake": "waited for the server's answer to the handshake",
    "upstream": "was with the server",
    "shield": "had its answer shortened",
    "write": "had its answer passed on to the client",
}
"""The phases, in their order, with what the call did in each."""


def start_of(first: float, start: StartMarks) -> list[int]:
    """Return when the start that a call has waited for began, when its process ran, and when it was over."""
    return [int((each - first) * 1e6) if each else 0 for each in (start.began, start.launched, start.ended)]


def shield_of(first: float, marks: CallMarks) -> list[int] | None:
    """Return when the shortening of the answer began and ended; None while it is not over."""
    if not marks.shielded:
        return None
    return [int((marks.shielding - first) * 1e6), int((marks.shielded - first) * 1e6)]


def asked_of(first: float, ended: float, marks: CallMarks) -> list[list[Any]]:
    """Return the questions to the client: the method, the server's id, the beginning and the end of each."""
    return [
        [
            each.method,
            each.identifier.decode(errors="replace"),
            int((each.began - first) * 1e6),
            int(((each.ended or ended) - first) * 1e6),
        ]
        for each in marks.questions or ()
    ]


def phases(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the phases of a recorded call that took any time, in their order; empty where its times are unknown."""
    return [
        _span(begun, ended, name=name, what=PHASES[name])
        for name, begun, ended in _spans(record)
        if ended - begun >= SHORTEST_US
    ]


def questions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the questions that the server has asked the client for a recorded call."""
    return [
        _span(begun, ended, method=method, id=identifier)
        for method, identifier, begun, ended in record.get("asked", ())
    ]


def _span(begun: int, ended: int, **more: Any) -> dict[str, Any]:
    return {**more, "at": begun / 1000, "ms": (ended - begun) / 1000}


def _spans(record: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    if record.get("kind") == "management" or record.get("outcome") == "refused":
        return
    began, sent, passed = (record.get(name, 0) for name in ("reached", "sent", "passed"))
    ended = began + int(record["ms"] * 1000)
    yield "judge", 0, began
    if "start" in record:
        # The start may have begun before the call came, and the call may have ended before the start.
        first, launched, ready = record["start"]
        times = (first, launched or ended, ready or ended)
        spawned, launched, ready = (min(max(each, began), ended) for each in times)
        yield "queue", began, spawned
        yield "start", spawned, launched
        yield "handshake", launched, ready
        began = ready
    yield "queue", began, sent or ended
    if sent:
        yield "upstream", sent, ended
    if "shield" in record:
        begun, ended = record["shield"]
        yield "shield", begun, ended
    if passed:
        yield "write", ended, passed
