"""The official conformance suite against a running gateway with a server behind it, in both its versions.

# Note [What counts]
A scenario counts when something in it succeeded and nothing failed, was skipped or was warned of.  Nothing is expected
to fail, so there is no list of expected failures; and a scenario that did not run is missed by its name or by their
number.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import conformance
from tests.support.gateway import Gateway, server

pytestmark = pytest.mark.functional

LEGACY, MODERN = "2025-11-25", "2026-07-28"
COUNTED = {LEGACY: 30, MODERN: 37}  # scenarios that a revision requires of a server
ASKING = {  # its client is asked something, which the client of a shared child cannot be
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
    "tools-call-elicitation",
    "tools-call-sampling",
}
SKIPPED = {"tasks-status-notifications"}  # by the suite itself, whatever the server does
DOCUMENTED = Path(__file__).parents[2] / "docs" / "explanation" / "eras.rst"
UNBRIDGED = {  # as the documentation says, with the reasons
    "input-required-result-basic-elicitation",
    "input-required-result-ignore-extra-params",
    "input-required-result-multiple-input-requests",
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with the server that the suite expects: a child of each session, one for all, and one of each era."""
    program = conformance.server()
    servers = {
        "own": server(program, interactive=True),
        "shared": server(program, share="global"),
        "legacy": server(conformance.server("legacy"), interactive=True),
        "modern": server(conformance.server("modern")),
    }
    with Gateway(tmp_path, servers, settings={"bridge": "always"}) as running:
        yield running


@pytest.fixture
def endpoints(gateway: Gateway, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The endpoint of one server, and that of all servers at a gateway that has this one, under its own names."""
    directory = tmp_path / "full"
    directory.mkdir()
    servers = {"own": server(conformance.server(), interactive=True, prefix="")}
    with Gateway(directory, servers, settings={"bridge": "always"}) as full:
        yield {"own": f"{gateway.url}/own/mcp", "full": f"{full.url}/mcp/full"}


class ConformanceTests:
    """What the suite says of a server that is reached through the gateway, at its own endpoint and at that of all."""

    def test_the_active_suite(self, endpoints: dict[str, str], tmp_path: Path) -> None:
        """Every scenario of the released suite passes."""
        for report in judged(endpoints, tmp_path, suite="0-1"):
            expect_all(report, 30)

    @pytest.mark.parametrize("revision", [LEGACY, MODERN])
    def test_the_requirements_of_a_revision(
        self, endpoints: dict[str, str], tmp_path: Path, revision: str
    ) -> None:
        """Every scenario passes that the coming suite requires of a server, and those that do not count yet."""
        for report in judged(endpoints, tmp_path, "--requirements", revision, suite="0-2"):
            expect_required(report, revision)

    def test_a_shared_child(self, gateway: Gateway, tmp_path: Path) -> None:
        """A child that all sessions share passes whatever asks its client nothing."""
        report = requirements(f"{gateway.url}/shared/mcp", tmp_path, LEGACY)
        assert set(report.failed) <= ASKING, report.told
        assert conformance.required(LEGACY) - ASKING <= report.proven, report.told
        assert gateway.backend("shared")["starts"] == 1

    def test_a_shared_child_of_the_modern_era(self, gateway: Gateway, tmp_path: Path) -> None:
        """In the modern era one child serves everybody whole, whatever it asks."""
        expect_required(requirements(f"{gateway.url}/modern/mcp", tmp_path, MODERN), MODERN)
        assert gateway.backend("modern")["starts"] == 1


class BridgeTests:
    """What it says where client and server are of different eras."""

    def test_the_active_suite_at_a_modern_server(self, gateway: Gateway, tmp_path: Path) -> None:
        """Legacy clients find nothing missing at a server that speaks only the modern era."""
        expect_all(conformance.judged(f"{gateway.url}/modern/mcp", tmp_path / "results", suite="0-1"), 30)

    def test_legacy_requirements_at_a_modern_server(self, gateway: Gateway, tmp_path: Path) -> None:
        """Nor does the coming suite."""
        expect_required(requirements(f"{gateway.url}/modern/mcp", tmp_path, LEGACY), LEGACY)

    def test_modern_requirements_at_a_legacy_server(self, gateway: Gateway, tmp_path: Path) -> None:
        """Modern clients get all that a legacy server can be brought to, and it is written down what that is not."""
        report = requirements(f"{gateway.url}/legacy/mcp", tmp_path, MODERN)
        assert conformance.required(MODERN) - UNBRIDGED <= report.proven, report.told
        failed = {name for name in report.failed if not name.startswith("tasks-")}  # an extension it has not
        assert failed == UNBRIDGED, report.told

    def test_it_is_written_down(self) -> None:
        """What cannot be bridged stands in the documentation."""
        said = DOCUMENTED.read_text()
        assert [name for name in UNBRIDGED if f"``{name}``" not in said] == []


def judged(endpoints: dict[str, str], directory: Path, *options: str, suite: str) -> list[conformance.Report]:
    """What the suite says of several endpoints, which it mostly waits for: so it is asked of all at the same time."""

    def of(name: str) -> conformance.Report:
        results = directory / f"results-{name}"
        return conformance.judged(endpoints[name], results, *options, suite=suite)

    with ThreadPoolExecutor(len(endpoints)) as pool:
        return list(pool.map(of, endpoints))


def expect_all(report: conformance.Report, least: int) -> None:
    """Everything that ran has passed, and that was enough."""
    assert report.code == 0, report.told
    assert report.failed == {}, report.told
    assert report.proven == set(report.scenarios), report.told
    assert len(report.proven) >= least, report.told


def expect_required(report: conformance.Report, revision: str) -> None:
    """What a revision requires has passed, and nothing else has failed."""
    assert report.code == 0, report.told
    assert set(report.failed) <= SKIPPED, report.told  # not even in a scenario that does not count yet
    assert conformance.required(revision) <= report.proven, report.told
    assert len(conformance.required(revision)) >= COUNTED[revision]


def requirements(url: str, directory: Path, revision: str) -> conformance.Report:
    """What the coming suite says of an endpoint, as to what it requires of a server of the revision."""
    return conformance.judged(url, directory / "results", "--requirements", revision, suite="0-2")
