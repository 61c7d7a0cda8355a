"""The built documentation in a real Chromium: widths, both modes, the search, drawings, and no other host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, Browser
from tests.support.pages import DOCS, ROOT

sys.path.insert(0, str(DOCS / "_ext"))
from moved import MOVED

AXE = Path(__file__).parent / "npm" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = 1440, 390

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: make test-browser installs it"),
    pytest.mark.skipif(not AXE.exists(), reason="there is no axe: make test-browser installs it"),
]

VIOLATIONS = """axe.run().then(found => found.violations.map(
    each => [each.id, each.nodes.length, each.nodes[0].html.slice(0, 200)]))"""
ADDRESSES = """[
    ...performance.getEntriesByType("resource").map(each => each.name),
    ...[...document.querySelectorAll("[src], link[href]")].map(each => each.src || each.href)]"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# The results come one after the other; the summary says when all are there.
FOUND = """new Promise(resolve => {
    const look = () => {
        const summary = document.querySelector(".search-summary")
        const titles = [...document.querySelectorAll("#search-results li > a")].map(each => each.textContent)
        summary && titles.length && !/Searching/.test(document.body.innerText)
            ? resolve(titles) : setTimeout(look, 50)
    }
    look()
})"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the built pages."""
    target = tmp_path_factory.mktemp("docs")
    argv = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "-d", str(target / "trees"), "-b", "html"]
    subprocess.run([*argv, str(DOCS), str(target / "html")], cwd=ROOT, check=True)
    return target / "html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests."""
    with Browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def looks(browser: Browser, width: int, mode: str) -> None:
    """Give the browser a width and a colour scheme."""
    browser.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
    )
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])


class PageTests:
    """Every page."""

    @pytest.mark.parametrize(("width", "mode"), [(WIDE, "light"), (NARROW, "dark")])
    def test_every_page(self, built: Path, browser: Browser, width: int, mode: str) -> None:
        """A page is as wide as the window at most, asks no other host, and axe finds nothing."""
        looks(browser, width, mode)
        pages = [
            each for each in sorted(built.rglob("*.html")) if str(each.relative_to(built))[:-5] not in MOVED
        ]
        assert len(pages) > 50
        wrong = {}
        for page in pages:
            browser.go(page.as_uri())
            browser.run(f"{AXE.read_text()}; 0")
            found = browser.run(VIOLATIONS)
            found += [each for each in browser.run(ADDRESSES) if not each.startswith(("file:", "data:"))]
            found += [f"{over} pixels too wide"] if (over := browser.run(OVERFLOW)) > 0 else []
            if found:
                wrong[str(page.relative_to(built))] = found
        assert wrong == {}

    def test_the_search(self, built: Path, browser: Browser) -> None:
        """The search finds a page without a server."""
        browser.go(f"{(built / 'search.html').as_uri()}?q=circuit+breaker")
        assert "Troubleshooting" in browser.run(FOUND)
        for word in ("token", "rotate"):
            browser.go(f"{(built / 'search.html').as_uri()}?q={word}")
            browser.run(FOUND)
            links = browser.run(
                "[...document.querySelectorAll('#search-results li > a')].map(each => each.href)"
            )
            assert [each for each in links if "/decisions/" in each] == []

    def test_former_addresses(self, built: Path, browser: Browser) -> None:
        """A page at a former address leads to a section that exists."""
        for present in MOVED.values():
            page, _, anchor = present.partition("#")
            text = (built / page).read_text(encoding="utf-8")
            assert not anchor or f'id="{anchor}"' in text, present
        browser.go((built / "howto" / "adopt.html").as_uri())
        arrived = """new Promise(resolve => {
            const look = () => document.title.startsWith("Clients") ? resolve(location.href) : setTimeout(look, 50)
            look()
        })"""
        assert json.dumps(browser.run(arrived)).endswith('clients.html"')
