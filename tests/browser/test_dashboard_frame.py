"""The frame of all pages in a real Chromium: its tabs, what is live, and what the gateway's absence leaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from time import sleep

import pytest

from tests.support.dashboard import IN_A_BROWSER, Page, command
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_A_BROWSER
LONG = "n" * 64  # the longest that a name may be
NOBODY = "No client has a session now."
FOCUSED = "document.activeElement.getAttribute('aria-label')"
TOLD = "document.querySelector('.notice "
REFUSING = """window.fetch = (fetch => (url, options) => options?.method === "GET" ? fetch(url, options)
    : Promise.resolve(new Response('{"error": "no such luck"}', {status: 409})))(window.fetch); 0"""
WIDEST = "Math.max(...[...document.querySelectorAll('tbody :is(th, td)')].map(each => each.offsetWidth))"
IN_BAR = """[...document.querySelectorAll("nav.pages li:has(a)")].filter(each => each.offsetParent)
    .map(each => each.querySelector(".title").innerText)"""
PER_SERVER = "document.querySelector('main details')"
HEADS = "document.querySelector('thead').innerText"
COLUMN = "[...document.querySelectorAll('.columns label')].find(each => each.innerText.includes('Tokens'))"
FOOTER = "document.querySelector('footer').innerText"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with servers that work, of which one has a name as long as a name may be."""
    servers = {
        "clock": server(fixture()),
        LONG: server(fixture()),
        "broken": server([sys.executable, "-c", "raise SystemExit(3)"]),
    }
    with Gateway(tmp_path_factory.mktemp("frame"), servers) as made:
        yield made


class TabTests:
    """Several tabs of a browser."""

    def test_second(self, page: Page) -> None:
        """A later tab shows the first one's stream and is signed in like it; all tabs sign out together."""
        page.sign_in()
        page.show("servers")
        eventually(lambda: _freshness(page) == "● live", "the first tab is live")
        first = page.browser.tab()
        page.show("calls", wait="Sign out (admin)")
        eventually(lambda: _freshness(page) == "● live", "the second tab is live")
        page.press("Sign out (admin)")
        page.sees("Unlock")
        page.browser.tab(first)
        page.sees("Unlock")
        assert page.browser.run("sessionStorage.length + localStorage.length") == 0


class AwayTests:
    """A gateway that hangs."""

    def test_stopped(self, page: Page) -> None:
        """It is noticed by a sign of life that stays out; a page that is opened then shows what was last known."""
        page.sign_in()
        for path, text in (
            ("clients", NOBODY),
            ("servers", "Switch off"),
            ("calls", "No call of the last 24 hours is in the log"),
        ):
            page.follow(path)
            page.sees(text)
        page.follow("")
        page.sees("Who is here")
        os.kill(page.gateway.pid, signal.SIGSTOP)
        try:
            page.sees("stale")
            page.sees("The gateway does not answer. It was heard last at ")
            for path, text in (("clients", NOBODY), ("servers", "Switch off"), ("", "Who is here")):
                page.follow(path)
                page.sees(text)
            told = page.browser.run(FOOTER)
            sleep(2.1)
            assert page.browser.run(FOOTER) == told  # nobody knows whether it is still up
        finally:
            os.kill(page.gateway.pid, signal.SIGCONT)
        page.sees_no_more("stale")
        page.sees_no_more("The gateway does not answer")


class OverviewTests:
    """The first page."""

    def test_figures(self, page: Page) -> None:
        """It tells how long calls take, and those of each server; a server that fails is told with its beginning."""
        command(page.gateway, "tools", "call", "clock__echo", "text=x")
        command(page.gateway, "servers", "start", "broken", check=False)
        page.show()
        page.sees("Durations, and per server")
        page.browser.run(f"{PER_SERVER}.querySelector('summary').click(); 0")
        page.sees("p95")
        eventually(
            lambda: "clock" in page.browser.run(f"{PER_SERVER}.innerText"),
            "the calls of the server are there",
        )
        assert "since " in page.browser.run("document.querySelector('.needs').innerText")
        urgent = "document.querySelector('nav.pages a[href$=\"{}\"] .bad')?.innerText"
        assert page.browser.run(urgent.format("/servers")).split()[0] == "1"
        assert page.browser.run(urgent.format("/gateway")) is None


