"""Ask whatever listens for its health: at a Unix socket or at a port of this machine."""

from __future__ import annotations

import http.client
import json
from typing import Any

from attrs import field, frozen

from mcpgateway.system.unix_http import UnixConnection

LIMIT_S = 3.0
BODY_BYTES = 4 * 2**20


@frozen
class Answer:
    """What came of it.

    :ivar status: of HTTP; 0 where nothing was answered.
    :ivar body: the object; empty where it was none.
    :ivar why: why there is no answer.
    """

    status: int = 0
    body: dict[str, Any] = field(factory=dict, repr=False)
    why: str = ""


def ask_socket(path: str, target: str) -> Answer:
    """GET something at a Unix socket."""
    return _ask(UnixConnection(path, LIMIT_S), target)


def ask_port(port: int, target: str) -> Answer:
    """GET something at a port of this machine."""
    return _ask(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S), target)


def _ask(connection: http.client.HTTPConnection, target: str) -> Answer:
    try:
        connection.request("GET", target, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return Answer(answer.status, _object(answer.read(BODY_BYTES)))
    except OSError as why:
        return Answer(why=(why.strerror or "no answer in time").lower())
    except http.client.HTTPException:
        return Answer(why="what answers is no HTTP server")
    finally:
        connection.close()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
