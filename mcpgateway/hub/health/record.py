"""What is known of a server's health, over all its instances."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import define, field

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import SwitchedOff
from mcpgateway.hub.health.history import History
from mcpgateway.policy.breaker import Breaker

ERROR_CHARS = 300
SECRET_CHARS = 4  # shorter values are found everywhere
_QUERY = re.compile(r"(\bhttps?://[^\s?]*)\?\S+", re.IGNORECASE)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|AUTH|CRED|COOKIE|DSN|URL", re.IGNORECASE)


@define(eq=False)
class Chart:
    """The numbers of one server, as it is run for one workspace with one set of credentials.

    What a wrong token does in one of them is no reason to switch the server off in another.

    :ivar history: what has happened to the server.
    :ivar is_off: an operator has switched it off.
    :ivar last_error: what has failed last; empty while it runs well.
    :ivar last_fault: the same, kept.
    :ivar restarts: how often a child was started in the place of one that had ended unexpectedly.
    :ivar last_crash: when that happened last, in seconds since the epoch.
    :ivar run_s: how long its children have run that do not run any more.
    :ivar service_fault: what its own health check says; empty while it is well.
    :ivar has_ponged: one of its children has answered a ping.
    :ivar knows_no_ping: a child has answered no ping, and neither did the one that replaced it.
    :ivar is_failing: no start has succeeded since the last one that failed.
    :ivar paused_until: before, it is started for calls only, in ticks.
    :ivar checked_at: when its own health check was asked last, in ticks.
    :ivar needs: what its user has to give first (`mcpgateway.policy.readiness`); empty for nothing.
    """

    server: ServerSpec
    breaker: Breaker
    history: History
    is_off: bool = False
    last_error: str = ""
    last_fault: str = ""
    restarts: int = 0
    last_crash: float | None = None
    run_s: int = 0
    service_fault: str = ""
    has_ponged: bool = False
    knows_no_ping: bool = False
    is_failing: bool = False
    needs: str = ""
    paused_until: float = -math.inf
    checked_at: float = -math.inf
    is_checking: bool = False
    _secrets: tuple[str, ...] = field(default=(), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        reach = self.server.reach
        values = [value for name, value in self.server.env.items() if _SECRET.search(name)]
        if isinstance(reach, Remote):
            values += [*reach.headers.values(), reach.url.partition("?")[2]]
        elif isinstance(reach, Rest):
            values += [*reach.headers.values(), *reach.credentials.values()]
        self._secrets = tuple(each for each in values if len(each) >= SECRET_CHARS)

    def becomes(self, server: ServerSpec) -> None:
        """Its entry is another now, for which its children need not be replaced."""
        if server.health_url != self.server.health_url:
            self.service_fault, self.checked_at = "", -math.inf
        self.server = server

    def note(self, what: str) -> str:
        """Something has failed; what is to be shown of that, without values that its entry keeps secret."""
        for secret in self._secrets:
            what = what.replace(secret, "***")
        what = _QUERY.sub(r"\1?***", what)
        self.last_error = self.last_fault = what[:ERROR_CHARS]
        return self.last_fault

    def reset(self) -> None:
        """An operator wants it tried again, as if nothing had happened: its restarts are counted from zero."""
        self.breaker.reset()
        self.is_failing = False
        self.restarts = self.run_s = 0
        self.paused_until = -math.inf

    def is_disabled(self, now: float) -> bool:
        """Whether nothing of it may be started, and nothing is being tried."""
        breaker = self.breaker
        return self.is_off or not (breaker.allows(now) or breaker.is_trying)

    def refusal(self, now: float) -> SwitchedOff | None:
        """Why it may not be started now; None where it may."""
        name = self.server.name
        if not self.server.enabled and self.is_off:
            return SwitchedOff(f"{name} is disabled", "its entry in the configuration says so")
        if self.is_off:
            return SwitchedOff(f"{name} is disabled", "an operator has switched it off, and can switch it on")
        if self.breaker.allows(now):
            return None
        return SwitchedOff(f"{name} is disabled ({self.breaker.why})", self._hint(now))

    def _hint(self, now: float) -> str:
        opens_at = self.breaker.opens_at
        if self.breaker.is_trying:
            when = "it is being tried once more right now; "
        elif opens_at is not None:
            when = f"it is tried again in {max(1, round(opens_at - now))} s; "
        else:
            when = ""
        last = f"it failed last because: {self.last_fault}"
        return f"{last}; {when}to try it at once, reset its circuit or restart the gateway"

    def shown_error(self) -> str:
        """What is shown as its last error."""
        if self.breaker.is_closed:
            return self.last_error
        return f"{self.breaker.why}; last: {self.last_fault}"


def numbers(charts: Sequence[Chart], running_s: int) -> dict[str, Any]:
    """What is shown of a server beside its state, from what is known of it in each workspace.

    :param running_s: how long those children have run that run now, together.
    """
    restarts = sum(each.restarts for each in charts)
    crashes = [each.last_crash for each in charts if each.last_crash is not None]
    run_s = running_s + sum(each.run_s for each in charts)
    return {
        "last_error": next((error for each in charts if (error := each.shown_error())), ""),
        "restart_count": restarts,
        "mtbf_seconds": round(run_s / restarts) if restarts else 0,
        "last_crash_at": _written(max(crashes)) if crashes else None,
        "consecutive_failures": max((each.breaker.failures for each in charts), default=0),
    }


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
