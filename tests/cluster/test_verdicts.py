"""Tests of the verdicts on servers that the nodes of a cluster share, against a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from mcpgateway.cluster.document_files import DocumentFiles
from mcpgateway.cluster.documents import Documents
from mcpgateway.cluster.membership import Membership
from mcpgateway.cluster.sealing import Sealing
from mcpgateway.cluster.store import Store
from mcpgateway.cluster.verdicts import LIFE_S, SharedVerdicts
from mcpgateway.system.journal import Journal
from tests.support.cluster_grants import until


class Fellows:
    """Nodes of one store, in this process, with one time of day."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.now = 1e9
        self._dsn, self._directory = dsn, directory
        self.stores: list[Store] = []

    def node(self, name: str) -> tuple[Documents, SharedVerdicts]:
        """Make a node."""
        home = self._directory / name
        home.mkdir()
        store = Store(self._dsn, reactor)
        self.stores.append(store)
        members = Membership.named(store, name, "127.0.0.1:9101", ())
        files = DocumentFiles(str(home), lambda: self.now)
        documents = Documents(store, members, Sealing((bytes(32),)), files)
        journal = Journal(str(home / "journal.db"), lambda: self.now)
        return documents, SharedVerdicts(documents, journal, lambda: self.now)


@pytest.fixture
def fellows(store: str, tmp_path: Path) -> Any:
    made = Fellows(store, tmp_path)
    yield made
    for each in made.stores:
        each.close()


@pytest_twisted.inlineCallbacks
def test_found_out_once(fellows: Fellows) -> Any:
    """What one node has found out about a server another knows, until it is a week old; then it is removed."""
    (ones, one), (twos, two) = fellows.node("one"), fellows.node("two")
    one.judge("launch", "it keeps state")
    assert one.verdict("launch") == "it keeps state"
    yield until(lambda: twos.tick() or two.verdict("launch") == "it keeps state")
    two.judge("launch", "")
    assert two.verdict("launch") == ""
    yield until(lambda: ones.tick() or one.verdict("launch") == "")
    fellows.now += LIFE_S + 1
    assert one.verdict("launch") is None
    one.judge("other", "")
    yield until(lambda: twos.tick() or [each.name for each in twos.all("verdict")] == ["other"])


@pytest_twisted.inlineCallbacks
def test_said_again(fellows: Fellows) -> Any:
    """A verdict that is found out again soon is not written again."""
    documents, verdicts = fellows.node("one")
    verdicts.judge("launch", "")
    yield until(lambda: documents.get("verdict", "launch") is not None and "launch" not in verdicts._behind)
    number = documents.get("verdict", "launch").number
    verdicts.judge("launch", "")
    assert "launch" not in verdicts._behind
    fellows.now += LIFE_S * 0.6
    verdicts.judge("launch", "")
    yield until(lambda: documents.get("verdict", "launch").number > number)
