"""The events of a session, from one connection of its client to the next."""

from __future__ import annotations

from tests.support.gateway_in_memory import Client, MemoryGateway

CHANGED = "notifications/tools/list_changed"


class StandingStreamTests:
    """The stream of GET, when its client comes back with ``Last-Event-ID``."""

    def listening(self) -> tuple[MemoryGateway, Client, Client]:
        """A gateway, a client that understands event ids, and the connection on which it listens."""
        gateway = MemoryGateway()
        client = gateway.client()
        client.initialize(protocolVersion="2025-11-25")
        return gateway, client, gateway.listen(client)

    def test_no_id_is_ahead_of_what_was_missed(self) -> None:
        """A client that is cut off again between any two events asks for the rest, and has lost nothing."""
        gateway, client, ears = self.listening()
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        opening, first, second = ids(ears)
        again = gateway.listen(client, Last_Event_ID=opening)
        assert ids(again)[:2] == [first, second]
        once_more = gateway.listen(client, Last_Event_ID=ids(again)[0])
        assert ids(once_more)[0] == second

    def test_every_event_has_an_id_of_its_own(self) -> None:
        """No two events of a session bear the same id, those that open a stream included."""
        gateway, client, ears = self.listening()
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        again = gateway.listen(client)
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        once_more = gateway.listen(client, Last_Event_ID=ids(again)[-1])
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        found = ids(ears) + ids(again) + ids(once_more)
        assert len(set(found)) == len(found) == 6

    def test_an_id_of_a_former_life(self) -> None:
        """A client that has heard nothing since its session came back is told all that was said since then."""
        gateway, client, ears = self.listening()
        (before,) = ids(ears)
        (session,) = gateway.sessions
        gateway.switchboard.park(session, "a test")
        again = gateway.listen(client, Last_Event_ID=before)
        gateway.child.say({"jsonrpc": "2.0", "method": CHANGED})
        once_more = gateway.listen(client, Last_Event_ID=before)
        assert ids(once_more)[0] == ids(again)[1]


def ids(stream: Client) -> list[str]:
    """The ids of a stream's events, in their order."""
    lines = stream.transport.taken.decode().split("\n")
    return [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
