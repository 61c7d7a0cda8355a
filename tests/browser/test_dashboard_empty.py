"""The dashboard of a gateway without servers, clients and calls, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dashboard import IN_A_BROWSER, LOOKS, TEXT, Page
from tests.support.gateway import Gateway

pytestmark = IN_A_BROWSER
PAGES = ("", "servers", "servers/none", "tools", "tools/none", "calls", "calls/none", "clients", "usage", "access",
         "gateway", "add")  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway without a server."""
    with Gateway(tmp_path_factory.mktemp("empty"), {}) as made:
        yield made


class EmptyTests:
    """Pages without content."""

    @pytest.mark.parametrize(("width", "mode"), LOOKS)
    def test_every_page(self, page: Page, width: int, mode: str) -> None:
        """A page is as wide as the window at most, axe finds nothing, and the browser's console is empty."""
        page.sign_in()
        page.look(width, mode)
        assert page.faults(*PAGES) == {}

    def test_next_step(self, page: Page) -> None:
        """The first page leads to the first server."""
        page.show()
        page.sees("No server is configured yet.")
        page.type("#pasted", "claude mcp add notes -e KEY=a -- npx -y notes-mcp")
        page.sees("The gateway runs, as you, npx -y notes-mcp")
        assert page.browser.run("document.querySelector('form.draft input').value") == "notes"
        page.type_over("#pasted", " ")
        page.press("Add a server")
        page.sees("From the catalogue")
        assert page.browser.run(TEXT).count("undefined") == 0
