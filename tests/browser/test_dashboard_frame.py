"""The frame of all pages in a real Chromium: its tabs, what is live, and what the gateway's absence leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from time import sleep

import pytest

from tests.support.dashboard import IN_A_BROWSER, Page
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_A_BROWSER
NOBODY = "No client has a session now."
FOOTER = "document.querySelector('footer').innerText"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server that works."""
    with Gateway(tmp_path_factory.mktemp("frame"), {"clock": server(fixture())}) as made:
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
        for path, text in (("clients", NOBODY), ("servers", "Switch off"), ("calls", "No call is in the log")):
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


def _freshness(page: Page) -> str:
    found: str = page.browser.run("document.querySelector('.freshness')?.innerText")
    return found