class MessageTests:
    """The outcome of an act, and the dialog that asks who may."""

    def test_success(self, page: Page) -> None:
        """A success is announced politely, and goes by itself."""
        page.sign_in()
        page.show("servers")
        page.press("Switch off clock")
        page.sees("clock is off")
        assert "clock is off" in page.browser.run(f"{TOLD}[role=status]').innerText")
        page.sees_no_more("clock is off")
        page.press("Switch on clock")
        page.sees("clock is on")

    def test_failure(self, page: Page) -> None:
        """A failure is announced at once, stays on the next page, and is dismissed by a key or a button."""
        page.sign_in()
        for dismiss in (lambda: page.strike("Escape"), lambda: page.press("Dismiss the message")):
            page.show("servers")
            page.browser.run(REFUSING)
            page.press("Switch off clock")
            page.sees("no such luck")
            page.follow("usage")
            page.sees("in tools")
            assert "no such luck" in page.browser.run(f"{TOLD}[role=alert]').innerText")
            dismiss()
            page.sees_no_more("no such luck")

    def test_sign_in(self, page: Page) -> None:
        """The dialog says what asks for it and why, its field has the focus, and Escape gives the focus back."""
        page.sign_in("--read-only")
        page.show("servers")
        page.press("Switch off clock")
        page.sees("Unlock the dashboard: Switch off clock")
        page.sees("This browser is signed in to look. This takes a sign-in to operate servers.")
        assert page.browser.run("document.activeElement.type") == "password"
        page.strike("Escape")
        page.sees_no_more("Unlock the dashboard")
        eventually(lambda: page.browser.run(FOCUSED) == "Switch off clock", "the focus is back")

    def test_confirmation(self, page: Page) -> None:
        """An administrator whom the gateway asks again is told so, and the pressed button gets the focus back."""
        page.sign_in()
        page.show("servers")
        page.browser.run(REFUSING.replace("409", "401"))
        page.press("Switch off clock")
        page.sees("Unlock the dashboard: Switch off clock")
        page.sees("it was confirmed more than a quarter of an hour ago")
        page.strike("Escape")
        eventually(lambda: page.browser.run(FOCUSED) == "Switch off clock", "the focus is back")


class ServersTests:
    """The table of servers."""

    def test_several(self, page: Page) -> None:
        """Rows are selected, and acted on together; all are stopped after a question."""
        page.sign_in()
        page.show("servers", wait="Switch off")
        for name in ("clock", "broken"):
            page.browser.run(f"document.querySelector('input[aria-label=\"Select {name}\"]').click(); 0")
        page.sees("2 selected")
        page.press("Switch off the selected")
        page.sees("2 servers switched off")
        page.press("Switch on the selected")
        page.sees("2 servers switched on")
        command(page.gateway, "servers", "start", "clock")
        page.press("Stop all")
        page.sees("The next request of a client starts its server again.")
        page.press("Stop all")
        page.sees("stopped")
        assert page.gateway.children() == []

    def test_columns(self, page: Page) -> None:
        """A column that is left out is left out at the next visit, too, and lists filter the rows."""
        page.show("servers", wait="Tokens")
        page.browser.run("document.querySelector('.columns summary').click(); 0")
        page.browser.run(f"{COLUMN}.click(); 0")
        eventually(lambda: "Tokens" not in page.browser.run(HEADS), "the column is gone")
        page.show("servers", wait="Source")
        assert "Tokens" not in page.browser.run(HEADS)
        assert "Restarts" not in page.browser.run(HEADS)  # left out unless it is asked for
        page.choose("label.choice select", str(page.gateway.config))
        page.sees("3 servers")

    def test_keys(self, page: Page) -> None:
        """Keys act on the server of the row with the focus."""
        page.sign_in()
        page.show("servers", wait="clock")
        page.browser.run("document.querySelector('tr[data-id=clock] th a').focus(); 0")
        page.strike("d")
        page.sees("Switch on")
        page.strike("d")
        page.sees("clock is on")
        page.sees_no_more("Switch on")
        page.strike("s")
        page.sees("clock is started")
        page.strike("l")
        eventually(lambda: "servers/clock/logs" in page.browser.run("location.pathname"), "its log is shown")


