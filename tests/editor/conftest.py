"""A browser in which tests open windows of an editor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all windows of a module."""
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made
