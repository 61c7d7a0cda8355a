"""Servers that are installed through a real gateway, by real clients whose human says yes or no."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, server
from tests.support.real_servers import fixture, memory, time

pytestmark = pytest.mark.functional

ERAS = ["legacy", "2026-07-28"]
SCOPE = {"scope": "global"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with one server."""
    with Gateway(tmp_path, {"clock": server(time())}) as running:
        yield running


class Human:
    """The human before the client.

    :ivar questions: what was asked.
    """

    def __init__(self, action: str = "accept", *, confirms: bool = True) -> None:
        self.questions: list[str] = []
        self._action = action
        self._confirms = confirms

    async def asked(self, _: Any, params: Any) -> types.ElicitResult:
        """Answer a question."""
        self.questions.append(params.message)
        content = {"confirm": self._confirms} if self._action == "accept" else None
        return types.ElicitResult.model_validate({"action": self._action, "content": content})


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Do something that takes no longer than it may."""
    return asyncio.run(asyncio.wait_for(work(), LIMIT_S))


def client_of(gateway: Gateway, view: str, mode: str, human: Human | None = None, **more: Any) -> Client:
    """The SDK's client of a view."""
    asked = {"elicitation_callback": human.asked} if human is not None else {}
    return Client(f"{gateway.url}/{view}", mode=mode, **asked, **more)


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of one of the gateway's tools; ``failed`` says whether it has."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    found: dict[str, Any] = json.loads(content.text)
    return {**found, "failed": bool(result.is_error)}


def entry(directory: Path) -> dict[str, Any]:
    """The entry of a memory that keeps its graph in a directory."""
    program, *args = memory()
    return {"command": program, "args": args, "env": {"MEMORY_FILE_PATH": str(directory / "memory.json")}}


class YesTests:
    """The human agrees."""

    @pytest.mark.parametrize("mode", ERAS)
    def test_callable_at_once(self, gateway: Gateway, tmp_path: Path, mode: str) -> None:
        """The answer names the tools, one of which the same session can call, and so can one that was open before."""
        human = Human()

        async def work() -> None:
            async with (
                client_of(gateway, "mcp/full", mode) as other,
                client_of(gateway, "mcp/full", mode, human) as client,
            ):
                assert [each.name for each in (await other.list_tools()).tools if "memory" in each.name] == []
                said = await told(
                    client, "gateway_install_server", server=entry(tmp_path), name="memory", **SCOPE
                )
                assert said["failed"] is False, said
                assert "memory__create_entities" in said["tools"]
                assert said["file"] == str(gateway.config)
                for each in (client, other):
                    result = await each.call_tool("memory__read_graph", {})
                    assert not result.is_error
                    listed = [tool.name for tool in (await each.list_tools(cache_mode="bypass")).tools]
                    assert "memory__read_graph" in listed

        run(work)
        (question,) = human.questions
        assert memory()[0] in question
        assert str(gateway.config) in question
        assert json.loads(gateway.config.read_text())["servers"]["memory"] == entry(tmp_path)
        assert gateway.backend("memory")["starts"] == 1

    def test_the_list_changes(self, gateway: Gateway, tmp_path: Path) -> None:
        """A connected client is told that there are more tools."""
        changed = asyncio.Event()

        async def heard(message: Any) -> None:
            if "list_changed" in getattr(message, "method", getattr(message, "root", message)).__repr__():
                changed.set()

        async def work() -> None:
            async with (
                client_of(gateway, "mcp/full", "legacy", message_handler=heard),
                client_of(gateway, "mcp/admin", "legacy", Human()) as client,
            ):
                said = await told(
                    client, "gateway_install_server", server=entry(tmp_path), name="memory", **SCOPE
                )
                assert said["failed"] is False, said
                await changed.wait()

        run(work)

    def test_a_workspace(self, gateway: Gateway, tmp_path: Path) -> None:
        """The server is written into the workspace's own file, and there for clients in it, but for no others."""
        root = tmp_path / "shop"
        (root / ".git").mkdir(parents=True)
        human = Human()

        async def work() -> None:
            async with client_of(gateway, "mcp/admin", "legacy", human) as client:
                said = await told(
                    client, "gateway_install_server", server=entry(tmp_path), name="memory", cwd=str(root)
                )
                assert said["failed"] is False, said
                assert "read_graph" in said["tools"]

        before = gateway.config.read_text()
        run(work)
        assert str(root) in human.questions[0]
        assert gateway.config.read_text() == before
        assert json.loads((root / ".mcp.json").read_text()) == {"mcpServers": {"memory": entry(tmp_path)}}
        assert initialized(gateway, "memory", str(root)) == 200
        assert initialized(gateway, "memory", str(tmp_path)) == 404

    def test_on_the_view_of_its_workspace(self, gateway: Gateway, tmp_path: Path) -> None:
        """A client in the workspace is told the names of the tools on its view; others are not shown them."""
        root = tmp_path / "shop"
        (root / ".git").mkdir(parents=True)
        said = {"server": entry(tmp_path), "name": "memory", "cwd": str(root)}
        found = asked(gateway, str(root), "tools/call", name="gateway_install_server", arguments=said)
        answer = json.loads(found["content"][0]["text"])
        assert "memory__read_graph" in answer["tools"]
        assert answer["hint"] == "its tools can be called now"
        for cwd, is_there in ((str(root), True), (str(tmp_path), False)):
            listed = asked(gateway, cwd, "tools/list")["tools"]
            assert ("memory__read_graph" in [each["name"] for each in listed]) is is_there
        found = asked(gateway, str(root), "tools/call", name="memory__read_graph", arguments={})
        assert not found.get("isError")
        for cwd, status in ((str(root), 200), (str(tmp_path), 404)):
            assert called_plainly(gateway, cwd, "memory__read_graph") == status