class KeyTests:
    """Keys and links of rows."""

    def test_rows(self, page: Page) -> None:
        """Rows are stepped through from anywhere on a page, and Backspace leads back to the row."""
        page.show("servers")
        page.sees("Switch off")
        page.strike("j", "j", "k")
        first = page.browser.run("document.querySelector('tbody th a').pathname")
        assert page.browser.run("document.activeElement.pathname") == first
        page.strike("Enter")
        page.sees("from")
        assert page.browser.run("location.pathname") == first
        page.strike("Backspace")
        eventually(lambda: page.browser.run("location.pathname") == "/ui/servers", "it is back")
        eventually(
            lambda: page.browser.run("document.activeElement.pathname") == first, "its row has the focus"
        )

    def test_a_call(self, page: Page) -> None:
        """The tool of a call leads to the call."""
        command(page.gateway, "tools", "call", "clock__echo", "text=x")
        page.sign_in()
        page.show("calls", wait="echo")
        page.press("echo")
        eventually(lambda: "/ui/calls/" in page.browser.run("location.pathname"), "the call is shown")

    def test_bidi(self, page: Page) -> None:
        """The title of the window shows control characters of a name as the page does."""
        page.show("servers/%E2%80%AEevil")
        assert page.browser.run("document.title") == "\\u{202e}evil · mcpgateway"


class SizeTests:
    """What is long, and windows that are narrow."""

    @pytest.mark.parametrize("width", [1440, 820, 390])
    def test_long_name(self, page: Page, width: int) -> None:
        """A name without a break widens no page and no table."""
        command(page.gateway, "tools", "call", f"{LONG}__echo", "text=x", check=False)
        command(page.gateway, "servers", "start", LONG)
        page.sign_in()
        page.look(width, "light")
        pages = ("", "servers", f"servers/{LONG}", f"servers/{LONG}/settings", f"servers/{LONG}/tools", "tools",
                 "calls", "usage", "clients")  # fmt: skip
        assert page.faults(*pages) == {}
        page.show("servers", wait=LONG[:20])
        assert page.browser.run(WIDEST) < 400

    def test_long_result(self, page: Page) -> None:
        """Of a long result the beginning is drawn, and the whole on demand."""
        page.show("tools/clock__big", wait="bytes")
        page.type("#argument-bytes", "60000")
        page.press("Call")
        page.agree()
        page.sees("Show all 60,000 characters")
        assert page.browser.run("document.querySelector('main').textContent.length") < 40_000
        page.press("Show all 60,000 characters")
        eventually(
            lambda: page.browser.run("document.querySelector('main pre').textContent.length") > 60_000, "all"
        )

    def test_narrow(self, page: Page) -> None:
        """A telephone has five pages in its bar, and the further ones behind a button."""
        page.look(390, "light")
        page.show()
        assert page.browser.run(IN_BAR) == ["Overview", "Servers", "Tools", "Calls", "Clients"]
        page.press("More")
        assert "Access" in page.browser.run(IN_BAR)
        page.follow("usage")
        page.sees("Calls of the last")
        assert "Access" not in page.browser.run(IN_BAR)


def _freshness(page: Page) -> str:
    found: str = page.browser.run("document.querySelector('.freshness')?.innerText")
    return found
