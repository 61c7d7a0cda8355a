"""The command palette and the keys of the dashboard in a real Chromium, by the keyboard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.dashboard import AXE, IN_A_BROWSER, VIOLATIONS, Page, command
from tests.support.gateway import Gateway, eventually, server
from tests.support.real_servers import fixture, time

pytestmark = IN_A_BROWSER
FIELD = ".palette input"
CHOSEN = "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.innerText"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server that works, one with tools of other names, and one that cannot start."""
    servers = {"clock": server(time()), "other": server(fixture()), "broken": server(["/nowhere/server"])}
    directory = tmp_path_factory.mktemp("palette")
    (directory / ".cursor").mkdir()
    (directory / ".cursor" / "mcp.json").write_text('{"mcpServers": {}}')
    with Gateway(directory, servers) as made:
        command(made, "servers", "start", "clock")
        yield made


def search(page: Page, words: str, finds: str) -> None:
    """Open the palette, type words, and wait until the row that Enter would choose is the right one."""
    page.strike("k", is_control=True)
    page.type(FIELD, words)
    eventually(lambda: finds in (page.browser.run(CHOSEN) or ""), f"{words} finds {finds}")


def at(page: Page, path: str) -> None:
    """Wait until a page is shown."""
    eventually(lambda: page.browser.run("location.pathname") == f"/ui/{path}", f"/ui/{path} is shown")


class PaletteTests:
    """Ctrl K."""

    def test_going(self, page: Page) -> None:
        """Pages, servers, their tabs and tools are found by words in any order, and Enter leads to them."""
        page.show()
        search(page, "usage", "Usage")
        page.strike("Enter")
        at(page, "usage")
        assert page.browser.run("document.activeElement.id") == "main"
        search(page, "log clo", "Log of clock")
        page.strike("Enter")
        at(page, "servers/clock/logs")
        search(page, "convert", "convert_time")
        page.strike("Enter")
        at(page, "tools/clock__convert_time")
        page.strike("k", is_control=True)
        page.type(FIELD, "cursor")
        page.sees("client without the gateway")
        page.strike("Escape")
        eventually(lambda: not page.browser.run("document.querySelectorAll('dialog').length"), "it is closed")
        search(page, "brken", "broken")  # a letter is missing
        page.strike("Enter")
        at(page, "servers/broken")

    def test_rows(self, page: Page) -> None:
        """The arrows choose a row around both ends; words without a row say so; Escape gives the focus back."""
        page.show("servers", wait="clock")
        page.browser.run("document.querySelector('.filter').focus(); 0")
        page.strike("k", is_control=True)
        page.type(FIELD, "clock")
        page.sees("Stop clock")
        first = page.browser.run(CHOSEN)
        page.strike("ArrowDown")
        second = page.browser.run(CHOSEN)
        page.strike("ArrowUp")
        assert second != page.browser.run(CHOSEN) == first
        page.strike("ArrowUp", "ArrowDown")
        assert page.browser.run(CHOSEN) == first
        page.type(FIELD, " zzzz")
        page.sees("Nothing is found.")
        page.strike("Enter")
        page.sees("Nothing is found.")
        page.strike("Escape")
        page.sees_no_more("Nothing is found.")
        assert page.browser.run("document.activeElement.matches('.filter')")

    def test_acting(self, page: Page) -> None:
        """An operation asks for the rights that it needs, and tells its outcome; one that ends something asks first."""
        page.show()
        search(page, "restart clock", "Restart clock")
        page.strike("Enter")
        page.sees("Unlock the dashboard")
        page.type("dialog input[type=password]", command(page.gateway, "ui", "--code").strip())
        page.strike("Enter")
        page.sees("clock is started")
        search(page, "off other", "Switch off other")
        page.strike("Enter")
        page.sees("other is off")
        search(page, "on other", "Switch on other")
        page.strike("Enter")
        page.sees("other is on")
        search(page, "try broken", "Try now: broken")
        page.strike("Enter")
        page.sees("broken could not be started")
        search(page, "shut", "Shut down the gateway")
        page.strike("Enter")
        page.sees("enrolled clients get their own servers back")
        page.strike("Escape")
        search(page, "sign out", "Sign out")
        page.strike("Enter")
        page.sees_no_more("Sign out")

    def test_button(self, page: Page) -> None:
        """The field in the head opens it, too, and what needs the user stands first."""
        page.show()
        page.browser.run("document.querySelector('button.search').focus(); document.activeElement.click()")
        eventually(
            lambda: "Change command of broken" in (page.browser.run(CHOSEN) or ""),
            "what needs the user stands first",
        )
        page.strike("k", is_control=True)
        eventually(lambda: not page.browser.run("document.querySelectorAll('dialog').length"), "it is closed")
        assert page.browser.run("document.activeElement.matches('button.search')")

    @pytest.mark.parametrize("mode", ["light", "dark"])
    def test_for_everyone(self, page: Page, mode: str) -> None:
        """Axe finds nothing in the palette, with rows and without, and in the list of keys; both fit a telephone."""
        for width in (1440, 390):
            page.browser.ask(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            page.browser.ask(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}]
            )
            page.show()
            page.browser.run(f"{AXE.read_text()}; 0")
            search(page, "clock", "clock")
            assert page.browser.run(VIOLATIONS) == []
            page.type(FIELD, " zzzz")
            page.sees("Nothing is found.")
            assert page.browser.run(VIOLATIONS) == []
            page.strike("Escape")
            page.press("Keys")
            page.sees("Keys of one character")
            assert page.browser.run(VIOLATIONS) == []
            wide = (
                "document.querySelector('dialog').scrollWidth - document.querySelector('dialog').clientWidth"
            )
            assert page.browser.run(wide) <= 0


class KeysTests:
    """Keys of one character."""

    def test_list_and_switch(self, page: Page) -> None:
        """The list of keys opens by its key; switched off, keys of one character do nothing, also on later visits."""
        page.show()
        page.strike("?")
        page.sees("The row before")
        page.browser.run("document.querySelector('dialog input[type=checkbox]').click(); 0")
        page.sees_no_more("The row before")
        page.strike("Escape")
        page.show("servers", wait="clock")
        page.strike("g", "o", "?")
        page.browser.run("document.querySelector('.rows').focus(); 0")
        page.strike("j")
        assert page.browser.run("location.pathname") == "/ui/servers"
        assert page.browser.run("document.activeElement.matches('.rows')")
        assert page.browser.run("document.querySelectorAll('dialog').length") == 0
        search(page, "show keys", "Show the keys")
        page.strike("Enter")
        page.sees("Keys of one character")
        page.browser.run("document.querySelector('dialog input[type=checkbox]').click(); 0")
        page.sees("The row before")
        page.strike("Escape")
        page.sees_no_more("The row before")
        page.strike("g", "o")
        at(page, "")


def test_the_chunk_is_not_loaded_at_first(page: Page) -> None:
    """The palette's script is fetched when the palette is first opened."""
    loaded = "JSON.stringify(performance.getEntriesByType('resource').map(each => each.name))"
    page.show()
    before = json.loads(page.browser.run(loaded))
    assert not [each for each in before if "/rare." in each]
    search(page, "usage", "Usage")
    assert [each for each in json.loads(page.browser.run(loaded)) if "/rare." in each]
