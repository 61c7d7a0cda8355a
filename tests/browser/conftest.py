"""A browser at the dashboard of a module's gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.dashboard import Page
from tests.support.gateway import Gateway


@pytest.fixture
def page(gateway: Gateway, tmp_path: Path) -> Iterator[Page]:
    """A browser that has never been there."""
    with Browser(tmp_path) as browser:
        browser.ask(
            "Emulation.setDeviceMetricsOverride", width=1440, height=900, deviceScaleFactor=1, mobile=False
        )
        yield Page(browser, gateway)
