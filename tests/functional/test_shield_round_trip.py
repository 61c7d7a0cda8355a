"""What the shield cuts from a real server's results can be had again, every byte of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.gateway import Gateway, server
from tests.support.http_client import LIMIT_S, REVISION, Client, message, text_of, tool_call
from tests.support.pages import joined, ref_of, result_of, whole
from tests.support.real_servers import ROOT, filesystem

pytestmark = pytest.mark.functional

LOCK = ROOT / "tests" / "servers" / "npm" / "package-lock.json"
LINES = "\n".join(f"{nth}: süß und “echt”, \\ \t {nth * 1.50}" for nth in range(5000))


def run(use: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Do something within the limit."""

    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await use()

    return asyncio.run(limited())


async def opened(gateway: Gateway, path: str) -> Client:
    """A session of any endpoint."""
    client = Client(gateway.url, path)
    params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    answer = await client.post(message(0, "initialize", params))
    client.id = answer.headers["mcp-session-id"]
    await client.post(message(None, "notifications/initialized"))
    return client


async def called(gateway: Gateway, path: str, tool: str, arguments: Any) -> bytes:
    """The result of a call, as it was written."""
    client = await opened(gateway, path)
    found = result_of(await client.post(tool_call(1, tool, arguments)))
    client.close()
    return found


async def read_again(gateway: Gateway, ref: str) -> Any:
    """All pages of a result, by somebody who has not made the call in the same session."""
    client = await opened(gateway, "/mcp/search")

    async def ask(arguments: dict[str, Any]) -> str:
        return text_of(await client.call("gateway_get_result", arguments))

    try:
        return await joined(ask, ref)
    finally:
        client.close()


class RoundTripTests:
    """Large files that are read through a view."""

    @pytest.fixture(scope="class")
    def gateway(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """A gateway with the file server of npm, that has something to read."""
        folder = tmp_path_factory.mktemp("gateway")
        files = folder / "files"
        files.mkdir()
        shutil.copy(LOCK, files / "lock.json")
        (files / "lines.txt").write_text(LINES)
        command = filesystem(str(files))
        servers = {"files": server(command), "cutting": server(command, shield="bounded")}
        with Gateway(folder, servers) as running:
            yield running

    @pytest.mark.parametrize("level", ["bounded", "lean"])
    @pytest.mark.parametrize("name", ["lock.json", "lines.txt"])
    def test_every_byte(self, gateway: Gateway, name: str, level: str) -> None:
        """The pages of a result that was cut, put together, are what the server has said."""
        arguments = {"path": str(gateway.directory / "files" / name)}
        given = {"id": "files__read_text_file", "args": arguments, "shield": level}

        async def use() -> tuple[bytes, bytes, Any]:
            original = await called(gateway, "/files/mcp", "read_text_file", arguments)
            cut = await called(gateway, "/mcp/full", "gateway_invoke", given)
            return original, cut, await read_again(gateway, ref_of(cut))

        original, cut, again = run(use)
        assert len(cut) < len(original) / 2
        assert again == whole(original)

    def test_the_original(self, gateway: Gateway) -> None:
        """The whole result is a resource, as the server has written it."""
        arguments = {"path": str(gateway.directory / "files" / "lines.txt")}

        async def use() -> tuple[bytes, str]:
            original = await called(gateway, "/files/mcp", "read_text_file", arguments)
            ref = ref_of(await called(gateway, "/mcp/full", "files__read_text_file", arguments))
            client = await opened(gateway, "/mcp/full")
            read = await client.post(message(1, "resources/read", {"uri": f"gateway://results/{ref}"}))
            client.close()
            return original, json.loads(result_of(read))["contents"][0]["text"]

        original, text = run(use)
        assert text.encode() == original

    def test_its_own_endpoint(self, gateway: Gateway) -> None:
        """Where a server's entry asks for it, its own endpoint shortens too, and has the whole as a resource."""
        arguments = {"path": str(gateway.directory / "files" / "lines.txt")}

        async def use() -> tuple[bytes, bytes, str]:
            original = await called(gateway, "/files/mcp", "read_text_file", arguments)
            client = await opened(gateway, "/cutting/mcp")
            await client.post(message(1, "tools/list"))
            cut = result_of(await client.post(tool_call(2, "read_text_file", arguments)))
            uri = f"gateway://results/{ref_of(cut)}"
            read = await client.post(message(3, "resources/read", {"uri": uri}))
            client.close()
            return original, cut, json.loads(result_of(read))["contents"][0]["text"]

        original, cut, text = run(use)
        assert len(cut) < len(original) / 2
        assert text.encode() == original

    def test_nothing_is_cut(self, gateway: Gateway) -> None:
        """Without a shield a view passes on the bytes that the server has written."""
        arguments = {"path": str(gateway.directory / "files" / "lines.txt")}
        given = {"id": "files__read_text_file", "args": arguments, "shield": "off"}

        async def use() -> tuple[bytes, bytes]:
            original = await called(gateway, "/files/mcp", "read_text_file", arguments)
            return original, await called(gateway, "/mcp/full", "gateway_invoke", given)

        original, shown = run(use)
        assert shown == original
