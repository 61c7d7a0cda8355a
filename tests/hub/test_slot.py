"""One child and everybody who uses it."""

from __future__ import annotations

from mcpgateway.host.journal import Journal
from tests.support.gateway_in_memory import HELLO, MemoryGateway

SET_LEVEL = "logging/setLevel"


class LevelTests:
    """The one log level of a child that several sessions share."""

    def test_a_wish_that_waited(self) -> None:
        """A wish that waited for the child does not silence what a session that came back meanwhile wants to hear."""
        store = Journal(":memory:", lambda: 0.0)
        before = MemoryGateway(store=store)
        quiet, curious = before.session(), before.session()
        curious.call(1, SET_LEVEL, level="info")
        after = MemoryGateway(store=store)
        after.launcher.hello = None
        after.client(**quiet.headers).call(1, SET_LEVEL, level="error")
        after.client(**curious.headers).call(2, "ping")
        (handshake,) = after.child.asked("initialize")
        after.child.answer(handshake, HELLO)
        assert {each["params"]["level"] for each in after.child.asked(SET_LEVEL)} == {"info"}
