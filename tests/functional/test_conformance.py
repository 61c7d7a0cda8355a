"""The official conformance suite against a running gateway with a server behind it, in both its versions.

# Note [What counts]
A scenario counts when something in it succeeded and nothing failed, was skipped or was warned of.  Nothing is expected
to fail, so there is no list of expected failures; and a scenario that did not run is missed by its name or by their
number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import conformance
from tests.support.gateway import Gateway, server

pytestmark = pytest.mark.functional

REVISION = "2025-11-25"
COUNTED = 30  # scenarios that count, in either version of the suite
ASKING = {  # its client is asked something, which the client of a shared child cannot be
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "tools-call-elicitation",
    "tools-call-sampling",
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with the server that the suite expects, as a child of each session and as one for all."""
    program = conformance.server()
    servers = {"own": server(program, interactive=True), "shared": server(program, share="global")}
    with Gateway(tmp_path, servers) as running:
        yield running


class ConformanceTests:
    """What the suite says of a server that is reached through the gateway."""

    def test_the_active_suite(self, gateway: Gateway, tmp_path: Path) -> None:
        """Every scenario of the released suite passes."""
        report = conformance.judged(f"{gateway.url}/own/mcp", tmp_path / "results", suite="0-1")
        assert report.code == 0, report.told
        assert report.failed == {}, report.told
        assert report.proven == set(report.scenarios), report.told
        assert len(report.proven) >= COUNTED, report.told

    def test_the_requirements_of_the_last_revision_with_a_handshake(
        self, gateway: Gateway, tmp_path: Path
    ) -> None:
        """Every scenario passes that the coming suite requires of a server of 2025-11-25."""
        report = requirements(f"{gateway.url}/own/mcp", tmp_path)
        assert report.code == 0, report.told
        assert report.failed == {}, report.told  # not even in a scenario that does not count yet
        assert conformance.required(REVISION) <= report.proven, report.told
        assert len(conformance.required(REVISION)) >= COUNTED

    def test_a_shared_child(self, gateway: Gateway, tmp_path: Path) -> None:
        """A child that all sessions share passes whatever asks its client nothing."""
        report = requirements(f"{gateway.url}/shared/mcp", tmp_path)
        assert set(report.failed) <= ASKING, report.told
        assert conformance.required(REVISION) - ASKING <= report.proven, report.told
        assert gateway.backend("shared")["starts"] == 1


def requirements(url: str, directory: Path) -> conformance.Report:
    """What the coming suite says of an endpoint, as to what it requires of a server of the revision."""
    return conformance.judged(url, directory / "results", "--requirements", REVISION, suite="0-2")
