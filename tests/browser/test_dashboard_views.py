"""Endpoints for several servers, profiles, and calls in the background on the dashboard, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dashboard import IN_A_BROWSER, TEXT, Page, command
from tests.support.gateway import Gateway, server
from tests.support.real_servers import fixture, time

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two servers, whose tools are known."""
    with Gateway(
        tmp_path_factory.mktemp("views"),
        {"clock": server(time()), **{each: server(fixture()) for each in ("other", "third")}},
    ) as made:
        command(made, "tools", "list")
        yield made


class ProfileTests:
    """Profiles."""

    def test_from_nothing_to_an_address(self, page: Page) -> None:
        """A profile is made of servers that are there, has an address with their tools, changes, and goes."""
        page.sign_in()
        page.show("tools", wait="/mcp/search")
        page.press("New profile")
        page.type("#profile-name", "reading")
        page.browser.run(
            "[...document.querySelectorAll('dialog label')].find(each => each.innerText.trim() === 'other').click(); 0"
        )
        page.type("#profile-off", "slee*\nother__echo")
        page.press("Save")
        page.sees("/mcp/p/reading")
        page.press("Tools of /mcp/p/reading")
        page.sees("other__pid")
        listed = page.browser.run(TEXT)
        assert "other__echo" not in listed.partition("A client that takes")[2].partition("Tools that were")[0]
        page.press("Change reading")
        page.type("#profile-description", "To read")
        page.press("Save")
        page.sees_no_more("Profile reading")
        assert "To read" in page.gateway.config.read_text()
        page.press("Delete reading")
        page.press("Delete")
        page.sees_no_more("/mcp/p/reading")

    def test_a_clients_limit(self, page: Page) -> None:
        """A list that is longer than a client takes says which tools the client leaves out."""
        page.show("tools", wait="/mcp/full")
        page.press("Tools of /mcp/full")
        page.sees("clock__get_current_time")
        page.choose("section select", "40")
        page.sees("40 tools at /mcp/full, ")
        page.sees("Left out")


class JobTests:
    """Calls in the background."""

    def test_cancelled(self, page: Page) -> None:
        """A call in the background is listed on the page of the gateway, and is cancelled there."""
        command(
            page.gateway, "tools", "call", "gateway_invoke_async", "id=other__sleep", 'args={"ms": 60000}'
        )
        page.sign_in()
        page.show("gateway", wait="other__sleep")
        page.sees("running")
        name = page.browser.run("document.querySelector('[aria-label^=\"Cancel other__sleep\"]').ariaLabel")
        page.press(name)
        page.sees("cancelled")
