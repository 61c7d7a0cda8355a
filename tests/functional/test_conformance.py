"""The official conformance suite against a running gateway with a server behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import conformance
from tests.support.gateway import Gateway, server

pytestmark = pytest.mark.functional

AT_LEAST = 30  # scenarios that count, in either version of the suite; fewer means that it did not run


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with the server that the suite expects."""
    with Gateway(tmp_path, {"conf": server(conformance.server(), interactive=True)}) as running:
        yield running


class ConformanceTests:
    """What the suite says of a server that is reached through the gateway."""

    def test_the_active_suite(self, gateway: Gateway, tmp_path: Path) -> None:
        """Every scenario of the released suite passes."""
        report = conformance.judged(f"{gateway.url}/conf/mcp", tmp_path / "results", suite="0-1")
        assert report.code == 0, report.told
        assert report.proven == set(report.scenarios), report.told
        assert len(report.proven) >= AT_LEAST, report.told

    def test_the_requirements_of_the_last_revision_with_a_handshake(
        self, gateway: Gateway, tmp_path: Path
    ) -> None:
        """Every scenario passes that the coming suite requires of a server of 2025-11-25."""
        revision = "2025-11-25"
        report = conformance.judged(
            f"{gateway.url}/conf/mcp", tmp_path / "results", "--requirements", revision, suite="0-2"
        )
        assert report.code == 0, report.told
        assert conformance.required(revision) <= report.proven, report.told
        assert len(report.proven) >= AT_LEAST, report.told
