"""The names of browsers in lists of sign-ins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.manage.browsers import LONGEST, browser_name

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox 140 on Linux",
        ),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/150.0.0.0 Safari/537.36", "Chrome 150 on Linux"),
        (
            f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/150.0.0.0 Safari/537.36",
            "Chrome 150 on Linux",
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/150.0.0.0 Safari/537.36 Edg/150.0.1.2",
            "Edge 150 on Windows",
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/26.1 Safari/605.1.15",
            "Safari 26 on macOS",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) {APPLE} Version/26.0 Mobile/15E148 Safari/604.1",
            "Safari 26 on iPhone",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 16; Pixel 9) {WEBKIT} Chrome/150.0.0.0 Mobile Safari/537.36",
            "Chrome 150 on Android",
        ),
        ("curl/8.14.1", "curl 8.14.1"),
        ("", ""),
        ("\x1b[31m evil", ""),
    ],
)
def test_names(agent: str, name: str) -> None:
    """A browser is named with its major version and its system, and another program by its first product."""
    assert browser_name(agent) == name


@given(st.text())
def test_any_header(agent: str) -> None:
    """Any header has a short name of printable characters."""
    name = browser_name(agent)
    assert len(name) <= LONGEST + 20
    assert name.isprintable()
