"""Requests through a proxy: to remote servers of every transport, to their authorization servers, and to APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from mcpgateway.app.hub import proxies_of
from mcpgateway.backends.http.client import Web
from mcpgateway.backends.http.connect import CertificateTrust
from mcpgateway.backends.streamable import Streamable
from mcpgateway.backends.websocket import WebSocket
from mcpgateway.config.reach_settings import Remote, Transport
from mcpgateway.errors import BackendError, Unreachable
from mcpgateway.policy import urls
from mcpgateway.policy.proxies import Proxies
from mcpgateway.policy.secrets.configured import secrets_of_server
from tests.functional.test_oauth import World
from tests.support import configurations
from tests.support.certificates import Authority
from tests.support.far import Server
from tests.support.ports import free_port
from tests.support.protected import several
from tests.support.proxy import Proxy
from tests.support.talk import Talk

pytestmark = pytest.mark.functional

LIMIT_S = 60.0
# A host that nobody knows but the proxy, as behind that of a company.
HOST = "only-the-proxy-knows.test"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy."""
    with Proxy() as running:
        yield running


@pytest.fixture
def web(proxy: Proxy) -> Iterator[Web]:
    """The client of requests, where the environment names the proxy."""
    made = Web(reactor)
    url = proxy.url.replace("//", "//me:correct-horse@")
    made.dialler.proxies = Proxies(url, url)
    yield made
    pytest_twisted.blockon(made.close())


def talk(web: Web, remote: Remote) -> Talk:
    """A conversation with a server."""

    def make(launch: Any, remote: Any, receiver: Any) -> Any:
        if remote.transport is Transport.WEBSOCKET:
            return WebSocket(reactor, web.dialler, launch, remote, receiver)
        return Streamable(reactor, web, launch, remote, receiver)

    return Talk(make, remote)


async def added(web: Web, proxy: Proxy, remote: Remote) -> str:
    """The sum of a server whose entry names the proxy."""
    url = proxy.url.replace("//", "//me:correct-horse@")
    web.dialler.proxies = Proxies(of_servers={web.place(remote.url).origin: url})
    line = talk(web, remote)
    await line.meet()
    result = await line.call("add", a=1, b=2)
    await line.backend.stop()
    return str(result["content"][0]["text"])


@pytest_twisted.ensureDeferred
async def test_in_plain(web: Web, proxy: Proxy) -> None:
    """A proxy is sent whole requests for what is not reached by TLS, with the credentials that are in its URL."""
    with Server.python("--kind", "json") as far:
        url = f"http://localhost:{far.port}/mcp"
        assert await added(web, proxy, Remote(url)) == "3"
        heads = {(first.rpartition(" ")[0], credentials) for first, credentials in proxy.asked}
        assert (f"POST {url}", "Basic bWU6Y29ycmVjdC1ob3JzZQ==") in heads


@pytest_twisted.ensureDeferred
async def test_by_tls(web: Web, proxy: Proxy, tmp_path: Path) -> None:
    """The proxy is asked for a connection where TLS is spoken, and sees nothing of the messages."""
    authority = Authority(tmp_path)
    with Server.python("--certificate", authority.issue("localhost")) as far:
        remote = Remote(f"https://localhost:{far.port}/mcp", ca_file=authority.file)
        assert await added(web, proxy, remote) == "3"
        assert {first for first, _ in proxy.asked} == {f"CONNECT localhost:{far.port} HTTP/1.1"}
        with pytest.raises(BackendError, match="no authority that is trusted here has signed it"):
            await web.request("GET", remote.url, {}, timeout_s=LIMIT_S)
        blind = await web.request(
            "GET", remote.url, {}, timeout_s=LIMIT_S, trust=CertificateTrust(is_blind=True)
        )
        assert blind.status >= 400


