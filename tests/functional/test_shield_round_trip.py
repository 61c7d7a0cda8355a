"""Originals that the shield cuts from a real server's results can be had again, every byte of them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway, server
from tests.support.http_client import LIMIT_S, REVISION, Client, message, text_of, tool_call
from tests.support.modern_client import headers_of
from tests.support.modern_client import request as modern_request
from tests.support.real_servers import ROOT, filesystem
from tests.support.result_pages import joined, ref_of, result_of, whole

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


async def legacy(client: Client, method: str, **params: Any) -> Any:
    """The result of a request in a session."""
    return json.loads(result_of(await client.post(message(1, method, params))))


async def modern(client: Client, method: str, **params: Any) -> Any:
    """The result of a request that says everything of itself."""
    body = modern_request(1, method, **params)
    alone = Client(client.address, client.path)
    answer = await alone.post(json.dumps(body).encode(), headers_of(body))
    alone.close()
    result = json.loads(result_of(answer))
    assert result["resultType"] == "complete"
    assert result["cacheScope"] == "private"
    return result


async def read_again(gateway: Gateway, ref: str) -> Any:
    """All pages of a result, by somebody who has not made the call in the same session."""
    client = await opened(gateway, "/mcp/search")

    async def ask(arguments: dict[str, Any]) -> str:
        return text_of(await client.call("gateway_get_result", arguments))

    try:
        return await joined(ask, ref)
    finally:
        client.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
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


class RoundTripTests:
    """Large files that are read through a view."""

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
        """The whole result is a resource, listed and read by clients of both eras, as the server has written it."""
        arguments = {"path": str(gateway.directory / "files" / "lines.txt")}

        async def use() -> tuple[bytes, str, list[Any]]:
            original = await called(gateway, "/files/mcp", "read_text_file", arguments)
            ref = ref_of(await called(gateway, "/mcp/full", "files__read_text_file", arguments))
            uri, client = f"gateway://results/{ref}", await opened(gateway, "/mcp/full")
            found = []
            for ask in (legacy, modern):
                listed = await ask(client, "resources/list")
                read = await ask(client, "resources/read", uri=uri)
                found.append((read["contents"], [each["uri"] for each in listed["resources"]]))
            client.close()
            return original, uri, found

        original, uri, found = run(use)
        wanted = [{"uri": uri, "mimeType": "application/json", "text": original.decode()}]
        assert [contents for contents, _ in found] == [wanted, wanted]
        assert all(uri in uris for _, uris in found)

    def test_no_such_original(self, gateway: Gateway) -> None:
        """A result that nobody has kept is an error that says so."""

        async def use() -> Any:
            client = await opened(gateway, "/mcp/full")
            uri = "gateway://results/r_aaaaaaaaaaaaaaaa"
            answer = await client.post(message(1, "resources/read", {"uri": uri}))
            client.close()
            return answer.messages[-1]["error"]

        assert "not found or expired" in run(use)["message"]

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
