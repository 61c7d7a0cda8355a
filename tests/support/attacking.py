"""Helpers for tests of attacks: requests of any origin, complete ones and raw bytes."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from mcpgateway.frontends.http.routes import PLACE, ROUTES, Route
from mcpgateway.policy.access import RouteClass
from tests.support.gateway import BIN, LIMIT_S

FIXTURE = (str(BIN / "python"), str(Path(__file__).parents[1] / "servers" / "fixture.py"))
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
READ_LIMIT = 2**20
SILENCE_S = 2.0


def attack(source: str, what: str) -> pytest.MarkDecorator:
    """Mark a test as one of an attack: its source, and its method."""
    return pytest.mark.attack(source, what)


@frozen
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, also of an event stream with one event."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return json.loads(re.findall(rb"^data: (\{.*)$", self.body, re.MULTILINE)[-1])
        return json.loads(self.body)


def ask(gateway, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """Ask over TCP, as a page or a program would."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{gateway.url}{path}", body or None, names, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return Answer(answer.status, _lower(answer.headers), answer.read(READ_LIMIT))
    except urllib.error.HTTPError as refusal:
        return Answer(refusal.code, _lower(refusal.headers), refusal.read(READ_LIMIT))


def _lower(headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def raw(gateway, data: bytes) -> bytes:
    """Send bytes unchanged, and read until the gateway disconnects or is silent."""
    with closing(socket.create_connection(("127.0.0.1", gateway.port), timeout=LIMIT_S)) as peer:
        found = b""
        with suppress(OSError):
            peer.sendall(data)
        with suppress(OSError):
            while len(found) < READ_LIMIT and (more := peer.recv(65536)):
                found += more
                peer.settimeout(SILENCE_S)
        return found


def message(method: str, params: Any = None, identifier: Any = 1) -> bytes:
    """A JSON-RPC request."""
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}}).encode()


def call(gateway, tool: str, arguments: dict[str, Any], server: str = "fix", **headers: str) -> Any:
    """Call a tool of a shared server; return the text of its result."""
    body = message("tools/call", {"name": tool, "arguments": arguments})
    answer = ask(gateway, "POST", f"/{server}/mcp", body, **{**JSON, **headers})
    return answer.json["result"]["content"][0]["text"]


def begun(gateway, name: str = "own", **headers: str) -> str:
    """Begin a session; return its id."""
    answer = ask(gateway, "POST", f"/{name}/mcp", message("initialize", HELLO), **{**JSON, **headers})
    return answer.headers["mcp-session-id"]


def token(gateway, file: str = "auth.token") -> str:
    """An ``Authorization`` header with a token of the gateway."""
    return f"Bearer {(gateway.home / file).read_text().strip()}"


def path_of(route: Route) -> str:
    """A path that leads to a route."""
    return PLACE.sub("1", route.path)


def routes(*classes: RouteClass) -> list[Route]:
    """The routes of some classes."""
    return [each for each in ROUTES if each.access in classes]


def name_of(route: Route) -> str:
    """Return the id of a route's test."""
    return f"{route.method} {route.path}"
