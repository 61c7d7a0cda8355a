"""The numbers of a server's health, over all its instances."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import SwitchedOff
from mcpgateway.hints import cli
from mcpgateway.hub.health.history import History
from mcpgateway.policy.breaker import Breaker
from mcpgateway.policy.readiness import FAILED
from mcpgateway.records import Record
from mcpgateway.units import duration

ERROR_CHARS = 300
SECRET_CHARS = 4  # shorter values occur by chance
_QUERY = re.compile(r"(\bhttps?://[^\s?]*)\?\S+", re.IGNORECASE)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|AUTH|CRED|COOKIE|DSN|URL", re.IGNORECASE)


class HealthRecord(Record):
    """The numbers of one server, as it is run for one workspace with one set of credentials.

    A wrong token in one workspace is no reason to switch the server off in another.

    :ivar history: the latest events of the server.
    :ivar is_off: True if the server is switched off, by an operator or by its entry.
    :ivar last_error: the last failure; empty while the server runs well.
    :ivar last_fault: the last failure, kept.
    :ivar restarts: the number of starts in the place of a child that had ended unexpectedly.
    :ivar last_crash: the time of the last unexpected end, in seconds since the epoch.
    :ivar run_s: the seconds for which former children have run, together.
    :ivar service_fault: the failure of the service's own health check; empty while it is well.
    :ivar has_ponged: True if one of its children has answered a ping.
    :ivar knows_no_ping: True if a child has answered no ping, and neither has the one that replaced it.
    :ivar is_failing: True if no start has succeeded since the last one that failed.
    :ivar paused_until: the tick before which only calls start it.
    :ivar checked_at: the tick of the last health check of the service.
    :ivar sockets: the sockets that its children have shown at any time, in words; empty for none.
    :ivar needs: the act that its user has to do first (`mcpgateway.policy.readiness`); empty for none.
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
    sockets: str = ""
    needs: str = ""
    paused_until: float = -math.inf
    checked_at: float = -math.inf
    is_checking: bool = False
    _secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        reach = self.server.reach
        values = [value for name, value in self.server.env.items() if _SECRET.search(name)]
        if isinstance(reach, Remote):
            values += [*reach.headers.values(), reach.url.partition("?")[2]]
        elif isinstance(reach, Rest):
            values += [*reach.headers.values(), *reach.credentials.values()]
        self._secrets = tuple(each for each in values if len(each) >= SECRET_CHARS)

    def replace_server(self, server: ServerSpec) -> None:
        """Use a changed entry, for which the children need not be replaced."""
        if server.health_url != self.server.health_url:
            self.service_fault, self.checked_at = "", -math.inf
        self.server = server

    def note(self, what: str) -> str:
        """Note a failure, and return the text that is shown of it, without values that the entry keeps secret."""
        for secret in self._secrets:
            what = what.replace(secret, "***")
        what = _QUERY.sub(r"\1?***", what)
        self.last_error = self.last_fault = what[:ERROR_CHARS]
        return self.last_fault

    def reset(self) -> None:
        """Reset the circuit, the pause and the count of restarts."""
        self.breaker.reset()
        self.is_failing = False
        self.restarts = self.run_s = 0
        self.paused_until = -math.inf

    def is_disabled(self, now: float) -> bool:
        """True if no child may be started, and none is being tried."""
        breaker = self.breaker
        return self.is_off or not (breaker.allows(now) or breaker.is_trying)

    def refusal(self, now: float) -> SwitchedOff | None:
        """Return the error for which the server may not be started now; None where it may."""
        name = self.server.name
        if not self.server.enabled and self.is_off:
            way = cli("servers enable {}", name)
            return SwitchedOff(
                f"{name} is disabled", f"its entry in the configuration says so; {way} switches it on"
            )
        if self.is_off:
            way = cli("servers enable {}", name)
            return SwitchedOff(
                f"{name} is disabled", f"an operator has switched it off; {way} switches it on"
            )
        if self.breaker.allows(now):
            return None
        return SwitchedOff(f"{name} has {FAILED} ({self.breaker.why})", self._hint(now))

    def _hint(self, now: float) -> str:
        opens_at = self.breaker.opens_at
        if self.breaker.is_trying:
            when = "it is being tried once more right now; "
        elif opens_at is not None:
            when = f"it is tried again in {duration(max(1, round(opens_at - now)))}; "
        else:
            when = ""
        last = f"it failed last because: {self.last_fault}"
        command = cli("servers reset-circuit {}", self.server.name)
        return f"{last}; {when}to try it at once, reset its circuit ({command}) or restart the gateway"

    def shown_error(self) -> str:
        """Return the text that is shown as its last error."""
        if self.breaker.is_closed:
            return self.last_error
        return f"{self.breaker.why}; last: {self.last_fault}"


def numbers(records: Sequence[HealthRecord], running_s: int) -> dict[str, Any]:
    """Return the numbers of a server's health for the REST API, from its charts of all workspaces.

    :param running_s: the seconds for which the running children have run, together.
    """
    restarts = sum(each.restarts for each in records)
    crashes = [each.last_crash for each in records if each.last_crash is not None]
    run_s = running_s + sum(each.run_s for each in records)
    return {
        "last_error": next((error for each in records if (error := each.shown_error())), ""),
        "restart_count": restarts,
        "mtbf_seconds": round(run_s / restarts) if restarts else 0,
        "last_crash_at": _written(max(crashes)) if crashes else None,
        "consecutive_failures": max((each.breaker.failures for each in records), default=0),
    }


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
