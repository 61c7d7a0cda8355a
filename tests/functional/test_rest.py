"""A service without MCP as a server, for real: what it is asked, and what becomes of its answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from mcpgateway.backends.http.client import Web
from mcpgateway.backends.rest import backend as module
from mcpgateway.backends.rest.backend import RestBackend
from mcpgateway.config.reach_settings import Rest, RestTool
from mcpgateway.interfaces import Launch
from mcpgateway.protocol.versions import Era
from tests.contracts.talk import Talk, until
from tests.servers.pets import DESCRIPTION, picture

pytestmark = pytest.mark.functional

SERVER = str(Path(__file__).parent.parent / "servers" / "pets.py")
KEY = "a secret of the test"


class Service:
    """The service, and what speaks for it."""

    def __init__(self, web: Web, directory: Path) -> None:
        self.process = subprocess.Popen([sys.executable, SERVER], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.directory = directory
        self._web = web

    async def talk(self, base: str = "", era: Era = Era.LEGACY, **more: Any) -> Talk:
        """Begin a conversation, by its description unless something else is said."""
        reach = Rest(base, **({"openapi": f"{self.url}/openapi.json"} | more))
        launch = Launch("pets", (), {}, str(self.directory), reach, era)
        return Talk(lambda how, receiver: RestBackend(reactor, self._web, how, receiver), launch)

    async def asked(self) -> list[dict[str, Any]]:
        """The requests it has got."""
        answer = await self._web.request("GET", f"{self.url}/asked", {}, timeout_s=20)
        found: list[dict[str, Any]] = json.loads(answer.body)
        return found

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own."""
    web = Web(reactor)
    made = Service(web, tmp_path)
    yield made
    pytest_twisted.blockon(web.close())
    made.stop()


