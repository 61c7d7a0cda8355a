"""The health of the gateway, which supervisors and programs request often, so it is answered without Klein."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcpgateway.observe.census import Census

if TYPE_CHECKING:
    from mcpgateway.frontends.http.metrics import Exposition

HEALTH, ALIVE, READY = (b"/health", b"/api/v1/health"), b"/healthz", b"/readyz"
METRICS = b"/metrics"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
UNSTORED = b"Cache-Control: no-store\r\n"
SHAPES: Mapping[bytes, Callable[[Census], dict[str, Any]]] = {
    b"shape=immorterm": Census.immorterm,
    b"shape=harshal": Census.harshal,
}
"""The bodies of older gateways, by what asks for them."""


class HealthEndpoint:
    """Answers ``/health`` with numbers, ``/healthz`` and ``/readyz`` with a word or two, ``/metrics`` for Prometheus.

    :param make_metrics: makes the exposition of metrics, for the first request.
    :param unready: functions that return why the gateway takes no further clients; empty if it does.
    """

    def __init__(
        self,
        census: Census,
        make_metrics: Callable[[], Exposition],
        unready: Sequence[Callable[[], str]] = (),
    ) -> None:
        self._census = census
        self._unready = unready
        self._make_metrics = make_metrics
        self._metrics: Exposition | None = None

    def serves(self, path: bytes) -> bool:
        """Return whether a path is a health path."""
        return path in (ALIVE, READY, METRICS, *HEALTH)

    def handle(self, exchange: Any) -> None:
        """Answer a request; with ``?shape=`` the numbers have the format of an older gateway."""
        if exchange.path == METRICS:
            self._metrics = self._metrics or self._make_metrics()
            exchange.answer(200, self._metrics.text(), PROMETHEUS, UNSTORED)
            return
        if exchange.path == READY:
            self._tell_ready(exchange)
            return
        is_short = exchange.path == ALIVE
        found = msgspec.json.encode(self._census.alive()) if is_short else self._numbers(exchange)
        exchange.answer(200, found, extra=UNSTORED)

    def _tell_ready(self, exchange: Any) -> None:
        # For balancers, which have no token: it says no more than whether they may send clients.
        status = self._census.alive()["status"]
        why = status if status == "stopping" else next(filter(None, (each() for each in self._unready)), "")
        body = msgspec.json.encode({"status": why or "ready"})
        exchange.answer(503 if why else 200, body, extra=UNSTORED)

    def _numbers(self, exchange: Any) -> bytes:
        wanted = next((SHAPES[each] for each in exchange.query.split(b"&") if each in SHAPES), None)
        found = wanted(self._census) if wanted is not None else self._census.health(exchange.route.principal)
        return msgspec.json.encode(found)
