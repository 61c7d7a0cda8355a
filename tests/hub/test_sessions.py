"""Sessions that the gateway begins itself, for requests that have none."""

from __future__ import annotations

import pytest

from mcpgateway.protocol.versions import LATEST_LEGACY, LATEST_MODERN, Era
from tests.support.gateway_in_memory import MemoryGateway


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with shared servers."""
    return MemoryGateway()


class SyntheticTests:
    """Sessions whose ids are told to no client."""

    def test_versions(self, gateway: MemoryGateway) -> None:
        """The revision of such a session is the latest of its server's era."""
        server = gateway.dispatcher.server("shared")
        sessions = [gateway.sessions.synthetic(server, "local", era=era) for era in Era]
        assert {each.era: each.version for each in sessions} == {
            Era.LEGACY: LATEST_LEGACY,
            Era.MODERN: LATEST_MODERN,
        }

    def test_levels(self, gateway: MemoryGateway) -> None:
        """A session of the gateway hears what it is begun for: the usual, the level of a request, or nothing."""
        server = gateway.dispatcher.server("shared")
        found = [gateway.sessions.synthetic(server, "local", level=level) for level in (None, "error", "")]
        assert [(each.level, each.has_level) for each in found[1:]] == [("error", True), ("", False)]
        assert not found[0].has_level

    def test_not_on_record(self, gateway: MemoryGateway) -> None:
        """A session of the gateway is in use, and not put on record: after a restart there is none."""
        server = gateway.dispatcher.server("shared")
        session = gateway.sessions.synthetic(server, "local", is_apart=True)
        assert gateway.sessions.named(session.id) is session
        gateway.sessions.park(session)
        assert not gateway.sessions.knows(session.id, server, "local")
