"""Links of the dashboard in a real Chromium: each leads to a page that has content."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.dashboard import IN_A_BROWSER, Page
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture, time

pytestmark = IN_A_BROWSER

SETTLED = """new Promise(resolve => {
    const many = () => performance.getEntriesByType("resource").length
    const isLoading = () => /Asking the gateway\\.|Loading the page\\./.test(document.body.innerText)
    let last = many(), since = Date.now(), end = Date.now() + 20000
    const look = () => {
        if (many() !== last || isLoading()) { last = many(); since = Date.now() }
        if (Date.now() - since > 250 || Date.now() > end) resolve({
            title: document.querySelector("h1")?.innerText,
            failed: performance.getEntriesByType("resource").filter(each => each.responseStatus >= 400)
                .map(each => `${each.responseStatus} ${each.name}`),
            links: [...document.querySelectorAll("a[href]")]
                .filter(each => each.origin === location.origin && !each.hash && each.target !== "_blank")
                .map(each => each.pathname + each.search),
        })
        else setTimeout(look, 50)
    }
    look()
})"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with calls of servers, of its own tools, of no tool, and of a server that is gone."""
    servers = {
        "clock": server(time()),
        "broken": server(["/nowhere/server"]),
        "gone": server(fixture()),
    }
    with Gateway(tmp_path_factory.mktemp("links"), servers) as made:
        call(made, "clock/mcp", "get_current_time", timezone="UTC")
        call(made, "clock/mcp", "nothing")
        call(made, "gone/mcp", "echo", text="x")
        call(made, "mcp", "gateway_status")
        call(made, "mcp", "gateway_search", query="time")
        del servers["gone"]
        made.config.write_text(made.configured(servers))
        eventually(lambda: made.health()["servers"] == len(servers), "the server is gone")
        yield made


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_every_link_of_every_page(gateway: Gateway, tmp_path: Path, *, is_signed_in: bool) -> None:
    """No link leads to a page that does not exist, or that the gateway refuses what it asks for."""
    with Browser(tmp_path) as browser:
        page = Page(browser, gateway)
        if is_signed_in:
            page.sign_in()
        found, waiting = dict[str, Any](), ["/ui/"]
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            browser.go(f"http://localhost:{gateway.port}{path}")
            page.sees("configuration in order")
            found[path] = browser.run(SETTLED)
            waiting += found[path]["links"]
            if path.startswith("/ui/calls/"):  # its page asks whether its tool is still there
                found[path]["failed"] = [
                    each for each in found[path]["failed"] if "/api/v1/tools/" not in each
                ]
    wrong = {
        path: [each["title"], *each["failed"]]
        for path, each in found.items()
        if each["failed"] or each["title"] in (None, "", "There is no such page")
    }
    assert wrong == {}
    for path in ("/ui/servers/clock/settings", "/ui/servers/broken", "/ui/tools/clock__get_current_time"):
        assert path in found
    assert any(path.startswith("/ui/calls/") for path in found) == is_signed_in


def test_who_was_called(gateway: Gateway, tmp_path: Path) -> None:
    """Usage tells calls of the gateway's own tools, and of a server that is gone, without a link."""
    with Browser(tmp_path) as browser:
        page = Page(browser, gateway)
        page.show("usage", wait="Time in tools")
        for by in ("server", "tool"):
            browser.run(f"""(() => {{
                const field = document.querySelectorAll(".filters select")[1]
                field.value = {json.dumps(by)}
                field.dispatchEvent(new Event("change", {{bubbles: true}}))
            }})()""")
            page.sees("the gateway's own tools")
            page.sees("gone (removed)")
            page.sees("clock")


def call(gateway: Gateway, endpoint: str, tool: str, **arguments: str) -> None:
    """Call a tool as a client does."""
    params = {"name": tool, "arguments": arguments}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    asked = urllib.request.Request(f"{gateway.url}/{endpoint}", body, headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        answer.read()
