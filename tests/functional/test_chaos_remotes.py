"""Remote servers that do everything wrong, in many rounds: what is shown, what their clients are told, what is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.support.certificates import Authority
from tests.support.faulty import SECRET, FaultyServer
from tests.support.gateway import Gateway, eventually
from tests.support.rounds import ROUNDS, Chaos, costs_nothing, echo, failure, hold, initialized

pytestmark = pytest.mark.functional

AT_ONCE = 10
SETTINGS = {
    "limits": {"handshake": "2s"},
    "circuit": {"restarts": 0},  # what fails here fails on purpose
}
CLOSED = "the connection broke: it was closed"
HTML = "it answered with HTTP 200, and with no answer to the request"


@frozen
class InCall:
    """A call that fails; the server is not lost for that, unless it shows.

    :ivar told: what the client is told.
    """

    kind: str
    told: str
    status: str = "running"
    last_error: str = ""
    code: int = -32603

    @property
    def __name__(self) -> str:
        """Of its server."""
        return self.kind

    async def __call__(self, gateway: Gateway, name: str) -> None:
        """One round."""
        status, error = await failure(gateway.url, name, self.kind, text="x")
        assert (status, error["code"]) == (200, self.code)
        assert error["message"] == self.told.replace("NAME", name)


@frozen
class InHandshake:
    """A server that fails in its handshake, each time."""

    kind: str
    told: str
    status: str = "error"
    last_error: str = ""

    @property
    def __name__(self) -> str:
        """Of its server."""
        return f"no-{self.kind}"

    async def __call__(self, gateway: Gateway, name: str) -> None:
        """One round."""
        answer = await initialized(gateway.url, name)
        assert answer.status == 200
        assert answer.json["error"]["message"] == self.told.replace("NAME", name)
        assert "mcp-session-id" not in answer.headers