@pytest.fixture
def nothing() -> Iterator[str]:
    """The address of a service that has nothing to show."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as serving:  # 501 for everything
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


async def call(talk: Talk, name: str, /, **arguments: Any) -> dict[str, Any]:
    """The result of a call."""
    return await talk.result("tools/call", name=name, arguments=arguments)


class DescribedTests:
    """By a description."""

    @pytest_twisted.ensureDeferred
    async def test_tools(self, service: Service) -> None:
        """Every operation is a tool, in the order of the description, the same each time."""
        talk = await service.talk()
        hello = await talk.meet()
        assert hello["serverInfo"] == {"name": "pets", "version": "1.2", "title": "Pets"}
        assert hello["capabilities"] == {"tools": {}}
        listed = (await talk.result("tools/list"))["tools"]
        names = "echo slow big image blob away broken empty list add_pet show_pet"
        assert [tool["name"] for tool in listed] == names.split()
        assert listed[0]["description"] == "Say it again."
        assert listed[7]["description"] == "Deprecated. DELETE /empty"
        assert listed[9]["inputSchema"]["required"] == ["name"]
        again = await service.talk()
        await again.meet()
        assert (await again.result("tools/list"))["tools"] == listed
        await talk.backend.stop()
        await again.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_requests(self, service: Service) -> None:
        """Arguments go where they belong, with the configured headers; the answer is told as structure and as text."""
        talk = await service.talk(headers={"X-Key": KEY})
        await talk.meet()
        shown = await call(talk, "show_pet", petId="a/b c", **{"X-Trace": "t"})
        assert shown["structuredContent"]["target"] == "/v1/pets/a%2Fb%20c"
        assert shown["structuredContent"]["headers"]["x-trace"] == "t"
        assert shown["structuredContent"]["headers"]["x-key"] == KEY
        assert json.loads(shown["content"][0]["text"]) == shown["structuredContent"]
        listed = await call(talk, "list", tags=["a", "b"])
        assert listed["structuredContent"]["target"] == "/v1/list?tags=a&tags=b"
        added = await call(talk, "add_pet", name="Rex é", tags=["x"], mother={"name": "Ada"})
        assert json.loads(added["structuredContent"]["body"]) == {
            "name": "Rex é",
            "tags": ["x"],
            "mother": {"name": "Ada"},
        }
        assert added["structuredContent"]["method"] == "POST"
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_credentials(self, service: Service, tmp_path: Path) -> None:
        """Credentials go where the description says, and what a call is refused for says which of them it lacks."""
        schemes = {
            "query": {"type": "apiKey", "in": "query", "name": "key"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
            "login": {"type": "http", "scheme": "basic"},
        }
        security = {"security": [{"query": [], "cookie": []}, {"login": []}]}
        components = {**DESCRIPTION["components"], "securitySchemes": schemes}
        (tmp_path / "own.json").write_text(json.dumps({**DESCRIPTION, **security, "components": components}))
        own = {"openapi": str(tmp_path / "own.json"), "credentials": {"query": KEY, "cookie": "c d"}}
        talk = await service.talk(f"{service.url}/v1", **own)
        await talk.meet()
        shown = (await call(talk, "list", tags=["a"]))["structuredContent"]
        assert shown["target"] == "/v1/list?tags=a&key=a%20secret%20of%20the%20test"
        assert (shown["headers"]["cookie"], "authorization" in shown["headers"]) == ("sid=c%20d", False)
        await talk.backend.stop()

        lost = await service.talk(f"{service.url}/v1", **own | {"credentials": {"other": KEY}})
        await until(lambda: lost.ends, "the end")
        assert "no security scheme 'other'; it has: query, cookie, login" in lost.ends[0].fault
        assert KEY not in repr(lost.ends)

    @pytest_twisted.ensureDeferred
    async def test_answers(self, service: Service) -> None:
        """Pictures, bytes, nothing, errors and redirects are told as what they are."""
        talk = await service.talk()
        await talk.meet()
        (image,) = (await call(talk, "image"))["content"]
        assert (image["type"], image["mimeType"]) == ("image", "image/png")
        assert b64decode(image["data"]) == picture()
        (blob,) = (await call(talk, "blob"))["content"]
        assert blob["resource"] == {
            "uri": f"{service.url}/v1/blob",
            "mimeType": "application/x-thing",
            "blob": "AAEC",
        }
        assert "HTTP 204" in (await call(talk, "empty"))["content"][0]["text"]
        broken = await call(talk, "broken")
        assert broken["isError"]
        assert broken["content"][0]["text"].startswith("HTTP 503\n\n<p>out of order</p>")
        assert len(broken["content"][0]["text"]) < 5000
        away = await call(talk, "away")
        assert away["isError"]
        assert "redirect" in away["content"][0]["text"]
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_bad_calls(self, service: Service) -> None:
        """A wrong argument is the caller's to mend; a wrong request is an error."""
        talk = await service.talk()
        await talk.meet()
        for arguments, words in (({}, "Missing argument: petId"), ({"petId": ".."}, "one segment")):
            result = await call(talk, "show_pet", **arguments)
            assert result["isError"]
            assert words in result["content"][0]["text"]
        for params in ({"name": "no_such"}, {"name": 7}, {}, {"name": "echo", "arguments": [1]}):
            assert "error" in await talk.ask("tools/call", **params)
        assert [each["target"] for each in await service.asked()] == ["/openapi.json"]
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_modern(self, service: Service) -> None:
        """A client of the modern era is answered in its own way."""
        talk = await service.talk(era=Era.MODERN)
        found = await talk.result("server/discover")
        assert found["supportedVersions"] == ["2026-07-28"]
        assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "pets"
        listed = await talk.result("tools/list")
        assert (listed["resultType"], listed["cacheScope"]) == ("complete", "private")
        assert (await call(talk, "echo", text="x"))["resultType"] == "complete"
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_limits(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """A service that takes too long or says too much is an error, and the next call is none."""
        monkeypatch.setattr(module, "CALL_S", 0.5)
        monkeypatch.setattr(module, "ANSWER_LIMIT", 100_000)
        talk = await service.talk()
        await talk.meet()
        slow = await call(talk, "slow", ms=60_000, text="x")
        assert slow["content"][0]["text"] == "pets: no answer within 500 ms"
        assert "larger than 100000 bytes" in (await call(talk, "big", bytes=200_000))["content"][0]["text"]
        assert await talk.call("echo", text="still there") == "still there"
        service.stop()
        lost = await call(talk, "echo", text="x")
        assert lost["isError"]
        assert not talk.ends
        await talk.backend.stop()


class OtherTests:
    """By a list of tools, by a file, and badly."""

    @pytest_twisted.ensureDeferred
    async def test_listed(self, service: Service) -> None:
        """A list of tools needs no description, and may add to one."""
        own = RestTool("mine", "GET", "/mine/{a}", "Mine.", {"properties": {"a": {}, "b": {}}})
        talk = await service.talk(f"{service.url}/v1", tools=(own,), openapi="")
        await talk.meet()
        assert [tool["name"] for tool in (await talk.result("tools/list"))["tools"]] == ["mine"]
        result = await call(talk, "mine", a="x", b="y")
        assert result["structuredContent"]["target"] == "/v1/mine/x?b=y"
        both = await service.talk(tools=(own,))
        await both.meet()
        names = [tool["name"] for tool in (await both.result("tools/list"))["tools"]]
        assert (names[0], names[-1]) == ("echo", "mine")
        await talk.backend.stop()
        await both.backend.stop()

    @pytest.mark.parametrize("base", ["", "/", "/v1"])
    @pytest_twisted.ensureDeferred
    async def test_by_its_address(self, service: Service, base: str) -> None:
        """A service that describes itself where it is, or at the root of its host, needs no more than its address."""
        talk = await service.talk(f"{service.url}{base}", openapi="", headers={"X-Key": KEY})
        hello = await talk.meet()
        assert hello["serverInfo"]["title"] == "Pets"
        assert len((await talk.result("tools/list"))["tools"]) == 11
        shown = await call(talk, "show_pet", petId="a")
        assert shown["structuredContent"]["target"] == "/v1/pets/a"
        assert shown["structuredContent"]["headers"]["x-key"] == KEY
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_not_described(self, service: Service, nothing: str) -> None:
        """A service that describes itself nowhere is there all the same, without tools."""
        talk = await service.talk(f"{nothing}/x", openapi="")
        await talk.meet()
        assert (await talk.result("tools/list"))["tools"] == []
        await talk.backend.stop()

    @pytest.mark.parametrize(
        "more", [{}, {"tools": (RestTool("mine", "GET", "/mine", "Mine.", {}),)}, {"openapi": "described"}]
    )
    @pytest_twisted.ensureDeferred
    async def test_nobody_there(self, service: Service, more: dict[str, Any]) -> None:
        """Where nobody answers, the server cannot be reached, whatever is known of its tools."""
        if more.get("openapi"):
            more = {"openapi": f"{service.url}/openapi.json"}
        talk = await service.talk("http://127.0.0.1:9", **{"openapi": "", **more})
        talk.request("initialize", protocolVersion="2025-06-18")
        await until(lambda: talk.ends, "its end is told")
        assert talk.ends[0].is_unreachable
        assert "refused" in talk.ends[0].fault

    @pytest_twisted.ensureDeferred
    async def test_a_large_one(self, service: Service) -> None:
        """While a large description is read, all else goes on."""
        paths = "".join(f"  /p{number}: {{get: {{summary: Number {number}.}}}}\n" for number in range(1900))
        (service.directory / "large.yaml").write_text(f"openapi: 3.1.0\npaths:\n{paths}")
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1

        ticking = LoopingCall(turn)
        ticking.start(0.001)
        talk = await service.talk(f"{service.url}/v1", openapi="large.yaml")
        await talk.meet()
        ticking.stop()
        assert turns > 20  # else there are a few
        assert len((await talk.result("tools/list"))["tools"]) == 1900
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_a_file(self, service: Service) -> None:
        """A description may be a file, which is read again with each start."""
        file = service.directory / "pets.json"
        file.write_text(json.dumps(DESCRIPTION))
        talk = await service.talk(f"{service.url}/v1", openapi="pets.json")
        await talk.meet()
        assert await talk.call("echo", text="x") == "x"
        await talk.backend.stop()
        file.write_text(json.dumps({**DESCRIPTION, "paths": {"/new": {"get": {}}}}))
        again = await service.talk(f"{service.url}/v1", openapi=str(file))
        await again.meet()
        assert [tool["name"] for tool in (await again.result("tools/list"))["tools"]] == ["get_new"]
        await again.backend.stop()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "cannot be read: No such file"),
            ("{}", "is no OpenAPI 3 description"),
            ('{"openapi": "3.1.0"', "line 1"),
            ('{"openapi": "3.1.0"}', "does not say where the service is"),
            ('{"openapi": "3.1.0", "servers": [{"url": "ftp://x"}]}', "does not say where the service is"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_bad_files(self, service: Service, text: str | None, words: str) -> None:
        """The fault of a description is told, and the server ends."""
        if text is not None:
            (service.directory / "bad.json").write_text(text)
        talk = await service.talk(openapi="bad.json")
        talk.request("initialize", protocolVersion="2025-06-18")
        await until(lambda: talk.ends, "its end is told")
        assert words in talk.ends[0].fault
        assert not talk.ends[0].is_unreachable

    @pytest_twisted.ensureDeferred
    async def test_elsewhere(self, service: Service, tmp_path: Path) -> None:
        """A description from elsewhere leads no credentials to wherever it likes, and is not asked with them."""
        other = Service(service._web, tmp_path)
        talk = await service.talk(service.url, openapi=f"{other.url}/openapi.json", headers={"X-Key": KEY})
        await talk.meet()
        (asked,) = await other.asked()
        assert "x-key" not in asked["headers"]
        await talk.backend.stop()
        file = tmp_path / "there.json"
        file.write_text(json.dumps({**DESCRIPTION, "servers": [{"url": f"{other.url}/v1"}]}))
        local = await service.talk(openapi=str(file), headers={"X-Key": KEY})
        await local.meet()
        assert await local.call("echo", text="its own user's file") == "its own user's file"
        await local.backend.stop()
        other.stop()

    @pytest_twisted.ensureDeferred
    async def test_no_description(self, service: Service) -> None:
        """A description that is not there is told with its status, and without the query of its URL."""
        talk = await service.talk(openapi=f"{service.url}/v1/echo?key={KEY.replace(' ', '')}")
        await until(lambda: talk.ends, "its end is told")
        assert "is no OpenAPI 3 description" in talk.ends[0].fault
        assert "secret" not in talk.ends[0].fault
        away = await service.talk(openapi=f"{service.url}/v1/away")
        await until(lambda: away.ends, "its end is told")
        assert "HTTP 302" in away.ends[0].fault
