"""Remote servers and APIs with what others have made: descriptions of real services, a proxy, authorization servers.

``make test-remotes`` installs it; without that the tests are left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpgateway.config.openapi import lazy_json
from mcpgateway.config.openapi.schemas import resolved
from mcpgateway.config.openapi.tools import METHODS, read_openapi
from mcpgateway.config.read import parse
from mcpgateway.errors import ConfigError
from tests.functional.test_sign_in import Person, World, ask, call
from tests.support.gateway import Gateway, eventually
from tests.support.ports import free_port
from tests.support.protected import Protected, several
from tests.support.real_servers import ROOT

NPM = ROOT / "tests" / "remotes" / "npm" / "node_modules"
PROXY = ROOT / "build" / "remotes-pypi" / "bin" / "python"
GITHUB = NPM / "@octokit" / "openapi" / "generated" / "api.github.com.json"
EXAMPLES = NPM / "@readme" / "oas-examples"
FIGMA = NPM / "@figma" / "rest-api-spec" / "openapi" / "openapi.yaml"
CONVERT = NPM / ".bin" / "swagger2openapi"
GROWN_KB = 60_000
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
SIGN_IN = (
    "GET /.well-known/oauth-protected-resource/mcp",
    "GET /.well-known/oauth-authorization-server",
    "POST /register",
    "POST /token",
    "POST /mcp",
)

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        not (GITHUB.exists() and PROXY.exists()), reason="make test-remotes installs what it needs"
    ),
]


def described() -> list[Path]:
    """All descriptions of OpenAPI 3."""
    found = [each for version in ("3.0", "3.1") for each in (EXAMPLES / version).rglob("*.[jy]*")]
    return [*sorted(each for each in found if each.suffix in (".json", ".yaml")), FIGMA]


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Protected]]:
    """Starts protected servers."""
    with several() as begin:
        yield begin


class Proxy:
    """The proxy, and what went through it; it tells one request of each connection that is over."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / "proxy.log"
        argv = [str(PROXY), "-m", "proxy", "--hostname", "127.0.0.1", "--port", str(self.port)]
        argv += ["--num-workers", "1", "--num-acceptors", "1", "--log-file", str(self._log)]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: self._log.exists() and "Loaded plugin" in self._log.read_text(), "the proxy runs")
        time.sleep(0.5)  # it says nothing of when it listens

    def asked(self, origin: str) -> list[str]:
        """The requests to a server that went through the proxy."""
        place = re.escape(origin.removeprefix("http://"))
        return [
            f"{each[1]} {each[2]}"
            for each in re.finditer(rf" - (\w+) {place}(/[^ ?]*)", self._log.read_text())
        ]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy."""
    running = Proxy(tmp_path)
    yield running
    running.close()


class DescriptionTests:
    """Descriptions of real services."""

    def test_github(self, tmp_path: Path) -> None:
        """All of GitHub's operations are tools, and its description is not kept."""
        with Gateway(tmp_path, {"github": {"openapi": str(GITHUB)}}) as gateway:
            spent, resident = _spent(gateway.pid), _resident(gateway.pid)
            found = ask(gateway, LIST, "/github/mcp")["result"]["tools"]
            spent, resident = _spent(gateway.pid) - spent, _resident(gateway.pid) - resident
        print(f"{len(found)} tools in {spent:.2f} s of CPU, {resident} KB")
        assert len(found) == 1223
        assert resident < GROWN_KB

    @pytest.mark.parametrize("file", described(), ids=lambda file: f"{file.parent.name}-{file.name}")
    def test_all_operations(self, file: Path) -> None:
        """Each operation is a tool, and takes the body that it is described with."""
        text = file.read_text()
        found = read_openapi(text, str(file))
        document = lazy_json.read(text) or parse(text, str(file), strict=False).value
        bodies = []
        for listed in (document.get("paths") or {}).values():
            item = resolved(document, listed)
            for method in METHODS:
                if isinstance(item.get(method), dict):
                    body = resolved(document, item[method].get("requestBody")) or {}
                    bodies.append(bool(body.get("content")))
        assert (len(found.tools), found.skipped) == (len(bodies), ())
        for tool, has_body in zip(found.tools, bodies, strict=True):
            takes_one = any("body" in place for place in tool.places.values())
            if has_body and not takes_one:  # an object that has no members
                assert not tool.schema["properties"], tool.name

    @pytest.mark.parametrize(
        "file", sorted((EXAMPLES / "2.0").rglob("petstore.*")), ids=lambda file: file.name
    )
    def test_former(self, file: Path, tmp_path: Path) -> None:
        """A description of Swagger 2.0 is refused with the command that makes one of it that is taken."""
        with pytest.raises(ConfigError, match="npx swagger2openapi FILE --outfile"):
            read_openapi(file.read_text(), str(file))
        made = tmp_path / "openapi.json"
        subprocess.run([CONVERT, str(file), "--outfile", str(made)], check=True, capture_output=True)
        assert len(read_openapi(made.read_text(), str(made)).tools) == 20


