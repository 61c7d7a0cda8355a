"""Figures of the dashboard in a real Chromium: the same span of time shows the same calls on every page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.functional.test_figures import post
from tests.functional.test_logs import Stream
from tests.support.browser import Browser
from tests.support.dashboard import IN_A_BROWSER, Page, command
from tests.support.gateway import Gateway, eventually, server
from tests.support.modern_client import headers_of, meta
from tests.support.real_servers import time

pytestmark = IN_A_BROWSER

LONG_AGO = '{"at":"2026-01-01T00:00:00.000000Z","id":"1","kind":"management","operation":"x"}\n'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server."""
    with Gateway(tmp_path_factory.mktemp("figures"), {"clock": server(time())}) as made:
        yield made


@pytest.fixture
def page(gateway: Gateway, tmp_path: Path) -> Iterator[Page]:
    """A browser that has never been there."""
    with Browser(tmp_path) as browser:
        browser.ask(
            "Emulation.setDeviceMetricsOverride", width=1440, height=900, deviceScaleFactor=1, mobile=False
        )
        yield Page(browser, gateway)


def test_the_hour_survives_a_restart(page: Page) -> None:
    """The calls of the last hour are the same on Overview, Usage, Calls and status, also after a restart."""
    page.show()
    page.sees("No tool was called in the last hour.")
    _call(page.gateway, "clock__get_current_time", "timezone=UTC")
    _call(page.gateway, "clock__get_current_time", "timezone=Nowhere")
    for _ in range(2):
        page.show(wait="2 calls")
        page.sees("1 failed")
        page.show("calls", wait="2 calls in the last hour")
        page.sees("1 failed")
        page.show("usage", wait="Time in tools")
        page.choose(".filters select", "60")
        page.sees("2 calls")
        page.sees("1 failed")
        assert "Last hour: 2 calls, of which 1 failed" in command(page.gateway, "status", "--stats")
        page.gateway.terminate()
        page.gateway.start()
    page.show(wait="Calls are known since")
    (page.gateway.home / "logs" / "activity.jsonl.1").write_text(LONG_AGO)
    page.gateway.terminate()
    page.gateway.start()
    page.show(wait="2 calls")
    page.sees_no_more("Calls are known since")


def test_more_calls_than_a_page_has(page: Page) -> None:
    """Of more calls than the page Calls loads, its figures count all, as everywhere, and its filters ask for all."""
    url = f"{page.gateway.url}/clock/mcp"
    for number in range(1101):
        tool = "convert_time" if number == 0 else "get_current_time"
        post(url, {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": tool}})
    asked = command(page.gateway, "status", "--stats", "--json")
    calls = sum(each["calls"] for each in json.loads(asked)["timeline"])
    assert calls > 1100
    page.sign_in()
    page.show(wait=f"{calls:,}")
    page.show("usage", wait="Time in tools")
    page.choose(".filters select", "60")
    page.sees(f"{calls:,}")
    page.show("calls", wait=f"{calls:,} calls in the last 24 hours")
    page.choose("[data-name=Span]", "60")
    page.sees(f"{calls:,} calls in the last hour")
    page.choose("[data-name=Tool]", "convert_time")  # the first of them is in no page that is loaded
    page.sees("1 call in the last hour")
    page.choose("[data-name=Outcome]", "ok")
    page.sees("No call of the last hour matches.")


def test_clients_without_a_session(page: Page) -> None:
    """A client of MCP 2026-07-28 is on the page of clients with its calls, though it has no session."""
    params = {"name": "get_current_time", "arguments": {"timezone": "UTC"}, "_meta": meta()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    url = f"{page.gateway.url}/clock/mcp"
    with urlopen(Request(url, json.dumps(body).encode(), {**accepted, **headers_of(body)}), timeout=20):
        pass
    page.show("clients", wait="Without a session")
    rows = "document.querySelector('[aria-label=\"Clients without a session\"] tbody').innerText"
    assert re.search(r"c 1\s+clock\s.*\s1\s+1\s+\d+ \w+ ago", page.browser.run(rows), re.DOTALL)
    page.show("servers/clock/sessions", wait="Without a session")


def test_one_poll(page: Page) -> None:
    """The overview asks one route for all that it shows, and the stream of events for what changes."""
    page.show(wait="Who is here")
    page.sees("used by the gateway")
    asked = """performance.getEntriesByType("resource").map(each => new URL(each.name).pathname)
        .filter(each => each.startsWith("/api/"))"""
    routes = set(page.browser.run(asked))
    assert routes <= {"/api/v1/overview", "/api/v1/events", "/api/v1/ui/sessions"}
    assert "/api/v1/overview" in routes


def test_needs_change(page: Page) -> None:
    """A server that is lost is told of by an event, and its button on the overview is the gateway's own action."""
    page.sign_in()
    broken = {"command": "/nowhere/server"}
    command(page.gateway, "servers", "add", "lost", "--definition", json.dumps(broken), check=False)
    page.sees("the program /nowhere/server is not there")
    page.press("Try now: lost")
    page.sees("lost could not be started")
    stream = Stream(page.gateway, "/api/v1/events?kind=attention&follow=false&after=0")
    assert "attention.changed" in [each["event"] for each in stream.events()]
    command(page.gateway, "servers", "remove", "lost", "--yes")
    eventually(lambda: page.browser.run("!document.querySelector('.needs')"), "nothing needs the user")


def test_what_tools_cost(page: Page) -> None:
    """The page Usage tells what tools cost a context; one that nobody calls is taken out of the offer, and found."""
    _call(page.gateway, "clock__get_current_time", "timezone=UTC")
    page.sign_in()
    page.show("tools", wait="/mcp/full")
    page.choose("[aria-label=Listed]", "/mcp/full")
    page.sees("convert_time")
    page.show("usage", wait="Cost in a model")
    page.sees("Result tokens")
    assert page.browser.run("document.querySelectorAll('.spark rect').length") >= 1


def test_memory(page: Page) -> None:
    """The memory of a server that runs is on its page and in the list of servers."""
    _call(page.gateway, "clock__get_current_time", "timezone=UTC")
    page.show("servers", wait="Switch off")
    assert re.search(r"\d MB", page.browser.run("document.querySelector('main table').innerText"))
    page.show("servers/clock", wait="MB in ")  # one process for each era that was asked for


def _call(gateway: Gateway, tool: str, *arguments: str) -> None:
    command(gateway, "tools", "call", tool, *arguments, check=False)
