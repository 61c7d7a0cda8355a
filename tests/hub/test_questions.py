"""What servers ask their clients."""

from __future__ import annotations

from typing import Any

from mcpgateway.host.journal import Journal
from tests.support.gateway_in_memory import MemoryGateway

QUESTION = {"method": "elicitation/create", "params": {"message": "Yes?", "requestedSchema": {}}}


class NumberTests:
    """The ids under which clients know questions."""

    def asked(self, gateway: MemoryGateway, headers: dict[str, str]) -> Any:
        """A question about a call of that session's, as its client hears it."""
        client = gateway.client("own", **headers)
        client.call(1, name="ask")
        gateway.child.say({"jsonrpc": "2.0", "id": 7, **QUESTION})
        assert client.heard is not None
        return client.heard.events[-1]

    def test_a_session_hears_no_number_twice(self) -> None:
        """An answer to what the gateway asked before it was killed is no answer to what it asks now."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        client = before.client("own")
        client.initialize(protocolVersion="2025-06-18", capabilities={"elicitation": {}})
        former = self.asked(before, client.headers)
        after = MemoryGateway(store=store)
        latter = self.asked(after, client.headers)
        assert former["id"] != latter["id"]
        late = {"jsonrpc": "2.0", "id": former["id"], "result": {"action": "accept"}}
        assert after.client("own", **client.headers).ask(late).status == 202
        assert [each for each in after.child.received if each.get("id") == 7] == []
