"""Whether a gateway answers, asked from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from attrs import field, frozen

from mcpgateway.errors import ConfigError
from mcpgateway.shim.locations import socket_path
from mcpgateway.system import state
from mcpgateway.system.unix_http import UnixConnection

LIMIT_S = 3.0
BODY_LIMIT = 4 * 1_048_576
NEEDS_TOKEN = 401


@frozen
class Answer:
    """A gateway that is there.

    :ivar health: what it says of itself; nothing where it wants a token for that.
    """

    health: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def serves_all_at_once(self) -> bool:
        """Whether it has one endpoint for all servers together, as far as it says."""
        return not self.health or self.health.get("aggregate") is True


def ask(home: str, port: int, environ: Mapping[str, str]) -> Answer | None:
    """Ask the gateway of a home how it is: at its Unix socket, else at its port; None where none answers."""
    return _asked(UnixConnection(socket_path(environ, home), LIMIT_S)) or (
        _asked(HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)) if port else None
    )


def running_gateway(home: str) -> state.Running | None:
    """What the gateway of a home that runs says of itself; None where none runs."""
    with suppress(ConfigError, OSError):
        running = state.read(home)
        if running is not None and state.is_alive(running):
            return running
    return None


def _asked(connection: HTTPConnection) -> Answer | None:
    try:
        connection.request("GET", "/health", headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(BODY_LIMIT)
        if response.status == NEEDS_TOKEN:
            return Answer() if b"jsonrpc" in body or b"error" in body else None
        found = json.loads(body)
    except (OSError, HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    # Anything may listen at a port that another program has taken.
    return Answer(found) if isinstance(found, dict) and "backends" in found else None
