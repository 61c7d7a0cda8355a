"""What a server is asked to report, whoever comes and goes meanwhile."""

from __future__ import annotations

from mcpgateway.host.journal import Journal
from tests.support.gateway_in_memory import HELLO, MemoryChild, MemoryGateway

URI = "weather://city"
SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"


def reports(child: MemoryChild) -> bool:
    """Whether that child has been asked to report on the resource, and not asked to stop since."""
    asked = [each["method"] for each in child.received if each.get("params", {}).get("uri") == URI]
    return asked[-1:] == [SUBSCRIBE]


class ComebackTests:
    """Sessions that come back with their subscriptions."""

    def test_one_gives_up_what_another_keeps(self) -> None:
        """A farewell that has waited for the child to start does not take it from those who came back meanwhile."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        leaves, stays = before.session(), before.session()
        for client in (leaves, stays):
            client.call(1, SUBSCRIBE, uri=URI)
            for request in before.child.asked(SUBSCRIBE):
                before.child.answer(request, {})
        after = MemoryGateway(store=store)
        after.launcher.hello = None
        after.client(**leaves.headers).call(2, UNSUBSCRIBE, uri=URI)
        after.client(**stays.headers).call(2, "ping")
        (handshake,) = after.child.asked("initialize")
        after.child.answer(handshake, HELLO)
        assert reports(after.child)


class LeavingTests:
    """Sessions that leave while the server is being asked."""

    def test_before_the_answer(self) -> None:
        """Nothing is reported any more when the only session that asked for it left before the answer came."""
        gateway = MemoryGateway()
        client = gateway.session()
        client.call(1, SUBSCRIBE, uri=URI)
        gateway.client(**client.headers).ask(b"", "DELETE")
        (request,) = gateway.child.asked(SUBSCRIBE)
        gateway.child.answer(request, {})
        assert not reports(gateway.child)

    def test_another_asks(self) -> None:
        """It is reported to who asks for it while the last who had it leaves."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        had = before.session()
        had.call(1, SUBSCRIBE, uri=URI)
        before.child.answer(before.child.asked(SUBSCRIBE)[0], {})
        after = MemoryGateway(store=store)
        wants = after.session()
        wants.call(1, SUBSCRIBE, uri=URI)
        after.client(**had.headers).call(2, "ping")
        after.client(**had.headers).ask(b"", "DELETE")
        for request in after.child.asked(SUBSCRIBE):
            after.child.answer(request, {})
        assert reports(after.child)