def called_plainly(gateway: Gateway, cwd: str, identifier: str) -> int:
    """The status of a call over plain HTTP of somebody who works somewhere."""
    headers = {
        "Content-Type": "application/json",
        "Mcp-Project-Path": cwd,
        "Authorization": f"Bearer {(gateway.home / 'auth.token').read_text().strip()}",
    }
    sent = urllib.request.Request(f"{gateway.url}/api/v1/tools/{identifier}/call", b"{}", headers)
    try:
        with urllib.request.urlopen(sent, timeout=LIMIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def asked(gateway: Gateway, cwd: str, method: str, **params: Any) -> dict[str, Any]:
    """The answer to an administrator who works somewhere, on the view of all servers."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Mcp-Project-Path": cwd,
        "Authorization": f"Bearer {(gateway.home / 'admin.token').read_text().strip()}",
    }
    sent = urllib.request.Request(f"{gateway.url}/mcp/full", body, headers)
    with urllib.request.urlopen(sent, timeout=LIMIT_S) as answer:
        text = answer.read().decode()
    said = [each.removeprefix("data: ") for each in text.splitlines() if "{" in each]
    result: dict[str, Any] = json.loads(said[-1])["result"]
    return result


def initialized(gateway: Gateway, name: str, cwd: str) -> int:
    """The status with which a client that works somewhere can begin a session at a server."""
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
    headers = {"Content-Type": "application/json", "Mcp-Project-Path": cwd}
    asked = urllib.request.Request(f"{gateway.url}/{name}/mcp", body, headers)
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


class NoTests:
    """The human does not agree, or cannot be asked."""

    @pytest.mark.parametrize("mode", ERAS)
    @pytest.mark.parametrize(
        "human",
        [Human("decline"), Human("cancel"), Human("accept", confirms=False)],
        ids=["decline", "cancel", "not"],
    )
    def test_nothing_happens(self, gateway: Gateway, tmp_path: Path, mode: str, human: Human) -> None:
        """The server has not run and is not written."""
        marker = tmp_path / "it ran"

        async def work() -> None:
            async with client_of(gateway, "mcp/admin", mode, human) as client:
                said = await told(
                    client,
                    "gateway_install_server",
                    server={"command": "touch", "args": [str(marker)]},
                    name="evil",
                    **SCOPE,
                )
                assert said["failed"]
                assert "nothing was changed" in said["error"]

        before = gateway.config.read_bytes()
        run(work)
        assert gateway.config.read_bytes() == before
        assert not marker.exists()
        assert human.questions

    @pytest.mark.parametrize("mode", ERAS)
    def test_nobody_can_be_asked(self, gateway: Gateway, tmp_path: Path, mode: str) -> None:
        """The hint is a command that does the same in a terminal."""

        async def work() -> dict[str, Any]:
            async with client_of(gateway, "mcp/admin", mode) as client:
                return await told(
                    client, "gateway_install_server", server=entry(tmp_path), name="memory", **SCOPE
                )

        before = gateway.config.read_bytes()
        said = run(work)
        assert said["failed"]
        assert gateway.config.read_bytes() == before
        command = shlex.split(said["hint"].partition("terminal: ")[2])
        assert command[0] == "mcpgateway"
        environ = {**os.environ, "MCPGATEWAY_HOME": str(gateway.home), "HOME": str(tmp_path)}
        done = forkserver.ran([BIN / "mcpgateway", *command[1:]], env=environ, has_ended=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "read_graph" in done.stdout
        assert "memory" in json.loads(gateway.config.read_text())["servers"]


class FailureTests:
    """Servers that do not work."""

    def test_last_words(self, gateway: Gateway) -> None:
        """A server that ends at once leaves nothing behind but its last words, and the next one works."""

        async def work() -> None:
            async with client_of(gateway, "mcp/admin", "legacy", Human()) as client:
                broken = {"command": "sh", "args": ["-c", "echo no such module: weather >&2; exit 3"]}
                said = await told(client, "gateway_install_server", server=broken, name="weather", **SCOPE)
                assert said["failed"]
                assert "no such module: weather" in said["error"]
                assert gateway.config.read_bytes() == before
                program, *args = fixture()
                works = {"command": program, "args": args}
                said = await told(client, "gateway_install_server", server=works, name="weather", **SCOPE)
                assert said["failed"] is False, said
                assert said["tools"]
                said = await told(client, "gateway_remove_server", server="weather", **SCOPE)
                assert said["failed"] is False, said

        before = gateway.config.read_bytes()
        run(work)
        assert json.loads(gateway.config.read_bytes()) == json.loads(before)


class AdministratorTests:
    """Callers with the admin token."""

    def test_nobody_is_asked(self, gateway: Gateway, tmp_path: Path) -> None:
        """A call with the admin token is a person's own; one with the other token is not."""
        assert call_with(gateway, "auth.token", entry(tmp_path))["isError"]
        found = call_with(gateway, "admin.token", entry(tmp_path))
        assert "isError" not in found, found
        assert "memory" in json.loads(gateway.config.read_text())["servers"]


def call_with(gateway: Gateway, token: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Install a server with one of the tokens, without a session; the result."""
    arguments = {"server": definition, "name": "memory", **SCOPE}
    params = {"name": "gateway_install_server", "arguments": arguments}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Authorization": f"Bearer {(gateway.home / token).read_text().strip()}",
    }
    asked = urllib.request.Request(f"{gateway.url}/mcp/admin", body, headers)
    with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.load(answer)["result"]
    return found
