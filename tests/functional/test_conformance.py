"""The part of the official conformance suite that ``make test-long`` runs; ``make conformance`` runs all of it.

# Note [What counts]
A scenario counts when something in it succeeded and nothing failed, was skipped or was warned of.  Nothing is
expected to fail but what cannot be had across the eras; and a scenario that did not run is missed by its name or by
their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import Subject
from tests.support import conformance, real_servers
from tests.support.conformance import Course
from tests.support.gateway import Gateway, server

pytestmark = pytest.mark.functional

LEGACY, MODERN = conformance.REVISIONS
COUNTED = {LEGACY: 30, MODERN: 37}  # scenarios that a revision requires of a server
SKIPPED = {"tasks-status-notifications"}  # by the suite itself, whatever the server does
DOCUMENTED = Path(__file__).parents[2] / "docs" / "explanation" / "eras.rst"

SDK = Subject("sdk", real_servers.scenarios(), real_servers.scenarios("--port", "{port}"))
FIRST = {  # what failed on a fresh home, and passed from the second time on
    "sampling": [Course("0-2", LEGACY, ("tools-call-sampling",))],
    "elicitation": [Course("0-2", LEGACY, ("tools-call-elicitation",))],
    "stateless": [
        Course("0-2", LEGACY, ("tools-call-simple-text",)),
        Course("0-2", MODERN, ("server-stateless", "input-required-result-basic-elicitation")),
    ],
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A fresh gateway with a server of the Python SDK for each course, on stdio and behind a URL, shared by default."""
    with SDK.served() as url:
        servers = {f"{name}-stdio": server(SDK.stdio, env={"COURSE": name}) for name in FIRST}
        servers |= {f"{name}-url": {"url": f"{url}?{name}"} for name in FIRST}
        with Gateway(tmp_path_factory.mktemp("fresh"), servers) as running:
            yield running


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of all servers at a gateway that has one, of both eras and shared by default."""
    servers = {"both": server(conformance.server(), prefix="")}
    with Gateway(tmp_path_factory.mktemp("full"), servers) as running:
        yield f"{running.url}/mcp/full"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a server of each era."""
    servers = {era: server(conformance.server(era)) for era in ("legacy", "modern")}
    with Gateway(tmp_path_factory.mktemp("bridge"), servers, settings={"bridge": "always"}) as running:
        yield running


class FirstTests:
    """The first requests to a server that no client has used yet pass."""

    @pytest.mark.parametrize("transport", ["stdio", "url"])
    @pytest.mark.parametrize("name", FIRST)
    def test_on_a_fresh_home(self, fresh: Gateway, tmp_path: Path, name: str, transport: str) -> None:
        """At the server's own endpoint."""
        for each in FIRST[name]:
            report = each.run(f"{fresh.url}/{name}-{transport}/mcp", tmp_path / each.revision)
            assert each.faults(report) == set(), report.told


class RevisionTests:
    """Requirements of the coming suite, at the endpoint of all servers and across the eras."""

    @pytest.mark.parametrize("revision", [LEGACY, MODERN])
    def test_on_a_view(self, full: str, tmp_path: Path, revision: str) -> None:
        """All of it passes, and what does not count yet."""
        expect_required(requirements(full, tmp_path, revision), revision)

    def test_legacy_at_a_modern_server(self, gateway: Gateway, tmp_path: Path) -> None:
        """Legacy clients find nothing missing at a server that speaks only the modern era."""
        expect_required(requirements(f"{gateway.url}/modern/mcp", tmp_path, LEGACY), LEGACY)

    def test_modern_at_a_legacy_server(self, gateway: Gateway, tmp_path: Path) -> None:
        """Modern clients get all that a legacy server can be brought to, and it is written down what that is not."""
        course = next(each for each in conformance.courses() if each.revision == MODERN)
        report = course.run(f"{gateway.url}/legacy/mcp", tmp_path / "course", conformance.UNBRIDGED)
        assert {name for name, _ in course.faults(report)} == conformance.UNBRIDGED, report.told

    def test_it_is_written_down(self) -> None:
        """Scenarios that cannot be bridged stand in the documentation."""
        said = DOCUMENTED.read_text()
        assert [name for name in conformance.UNBRIDGED if f"``{name}``" not in said] == []


def expect_required(report: conformance.Report, revision: str) -> None:
    """The scenarios that a revision requires have passed, and no others have failed."""
    assert report.code == 0, report.told
    assert set(report.failed) <= SKIPPED, report.told  # not even in a scenario that does not count yet
    assert conformance.required(revision) <= report.proven, report.told
    assert len(conformance.required(revision)) >= COUNTED[revision]


def requirements(url: str, directory: Path, revision: str) -> conformance.Report:
    """The results of the coming suite for an endpoint, as to what it requires of a server of the revision."""
    return conformance.judged(url, directory / "results", "--requirements", revision, suite="0-2")