CREDENTIALS = {
    "apiKey_query": "of-the-query",
    "apiKey_header": "of-the-header",
    "apiKey_cookie": "of-the-cookie",
    "basic": "ann:of-ann",
    "oauth2_authorizationCode": "of-oauth",
}
SENT = {
    "get_anything_apiKey": ("apiKey=of-the-query", {}),
    "put_anything_apiKey": ("", {"x-api-key": "of-the-header"}),
    "post_anything_apiKey": ("", {"cookie": "api_key=of-the-cookie"}),
    "post_anything_basic": ("", {"authorization": "Basic YW5uOm9mLWFubg=="}),
    "get_anything_oauth2": ("", {"authorization": "Bearer of-oauth"}),
    "post_anything_no_auth": ("", {}),
}


def test_credentials(tmp_path: Path, proxy: Proxy) -> None:
    """Each credential goes where the description says, through the proxy that the entry names."""
    with subprocess.Popen(
        [sys.executable, ROOT / "tests" / "servers" / "pets.py"], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        base = f"http://127.0.0.1:{int(service.stdout.readline())}"
        entry = {
            "openapi": str(EXAMPLES / "3.1" / "json" / "security.json"),
            "rest_url": base,
            "credentials": CREDENTIALS,
            "proxy": proxy.url,
        }
        with Gateway(tmp_path, {"safe": entry}) as gateway:
            for tool, (query, headers) in SENT.items():
                asked = ask(gateway, call(tool), "/safe/mcp")["result"]["structuredContent"]
                own = {name: each for name, each in asked["headers"].items() if name in SHOWN}
                assert (asked["target"].partition("?")[2], own) == (query, headers), tool
        eventually(lambda: proxy.asked(base), "the proxy tells of it")
        service.kill()


SHOWN = ("x-api-key", "cookie", "authorization")


@pytest.mark.parametrize("kind", ["sdk", "authlib"])
def test_two_people(tmp_path: Path, proxy: Proxy, start: Callable[..., Protected], kind: str) -> None:
    """Two people sign in as themselves, through the proxy that the entry names, and without it nobody does."""
    world = World(tmp_path, start, proxy=proxy.url)
    with world.gateway:
        ann, bob = Person(world), Person(world)
        for person, user in ((ann, "ann"), (bob, "bob"), (ann, "ann")):
            if user not in person.who(kind):
                person.sign_in(kind, user)
            assert (person.who(kind), person.who_by_view(kind)) == (user, user)
            assert person.who_today(f"/{kind}/mcp", "whoami") == user
        assert world.ran("token", "revoke", ann.made["id"])[0] == 0
        eventually(
            lambda: "agent" not in world.kept() or ann.made["id"] not in world.kept(), "ann's is given back"
        )
        assert bob.who(kind) == "bob"
        before = _asked(getattr(world, kind))
        proxy.close()
        for words in (("login", kind, "--again", "--no-wait"), ("login", "unmet", "--no-wait")):
            code, out, err = world.ran("servers", *words)
            assert (code, "proxy" in out + err) == (1, True)
        assert "proxy" in json.dumps(world.who(kind))
        assert _asked(getattr(world, kind)) == before
    assert proxy.asked(getattr(world, kind).origin)


def _asked(protected: Protected) -> list[int]:
    return [protected.asked(each) for each in SIGN_IN]


def _spent(pid: int) -> float:
    """The seconds of CPU that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def _resident(pid: int) -> int:
    """The kilobytes of memory that it has."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]
