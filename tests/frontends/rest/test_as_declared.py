"""The answers of the control plane are those that its description declares."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from mcpgateway.config.model import ServerSpec, Share
from mcpgateway.config.reach_settings import Daemon
from mcpgateway.frontends.http.routes import ROUTES
from mcpgateway.frontends.rest.schemas import SCHEMAS
from mcpgateway.hub.sessions import handle
from tests.support.gateway_in_memory import HELLO, MemoryGateway

ADMIN = {"Authorization": "Bearer admin-token"}
DAEMON = ServerSpec(
    "memory", ("run",), {}, "/", share=Share.GLOBAL, reach=Daemon(3100, "http://127.0.0.1:3100/mcp")
)

ASKED: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/api/v1/health", None),
    ("GET", "/api/v1/version", None),
    ("GET", "/api/v1/preflight?need=shared,nobody", None),
    ("POST", "/api/v1/wait", {"servers": ["shared"]}),
    ("GET", "/api/v1/debug/dump", None),
    ("GET", "/api/v1/sessions", None),
    ("DELETE", "/api/v1/sessions?all=true", None),
    ("POST", "/api/sessions/{handle}/kill", None),
    ("POST", "/api/sessions/kill-all", None),
    ("POST", "/api/servers/shared/reconnect", None),
    ("POST", "/api/servers/shared/disable", None),
    ("POST", "/api/servers/shared/enable", None),
    ("GET", "/ping", None),
    ("GET", "/status", None),
    ("POST", "/start", {"name": "memory"}),
    ("POST", "/stop", {"name": "memory"}),
    ("POST", "/ensure", {"name": "memory"}),
    ("POST", "/start-all", None),
    ("POST", "/stop-all", None),
    ("POST", "/api/v1/shutdown", None),
)


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_as_declared(method: str, path: str, body: Any) -> None:
    """Status and body are among those that are declared."""
    gateway = MemoryGateway(more=(DAEMON,))
    gateway.launcher.hello = {**HELLO, "capabilities": {}}
    session = gateway.session("own").headers["Mcp-Session-Id"]
    path = path.format(handle=handle(session.encode()))
    answer = gateway.client().ask(b"" if body is None else body, method, path, **ADMIN)
    bare = path.partition("?")[0].encode()
    route = next(each for each in ROUTES if each.method == method and each.leads(bare))
    assert answer.status in route.gives, answer.body
    whole = {**SCHEMAS[route.gives[answer.status]], "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(whole).validate(answer.json)
