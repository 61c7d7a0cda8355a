"""What the tests of releases share."""

from __future__ import annotations

import pytest

from tests.support import releases
from tests.support.releases import Release


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of this checkout, rehearsed."""
    return releases.made(tmp_path_factory.mktemp("release"))
