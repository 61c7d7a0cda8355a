"""Outages of the gateway while an agent works, or before it starts: whether its server comes back, and when."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import define, field

from tests.clients.adopting import ANSWERED
from tests.clients.scripted_model import Step
from tests.clients.seat import IT, MODES, PID, WAIT, Seat, seated

RETRY_S = 3.0  # between two calls of the model
DURING_S, AFTER_S = 50.0, 60.0  # the shim waits 30 s for a gateway that was there


@define
class Outage:
    """A script: the model calls the server until it answers, whatever happens to the gateway meanwhile.

    :ivar strike: what happens after the first answer; None: it has happened before the client was started.
    :ivar heal: what puts an end to it when the client has had its time; None: it ends by itself.
    :ivar calls: how many calls have failed, in each part of the script.
    :ivar answered: the part in which the server answered at last, and after how many seconds of it.
    """

    strike: Callable[[], object] | None
    heal: Callable[[], object] | None
    calls: dict[str, int] = field(factory=lambda: {"before": 0, "during": 0, "after": 0})
    answered: str = ""
    took_s: float = 0.0
    said: str = ""
    _part: str = field(init=False)
    _began: float = field(factory=time.monotonic, init=False)
    _is_asked: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._part = "before" if self.strike is not None else "during"

    def decide(self, results: Sequence[str], offers: Callable[[str, str], bool]) -> Step | None:
        """Choose the next call."""
        if results and self._is_over(results[-1]):
            return None
        self._is_asked = offers(IT, PID)
        if self._is_asked:
            return Step(IT, PID, {})
        self.said = self.said or "is not offered"
        return WAIT

    def _is_over(self, result: str) -> bool:
        passed = time.monotonic() - self._began
        if self._is_asked and ANSWERED.search(result):
            if self._part == "before":
                assert self.strike is not None
                self.strike()
                self._turn_to("during")
                return False
            self.answered, self.took_s = self._part, passed
            return True
        self.calls[self._part] += 1
        if self._is_asked:
            self.said = self.said or " ".join(result.split())[:160]
        if self._part == "during" and passed > DURING_S and self.heal is not None:
            self.heal()
            self._turn_to("after")
            return False
        if passed > {"before": AFTER_S, "during": DURING_S, "after": AFTER_S}[self._part]:
            return True
        time.sleep(RETRY_S)
        return False

    def _turn_to(self, part: str) -> None:
        self._part, self._began = part, time.monotonic()

    @property
    def verdict(self) -> str:
        """The outcome in a few words."""
        if not self.answered:
            return "never"
        failed = self.calls[self.answered]
        which = "at once" if not failed else f"after {failed} failed calls"
        where = "" if self.answered == "during" else ", once the gateway was started"
        return f"{which}, {self.took_s:.0f} s{where}"


SITUATIONS: Mapping[str, str] = {
    "restart": "mcpgateway restart in mid-session",
    "killed": "kill -9 of the gateway in mid-session",
    "stopped": "mcpgateway stop in mid-session, and nobody starts it",
    "gone": "the gateway and all its helpers are killed in mid-session",
    "absent": "the same before the client is started: a reboot without a service",
    "broken": "the same, and the gateway's configuration is broken: it cannot start",
}


def outage(seat: Seat, situation: str) -> Outage:
    """Let one thing happen to the gateway of a client."""
    match situation:
        case "restart":
            script = Outage(lambda: seat.user.mcpgateway("restart"), None)
        case "killed":
            script = Outage(seat.user.kill_gateway, None)
        case "stopped":
            script = Outage(lambda: seat.user.mcpgateway("stop"), seat.start)
        case "gone":
            script = Outage(seat.user.kill_all, seat.start)
        case "absent":
            seat.user.kill_all()
            script = Outage(None, seat.start)
        case "broken":
            seat.break_off()
            script = Outage(None, seat.mend)
    model = seat.turn(script.decide)
    if not script.answered and not script.said:
        script.said = "; ".join(model.results[-1:]) or "no turn"
    return script


def outages(directory: Path, client: str) -> list[list[str]]:
    """The lines of one client: each situation, in both modes at the same time."""
    lines = []
    for situation, words in SITUATIONS.items():

        def befall(mode: str, situation: str = situation) -> Outage:
            with seated(directory / f"{situation}-{mode}", client, mode) as seat:
                return outage(seat, situation)

        with ThreadPoolExecutor(len(MODES)) as pool:
            by_url, by_shim = pool.map(befall, MODES)
        lines.append(
            [client, words, by_url.verdict, by_shim.verdict, by_url.said or "-", by_shim.said or "-"]
        )
        print("   ", " | ".join(lines[-1]), file=sys.stderr, flush=True)
    return lines
