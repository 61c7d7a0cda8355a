"""The frame of all pages in a real Chromium: its tabs, what is live, and what the gateway's absence leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dashboard import IN_A_BROWSER, Page
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture

pytestmark = IN_A_BROWSER


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


def _freshness(page: Page) -> str:
    found: str = page.browser.run("document.querySelector('.freshness')?.innerText")
    return found
