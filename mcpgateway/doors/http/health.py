"""How the gateway is: asked often, by supervisors and by programs, so it is answered without Klein."""

from __future__ import annotations

from typing import Any

import msgspec

from mcpgateway.hub.census import Census

HEALTH, ALIVE = (b"/health", b"/api/v1/health"), b"/healthz"
OK = b'{"status":"ok"}'
UNSTORED = b"Cache-Control: no-store\r\n"
IMMORTERM = b"shape=immorterm"


class HealthDoor:
    """Answers ``GET /health`` with numbers, and ``GET /healthz`` with one word."""

    def __init__(self, census: Census) -> None:
        self._census = census

    def serves(self, path: bytes) -> bool:
        """Whether a path is one of its own."""
        return path == ALIVE or path in HEALTH

    def handle(self, exchange: Any) -> None:
        """Answer; ``?shape=immorterm`` gives the numbers in S000's body."""
        exchange.answer(200, OK if exchange.path == ALIVE else self._numbers(exchange.query), extra=UNSTORED)

    def _numbers(self, query: bytes) -> bytes:
        is_theirs = IMMORTERM in query.split(b"&")
        return msgspec.json.encode(self._census.immorterm() if is_theirs else self._census.health())
