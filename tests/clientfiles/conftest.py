"""Fixtures for changes of clients' files."""

import time

import pytest

from mcpgateway.clientfiles.disk import Disk


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Let the waits of a change pass at once, by a clock that each test begins anew."""
    slept_s = 0.0

    def sleep(_: Disk, seconds: float) -> None:
        nonlocal slept_s
        slept_s += seconds

    monkeypatch.setattr(Disk, "sleep", sleep)
    monkeypatch.setattr(Disk, "now", lambda _: time.time() + slept_s)
