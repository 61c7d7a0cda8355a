"""Sessions that end while nothing can be put on record."""

from __future__ import annotations

import pytest

from mcpgateway.app.hub import Keys
from mcpgateway.hub.sessions import ENDED_LIMIT
from mcpgateway.protocol.session_ids import SERIAL_BYTES
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryGateway


def ping(client: Client) -> int:
    """The status of a request of the session."""
    return client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status


class UnrecordedTests:
    """A store that keeps nothing any more, as on a full disk."""

    @pytest.mark.parametrize("server", ["shared", "own"])
    def test_what_has_ended_stays_so(self, server: str) -> None:
        """DELETE makes an id unknown all the same, be it in use or put aside; other ids go on working."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        gateway = MemoryGateway(store=store)
        used, aside, other = (gateway.client(server) for _ in range(3))
        for client in (used, aside, other):
            client.initialize()
        store.close()
        for session in list(gateway.dispatcher.sessions):
            if session.id != used.headers["Mcp-Session-Id"].encode():
                gateway.dispatcher.park(session, "a test")
        for client in (used, aside):
            assert client.ask(b"", "DELETE").status == 200
            assert ping(client) == 404
            assert client.ask(b"", "DELETE").status == 404
        assert ping(other) == 200

    def test_only_so_many(self) -> None:
        """Ended sessions without a record have a limit; the oldest are forgotten first."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        store.close()
        gateway = MemoryGateway(store=store)
        server = gateway.dispatcher.server("shared")
        ids = Keys("a key of forty-three characters for the tests").session_ids()
        issued = [
            ids.issue(nth.to_bytes(SERIAL_BYTES, "big"), 1, "shared", "local", "2025-11-25")
            for nth in range(ENDED_LIMIT + 1)
        ]
        for each in issued:
            gateway.sessions.forget_parked(each)
        known = [each for each in issued if gateway.sessions.knows(each, server, "local")]
        assert known == issued[:1]
