"""Calls of servers that are known and cannot be used: each answer says why, and names the command that helps."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import BIN, LIMIT_S
from tests.support.user import User

pytestmark = pytest.mark.functional

FIXTURE = [sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "servers" / "fixture.py")]
ENTRY = {"command": FIXTURE[0], "args": FIXTURE[1:]}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user with servers that are switched off in the entry and by command, and one that waits for an approval."""
    with User(tmp_path_factory.mktemp("unusable") / "h") as made:
        made.write(
            ".mcp-gateway/config.yaml",
            f"gateway:\n  http_port: {made.port}\n"
            + json.dumps({"servers": {"off": {**ENTRY, "enabled": False}, "switched": ENTRY}})[1:-1].replace(
                '"servers"', "servers"
            ),
        )
        shop = made.write("shop/.mcp.json", json.dumps({"mcpServers": {"web": ENTRY}})).parent
        made.mcpgateway("start")
        made.mcpgateway("servers", "disable", "switched")
        asked(made, "full", "tools/list", {}, {"Mcp-Project-Path": str(shop)})
        yield made


def asked(user: User, view: str, method: str, params: Any, headers: dict[str, str]) -> str:
    """Ask a view as a client does; its answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    request = urllib.request.Request(f"{user.url}/mcp/{view}", body.encode(), kinds)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as why:
        return str(why.read().decode())


def by_command(user: User, server: str) -> str:
    """Call a tool by the command."""
    done = user.ran(str(BIN / "mcpgateway"), "tools", "call", server, "echo", "text=x")
    assert done.returncode == 1
    return " ".join(done.stderr.split())


def by_name(user: User, server: str) -> str:
    """Call a tool by its name in the view of all tools."""
    return asked(user, "full", "tools/call", {"name": f"{server}__echo", "arguments": {"text": "x"}}, {})


def by_own_tool(user: User, server: str) -> str:
    """Call a tool by the gateway's own tool."""
    arguments = {"server": server, "tool": "echo", "arguments": {"text": "x"}}
    return asked(user, "search", "tools/call", {"name": "gateway_invoke", "arguments": arguments}, {})


def by_rest(user: User, server: str) -> str:
    """Call a tool by the REST API."""
    token = (user.gateway_home / "admin.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"{user.url}/api/v1/tools/{server}__echo/call"
    request = urllib.request.Request(url, b'{"arguments": {"text": "x"}}', headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=LIMIT_S)
    return str(refused.value.read().decode())


@pytest.mark.parametrize("call", [by_command, by_name, by_own_tool, by_rest])
@pytest.mark.parametrize(
    ("server", "says", "names"),
    [
        ("off", "off is disabled", "mcpgateway servers enable off"),
        ("switched", "switched is disabled", "mcpgateway servers enable switched"),
        ("web", "which you have not approved", "mcpgateway config approve "),
        ("nothing", "nothing", ""),
    ],
)
def test_calls(user: User, call: Callable[[User, str], str], server: str, says: str, names: str) -> None:
    """A server that is known is never unknown; its refusal names the command that helps."""
    answer = call(user, server)
    assert says in answer
    assert names in answer
    assert ("Unknown" in answer) is (server == "nothing"), answer