@pytest_twisted.ensureDeferred
async def test_authorization_servers(proxy: Proxy, tmp_path: Path) -> None:
    """The proxy of a server's entry is that of its authorization server, too."""
    with several() as start:
        remote = Remote(start("sdk").url)
        world = World(tmp_path)
        origin = world.web.place(remote.url).origin
        world.web.dialler.proxies = Proxies(of_servers={origin: proxy.url})
        await world.let_in(remote)
        await world.close()
        asked = " ".join(first for first, _ in proxy.asked)
        for part in ("/mcp ", "/.well-known/oauth-protected-resource", "/register ", "/token "):
            assert part in asked


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("scheme", ["https", "wss"])
@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (
            "407 Proxy Authentication Required",
            BackendError,
            "does not accept the user and password (HTTP 407)",
        ),
        ("403 Forbidden", BackendError, f"does not let us reach {HOST}:443 (HTTP 403)"),
        ("502 Bad Gateway", Unreachable, f"cannot reach {HOST}:443 (HTTP 502)"),
        ("no status", BackendError, "does not speak HTTP"),
    ],
)
async def test_refusals(web: Web, proxy: Proxy, scheme: str, refusal: str, kind: Any, words: str) -> None:
    """A refusal of a proxy is told with its name, and without its password."""
    proxy.refusal = refusal
    with pytest.raises(kind) as caught:
        await web.request("GET", f"{scheme}://{HOST}/", {}, timeout_s=LIMIT_S)
    assert caught.value.message == f"the proxy 127.0.0.1:{proxy.port} {words}"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nobody_there(web: Web, scheme: str) -> None:
    """A proxy that does not answer is what does not answer."""
    port = free_port()
    web.dialler.proxies = Proxies(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    with pytest.raises(Unreachable, match=f"no connection to the proxy 127.0.0.1:{port}: connection refused"):
        await web.request("GET", f"{scheme}://{HOST}/", {}, timeout_s=LIMIT_S)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:9/", "http://10.0.0.1/", "https://localhost/", "http://[fd00::1]/"]
)
async def test_where_servers_may_not_send_us(web: Web, proxy: Proxy, url: str) -> None:
    """A server that is elsewhere sends nobody into the user's network, through a proxy neither."""
    origin = web.place("https://93.184.215.14/").origin
    web.dialler.proxies = Proxies(of_servers={origin: proxy.url})
    with pytest.raises(BackendError, match="not a place that it may send the gateway to"):
        await web.request("GET", url, {}, timeout_s=LIMIT_S, named_by="https://93.184.215.14/mcp")
    assert proxy.asked == []


def test_of_a_configuration() -> None:
    """An entry's word goes before the gateway's values, those before the login; other servers are none the wiser."""
    servers = {
        "own": {"url": "https://own.test/mcp", "proxy": "http://${WHO}@proxy.test:1"},
        "none": {"url": "https://none.test/mcp", "proxy": ""},
        "api": {
            "rest_url": "https://api.test/v1",
            "openapi": "https://docs.test/api.json",
            "proxy": "http://api.test:2",
        },
        "other": {"url": "https://other.test/mcp"},
    }
    world = configurations.World(
        {"HTTPS_PROXY": "http://login.test:3", "NO_PROXY": "near.test"},
        {"https_proxy": "http://values.test:4", "WHO": "me:correct-horse"},
        "/home/me",
    )
    settings, problems = configurations.read(json.dumps({"servers": servers}), "/g/c.json", world)
    assert settings, problems
    proxies = proxies_of(settings)
    found = {
        host: proxies.of(urls.read(f"https://{host}/"))
        for host in ("own.test", "none.test", "api.test", "docs.test", "other.test", "near.test")
    }
    assert {host: each and each.address for host, each in found.items()} == {
        "own.test": "proxy.test:1",
        "none.test": None,
        "api.test": "api.test:2",
        "docs.test": "api.test:2",
        "other.test": "values.test:4",
        "near.test": None,
    }
    assert "correct-horse" in {each for server in settings.servers for each in secrets_of_server(server)}
    assert "correct-horse" not in repr(settings)


@pytest.mark.parametrize("proxy", ["socks5://p.test:1", "proxy.test:3128", "http://", "https://p.test"])
def test_wrong(proxy: str) -> None:
    """A proxy that cannot be used is an error of the configuration that shows nothing of it."""
    _, problems = configurations.read(
        json.dumps({"servers": {"x": {"url": "https://h/", "proxy": proxy}}}), "/g/c.json"
    )
    assert ["servers.x.proxy" in str(each) or "x.proxy" in str(each) for each in problems] == [True]
    assert "http://HOST:PORT" in str(problems[0])
    assert "p.test" not in str(problems[0])
