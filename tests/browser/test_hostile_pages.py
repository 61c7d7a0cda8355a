"""Pages that mean ill, in a real Chromium, towards a real gateway: nothing gets in, is run, or can be read.

Beside the gateway runs a program without any guard.  The same page does all of it there, which shows that it is not the
browser that keeps the gateway safe.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.attacking import FIXTURE, attack, call
from tests.support.browser import CHROMIUM, Browser
from tests.support.gateway import Gateway, eventually, server

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: make test-browser installs it"),
]

PAGE = f"<!doctype html><title>x</title><body><script>{(Path(__file__).parent / 'hostile.js').read_text()}</script>"
EVIL, BENT = "evil.example", "rebound.example"
UNHEARD = {"refused", "nothing", "blind"}


class Pages(BaseHTTPRequestHandler):
    """Serves the page to everybody; it is a program without guards, too, and keeps what came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        length = int(self.headers.get("Content-Length") or 0)
        self.server.came.append((self.command, self.path, self.rfile.read(length)))  # type: ignore[attr-defined]
        body = b"[1]" if self.path == "/list.js" else PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if self.path == "/list.js" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Serve a connection, which the browser may end as it likes."""
        with suppress(ConnectionError):
            super().handle()


class Site(ThreadingHTTPServer):
    """A place of its own port.

    :ivar came: what it was asked.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.came: list[tuple[str, str, bytes]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture(scope="module")
def site():
    """Where the page comes from, and what nobody guards."""
    made = Site()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser for which two names lead to this machine."""
    with Browser(tmp_path_factory.mktemp("browser"), EVIL, BENT) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with a server that counts its calls."""
    with Gateway(tmp_path_factory.mktemp("gateway"), {"fix": server(FIXTURE)}) as running:
        yield running


@pytest.fixture(autouse=True)
def untouched(gateway):
    """After every page the gateway has done nothing for it: no call, no session, no process, no change."""
    counted = int(call(gateway, "count", {}))
    before = seen(gateway)
    yield
    eventually(lambda: seen(gateway) == before, "it is as before")
    assert int(call(gateway, "count", {})) == counted + 1
    assert "Traceback" not in gateway.log
    assert gateway.log.count("is served at") == 1


def seen(gateway):
    """The state that a page could have changed."""
    health = gateway.health()
    files = [
        (each.name, each.read_bytes())
        for each in (gateway.config, gateway.home / "auth.token", gateway.source)
    ]
    return [each["name"] for each in health["backends"]], health.get("sessions"), gateway.helpers(), files


def attacked(browser, base):
    """Have the page do all it can towards an address; what it has learnt."""
    found = browser.run(f"attack({json.dumps(base)})")
    assert len(found) > 100
    return found


ORIGINS = ["127.0.0.1", "localhost", EVIL]


class PageTests:
    """Pages from elsewhere."""

    @attack(
        "CVE-2025-49596, CVE-2025-58444, CVE-2026-33252",
        "a page of another port, or of another site, in Chromium",
    )
    @pytest.mark.parametrize("name", ORIGINS)
    def test_other_origins(self, gateway, browser, site, name):
        """fetch, forms, EventSource, WebSocket, beacons and scripts read nothing and change nothing."""
        browser.go(f"http://{name}:{site.server_port}/")
        for host in ("127.0.0.1", "localhost"):
            found = attacked(browser, f"http://{host}:{gateway.port}")
            assert {how: what for how, what in found.items() if what not in UNHEARD} == {}

    @attack(
        "CVE-2025-64443, CVE-2025-66414, CVE-2025-66416, CVE-2026-42559", "a name that was bent, in Chromium"
    )
    def test_bent_name(self, gateway, browser, site):
        """A page of a name that now leads to this machine reads and changes nothing by that name."""
        browser.go(f"http://{EVIL}:{site.server_port}/")
        found = attacked(browser, f"http://{EVIL}:{gateway.port}")
        assert {how: what for how, what in found.items() if what not in UNHEARD} == {}

    @attack(
        "CVE-2025-64443, CVE-2025-66414, CVE-2025-66416, CVE-2026-42559",
        "DNS rebinding of a page's own origin, in Chromium",
    )
    def test_rebound(self, gateway, browser):
        """A page whose own origin has become the gateway gets refusals to read, and nothing else."""
        here = f"http://{BENT}:{gateway.port}"
        browser.go(f"{here}/", instead=PAGE)
        found = attacked(browser, here)
        told = {how: what for how, what in found.items() if what not in UNHEARD}
        assert told
        assert {how: what for how, what in told.items() if not what.startswith(("403 ", "framed {"))} == {}
        assert all("Forbidden: this Host is not served here" in what for what in told.values())

    @attack("CVE-2025-58444", "a page without origin (data:, a sandbox), in Chromium")
    def test_no_origin(self, gateway, browser):
        """A page without an origin reads and changes nothing."""
        browser.go(f"data:text/html,{quote(PAGE)}")
        found = attacked(browser, f"http://127.0.0.1:{gateway.port}")
        assert {how: what for how, what in found.items() if what not in UNHEARD} == {}


class ControlTests:
    """The browser itself, which guards nobody."""

    def test_it_sends(self, browser, site):
        """A request that a page sends unseen arrives where there is no guard."""
        browser.go(f"http://{EVIL}:{site.server_port}/")
        del site.came[:]
        attacked(browser, f"http://127.0.0.1:{site.server_port}")
        posted = {path for method, path, body in site.came if method == "POST" and body}
        assert {"/fix/mcp", "/api/v1/servers", "/api/v1/shutdown", "/start"} <= posted

    def test_it_reads(self, browser, site):
        """A page whose own origin was bent to a program without guards reads and calls all of it."""
        here = f"http://{BENT}:{site.server_port}"
        browser.go(f"{here}/", instead=PAGE)
        found = attacked(browser, here)
        assert found["GET /health"].startswith("200 ")
        posts = [what for how, what in found.items() if how.startswith("POST /fix/mcp JSON")]
        assert posts
        assert all(what.startswith("200 ") for what in posts)

    def test_it_runs(self, browser, site):
        """A script that a page names is run, from wherever it is."""
        browser.go(f"http://{EVIL}:{site.server_port}/")
        found = attacked(browser, f"http://127.0.0.1:{site.server_port}")
        assert found["script /list.js"] == "loaded"
