"""Helpers for tests of older gateways' contracts: a mark for their page, formats of bodies, a gateway."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from mcpgateway.system.service_files import service_file
from tests.support.attacking import FIXTURE, HELLO, JSON, Answer, ask, message, token
from tests.support.gateway import MARKER, Gateway, server
from tests.support.ports import free_port

PORTED = str(Path(__file__).parents[1] / "servers" / "ported.py")


def older(seed: str, request: str, differs: str = "") -> pytest.MarkDecorator:
    """Mark a test as one of a contract: whose, of which request, and what is different here.

    The tables of ``docs/howto/migrate`` are made from these marks and the sentences of their tests.
    """
    return pytest.mark.older(seed, request, differs)


@frozen
class Maybe:
    """A member that need not be there."""

    shape: Any


def misfit(shape: Any, value: Any, where: str = "it") -> str:
    """Return the difference of a body from a shape; empty if it has the shape.

    A shape is a type, a value, a list of one shape, or a mapping of members that have to be there.
    """
    match shape:
        case type():
            is_right = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
            return "" if is_right else f"{where} is no {shape.__name__}: {value!r}"
        case dict():
            if not isinstance(value, Mapping):
                return f"{where} is no object: {value!r}"
            found = (_member(each, key, value, f"{where}.{key}") for key, each in shape.items())
            return next(filter(None, found), "")
        case [each]:
            if not isinstance(value, list):
                return f"{where} is no list: {value!r}"
            found = (misfit(each, one, f"{where}[{at}]") for at, one in enumerate(value))
            return next(filter(None, found), "")
    return "" if shape == value else f"{where} is not {shape!r}: {value!r}"


def _member(shape: Any, key: str, value: Mapping[str, Any], where: str) -> str:
    if isinstance(shape, Maybe):
        return misfit(shape.shape, value[key], where) if key in value else ""
    return misfit(shape, value[key], where) if key in value else f"{where} is missing"


def fits(answer: Answer, status: int, shape: Any) -> Any:
    """The body of an answer that has this status and this shape."""
    assert answer.status == status, (answer.status, answer.body)
    body = answer.json
    assert not misfit(shape, body), (misfit(shape, body), body)
    return body


class Older(Gateway):
    """A gateway for programs that were made for another: a shared, a stateful and a failing server, and a daemon.

    Its user has Claude Code and Cursor, whose servers are ``mine`` and ``theirs``.

    :ivar served: the port of the daemon.
    """

    def __init__(self, directory: Path) -> None:
        self.served = free_port()
        daemon = server((sys.executable, PORTED, str(self.served)), port=self.served, transport="http")
        servers = {
            "fix": server(FIXTURE),
            "own": server(FIXTURE, share="session"),
            "broken": server(("/no/such/program",)),
            "memory": daemon,
        }
        super().__init__(directory, servers)
        self.port = free_port()
        # The older gateways led clients by URL in each case.
        service = Path(service_file({"HOME": str(directory)}))
        service.parent.mkdir(parents=True)
        service.touch()
        self.cursor, self.claude = directory / ".cursor" / "mcp.json", directory / ".claude.json"
        self.cursor.parent.mkdir()
        for path, name in ((self.claude, "mine"), (self.cursor, "theirs")):
            path.write_text(json.dumps({"mcpServers": {name: self.entry()}}))

    def entry(self) -> dict[str, Any]:
        """A program of a client's file."""
        return {"type": "stdio", **server(FIXTURE), "env": {MARKER: self._marker}}

    def get(self, path: str) -> Answer:
        """Read something, without a token."""
        return ask(self, "GET", path)

    def post(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Answer:
        """Send a request with the admin token."""
        data = b"" if body is None else json.dumps(body).encode()
        return ask(self, method, path, data, **{"Authorization": token(self, "admin.token"), **headers})

    def call(self, name: str, tool: str, *, session: str = "", **arguments: Any) -> Answer:
        """Call a tool as a client does."""
        headers = {**JSON, **({"Mcp-Session-Id": session} if session else {})}
        params = {"name": tool, "arguments": arguments}
        return ask(self, "POST", f"/{name}/mcp", message("tools/call", params), **headers)

    def session(self, name: str) -> str:
        """Begin a session; its id."""
        answer = ask(self, "POST", f"/{name}/mcp", message("initialize", HELLO), **JSON)
        return answer.headers["mcp-session-id"]
